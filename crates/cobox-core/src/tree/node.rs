//! The nodes of the tree as payloads (formats F3).
//!
//! ```text
//! leaf  = actor table | epoch table | records in key order, to the end
//! inner = (last key of child: parent [16], inode [16] | link varint | record count varint)* in key order, to the end
//! ```
//! Decoding is strict: whatever does not encode back to the same payload and links is refused, so unsorted rows, rows of
//! a table that nothing uses, links that nothing names and second spellings can not occur.

use cobox_proto::codec::{Reader, Writer};
use cobox_proto::id::{Cid, Inode};

use super::record::{self, Tables, get_index};
use super::{TreeError, TreeKeys};
use crate::seal::OpenBlock;
use crate::state::{Item, Key};

/// What a leaf's or inner node's row weighs: last key, cid, count.
pub(super) const CHILD_WEIGHT: u32 = (2 * Inode::LEN + Cid::LEN + size_of::<u64>()) as u32;

/// A payload and the links that belong into the header of its block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) bytes: Vec<u8>,
    pub(super) links: Vec<Cid>,
}

/// A child as its parent names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) last: Key,
    pub(super) cid: Cid,
    pub(super) count: u64,
}

pub(super) fn encode_leaf<'a>(records: impl Iterator<Item = (Inode, &'a Item)> + Clone) -> Payload {
    let tables = Tables::of(records.clone());
    let mut w = Writer::new();
    tables.put(&mut w);
    for (inode, item) in records {
        record::put(&mut w, &tables, inode, item);
    }
    Payload { bytes: w.into_bytes(), links: tables.links }
}

pub(super) fn decode_leaf(block: OpenBlock, keys: &impl TreeKeys) -> Result<Vec<(Key, Item)>, TreeError> {
    const WHAT: &str = "leaf";
    let broken = |rule| TreeError::Broken { what: WHAT, rule };
    let mut r = Reader::new(&block.payload);
    let tables = Tables::get(&mut r, block.links).map_err(TreeError::malformed(WHAT))?;
    let mut records = Vec::new();
    while r.left() > 0 {
        let (inode, item) = record::get(&mut r, &tables, keys).map_err(TreeError::malformed(WHAT))?;
        if let Some(rule) = record::flaw(&item) {
            return Err(broken(rule));
        }
        let key = item.key(inode).ok_or_else(|| broken("it has no place"))?;
        records.push((key, item));
    }
    if records.is_empty() {
        return Err(broken("it is empty"));
    }
    if !records.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(broken("its records are not sorted by key"));
    }
    let again = encode_leaf(records.iter().map(|(key, item)| (key.inode, item)));
    if again != (Payload { bytes: block.payload, links: tables.links }) {
        return Err(broken("it is not in canonical form"));
    }
    Ok(records)
}

pub(super) fn encode_inner(children: &[Child]) -> Payload {
    let mut links: Vec<Cid> = children.iter().map(|child| child.cid).collect();
    links.sort_unstable();
    links.dedup();
    let mut w = Writer::new();
    for child in children {
        let link = links.binary_search(&child.cid).expect("the links were gathered from the same children");
        w.put(&child.last.parent).put(&child.last.inode).varint(link as u64).varint(child.count);
    }
    Payload { bytes: w.into_bytes(), links }
}

pub(super) fn decode_inner(block: OpenBlock) -> Result<Vec<Child>, TreeError> {
    const WHAT: &str = "inner node";
    let broken = |rule| TreeError::Broken { what: WHAT, rule };
    let mut r = Reader::new(&block.payload);
    let mut children = Vec::new();
    while r.left() > 0 {
        children.push(get_child(&mut r, &block.links).map_err(TreeError::malformed(WHAT))?);
    }
    if children.is_empty() {
        return Err(broken("it is empty"));
    }
    if !children.is_sorted_by(|a, b| a.last < b.last) {
        return Err(broken("its children are not sorted by key"));
    }
    if encode_inner(&children) != (Payload { bytes: block.payload, links: block.links }) {
        return Err(broken("it is not in canonical form"));
    }
    Ok(children)
}

fn get_child(r: &mut Reader<'_>, links: &[Cid]) -> Result<Child, cobox_proto::codec::DecodeError> {
    let last = Key { parent: r.get()?, inode: r.get()? };
    Ok(Child { last, cid: get_index(r, links, "link")?, count: r.varint()? })
}
