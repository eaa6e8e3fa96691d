//! A shelf in memory, for the tests of this folder.

mod claims;
mod forgets;
mod tenants;

use std::collections::BTreeMap;

use crate::hosting::{Shelf, Status};
use crate::id::Cid;

#[derive(Debug, Clone)]
struct Block {
    links: Vec<Cid>,
    bytes: u64,
    complete: bool,
}

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemShelf {
    blocks: BTreeMap<Cid, Block>,
}

impl MemShelf {
    pub(crate) fn put(&mut self, cid: Cid, links: Vec<Cid>, bytes: u64) {
        self.blocks.entry(cid).or_insert(Block { links, bytes, complete: false });
    }
    pub(crate) fn remove(&mut self, cid: &Cid) {
        self.blocks.remove(cid);
    }
}

impl Shelf for MemShelf {
    fn status(&self, cid: &Cid) -> Status {
        match self.blocks.get(cid) {
            None => Status::Missing,
            Some(block) if block.complete => Status::Complete,
            Some(_) => Status::Held,
        }
    }
    fn links(&self, cid: &Cid) -> Vec<Cid> {
        self.blocks.get(cid).map_or_else(Vec::new, |block| block.links.clone())
    }
    fn bytes(&self, cid: &Cid) -> u64 {
        self.blocks.get(cid).map_or(0, |block| block.bytes)
    }
    fn set_complete(&mut self, cid: &Cid, complete: bool) {
        if let Some(block) = self.blocks.get_mut(cid) {
            block.complete = complete;
        }
    }
    fn cids(&self) -> Vec<Cid> {
        self.blocks.keys().copied().collect()
    }
}
