//! One item as bytes (formats F3).
//!
//! ```text
//! record  = inode [16] | kind u8 | loc count varint | loc* | body count varint | body*      both sorted by dot
//! loc     = dot | flags u8 (1 vd follows, 2 trashed) | vd? | parent [16] | name
//! body    = flags u8 (1 dot follows, 2 executable, bits 2-3 content) | dot? | mtime i64 | content
//! content = 0 bytes | 1 plain_digest [32], count varint, ref* | 2 plain_digest [32], link, size, refs, epoch, refs_digest [32]
//! ref     = 0 u8 | link | len varint | epoch
//! dot     = actor index varint | counter varint ;  link, epoch = index varint
//! ```
//! `vd` is left out when it equals the loc's dot, a body's dot when it equals the dot of the loc at the same position, the
//! size and the digest where they follow from the rest. Indexes point into the tables of the block that holds the record
//! and into its links; a record is written three times through one routine: to weigh it, to gather the tables, to put it.

use std::collections::BTreeSet;

use cobox_proto::codec::{DecodeError, Reader, Writer};
use cobox_proto::id::{ActorId, Cid, EpochTag, Inode};
use cobox_proto::limits::{
    BLOCK_LINKS_MAX, BLOCK_PAYLOAD_BYTES_MAX, INLINE_BYTES_MAX, NAME_BYTES_MAX, RECORD_REFS_MAX, RECORD_VALUES_MAX,
};
use smallvec::SmallVec;

use super::TreeKeys;
use crate::path::Name;
use crate::state::{Body, Content, Dot, Item, Kind, Loc, Manifest, Ref};

const REF_WHOLE: u8 = 0;
const LOC_VD: u8 = 1;
const LOC_TRASHED: u8 = 2;
const BODY_DOT: u8 = 1;
const BODY_EXECUTABLE: u8 = 2;
const CONTENT_SHIFT: u8 = 2;
const INLINE: u8 = 0;
const REFS: u8 = 1;
const MANIFEST: u8 = 2;

/// Where a record's parts go.
trait Sink {
    fn fixed(&mut self, bytes: &[u8]);
    fn varint(&mut self, v: u64);
    fn dot(&mut self, dot: Dot);
    fn link(&mut self, cid: &Cid);
    fn epoch(&mut self, epoch: &EpochTag);
    fn u8(&mut self, v: u8) {
        self.fixed(&[v]);
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.fixed(bytes);
    }
}

/// The ids a block's records use, each once and sorted. `links` is the block's own link table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) actors: Vec<ActorId>,
    pub(super) epochs: Vec<EpochTag>,
    pub(super) links: Vec<Cid>,
}

impl Tables {
    /// The tables that these records need.
    pub(super) fn of<'a>(records: impl Iterator<Item = (Inode, &'a Item)>) -> Self {
        let mut gather = Gather::default();
        records.for_each(|(inode, item)| write(inode, item, &mut gather));
        Self {
            actors: gather.actors.into_iter().collect(),
            epochs: gather.epochs.into_iter().collect(),
            links: gather.links.into_iter().collect(),
        }
    }

    pub(super) fn put(&self, w: &mut Writer) {
        w.list(&self.actors).list(&self.epochs);
    }

    pub(super) fn get(r: &mut Reader<'_>, links: Vec<Cid>) -> Result<Self, DecodeError> {
        let actors = r.sorted_list(BLOCK_PAYLOAD_BYTES_MAX / ActorId::LEN, "actor table")?;
        let epochs = r.sorted_list(BLOCK_LINKS_MAX, "epoch table")?;
        Ok(Self { actors, epochs, links })
    }
}

/// Appends a record; its ids must stand in the tables.
pub(super) fn put(w: &mut Writer, tables: &Tables, inode: Inode, item: &Item) {
    write(inode, item, &mut Put { w, tables });
}

/// What the record weighs when nodes are cut: its length written alone, with every actor, epoch and cid in full and
/// counters of eight bytes. It does not depend on the neighbours.
pub(super) fn weight(inode: Inode, item: &Item) -> u32 {
    let mut weigh = Weigh(0);
    write(inode, item, &mut weigh);
    u32::try_from(weigh.0).unwrap_or(u32::MAX)
}

/// Calls `each` with every dot the item holds.
pub(super) fn each_dot(item: &Item, mut each: impl FnMut(Dot)) {
    for (dot, loc) in &item.loc {
        each(*dot);
        each(loc.vd);
    }
    item.body.iter().for_each(|(dot, _)| each(*dot));
}

/// Says which rule keeps the item from being a record, if any.
pub(super) fn flaw(item: &Item) -> Option<&'static str> {
    let sorted = |dots: &mut dyn Iterator<Item = Dot>| dots.is_sorted_by(|a, b| a < b);
    if item.loc.is_empty() {
        return Some("it has no place");
    }
    if item.loc.len() > RECORD_VALUES_MAX || item.body.len() > RECORD_VALUES_MAX {
        return Some("it has too many concurrent values");
    }
    if !sorted(&mut item.loc.iter().map(|v| v.0)) || !sorted(&mut item.body.iter().map(|v| v.0)) {
        return Some("its values are not sorted by dot");
    }
    if item.kind == Kind::Dir && !item.body.is_empty() {
        return Some("a directory has no content");
    }
    item.body.iter().find_map(|(_, body)| body_flaw(body))
}

fn body_flaw(body: &Body) -> Option<&'static str> {
    match &body.content {
        Content::Inline(bytes) if bytes.len() > INLINE_BYTES_MAX => Some("too many inline bytes"),
        Content::Inline(bytes) if bytes.len() as u64 != body.size => Some("the size is not that of the inline bytes"),
        Content::Refs(refs) if refs.is_empty() || refs.len() > RECORD_REFS_MAX => Some("a record lists 1 to 64 chunks"),
        Content::Refs(refs) if refs.iter().any(|r| r.len == 0 || r.len as usize > BLOCK_PAYLOAD_BYTES_MAX) => {
            Some("a chunk is empty or larger than a block")
        }
        Content::Refs(refs) if refs.iter().map(|r| u64::from(r.len)).sum::<u64>() != body.size => {
            Some("the size is not that of the chunks")
        }
        Content::Manifest(m) if m.refs <= RECORD_REFS_MAX as u64 => Some("a short list of chunks stands in the record"),
        Content::Manifest(m) if m.refs > body.size => Some("it lists more chunks than it has bytes"),
        _ => None,
    }
}

fn write(inode: Inode, item: &Item, s: &mut impl Sink) {
    s.fixed(&inode.0);
    s.u8(match item.kind {
        Kind::Dir => 0,
        Kind::File => 1,
        Kind::Symlink => 2,
    });
    s.varint(item.loc.len() as u64);
    for (dot, loc) in &item.loc {
        let vd = loc.vd != *dot;
        s.dot(*dot);
        s.u8(if vd { LOC_VD } else { 0 } | if loc.trashed { LOC_TRASHED } else { 0 });
        if vd {
            s.dot(loc.vd);
        }
        s.fixed(&loc.parent.0);
        s.bytes(loc.name.as_str().as_bytes());
    }
    s.varint(item.body.len() as u64);
    for (position, (dot, body)) in item.body.iter().enumerate() {
        let own_dot = item.loc.get(position).is_none_or(|(loc_dot, _)| loc_dot != dot);
        let content = match &body.content {
            Content::Inline(_) => INLINE,
            Content::Refs(_) => REFS,
            Content::Manifest(_) => MANIFEST,
        };
        s.u8(if own_dot { BODY_DOT } else { 0 }
            | if body.executable { BODY_EXECUTABLE } else { 0 }
            | content << CONTENT_SHIFT);
        if own_dot {
            s.dot(*dot);
        }
        s.fixed(&body.mtime_ns.to_le_bytes());
        write_content(body, s);
    }
}

fn write_content(body: &Body, s: &mut impl Sink) {
    match &body.content {
        Content::Inline(bytes) => s.bytes(bytes),
        Content::Refs(refs) => {
            s.fixed(&body.plain_digest);
            s.varint(refs.len() as u64);
            for r in refs {
                s.u8(REF_WHOLE);
                s.link(&r.cid);
                s.varint(r.len.into());
                s.epoch(&r.epoch);
            }
        }
        Content::Manifest(m) => {
            s.fixed(&body.plain_digest);
            s.link(&m.cid);
            s.varint(body.size);
            s.varint(m.refs);
            s.epoch(&m.oldest_epoch);
            s.fixed(&m.refs_digest);
        }
    }
}

struct Weigh(usize);

impl Sink for Weigh {
    fn fixed(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
    fn varint(&mut self, v: u64) {
        self.0 += varint_len(v);
    }
    fn dot(&mut self, _: Dot) {
        self.0 += ActorId::LEN + size_of::<u64>();
    }
    fn link(&mut self, _: &Cid) {
        self.0 += Cid::LEN;
    }
    fn epoch(&mut self, _: &EpochTag) {
        self.0 += EpochTag::LEN;
    }
}

/// Bytes of a varint.
pub(super) fn varint_len(v: u64) -> usize {
    (u64::BITS - (v | 1).leading_zeros()).div_ceil(7) as usize
}

#[derive(Default)]
struct Gather {
    actors: BTreeSet<ActorId>,
    epochs: BTreeSet<EpochTag>,
    links: BTreeSet<Cid>,
}

impl Sink for Gather {
    fn fixed(&mut self, _: &[u8]) {}
    fn varint(&mut self, _: u64) {}
    fn dot(&mut self, dot: Dot) {
        self.actors.insert(dot.actor);
    }
    fn link(&mut self, cid: &Cid) {
        self.links.insert(*cid);
    }
    fn epoch(&mut self, epoch: &EpochTag) {
        self.epochs.insert(*epoch);
    }
}

struct Put<'a> {
    w: &'a mut Writer,
    tables: &'a Tables,
}

impl Put<'_> {
    fn index<T: Ord>(&mut self, table: &[T], id: &T) {
        let index = table.binary_search(id).expect("the tables were gathered from the same records");
        self.w.varint(index as u64);
    }
}

impl Sink for Put<'_> {
    fn fixed(&mut self, bytes: &[u8]) {
        self.w.fixed(bytes);
    }
    fn varint(&mut self, v: u64) {
        self.w.varint(v);
    }
    fn dot(&mut self, dot: Dot) {
        self.index(&self.tables.actors, &dot.actor);
        self.w.varint(dot.counter);
    }
    fn link(&mut self, cid: &Cid) {
        self.index(&self.tables.links, cid);
    }
    fn epoch(&mut self, epoch: &EpochTag) {
        self.index(&self.tables.epochs, epoch);
    }
}

/// Reads one record. That it is in canonical form is for the caller to check, by writing it again.
pub(super) fn get(r: &mut Reader<'_>, tables: &Tables, keys: &impl TreeKeys) -> Result<(Inode, Item), DecodeError> {
    let inode = r.get()?;
    let kind = match r.u8()? {
        0 => Kind::Dir,
        1 => Kind::File,
        2 => Kind::Symlink,
        found => return Err(DecodeError::BadValue { what: "item kind", found: found.into() }),
    };
    let mut loc = SmallVec::new();
    for _ in 0..r.varint_max(RECORD_VALUES_MAX as u64, "places of an item")? {
        loc.push(get_loc(r, tables)?);
    }
    let mut body = SmallVec::new();
    for position in 0..r.varint_max(RECORD_VALUES_MAX as u64, "versions of an item")? as usize {
        let loc_dot = loc.get(position).map(|(dot, _): &(Dot, Loc)| *dot);
        body.push(get_body(r, tables, keys, loc_dot)?);
    }
    Ok((inode, Item { kind, loc, body }))
}

fn get_loc(r: &mut Reader<'_>, tables: &Tables) -> Result<(Dot, Loc), DecodeError> {
    let dot = get_dot(r, tables)?;
    let flags = get_flags(r, LOC_VD | LOC_TRASHED, "place flags")?;
    let vd = if flags & LOC_VD != 0 { get_dot(r, tables)? } else { dot };
    let parent = r.get()?;
    let name = r.text(NAME_BYTES_MAX, "name")?;
    let name = Name::new(name).map_err(|_| DecodeError::BadValue { what: "name", found: name.len() as u64 })?;
    Ok((dot, Loc { vd, parent, name, trashed: flags & LOC_TRASHED != 0 }))
}

fn get_body(
    r: &mut Reader<'_>,
    tables: &Tables,
    keys: &impl TreeKeys,
    loc_dot: Option<Dot>,
) -> Result<(Dot, Body), DecodeError> {
    let flags = get_flags(r, BODY_DOT | BODY_EXECUTABLE | 3 << CONTENT_SHIFT, "version flags")?;
    let dot = match loc_dot {
        Some(dot) if flags & BODY_DOT == 0 => dot,
        None if flags & BODY_DOT == 0 => {
            return Err(DecodeError::BadValue { what: "version flags", found: flags.into() });
        }
        _ => get_dot(r, tables)?,
    };
    let mtime_ns = r.i64()?;
    let (size, plain_digest, content) = match flags >> CONTENT_SHIFT {
        INLINE => {
            let bytes = r.bytes(INLINE_BYTES_MAX, "inline content")?;
            (bytes.len() as u64, keys.inline_digest(bytes), Content::Inline(bytes.into()))
        }
        REFS => {
            let plain_digest = r.fixed()?;
            let count = r.varint_max(RECORD_REFS_MAX as u64, "chunks of a record")? as usize;
            let refs = (0..count).map(|_| get_ref(r, tables)).collect::<Result<Box<[_]>, _>>()?;
            (refs.iter().map(|r| u64::from(r.len)).sum(), plain_digest, Content::Refs(refs))
        }
        MANIFEST => {
            let plain_digest = r.fixed()?;
            let cid = get_index(r, &tables.links, "link")?;
            let size = r.varint()?;
            let refs = r.varint()?;
            let oldest_epoch = get_index(r, &tables.epochs, "epoch")?;
            let refs_digest = r.fixed()?;
            (size, plain_digest, Content::Manifest(Box::new(Manifest { cid, refs, oldest_epoch, refs_digest })))
        }
        found => return Err(DecodeError::BadValue { what: "content kind", found: found.into() }),
    };
    Ok((dot, Body { size, mtime_ns, executable: flags & BODY_EXECUTABLE != 0, plain_digest, content }))
}

fn get_ref(r: &mut Reader<'_>, tables: &Tables) -> Result<Ref, DecodeError> {
    match r.u8()? {
        REF_WHOLE => Ok(Ref {
            cid: get_index(r, &tables.links, "link")?,
            len: r.varint_max(BLOCK_PAYLOAD_BYTES_MAX as u64, "chunk length")? as u32,
            epoch: get_index(r, &tables.epochs, "epoch")?,
        }),
        found => Err(DecodeError::BadValue { what: "chunk reference kind", found: found.into() }),
    }
}

fn get_dot(r: &mut Reader<'_>, tables: &Tables) -> Result<Dot, DecodeError> {
    let actor = get_index(r, &tables.actors, "actor")?;
    Ok(Dot { actor, counter: r.varint()? })
}

fn get_flags(r: &mut Reader<'_>, known: u8, what: &'static str) -> Result<u8, DecodeError> {
    match r.u8()? {
        flags if flags & !known == 0 => Ok(flags),
        found => Err(DecodeError::BadValue { what, found: found.into() }),
    }
}

/// An entry of a table, by an index that must lie inside it.
pub(super) fn get_index<T: Copy>(r: &mut Reader<'_>, table: &[T], what: &'static str) -> Result<T, DecodeError> {
    let found = r.varint()?;
    let entry = usize::try_from(found).ok().and_then(|index| table.get(index));
    entry.copied().ok_or(DecodeError::BadValue { what, found })
}
