//! Nameplates that lie in one service for a while: an inviter's half of an exchange, for whoever asks by the number. Kept by a seeder for
//! the members it serves, and by a member's device for itself. Blind: it knows neither the three words nor what is given to whoever says
//! them.
//!
//! Owns what lies here, and who asked how often. What must hold:
//! * a nameplate is good for one guess, whoever makes it; then it stays spent until its time is over;
//! * whoever asks for one that does not lie here is told something that looks the same, and learns no more by guessing;
//! * a source asks for no more than 5 in an hour: beyond that nothing lies here for it;
//! * nothing of it is ever written anywhere: a restart forgets all.

use std::collections::{BTreeMap, VecDeque};

use crate::id::EndpointId;
use crate::limits::{
    MAILBOX_ASKED_PER_HOUR_MAX, MAILBOX_SLOTS_MAX, MAILBOX_SLOTS_PER_INVITER_MAX, MAILBOX_SOURCES_MAX, MAILBOX_STAY_MS,
};
use crate::sign::SecretKey;
use crate::wire::{Half, Nameplate, Told};

const HOUR_MS: u64 = 60 * 60 * 1000;
/// From the mailbox's secret, a nameplate and a stretch of time: what is told of one that does not lie there.
const DECOY: &str = "cobox v1 nameplate that is not there";

/// Where somebody asks from: an address, or a network of them. The caller says what is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskedFrom(pub [u8; 16]);

#[derive(Debug)]
struct Slot {
    told: Told,
    until_ms: u64,
    /// Nobody has guessed, and the inviter still wants it.
    open: bool,
}

/// See the module's text.
pub struct Mailbox {
    secret: [u8; 32],
    slots: BTreeMap<Nameplate, Slot>,
    /// When each source asked within the last hour, the oldest first.
    asked: BTreeMap<AskedFrom, VecDeque<u64>>,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({} nameplates)", self.slots.len())
    }
}

/// What whoever asks is told, and whether the nameplate really lies here for them: that is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// To be told.
    pub told: Told,
    /// Whether a guess may be passed on.
    pub lies_here: bool,
}

impl Mailbox {
    /// An empty one. `secret` are 32 fresh random bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret, slots: BTreeMap::new(), asked: BTreeMap::new() }
    }

    /// Lays a nameplate down; again by the same inviter changes nothing. `false`: the number is taken or spent, or too many lie here.
    pub fn lay(&mut self, now_ms: u64, inviter: EndpointId, nameplate: Nameplate, half: Half, for_ms: u64) -> bool {
        self.forget_old(now_ms);
        let told = Told { inviter, half };
        if let Some(slot) = self.slots.get(&nameplate) {
            return slot.told == told && slot.open;
        }
        let of_inviter = self.slots.values().filter(|slot| slot.told.inviter == inviter).count();
        if self.slots.len() >= MAILBOX_SLOTS_MAX || of_inviter >= MAILBOX_SLOTS_PER_INVITER_MAX {
            return false;
        }
        let until_ms = now_ms.saturating_add(for_ms.min(MAILBOX_STAY_MS));
        self.slots.insert(nameplate, Slot { told, until_ms, open: true });
        true
    }

    /// The inviter takes a nameplate back. The number stays taken for its time: who asks sees no difference.
    pub fn lift(&mut self, inviter: &EndpointId, nameplate: Nameplate) {
        if let Some(slot) = self.slots.get_mut(&nameplate)
            && slot.told.inviter == *inviter
        {
            slot.open = false;
        }
    }

    /// Somebody asks for a nameplate.
    pub fn ask(&mut self, now_ms: u64, from: AskedFrom, nameplate: Nameplate) -> Found {
        self.forget_old(now_ms);
        let may_ask = self.note_asked(now_ms, from);
        match self.slots.get(&nameplate) {
            Some(slot) if may_ask => Found { told: slot.told, lies_here: true },
            _ => Found { told: self.decoy(now_ms, nameplate), lies_here: false },
        }
    }

    /// Somebody who was told this guesses: whose nameplate it is, to whom the guess goes. There is none after the first, whatever comes
    /// of it.
    pub fn take(&mut self, now_ms: u64, nameplate: Nameplate, told: &Told) -> Option<EndpointId> {
        self.forget_old(now_ms);
        let slot = self.slots.get_mut(&nameplate).filter(|slot| slot.told == *told && slot.open)?;
        slot.open = false;
        Some(slot.told.inviter)
    }

    /// Whether this source may ask once more; it is noted either way.
    fn note_asked(&mut self, now_ms: u64, from: AskedFrom) -> bool {
        if !self.asked.contains_key(&from) && self.asked.len() >= MAILBOX_SOURCES_MAX {
            let quiet = self.asked.iter().min_by_key(|(_, times)| times.back()).map(|(from, _)| *from);
            quiet.map(|from| self.asked.remove(&from));
        }
        let times = self.asked.entry(from).or_default();
        if times.len() >= MAILBOX_ASKED_PER_HOUR_MAX {
            return false;
        }
        times.push_back(now_ms);
        true
    }

    fn forget_old(&mut self, now_ms: u64) {
        self.slots.retain(|_, slot| slot.until_ms > now_ms);
        self.asked.retain(|_, times| {
            while times.front().is_some_and(|at| at.saturating_add(HOUR_MS) <= now_ms) {
                times.pop_front();
            }
            !times.is_empty()
        });
    }

    /// What looks like a nameplate: the public keys of secrets that nobody has are as random on the curve as halves are. The same within
    /// the time that a real one would lie here.
    fn decoy(&self, now_ms: u64, nameplate: Nameplate) -> Told {
        let public = |which: u8| {
            let mut h = blake3::Hasher::new_derive_key(DECOY);
            h.update(&self.secret).update(&nameplate.number().to_le_bytes());
            h.update(&(now_ms / MAILBOX_STAY_MS).to_le_bytes()).update(&[which]);
            SecretKey::from_seed(h.finalize().as_bytes()).public().0
        };
        Told { inviter: EndpointId(public(0)), half: Half(public(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: EndpointId = EndpointId([1; 32]);
    const BEN: EndpointId = EndpointId([2; 32]);
    const HALF: Half = Half([7; 32]);
    const MINUTE_MS: u64 = 60_000;

    fn plate(n: u16) -> Nameplate {
        Nameplate::new(n).unwrap()
    }

    fn from(n: u16) -> AskedFrom {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&n.to_le_bytes());
        AskedFrom(bytes)
    }

    fn mailbox() -> Mailbox {
        Mailbox::new([9; 32])
    }

    #[test]
    fn g4_a_nameplate_is_good_for_one_guess_and_looks_the_same_afterwards() {
        let mut mailbox = mailbox();
        assert!(mailbox.lay(0, ANA, plate(7), HALF, 10 * MINUTE_MS));
        let found = mailbox.ask(1, from(1), plate(7));
        assert_eq!(found, Found { told: Told { inviter: ANA, half: HALF }, lies_here: true });
        assert_eq!(mailbox.take(2, plate(7), &found.told), Some(ANA));
        assert_eq!(mailbox.take(3, plate(7), &found.told), None, "one guess");
        assert_eq!(mailbox.ask(4, from(2), plate(7)), found, "spent, and told alike");
        assert!(!mailbox.lay(5, ANA, plate(7), HALF, MINUTE_MS), "and not laid again");
        assert!(mailbox.lay(10 * MINUTE_MS, BEN, plate(7), HALF, MINUTE_MS), "until its time is over");
        let stale = found.told;
        assert_eq!(mailbox.take(10 * MINUTE_MS, plate(7), &stale), None, "who was told of the one before has no guess");
    }

    #[test]
    fn g4_a_nameplate_that_does_not_lie_here_is_told_like_one_that_does() {
        let mut mailbox = mailbox();
        mailbox.lay(0, ANA, plate(7), HALF, MINUTE_MS);
        let there = mailbox.ask(1, from(1), plate(7));
        let absent = mailbox.ask(1, from(1), plate(8));
        assert!(there.lies_here && !absent.lies_here);
        assert_eq!(mailbox.ask(2, from(2), plate(8)), absent, "it is the same for all who ask in that time");
        assert_ne!(mailbox.ask(2, from(2), plate(9)).told, absent.told);
        assert_ne!(Mailbox::new([8; 32]).ask(1, from(1), plate(8)).told, absent.told, "nobody else can tell it");
        assert_eq!(mailbox.take(3, plate(8), &absent.told), None);
        // Points of the curve, as halves and machines' keys are; what is none would be told from them.
        assert!(is_point(&absent.told.inviter.0) && is_point(&absent.told.half.0));
    }

    fn is_point(bytes: &[u8; 32]) -> bool {
        ed25519_dalek::VerifyingKey::from_bytes(bytes).is_ok_and(|key| !key.is_weak())
    }

    #[test]
    fn g4_five_an_hour_and_then_nothing_lies_here_for_that_source() {
        let mut mailbox = mailbox();
        mailbox.lay(0, ANA, plate(7), HALF, 15 * MINUTE_MS);
        for n in 0..MAILBOX_ASKED_PER_HOUR_MAX as u16 {
            mailbox.ask(u64::from(n), from(1), plate(100 + n));
        }
        let refused = mailbox.ask(10, from(1), plate(7));
        assert!(!refused.lies_here);
        assert_eq!(refused.told, mailbox.decoy(10, plate(7)), "as if it were absent");
        assert_eq!(mailbox.take(10, plate(7), &refused.told), None);
        assert!(mailbox.ask(10, from(2), plate(7)).lies_here, "others may");
        mailbox.lay(HOUR_MS + 1, ANA, plate(8), HALF, MINUTE_MS);
        assert!(
            mailbox.ask(HOUR_MS + 1, from(1), plate(8)).lies_here,
            "an hour later the first two of the five are forgotten"
        );
    }

    #[test]
    fn i3_nameplates_and_sources_are_bounded() {
        let mut mailbox = mailbox();
        for n in 1..=MAILBOX_SLOTS_PER_INVITER_MAX as u16 {
            assert!(mailbox.lay(0, ANA, plate(n), HALF, u64::MAX));
        }
        assert!(!mailbox.lay(0, ANA, plate(999), HALF, MINUTE_MS), "too many of one machine");
        for n in mailbox.slots.len() as u16 + 1..=MAILBOX_SLOTS_MAX as u16 {
            let mut machine = [0; 32];
            machine[..2].copy_from_slice(&n.to_le_bytes());
            assert!(mailbox.lay(0, EndpointId(machine), plate(n), HALF, MINUTE_MS));
        }
        assert!(!mailbox.lay(0, BEN, plate(999), HALF, MINUTE_MS), "too many in all");
        for n in 0..MAILBOX_SOURCES_MAX as u16 + 10 {
            mailbox.ask(u64::from(n), from(n), plate(1));
        }
        assert_eq!(mailbox.asked.len(), MAILBOX_SOURCES_MAX);
        assert!(!mailbox.asked.contains_key(&from(0)) && mailbox.asked.contains_key(&from(10)), "the quietest went");
        mailbox.forget_old(MAILBOX_STAY_MS);
        assert!(mailbox.slots.is_empty(), "for no longer than it may, whatever was asked");
    }

    #[test]
    fn a_nameplate_is_lifted_by_its_inviter_alone() {
        let mut mailbox = mailbox();
        mailbox.lay(0, ANA, plate(7), HALF, MINUTE_MS);
        assert!(!mailbox.lay(0, BEN, plate(7), HALF, MINUTE_MS), "taken");
        assert!(mailbox.lay(0, ANA, plate(7), HALF, MINUTE_MS), "again is no more than once");
        mailbox.lift(&BEN, plate(7));
        let found = mailbox.ask(1, from(1), plate(7));
        mailbox.lift(&ANA, plate(7));
        assert_eq!(mailbox.ask(1, from(2), plate(7)), found, "who asks sees no difference");
        assert_eq!(mailbox.take(1, plate(7), &found.told), None);
    }
}
