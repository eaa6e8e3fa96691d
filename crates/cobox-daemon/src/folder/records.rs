//! A folder's signed records in the home's database: what the replica is restored from at a start.

use std::collections::BTreeMap;

use cobox_proto::codec::{Canonical, Reader, Writer};
use cobox_proto::head::SignedHead;
use cobox_proto::hosting::SignedReceipt;
use cobox_proto::id::{FolderId, HeadId};
use cobox_proto::members::{Envelope, EnvelopeList, Genesis, SignedOp};
use cobox_proto::replicate::{Kept, Replica};
use cobox_proto::wire::{AddressNote, OpEnvelopes};
use cobox_store::{FolderStore, HeadState, StoreError, StoredHead, StoredReceipt};

use super::actor::Forgetful;

/// The genesis.
const GENESIS: &str = "genesis";
/// What owners had forgotten, as it was heard.
const FORGETTING: &str = "forgetting";

/// One folder's records.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    store: std::sync::Arc<FolderStore>,
    folder: FolderId,
}

impl Records {
    pub(crate) fn new(store: std::sync::Arc<FolderStore>, folder: FolderId) -> Self {
        Self { store, folder }
    }

    /// A new folder's first records, all or none.
    pub(crate) fn found(
        &self,
        genesis: &Genesis,
        ops: &[SignedOp],
        envelopes: &[OpEnvelopes],
    ) -> Result<(), StoreError> {
        self.store.put_value(&self.folder, GENESIS, &genesis.to_bytes())?;
        envelopes.iter().try_for_each(|sent| self.put_envelopes(sent))?;
        self.put_ops(ops.iter())
    }

    pub(crate) fn put_ops<'o>(&self, ops: impl Iterator<Item = &'o SignedOp>) -> Result<(), StoreError> {
        let rows: Vec<_> = ops.map(|op| (op.id(), op.bytes())).collect();
        self.store.put_ops(&self.folder, &rows)
    }

    pub(crate) fn put_envelopes(&self, sent: &OpEnvelopes) -> Result<(), StoreError> {
        self.store.write(&self.folder, |batch| {
            batch.put_value(&format!("list/{}", sent.op), &sent.list.to_bytes())?;
            sent.envelopes.iter().try_for_each(|e| batch.put_envelope(&sent.op, &e.recipient, &e.bytes))
        })
    }

    pub(crate) fn put_head(&self, head: &SignedHead, state: HeadState, now_ms: u64) -> Result<(), StoreError> {
        let row = StoredHead { id: head.id(), state, received_at_ms: now_ms, bytes: head.bytes().to_vec() };
        self.store.put_head(&self.folder, &row)
    }

    pub(crate) fn put_receipt(&self, receipt: &SignedReceipt) -> Result<(), StoreError> {
        let r = receipt.receipt();
        let row = StoredReceipt { seeder: r.seeder, head: r.head, bytes: receipt.bytes().to_vec() };
        self.store.put_receipt(&self.folder, &row)
    }

    pub(crate) fn put_address(&self, note: &AddressNote) -> Result<(), StoreError> {
        self.store.put_value(&self.folder, &format!("address/{}", note.device), &note.to_bytes())
    }

    pub(crate) fn put_forgetful(&self, forgetful: &Forgetful) -> Result<(), StoreError> {
        let mut w = Writer::new();
        w.put(&forgetful.time).put(&forgetful.heard);
        self.store.put_value(&self.folder, FORGETTING, &w.into_bytes())
    }

    /// What was kept by [`Self::put_forgetful`], if it can be read.
    pub(crate) fn forgetful(&self) -> Option<Forgetful> {
        let bytes = self.store.value(&self.folder, FORGETTING).ok()??;
        let mut r = Reader::new(&bytes);
        let forgetful = Forgetful { time: r.get().ok()?, heard: r.get().ok()? };
        r.finish().ok().map(|()| forgetful)
    }

    /// The folder's replica as it was; `None` if the folder is not known here. A record that can not be read is left out:
    /// others have it too.
    pub(crate) fn replica(&self) -> Result<Option<Replica>, StoreError> {
        let Some(genesis) = self.store.value(&self.folder, GENESIS)? else { return Ok(None) };
        let Ok(genesis) = Genesis::from_bytes(&genesis) else { return Ok(None) };
        let mut kept = Kept::default();
        for (id, bytes) in self.store.ops(&self.folder)? {
            let Ok(op) = SignedOp::from_bytes(&bytes) else { continue };
            let envelopes: Vec<Envelope> = self
                .store
                .envelopes(&self.folder, &id)?
                .into_iter()
                .map(|(recipient, bytes)| Envelope { recipient, bytes })
                .collect();
            let list = self.store.value(&self.folder, &format!("list/{id}"))?;
            if !envelopes.is_empty()
                && let Some(list) = list.and_then(|bytes| EnvelopeList::from_bytes(&bytes).ok())
            {
                kept.envelopes.push(OpEnvelopes { op: id, list, envelopes });
            }
            kept.ops.push(op);
        }
        for head in self.store.heads(&self.folder)? {
            kept.heads.extend(SignedHead::from_bytes(&head.bytes).ok());
        }
        for receipt in self.store.receipts(&self.folder)? {
            kept.receipts.extend(SignedReceipt::from_bytes(&receipt.bytes).ok());
        }
        for (_, note) in self.store.values(&self.folder, "address/")? {
            kept.addresses.extend(AddressNote::from_bytes(&note).ok());
        }
        Ok(Some(Replica::restore(genesis, kept)))
    }

    /// When each head came here, milliseconds since 1970.
    pub(crate) fn heads_came(&self) -> Result<BTreeMap<HeadId, u64>, StoreError> {
        Ok(self.store.heads(&self.folder)?.into_iter().map(|head| (head.id, head.received_at_ms)).collect())
    }

    /// Forgets the folder.
    pub(crate) fn delete(&self) -> Result<(), StoreError> {
        self.store.delete_folder(&self.folder)
    }
}
