//! From a file's bytes to sealed chunks and back. Writing streams: at most two chunks are in memory. The sealed bytes are
//! thrown away, because whoever holds the file can make them again (design 3.5); what stays is where each block's bytes lie.

use std::ops::Range;

use cobox_proto::id::{Cid, EpochTag};
use cobox_proto::limits::INLINE_BYTES_MAX;

use crate::chunk::{Chunker, Cutter};
use crate::keys::FolderKeys;
use crate::path::FolderPath;
use crate::seal::{BlockKind, SealError, SealedBlock};
use crate::state::{Body, Content, Manifest, Ref};
use crate::tree::TreeError;
use crate::tree::manifest::{Listed, Listing, Step, list};

/// Why a chunk is not what the state says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The block does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It opens to something else than a piece of this length.
    #[error("block {cid} is not the piece of {len} bytes that the folder lists", cid = .cid.short())]
    Other {
        /// The block.
        cid: Cid,
        /// The length listed.
        len: u32,
    },
}

/// A file's content, sealed.
#[derive(Debug)]
pub struct Written {
    /// For the record.
    pub content: Content,
    /// For the record.
    pub plain_digest: [u8; 32],
    /// Plain bytes.
    pub size: u64,
    /// Its chunks in file order; none when inline.
    pub chunks: Vec<Ref>,
    /// Blocks of its list of chunks, to be stored.
    pub blocks: Vec<SealedBlock>,
}

/// Takes a file's bytes as they are read. Made anew for each file.
#[derive(Debug)]
pub struct ContentWriter<'k> {
    keys: &'k FolderKeys,
    epoch: EpochTag,
    cutter: ContentCutter<'k>,
    chunks: Vec<ChunkNote>,
}

impl<'k> ContentWriter<'k> {
    /// For one file, sealed under `epoch`, which must be one of `keys`; `cutter` is the folder's.
    pub fn new(keys: &'k FolderKeys, cutter: &'k Cutter, epoch: EpochTag) -> Self {
        Self { keys, epoch, cutter: ContentCutter::new(cutter), chunks: Vec::new() }
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { keys, epoch, cutter, chunks } = self;
        cutter.push(bytes, &mut |chunk| chunks.push(note_chunk(keys, *epoch, chunk)));
    }

    /// The file has ended.
    pub fn finish(self) -> Written {
        let Self { keys, epoch, cutter, mut chunks } = self;
        let ending = cutter.finish(&mut |chunk| chunks.push(note_chunk(keys, epoch, chunk)));
        ending.written(keys, epoch, &chunks)
    }
}

/// The half of a [`ContentWriter`] that cuts, for a caller whose chunks are noted elsewhere meanwhile: a large file keeps two processors busy.
#[derive(Debug)]
pub struct ContentCutter<'k> {
    chunker: Chunker<'k>,
    /// The first bytes, until it is sure that they do not fit inline.
    head: Vec<u8>,
    size: u64,
}

impl<'k> ContentCutter<'k> {
    /// For one file; `cutter` is the folder's.
    pub fn new(cutter: &'k Cutter) -> Self {
        Self { chunker: Chunker::new(cutter), head: Vec::new(), size: 0 }
    }

    /// The next bytes; chunks that are whole by now are handed over.
    pub fn push(&mut self, bytes: &[u8], chunk: &mut dyn FnMut(&[u8])) {
        self.size += bytes.len() as u64;
        if self.size <= INLINE_BYTES_MAX as u64 {
            self.head.extend_from_slice(bytes);
            return;
        }
        let head = std::mem::take(&mut self.head);
        self.chunker.push(&head, &mut *chunk);
        self.chunker.push(bytes, chunk);
    }

    /// The file has ended; the rest is handed over.
    pub fn finish(self, chunk: &mut dyn FnMut(&[u8])) -> Ending {
        let Self { chunker, head, size } = self;
        if size > INLINE_BYTES_MAX as u64 {
            chunker.finish(chunk);
        }
        Ending { head, size }
    }
}

/// What is known of a file when all of it was cut.
#[derive(Debug)]
pub struct Ending {
    head: Vec<u8>,
    size: u64,
}

impl Ending {
    /// The content, of its chunks as [`note_chunk`] noted them, in file order.
    pub fn written(self, keys: &FolderKeys, epoch: EpochTag, chunks: &[ChunkNote]) -> Written {
        let Self { head, size } = self;
        if size <= INLINE_BYTES_MAX as u64 {
            let plain_digest = inline_digest(keys, &head);
            let content = Content::Inline(head.into_boxed_slice());
            return Written { content, plain_digest, size, chunks: Vec::new(), blocks: Vec::new() };
        }
        let plain_digest = keys.shape().file_digest(chunks.iter().map(|note| (note.listed.chunk.len, note.digest)));
        let listed: Vec<Listed> = chunks.iter().map(|note| note.listed).collect();
        let (content, blocks) = list(&listed, |_| 0, keys, epoch)
            .expect("the epoch is one of the keys, and a list of eight levels holds more chunks than a disk");
        Written { content, plain_digest, size, chunks: listed.iter().map(|listed| listed.chunk).collect(), blocks }
    }
}

/// What stays of a chunk that was sealed and thrown away.
#[derive(Debug, Clone, Copy)]
pub struct ChunkNote {
    listed: Listed,
    digest: [u8; 32],
}

/// Seals a chunk to learn its name.
pub fn note_chunk(keys: &FolderKeys, epoch: EpochTag, chunk: &[u8]) -> ChunkNote {
    let digest = keys.shape().digest(chunk);
    let cid = keys
        .sealed_name(&epoch, BlockKind::Chunk, chunk, digest)
        .expect("the epoch is one of the keys and a chunk is at most 2 MiB");
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest[..16]);
    ChunkNote { listed: Listed { chunk: Ref { cid, len: chunk.len() as u32, epoch }, mark }, digest }
}

/// `plain_digest` of content that stands in the record.
pub fn inline_digest(keys: &FolderKeys, bytes: &[u8]) -> [u8; 32] {
    let chunk = (!bytes.is_empty()).then(|| (bytes.len() as u32, keys.shape().digest(bytes)));
    keys.shape().file_digest(chunk)
}

/// A small file that lies on no disk: a vault's entry.
#[derive(Debug)]
pub struct SmallFile {
    /// For the record.
    pub body: Body,
    /// Its chunks, to be stored: they can not be made again from a file.
    pub blocks: Vec<SealedBlock>,
}

/// Seals a small file that lies on no disk.
pub fn seal_small(keys: &FolderKeys, epoch: EpochTag, bytes: &[u8], mtime_ns: i64) -> SmallFile {
    let cutter = Cutter::new(keys.shape(), keys.profile());
    let mut writer = ContentWriter::new(keys, &cutter, epoch);
    writer.push(bytes);
    let Written { content, plain_digest, size, chunks, mut blocks } = writer.finish();
    let mut at = 0;
    for chunk in &chunks {
        let piece = &bytes[at..at + chunk.len as usize];
        at += piece.len();
        blocks.extend(reseal(keys, chunk, piece));
    }
    SmallFile { body: Body { size, mtime_ns, executable: false, plain_digest, content }, blocks }
}

/// The body of a symbolic link.
pub fn symlink_body(keys: &FolderKeys, target: &str, mtime_ns: i64) -> Body {
    Body {
        size: target.len() as u64,
        mtime_ns,
        executable: false,
        plain_digest: inline_digest(keys, target.as_bytes()),
        content: Content::Inline(target.as_bytes().into()),
    }
}

/// Seals a piece of a file again; `None` if it does not give the block listed: the file has changed.
pub fn reseal(keys: &FolderKeys, piece: &Ref, plain: &[u8]) -> Option<SealedBlock> {
    reseal_digested(keys, piece, plain).map(|(sealed, _)| sealed)
}

/// [`reseal`], with the piece's digest, for [`is_what_was_said`].
pub fn reseal_digested(keys: &FolderKeys, piece: &Ref, plain: &[u8]) -> Option<(SealedBlock, [u8; 32])> {
    if plain.len() != piece.len as usize {
        return None;
    }
    let digest = keys.shape().digest(plain);
    let sealed = keys.seal_digested(&piece.epoch, BlockKind::Chunk, &[], plain, digest).ok()?;
    (sealed.cid == piece.cid).then_some((sealed, digest))
}

/// The plain bytes of a chunk.
pub fn open_chunk(keys: &FolderKeys, piece: &Ref, sealed: &[u8]) -> Result<Vec<u8>, ChunkError> {
    open_digested(keys, piece, sealed).map(|(plain, _)| plain)
}

/// [`open_chunk`], with the piece's digest, for [`is_what_was_said`].
pub fn open_digested(keys: &FolderKeys, piece: &Ref, sealed: &[u8]) -> Result<(Vec<u8>, [u8; 32]), ChunkError> {
    let block = keys.open_block(sealed)?;
    if block.kind != BlockKind::Chunk || block.payload.len() != piece.len as usize || !block.links.is_empty() {
        return Err(ChunkError::Other { cid: piece.cid, len: piece.len });
    }
    Ok((block.payload, block.digest))
}

/// A chunk that was opened where it lay.
#[derive(Debug)]
pub struct OpenedChunk {
    block: Vec<u8>,
    plain: Range<usize>,
    /// For [`is_what_was_said`].
    pub digest: [u8; 32],
}

impl OpenedChunk {
    /// Opens the block of a chunk without a copy.
    pub fn open(keys: &FolderKeys, mut block: Vec<u8>) -> Result<Self, ChunkError> {
        let (plain, digest) = keys.open_chunk_in_place(&mut block)?;
        Ok(Self { block, plain, digest })
    }

    /// Its plain bytes, as a piece lists them.
    pub fn as_piece(&self, piece: &Ref) -> Result<&[u8], ChunkError> {
        let plain = &self.block[self.plain.clone()];
        if plain.len() == piece.len as usize {
            Ok(plain)
        } else {
            Err(ChunkError::Other { cid: piece.cid, len: piece.len })
        }
    }
}

/// Whether pieces with these digests, in file order, are the content that `plain_digest` names. A member may write any digest
/// into a record; by that digest others tell whether they have the content already, so what is shown must have it (X10).
pub fn is_what_was_said(keys: &FolderKeys, body: &Body, pieces: &[Ref], digests: &[[u8; 32]]) -> bool {
    let said = pieces.iter().map(|piece| piece.len).zip(digests.iter().copied());
    pieces.len() == digests.len() && keys.shape().file_digest(said) == body.plain_digest
}

/// The name of the temporary file in which this content for this place is put together: found again after a stop, and never
/// shared by two places.
pub fn assembly_name(path: &FolderPath, plain_digest: &[u8; 32]) -> String {
    let mut h = blake3::Hasher::new();
    h.update(plain_digest).update(path.to_string().as_bytes());
    data_encoding::HEXLOWER.encode(&h.finalize().as_bytes()[..16])
}

/// Reads the list of chunks of a long file.
#[derive(Debug)]
pub struct ManifestReader {
    listing: Listing,
    refs: Vec<Ref>,
    state: Result<Option<Cid>, TreeError>,
}

impl ManifestReader {
    /// For a file of `size` bytes.
    pub fn new(manifest: &Manifest, size: u64) -> Self {
        let mut reader = Self { listing: Listing::new(manifest, size), refs: Vec::new(), state: Ok(None) };
        reader.advance();
        reader
    }

    /// The block needed next; `None` when the list is complete or broken.
    pub fn wanted(&self) -> Option<Cid> {
        self.state.as_ref().ok().copied().flatten()
    }

    /// Takes the block that was wanted.
    pub fn supply(&mut self, bytes: &[u8], keys: &FolderKeys) {
        match self.listing.supply(bytes, keys) {
            Ok(()) => self.advance(),
            Err(why) => self.state = Err(why),
        }
    }

    /// The chunks in file order.
    pub fn finish(self) -> Result<Vec<Ref>, TreeError> {
        self.state.map(|_| self.refs)
    }

    fn advance(&mut self) {
        loop {
            match self.listing.step() {
                Ok(Step::Chunk(listed)) => self.refs.push(listed.chunk),
                Ok(Step::Want(cid)) => return self.state = Ok(Some(cid)),
                Ok(Step::End) => return self.state = Ok(None),
                Err(why) => return self.state = Err(why),
            }
        }
    }
}
