//! Who may come in: caps on connections whose peer has not proved itself, in all and by source, and on connections at all.
//! Owns the counts only; a [`Ticket`] is one place, given back when dropped.
//!
//! Invariant: strangers can fill the strangers' places, never those of authenticated peers.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

/// Peers that have not proved themselves, half-open ones included.
pub(crate) const STRANGERS_MAX: usize = 256;
/// The same from one source.
pub(crate) const STRANGERS_PER_SOURCE_MAX: usize = 64;
/// With so many strangers a newcomer must show that its address is its own (one more round trip).
const STRANGERS_UNPROVED_ADDRESS_MAX: usize = STRANGERS_MAX / 4;

/// Where a connection comes from: an IPv4 address, an IPv6 network of 64 bits, or a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(Option<IpAddr>);

impl Source {
    pub(crate) fn address(ip: IpAddr) -> Self {
        Self(Some(match ip {
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            other => other.to_canonical(),
        }))
    }

    pub(crate) fn relay() -> Self {
        Self(None)
    }

    /// The address, or the network's first; none for a relay.
    pub(crate) fn ip(self) -> Option<IpAddr> {
        self.0
    }
}

/// What to do with somebody who knocks.
#[derive(Debug)]
pub(crate) enum Verdict {
    Admit(Ticket),
    /// Ask for proof of the address first.
    ProveAddress,
    Refuse,
}

#[derive(Debug, Default)]
struct Counts {
    known: usize,
    strangers: usize,
    by_source: HashMap<Source, usize>,
}

/// The door of one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    counts: Arc<Mutex<Counts>>,
    connections_max: usize,
}

impl Admission {
    pub(crate) fn new(connections_max: usize) -> Self {
        Self { counts: Arc::default(), connections_max }
    }

    pub(crate) fn knock(&self, source: Source, address_proved: bool) -> Verdict {
        let mut counts = lock(&self.counts);
        let from_here = counts.by_source.get(&source).copied().unwrap_or(0);
        if counts.strangers >= STRANGERS_MAX
            || from_here >= STRANGERS_PER_SOURCE_MAX
            || counts.known >= self.connections_max
        {
            return Verdict::Refuse;
        }
        if counts.strangers >= STRANGERS_UNPROVED_ADDRESS_MAX && !address_proved {
            return Verdict::ProveAddress;
        }
        counts.strangers += 1;
        *counts.by_source.entry(source).or_default() += 1;
        Verdict::Admit(Ticket { counts: self.counts.clone(), stranger: Some(source) })
    }
}

/// A place for one connection.
#[derive(Debug)]
pub(crate) struct Ticket {
    counts: Arc<Mutex<Counts>>,
    /// `None` once the peer has proved itself.
    stranger: Option<Source>,
}

impl Ticket {
    /// The peer has proved itself: it moves from the strangers' places to the others.
    pub(crate) fn vouch(&mut self) {
        if let Some(source) = self.stranger.take() {
            let mut counts = lock(&self.counts);
            counts.forget_stranger(source);
            counts.known += 1;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        match self.stranger {
            Some(source) => counts.forget_stranger(source),
            None => counts.known -= 1,
        }
    }
}

impl Counts {
    fn forget_stranger(&mut self, source: Source) {
        self.strangers -= 1;
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

/// The counts are whole numbers changed in one step, so a panic elsewhere cannot leave them half changed.
fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u8) -> Source {
        Source::address(IpAddr::from([10, 0, 0, n]))
    }

    fn admitted(verdict: Verdict) -> Option<Ticket> {
        match verdict {
            Verdict::Admit(ticket) => Some(ticket),
            _ => None,
        }
    }

    #[test]
    fn g1_one_source_cannot_take_all_places_and_places_come_back() {
        let door = Admission::new(10);
        let mut taken: Vec<Ticket> = Vec::new();
        while let Some(ticket) = admitted(door.knock(source(1), true)) {
            taken.push(ticket);
        }
        assert_eq!(taken.len(), STRANGERS_PER_SOURCE_MAX);
        assert!(admitted(door.knock(source(2), true)).is_some());
        taken.pop();
        assert!(admitted(door.knock(source(1), true)).is_some());
        drop(taken);
        assert!(lock(&door.counts).by_source.is_empty());
    }

    #[test]
    fn g1_in_a_crowd_a_newcomer_proves_its_address_first() {
        let door = Admission::new(10);
        let crowd: Vec<_> = (0..STRANGERS_UNPROVED_ADDRESS_MAX as u8).map(|n| door.knock(source(n), false)).collect();
        assert!(crowd.iter().all(|verdict| matches!(verdict, Verdict::Admit(_))));
        assert!(matches!(door.knock(source(200), false), Verdict::ProveAddress));
        assert!(matches!(door.knock(source(200), true), Verdict::Admit(_)));
    }

    #[test]
    fn g1_a_crowd_of_strangers_leaves_the_places_of_known_peers_alone() {
        let door = Admission::new(2);
        let mut bob = admitted(door.knock(source(1), true)).unwrap();
        bob.vouch();
        let strangers: Vec<_> = (0..=255).filter_map(|n| admitted(door.knock(source(n), true))).collect();
        assert_eq!(strangers.len(), STRANGERS_MAX);
        assert!(matches!(door.knock(source(9), true), Verdict::Refuse));
        assert_eq!(lock(&door.counts).known, 1);
        drop(strangers);
        let mut carol = admitted(door.knock(source(2), true)).unwrap();
        carol.vouch();
        assert!(matches!(door.knock(source(3), true), Verdict::Refuse), "two known peers is the limit");
        drop(bob);
        assert!(matches!(door.knock(source(3), true), Verdict::Admit(_)));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let a = Source::address("2001:db8::1".parse().unwrap());
        assert_eq!(a, Source::address("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(a, Source::address("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(source(1), Source::address("::ffff:10.0.0.1".parse().unwrap()));
    }
}
