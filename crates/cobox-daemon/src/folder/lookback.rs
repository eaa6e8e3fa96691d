//! Looking back from a running folder: takes what that needs from the folder's thread once, and reads on a thread of its own. Nodes of
//! earlier states come from the blocks kept here, else from whoever is connected; the folder's thread waits for none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use cobox_core::engine::{Engine, Standing};
use cobox_core::history::{Chronicle, Nodes, Page, PageOf, Past, PastError, Told, page};
use cobox_core::keys::FolderKeys;
use cobox_core::state::State;
use cobox_core::tree::Tree;
use cobox_proto::head::SignedHead;
use cobox_proto::id::{Cid, HeadId, SigKey};
use cobox_store::{BlockStore, StoreError};
use tokio::runtime::Handle;

use super::records::Records;
use super::{FolderActor, FolderHandle};

/// Silence after which whoever was asked counts as not having the rest.
const PATIENCE: Duration = Duration::from_secs(20);
/// Blocks asked for at once; what is left waits for its turn.
const SEEK_MAX: usize = 512;

/// Why the past can not be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookBackError {
    /// A state is not as it should be.
    #[error(transparent)]
    Past(#[from] PastError),
    /// The records can not be read.
    #[error(transparent)]
    Records(#[from] StoreError),
}

/// Who wrote something, as people know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writer {
    /// The member's name; of one who left long ago, the beginning of the device's key.
    pub(crate) name: String,
    /// The beginning of the device's key.
    pub(crate) device: String,
}

/// A folder's past, and what it takes to read it. Lives on a thread that may wait.
pub(crate) struct LookBack {
    pub(crate) keys: Arc<FolderKeys>,
    /// The state of now.
    pub(crate) state: State,
    tree: Tree,
    standing: Standing,
    heads: Vec<SignedHead>,
    /// When seeders signed for heads.
    signed_for: BTreeMap<HeadId, u64>,
    names: BTreeMap<SigKey, String>,
    records: Records,
    chronicle: Option<Arc<Chronicle>>,
    pub(crate) reach: Reach,
}

/// Gets blocks, from here or from others.
pub(crate) struct Reach {
    pub(crate) blocks: Arc<dyn BlockStore>,
    handle: FolderHandle,
    runtime: Handle,
    /// What nobody had, during this look.
    gone: BTreeSet<Cid>,
}

impl FolderActor {
    /// What looking back needs; `None` while the folder has no keys or does not run. `person`: what this device's owner is called.
    pub(crate) fn look_back(&self, handle: FolderHandle, runtime: Handle, person: &str) -> Option<LookBack> {
        let engine = self.engine.as_ref()?;
        let keys = self.keys()?.clone();
        let mut signed_for: BTreeMap<HeadId, u64> = BTreeMap::new();
        for receipt in self.replica.receipts().map(|receipt| receipt.receipt()) {
            let at = signed_for.entry(receipt.head).or_insert(u64::MAX);
            *at = receipt.received_ms.min(*at);
        }
        let own = self.device.public().sig;
        let members = self.replica.membership().roster().members();
        let names = members.flat_map(|member| {
            let is_own = member.devices.iter().any(|device| device.sig == own);
            let name = if is_own { Some(person.to_owned()) } else { self.member_name(&member.grant) };
            let named = move |device: &SigKey| (*device, name.clone().unwrap_or_else(|| device.short()));
            member.devices.iter().map(move |device| named(&device.sig)).collect::<Vec<_>>()
        });
        Some(LookBack {
            keys,
            state: engine.state().clone(),
            tree: engine.tree().clone(),
            standing: self.standing(),
            heads: self.heads_joined(engine),
            signed_for,
            names: names.collect(),
            records: self.records().clone(),
            chronicle: None,
            reach: Reach { blocks: self.blocks().clone(), handle, runtime, gone: BTreeSet::new() },
        })
    }

    fn heads_joined(&self, engine: &Engine) -> Vec<SignedHead> {
        let heads = self.replica.heads();
        let mut seen = BTreeSet::new();
        let past = engine.frontier().iter().flat_map(|top| heads.past(top, |head| seen.insert(head.id())));
        past.filter_map(|id| heads.get(&id).cloned()).collect()
    }
}

impl LookBack {
    /// The folder's heads in the order of time.
    pub(crate) fn chronicle(&mut self) -> Result<Arc<Chronicle>, LookBackError> {
        if let Some(chronicle) = &self.chronicle {
            return Ok(chronicle.clone());
        }
        let came = self.records.heads_came()?;
        let told = std::mem::take(&mut self.heads).into_iter().map(|head| {
            let id = head.id();
            let there_ms = came.get(&id).into_iter().chain(self.signed_for.get(&id)).min().copied();
            Told { head, there_ms }
        });
        let chronicle = Arc::new(Chronicle::new(told.collect()));
        self.chronicle = Some(chronicle.clone());
        Ok(chronicle)
    }

    /// The state of now, to go back from.
    pub(crate) fn past(&self) -> Past {
        Past::new(self.state.clone(), self.tree.clone())
    }

    /// How far epochs are from the first.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// A page of history.
    pub(crate) fn page(&mut self, of: &PageOf) -> Result<Page, LookBackError> {
        let chronicle = self.chronicle()?;
        let mut past = self.past();
        Ok(page(&chronicle, of, &mut past, &mut self.reach, &self.keys, &self.standing)?)
    }

    /// Whose device this is.
    pub(crate) fn writer(&self, device: Option<&SigKey>) -> Option<Writer> {
        let device = device?;
        let name = self.names.get(device).cloned().unwrap_or_else(|| device.short());
        Some(Writer { name, device: device.short() })
    }
}

impl Reach {
    /// One that reaches nobody.
    #[cfg(test)]
    pub(crate) fn nobody(blocks: Arc<dyn BlockStore>, handle: FolderHandle, runtime: Handle) -> Self {
        Self { blocks, handle, runtime, gone: BTreeSet::new() }
    }

    /// As many of these as others have, one after the other as they come; those that nobody has are left out.
    pub(crate) fn seek(&mut self, cids: &[Cid], mut found: impl FnMut(Cid, bytes::Bytes)) {
        let wanted: BTreeSet<Cid> = cids.iter().filter(|cid| !self.gone.contains(cid)).copied().collect();
        let wanted: Vec<Cid> = wanted.into_iter().collect();
        for part in wanted.chunks(SEEK_MAX) {
            let (tell, told) = mpsc::channel();
            let (asked, handle) = (part.to_vec(), self.handle.clone());
            if self.runtime.block_on(handle.ask(move |actor| actor.seek(asked, &tell))).is_none() {
                return;
            }
            let mut left: BTreeSet<Cid> = part.iter().copied().collect();
            while !left.is_empty() {
                match told.recv_timeout(PATIENCE) {
                    Ok((cid, bytes)) => {
                        left.remove(&cid);
                        match bytes {
                            Some(bytes) => found(cid, bytes),
                            None => drop(self.gone.insert(cid)),
                        }
                    }
                    Err(_) => break,
                }
            }
            if !left.is_empty() {
                self.gone.extend(&left);
                let left: Vec<Cid> = left.into_iter().collect();
                let handle = self.handle.clone();
                let _stopped = self.runtime.block_on(handle.ask(move |actor| actor.seek_no_more(&left)));
            }
        }
    }
}

impl Nodes for Reach {
    fn fetch(&mut self, cids: &[Cid]) -> Vec<(Cid, Vec<u8>)> {
        let (mut found, mut missing) = (Vec::with_capacity(cids.len()), Vec::new());
        for cid in cids {
            match self.blocks.get(cid) {
                Ok(Some(bytes)) => found.push((*cid, bytes)),
                _ => missing.push(*cid),
            }
        }
        if !missing.is_empty() {
            let blocks = self.blocks.clone();
            self.seek(&missing, |cid, bytes| {
                // Whoever turns the page needs them again; in time they go as all that belongs to old states does.
                if let Err(why) = blocks.put_many(&[(cid, &bytes)]) {
                    tracing::warn!(%why, "a node of an earlier state could not be kept");
                }
                found.push((cid, bytes.to_vec()));
            });
        }
        found
    }
}
