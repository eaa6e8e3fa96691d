//! The links of a world: who meets whom, what is on its way, and what of it arrives when. People's machines and seeders are numbered
//! together; seeders from [`HOSTS_FROM`] on.

use std::collections::VecDeque;

use cobox_proto::replicate::{self, PeerId};
use cobox_proto::wire::proof::Who;

use crate::member::Packet;
use crate::world::World;

/// The number of the first seeder.
pub(crate) const HOSTS_FROM: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    pub(crate) node: usize,
    pub(crate) peer: PeerId,
}

impl World<'_> {
    fn is_running(&self, node: usize) -> bool {
        match node.checked_sub(HOSTS_FROM) {
            Some(host) => self.hosts[host].is_live(),
            None => self.members[node].live.is_some(),
        }
    }

    fn name(&self, node: usize) -> char {
        match node.checked_sub(HOSTS_FROM) {
            Some(host) => self.hosts[host].name,
            None => self.members[node].name,
        }
    }

    fn who(&self, node: usize) -> Who {
        match node.checked_sub(HOSTS_FROM) {
            Some(host) => self.hosts[host].who(),
            None => self.members[node].who(),
        }
    }

    fn tell(&mut self, node: usize, input: replicate::Input) {
        match node.checked_sub(HOSTS_FROM) {
            Some(host) => self.hosts[host].tell(self.now_ms, input),
            None => self.members[node].tell_replica(self.now_ms, input),
        }
    }

    /// The channels of a machine, and their other ends.
    fn ends_of(&self, node: usize) -> impl Iterator<Item = (&End, &End)> {
        self.other.range(End { node, peer: PeerId(0) }..End { node: node + 1, peer: PeerId(0) })
    }

    fn is_linked(&self, a: usize, b: usize) -> bool {
        self.ends_of(a).any(|(_, there)| there.node == b)
    }

    /// Whether whoever calls was sent away by what is known here; then they are told, as by the shipped sessions. Before that they bring
    /// what speaks for them.
    fn turns_away(&mut self, here: usize, caller: usize) -> bool {
        let who = self.who(caller);
        if self.faults.older && caller < HOSTS_FROM {
            let ops = self.members[caller].introduction();
            self.tell(here, replicate::Input::Introduced { who, ops });
        }
        let removal = match here.checked_sub(HOSTS_FROM) {
            Some(host) => self.hosts[host].removal_of(&who),
            None => self.members[here].removal_of(&who),
        };
        let is_removed = !removal.ops.is_empty();
        if is_removed && caller < HOSTS_FROM {
            let (a, b) = (self.name(here), self.name(caller));
            self.note(&format!("{a} turns {b} away"));
            self.tell(caller, replicate::Input::ToldRemoved { device: who.key, told: removal });
        }
        is_removed
    }

    pub(crate) fn connect_some(&mut self) {
        let (a, b) = (self.dice.below(self.members.len()), self.dice.below(self.members.len()));
        self.connect(a, b);
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        let neighbours = a.abs_diff(b) == 1 || a.max(b) >= self.people;
        if a == b
            || self.faults.row && !neighbours
            || self.is_linked(a, b)
            || [a, b].iter().any(|n| !self.is_running(*n))
        {
            return;
        }
        if self.turns_away(a, b) | self.turns_away(b, a) {
            return;
        }
        let ends = [a, b].map(|node| {
            self.next_peer += 1;
            End { node, peer: PeerId(self.next_peer) }
        });
        for (here, there) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            self.other.insert(here, there);
            self.queues.insert(here, VecDeque::new());
        }
        for (here, there) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let (who, ours) = (self.who(there.node), self.who(here.node).kind);
            self.tell(here.node, replicate::Input::PeerOpened { peer: here.peer, who, ours });
        }
        let (a, b) = (self.name(a), self.name(b));
        self.note(&format!("{a} and {b} meet"));
    }

    pub(crate) fn cut_some(&mut self) {
        let ends: Vec<End> = self.other.keys().copied().collect();
        if let Some(end) = self.dice.pick(&ends).copied() {
            self.close(end);
        }
    }

    pub(crate) fn close(&mut self, end: End) {
        let Some(there) = self.other.remove(&end) else { return };
        self.other.remove(&there);
        for end in [end, there] {
            self.queues.remove(&end);
            self.ready.retain(|ready| *ready != end);
            self.tell(end.node, replicate::Input::PeerClosed { peer: end.peer });
        }
        let (a, b) = (self.name(end.node), self.name(there.node));
        self.note(&format!("{a} and {b} part"));
    }

    /// Everybody parts from everybody.
    pub(crate) fn close_all(&mut self) {
        while let Some(end) = self.other.keys().next().copied() {
            self.close(end);
        }
    }

    /// One packet of some channel arrives.
    pub(crate) fn deliver(&mut self) {
        let Some(end) = self.dice.pick(&self.ready).copied() else { return };
        let Some(queue) = self.queues.get_mut(&end) else { return };
        let blocks: Vec<usize> = match self.faults.streams && self.dice.one_in(3) {
            true => (0..queue.len()).filter(|n| matches!(queue[*n], Packet::Block(..))).collect(),
            false => Vec::new(),
        };
        let first = self.dice.pick(&blocks).copied().unwrap_or(0);
        let packet = queue.remove(first);
        if queue.is_empty() {
            self.ready.retain(|ready| *ready != end);
        }
        if let Some(packet) = packet {
            match end.node.checked_sub(HOSTS_FROM) {
                Some(host) => self.hosts[host].receive(self.now_ms, end.peer, packet),
                None => self.members[end.node].receive(self.now_ms, end.peer, packet),
            }
        }
    }

    fn has_nothing_to_say(&self, node: usize) -> bool {
        match node.checked_sub(HOSTS_FROM) {
            Some(host) => {
                let host = &self.hosts[host];
                host.events.is_empty() && host.outbox.is_empty() && host.close.is_empty()
            }
            None => {
                let member = &self.members[node];
                member.events.is_empty() && member.outbox.is_empty() && member.close.is_empty()
            }
        }
    }

    /// Takes what machines have to say; closes the channels of the stopped.
    pub(crate) fn tidy(&mut self) {
        for n in 0..self.members.len() + self.hosts.len() {
            let node = n.checked_sub(self.members.len()).map_or(n, |host| HOSTS_FROM + host);
            if self.options.follow.is_none() && self.is_running(node) && self.has_nothing_to_say(node) {
                continue;
            }
            let name = self.name(node);
            let follow = self.options.follow.clone();
            let (events, outbox, close) = match node.checked_sub(HOSTS_FROM) {
                Some(host) => {
                    let host = &mut self.hosts[host];
                    (&mut host.events, &mut host.outbox, &mut host.close)
                }
                None => {
                    let member = &mut self.members[node];
                    if let Some(what) = follow.and_then(|text| member.follow(&text)) {
                        member.events.push(what);
                    }
                    (&mut member.events, &mut member.outbox, &mut member.close)
                }
            };
            let (events, outbox, close) = (std::mem::take(events), std::mem::take(outbox), std::mem::take(close));
            for what in events {
                self.note(&format!("{name} {what}"));
            }
            for (peer, packet) in outbox {
                if let Some(there) = self.other.get(&End { node, peer })
                    && let Some(queue) = self.queues.get_mut(there)
                {
                    queue.push_back(packet);
                    if let Err(at) = self.ready.binary_search(there) {
                        self.ready.insert(at, *there);
                    }
                }
            }
            for peer in close {
                self.close(End { node, peer });
            }
            if !self.is_running(node) {
                let ends: Vec<End> = self.ends_of(node).map(|(end, _)| *end).collect();
                for end in ends {
                    self.close(end);
                }
            }
        }
    }
}
