//! Joins that wait for a person (case M6): who asks, the six words by which both sides tell that they mean the same keys, and letting
//! them in or refusing them.
//!
//! Who asks has no keys of the folder and could not seal a name under them. So the name is sealed under a key that grows from the code's
//! seed, and the invite holds that key for the members, in its own label. A seeder reads neither.
//!
//! ```text
//! words    six words of eleven bits each from derive_key("cobox v1 join words", folder | invite | member: Ed25519, X-Wing key id
//!          | device: the same), the bits taken from the first byte on, the highest first
//! name key derive_key("cobox v1 joiner's name", seed)[..16]; as an epoch secret: derive_key("cobox v1 secret of joiners' names", name key)
//! label    of an invite without keys: name key as 32 hex characters | space | the folder's name
//! ```

use cobox_proto::hosting::joins_waiting;
use cobox_proto::id::{EpochTag, FolderId, OpId, SigKey};
use cobox_proto::limits::LABEL_BYTES_MAX;
use cobox_proto::members::{Op, OpBody, Role};
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::duties::Seat;
use super::names::{Label, open_label};
use super::removals::{Change, RemovalError, cancel_invite, change};
use crate::keys::{EpochSecret, FolderKeys, Profile, ShapeKey, labels, phrase};

/// How many words are compared.
pub const JOIN_WORDS: usize = 6;
/// Each word of the list stands for so many bits.
const WORD_BITS: usize = 11;
const NAME_KEY_BYTES: usize = 16;
/// In a label: the key as hex and a space.
const NAME_KEY_CHARS: usize = 2 * NAME_KEY_BYTES + 1;

/// Somebody who asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingJoin {
    /// The `Join`.
    pub join: OpId,
    /// The key of the member they would become.
    pub member: SigKey,
    /// The invite they have the code of.
    pub invite: OpId,
    /// What they would be allowed.
    pub role: Role,
    /// Until when they can be let in, milliseconds since 1970.
    pub expires_ms: u64,
    /// To be compared with what stands on their screen.
    pub words: String,
    /// What they call themselves. Anybody can call themselves anything.
    pub name: Option<String>,
}

/// The six words of a join, the same for everybody who sees it; none for an op of another kind.
///
/// They stand for 66 bits of the joiner's keys: who intercepted the code can not make keys of its own with the same words.
pub fn join_words(folder: &FolderId, op: &Op) -> Option<String> {
    let OpBody::Join { invite, member, device } = &op.body else { return None };
    let mut h = blake3::Hasher::new_derive_key(labels::JOIN_WORDS);
    h.update(&folder.0).update(&invite.0);
    for keys in [member, device] {
        h.update(&keys.sig.0).update(&keys.hpke.id().0);
    }
    let digest = h.finalize();
    let bit = |at: usize| usize::from((digest.as_bytes()[at / 8] >> (7 - at % 8)) & 1);
    let word = |n: usize| (n * WORD_BITS..(n + 1) * WORD_BITS).fold(0, |number, at| (number << 1) | bit(at));
    let words: Vec<&str> = (0..JOIN_WORDS).map(|n| phrase::listed_word(word(n))).collect();
    Some(words.join(" "))
}

/// Whether somebody typed these words, however they wrote them.
pub fn same_words(words: &str, typed: &str) -> bool {
    let plain = |text: &str| {
        let lower = text.to_lowercase();
        lower.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    plain(words) == plain(typed)
}

/// Who waits to be let in, the first to ask first.
pub fn waiting_joins(seat: &Seat<'_>, now_ms: u64) -> Vec<WaitingJoin> {
    let described = |join: OpId| {
        let op = seat.log.get(&join)?.op();
        let OpBody::Join { invite, member, .. } = &op.body else { return None };
        let info = seat.roster.invite(invite)?;
        Some(WaitingJoin {
            join,
            member: member.sig,
            invite: *invite,
            role: info.role,
            expires_ms: info.expires_ms,
            words: join_words(&seat.log.folder(), op)?,
            name: seat.keys.and_then(|keys| joiner_name(keys, seat.log.get(invite)?.op(), op)),
        })
    };
    joins_waiting(seat.log, seat.roster, now_ms).into_iter().filter_map(described).collect()
}

/// Lets a waiting join take effect. Their keys follow unasked, as for everybody who lacks some.
///
/// Errors: nobody waits by this op; the rules do not let this device's member approve it.
pub fn approve_join(seat: &Seat<'_>, join: OpId, now_ms: u64, random: &[u8; 64]) -> Result<Change, RemovalError> {
    if !joins_waiting(seat.log, seat.roster, now_ms).contains(&join) {
        return Err(RemovalError::NoTarget);
    }
    change(seat, OpBody::Witness { join, at_ms: now_ms }, random)
}

/// Refuses a waiting join by closing its invite: whoever has the code could ask again with other keys. All who wait by it are refused.
///
/// Errors: nobody waits by this op; the rules do not let this device's member close the invite.
pub fn refuse_join(seat: &Seat<'_>, join: OpId, now_ms: u64, random: &[u8; 64]) -> Result<Change, RemovalError> {
    let waits = joins_waiting(seat.log, seat.roster, now_ms).contains(&join);
    let body = seat.log.get(&join).filter(|_| waits).map(|op| &op.op().body);
    let Some(OpBody::Join { invite, .. }) = body else { return Err(RemovalError::NoTarget) };
    cancel_invite(seat, *invite, now_ms, random)
}

/// What a joiner seals its name with who has no keys of the folder, and the tag to seal under.
pub(super) fn name_keys(folder: FolderId, seed: &[u8; 16]) -> (FolderKeys, EpochTag) {
    keys_of(folder, &name_key(seed))
}

/// The label of an invite without keys.
pub(super) fn waiting_label(seed: &[u8; 16], folder_name: &str) -> String {
    let mut fits = folder_name.len().min(LABEL_BYTES_MAX - NAME_KEY_CHARS);
    while !folder_name.is_char_boundary(fits) {
        fits -= 1;
    }
    format!("{} {}", HEXLOWER.encode(name_key(seed).as_slice()), &folder_name[..fits])
}

/// The folder's name in an invite, for whoever has the folder's keys.
pub fn invited_name(keys: &FolderKeys, invite: &Op) -> Option<String> {
    let label = open_label(keys, invite).ok().flatten()?;
    match &invite.body {
        OpBody::Invite { grant: false, .. } => Some(split(&label)?.1.to_owned()),
        OpBody::Invite { .. } => Some(label),
        _ => None,
    }
}

/// What somebody called themselves who joined by an invite without keys.
pub fn joiner_name(keys: &FolderKeys, invite: &Op, join: &Op) -> Option<String> {
    let OpBody::Invite { grant: false, .. } = &invite.body else { return None };
    let label = open_label(keys, invite).ok().flatten()?;
    let (name_keys, _) = keys_of(keys.folder(), &split(&label)?.0);
    open_label(&name_keys, join).ok().flatten()
}

/// The label of a join under [`name_keys`].
pub(super) fn name_label<'a>(keys: &'a (FolderKeys, EpochTag), name: &'a str) -> Label<'a> {
    Label { keys: &keys.0, epoch: keys.1, text: name }
}

fn split(label: &str) -> Option<(Zeroizing<[u8; NAME_KEY_BYTES]>, &str)> {
    let (hex, name) = label.split_once(' ')?;
    let bytes = Zeroizing::new(HEXLOWER.decode(hex.as_bytes()).ok()?);
    let mut key = Zeroizing::new([0; NAME_KEY_BYTES]);
    if bytes.len() != NAME_KEY_BYTES {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some((key, name))
}

fn name_key(seed: &[u8; 16]) -> Zeroizing<[u8; NAME_KEY_BYTES]> {
    let grown = Zeroizing::new(blake3::derive_key(labels::JOIN_NAME, seed));
    let mut key = Zeroizing::new([0; NAME_KEY_BYTES]);
    key.copy_from_slice(&grown[..NAME_KEY_BYTES]);
    key
}

/// An epoch of its own, of no folder's history: what seals notes seals this name.
fn keys_of(folder: FolderId, name_key: &[u8; NAME_KEY_BYTES]) -> (FolderKeys, EpochTag) {
    let secret = EpochSecret::from_bytes(blake3::derive_key(labels::JOIN_NAME_SECRET, name_key));
    let tag = secret.id().tag();
    let mut keys = FolderKeys::new(folder, ShapeKey::from_bytes([0; 32]), Profile::Cdc);
    keys.insert_epoch(secret, FolderKeys::params_for(Profile::Cdc, false))
        .expect("a first epoch with parameters of this program is always taken");
    (keys, tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_folder_name_is_cut_at_a_letter() {
        let seed = [7; 16];
        for name in ["ä".repeat(64), "a".repeat(128), "Choir".into(), "日".repeat(42)] {
            let label = waiting_label(&seed, &name);
            assert!(label.len() <= LABEL_BYTES_MAX && label.len() >= name.len().min(LABEL_BYTES_MAX - 3));
            let (key, cut) = split(&label).unwrap();
            assert_eq!(key, name_key(&seed));
            assert!(name.starts_with(cut) && !cut.is_empty());
        }
        for bad in ["", "no", "no key", &format!("{} x", "a".repeat(30)), &format!("{} x", "g".repeat(32))] {
            assert!(split(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn words_are_the_same_however_they_are_typed() {
        let words = "legal winner thank year wave sausage";
        for typed in
            ["Legal  winner, thank year\nWAVE sausage ", "1. legal 2. winner 3. thank 4. year 5. wave 6. sausage"]
        {
            assert!(same_words(words, typed), "{typed}");
        }
        for typed in [
            "",
            "legal winner thank year wave",
            "winner legal thank year wave sausage",
            "legalwinner thank year wave sausage",
        ] {
            assert!(!same_words(words, typed), "{typed}");
        }
    }
}
