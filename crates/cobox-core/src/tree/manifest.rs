//! The chunks of a file, in file order (formats F3): up to 64 stand in its record, more in a prolly tree of their own, so
//! that a change at the end of a huge file rewrites the tail of the list only.
//!
//! ```text
//! leaf  = level u8 (0) | epoch table | (link varint | len varint | epoch index varint | d [16])*, to the end
//! inner = level u8 | (link varint | byte total varint | ref total varint | d [16] of its last chunk)*, to the end
//! ```
//! Cuts hang on `d`, the chunk's plain digest, so equal content is listed alike whenever it was sealed. The nodes are
//! sealed with the tree: under a new epoch read the list with [`Listing`] and [`list`] it again.

use std::collections::{BTreeSet, VecDeque};

use cobox_proto::codec::{DecodeError, Reader, Writer};
use cobox_proto::id::{Cid, EpochTag};
use cobox_proto::limits::{BLOCK_LINKS_MAX, BLOCK_PAYLOAD_BYTES_MAX, RECORD_REFS_MAX, TREE_DEPTH_MAX};

use super::bounds::take_node;
use super::node::Payload;
use super::press::Press;
use super::record::{get_index, varint_len};
use super::{TreeError, TreeKeys};
use crate::seal::{BlockKind, OpenBlock, SealedBlock};
use crate::state::{Content, Manifest, Ref};

/// Domain of the boundary hash of lists.
const BOUND: &[u8] = b"mbound";
const WHAT: &str = "list of chunks";

/// Enough of a chunk's plain digest to cut by.
pub type Mark = [u8; 16];

/// One chunk of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Where it lies.
    pub chunk: Ref,
    /// The first bytes of its plain digest `d` (formats F1).
    pub mark: Mark,
}

/// A child of an inner node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    cid: Cid,
    bytes: u64,
    refs: u64,
    mark: Mark,
}

#[derive(Debug, PartialEq, Eq)]
enum Node {
    Leaf(Vec<Listed>),
    Inner(u8, Vec<Part>),
}

/// The content that these chunks make up and, for a long list, the blocks of its nodes. `depth` tells how old an epoch is:
/// its distance from the folder's first one.
pub fn list(
    chunks: &[Listed],
    depth: impl Fn(&EpochTag) -> u64,
    keys: &impl TreeKeys,
    epoch: EpochTag,
) -> Result<(Content, Vec<SealedBlock>), TreeError> {
    let oldest = chunks.iter().map(|listed| listed.chunk.epoch).min_by_key(|epoch| (depth(epoch), *epoch));
    let Some(oldest_epoch) = oldest else { return Ok((Content::Inline(Box::default()), Vec::new())) };
    if chunks.len() <= RECORD_REFS_MAX {
        return Ok((Content::Refs(chunks.iter().map(|listed| listed.chunk).collect()), Vec::new()));
    }
    let mut blocks = Vec::new();
    let mut seen = BTreeSet::new();
    let mut emit = |block: SealedBlock| {
        if seen.insert(block.cid) {
            blocks.push(block);
        }
    };
    let mut press = Press { keys, epoch, emit: &mut emit };
    let mut parts = Vec::new();
    let mut rows = chunks.iter().map(|listed| (*listed, listed_weight(listed))).peekable();
    while rows.peek().is_some() {
        let (node, _) = take_node(&mut rows, |listed| keys.bound(BOUND, 0, &listed.mark));
        parts.push(seal(Node::Leaf(node), &mut press)?);
    }
    let mut level = 0;
    while parts.len() > 1 {
        level += 1;
        if level as usize >= TREE_DEPTH_MAX {
            return Err(TreeError::TooLarge);
        }
        let mut rows = parts.into_iter().map(|part| (part, PART_WEIGHT)).peekable();
        parts = Vec::new();
        while rows.peek().is_some() {
            let (node, _) = take_node(&mut rows, |part| keys.bound(BOUND, level, &part.mark));
            parts.push(seal(Node::Inner(level, node), &mut press)?);
        }
    }
    let mut digest = blake3::Hasher::new();
    for listed in chunks {
        digest.update(&listed.chunk.cid.0);
    }
    let refs_digest = *digest.finalize().as_bytes();
    let manifest = Manifest { cid: parts[0].cid, refs: chunks.len() as u64, oldest_epoch, refs_digest };
    Ok((Content::Manifest(Box::new(manifest)), blocks))
}

const PART_WEIGHT: u32 = (Cid::LEN + 2 * size_of::<u64>() + size_of::<Mark>()) as u32;

fn listed_weight(listed: &Listed) -> u32 {
    (Cid::LEN + varint_len(listed.chunk.len.into()) + EpochTag::LEN + size_of::<Mark>()) as u32
}

fn seal<K: TreeKeys>(node: Node, press: &mut Press<'_, K>) -> Result<Part, TreeError> {
    let (cid, _) = press.seal(BlockKind::Manifest, &node.encode())?;
    let (bytes, refs, mark) = node.totals();
    Ok(Part { cid, bytes, refs, mark })
}

impl Node {
    fn totals(&self) -> (u64, u64, Mark) {
        let sum = |totals: &mut dyn Iterator<Item = u64>| totals.fold(0, u64::saturating_add);
        match self {
            Self::Leaf(rows) => {
                let bytes = sum(&mut rows.iter().map(|row| row.chunk.len.into()));
                (bytes, rows.len() as u64, rows.last().map_or([0; 16], |row| row.mark))
            }
            Self::Inner(_, rows) => {
                let bytes = sum(&mut rows.iter().map(|row| row.bytes));
                let refs = sum(&mut rows.iter().map(|row| row.refs));
                (bytes, refs, rows.last().map_or([0; 16], |row| row.mark))
            }
        }
    }

    fn encode(&self) -> Payload {
        let links: BTreeSet<Cid> = match self {
            Self::Leaf(rows) => rows.iter().map(|row| row.chunk.cid).collect(),
            Self::Inner(_, rows) => rows.iter().map(|row| row.cid).collect(),
        };
        let links: Vec<Cid> = links.into_iter().collect();
        let index = |cid: &Cid| links.binary_search(cid).expect("the links were gathered from the same rows") as u64;
        let mut w = Writer::new();
        match self {
            Self::Leaf(rows) => {
                let epochs: BTreeSet<EpochTag> = rows.iter().map(|row| row.chunk.epoch).collect();
                let epochs: Vec<EpochTag> = epochs.into_iter().collect();
                w.u8(0).list(&epochs);
                for Listed { chunk, mark } in rows {
                    let epoch = epochs.binary_search(&chunk.epoch).expect("the table was gathered from the same rows");
                    w.varint(index(&chunk.cid)).varint(chunk.len.into()).varint(epoch as u64).fixed(mark);
                }
            }
            Self::Inner(level, rows) => {
                w.u8(*level);
                for part in rows {
                    w.varint(index(&part.cid)).varint(part.bytes).varint(part.refs).fixed(&part.mark);
                }
            }
        }
        Payload { bytes: w.into_bytes(), links }
    }

    fn decode(block: OpenBlock) -> Result<Self, TreeError> {
        let node = Self::read(&block).map_err(TreeError::malformed(WHAT))?;
        let empty = match &node {
            Self::Leaf(rows) => rows.is_empty() || rows.iter().any(|row| row.chunk.len == 0),
            Self::Inner(_, rows) => rows.is_empty(),
        };
        if empty {
            // Nothing in a list is free, or a few blocks could make a walk without end.
            return Err(TreeError::Broken { what: WHAT, rule: "a part of it is empty" });
        }
        if node.encode() != (Payload { bytes: block.payload, links: block.links }) {
            return Err(TreeError::Broken { what: WHAT, rule: "it is not in canonical form" });
        }
        Ok(node)
    }

    fn read(block: &OpenBlock) -> Result<Self, DecodeError> {
        let mut r = Reader::new(&block.payload);
        match r.u8()? {
            0 => {
                let epochs: Vec<EpochTag> = r.sorted_list(BLOCK_LINKS_MAX, "epoch table")?;
                let mut rows = Vec::new();
                while r.left() > 0 {
                    let cid = get_index(&mut r, &block.links, "link")?;
                    let len = r.varint_max(BLOCK_PAYLOAD_BYTES_MAX as u64, "chunk length")? as u32;
                    let epoch = get_index(&mut r, &epochs, "epoch")?;
                    rows.push(Listed { chunk: Ref { cid, len, epoch }, mark: r.fixed()? });
                }
                Ok(Self::Leaf(rows))
            }
            level if usize::from(level) < TREE_DEPTH_MAX => {
                let mut rows = Vec::new();
                while r.left() > 0 {
                    let cid = get_index(&mut r, &block.links, "link")?;
                    rows.push(Part { cid, bytes: r.varint()?, refs: r.varint()?, mark: r.fixed()? });
                }
                Ok(Self::Inner(level, rows))
            }
            found => Err(DecodeError::BadValue { what: "level", found: found.into() }),
        }
    }
}

/// What [`Listing::step`] has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The next chunk of the file.
    Chunk(Listed),
    /// The block needed to go on: [`Listing::supply`] it, then step again.
    Want(Cid),
    /// The list is complete and what its record says.
    End,
}

/// Reads a long list from its first chunk to its last. Holds one node per level.
#[derive(Debug)]
pub struct Listing {
    manifest: Manifest,
    /// Nodes still to read, the next one last, with the level they must have.
    pending: Vec<(Part, Option<u8>)>,
    ready: VecDeque<Listed>,
    digest: blake3::Hasher,
    met_oldest: bool,
}

impl Listing {
    /// Over the list of a file of `size` bytes.
    pub fn new(manifest: &Manifest, size: u64) -> Self {
        let top = Part { cid: manifest.cid, bytes: size, refs: manifest.refs, mark: [0; 16] };
        Self {
            manifest: manifest.clone(),
            pending: vec![(top, None)],
            ready: VecDeque::new(),
            digest: blake3::Hasher::new(),
            met_oldest: false,
        }
    }

    /// The next chunk, or what it takes to find it.
    pub fn step(&mut self) -> Result<Step, TreeError> {
        if let Some(listed) = self.ready.pop_front() {
            self.digest.update(&listed.chunk.cid.0);
            self.met_oldest |= listed.chunk.epoch == self.manifest.oldest_epoch;
            return Ok(Step::Chunk(listed));
        }
        if let Some((part, _)) = self.pending.last() {
            return Ok(Step::Want(part.cid));
        }
        if *self.digest.finalize().as_bytes() != self.manifest.refs_digest || !self.met_oldest {
            return Err(TreeError::Broken { what: WHAT, rule: "it lists other chunks than its record says" });
        }
        Ok(Step::End)
    }

    /// Takes the block last asked for.
    pub fn supply(&mut self, bytes: &[u8], keys: &impl TreeKeys) -> Result<(), TreeError> {
        let cid = Cid::of(bytes);
        let broken = |rule| Err(TreeError::Broken { what: WHAT, rule });
        let Some((part, level)) = self.pending.pop_if(|(part, _)| part.cid == cid && self.ready.is_empty()) else {
            return Err(TreeError::NotWanted(cid));
        };
        let block = keys.open(bytes)?;
        if block.kind != BlockKind::Manifest {
            return broken("the block is of another kind");
        }
        let node = Node::decode(block)?;
        let (bytes, refs, mark) = node.totals();
        if (bytes, refs) != (part.bytes, part.refs) || level.is_some() && mark != part.mark {
            return broken("a part of it is not what its parent says");
        }
        let own_level = match &node {
            Node::Leaf(_) => 0,
            Node::Inner(level, _) => *level,
        };
        if level.is_some_and(|level| level != own_level) {
            return broken("a part of it stands on another level than its parent says");
        }
        match node {
            Node::Leaf(rows) => self.ready.extend(rows),
            Node::Inner(_, parts) => {
                self.pending.extend(parts.into_iter().rev().map(|part| (part, Some(own_level - 1))));
            }
        }
        Ok(())
    }
}
