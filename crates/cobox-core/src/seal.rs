//! From content to sealed block and back (formats F1). Sealing is deterministic: who holds the epoch and the content can make
//! the very same block again, so nothing is uploaded twice and a block can be served from the working file.
//!
//! ```text
//! block = ver u8 | suite u8 | epoch [16] | nlinks varint | links [32]* | salt [32] | ct | tag [16]
//! plain = codec u8 | kind u8 | len u32le | payload | zeros up to the class size
//! ad    = "cobox/block/v1\0" | folder [32] | everything before the salt
//! d     = keyed_BLAKE3(K_dig, payload)
//! salt  = keyed_BLAKE3(K_siv, ad | codec | kind | len u32le | total u32le | d)
//! ct    = AES-256-GCM(keyed_BLAKE3(K_enc, salt), nonce 0, ad, plain)
//! ```
//!
//! A note is `salt | ct | tag` by the same rule, with its object's name in place of `block`, the caller's bytes in place of the
//! header, kind 0, and a total that is a multiple of 64: for the sealed fields of heads and ops.
//!
//! Invariant: what `open` returns is the only content its bytes can have. The salt is recomputed from the opened content and
//! compared before anything is returned; this is the key commitment that GCM alone does not give.

#[cfg(debug_assertions)]
mod remembered;

use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use cobox_proto::block::{BlockHeader, SALT_BYTES, TAG_BYTES};
use cobox_proto::codec::{DecodeError, Reader};
use cobox_proto::id::{Cid, EpochTag};
use cobox_proto::limits::{BLOCK_BYTES_MAX, BLOCK_LINKS_MAX, BLOCK_PAYLOAD_BYTES_MAX, NOTE_BYTES_MAX};

use crate::keys::{EpochKeys, FolderKeys};
use crate::padding;
use crate::state::Ref;

#[cfg(debug_assertions)]
pub use remembered::remember_sealed;

/// The payload is stored as it is.
pub const CODEC_RAW: u8 = 0;
/// Bytes before the payload inside the seal: codec, kind, length.
const FRAME_BYTES: usize = 6;
/// The kind byte of notes.
const KIND_NOTE: u8 = 0;

/// What a block holds. Only members see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockKind {
    /// A piece of a file; links nothing.
    Chunk = 1,
    /// A node of the state's tree.
    Node = 2,
    /// The root of a state.
    Root = 3,
    /// A node of a long file's list of chunks.
    Manifest = 4,
    /// The change from one state to the next.
    Delta = 5,
    /// A node of the context's tree.
    Ctx = 6,
    /// Epoch secrets in bulk.
    Bundle = 7,
}

impl BlockKind {
    fn from_byte(byte: u8) -> Result<Self, DecodeError> {
        Ok(match byte {
            1 => Self::Chunk,
            2 => Self::Node,
            3 => Self::Root,
            4 => Self::Manifest,
            5 => Self::Delta,
            6 => Self::Ctx,
            7 => Self::Bundle,
            other => return Err(DecodeError::BadValue { what: "block kind", found: other.into() }),
        })
    }
}

/// A block as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBlock {
    /// Its name.
    pub cid: Cid,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// An opened block, every check passed.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenBlock {
    /// What it holds.
    pub kind: BlockKind,
    /// The epoch it was sealed under.
    pub epoch: EpochTag,
    /// The blocks it names, by index.
    pub links: Vec<Cid>,
    /// The content.
    pub payload: Vec<u8>,
    /// [`crate::keys::ShapeKey::digest`] of the content.
    pub digest: [u8; 32],
}

impl std::fmt::Debug for OpenBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenBlock({:?}, {} bytes, {} links)", self.kind, self.payload.len(), self.links.len())
    }
}

/// Why something can not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// This device lacks the epoch's secret; another member can grant it.
    #[error("the keys of epoch {epoch} are not here yet; a device that has them must come online", epoch = .epoch.short())]
    UnknownEpoch {
        /// The epoch.
        epoch: EpochTag,
    },
    /// The bytes are no block, or what is inside is not in the one form it may have.
    #[error("the block is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// Wrong key, changed bytes, or sealed for another folder or place.
    #[error("the block was not sealed for this place by a member, or was changed on its way; fetch it elsewhere")]
    Forged,
    /// It opens, but another key or content would do as well: made on purpose to show two contents.
    #[error(
        "the block does not commit to its content; whoever made it meant to show different people different contents"
    )]
    Uncommitted,
    /// More content, links or padding than a block can have.
    #[error("{what}: {found} does not fit into one block")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: usize,
    },
    /// The links to seal are not strictly increasing, or a chunk has some.
    #[error("the links of a block must be sorted and distinct, and a chunk has none")]
    Links,
}

impl FolderKeys {
    /// Seals content into a block. `links` are strictly increasing.
    pub fn seal_block(
        &self,
        epoch: &EpochTag,
        kind: BlockKind,
        links: &[Cid],
        payload: &[u8],
    ) -> Result<SealedBlock, SealError> {
        self.seal_digested(epoch, kind, links, payload, self.shape().digest(payload))
    }

    /// [`Self::seal_block`] for a caller that knows the content's digest, as who looks for a known chunk first does: a block
    /// then costs one keyed hash, one encryption and one hash. With a wrong digest nobody can open the block.
    pub fn seal_digested(
        &self,
        epoch: &EpochTag,
        kind: BlockKind,
        links: &[Cid],
        payload: &[u8],
        digest: [u8; 32],
    ) -> Result<SealedBlock, SealError> {
        let Framed { keys, header, ad, frame } = self.framed(epoch, kind, links, payload, digest)?;
        let at = header.len();
        let bytes = seal(keys, &ad, frame, header, payload);
        Ok(SealedBlock { cid: name(&bytes, at), bytes })
    }

    /// The name of the block that [`Self::seal_digested`] makes, for a caller who throws the block away.
    pub(crate) fn sealed_name(
        &self,
        epoch: &EpochTag,
        kind: BlockKind,
        payload: &[u8],
        digest: [u8; 32],
    ) -> Result<Cid, SealError> {
        #[cfg(debug_assertions)]
        if remembered::is_asked_for() {
            let Framed { keys, ad, frame, .. } = self.framed(epoch, kind, &[], payload, digest)?;
            if let Some(cid) = remembered::name(frame.salt(keys, &ad, payload.len()).as_bytes()) {
                return Ok(cid);
            }
        }
        Ok(self.seal_digested(epoch, kind, &[], payload, digest)?.cid)
    }

    fn framed(
        &self,
        epoch: &EpochTag,
        kind: BlockKind,
        links: &[Cid],
        payload: &[u8],
        digest: [u8; 32],
    ) -> Result<Framed<'_>, SealError> {
        let keys = self.usable(epoch)?;
        if links.windows(2).any(|pair| pair[0] >= pair[1]) || (kind == BlockKind::Chunk && !links.is_empty()) {
            return Err(SealError::Links);
        }
        if links.len() > BLOCK_LINKS_MAX {
            return Err(SealError::TooLarge { what: "links", found: links.len() });
        }
        let too_large = SealError::TooLarge { what: "content", found: payload.len() };
        if payload.len() > BLOCK_PAYLOAD_BYTES_MAX {
            return Err(too_large);
        }
        let header = BlockHeader { epoch: *epoch, links: links.to_vec() }.to_bytes();
        let ad = self.associated("block", &header);
        let total = block_total(keys, kind, header.len(), payload.len()).ok_or(too_large)?;
        Ok(Framed { keys, header, ad, frame: Frame { kind: kind as u8, total, digest } })
    }

    /// Opens a block; that its bytes have the name they were asked for by is the caller's to check.
    pub fn open_block(&self, block: &[u8]) -> Result<OpenBlock, SealError> {
        let (header, at) = BlockHeader::parse(block)?;
        let keys = self.usable(&header.epoch)?;
        let ad = self.associated("block", &block[..at]);
        let opened = open(self, keys, &ad, &block[at..], block.len())?;
        let kind = BlockKind::from_byte(opened.kind)?;
        if block_total(keys, kind, at, opened.payload.len()) != Some(block.len()) {
            return Err(DecodeError::NotCanonical { what: "block size" }.into());
        }
        if kind == BlockKind::Chunk && !header.links.is_empty() {
            return Err(SealError::Links);
        }
        let BlockHeader { epoch, links } = header;
        Ok(OpenBlock { kind, epoch, links, payload: opened.payload, digest: opened.digest })
    }

    /// Opens the block of a chunk where it lies: nothing is copied. What it was sealed as is gone after that, whether it opens or not.
    /// Where in it the content lies, and its digest.
    pub fn open_chunk_in_place(&self, block: &mut [u8]) -> Result<(Range<usize>, [u8; 32]), SealError> {
        let (header, at) = BlockHeader::parse(block)?;
        if !header.links.is_empty() {
            return Err(SealError::Links);
        }
        let keys = self.usable(&header.epoch)?;
        let ad = self.associated("block", &block[..at]);
        let total = block.len();
        let salt: [u8; SALT_BYTES] = Reader::new(&block[at..]).fixed()?;
        let inside = at + SALT_BYTES;
        if total - inside < TAG_BYTES + FRAME_BYTES {
            return Err(DecodeError::Truncated { what: "sealed content" }.into());
        }
        let plain = aead(keys, &salt)
            .open_in_place(zero_nonce(), Aad::from(&ad), &mut block[inside..])
            .map_err(|_| SealError::Forged)?;
        let inner = Inner::of(self, keys, &ad, &salt, plain, total)?;
        if BlockKind::from_byte(inner.kind)? != BlockKind::Chunk {
            return Err(DecodeError::BadValue { what: "block kind", found: inner.kind.into() }.into());
        }
        if block_total(keys, BlockKind::Chunk, at, inner.len) != Some(total) {
            return Err(DecodeError::NotCanonical { what: "block size" }.into());
        }
        let from = inside + FRAME_BYTES;
        Ok((from..from + inner.len, inner.digest))
    }

    /// Seals the private field of a signed object. `object` names its kind, `ad` is what it must not be parted from.
    pub fn seal_note(&self, epoch: &EpochTag, object: &str, ad: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let keys = self.usable(epoch)?;
        let total = note_total(plain.len());
        if total > NOTE_BYTES_MAX {
            return Err(SealError::TooLarge { what: "note", found: plain.len() });
        }
        let frame = Frame { kind: KIND_NOTE, total, digest: self.shape().digest(plain) };
        Ok(seal(keys, &self.associated(object, ad), frame, Vec::new(), plain))
    }

    /// Opens what [`Self::seal_note`] sealed with the same object and `ad`.
    pub fn open_note(&self, epoch: &EpochTag, object: &str, ad: &[u8], note: &[u8]) -> Result<Vec<u8>, SealError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(SealError::TooLarge { what: "note", found: note.len() });
        }
        let keys = self.usable(epoch)?;
        let opened = open(self, keys, &self.associated(object, ad), note, note.len())?;
        if opened.kind != KIND_NOTE {
            return Err(DecodeError::BadValue { what: "note kind", found: opened.kind.into() }.into());
        }
        if note_total(opened.payload.len()) != note.len() {
            return Err(DecodeError::NotCanonical { what: "note size" }.into());
        }
        Ok(opened.payload)
    }

    fn usable(&self, epoch: &EpochTag) -> Result<&EpochKeys, SealError> {
        self.epoch(epoch).ok_or(SealError::UnknownEpoch { epoch: *epoch })
    }

    fn associated(&self, object: &str, before: &[u8]) -> Vec<u8> {
        let folder = self.folder();
        [b"cobox/", object.as_bytes(), b"/v1\0", &folder.0, before].concat()
    }
}

/// What a block is sealed with and beside.
struct Framed<'k> {
    keys: &'k EpochKeys,
    header: Vec<u8>,
    ad: Vec<u8>,
    frame: Frame,
}

/// What is sealed besides the payload.
#[derive(Clone, Copy)]
struct Frame {
    kind: u8,
    total: usize,
    digest: [u8; 32],
}

impl Frame {
    fn salt(&self, keys: &EpochKeys, ad: &[u8], len: usize) -> blake3::Hash {
        let mut h = blake3::Hasher::new_keyed(keys.siv());
        h.update(ad).update(&[keys.params().codec, self.kind]);
        h.update(&(len as u32).to_le_bytes()).update(&(self.total as u32).to_le_bytes()).update(&self.digest);
        h.finalize()
    }
}

#[derive(Clone)]
struct Opened {
    kind: u8,
    payload: Vec<u8>,
    digest: [u8; 32],
}

fn block_total(keys: &EpochKeys, kind: BlockKind, header: usize, payload: usize) -> Option<usize> {
    let len = header + SALT_BYTES + FRAME_BYTES + payload + TAG_BYTES;
    padding::block_len(keys.params().padding, kind == BlockKind::Chunk, len)
}

/// How long the sealed block of a chunk is; of one whose epoch is unknown, at most.
pub fn chunk_block_bytes(keys: &FolderKeys, chunk: &Ref) -> u64 {
    let header = BlockHeader::encoded_len(0);
    let total = |epoch| block_total(epoch, BlockKind::Chunk, header, chunk.len as usize);
    keys.epoch(&chunk.epoch).and_then(total).unwrap_or(BLOCK_BYTES_MAX) as u64
}

fn note_total(payload: usize) -> usize {
    padding::note_len(SALT_BYTES + FRAME_BYTES + payload + TAG_BYTES)
}

fn aead(keys: &EpochKeys, salt: &[u8; SALT_BYTES]) -> LessSafeKey {
    let key = keys.block_key(salt);
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("an AES-256 key has 32 bytes"))
}

fn zero_nonce() -> Nonce {
    // Sound because the key is a PRF of all that is sealed: see `keys::labels`.
    Nonce::assume_unique_for_key([0; 12])
}

/// Appends salt, ciphertext and tag to `before`; the payload is copied once and encrypted in place.
fn seal(keys: &EpochKeys, ad: &[u8], frame: Frame, before: Vec<u8>, payload: &[u8]) -> Vec<u8> {
    let salt = frame.salt(keys, ad, payload.len());
    #[cfg(debug_assertions)]
    if let Some(known) = remembered::sealed(salt.as_bytes()) {
        return known.bytes.clone();
    }
    #[cfg(debug_assertions)]
    let salt_at = before.len();
    let mut bytes = before;
    bytes.reserve_exact(frame.total - bytes.len());
    bytes.extend_from_slice(salt.as_bytes());
    let plain_at = bytes.len();
    bytes.extend_from_slice(&[keys.params().codec, frame.kind]);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(frame.total - TAG_BYTES, 0);
    let tag = aead(keys, salt.as_bytes())
        .seal_in_place_separate_tag(zero_nonce(), Aad::from(ad), &mut bytes[plain_at..])
        .expect("GCM takes 64 GiB, a block is a few MiB");
    bytes.extend_from_slice(tag.as_ref());
    #[cfg(debug_assertions)]
    if remembered::is_asked_for() {
        let opened = Opened { kind: frame.kind, payload: payload.to_vec(), digest: frame.digest };
        remembered::note(keys.id(), ad, &bytes, salt_at, opened);
    }
    bytes
}

/// The name of a block that was just sealed; its salt stands at `salt_at`.
#[cfg_attr(not(debug_assertions), allow(unused_variables))]
fn name(block: &[u8], salt_at: usize) -> Cid {
    #[cfg(debug_assertions)]
    if let Some(cid) = block[salt_at..].first_chunk().and_then(remembered::name) {
        return cid;
    }
    Cid::of(block)
}

/// Opens `salt | ct | tag`, all checks but the size class, which only the caller knows.
fn open(folder: &FolderKeys, keys: &EpochKeys, ad: &[u8], sealed: &[u8], total: usize) -> Result<Opened, SealError> {
    #[cfg(debug_assertions)]
    if let Some(known) = remembered::opened(&keys.id(), ad, sealed) {
        return Ok(known);
    }
    let mut r = Reader::new(sealed);
    let salt: [u8; SALT_BYTES] = r.fixed()?;
    let Some(inside) = r.left().checked_sub(TAG_BYTES + FRAME_BYTES) else {
        return Err(DecodeError::Truncated { what: "sealed content" }.into());
    };
    let ciphertext = r.take(inside + FRAME_BYTES, "sealed content")?;
    let mut plain = vec![0; ciphertext.len()];
    aead(keys, &salt)
        .open_separate_gather(zero_nonce(), Aad::from(ad), ciphertext, r.rest(), &mut plain)
        .map_err(|_| SealError::Forged)?;

    let Inner { kind, len, digest } = Inner::of(folder, keys, ad, &salt, &plain, total)?;
    plain.truncate(FRAME_BYTES + len);
    plain.drain(..FRAME_BYTES);
    Ok(Opened { kind, payload: plain, digest })
}

/// What an opened frame says, every check passed that does not need to know what it should be.
struct Inner {
    kind: u8,
    len: usize,
    digest: [u8; 32],
}

impl Inner {
    fn of(
        folder: &FolderKeys,
        keys: &EpochKeys,
        ad: &[u8],
        salt: &[u8; SALT_BYTES],
        plain: &[u8],
        total: usize,
    ) -> Result<Self, SealError> {
        let mut r = Reader::new(plain);
        let (codec, kind, len) = (r.u8()?, r.u8()?, r.u32()? as usize);
        if codec != keys.params().codec {
            return Err(DecodeError::UnknownVersion { what: "codec", found: codec.into() }.into());
        }
        if len > BLOCK_PAYLOAD_BYTES_MAX {
            let (found, limit) = (len as u64, BLOCK_PAYLOAD_BYTES_MAX as u64);
            return Err(DecodeError::TooLarge { what: "content", found, limit }.into());
        }
        let payload = r.take(len, "content")?;
        // All of them, without a way out at the first: that is many bytes at a time.
        if r.rest().iter().fold(0, |all, byte| all | byte) != 0 {
            return Err(DecodeError::NotCanonical { what: "padding" }.into());
        }
        let digest = folder.shape().digest(payload);
        // `blake3::Hash` compares in constant time.
        if (Frame { kind, total, digest }).salt(keys, ad, len) != *salt {
            return Err(SealError::Uncommitted);
        }
        Ok(Self { kind, len, digest })
    }
}

#[cfg(test)]
mod tests;
