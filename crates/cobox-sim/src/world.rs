//! One run: a storm of edits, delays, broken links, stops and restored backups; a quiet phase; the oracles; and once more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use cobox_core::engine::{Input, Stat, same_time};
use cobox_core::path::FolderPath;
use cobox_proto::replicate::{self, PeerId};

use crate::cast::{Cast, PEOPLE_MAX};
use crate::dice::Dice;
use crate::disk::{Bytes, Disk, Node};
use crate::faults::{Faults, Machine};
use crate::ledger::Ledger;
use crate::member::{Durable, Member, Packet};
use crate::{people, witness};

/// Timers that may ring in each round of a quiet phase.
const TICKS_MAX: usize = 100;

/// How often what could not be written is tried again.
const STUCK_RETRY_MS: u64 = 15_000;
/// How long it may take until all agree when everything is well again.
const QUIET_MS_MAX: u64 = 3_600_000;

/// What a run is made of; which faults happen at all is drawn from the seed (a storm that does everything at once hides much).
#[derive(Debug, Clone)]
pub struct Options {
    /// Things that happen in each storm.
    pub storm_steps: usize,
    /// Storms, each with its quiet phase.
    pub storms: usize,
    /// Print the story as it goes.
    pub verbose: bool,
    /// Tell where contents are that have this text in them.
    pub follow: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { storm_steps: 400, storms: 2, verbose: false, follow: None }
    }
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Over all that happened, in order (O10).
    pub trace: [u8; 32],
    /// The first promise that was broken.
    pub failure: Option<String>,
    /// Heads published.
    pub heads: u64,
    /// Contents written.
    pub contents: u64,
}

/// Runs one seed.
pub fn run(cast: &Cast, seed: u64, options: &Options) -> Report {
    #[cfg(debug_assertions)]
    cobox_proto::sign::remember_verified();
    let world = || World::new(cast, seed, options.clone()).run();
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(world)) {
        Ok(report) => report,
        Err(_) => Report { trace: [0; 32], failure: Some("O7: it panics".into()), heads: 0, contents: 0 },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    member: usize,
    peer: PeerId,
}

/// See the module.
#[derive(Debug)]
pub struct World<'c> {
    pub(crate) cast: &'c Cast,
    options: Options,
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    pub(crate) now_ms: u64,
    /// When the program last changed somebody's disk.
    changed_ms: u64,
    pub(crate) members: Vec<Member<'c>>,
    /// How many there are without twins.
    people: usize,
    backups: Vec<Option<(Durable, u64)>>,
    pub(crate) other: BTreeMap<End, End>,
    queues: BTreeMap<End, VecDeque<Packet>>,
    next_peer: u64,
    pub(crate) ledger: Ledger,
    /// A backup was restored, or a deletion refused: what was published and fetched by nobody may be gone for good, and is
    /// waited for.
    may_lack: bool,
    trace: blake3::Hasher,
}

impl<'c> World<'c> {
    pub(crate) fn new(cast: &'c Cast, seed: u64, options: Options) -> Self {
        let mut dice = Dice::new(seed);
        let count = 2 + dice.below(PEOPLE_MAX - 1);
        let faults = Faults::draw(seed, &mut dice);
        let mut luck = Dice::new(seed ^ 0x6c75_636b);
        let members: Vec<Member<'_>> = (0..count)
            .map(|n| {
                let mut member = Member::at(cast, n);
                member.machine = Machine { luck: Dice::new(luck.next()), faults: faults.clone(), ..Machine::healthy() };
                member
            })
            .collect();
        Self {
            cast,
            options,
            dice,
            faults,
            now_ms: 1_700_000_000_000,
            changed_ms: 0,
            backups: vec![None; members.len()],
            people: members.len(),
            members,
            other: BTreeMap::new(),
            queues: BTreeMap::new(),
            next_peer: 0,
            ledger: Ledger::default(),
            may_lack: false,
            trace: blake3::Hasher::new(),
        }
    }

    fn run(mut self) -> Report {
        let mut failure = None;
        for storm in 0..self.options.storms {
            self.storm();
            if let Err(why) = self.quiet() {
                self.note(&format!("storm {storm}: {why}"));
                failure = Some(why);
                break;
            }
        }
        Report {
            trace: *self.trace.finalize().as_bytes(),
            failure,
            heads: self.members.iter().map(|member| member.published).sum(),
            contents: self.ledger.count,
        }
    }

    fn note(&mut self, what: &str) {
        self.trace.update(what.as_bytes()).update(b"\n");
        if self.options.verbose {
            println!("{:>9} {what}", self.now_ms - 1_700_000_000_000);
        }
    }

    // ---- what happens ----

    fn storm(&mut self) {
        for member in &mut self.members {
            member.machine.faults = self.faults.clone();
        }
        for _ in 0..self.options.storm_steps {
            let member = self.dice.below(self.members.len());
            if self.faults.weather && self.dice.one_in(60) {
                self.weather(member);
                self.tidy();
            }
            match self.dice.below(100) {
                0..=34 => self.deliver(),
                35..=69 => self.work(member),
                70..=79 => self.edit(member),
                80..=83 => self.look(member),
                84..=92 => {
                    let ms = 1 + self.dice.below(3_000) as u64;
                    self.pass(ms);
                }
                93 | 94 => self.connect_some(),
                95 if self.faults.cuts => self.cut_some(),
                96 if self.faults.stops => {
                    self.members[member].stop_after = Some(self.dice.below(12) as u32);
                }
                97 if self.faults.backups => self.back_up_or_restore(member),
                98 if self.faults.twins && self.dice.one_in(4) => self.wake_twice(member),
                _ => self.start_if_stopped(member),
            }
            self.tidy();
        }
    }

    fn work(&mut self, member: usize) {
        let choice = self.dice.below(1_000);
        let before = self.members[member].durable.disk.ticks();
        self.members[member].work(self.now_ms, choice);
        if self.members[member].durable.disk.ticks() != before {
            self.changed_ms = self.now_ms;
        }
    }

    fn edit(&mut self, member: usize) {
        let Self { dice, members, ledger, now_ms, .. } = self;
        let here = &mut members[member];
        if self.faults.ignores && dice.one_in(12) {
            let what = people::change_rules(dice, &mut here.durable.disk, ledger, here.name, *now_ms);
            let name = here.name;
            return self.note(&format!("{name} {what}"));
        }
        if let Some(what) = people::act(dice, &mut here.durable.disk, ledger, (here.name, *now_ms), self.faults.calm) {
            let name = here.name;
            self.note(&format!("{name} {what}"));
        }
    }

    fn look(&mut self, member: usize) {
        let disk = &self.members[member].durable.disk;
        let some = self.dice.below(disk.tree.len() + 1);
        let under = if self.dice.one_in(2) { disk.tree.keys().nth(some).cloned() } else { None };
        self.members[member].look_at(under.into_iter().collect());
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        for member in 0..self.members.len() {
            if self.members[member].due_ms().is_some_and(|due| due <= self.now_ms) {
                self.members[member].time_passed(self.now_ms);
                self.tidy();
            }
        }
    }

    pub(crate) fn wake_twice(&mut self, member: usize) {
        let index = self.members[member].index;
        if self.members.iter().filter(|other| other.index == index).count() > 1 {
            return;
        }
        if let Some(twin) = self.members[member].twin(self.now_ms) {
            let (one, two) = (self.members[member].name, twin.name);
            self.members.push(twin);
            self.backups.push(None);
            self.note(&format!("{one} wakes up a second time, as {two}"));
        }
    }

    fn back_up_or_restore(&mut self, member: usize) {
        let name = self.members[member].name;
        match self.backups[member].take() {
            Some((old, at_ms)) => {
                self.members[member].stop();
                if self.faults.listings_lie {
                    // Others were told of deletions that were none; who goes back to before that believes them.
                    let known: Vec<Bytes> = self.members[member].remembered();
                    self.ledger.let_go_unless(&self.members[member].durable.disk, &known);
                }
                let with_disk = self.dice.one_in(2);
                self.may_lack = true;
                let newer = std::mem::replace(&mut self.members[member].durable, old);
                if with_disk {
                    self.ledger.set_back(&newer.disk, &self.members[member].durable.disk);
                } else {
                    // A file on its way from one name to another may be in what was set aside alone.
                    self.ledger.let_go_kept(&newer.disk);
                    self.members[member].durable.disk = newer.disk;
                }
                self.ledger.may_be_new(&self.members[member].durable.disk);
                if self.faults.ignores {
                    // What is ignored there now is not found to be missing.
                    self.ledger.may_live(self.members[member].remembered());
                }
                self.ledger.may_live(witness::forgotten_deletions(&self.members));
                self.note(&format!("{name} is set back to {at_ms}{}", if with_disk { " with its disk" } else { "" }));
            }
            None if self.members[member].live.is_some() => {
                self.backups[member] = Some((self.members[member].durable.clone(), self.now_ms));
                self.note(&format!("{name} is backed up"));
            }
            None => {}
        }
    }

    /// A clock is set, or a machine loses what it had.
    fn weather(&mut self, member: usize) {
        let name = self.members[member].name;
        if self.faults.clocks && self.dice.one_in(2) {
            self.members[member].machine.set_clock();
            let skew_ms = self.members[member].machine.skew_ms;
            self.note(&format!("{name}'s clock is off by {skew_ms} ms"));
        } else if self.faults.losses && self.dice.one_in(4) {
            let here = &mut self.members[member];
            here.stop();
            let mut lost = std::mem::take(&mut here.durable);
            let keeps_disk = self.dice.one_in(2);
            if keeps_disk {
                // What only the program had set aside is not known to it any more, and stays where it is.
                here.durable.disk = std::mem::take(&mut lost.disk);
                self.ledger.let_go_kept(&here.durable.disk);
                self.ledger.may_be_new(&here.durable.disk);
            } else {
                self.ledger.set_back(&lost.disk, &here.durable.disk);
            }
            self.may_lack = true;
            self.ledger.may_live(witness::forgotten_deletions(&self.members));
            self.note(&format!("{name} loses {}", if keeps_disk { "its memory" } else { "everything" }));
        }
    }

    pub(crate) fn start_if_stopped(&mut self, member: usize) {
        if self.members[member].live.is_none() {
            let entropy = self.dice.bytes32();
            self.members[member].start(self.now_ms, entropy);
            let name = self.members[member].name;
            self.note(&format!("{name} starts"));
        }
    }

    // ---- the links ----

    fn is_linked(&self, a: usize, b: usize) -> bool {
        self.other.iter().any(|(here, there)| here.member == a && there.member == b)
    }

    fn connect_some(&mut self) {
        let (a, b) = (self.dice.below(self.members.len()), self.dice.below(self.members.len()));
        self.connect(a, b);
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        let neighbours = a.abs_diff(b) == 1 || a.max(b) >= self.people;
        if a == b
            || self.faults.row && !neighbours
            || self.is_linked(a, b)
            || [a, b].iter().any(|n| self.members[*n].live.is_none())
        {
            return;
        }
        let ends = [a, b].map(|member| {
            self.next_peer += 1;
            End { member, peer: PeerId(self.next_peer) }
        });
        for (here, there) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            self.other.insert(here, there);
            self.queues.insert(here, VecDeque::new());
        }
        for (here, there) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let (who, ours) = (self.members[there.member].who(), self.members[here.member].who().kind);
            let opened = replicate::Input::PeerOpened { peer: here.peer, who, ours };
            self.members[here.member].tell_replica(self.now_ms, opened);
        }
        let (a, b) = (self.members[a].name, self.members[b].name);
        self.note(&format!("{a} and {b} meet"));
    }

    fn cut_some(&mut self) {
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
            self.members[end.member].tell_replica(self.now_ms, replicate::Input::PeerClosed { peer: end.peer });
        }
        let (a, b) = (self.members[end.member].name, self.members[there.member].name);
        self.note(&format!("{a} and {b} part"));
    }

    /// One packet of some channel arrives.
    fn deliver(&mut self) {
        let ready: Vec<End> = self.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(end, _)| *end).collect();
        let Some(end) = self.dice.pick(&ready).copied() else { return };
        let Some(queue) = self.queues.get_mut(&end) else { return };
        let blocks: Vec<usize> = match self.faults.streams && self.dice.one_in(3) {
            true => (0..queue.len()).filter(|n| matches!(queue[*n], Packet::Block(..))).collect(),
            false => Vec::new(),
        };
        let first = self.dice.pick(&blocks).copied().unwrap_or(0);
        if let Some(packet) = queue.remove(first) {
            self.members[end.member].receive(self.now_ms, end.peer, packet);
        }
    }

    /// Takes what members have to say; closes the channels of the stopped.
    pub(crate) fn tidy(&mut self) {
        for member in 0..self.members.len() {
            let follow = self.options.follow.clone();
            if let Some(what) = follow.and_then(|text| self.members[member].follow(&text)) {
                self.members[member].events.push(what);
            }
            for what in std::mem::take(&mut self.members[member].events) {
                let name = self.members[member].name;
                self.note(&format!("{name} {what}"));
            }
            for (peer, packet) in std::mem::take(&mut self.members[member].outbox) {
                if let Some(there) = self.other.get(&End { member, peer })
                    && let Some(queue) = self.queues.get_mut(there)
                {
                    queue.push_back(packet);
                }
            }
            for peer in std::mem::take(&mut self.members[member].close) {
                self.close(End { member, peer });
            }
            if self.members[member].live.is_none() {
                let ends: Vec<End> = self.other.keys().filter(|end| end.member == member).copied().collect();
                for end in ends {
                    self.close(end);
                }
            }
        }
    }

    // ---- the end ----

    /// Faults and edits stop, everybody meets; when nothing is left to do, nothing may be lost or differ.
    fn quiet(&mut self) -> Result<(), String> {
        self.note("quiet");
        if let Some(why) = self.members.iter().find_map(|member| member.broken.clone()) {
            return Err(why);
        }
        let begun_ms = self.now_ms;
        for member in 0..self.members.len() {
            self.members[member].stop_after = None;
            self.members[member].machine.recover();
            self.start_if_stopped(member);
            self.members[member].look_at(Vec::new());
        }
        for a in 0..self.members.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
        self.tidy();
        self.settle()?;
        // What is nowhere any more is asked for now and then, for ever: rest is when no disk changes.
        let quiet_ms = self.changed_ms.saturating_sub(begun_ms);
        if self.faults.weather && quiet_ms > QUIET_MS_MAX {
            return Err(format!("O2: it took {} minutes to agree", quiet_ms / 60_000));
        }
        if self.content_may_lack() && self.members.iter().any(|member| !member.waits_for().is_empty()) {
            // Content that was published and fetched by nobody, and then lost with the disk that had it, or deleted there
            // while the program was stopped and could not tell why, or while it was ignored: nobody can end up equal.
            self.note("something is nowhere any more");
            return Ok(());
        }
        self.members_agree()?;
        if self.faults.weather {
            self.times_agree()?;
        }
        self.note("all agree; once more");
        let published: u64 = self.members.iter().map(|member| member.published).sum();
        for member in 0..self.members.len() {
            self.members[member].look_at(Vec::new());
        }
        self.settle()?;
        let now: u64 = self.members.iter().map(|member| member.published).sum();
        if now > published {
            return Err(format!("O7: {} heads were published although nothing had changed", now - published));
        }
        self.members_agree()?;
        let left_out = self.members.iter().flat_map(Member::left_out).collect();
        let disks: Vec<(&Disk, BTreeSet<FolderPath>)> =
            self.members.iter().map(|member| (&member.durable.disk, member.ignored())).collect();
        self.ledger.deletions_hold = self.faults.calm && !self.may_lack;
        self.ledger.check(&disks, left_out)
    }

    pub(crate) fn settle(&mut self) -> Result<(), String> {
        let (mut steps, mut ticks, mut rounds) = (0, 0, 0);
        let mut retry_ms = self.now_ms + STUCK_RETRY_MS;
        loop {
            steps += 1;
            if steps > 100_000 {
                return Err("O7: it never comes to rest".into());
            }
            let busy: Vec<usize> = (0..self.members.len()).filter(|n| self.members[*n].has_work()).collect();
            let on_the_way = self.queues.values().any(|queue| !queue.is_empty());
            if let Some(member) = self.dice.pick(&busy).copied()
                && (!on_the_way || self.dice.one_in(2))
            {
                self.work(member);
            } else if on_the_way {
                self.deliver();
            } else if let Some(held) = (!self.faults.scripted)
                .then(|| {
                    self.members.iter().position(|m| m.live.as_ref().is_some_and(|live| live.engine.held().is_some()))
                })
                .flatten()
            {
                // Refusing brings back only what somebody else has got meanwhile.
                let approve = self.may_lack || !self.dice.one_in(3);
                self.may_lack |= !approve;
                let name = self.members[held].name;
                self.note(&format!("{name} is asked about deletions: {approve}"));
                self.members[held].tell_engine(self.now_ms, Input::Decide { approve });
            } else if let Some(due) = self.members.iter().filter_map(Member::due_ms).min()
                && ticks < TICKS_MAX
            {
                let ms = due.saturating_sub(self.now_ms).max(1);
                ticks += 1;
                self.pass(ms);
                if self.faults.weather && self.now_ms >= retry_ms {
                    retry_ms = self.now_ms + STUCK_RETRY_MS;
                    for member in 0..self.members.len() {
                        self.members[member].retry(self.now_ms);
                    }
                }
            } else if rounds < 3 {
                (rounds, ticks) = (rounds + 1, 0);
                for member in 0..self.members.len() {
                    self.members[member].retry(self.now_ms);
                    self.members[member].look_at(Vec::new());
                }
            } else {
                return Ok(());
            }
            self.tidy();
        }
    }

    fn content_may_lack(&self) -> bool {
        self.may_lack || self.faults.stops || self.faults.ignores
    }

    /// Times and modes, too, once contents are equal.
    fn times_agree(&self) -> Result<(), String> {
        let one = &self.members[0];
        for other in &self.members[1..] {
            for (path, node) in &one.durable.disk.tree {
                let both = (node.stat(), other.durable.disk.tree.get(path).map(Node::stat));
                let (Stat::File(a), Some(Stat::File(b))) = both else { continue };
                if !one.ignores(path)
                    && !other.ignores(path)
                    && (!same_time(a.mtime_ns, b.mtime_ns) || a.executable != b.executable)
                {
                    return Err(format!("O2: time or mode of {path} differs between {} and {}", one.name, other.name));
                }
            }
        }
        Ok(())
    }

    /// O2: all disks are equal, and nobody waits for anything.
    pub(crate) fn members_agree(&mut self) -> Result<(), String> {
        let shows: Vec<String> = self.members.iter().map(show).collect();
        for (n, member) in self.members.iter().enumerate() {
            let Some(live) = &member.live else { continue };
            let summary = live.engine.summary();
            if shows[n] != shows[0] {
                let (a, b) = (self.members[0].name, member.name);
                let waits: Vec<String> = self.members.iter().map(Member::waits_for).collect();
                return Err(format!(
                    "O2: disks differ: {a} has\n{}{b} has\n{}{summary:?} {waits:?}",
                    shows[0], shows[n]
                ));
            }
            let waits = summary.pending_files > 0 || !summary.settled;
            if waits && !self.content_may_lack() || summary.stuck.iter().any(|(path, _)| !member.keeps_ignored(path)) {
                let wanted = live.engine.view().entries.keys();
                let missing: Vec<String> = wanted
                    .filter(|path| !member.durable.disk.tree.contains_key(*path) && !member.ignores(path))
                    .map(|path| {
                        let has = |other: &&Member<'_>| other.durable.disk.tree.contains_key(path);
                        let holders: String = self.members.iter().filter(has).map(|other| other.name).collect();
                        let dot = live.engine.leaf_at(path).map(|(inode, seen, _)| format!("{} {seen:?}", inode.short()));
                        format!("{path} ({dot:?}), which {holders:?} show")
                    })
                    .collect();
                return Err(format!(
                    "O8: {} does not rest: {summary:?}; missing: {missing:?}, waits for {}",
                    member.name,
                    member.waits_for()
                ));
            }
        }
        Ok(())
    }
}

/// What stands on a disk and is content there.
fn show(member: &Member<'_>) -> String {
    let mut text = String::new();
    for (path, node) in &member.durable.disk.tree {
        if member.ignores(path) || member.keeps_ignored(path) {
            continue;
        }
        let content = node.content().map_or("/".into(), |content| {
            let start: Vec<u8> = content.bytes.iter().take(16).copied().collect();
            format!(": {}", String::from_utf8_lossy(&start))
        });
        let _ = writeln!(text, "    {path}{content}");
    }
    text
}
