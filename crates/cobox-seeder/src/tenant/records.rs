//! What is kept of a hosted folder besides its blocks: genesis, ops, envelopes, heads, receipts, addresses, and which heads are
//! complete since when. Records that belong together are written together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::scrub::Scrub;
use cobox_proto::codec::Canonical;
use cobox_proto::head::SignedHead;
use cobox_proto::hosting::{Agreed, Forgetting, Pace, SignedReceipt, Trash};
use cobox_proto::id::{Cid, FolderId, HeadId};
use cobox_proto::members::{Envelope, EnvelopeList, Genesis, SignedOp};
use cobox_proto::replicate::Kept;
use cobox_proto::wire::{AddressNote, OpEnvelopes};
use cobox_store::{FolderStore, HeadState, StoreError, StoredHead, StoredReceipt};

const GENESIS: &str = "genesis";
/// When a member was last here.
const LAST_SEEN: &str = "last-seen";
/// How far time has gone that may be believed.
const PACE: &str = "pace";
/// How long history stays.
const AGREED: &str = "agreed";
/// What is to be forgotten, and since when that stands.
const FORGETTING: &str = "forgetting";
/// How far reading everything again has come.
const SCRUB: &str = "scrub";
/// Set while the marks of completeness are not to be believed.
const DOUBT: &str = "doubt";

/// Something to keep.
#[derive(Debug)]
pub(super) enum Record {
    Op(SignedOp),
    Envelopes(OpEnvelopes),
    Head(SignedHead, HeadState, u64),
    Receipt(SignedReceipt),
    Address(AddressNote),
    Complete(HeadId, u64),
    Released(HeadId),
    LastSeen(u64),
    /// A block was damaged and is wanted again.
    Damaged(Cid),
    /// It is here again, or needed no more.
    Healed(Cid),
    Scrubbed(Scrub),
    /// A block is garbage since then.
    Trashed(Cid, u64),
    /// It is none any more, or gone.
    Untrashed(Cid),
    Pace(Pace),
    Agreed(Agreed),
    Forgetting(Forgetting),
}

/// What was kept.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) genesis: Genesis,
    pub(super) kept: Kept,
    pub(super) complete: BTreeMap<HeadId, u64>,
    pub(super) last_seen_ms: Option<u64>,
    pub(super) damaged: BTreeSet<Cid>,
    pub(super) scrub: Option<Scrub>,
    pub(super) trash: Trash,
    pub(super) pace: Pace,
    pub(super) agreed: Option<Agreed>,
    pub(super) forgetting: Forgetting,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    store: Arc<FolderStore>,
    folder: FolderId,
}

impl Records {
    pub(crate) fn new(store: Arc<FolderStore>, folder: FolderId) -> Self {
        Self { store, folder }
    }

    /// The first records of a folder.
    pub(crate) fn found(&self, genesis: &Genesis, ops: &[SignedOp]) -> Result<(), StoreError> {
        self.store.write(&self.folder, |batch| {
            batch.put_value(GENESIS, &genesis.to_bytes())?;
            ops.iter().try_for_each(|op| batch.put_op(&op.id(), op.bytes()))
        })
    }

    /// Forgets the folder.
    pub(crate) fn forget(&self) -> Result<(), StoreError> {
        self.store.delete_folder(&self.folder)
    }

    /// Keeps all of these, or none.
    pub(super) fn keep(&self, records: &[Record]) -> Result<(), StoreError> {
        self.store.write(&self.folder, |batch| {
            for record in records {
                match record {
                    Record::Op(op) => batch.put_op(&op.id(), op.bytes())?,
                    Record::Envelopes(sent) => {
                        batch.put_value(&format!("list/{}", sent.op), &sent.list.to_bytes())?;
                        for envelope in &sent.envelopes {
                            batch.put_envelope(&sent.op, &envelope.recipient, &envelope.bytes)?;
                        }
                    }
                    Record::Head(head, state, now_ms) => batch.put_head(&StoredHead {
                        id: head.id(),
                        state: *state,
                        received_at_ms: *now_ms,
                        bytes: head.bytes().to_vec(),
                    })?,
                    Record::Receipt(signed) => {
                        let (receipt, bytes) = (signed.receipt(), signed.bytes().to_vec());
                        batch.put_receipt(&StoredReceipt { seeder: receipt.seeder, head: receipt.head, bytes })?;
                    }
                    Record::Address(note) => batch.put_value(&format!("address/{}", note.device), &note.to_bytes())?,
                    Record::Complete(head, ms) => batch.put_value(&format!("complete/{head}"), &ms.to_le_bytes())?,
                    Record::Released(head) => batch.delete_value(&format!("complete/{head}"))?,
                    Record::LastSeen(ms) => batch.put_value(LAST_SEEN, &ms.to_le_bytes())?,
                    Record::Damaged(cid) => batch.put_value(&format!("damaged/{cid}"), &[])?,
                    Record::Healed(cid) => batch.delete_value(&format!("damaged/{cid}"))?,
                    Record::Scrubbed(scrub) => batch.put_value(SCRUB, &scrub.to_bytes())?,
                    Record::Trashed(cid, ms) => batch.put_value(&format!("trash/{cid}"), &ms.to_le_bytes())?,
                    Record::Untrashed(cid) => batch.delete_value(&format!("trash/{cid}"))?,
                    Record::Pace(pace) => batch.put_value(PACE, &pace.to_bytes())?,
                    Record::Agreed(agreed) => batch.put_value(AGREED, &agreed.to_bytes())?,
                    Record::Forgetting(forgetting) => batch.put_value(FORGETTING, &forgetting.to_bytes())?,
                }
            }
            Ok(())
        })
    }

    /// All that was kept; `None` if the folder is not known. A record that can not be read is left out: members have it too.
    pub(super) fn restore(&self) -> Result<Option<Restored>, StoreError> {
        let (store, folder) = (&self.store, &self.folder);
        let Some(genesis) = store.value(folder, GENESIS)?.and_then(|bytes| Genesis::from_bytes(&bytes).ok()) else {
            return Ok(None);
        };
        let mut kept = Kept::default();
        for (id, bytes) in store.ops(folder)? {
            kept.ops.extend(SignedOp::from_bytes(&bytes));
            let envelopes = store.envelopes(folder, &id)?;
            let list = store.value(folder, &format!("list/{id}"))?.map(|bytes| EnvelopeList::from_bytes(&bytes));
            if let Some(Ok(list)) = list
                && !envelopes.is_empty()
            {
                let envelopes = envelopes.into_iter().map(|(recipient, bytes)| Envelope { recipient, bytes }).collect();
                kept.envelopes.push(OpEnvelopes { op: id, list, envelopes });
            }
        }
        kept.heads = store.heads(folder)?.iter().filter_map(|head| SignedHead::from_bytes(&head.bytes).ok()).collect();
        let receipts = store.receipts(folder)?;
        kept.receipts = receipts.iter().filter_map(|kept| SignedReceipt::from_bytes(&kept.bytes).ok()).collect();
        let notes = store.values(folder, "address/")?;
        kept.addresses = notes.iter().filter_map(|(_, note)| AddressNote::from_bytes(note).ok()).collect();
        let complete = store.values(folder, "complete/")?;
        let complete = complete.iter().filter_map(|(key, ms)| Some((key.strip_prefix("complete/")?, number(ms)?)));
        let complete = complete.filter_map(|(head, ms)| Some((head.parse().ok()?, ms))).collect();
        let last_seen_ms = self.number(LAST_SEEN)?;
        let damaged = store.values(folder, "damaged/")?;
        let damaged = damaged.iter().filter_map(|(key, _)| key.strip_prefix("damaged/")?.parse().ok()).collect();
        let scrub = store.value(folder, SCRUB)?.and_then(|bytes| Scrub::from_bytes(&bytes));
        let trash = store.values(folder, "trash/")?;
        let trash = trash.iter().filter_map(|(key, ms)| Some((key.strip_prefix("trash/")?.parse().ok()?, number(ms)?)));
        let trash = Trash::of(trash.collect());
        let pace = store.value(folder, PACE)?.and_then(|bytes| Pace::from_bytes(&bytes).ok()).unwrap_or_default();
        let agreed = store.value(folder, AGREED)?.and_then(|bytes| Agreed::from_bytes(&bytes).ok());
        let forgetting = store.value(folder, FORGETTING)?.and_then(|bytes| Forgetting::from_bytes(&bytes).ok());
        let forgetting = forgetting.unwrap_or_default();
        Ok(Some(Restored { genesis, kept, complete, last_seen_ms, damaged, scrub, trash, pace, agreed, forgetting }))
    }

    /// Whether a block was lost and what stands above it has not been looked at since.
    pub(super) fn is_in_doubt(&self) -> Result<bool, StoreError> {
        Ok(self.number(DOUBT)?.is_some())
    }

    pub(crate) fn set_in_doubt(&self, doubt: bool) -> Result<(), StoreError> {
        self.set_number(DOUBT, doubt.then_some(1))
    }

    fn number(&self, key: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.store.value(&self.folder, key)?.and_then(|bytes| number(&bytes)))
    }

    fn set_number(&self, key: &str, value: Option<u64>) -> Result<(), StoreError> {
        self.store.write(&self.folder, |batch| match value {
            Some(value) => batch.put_value(key, &value.to_le_bytes()),
            None => batch.delete_value(key),
        })
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}
