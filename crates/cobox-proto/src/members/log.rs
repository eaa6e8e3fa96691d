//! The membership log of one folder: a hash DAG of ops that begins with the genesis. It takes ops in any order, keeps those
//! whose `deps` are missing aside (bounded), and holds the rest in a topological order.
//!
//! The log keeps every well-formed op, also one that nobody was entitled to write: whether an op counts can change as
//! others arrive, whether it belongs to the DAG can not. What an op was worth *in its own past* never changes either; it
//! is worked out once, on arrival (`authority`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::id::{FolderId, Hash, OpId};
use crate::limits::{GRANT_DEPTH_MAX, LOG_OPS_MAX, LOG_PENDING_BYTES_MAX, LOG_PENDING_OPS_MAX, OP_DEPS_MAX};
use crate::members::authority::{Valid, Void, judge};
use crate::members::genesis::Genesis;
use crate::members::op::{Op, OpBody};
use crate::members::past::Past;
use crate::members::resolve::settle;
use crate::members::signed::SignedOp;
use crate::members::standing::Standing;

/// Position in the log; differs from party to party, so nothing that is compared may depend on it.
pub(super) type At = u32;
/// Seniority: the ops from the genesis down, as (lam, id). Compared lexicographically; a prefix is more senior (rule R12).
pub(super) type Rank = Vec<(u64, OpId)>;

/// How many resolved pasts are remembered: one for each branch that is being extended, with room.
const STANDINGS_MAX: usize = 16;

/// An op in its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: OpId,
    /// Absent for the genesis.
    pub(super) signed: Option<SignedOp>,
    pub(super) lam: u64,
    pub(super) past: Past,
    /// For genesis, grants, joins, invites and seeder grants: the seniority of whom they admit.
    pub(super) rank: Rank,
    /// For ops that certify a device: its seniority within the member.
    pub(super) device_rank: Rank,
    /// Ids of the X-Wing keys it introduces: of the member or invite, then of the device.
    pub(super) key_ids: Vec<Hash>,
    /// What it was worth in its own past.
    pub(super) verdict: Result<Valid, Void>,
    /// For joins: the witnesses known.
    pub(super) witnesses: Vec<At>,
}

impl Node {
    /// The op; none for the genesis.
    pub(super) fn op(&self) -> Option<&Op> {
        self.signed.as_ref().map(SignedOp::op)
    }
    pub(super) fn body(&self) -> Option<&OpBody> {
        self.op().map(|op| &op.body)
    }
    /// Order among equals: the same everywhere.
    pub(super) fn order(&self) -> (u64, OpId) {
        (self.lam, self.id)
    }
}

/// What became of an op that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It is in the log now, with those that waited for it; in topological order.
    New(Vec<OpId>),
    /// It was there already, or waits already.
    Known,
    /// It waits for these.
    Pending(Vec<OpId>),
}

/// Why an op can never be in this log, or not now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Of another folder.
    #[error("the op belongs to folder {found}, not to this one", found = .found.short())]
    ForeignFolder {
        /// The folder it names.
        found: FolderId,
    },
    /// One dep is in the past of another.
    #[error("op {id} names deps that are in each other's past", id = .id.short())]
    DepsNotMaximal {
        /// The op.
        id: OpId,
    },
    /// The log has its largest size.
    #[error("the membership log of this folder is full ({LOG_OPS_MAX} ops); start a new folder")]
    Full,
    /// Too much is waiting; fetch what is missing first.
    #[error("too many membership ops wait for others; ask for the missing ones first")]
    TooManyPending,
}

/// All membership ops of a folder.
#[derive(Debug)]
pub struct Log {
    genesis: Genesis,
    folder: FolderId,
    nodes: Vec<Node>,
    by_id: BTreeMap<OpId, At>,
    frontier: BTreeSet<At>,
    pending: BTreeMap<OpId, SignedOp>,
    pending_bytes: usize,
    /// Missing op -> those that wait for it.
    waiting: BTreeMap<OpId, BTreeSet<OpId>>,
    /// Resolved sets, the most recently used last. Only speed depends on it.
    standings: Mutex<Vec<Arc<Standing>>>,
}

impl Clone for Log {
    fn clone(&self) -> Self {
        let mut log = Self::new(self.genesis.clone());
        for op in self.ops().chain(self.pending.values()) {
            let added = log.add(op.clone());
            debug_assert!(added.is_ok(), "what one log holds another takes");
        }
        log
    }
}

impl Log {
    /// With the genesis alone.
    pub fn new(genesis: Genesis) -> Self {
        let (folder, id) = (genesis.folder_id(), genesis.op_id());
        let root = vec![(0, id)];
        let node = Node {
            id,
            signed: None,
            lam: 0,
            past: Past::default(),
            rank: root.clone(),
            device_rank: root,
            key_ids: vec![genesis.member.hpke.id(), genesis.device.hpke.id()],
            verdict: Ok(Valid::default()),
            witnesses: Vec::new(),
        };
        Self {
            genesis,
            folder,
            nodes: vec![node],
            by_id: [(id, 0)].into(),
            frontier: [0].into(),
            pending: BTreeMap::new(),
            pending_bytes: 0,
            waiting: BTreeMap::new(),
            standings: Mutex::default(),
        }
    }

    /// Takes an op. Ops that depend on ones not here yet wait, and enter with the last of them.
    ///
    /// Errors: see [`LogError`]; the log is unchanged then.
    pub fn add(&mut self, op: SignedOp) -> Result<Added, LogError> {
        if op.op().folder != self.folder {
            return Err(LogError::ForeignFolder { found: op.op().folder });
        }
        if self.by_id.contains_key(&op.id()) || self.pending.contains_key(&op.id()) {
            return Ok(Added::Known);
        }
        if self.nodes.len() > LOG_OPS_MAX {
            return Err(LogError::Full);
        }
        let missing = self.missing_deps(&op);
        if !missing.is_empty() {
            let bytes = self.pending_bytes + op.bytes().len();
            if self.pending.len() >= LOG_PENDING_OPS_MAX || bytes > LOG_PENDING_BYTES_MAX {
                return Err(LogError::TooManyPending);
            }
            self.pending_bytes = bytes;
            for dep in &missing {
                self.waiting.entry(*dep).or_default().insert(op.id());
            }
            self.pending.insert(op.id(), op);
            return Ok(Added::Pending(missing));
        }
        let mut new = vec![self.insert(op)?];
        let mut next = 0;
        while next < new.len() {
            for waiter in self.waiting.remove(&new[next]).unwrap_or_default() {
                let ready = self.pending.get(&waiter).is_some_and(|op| self.missing_deps(op).is_empty());
                if ready && let Some(op) = self.pending.remove(&waiter) {
                    self.pending_bytes -= op.bytes().len();
                    // One that turns out malformed is dropped; those that wait for it wait in vain and are bounded.
                    if let Ok(id) = self.insert(op) {
                        new.push(id);
                    }
                }
            }
            next += 1;
        }
        Ok(Added::New(new))
    }

    fn missing_deps(&self, op: &SignedOp) -> Vec<OpId> {
        op.op().deps.iter().filter(|dep| !self.by_id.contains_key(dep)).copied().collect()
    }

    /// Puts an op whose deps are all here at the end.
    fn insert(&mut self, signed: SignedOp) -> Result<OpId, LogError> {
        if self.nodes.len() > LOG_OPS_MAX {
            return Err(LogError::Full);
        }
        let (id, op) = (signed.id(), signed.op());
        let deps: BTreeSet<At> = op.deps.iter().map(|dep| self.by_id[dep]).collect();
        if deps.iter().any(|a| deps.iter().any(|b| self.node(*b).past.contains(*a))) {
            return Err(LogError::DepsNotMaximal { id });
        }
        let past = self.past_of(&deps);
        let lam = 1 + deps.iter().map(|dep| self.node(*dep).lam).max().unwrap_or(0);
        let mut before = self.take_standing(&past);
        let mut verdict = judge(self, &before, &past, op);
        let at = self.nodes.len() as At;
        let rank = self.rank_of(op, (lam, id));
        let device_rank = self.device_rank_of(op, &verdict, (lam, id));
        if rank.len() > GRANT_DEPTH_MAX || device_rank.len() > GRANT_DEPTH_MAX {
            verdict = Err(Void::TooDeep);
        }
        let key_ids = match &op.body {
            OpBody::Grant { member, device, .. } | OpBody::Join { member, device, .. } => {
                vec![member.hpke.id(), device.hpke.id()]
            }
            OpBody::Invite { hpke, .. } => vec![hpke.id()],
            OpBody::AddDevice { device, .. } => vec![device.hpke.id()],
            OpBody::KeyUpdate { keys, .. } => vec![keys.hpke.id()],
            _ => Vec::new(),
        };
        if let OpBody::Witness { join, .. } = &op.body
            && let Some(join) = self.by_id.get(join).copied()
            && past.contains(join)
        {
            self.nodes[join as usize].witnesses.push(at);
        }
        self.frontier = self.frontier.difference(&deps).copied().collect();
        self.frontier.insert(at);
        self.by_id.insert(id, at);
        self.nodes.push(Node {
            id,
            signed: Some(signed),
            lam,
            past,
            rank,
            device_rank,
            key_ids,
            verdict,
            witnesses: Vec::new(),
        });
        // An op that has seen all others of the set can void none of them, so the set grows by it without a new resolution.
        let after = Arc::make_mut(&mut before);
        after.extend(self, at);
        self.put_standing(before);
        Ok(id)
    }

    fn rank_of(&self, op: &Op, own: (u64, OpId)) -> Rank {
        let admits = matches!(
            op.body,
            OpBody::Grant { .. } | OpBody::Invite { .. } | OpBody::Join { .. } | OpBody::SeederGrant { .. }
        );
        match self.by_id.get(&op.signers[0].grant) {
            Some(grant) if admits => {
                let mut rank = self.node(*grant).rank.clone();
                rank.truncate(GRANT_DEPTH_MAX);
                rank.push(own);
                rank
            }
            _ => Rank::new(),
        }
    }

    fn device_rank_of(&self, op: &Op, verdict: &Result<Valid, Void>, own: (u64, OpId)) -> Rank {
        match (&op.body, verdict) {
            (OpBody::Grant { .. } | OpBody::Join { .. }, _) => vec![own],
            (OpBody::AddDevice { .. }, Ok(valid)) => {
                let mut rank = valid.signer_device.map_or_else(Rank::new, |at| self.node(at).device_rank.clone());
                rank.push(own);
                rank
            }
            _ => Rank::new(),
        }
    }

    /// The founding document.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }
    /// The folder.
    pub fn folder(&self) -> FolderId {
        self.folder
    }
    /// Whether the op (or genesis) is in the log; waiting ones are not.
    pub fn contains(&self, id: &OpId) -> bool {
        self.by_id.contains_key(id)
    }
    /// An op; none for the genesis and for waiting ones.
    pub fn get(&self, id: &OpId) -> Option<&SignedOp> {
        self.by_id.get(id).and_then(|at| self.node(*at).signed.as_ref())
    }
    /// How many ops there are, the genesis counted.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
    /// Never: there is always the genesis.
    pub fn is_empty(&self) -> bool {
        false
    }
    /// The ids of all, the genesis first, each after its deps.
    pub fn ids(&self) -> impl Iterator<Item = OpId> + '_ {
        self.nodes.iter().map(|node| node.id)
    }
    /// All but the genesis, each after its deps.
    pub fn ops(&self) -> impl Iterator<Item = &SignedOp> {
        self.nodes.iter().filter_map(|node| node.signed.as_ref())
    }
    /// What the next op names as `deps` and the next head as `auth`: the frontier, sorted. If branches are too many for one op,
    /// those first whose author had authority, then the longest; the rest stays for the op after.
    pub fn next_deps(&self) -> Vec<OpId> {
        let mut tips: Vec<At> = self.frontier.iter().copied().collect();
        tips.sort_by_key(|at| {
            let node = self.node(*at);
            (node.verdict.is_err(), Reverse(node.lam), node.id)
        });
        let mut ids: Vec<OpId> = tips.into_iter().take(OP_DEPS_MAX).map(|at| self.node(at).id).collect();
        ids.sort();
        ids
    }
    /// Drops all that waits: when the peer that brought it can not bring what is missing.
    pub fn forget_pending(&mut self) {
        self.pending.clear();
        self.waiting.clear();
        self.pending_bytes = 0;
    }
    /// The maximal ops, sorted.
    pub fn frontier(&self) -> Vec<OpId> {
        let mut ids: Vec<OpId> = self.frontier.iter().map(|at| self.node(*at).id).collect();
        ids.sort();
        ids
    }
    /// Which ops waiting ones wait for and that do not wait themselves: what to ask peers for.
    pub fn missing(&self) -> Vec<OpId> {
        self.waiting.keys().filter(|id| !self.pending.contains_key(id)).copied().collect()
    }
    /// The length of the longest path from the genesis; none if the op is not here.
    pub fn lam(&self, id: &OpId) -> Option<u64> {
        self.by_id.get(id).map(|at| self.node(*at).lam)
    }
    /// Whether `earlier` is in the past of `later`. False if one is not here.
    pub fn precedes(&self, earlier: &OpId, later: &OpId) -> bool {
        match (self.by_id.get(earlier), self.by_id.get(later)) {
            (Some(a), Some(b)) => self.node(*b).past.contains(*a),
            _ => false,
        }
    }
    /// Whether each op of `old` is in `new` or in the past of one of it: rule R9's "`auth` dominates `prev.auth`".
    pub fn dominates(&self, new: &[OpId], old: &[OpId]) -> bool {
        old.iter().all(|old| new.contains(old) || new.iter().any(|new| self.precedes(old, new)))
    }
    /// Why an op had no authority in its own past; none if it had, or is not here.
    pub fn refusal(&self, id: &OpId) -> Option<Void> {
        self.by_id.get(id).and_then(|at| self.node(*at).verdict.as_ref().err().copied())
    }

    pub(super) fn node(&self, at: At) -> &Node {
        &self.nodes[at as usize]
    }
    pub(super) fn at(&self, id: &OpId) -> Option<At> {
        self.by_id.get(id).copied()
    }
    pub(super) fn past_of<'a>(&self, ops: impl IntoIterator<Item = &'a At>) -> Past {
        let ops: Vec<At> = ops.into_iter().copied().collect();
        Past::of(ops.iter().map(|at| (*at, &self.node(*at).past)))
    }
    /// The given ops with their pasts; none if one is not here.
    pub(super) fn past_of_ids(&self, ids: &[OpId]) -> Option<Past> {
        let ops: Option<Vec<At>> = ids.iter().map(|id| self.at(id)).collect();
        Some(self.past_of(&ops?))
    }
    pub(super) fn all(&self) -> Past {
        self.past_of(&self.frontier)
    }

    /// The resolution of a set, from memory or anew.
    pub(super) fn standing(&self, set: &Past) -> Arc<Standing> {
        let standing = self.take_standing(set);
        self.put_standing(standing.clone());
        standing
    }

    /// Like [`Self::standing`], but forgets it, so that the caller is its only owner and may extend it in place.
    fn take_standing(&self, set: &Past) -> Arc<Standing> {
        let mut known = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        match known.iter().rposition(|s| s.set == *set) {
            Some(i) => known.remove(i),
            None => Arc::new(settle(self, set.clone())),
        }
    }

    fn put_standing(&self, standing: Arc<Standing>) {
        let mut known = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|s| s.set != standing.set);
        known.push(standing);
        if known.len() > STANDINGS_MAX {
            known.remove(0);
        }
    }
}
