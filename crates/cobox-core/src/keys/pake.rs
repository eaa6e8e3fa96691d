//! A key from a few words that two people said to each other: SPAKE2 (RFC 9382's exchange in the form and with the constants of
//! magic-wormhole, over Ed25519's curve, SHA-256). Who does not know the words can try one combination for each time that somebody goes
//! through it with them, and learns nothing to try others with afterwards.
//!
//! The library neither wipes its copy of the words nor its scalar: both are worth nothing once the exchange is over, which takes minutes.
//! The key itself is wiped.

use rand_core::{CryptoRng, RngCore};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use zeroize::Zeroizing;

use super::labels;

/// The side bytes that the library puts before a half.
const SIDE_A: u8 = 0x41;
const SIDE_B: u8 = 0x42;

/// Which side one is on. The two are not alike: nobody is answered with what they said themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PakeSide {
    /// Who invites, and speaks first.
    Inviter,
    /// Who joins.
    Joiner,
}

/// One side of an exchange under way.
pub(crate) struct Pake {
    spake: Spake2<Ed25519Group>,
    side: PakeSide,
}

impl Pake {
    /// Begins; the half is for the other side. `random` are 32 fresh random bytes.
    pub(crate) fn start(side: PakeSide, words: &str, random: &[u8; 32]) -> (Self, [u8; 32]) {
        let (password, random) = (Password::new(words.as_bytes()), Drawn::new(random));
        let (inviter, joiner) = (Identity::new(b"cobox inviter"), Identity::new(b"cobox joiner"));
        let (spake, message) = match side {
            PakeSide::Inviter => Spake2::start_a_with_rng(&password, &inviter, &joiner, random),
            PakeSide::Joiner => Spake2::start_b_with_rng(&password, &inviter, &joiner, random),
        };
        let half = message[1..].try_into().expect("a message is a side byte and a point of 32 bytes");
        (Self { spake, side }, half)
    }

    /// Ends: the key, which the other side has too if it knew the words. `None`: the other half is no point of the curve.
    pub(crate) fn finish(self, half: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let side = match self.side {
            PakeSide::Inviter => SIDE_B,
            PakeSide::Joiner => SIDE_A,
        };
        let key = Zeroizing::new(self.spake.finish(&[&[side], &half[..]].concat()).ok()?);
        let mut fixed = Zeroizing::new([0; 32]);
        fixed.copy_from_slice(&key);
        Some(fixed)
    }
}

/// The caller's random bytes, in the form in which the library takes them.
struct Drawn(blake3::OutputReader);

impl Drawn {
    fn new(random: &[u8; 32]) -> Self {
        Self(blake3::Hasher::new_derive_key(labels::SPOKEN_RANDOM).update(random).finalize_xof())
    }
}

impl RngCore for Drawn {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill(dest);
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill(dest);
        Ok(())
    }
}

impl CryptoRng for Drawn {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_give_the_same_key_and_others_another() {
        let meet = |ours: &str, theirs: &str| {
            let (inviter, a) = Pake::start(PakeSide::Inviter, ours, &[1; 32]);
            let (joiner, b) = Pake::start(PakeSide::Joiner, theirs, &[2; 32]);
            (inviter.finish(&b).unwrap(), joiner.finish(&a).unwrap())
        };
        let (ours, theirs) = meet("7 legal winner thank", "7 legal winner thank");
        assert_eq!(ours, theirs);
        let (ours, theirs) = meet("7 legal winner thank", "7 legal winner year");
        assert_ne!(ours, theirs);
    }

    #[test]
    fn what_is_said_does_not_tell_the_words_and_is_new_each_time() {
        let half = |words: &str, random: u8| Pake::start(PakeSide::Inviter, words, &[random; 32]).1;
        assert_ne!(half("7 legal winner thank", 1), half("7 legal winner thank", 2));
        assert_eq!(half("7 legal winner thank", 1), half("7 legal winner thank", 1), "randomness is handed in");
    }

    #[test]
    fn x13_nobody_is_let_in_by_their_own_words_sent_back() {
        let (inviter, half) = Pake::start(PakeSide::Inviter, "7 legal winner thank", &[1; 32]);
        let key = inviter.finish(&half).unwrap();
        let (joiner, own) = Pake::start(PakeSide::Joiner, "7 legal winner thank", &[2; 32]);
        assert_ne!(key, joiner.finish(&own).unwrap());
    }

    #[test]
    fn i3_what_is_no_point_is_refused() {
        let refused = (0..=u8::MAX).filter(|n| {
            let (inviter, _) = Pake::start(PakeSide::Inviter, "words", &[1; 32]);
            inviter.finish(&[*n; 32]).is_none()
        });
        assert!(refused.count() > 64, "about every second");
    }
}
