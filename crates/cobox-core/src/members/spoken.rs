//! An invite by a nameplate and three words, for two who are both there: the number finds the other, the words are the password of an
//! exchange (SPAKE2) from which a key grows that only these two have, and under it the ordinary invite code is sealed. The words are good
//! for one guess, so 33 bits suffice.
//!
//! ```text
//! password     = nameplate and words in lower case, single spaces between
//! key          = derive("cobox v1 spoken key", SPAKE2 key [32] | inviter's endpoint [32] | joiner's endpoint [32] | nameplate u16)
//! confirmation = derive("cobox v1 spoken confirmation", key)
//! sealed       = AES-256-GCM(derive("cobox v1 spoken invite", key), zero nonce, invite code)
//! ```
//!
//! What must hold: the joiner shows first that it knows the words, so that who does not know them gets no answer to try others on; each
//! side is used up by one exchange, whatever comes of it; both endpoints are in the key, so that nobody in between passes one off as another.
//! The folder is not: the joiner learns it from the code, and what would it compare it with? That the code is the inviter's follows from
//! the key, and the inviter's endpoint must be among the places it names.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use cobox_proto::codec::{Canonical, DecodeError};
use cobox_proto::hosting::Ticket;
use cobox_proto::id::{EndpointId, Hash};
use cobox_proto::wire::{Guess, Half, Nameplate, Told};
use zeroize::{Zeroize, Zeroizing};

use super::InviteCode;
use crate::keys::pake::{Pake, PakeSide};
use crate::keys::{labels, phrase};

/// How many words are said.
pub const SPOKEN_WORDS: usize = 3;
const TAG_BYTES: usize = 16;

/// Why what was said lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpokenError {
    /// Not a number and three words.
    #[error("there must be a number and {SPOKEN_WORDS} words, like 7-apple-river-moon")]
    Form,
    /// Some are not in the list. Positions count from 1; the words themselves never stand in an error.
    #[error("word {position} is not in the word list; check the spelling")]
    Unknown {
        /// Which is the first.
        position: usize,
    },
    /// The other side has other words, or what it sent was changed on its way.
    #[error("the words do not match")]
    Wrong,
    /// The words are right, and what was sealed is no invite of who said them.
    #[error("what was given is not an invite: {0}")]
    Unreadable(#[from] DecodeError),
    /// The words are right, and the invite does not name the machine that gave it.
    #[error("the invite is not of who gave it")]
    Foreign,
}

/// A nameplate and three words.
#[derive(Clone, PartialEq, Eq)]
pub struct SpokenCode {
    /// The number.
    pub nameplate: Nameplate,
    words: [u16; SPOKEN_WORDS],
}

impl Drop for SpokenCode {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

impl std::fmt::Debug for SpokenCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpokenCode({})", self.nameplate)
    }
}

impl SpokenCode {
    /// For a nameplate. `random` are 6 fresh random bytes.
    pub fn new(nameplate: Nameplate, random: &[u8; 2 * SPOKEN_WORDS]) -> Self {
        let words = std::array::from_fn(|n| u16::from_le_bytes([random[2 * n], random[2 * n + 1]]) % 2048);
        Self { nameplate, words }
    }

    /// Whether a pasted or typed text is meant to be one: it begins with a number.
    pub fn is_meant_by(typed: &str) -> bool {
        typed.trim_start().starts_with(|c: char| c.is_ascii_digit())
    }

    /// As people write it: `7-apple-river-moon`.
    pub fn to_text(&self) -> Zeroizing<String> {
        self.joined("-")
    }

    fn joined(&self, between: &str) -> Zeroizing<String> {
        // No word has more than 8 letters; with room for all, growing leaves no copies behind.
        let mut text = Zeroizing::new(String::with_capacity(4 + SPOKEN_WORDS * 9));
        text.push_str(&self.nameplate.to_string());
        for word in &self.words {
            text.push_str(between);
            text.push_str(phrase::listed_word(usize::from(*word)));
        }
        text
    }
}

impl std::str::FromStr for SpokenCode {
    type Err = SpokenError;
    /// Forgives case, and whatever stands between.
    fn from_str(typed: &str) -> Result<Self, SpokenError> {
        let lower = Zeroizing::new(typed.to_lowercase());
        let mut parts = lower.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
        let number = parts.next().and_then(|part| part.parse().ok());
        let nameplate = number.and_then(Nameplate::new).ok_or(SpokenError::Form)?;
        let typed: Vec<&str> = parts.take(SPOKEN_WORDS + 1).collect();
        let typed: [&str; SPOKEN_WORDS] = typed.try_into().map_err(|_| SpokenError::Form)?;
        let mut words = [0; SPOKEN_WORDS];
        for (at, word) in typed.iter().enumerate() {
            words[at] = phrase::listed_number(word).ok_or(SpokenError::Unknown { position: at + 1 })?;
        }
        Ok(Self { nameplate, words })
    }
}

/// What both sides have who said the same words.
struct Session(Zeroizing<[u8; 32]>);

impl Session {
    fn new(pake: &[u8; 32], inviter: &EndpointId, joiner: &EndpointId, nameplate: Nameplate) -> Self {
        let mut h = blake3::Hasher::new_derive_key(labels::SPOKEN_KEY);
        h.update(pake).update(&inviter.0).update(&joiner.0).update(&nameplate.number().to_le_bytes());
        Self(Zeroizing::new(*h.finalize().as_bytes()))
    }

    fn confirmation(&self) -> Hash {
        Hash(blake3::derive_key(labels::SPOKEN_CONFIRMATION, self.0.as_slice()))
    }

    /// One message is sealed under it, so that the nonce may be zero.
    fn aead(&self) -> LessSafeKey {
        let key = Zeroizing::new(blake3::derive_key(labels::SPOKEN_INVITE, self.0.as_slice()));
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("an AES-256 key has 32 bytes"))
    }
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// The inviter, waiting for somebody who says the words. There is one guess: [`Self::hear`] takes it.
pub struct SpokenInviter {
    pake: Pake,
    me: EndpointId,
    nameplate: Nameplate,
}

impl std::fmt::Debug for SpokenInviter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpokenInviter({})", self.nameplate)
    }
}

/// Somebody said the words.
pub struct Met(Session);

impl std::fmt::Debug for Met {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Met")
    }
}

impl SpokenInviter {
    /// Begins on the machine `me`; the half is to be laid under the nameplate. `random` are 32 fresh random bytes.
    pub fn start(code: &SpokenCode, me: EndpointId, random: &[u8; 32]) -> (Self, Half) {
        let (pake, half) = Pake::start(PakeSide::Inviter, &code.joined(" "), random);
        (Self { pake, me, nameplate: code.nameplate }, Half(half))
    }

    /// Somebody guesses, from the machine `joiner`.
    ///
    /// Errors: the words are not these.
    pub fn hear(self, joiner: &EndpointId, guess: &Guess) -> Result<Met, SpokenError> {
        let key = self.pake.finish(&guess.half.0).ok_or(SpokenError::Wrong)?;
        let session = Session::new(&key, &self.me, joiner, self.nameplate);
        // `blake3::Hash` compares in constant time.
        let confirmed =
            blake3::Hash::from_bytes(session.confirmation().0) == blake3::Hash::from_bytes(guess.confirmation.0);
        if confirmed { Ok(Met(session)) } else { Err(SpokenError::Wrong) }
    }
}

impl Met {
    /// The invite, for whoever said the words.
    pub fn seal(self, code: &InviteCode) -> Vec<u8> {
        let mut bytes = code.to_bytes();
        let sealed = self.0.aead().seal_in_place_append_tag(zero_nonce(), Aad::empty(), &mut bytes);
        sealed.expect("GCM takes 64 GiB, a code is a few KiB");
        bytes
    }
}

/// The joiner, who said the words and waits for the invite.
pub struct SpokenJoiner {
    session: Session,
    inviter: EndpointId,
}

impl std::fmt::Debug for SpokenJoiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SpokenJoiner")
    }
}

impl SpokenJoiner {
    /// Says the words on the machine `me` to whoever laid down what was told. `random` are 32 fresh random bytes.
    ///
    /// Errors: what was told is nobody's half.
    pub fn start(
        code: &SpokenCode,
        me: EndpointId,
        told: &Told,
        random: &[u8; 32],
    ) -> Result<(Self, Guess), SpokenError> {
        let (pake, half) = Pake::start(PakeSide::Joiner, &code.joined(" "), random);
        let key = pake.finish(&told.half.0).ok_or(SpokenError::Wrong)?;
        let session = Session::new(&key, &told.inviter, &me, code.nameplate);
        let guess = Guess { half: Half(half), confirmation: session.confirmation() };
        Ok((Self { session, inviter: told.inviter }, guess))
    }

    /// Opens what was given.
    ///
    /// Errors: see [`SpokenError`]; with other words nothing opens.
    pub fn open(self, sealed: &[u8]) -> Result<InviteCode, SpokenError> {
        if sealed.len() < TAG_BYTES {
            return Err(SpokenError::Wrong);
        }
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let plain = self.session.aead().open_in_place(zero_nonce(), Aad::empty(), &mut bytes);
        let code = InviteCode::from_bytes(plain.map_err(|_| SpokenError::Wrong)?)?;
        let places = code.tickets.iter().filter_map(|ticket| Ticket::from_bytes(ticket).ok());
        if !places.into_iter().any(|ticket| ticket.endpoint == self.inviter) {
            return Err(SpokenError::Foreign);
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(words: [u16; 3]) -> SpokenCode {
        SpokenCode { nameplate: Nameplate::new(7).unwrap(), words }
    }

    #[test]
    fn i7_a_spoken_code_is_read_however_it_is_written() {
        let said = code([0, 1024, 2047]);
        let text = said.to_text();
        assert_eq!(text.split('-').count(), 4, "{}", *text);
        for typed in
            [text.to_string(), text.to_uppercase(), text.replace('-', " "), format!("  {}\n", text.replace('-', ", "))]
        {
            assert_eq!(typed.parse::<SpokenCode>().unwrap(), said, "{typed}");
            assert!(SpokenCode::is_meant_by(&typed));
        }
        assert!(!SpokenCode::is_meant_by("cbi1abc") && !SpokenCode::is_meant_by("apple-river-moon"));
        assert_eq!(format!("{said:?}"), "SpokenCode(7)");
    }

    #[test]
    fn i6_what_is_no_spoken_code_is_refused_and_the_wrong_word_named_by_position() {
        let bad = |typed: &str| typed.parse::<SpokenCode>().unwrap_err();
        for typed in ["", "7", "7-apple", "7-apple-river", "apple-river-moon", "0-apple-river-moon", "1000-a-b-c"] {
            assert_eq!(bad(typed), SpokenError::Form, "{typed}");
        }
        let text = code([5, 6, 7]).to_text();
        assert_eq!(bad(&format!("{}-abandon", *text)), SpokenError::Form, "one too many");
        let misspelt = "7-abandon-rivver-abandon";
        assert_eq!(bad(misspelt), SpokenError::Unknown { position: 2 });
        assert!(!bad(misspelt).to_string().contains("rivver"));
        for cut in 1..text.len() {
            let cut = text[..cut].parse::<SpokenCode>();
            assert_ne!(cut.ok(), Some(code([5, 6, 7])));
        }
    }

    #[test]
    fn every_word_of_the_list_can_be_said() {
        for n in 0..2048u16 {
            let said = code([n, 2047 - n, n]);
            assert_eq!(said.to_text().parse::<SpokenCode>().unwrap(), said);
        }
        let drawn = SpokenCode::new(Nameplate::any(u32::MAX), &[0xff; 6]);
        assert_eq!(drawn.words, [2047; 3]);
    }
}
