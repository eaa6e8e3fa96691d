//! After somebody was sent away. If it was the person, or this device: which changes stand on this disk alone, and whom to ask whether it
//! is still so. If it was another: whom not to call any more.
//!
//! What must hold: nothing is written, moved or taken back any more; what was changed here and did not reach the folder is named, so that
//! nobody takes it for sent. Who has no place here any more does not come and go twice a second.

use cobox_core::history::{self, Change, Nodes, Past};

use super::brain::load;
use super::*;
use crate::disk_tree::Seen;

/// Files named at once.
const NAMED_MAX: usize = 20;
/// The disk is gone through again after this, if somebody asks.
const LOOK_AGAIN_MS: u64 = 60_000;
/// Those who know better, should a removal have been undone, are called this often.
const CALL_MS: u64 = 60_000;

/// What stands on the disk alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unsent {
    /// When that was looked at.
    at_ms: u64,
    /// Files that were changed or added, the first by path.
    pub(crate) named: Vec<FolderPath>,
    /// How many more there are.
    pub(crate) more: u64,
}

impl FolderActor {
    /// Whom to call about this folder. Who was sent away asks now and then; and of a machine where such a one was met it is asked now and
    /// then whether that has changed.
    pub(crate) fn whom_to_call(&mut self) -> Vec<Ticket> {
        let now = self.around.now_ms();
        if self.is_out() {
            if now < self.next_call_ms {
                return Vec::new();
            }
            self.next_call_ms = now + CALL_MS;
        }
        let mut called = self.contacts();
        let known = called.iter().map(|ticket| SigKey(ticket.endpoint.0)).collect::<BTreeSet<_>>();
        let replica = &self.replica;
        self.outsiders.retain(|machine, (who, again_ms)| {
            known.contains(machine) && now < *again_ms && replica.reach(who, now).is_none()
        });
        called.retain(|ticket| !self.outsiders.contains_key(&SigKey(ticket.endpoint.0)));
        called
    }

    /// Somebody without a place in the folder was met on this machine.
    pub(super) fn met_outsider(&mut self, machine: SigKey, who: Who) {
        let now = self.around.now_ms();
        if self.replica.reach(&who, now).is_none() {
            self.outsiders.insert(machine, (who, now + CALL_MS));
        }
    }

    /// Looks what stands on the disk alone, if this device is out and that was not looked at lately.
    pub(crate) fn note_unsent(&mut self) {
        let now = self.around.now_ms();
        if !self.is_out() || self.config.path.is_none() {
            self.unsent = None;
            return;
        }
        if self.unsent.as_ref().is_some_and(|unsent| unsent.at_ms <= now && now - unsent.at_ms < LOOK_AGAIN_MS) {
            return;
        }
        let mut changed = self.changed_on_disk().unwrap_or_else(|why| {
            tracing::warn!(%why, "what stands on this disk alone is not known");
            BTreeSet::new()
        });
        changed.extend(self.written_in_vain());
        let more = changed.len().saturating_sub(NAMED_MAX) as u64;
        self.unsent = Some(Unsent { at_ms: now, named: changed.into_iter().take(NAMED_MAX).collect(), more });
    }

    /// Files that are not as the folder last agreed with the disk.
    fn changed_on_disk(&self) -> Result<BTreeSet<FolderPath>, String> {
        let Some(path) = &self.config.path else { return Ok(BTreeSet::new()) };
        let synced = self.db.synced().map_err(|why| why.to_string())?;
        let disk = DiskTree::open(path, &self.folder).map_err(|why| why.to_string())?;
        let ignore = Ignore::load(&disk).map_err(|why| why.to_string())?;
        let mut changed = BTreeSet::new();
        let mut sink = |path: FolderPath, seen: Seen| {
            let known = synced.get(&path).and_then(|known| known.stamp);
            if let Some(stamp) = seen.stamp()
                && known != Some(seen::stamp(stamp))
            {
                changed.insert(path);
            }
        };
        disk.walk(&ignore, None, &mut sink).map_err(|why| why.to_string())?;
        Ok(changed)
    }

    /// Files that the state of this device has otherwise than the last states that count.
    fn written_in_vain(&self) -> BTreeSet<FolderPath> {
        let heads = self.replica.heads();
        let Ok(Some(remembered)) = self.db.remembered() else { return BTreeSet::new() };
        let in_vain = |top| heads.past(top, |head| !heads.counts(&head.id()));
        let in_vain: BTreeSet<HeadId> = remembered.frontier.iter().flat_map(in_vain).collect();
        if in_vain.is_empty() {
            return BTreeSet::new();
        }
        let below = in_vain.iter().filter_map(|id| heads.get(id)).flat_map(|head| head.head().parents());
        let last: BTreeSet<HeadId> =
            below.chain(remembered.frontier.iter().copied()).filter(|id| heads.counts(id)).collect();
        let Some(keys) = self.keys() else { return BTreeSet::new() };
        let Some((state, tree)) = load(&*self.blocks, remembered.root, keys) else { return BTreeSet::new() };
        let now = Past::new(state, tree);
        let mut nodes = KeptNodes(&*self.blocks);
        let roots = last.iter().filter_map(|id| heads.get(id)).map(|head| head.head().root);
        let before: Result<Vec<_>, _> = roots.map(|root| now.differences(root, &mut nodes, &**keys)).collect();
        let before = match before {
            Ok(before) => before,
            Err(why) => {
                tracing::warn!(%why, "what was written before the removal can not be told from what was written after it");
                return BTreeSet::new();
            }
        };
        let changes = history::changes(&now, &before, None, &self.standing());
        let is_work = |entry: &history::Entry| entry.change != Change::Deleted && entry.body.is_some();
        changes.into_iter().filter(is_work).map(|entry| entry.path).collect()
    }
}

/// Nodes that are kept here.
struct KeptNodes<'a>(&'a dyn BlockStore);

impl Nodes for KeptNodes<'_> {
    fn fetch(&mut self, cids: &[Cid]) -> Vec<(Cid, Vec<u8>)> {
        cids.iter().filter_map(|cid| Some((*cid, self.0.get(cid).ok()??))).collect()
    }
}
