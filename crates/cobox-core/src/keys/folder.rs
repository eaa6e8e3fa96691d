//! The keys of one folder: the shape key, which lives as long as the folder, and one secret for each epoch (design 5.3).
//!
//! Invariant: an epoch in [`FolderKeys`] is stored under the tag its own secret derives, and its parameters are ones this
//! program can seal and open.

use std::collections::BTreeMap;

use cobox_proto::block::{BLOCK_VERSION, SUITE_AES256GCM};
use cobox_proto::codec::{Canonical, DecodeError, Reader, Writer};
use cobox_proto::id::{EpochId, EpochTag, FolderId, Inode};
use cobox_proto::limits::FOLDER_EPOCHS_MAX;
use cobox_proto::members::EpochParams;
use zeroize::Zeroizing;

use super::labels;
use crate::path::Name;
use crate::seal::CODEC_RAW;
use crate::state::Kind;

const STORAGE_VERSION: u8 = 1;

/// How the folder's files are cut into chunks; chosen at its founding, for life (design 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// By content: an insertion changes few chunks, lengths say a little about the content.
    Cdc,
    /// All chunks of one size: lengths say nothing.
    Uniform,
}

impl Canonical for Profile {
    fn encode(&self, w: &mut Writer) {
        w.u8(match self {
            Self::Cdc => 0,
            Self::Uniform => 1,
        });
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match r.u8()? {
            0 => Ok(Self::Cdc),
            1 => Ok(Self::Uniform),
            other => Err(DecodeError::BadValue { what: "profile", found: other.into() }),
        }
    }
}

/// Why keys can not be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The epoch's blocks are made in a way this program does not know.
    #[error("epoch {epoch} needs a newer program ({what}); update cobox", epoch = .epoch.short())]
    Unsupported {
        /// The epoch.
        epoch: EpochTag,
        /// What is not known.
        what: &'static str,
    },
    /// Another epoch has the same 16-byte tag: the newcomer is void (formats F2).
    #[error("epoch {epoch} has the short name of another one and can not be used", epoch = .epoch.short())]
    TagTaken {
        /// The epoch.
        epoch: EpochTag,
    },
    /// More epochs than a device keeps.
    #[error("this folder has more than {FOLDER_EPOCHS_MAX} epochs; start a new folder")]
    TooMany,
    /// The stored keys can not be read.
    #[error("the folder's keys can not be read: {0}")]
    Malformed(#[from] DecodeError),
}

/// K_shape: where tree nodes and chunks are cut, what inodes and digests are. Every member has it, for the folder's life; it
/// opens nothing (rule R17 says what a removed member still learns from it).
#[derive(Clone)]
pub struct ShapeKey {
    key: Zeroizing<[u8; 32]>,
    /// K_dig, derived once.
    digest: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for ShapeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShapeKey")
    }
}

impl ShapeKey {
    /// From 32 random bytes, or as another member sent them.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        let digest = Zeroizing::new(blake3::derive_key(labels::DIGEST, &key));
        Self { key: Zeroizing::new(key), digest }
    }

    /// The bytes, to be sealed to another member or stored.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.key
    }

    /// What the genesis commits to: hides the key, tells who holds it that key and profile are the folder's.
    pub fn id(&self, profile: Profile) -> [u8; 32] {
        let mut h = blake3::Hasher::new_derive_key(labels::SHAPE_ID);
        h.update(self.key.as_slice()).update(&profile.to_bytes());
        *h.finalize().as_bytes()
    }

    /// `d` of formats F1: names content within the folder, whatever the epoch and padding.
    pub fn digest(&self, payload: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.digest, payload).as_bytes()
    }

    /// `plain_digest` of formats F3 over (length, [`Self::digest`]) of the chunks in file order. A file kept inline counts as
    /// one chunk, an empty file as none.
    pub fn file_digest(&self, chunks: impl IntoIterator<Item = (u32, [u8; 32])>) -> [u8; 32] {
        let mut h = blake3::Hasher::new_keyed(&self.digest);
        h.update(b"file");
        for (len, digest) in chunks {
            h.update(&len.to_le_bytes()).update(&digest);
        }
        *h.finalize().as_bytes()
    }

    /// [`Self::file_digest`] of a file kept inline.
    pub fn inline_digest(&self, bytes: &[u8]) -> [u8; 32] {
        let chunk = (!bytes.is_empty()).then(|| (bytes.len() as u32, self.digest(bytes)));
        self.file_digest(chunk)
    }

    /// The number whose size decides whether a tree node ends after `key` at `level` (formats F3). `domain` is `bound` for
    /// records and `mbound` for manifests.
    pub fn bound(&self, domain: &[u8], level: u8, key: &[u8]) -> u64 {
        let mut h = blake3::Hasher::new_keyed(&self.key);
        h.update(domain).update(&[level]).update(key);
        let mut first = [0; 8];
        first.copy_from_slice(&h.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }

    /// The identity of an item created as `name` in `parent`; `n` counts up while the identity is taken (design 2.3). Two
    /// devices that create the same path apart from each other get the same one.
    pub fn inode(&self, kind: Kind, parent: Inode, name: &Name, n: u32) -> Inode {
        let kind = match kind {
            Kind::Dir => 0,
            Kind::File => 1,
            Kind::Symlink => 2,
        };
        let mut h = blake3::Hasher::new_keyed(&self.key);
        h.update(b"inode").update(&[kind]).update(&parent.0).update(&n.to_le_bytes()).update(name.as_str().as_bytes());
        let mut inode = [0; 16];
        inode.copy_from_slice(&h.finalize().as_bytes()[..16]);
        Inode(inode)
    }

    /// 256 numbers for the rolling hash of the chunk cutter.
    pub(crate) fn gear(&self) -> Zeroizing<[u64; 256]> {
        let mut xof = blake3::Hasher::new_derive_key(labels::GEAR).update(self.key.as_slice()).finalize_xof();
        let mut table = Zeroizing::new([0; 256]);
        for entry in table.iter_mut() {
            let mut bytes = [0; 8];
            xof.fill(&mut bytes);
            *entry = u64::from_le_bytes(bytes);
        }
        table
    }
}

/// S_e: 32 random bytes that open everything sealed under one epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct EpochSecret(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EpochSecret")
    }
}

impl EpochSecret {
    /// From 32 random bytes, or as another member sent them.
    pub fn from_bytes(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }
    /// The epoch's name, which commits to the secret.
    pub fn id(&self) -> EpochId {
        EpochId(blake3::derive_key(labels::EPOCH_ID, self.0.as_slice()))
    }
    /// The bytes, to be sealed to another member or stored.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// One epoch ready for use.
#[derive(Clone)]
pub struct EpochKeys {
    id: EpochId,
    params: EpochParams,
    secret: EpochSecret,
    siv: Zeroizing<[u8; 32]>,
    enc: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EpochKeys({})", self.id.short())
    }
}

impl EpochKeys {
    fn new(secret: EpochSecret, params: EpochParams) -> Result<Self, KeysError> {
        let id = secret.id();
        let unsupported = |what| Err(KeysError::Unsupported { epoch: id.tag(), what });
        if params.block_ver != BLOCK_VERSION {
            return unsupported("block version");
        }
        if params.suite != SUITE_AES256GCM {
            return unsupported("suite");
        }
        if params.codec != CODEC_RAW {
            return unsupported("codec");
        }
        let siv = Zeroizing::new(blake3::derive_key(labels::SIV, secret.expose()));
        let enc = Zeroizing::new(blake3::derive_key(labels::ENC, secret.expose()));
        Ok(Self { id, params, secret, siv, enc })
    }
    /// Its full id.
    pub fn id(&self) -> EpochId {
        self.id
    }
    /// How its blocks are made.
    pub fn params(&self) -> EpochParams {
        self.params
    }
    /// To be handed to another member.
    pub(crate) fn secret(&self) -> &EpochSecret {
        &self.secret
    }
    /// K_siv.
    pub(crate) fn siv(&self) -> &[u8; 32] {
        &self.siv
    }
    /// The AEAD key for a salt.
    pub(crate) fn block_key(&self, salt: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*blake3::keyed_hash(&self.enc, salt).as_bytes())
    }
}

/// All keys of one folder that a device holds.
#[derive(Debug, Clone)]
pub struct FolderKeys {
    folder: FolderId,
    shape: ShapeKey,
    profile: Profile,
    epochs: BTreeMap<EpochTag, EpochKeys>,
}

impl FolderKeys {
    /// No epoch yet.
    pub fn new(folder: FolderId, shape: ShapeKey, profile: Profile) -> Self {
        Self { folder, shape, profile, epochs: BTreeMap::new() }
    }
    /// The folder.
    pub fn folder(&self) -> FolderId {
        self.folder
    }
    /// The shape key.
    pub fn shape(&self) -> &ShapeKey {
        &self.shape
    }
    /// How files are cut.
    pub fn profile(&self) -> Profile {
        self.profile
    }
    /// One epoch.
    pub fn epoch(&self, tag: &EpochTag) -> Option<&EpochKeys> {
        self.epochs.get(tag)
    }
    /// Whether blocks of the epoch can be opened.
    pub fn has_epoch(&self, tag: &EpochTag) -> bool {
        self.epochs.contains_key(tag)
    }
    /// All epochs, by tag.
    pub fn epochs(&self) -> impl Iterator<Item = (&EpochTag, &EpochKeys)> {
        self.epochs.iter()
    }

    /// How blocks of a new epoch are made in a folder of this profile. `high` pads to fewer classes, for folders whose sizes
    /// should say less.
    pub fn params_for(profile: Profile, high: bool) -> EpochParams {
        use cobox_proto::members::Padding;
        let padding = match (profile, high) {
            (Profile::Uniform, _) => Padding::Uniform,
            (Profile::Cdc, true) => Padding::Step4,
            (Profile::Cdc, false) => Padding::Padme,
        };
        EpochParams { block_ver: BLOCK_VERSION, suite: SUITE_AES256GCM, codec: CODEC_RAW, padding }
    }

    /// Takes an epoch in. The parameters are the membership log's to say: for a known epoch the new ones hold.
    ///
    /// Errors: parameters this program does not know; a tag that another epoch has; too many epochs.
    pub fn insert_epoch(&mut self, secret: EpochSecret, params: EpochParams) -> Result<EpochTag, KeysError> {
        let keys = EpochKeys::new(secret, params)?;
        let tag = keys.id.tag();
        if self.epochs.get(&tag).is_some_and(|known| known.id != keys.id) {
            return Err(KeysError::TagTaken { epoch: tag });
        }
        if self.epochs.len() >= FOLDER_EPOCHS_MAX && !self.epochs.contains_key(&tag) {
            return Err(KeysError::TooMany);
        }
        self.epochs.insert(tag, keys);
        Ok(tag)
    }

    /// All of it as bytes, secret: for the keystore and the vault only.
    pub fn to_storage(&self) -> Zeroizing<Vec<u8>> {
        // Sized in full beforehand: a vector that grows leaves unwiped copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + 32 + 32 + 1 + 4 + self.epochs.len() * 36));
        bytes.push(STORAGE_VERSION);
        bytes.extend_from_slice(&self.folder.0);
        bytes.extend_from_slice(self.shape.expose());
        bytes.extend_from_slice(&self.profile.to_bytes());
        bytes.extend_from_slice(&(self.epochs.len() as u32).to_le_bytes());
        for keys in self.epochs.values() {
            bytes.extend_from_slice(keys.secret.expose());
            bytes.extend_from_slice(&keys.params.to_bytes());
        }
        bytes
    }

    /// What [`Self::to_storage`] wrote.
    ///
    /// Errors: anything else.
    pub fn from_storage(bytes: &[u8]) -> Result<Self, KeysError> {
        let mut r = Reader::new(bytes);
        let version = r.u8()?;
        if version != STORAGE_VERSION {
            return Err(DecodeError::UnknownVersion { what: "folder keys", found: version.into() }.into());
        }
        let mut keys = Self::new(r.get()?, ShapeKey::from_bytes(r.fixed()?), r.get()?);
        let count = r.u32()?;
        if count as usize > FOLDER_EPOCHS_MAX {
            let (found, limit) = (count.into(), FOLDER_EPOCHS_MAX as u64);
            return Err(DecodeError::TooLarge { what: "folder epochs", found, limit }.into());
        }
        let mut last = None;
        for _ in 0..count {
            let tag = keys.insert_epoch(EpochSecret::from_bytes(r.fixed()?), r.get()?)?;
            if last.replace(tag).is_some_and(|last| last >= tag) {
                return Err(DecodeError::NotCanonical { what: "folder epochs" }.into());
            }
        }
        r.finish()?;
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cobox_proto::members::Padding;

    fn keys() -> FolderKeys {
        let mut keys = FolderKeys::new(FolderId([1; 32]), ShapeKey::from_bytes([2; 32]), Profile::Cdc);
        for secret in 3..6 {
            let params = FolderKeys::params_for(Profile::Cdc, secret % 2 == 0);
            keys.insert_epoch(EpochSecret::from_bytes([secret; 32]), params).unwrap();
        }
        keys
    }

    #[test]
    fn stored_keys_come_back_and_every_cut_is_refused() {
        let stored = keys().to_storage();
        let back = FolderKeys::from_storage(&stored).unwrap();
        assert_eq!(*back.to_storage(), *stored);
        assert_eq!(back.epochs().map(|(_, k)| k.params.padding).filter(|p| *p == Padding::Step4).count(), 1);
        for cut in 0..stored.len() {
            assert!(FolderKeys::from_storage(&stored[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = stored.to_vec();
        longer.push(0);
        assert!(FolderKeys::from_storage(&longer).is_err());
        let (head, epochs) = stored.split_at(70);
        let swapped = [head, &epochs[36..72], &epochs[..36], &epochs[72..]].concat();
        let error = DecodeError::NotCanonical { what: "folder epochs" };
        assert_eq!(FolderKeys::from_storage(&swapped).map(|_| ()), Err(KeysError::Malformed(error)));
    }

    #[test]
    fn i3_a_claimed_number_of_epochs_is_checked_first() {
        let mut stored = keys().to_storage().to_vec();
        stored[66..70].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(
            FolderKeys::from_storage(&stored),
            Err(KeysError::Malformed(DecodeError::TooLarge { what: "folder epochs", .. }))
        ));
    }

    #[test]
    fn an_epoch_is_known_by_its_own_secret_and_made_as_the_log_says() {
        let mut keys = keys();
        let secret = EpochSecret::from_bytes([3; 32]);
        let tag = secret.id().tag();
        let params = FolderKeys::params_for(Profile::Uniform, false);
        assert_eq!(keys.insert_epoch(secret, params), Ok(tag));
        assert_eq!((keys.epochs().count(), keys.epoch(&tag).unwrap().params()), (3, params));
        for newer in [
            EpochParams { codec: 1, ..params },
            EpochParams { suite: 2, ..params },
            EpochParams { block_ver: 2, ..params },
        ] {
            let unknown = keys.insert_epoch(EpochSecret::from_bytes([9; 32]), newer);
            assert!(matches!(unknown, Err(KeysError::Unsupported { .. })));
        }
    }

    #[test]
    fn secrets_print_as_nothing() {
        let printed = format!("{:?} {:?}", keys(), EpochSecret::from_bytes([3; 32]));
        for secret in ["0202", "0303", "2, 2", "3, 3"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }

    #[test]
    fn shape_derivations_do_not_meet() {
        let shape = ShapeKey::from_bytes([2; 32]);
        assert_ne!(shape.id(Profile::Cdc), shape.id(Profile::Uniform));
        assert_ne!(shape.digest(b"x"), shape.file_digest([]));
        assert_eq!(shape.inline_digest(b"x"), shape.file_digest([(1, shape.digest(b"x"))]));
        assert_eq!(shape.inline_digest(b""), shape.file_digest([]));
        assert_ne!(shape.bound(b"bound", 0, b"k"), shape.bound(b"bound", 1, b"k"));
        assert_ne!(shape.bound(b"bound", 0, b"k"), shape.bound(b"mbound", 0, b"k"));
        let name = Name::new("a").unwrap();
        let inode = |kind, n| shape.inode(kind, Inode::ZERO, &name, n);
        assert_ne!(inode(Kind::File, 0), inode(Kind::Dir, 0));
        assert_ne!(inode(Kind::File, 0), inode(Kind::File, 1));
    }
}
