//! The first visit of somebody who knows a folder's id and nothing else of it: from an invite code, or from a seeder's answer to a
//! member key. Gathers genesis, log and envelopes from one peer, believing nothing but what the id vouches for; then a
//! [`crate::replicate::Replica`] can be restored from it and go on, on the same channel.

use std::collections::BTreeSet;

use crate::id::{FolderId, OpId};
use crate::limits::{LOG_OPS_MAX, NEWCOMER_ENVELOPES_MAX};
use crate::members::{Genesis, SignedOp};
use crate::replicate::{Kept, parents_first};
use crate::wire::{Message, OpEnvelopes};

/// Why a first visit failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NewcomerError {
    /// The genesis is not this folder's.
    #[error("the peer does not have this folder's true beginning; try another peer")]
    WrongGenesis,
    /// Something in the log can not be read, or there is too much of it.
    #[error("the peer sent a membership log that can not be read; try another peer")]
    BadLog,
}

/// See the module's text.
#[derive(Debug)]
pub struct Newcomer {
    folder: FolderId,
    genesis: Option<Genesis>,
    /// What the peer named, and whether that was all.
    expected: BTreeSet<OpId>,
    listed: bool,
    ops: Vec<SignedOp>,
    known: BTreeSet<OpId>,
    envelopes: Vec<OpEnvelopes>,
    envelopes_expected: u64,
}

impl Newcomer {
    /// Of this folder, with the messages to begin with.
    pub fn new(folder: FolderId) -> (Self, [Message; 2]) {
        let newcomer = Self {
            folder,
            genesis: None,
            expected: BTreeSet::new(),
            listed: false,
            ops: Vec::new(),
            known: BTreeSet::new(),
            envelopes: Vec::new(),
            envelopes_expected: 0,
        };
        (newcomer, [Message::GenesisWanted, Message::LogHave { entries: vec![], last: true }])
    }

    /// Takes a message of the peer. Returns all once it is whole; what else the peer says meanwhile is for later.
    ///
    /// Errors: see [`NewcomerError`]; this peer is of no use then.
    pub fn take(&mut self, message: Message) -> Result<Option<(Genesis, Kept)>, NewcomerError> {
        match message {
            Message::Genesis { bytes } => {
                let genesis = Genesis::from_bytes(&bytes).map_err(|_| NewcomerError::WrongGenesis)?;
                if genesis.folder_id() != self.folder {
                    return Err(NewcomerError::WrongGenesis);
                }
                self.genesis = Some(genesis);
            }
            Message::LogHave { entries, last } => {
                for entry in entries {
                    if self.expected.insert(entry.op) {
                        self.envelopes_expected += u64::from(entry.envelopes);
                    }
                }
                self.listed |= last;
            }
            Message::Ops { ops } => {
                for bytes in ops {
                    let op = SignedOp::from_bytes(&bytes).map_err(|_| NewcomerError::BadLog)?;
                    if op.op().folder != self.folder {
                        return Err(NewcomerError::BadLog);
                    }
                    if self.known.insert(op.id()) {
                        self.ops.push(op);
                    }
                }
            }
            Message::Envelopes(sent) => self.envelopes.push(sent),
            _ => {}
        }
        let envelopes: u64 = self.envelopes.iter().map(|sent| sent.envelopes.len() as u64).sum();
        let ops = self.expected.len().max(self.known.len());
        if ops > LOG_OPS_MAX || self.envelopes.len() > NEWCOMER_ENVELOPES_MAX {
            return Err(NewcomerError::BadLog);
        }
        let whole = self.listed && self.expected.is_subset(&self.known) && envelopes >= self.envelopes_expected;
        match &self.genesis {
            Some(genesis) if whole => {
                let ops = parents_first(std::mem::take(&mut self.ops), SignedOp::id, |op| op.op().deps.clone());
                let envelopes = std::mem::take(&mut self.envelopes);
                Ok(Some((genesis.clone(), Kept { ops, envelopes, ..Kept::default() })))
            }
            _ => Ok(None),
        }
    }
}
