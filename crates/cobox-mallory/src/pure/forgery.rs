//! Blocks that no honest program makes: with a salt of the author's choosing, or with anything inside. Written from the format, since the
//! product has no way to make them; a member has the secrets that it takes.

use anyhow::{Context, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use cobox_core::keys::FolderKeys;
use cobox_core::seal::{BlockKind, SealedBlock};
use cobox_proto::block::{BlockHeader, SALT_BYTES, TAG_BYTES};
use cobox_proto::id::{Cid, EpochTag};

/// Bytes of stored keys before the first epoch: version, folder, shape key, profile, count.
const BEFORE_EPOCHS: usize = 1 + 32 + 32 + 1 + 4;
/// Bytes of each: secret and parameters.
const EPOCH_BYTES: usize = 32 + 4;
/// Bytes of a block with little in it.
pub(crate) const SMALL: usize = 1024;

/// What is inside a block, before it is sealed, and what its salt says is inside.
#[derive(Clone)]
pub(crate) struct Inside {
    pub(crate) codec: u8,
    pub(crate) kind: u8,
    pub(crate) len: u32,
    pub(crate) payload: Vec<u8>,
    /// The bytes behind the payload end with this.
    pub(crate) last: u8,
    /// Bytes of the whole block.
    pub(crate) total: usize,
    pub(crate) links: Vec<Cid>,
}

impl Inside {
    pub(crate) fn of(kind: BlockKind, payload: &[u8]) -> Self {
        let payload = payload.to_vec();
        Self { codec: 0, kind: kind as u8, len: payload.len() as u32, payload, last: 0, total: SMALL, links: vec![] }
    }
}

/// The folder's secrets, as a member's device keeps them.
pub(crate) struct Forge<'k> {
    keys: &'k FolderKeys,
    epoch: EpochTag,
    siv: [u8; 32],
    enc: [u8; 32],
}

impl<'k> Forge<'k> {
    /// Under the first epoch.
    pub(crate) fn of(keys: &'k FolderKeys) -> Result<Self> {
        let epoch = keys.epochs().next().map(|(tag, _)| *tag).context("an epoch")?;
        Self::at(keys, epoch)
    }

    /// Under this epoch.
    pub(crate) fn at(keys: &'k FolderKeys, epoch: EpochTag) -> Result<Self> {
        let stored = keys.to_storage();
        let place = keys.epochs().position(|(tag, _)| *tag == epoch).context("the epoch is held")?;
        let at = BEFORE_EPOCHS + place * EPOCH_BYTES;
        let secret = stored.get(at..at + 32).context("an epoch's secret")?;
        let (siv, enc) = (blake3::derive_key("cobox v1 siv", secret), blake3::derive_key("cobox v1 enc", secret));
        Ok(Self { keys, epoch, siv, enc })
    }

    /// The salt that the format demands for this content.
    pub(crate) fn salt(&self, inside: &Inside) -> [u8; 32] {
        let mut h = blake3::Hasher::new_keyed(&self.siv);
        h.update(&self.associated(&self.header(inside))).update(&[inside.codec, inside.kind]);
        h.update(&inside.len.to_le_bytes()).update(&(inside.total as u32).to_le_bytes());
        h.update(&self.keys.shape().digest(&inside.payload));
        *h.finalize().as_bytes()
    }

    /// Sealed with this salt, whatever it is.
    pub(crate) fn seal(&self, inside: &Inside, salt: [u8; 32]) -> Result<SealedBlock> {
        let header = self.header(inside);
        let ad = self.associated(&header);
        let mut plain = vec![inside.codec, inside.kind];
        plain.extend_from_slice(&inside.len.to_le_bytes());
        plain.extend_from_slice(&inside.payload);
        plain.resize(inside.total.saturating_sub(header.len() + SALT_BYTES + TAG_BYTES), 0);
        *plain.last_mut().context("a block holds something")? |= inside.last;
        let key = *blake3::keyed_hash(&self.enc, &salt).as_bytes();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key)?);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::from(&ad), &mut plain)?;
        let bytes = [header, salt.to_vec(), plain].concat();
        Ok(SealedBlock { cid: Cid::of(&bytes), bytes })
    }

    /// As it should be, but for what is inside.
    pub(crate) fn honestly(&self, inside: &Inside) -> Result<SealedBlock> {
        self.seal(inside, self.salt(inside))
    }

    fn header(&self, inside: &Inside) -> Vec<u8> {
        BlockHeader { epoch: self.epoch, links: inside.links.clone() }.to_bytes()
    }

    fn associated(&self, header: &[u8]) -> Vec<u8> {
        [b"cobox/block/v1\0", &self.keys.folder().0[..], header].concat()
    }
}
