//! What is said where an inviter and a joiner meet by a nameplate and three words: the number by which they find each other, and each
//! side's half of a password-authenticated key exchange. Blind: the words, and the key that grows from the two halves, are known to the two
//! alone (`cobox-core`); whoever passes this on learns neither.

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::id::{EndpointId, Hash};
use crate::limits::NAMEPLATE_MAX;

/// A number under which an invite is laid down: 1 to [`NAMEPLATE_MAX`]. No secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nameplate(u16);

impl Nameplate {
    /// This number; `None` if there is no such nameplate.
    pub fn new(number: u16) -> Option<Self> {
        (1..=NAMEPLATE_MAX).contains(&number).then_some(Self(number))
    }

    /// Any of them. `random` is 32 random bits; each number is as likely as the next, but for one in four million.
    pub fn any(random: u32) -> Self {
        Self(1 + (random % u32::from(NAMEPLATE_MAX)) as u16)
    }

    /// The number.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl std::fmt::Display for Nameplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Canonical for Nameplate {
    fn encode(&self, w: &mut Writer) {
        w.u16(self.0);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = r.u16()?;
        Self::new(number).ok_or(DecodeError::BadValue { what: "nameplate", found: number.into() })
    }
}

/// One side's half of the exchange: a point of Ed25519's curve, compressed. Whose it is follows from the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Half(pub [u8; 32]);

impl Canonical for Half {
    fn encode(&self, w: &mut Writer) {
        w.fixed(&self.0);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(r.fixed()?))
    }
}

/// What is told of a nameplate to whoever asks for it. Of one that does not lie there something is told that looks the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The inviter's machine.
    pub inviter: EndpointId,
    /// Its half.
    pub half: Half,
}

impl Canonical for Told {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.inviter).put(&self.half);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { inviter: r.get()?, half: r.get()? })
    }
}

/// What the joiner answers: its half, and that it has the same key as the inviter is about to have. There is one for each nameplate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess {
    /// Its half.
    pub half: Half,
    /// Shows that it knows the key, and so the words.
    pub confirmation: Hash,
}

impl Canonical for Guess {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.half).put(&self.confirmation);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { half: r.get()?, confirmation: r.get()? })
    }
}
