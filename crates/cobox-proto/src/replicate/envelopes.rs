//! Envelopes beside the log: kept by op and recipient, taken in only if the op's hash covers them, so that nobody can put a
//! false one in the place of the true.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::id::{Hash, OpId};
use crate::members::{Envelope, EnvelopeList, OpBody, SignedOp};
use crate::wire::OpEnvelopes;

#[derive(Debug, Default)]
struct OfOp {
    list: EnvelopeList,
    by_recipient: BTreeMap<Hash, Envelope>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Envelopes {
    by_op: BTreeMap<OpId, OfOp>,
}

impl Envelopes {
    /// How many envelopes of the op are here.
    pub fn count(&self, op: &OpId) -> u32 {
        self.by_op.get(op).map_or(0, |of| of.by_recipient.len() as u32)
    }

    /// The envelope of the op for this recipient.
    pub fn get(&self, op: &OpId, recipient: &Hash) -> Option<&Envelope> {
        self.by_op.get(op)?.by_recipient.get(recipient)
    }

    /// All of one op, as they travel.
    pub fn of(&self, op: &OpId) -> Option<OpEnvelopes> {
        let of = self.by_op.get(op)?;
        Some(OpEnvelopes { op: *op, list: of.list.clone(), envelopes: of.by_recipient.values().cloned().collect() })
    }

    /// Whether all that the op promises are here; true for an op that promises none.
    pub fn are_whole(&self, op: &SignedOp) -> bool {
        let of = self.by_op.get(&op.id());
        match &op.op().body {
            OpBody::EpochBundle { recipients, .. } => {
                recipients.is_empty() || of.is_some_and(|of| of.by_recipient.len() == recipients.len())
            }
            OpBody::EpochGrant { .. } => of.is_some_and(|of| !of.by_recipient.is_empty()),
            _ => true,
        }
    }

    /// Takes what the op covers and returns what of it is new. `None`: something is not covered, which no honest peer sends.
    pub fn add(&mut self, op: &SignedOp, sent: OpEnvelopes) -> Option<OpEnvelopes> {
        // Many bring the same: what is here was covered when it came, and hashing is all that this costs.
        let here = self.by_op.get(&op.id());
        let is_here =
            |envelope: &Envelope| here.and_then(|of| of.by_recipient.get(&envelope.recipient)) == Some(envelope);
        let is_its_list = match &op.op().body {
            OpBody::EpochBundle { envelopes, .. } => !sent.envelopes.is_empty() && sent.list.hash() == *envelopes,
            _ => false,
        };
        let covered = |envelope: &Envelope| match &op.op().body {
            OpBody::EpochBundle { .. } => is_its_list && (is_here(envelope) || sent.list.holds(envelope)),
            OpBody::EpochGrant { recipient, envelope: hash, .. } => {
                envelope.recipient == *recipient && envelope.hash() == *hash
            }
            _ => false,
        };
        if sent.op != op.id() || !sent.envelopes.iter().all(covered) {
            return None;
        }
        let mut new = OpEnvelopes { op: sent.op, list: sent.list.clone(), envelopes: vec![] };
        if sent.envelopes.is_empty() {
            return Some(new);
        }
        let of = self.by_op.entry(sent.op).or_default();
        of.list = sent.list;
        for envelope in sent.envelopes {
            if let Entry::Vacant(vacant) = of.by_recipient.entry(envelope.recipient) {
                vacant.insert(envelope.clone());
                new.envelopes.push(envelope);
            }
        }
        Some(new)
    }
}
