//! How a device that was away when it was sent away comes to know: whoever refuses it tells it the ops that say so. It proves the key
//! that was a member's; everybody else is refused as if nothing were here.
//!
//! Must hold: a key is told of its own removal and of nothing that came after it; what is told is believed only if, by all that is known
//! at the device and these ops, it is out. Should that be undone, by somebody more senior, it hears of it like any member.

use std::collections::BTreeSet;

use crate::id::{OpId, SigKey};
use crate::limits::{INTRODUCTION_OPS_MAX, REMOVAL_FRAMES_MAX};
use crate::members::{OpBody, SignedOp};
use crate::replicate::{Membership, Replica};
use crate::wire::proof::{KeyKind, Who};

impl Replica {
    /// The ops by which a device was sent away, and all that they rest on, each after those it depends on. Empty for whoever was never
    /// here, and for whoever is.
    pub fn removal_of(&self, who: &Who) -> Vec<Vec<u8>> {
        if who.kind != KeyKind::Device || self.membership.is_device(&who.key) {
            return vec![];
        }
        let log = self.membership.log();
        let removals = self.membership.roster().removals_of(&who.key).iter().map(|removal| removal.op);
        let sends_away = |op: &OpId| {
            let body = log.get(op).map(|op| &op.op().body);
            matches!(body, Some(OpBody::Remove { .. } | OpBody::RemoveDevice { .. }))
        };
        let removals: BTreeSet<OpId> = removals.filter(sends_away).collect();
        let told = |op: &&SignedOp| removals.iter().any(|r| *r == op.id() || log.precedes(&op.id(), r));
        log.ops().filter(told).map(|op| op.bytes().to_vec()).collect()
    }

    /// See the module's text.
    pub(super) fn told_removed(&mut self, device: &SigKey, ops: &[Vec<u8>]) {
        if ops.len() > INTRODUCTION_OPS_MAX * REMOVAL_FRAMES_MAX || !self.membership.is_device(device) {
            return;
        }
        let parsed = ops.iter().map(|bytes| SignedOp::from_bytes(bytes)).collect::<Result<Vec<_>, _>>();
        let Ok(ops) = parsed else { return };
        let log = self.membership.log();
        let known: Vec<SignedOp> = log.ops().chain(&ops).cloned().collect();
        let then = Membership::of(log.genesis().clone(), known);
        if !then.is_device(device) {
            self.add_ops(None, ops.into_iter().filter(|op| then.contains(&op.id())).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::{Op, Signer};
    use crate::replicate::tests::{Folder, device, key, seeder};
    use crate::replicate::{Input, Output};

    /// Tells a replica that device `n`, its own, was sent away. What it took into its log.
    fn tell(replica: &mut Replica, n: u8, ops: &[Vec<u8>]) -> usize {
        replica.handle(0, Input::ToldRemoved { device: key(n).public(), ops: ops.to_vec() });
        let mut added = 0;
        while let Some(output) = replica.poll_output() {
            match output {
                Output::OpsAdded(ids) => added += ids.len(),
                other => panic!("nothing else is to be done: {other:?}"),
            }
        }
        added
    }

    #[test]
    fn m1_a_device_that_was_away_is_told_of_its_removal_and_of_nothing_after_it() {
        let mut folder = Folder::of(&[2, 3]);
        let mut away = folder.replica();
        folder.grant(4);
        folder.remove(3, vec![]);
        folder.grant(5);
        let here = folder.replica();
        let ops = here.removal_of(&device(3));
        assert!(!here.membership().is_device(&key(3).public()));
        assert_eq!(tell(&mut away, 3, &ops), 2, "4 came before it was sent away, 5 after");
        assert!(!away.membership().is_device(&key(3).public()));
        assert!(away.membership().is_device(&key(4).public()) && !away.membership().is_device(&key(5).public()));
        assert_eq!(tell(&mut away, 3, &ops), 0, "it knows");
    }

    #[test]
    fn g4_who_was_never_here_and_who_still_is_are_told_nothing() {
        let mut folder = Folder::of(&[2, 3]);
        folder.hire(50, 1000);
        folder.remove(3, vec![]);
        let here = folder.replica();
        assert!(here.removal_of(&device(9)).is_empty(), "a stranger");
        assert!(here.removal_of(&device(2)).is_empty(), "a member");
        assert!(here.removal_of(&seeder(50)).is_empty(), "a seeder");
        assert!(here.removal_of(&seeder(3)).is_empty(), "a key is told what it was");
    }

    #[test]
    fn x13_a_false_message_of_removal_changes_nothing() {
        let mut folder = Folder::of(&[2, 3]);
        let mut away = folder.replica();
        let before = folder.replica();
        folder.remove(3, vec![]);
        let ops = folder.replica().removal_of(&device(3));
        assert_eq!(tell(&mut away, 2, &ops), 0, "another's removal");
        assert_eq!(tell(&mut away, 3, &[]), 0);
        let mut damaged = ops.clone();
        *damaged.last_mut().unwrap().last_mut().unwrap() ^= 1;
        assert_eq!(tell(&mut away, 3, &damaged), 0);
        let grant = before.membership().roster().device(&key(3).public()).unwrap().1.grant;
        let forged = Op {
            folder: folder.id(),
            signers: vec![Signer { grant: before.membership().log().genesis().op_id(), key: key(9).public() }],
            deps: before.membership().frontier(),
            body: OpBody::Remove { grant, cut: vec![] },
            sealed: vec![],
        };
        let forged = SignedOp::sign(forged, &[&key(9)]).unwrap().bytes().to_vec();
        assert_eq!(tell(&mut away, 3, &[forged]), 0, "nobody's signature");
        assert!(away.membership().is_device(&key(3).public()));
        assert!(away.membership().log().missing().is_empty(), "nothing is waited for");
    }
}
