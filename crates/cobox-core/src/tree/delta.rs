//! A change small enough to travel with its head (formats F4), so that a member who has the root before it needs no
//! further question: it writes the tree itself and compares roots.
//!
//! ```text
//! delta  = fmt u8 (1) | base root [32] | context rows that differ | fork points added, sorted
//!          | actor table | epoch table | (0 u8, key [32] of a removed item | 1 u8, record)* in key order, to the end
//! ```
//! The rows are those of the root block. What a delta can not say - rows or fork points that vanish, more than 64 KiB - is
//! walked instead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_proto::codec::{DecodeError, Reader, Writer};
use cobox_proto::id::{ActorId, Cid, EpochTag, HeadId, Inode};
use cobox_proto::limits::{ACTORS_MAX, BLOCK_LINKS_MAX, DELTA_BYTES_MAX, FORK_POINTS_MAX};

use super::node::Payload;
use super::press::Press;
use super::record::{self, Tables};
use super::records::{Overlay, Records};
use super::root::{get_rows, put_rows};
use super::{Remote, Tree, TreeError, TreeKeys};
use crate::seal::{BlockKind, SealedBlock};
use crate::state::{Ctx, CtxRow, Item, Key, State, Touched};

/// The delta format of this program.
const DELTA_FORMAT: u8 = 1;
const REMOVED: u8 = 0;
const RECORD: u8 = 1;

/// The change from one root to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    base: Cid,
    epoch: EpochTag,
    rows: Vec<(ActorId, CtxRow)>,
    forks: BTreeSet<HeadId>,
    changes: BTreeMap<Key, Option<Item>>,
}

impl Delta {
    /// The change from `base`, whose context and fork points are given, to `state`, which differs from it at most in the
    /// `touched` items. `None` if it can not be said in a delta.
    pub fn between(
        base: &Tree,
        (base_ctx, base_forks): (&Ctx, &BTreeSet<HeadId>),
        state: &State,
        touched: &Touched,
        epoch: EpochTag,
    ) -> Option<Self> {
        let lost_rows = base_ctx.iter().any(|(actor, _)| state.ctx.get(actor).is_none());
        if lost_rows || !base_forks.is_subset(&state.forks) {
            return None;
        }
        let rows = state.ctx.iter().filter(|(actor, row)| base_ctx.get(actor) != Some(row));
        let mut delta = Self {
            base: base.root(),
            epoch,
            rows: rows.map(|(actor, row)| (*actor, *row)).collect(),
            forks: state.forks.difference(base_forks).copied().collect(),
            changes: BTreeMap::new(),
        };
        for (inode, before) in touched.iter() {
            match (state.get(inode), before) {
                (Some(item), _) => delta.changes.insert(item.key(*inode)?, Some(item.clone())),
                (None, Some(before)) => delta.changes.insert(*before, None),
                (None, None) => continue,
            };
            if delta.changes.len() * Inode::LEN > DELTA_BYTES_MAX {
                return None;
            }
        }
        Some(delta)
    }

    /// Seals it. `None` if it is larger than a delta may be.
    pub fn seal(&self, keys: &impl TreeKeys) -> Result<Option<SealedBlock>, TreeError> {
        let payload = self.encode();
        if payload.bytes.len() > DELTA_BYTES_MAX || payload.links.len() > BLOCK_LINKS_MAX {
            return Ok(None);
        }
        Ok(Some(keys.seal(self.epoch, BlockKind::Delta, &payload.links, &payload.bytes)?))
    }

    /// Opens and checks one.
    pub fn open(bytes: &[u8], keys: &impl TreeKeys) -> Result<Self, TreeError> {
        let broken = |rule| TreeError::Broken { what: "delta", rule };
        let block = keys.open(bytes)?;
        if block.kind != BlockKind::Delta {
            return Err(broken("the block is of another kind"));
        }
        if block.payload.len() > DELTA_BYTES_MAX {
            return Err(broken("it is too large"));
        }
        let delta = Self::decode(block.epoch, &block.payload, block.links.clone(), keys)
            .map_err(TreeError::malformed("delta"))?;
        if let Some(rule) = delta.changes.values().flatten().find_map(record::flaw) {
            return Err(broken(rule));
        }
        if delta.encode() != (Payload { bytes: block.payload, links: block.links }) {
            return Err(broken("it is not in canonical form"));
        }
        Ok(delta)
    }

    /// The root it starts from.
    pub fn base(&self) -> Cid {
        self.base
    }

    /// The state after it, which must have the root `root`. `base` is the state before it, told over `state`: use
    /// [`Remote::same`] where `state` itself is the base. Returns the blocks of the new tree that the base does not have.
    ///
    /// Errors: another base, or a result that is not `root`; the tree is to be walked then, and only that decides
    /// whether the head is refused.
    pub fn apply(
        self,
        base: Remote,
        state: &State,
        root: Cid,
        keys: &impl TreeKeys,
    ) -> Result<(Remote, Vec<SealedBlock>), TreeError> {
        if base.tree.root() != self.base {
            return Err(TreeError::OtherBase { wanted: self.base });
        }
        let Remote { tree, mut ctx, mut forks, mut theirs } = base;
        self.rows.into_iter().for_each(|(actor, row)| ctx.set(actor, Some(row)));
        forks.extend(self.forks);
        let mut touched = BTreeSet::new();
        {
            let before = Overlay::new(state, &theirs);
            for key in self.changes.keys() {
                touched.insert(*key);
                touched.extend(before.item(&key.inode).and_then(|item| item.key(key.inode)));
            }
        }
        for (key, item) in self.changes {
            if state.get(&key.inode) == item.as_ref() {
                theirs.remove(&key.inode);
            } else {
                theirs.insert(key.inode, item.map(Arc::new));
            }
        }
        let mut blocks = Vec::new();
        let mut emit = |block| blocks.push(block);
        let mut press = Press { keys, epoch: self.epoch, emit: &mut emit };
        let remote = Remote::checked(root, Some(&tree), state, (ctx, forks, theirs), touched, &mut press)?;
        Ok((remote, blocks))
    }

    fn encode(&self) -> Payload {
        let records = self.changes.iter().filter_map(|(key, item)| Some((key.inode, item.as_ref()?)));
        let tables = Tables::of(records);
        let mut w = Writer::new();
        w.u8(DELTA_FORMAT).put(&self.base);
        put_rows(&mut w, &self.rows);
        w.list(&self.forks.iter().copied().collect::<Vec<_>>());
        tables.put(&mut w);
        for (key, item) in &self.changes {
            match item {
                None => drop(w.u8(REMOVED).put(&key.parent).put(&key.inode)),
                Some(item) => record::put(w.u8(RECORD), &tables, key.inode, item),
            }
        }
        Payload { bytes: w.into_bytes(), links: tables.links }
    }

    /// Order, a second record of one item and unused table rows show when it is encoded again.
    fn decode(epoch: EpochTag, payload: &[u8], links: Vec<Cid>, keys: &impl TreeKeys) -> Result<Self, DecodeError> {
        let mut r = Reader::new(payload);
        match r.u8()? {
            DELTA_FORMAT => {}
            found => return Err(DecodeError::UnknownVersion { what: "delta", found: found.into() }),
        }
        let base = r.get()?;
        let rows = get_rows(&mut r, ACTORS_MAX)?;
        let forks = r.sorted_list(FORK_POINTS_MAX, "fork points")?.into_iter().collect();
        let tables = Tables::get(&mut r, links)?;
        let mut changes = BTreeMap::new();
        while r.left() > 0 {
            match r.u8()? {
                REMOVED => {
                    let key = Key { parent: r.get()?, inode: r.get()? };
                    changes.insert(key, None);
                }
                RECORD => {
                    let (inode, item) = record::get(&mut r, &tables, keys)?;
                    let key = item.key(inode).ok_or(DecodeError::BadValue { what: "places of an item", found: 0 })?;
                    changes.insert(key, Some(item));
                }
                found => return Err(DecodeError::BadValue { what: "change", found: found.into() }),
            }
        }
        Ok(Self { base, epoch, rows, forks, changes })
    }
}
