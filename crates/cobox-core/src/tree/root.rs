//! The root block and the context beneath it (formats F3).
//!
//! ```text
//! root  = fmt u8 (1) | ctx levels u8 | rows if 0, else link varint | fork points, sorted | item count varint
//!         | if there are items: level of the top node u8, link varint
//! rows  = device table, sorted | count varint | (actor [16] | device index varint | counter varint)* by actor
//! ctx leaf = rows ;  ctx inner = (last actor of child [16] | link varint | row count varint)*, to the end
//! ```
//! Up to 64 rows stand in the root; more form a prolly tree of their own, cut like the items' tree. It is small and
//! always written anew; unchanged nodes come out as the same blocks.

use std::collections::BTreeSet;

use cobox_proto::codec::{DecodeError, Reader, Writer};
use cobox_proto::id::{ActorId, Cid, HeadId, SigKey};
use cobox_proto::limits::{ACTORS_MAX, FORK_POINTS_MAX, TREE_DEPTH_MAX};

use super::bounds::take_node;
use super::node::Payload;
use super::press::Press;
use super::record::get_index;
use super::{TreeError, TreeKeys};
use crate::seal::{BlockKind, OpenBlock};
use crate::state::{Ctx, CtxRow};

/// The root format of this program.
const ROOT_FORMAT: u8 = 1;
/// Context rows that still stand in the root itself.
const INLINE_ROWS_MAX: usize = 64;
/// Domain of the boundary hash of the context's tree.
const CTX_BOUND: &[u8] = b"cbound";
const ROW_WEIGHT: u32 = (ActorId::LEN + SigKey::LEN + size_of::<u64>()) as u32;
const CTX_CHILD_WEIGHT: u32 = (ActorId::LEN + Cid::LEN + size_of::<u64>()) as u32;

/// A root block's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) ctx: CtxPlace,
    pub(super) forks: BTreeSet<HeadId>,
    pub(super) items: u64,
    /// Level and name of the top node; absent iff there are no items.
    pub(super) top: Option<(u8, Cid)>,
}

/// Where the context stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CtxPlace {
    Inline(Ctx),
    /// So many levels of nodes under this one.
    Nodes(u8, Cid),
}

impl Root {
    pub(super) fn encode(&self) -> Payload {
        let ctx_link = match &self.ctx {
            CtxPlace::Inline(_) => None,
            CtxPlace::Nodes(_, cid) => Some(*cid),
        };
        let links: BTreeSet<Cid> = ctx_link.into_iter().chain(self.top.map(|(_, cid)| cid)).collect();
        let links: Vec<Cid> = links.into_iter().collect();
        let index = |cid: &Cid| links.binary_search(cid).expect("the links were gathered from the same root") as u64;
        let mut w = Writer::new();
        w.u8(ROOT_FORMAT);
        match &self.ctx {
            CtxPlace::Inline(ctx) => {
                put_rows(w.u8(0), &ctx.iter().map(|(actor, row)| (*actor, *row)).collect::<Vec<_>>())
            }
            CtxPlace::Nodes(levels, cid) => {
                w.u8(*levels).varint(index(cid));
            }
        }
        w.varint(self.forks.len() as u64);
        self.forks.iter().for_each(|fork| {
            w.put(fork);
        });
        w.varint(self.items);
        if let Some((level, cid)) = &self.top {
            w.u8(*level).varint(index(cid));
        }
        Payload { bytes: w.into_bytes(), links }
    }

    pub(super) fn decode(block: OpenBlock) -> Result<Self, TreeError> {
        let root = Self::read(&block).map_err(TreeError::malformed("root"))?;
        if root.encode() != (Payload { bytes: block.payload, links: block.links }) {
            return Err(TreeError::Broken { what: "root", rule: "it is not in canonical form" });
        }
        Ok(root)
    }

    fn read(block: &OpenBlock) -> Result<Self, DecodeError> {
        let mut r = Reader::new(&block.payload);
        match r.u8()? {
            ROOT_FORMAT => {}
            found => return Err(DecodeError::UnknownVersion { what: "root", found: found.into() }),
        }
        let ctx = match get_levels(&mut r, "context levels", TREE_DEPTH_MAX)? {
            0 => {
                let rows = get_rows(&mut r, INLINE_ROWS_MAX)?;
                let mut ctx = Ctx::new();
                rows.into_iter().for_each(|(actor, row)| ctx.set(actor, Some(row)));
                CtxPlace::Inline(ctx)
            }
            levels => CtxPlace::Nodes(levels, get_index(&mut r, &block.links, "link")?),
        };
        let forks = r.sorted_list(FORK_POINTS_MAX, "fork points")?.into_iter().collect();
        let items = r.varint()?;
        let top = match items {
            0 => None,
            _ => {
                let level = get_levels(&mut r, "tree level", TREE_DEPTH_MAX - 1)?;
                Some((level, get_index(&mut r, &block.links, "link")?))
            }
        };
        r.finish()?;
        Ok(Self { ctx, forks, items, top })
    }
}

fn get_levels(r: &mut Reader<'_>, what: &'static str, limit: usize) -> Result<u8, DecodeError> {
    let levels = r.u8()?;
    if usize::from(levels) > limit {
        return Err(DecodeError::TooLarge { what, found: levels.into(), limit: limit as u64 });
    }
    Ok(levels)
}

/// Writes the context: inline rows, or sealed nodes whose names and stored bytes are appended to `sealed`.
pub(super) fn place_ctx<K: TreeKeys>(
    ctx: &Ctx,
    press: &mut Press<'_, K>,
    sealed: &mut Vec<(Cid, u32)>,
) -> Result<CtxPlace, TreeError> {
    if ctx.len() <= INLINE_ROWS_MAX {
        return Ok(CtxPlace::Inline(ctx.clone()));
    }
    let mut nodes = Vec::new();
    let mut rows = ctx.iter().map(|(actor, row)| ((*actor, *row), ROW_WEIGHT)).peekable();
    while rows.peek().is_some() {
        let (node, _) = take_node(&mut rows, |(actor, _)| press.keys.bound(CTX_BOUND, 0, &actor.0));
        let mut w = Writer::new();
        put_rows(&mut w, &node);
        let last = node.last().expect("a node holds a row").0;
        let payload = Payload { bytes: w.into_bytes(), links: Vec::new() };
        sealed.push(press.seal(BlockKind::Ctx, &payload)?);
        nodes.push(CtxChild { last, cid: sealed[sealed.len() - 1].0, count: node.len() as u64 });
    }
    let mut level = 0;
    while nodes.len() > 1 {
        level += 1;
        let mut rows = nodes.into_iter().map(|node| (node, CTX_CHILD_WEIGHT)).peekable();
        nodes = Vec::new();
        while rows.peek().is_some() {
            let (node, _) = take_node(&mut rows, |child| press.keys.bound(CTX_BOUND, level, &child.last.0));
            let last = node.last().expect("a node holds a row").last;
            let count = node.iter().map(|child| child.count).sum();
            sealed.push(press.seal(BlockKind::Ctx, &encode_ctx_inner(&node))?);
            nodes.push(CtxChild { last, cid: sealed[sealed.len() - 1].0, count });
        }
    }
    Ok(CtxPlace::Nodes(level + 1, nodes[0].cid))
}

/// A child of an inner context node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CtxChild {
    last: ActorId,
    pub(super) cid: Cid,
    count: u64,
}

fn encode_ctx_inner(children: &[CtxChild]) -> Payload {
    let links: BTreeSet<Cid> = children.iter().map(|child| child.cid).collect();
    let links: Vec<Cid> = links.into_iter().collect();
    let mut w = Writer::new();
    for child in children {
        let link = links.binary_search(&child.cid).expect("the links were gathered from the same children");
        w.put(&child.last).varint(link as u64).varint(child.count);
    }
    Payload { bytes: w.into_bytes(), links }
}

/// The children of an inner context node. Order, counts and cuts are checked by writing the whole context again.
pub(super) fn decode_ctx_inner(block: &OpenBlock) -> Result<Vec<CtxChild>, TreeError> {
    let mut r = Reader::new(&block.payload);
    let mut children = Vec::new();
    let mut read = || -> Result<(), DecodeError> {
        while r.left() > 0 {
            children.push(CtxChild {
                last: r.get()?,
                cid: get_index(&mut r, &block.links, "link")?,
                count: r.varint()?,
            });
        }
        Ok(())
    };
    read().map_err(TreeError::malformed("inner context node"))?;
    Ok(children)
}

/// The rows of a context leaf.
pub(super) fn decode_ctx_leaf(block: &OpenBlock) -> Result<Vec<(ActorId, CtxRow)>, TreeError> {
    let mut r = Reader::new(&block.payload);
    get_rows(&mut r, ACTORS_MAX)
        .and_then(|rows| r.finish().map(|()| rows))
        .map_err(TreeError::malformed("context leaf"))
}

pub(super) fn put_rows(w: &mut Writer, rows: &[(ActorId, CtxRow)]) {
    let devices: BTreeSet<SigKey> = rows.iter().map(|(_, row)| row.device).collect();
    let devices: Vec<SigKey> = devices.into_iter().collect();
    w.list(&devices).varint(rows.len() as u64);
    for (actor, row) in rows {
        let device = devices.binary_search(&row.device).expect("the table was gathered from the same rows");
        w.put(actor).varint(device as u64).varint(row.counter);
    }
}

pub(super) fn get_rows(r: &mut Reader<'_>, rows_max: usize) -> Result<Vec<(ActorId, CtxRow)>, DecodeError> {
    let devices: Vec<SigKey> = r.sorted_list(rows_max, "device table")?;
    let count = r.varint_max(rows_max as u64, "context rows")?;
    let mut rows = Vec::new();
    for _ in 0..count {
        let actor = r.get()?;
        let device = get_index(r, &devices, "device")?;
        rows.push((actor, CtxRow { device, counter: r.varint()? }));
    }
    Ok(rows)
}
