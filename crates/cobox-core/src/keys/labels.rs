//! Every `derive_key` context and every HPKE purpose of the member side, in one table. Each stands for one use; a label that
//! served two uses would tie two keys together. None of them may occur in a program that must not read folders:
//! [`MEMBER_ONLY`] is what to search such a program for.
//!
//! Nonce rule: blocks and notes use AES-256-GCM with the zero nonce, which is sound because the key is derived from a salt
//! that is itself a PRF of everything sealed (formats F1): one key never meets two messages. HPKE numbers its own.

/// K_dig from the shape key: chunk and file digests.
pub(crate) const DIGEST: &str = "cobox v1 digest";
/// The gear table of the chunk cutter from the shape key.
pub(crate) const GEAR: &str = "cobox v1 gear table";
/// What a genesis says of the shape key and the profile without showing them.
pub(crate) const SHAPE_ID: &str = "cobox v1 shape id";
/// An epoch's id from its secret; the key commitment of blocks rests on it.
pub(crate) const EPOCH_ID: &str = "cobox v1 epoch id";
/// K_siv from an epoch secret: the salts of blocks and notes.
pub(crate) const SIV: &str = "cobox v1 siv";
/// K_enc from an epoch secret: the keys of blocks and notes, per salt.
pub(crate) const ENC: &str = "cobox v1 enc";
/// A person's contact keys from the root secret.
pub(crate) const CONTACT: &str = "cobox v1 contact";
/// A member slot's keys from the root secret and the slot's number.
pub(crate) const MEMBER: &str = "cobox v1 member";
/// A device's keys in one folder from its random seed.
pub(crate) const DEVICE: &str = "cobox v1 device seed";
/// An invite's keys from the seed in its code.
pub(crate) const INVITE: &str = "cobox v1 invite seed";
/// The key of a device that is being linked from the seed in its code.
pub(crate) const LINK: &str = "cobox v1 link seed";
/// The randomness of one encapsulation from the caller's seed and what is sealed to whom.
pub(crate) const ENCAPSULATION: &str = "cobox v1 hpke randomness";
/// The key of joiners' names from the seed in an invite's code, and what is sealed with from that key.
pub(crate) const JOIN_NAME: &str = "cobox v1 joiner's name";
/// See [`JOIN_NAME`].
pub(crate) const JOIN_NAME_SECRET: &str = "cobox v1 secret of joiners' names";
/// Six words from the keys of a join; no secret.
pub(crate) const JOIN_WORDS: &str = "cobox v1 join words";
/// The key of two who said the same words, from their exchange and who they are.
pub(crate) const SPOKEN_KEY: &str = "cobox v1 spoken key";
/// What the joiner shows of that key.
pub(crate) const SPOKEN_CONFIRMATION: &str = "cobox v1 spoken confirmation";
/// What the invite is sealed under, from that key; one message each.
pub(crate) const SPOKEN_INVITE: &str = "cobox v1 spoken invite";
/// The randomness of one side of that exchange from the caller's.
pub(crate) const SPOKEN_RANDOM: &str = "cobox v1 spoken randomness";
/// HPKE purpose: an epoch's secret to a recipient of its bundle.
pub(crate) const BUNDLE_ENVELOPE: &str = "cobox v1 bundle envelope";
/// HPKE purpose: epochs handed to one recipient later.
pub(crate) const GRANT_ENVELOPE: &str = "cobox v1 grant envelope";
/// HPKE purpose: an invite code to a CoBox key.
pub(crate) const SEALED_INVITE: &str = "cobox v1 sealed invite";
/// HPKE purpose: a person's root secret to a device that is being linked.
pub(crate) const LINKED_ROOT: &str = "cobox v1 linked root";

/// All of the above: no blind program contains any of these texts.
pub const MEMBER_ONLY: [&str; 23] = [
    DIGEST,
    GEAR,
    SHAPE_ID,
    EPOCH_ID,
    SIV,
    ENC,
    CONTACT,
    MEMBER,
    DEVICE,
    INVITE,
    ENCAPSULATION,
    BUNDLE_ENVELOPE,
    GRANT_ENVELOPE,
    SEALED_INVITE,
    LINK,
    LINKED_ROOT,
    JOIN_NAME,
    JOIN_NAME_SECRET,
    JOIN_WORDS,
    SPOKEN_KEY,
    SPOKEN_CONFIRMATION,
    SPOKEN_INVITE,
    SPOKEN_RANDOM,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_is_the_beginning_of_another() {
        for (i, a) in MEMBER_ONLY.iter().enumerate() {
            for (j, b) in MEMBER_ONLY.iter().enumerate() {
                assert!(i == j || !b.starts_with(a), "{a} begins {b}");
            }
        }
    }
}
