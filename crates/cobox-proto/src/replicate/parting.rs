//! How a device that was away when it was sent away comes to know: whoever refuses it tells it the ops that say so. It proves the key
//! that was a member's, or that asked in a join and waited; everybody else is refused as if nothing were here.
//!
//! Ops that hand on keys come with their envelopes (rule R19): what the device knows it can pass on, whether it is let in again by what
//! it hears later, or enters where nobody knows that it was sent away, and tells that.
//!
//! Must hold: a key is told of its own removal and of nothing that came after it; what is told is believed only if, by all that is known
//! at the device and these ops, it is out. Should that be undone, by somebody more senior, it hears of it like any member. If it is void by
//! what only the device knows, it takes the ops all the same, and brings what makes them void as it asks to enter (`introduce`).

use std::collections::BTreeSet;

use crate::id::{OpId, SigKey};
use crate::limits::{INTRODUCTION_OPS_MAX, REMOVAL_FRAMES_MAX};
use crate::members::{Log, OpBody, SignedOp, Signer};
use crate::replicate::introduce::admits;
use crate::replicate::{Membership, Output, Replica};
use crate::wire::Removal;
use crate::wire::proof::{KeyKind, Who};

impl Replica {
    /// The ops by which a device was sent away, or by which a join of it was refused, and all that they rest on, each after those it
    /// depends on. Empty for whoever was never here, and for whoever is.
    pub fn removal_of(&self, who: &Who) -> Removal {
        if who.kind != KeyKind::Device || self.membership.is_device(&who.key) {
            return Removal::default();
        }
        let log = self.membership.log();
        let removals = self.membership.roster().removals_of(&who.key).iter().map(|removal| removal.op);
        let sends_away = |op: &OpId| {
            let body = log.get(op).map(|op| &op.op().body);
            matches!(body, Some(OpBody::Remove { .. } | OpBody::RemoveDevice { .. }))
        };
        let mut removals: BTreeSet<OpId> = removals.filter(sends_away).collect();
        removals.extend(self.refusals_of(&who.key));
        removals.extend(ends_of_admissions(&self.membership, &who.key));
        let introduced = self.void_introductions.iter().filter(|(device, _)| *device == who.key);
        removals.extend(introduced.flat_map(|(_, ends)| ends).filter(|op| self.membership.roster().accepted(op)));
        let told = |op: &&SignedOp| removals.iter().any(|r| *r == op.id() || log.precedes(&op.id(), r));
        let told: Vec<&SignedOp> = log.ops().filter(told).collect();
        Removal {
            ops: told.iter().map(|op| op.bytes().to_vec()).collect(),
            envelopes: told.iter().rev().filter_map(|op| self.envelopes.of(&op.id())).collect(),
        }
    }

    /// The ops that ended the waiting of this device's joins: they closed the invite, or gave its last use to somebody else.
    fn refusals_of(&self, device: &SigKey) -> BTreeSet<OpId> {
        let (log, roster) = (self.membership.log(), self.membership.roster());
        let asked = log.ops().filter_map(|op| match &op.op().body {
            OpBody::Join { invite, device: by, .. } if by.sig == *device => Some(*invite),
            _ => None,
        });
        let over = asked.filter(|invite| roster.invite(invite).is_some_and(|invite| !invite.open));
        let over: BTreeSet<OpId> = over.collect();
        let inviters: BTreeSet<OpId> =
            over.iter().filter_map(|invite| log.get(invite)).map(|op| op.op().signers[0].grant).collect();
        let by_it = |join: &OpId| match log.get(join).map(|op| &op.op().body) {
            Some(OpBody::Join { invite, .. }) => over.contains(invite),
            _ => false,
        };
        let ends = |op: &&SignedOp| match &op.op().body {
            OpBody::CancelInvite { invite, .. } => over.contains(invite),
            OpBody::Witness { join, .. } => by_it(join),
            OpBody::Remove { grant, .. } | OpBody::SetRole { grant, .. } => inviters.contains(grant),
            _ => false,
        };
        log.ops().filter(ends).map(SignedOp::id).filter(|op| roster.accepted(op)).collect()
    }

    /// See the module's text.
    pub(super) fn told_removed(&mut self, device: &SigKey, told: Removal) {
        let Removal { ops, envelopes } = told;
        if ops.len() > INTRODUCTION_OPS_MAX * REMOVAL_FRAMES_MAX || !self.membership.is_device(device) {
            return;
        }
        let parsed = ops.iter().map(|bytes| SignedOp::from_bytes(bytes)).collect::<Result<Vec<_>, _>>();
        let Ok(ops) = parsed else { return };
        let log = self.membership.log();
        let known: Vec<SignedOp> = log.ops().chain(&ops).cloned().collect();
        let then = Membership::of(log.genesis().clone(), known);
        let removes = || {
            let alone = Membership::of(log.genesis().clone(), ops.clone());
            !alone.roster().removals_of(device).is_empty()
        };
        if !then.is_device(device) || removes() {
            let ops: Vec<SignedOp> = ops.into_iter().filter(|op| then.contains(&op.id())).collect();
            // Kept first: an op without its envelopes helps nobody.
            for sent in envelopes {
                let op = ops.iter().find(|op| op.id() == sent.op);
                let new = op.and_then(|op| self.envelopes.add(op, sent)).filter(|new| !new.envelopes.is_empty());
                self.outputs.extend(new.map(Output::EnvelopesAdded));
            }
            self.add_ops(None, ops);
        }
    }
}

/// The ops by which somebody lost the right to let this device in, who had it as they did: they were sent away, or made less, by
/// somebody who had not seen that.
pub(super) fn ends_of_admissions(membership: &Membership, device: &SigKey) -> BTreeSet<OpId> {
    let (log, roster) = (membership.log(), membership.roster());
    let is_void =
        |op: &&SignedOp| admits(&op.op().body, device) && log.refusal(&op.id()).is_none() && !roster.accepted(&op.id());
    let void: Vec<&SignedOp> = log.ops().filter(is_void).collect();
    let mut above: BTreeSet<Signer> = BTreeSet::new();
    let mut todo = void.clone();
    while let Some(op) = todo.pop() {
        for signer in op.op().signers.iter().filter(|signer| above.insert(**signer)) {
            todo.extend(log.get(&signer.grant));
            // A device that signed was let in itself.
            todo.extend(log.ops().filter(|op| admits(&op.op().body, &signer.key)));
        }
    }
    let ends = |op: &&SignedOp| match &op.op().body {
        OpBody::Remove { grant, .. } | OpBody::SetRole { grant, .. } => above.iter().any(|by| by.grant == *grant),
        OpBody::RemoveDevice { device, .. } => above.iter().any(|by| by.key == *device),
        OpBody::CancelInvite { invite, .. } => above.iter().any(|by| by.grant == *invite),
        _ => false,
    };
    let unseen = |op: &OpId| void.iter().any(|void| !log.precedes(op, &void.id()) && !log.precedes(&void.id(), op));
    log.ops().filter(ends).map(SignedOp::id).filter(|op| roster.accepted(op) && unseen(op)).collect()
}

/// Whether ops that somebody told who refused a join's device say, on top of a log, that the join will not take effect any more: the
/// invite stands no longer, or is used up by others. What can not be read, or does not fit the log, says nothing.
pub fn tells_refusal(log: &Log, join: &SignedOp, told: &[Vec<u8>]) -> bool {
    let OpBody::Join { invite, .. } = &join.op().body else { return false };
    if told.len() > INTRODUCTION_OPS_MAX * REMOVAL_FRAMES_MAX {
        return false;
    }
    let Ok(told) = told.iter().map(|bytes| SignedOp::from_bytes(bytes)).collect::<Result<Vec<_>, _>>() else {
        return false;
    };
    let known: Vec<SignedOp> = log.ops().cloned().chain([join.clone()]).chain(told).collect();
    let then = Membership::of(log.genesis().clone(), known);
    then.roster().invite(invite).is_some_and(|invite| !invite.open) && !then.roster().accepted(&join.id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::{Op, Role};
    use crate::replicate::tests::{Folder, device, key, pair, seeder};
    use crate::replicate::{Input, Output, PeerId};
    use crate::wire::{Message, OpEnvelopes};

    /// Tells a replica that device `n`, its own, was sent away. What it took into its log.
    fn tell(replica: &mut Replica, n: u8, told: &Removal) -> usize {
        replica.handle(0, Input::ToldRemoved { device: key(n).public(), told: told.clone() });
        let mut added = 0;
        while let Some(output) = replica.poll_output() {
            match output {
                Output::OpsAdded(ids) => added += ids.len(),
                Output::EnvelopesAdded(_) => {}
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

    /// Alice changes the keys, sends Carol away, and is lost before anybody else has heard of it. What Carol was told she can hand on.
    #[test]
    fn m1_what_a_device_is_told_of_its_removal_it_can_hand_on_keys_included() {
        let mut folder = Folder::of(&[2, 3]);
        folder.epoch();
        let (mut carols, mut bobs) = (folder.replica(), folder.replica());
        let epoch = folder.epoch();
        folder.remove(3, vec![]);
        let told = folder.replica().removal_of(&device(3));
        assert_eq!(told.envelopes.first().map(|sent| sent.op), Some(epoch), "the latest first");
        assert_eq!(tell(&mut carols, 3, &told), 2);
        assert!(carols.envelopes().count(&epoch) > 0);

        // Where nobody has heard that she was sent away, she is let in, and says so.
        let bob = |told: Message| Input::Received { peer: PeerId(7), message: told };
        bobs.handle(0, Input::PeerOpened { peer: PeerId(7), who: device(3), ours: KeyKind::Device });
        carols.handle(0, Input::PeerOpened { peer: PeerId(8), who: device(2), ours: KeyKind::Device });
        let mut sent = true;
        while std::mem::take(&mut sent) {
            while let Some(output) = carols.poll_output() {
                if let Output::Send { message, .. } = output {
                    bobs.handle(0, bob(message));
                    sent = true;
                }
            }
            while let Some(output) = bobs.poll_output() {
                if let Output::Send { message, .. } = output {
                    carols.handle(0, Input::Received { peer: PeerId(8), message });
                    sent = true;
                }
            }
        }
        assert!(!bobs.membership().is_device(&key(3).public()));
        assert_eq!(bobs.membership().frontier(), carols.membership().frontier());
        assert_eq!(bobs.envelopes().count(&epoch), carols.envelopes().count(&epoch));
    }

    #[test]
    fn x13_false_envelopes_beside_a_removal_are_not_kept() {
        let mut folder = Folder::of(&[2, 3]);
        folder.epoch();
        let mut away = folder.replica();
        let epoch = folder.epoch();
        folder.remove(3, vec![]);
        let mut told = folder.replica().removal_of(&device(3));
        told.envelopes[0].envelopes[0].bytes[0] ^= 1;
        told.envelopes.push(OpEnvelopes { op: OpId([9; 32]), ..told.envelopes[0].clone() });
        assert_eq!(tell(&mut away, 3, &told), 2);
        assert_eq!(away.envelopes().count(&epoch), 0);
    }

    #[test]
    fn g4_who_was_never_here_and_who_still_is_are_told_nothing() {
        let mut folder = Folder::of(&[2, 3]);
        folder.hire(50, 1000);
        folder.remove(3, vec![]);
        let here = folder.replica();
        assert!(here.removal_of(&device(9)).ops.is_empty(), "a stranger");
        assert!(here.removal_of(&device(2)).ops.is_empty(), "a member");
        assert!(here.removal_of(&seeder(50)).ops.is_empty(), "a seeder");
        assert!(here.removal_of(&seeder(3)).ops.is_empty(), "a key is told what it was");
    }

    #[test]
    fn x13_a_false_message_of_removal_changes_nothing() {
        let mut folder = Folder::of(&[2, 3]);
        let mut away = folder.replica();
        let before = folder.replica();
        folder.remove(3, vec![]);
        let ops = folder.replica().removal_of(&device(3));
        assert_eq!(tell(&mut away, 2, &ops), 0, "another's removal");
        assert_eq!(tell(&mut away, 3, &Removal::default()), 0);
        let mut damaged = ops.clone();
        *damaged.ops.last_mut().unwrap().last_mut().unwrap() ^= 1;
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
        assert_eq!(tell(&mut away, 3, &Removal { ops: vec![forged], envelopes: vec![] }), 0, "nobody's signature");
        assert!(away.membership().is_device(&key(3).public()));
        assert!(away.membership().log().missing().is_empty(), "nothing is waited for");
    }

    #[test]
    fn m6_who_waited_to_be_let_in_is_told_of_the_refusal_and_believes_nothing_less() {
        let mut folder = Folder::of(&[2, 3]);
        let invite = folder.invite(60, 1, 1000);
        let join = folder.join(invite, 60, 7);
        let waiting = folder.replica();
        assert!(waiting.removal_of(&device(7)).ops.is_empty(), "it still waits");
        folder.grant(4);
        folder.cancel(invite);
        folder.grant(5);
        let here = folder.replica();
        let told = here.removal_of(&device(7)).ops;
        assert!(here.removal_of(&device(8)).ops.is_empty(), "a stranger is told nothing");
        let log = waiting.membership().log();
        assert!(tells_refusal(log, &join, &told));
        assert!(!tells_refusal(log, &join, &[]), "a closed door alone says nothing");
        let mut damaged = told.clone();
        *damaged.last_mut().unwrap().last_mut().unwrap() ^= 1;
        assert!(!tells_refusal(log, &join, &damaged));
        let mut after = Membership::of(log.genesis().clone(), log.ops().cloned().collect());
        after.add(told.iter().map(|bytes| SignedOp::from_bytes(bytes).unwrap()).collect());
        assert!(!after.is_device(&key(5).public()), "and of nothing that came after it");
    }

    #[test]
    fn m6_of_two_who_wait_by_one_code_the_other_is_told_that_it_is_used_up() {
        let mut folder = Folder::of(&[2]);
        let invite = folder.invite(60, 1, 1000);
        let (first, second) = (folder.join(invite, 60, 7), folder.join(invite, 60, 8));
        let log = folder.replica();
        folder.witness(first.id());
        let here = folder.replica();
        assert!(here.removal_of(&device(7)).ops.is_empty(), "a member");
        let told = here.removal_of(&device(8)).ops;
        assert!(tells_refusal(log.membership().log(), &second, &told));
        assert!(!tells_refusal(log.membership().log(), &first, &told));
    }
    /// Two seeders that do not hear of each other each witness somebody's join by an invite for one.
    #[test]
    fn m5_who_was_let_in_at_one_seeder_and_then_was_one_too_many_is_told_so() {
        for swap in [false, true] {
            let mut folder = Folder::of(&[2]);
            let (one, other) = (folder.hire(51, 1000), folder.hire(52, 1000));
            let invite = folder.invite(60, 1, 1000);
            let mut sides = [folder.fork(), folder.fork()];
            let seeders = if swap { [(other, 52), (one, 51)] } else { [(one, 51), (other, 52)] };
            for (side, (seeder, n), joiner) in [(0, seeders[0], 7), (1, seeders[1], 8)] {
                let join = sides[side].join(invite, 60, joiner).id();
                sides[side].write(seeder, &key(n), OpBody::Witness { join, at_ms: 5 });
            }
            let [at_one, at_other] = sides;
            let mut both = at_one.fork();
            both.learn(&at_other);
            let here = both.replica();
            let is_in = |n: u8| here.membership().is_device(&key(n).public());
            assert!(is_in(7) != is_in(8), "the invite was for one");
            let (winner, loser) = if is_in(7) { (7, 8) } else { (8, 7) };
            let mut theirs = if loser == 7 { at_one.replica() } else { at_other.replica() };
            assert!(theirs.membership().is_device(&key(loser).public()), "so it was told at its seeder");
            assert!(here.removal_of(&device(winner)).ops.is_empty());
            assert!(tell(&mut theirs, loser, &here.removal_of(&device(loser))) > 0);
            assert!(!theirs.membership().is_device(&key(loser).public()));
        }
    }

    /// Bob, an admin, lets Dan in, and Dan lets his tablet in; Alice had sent Bob away by then and did not know.
    #[test]
    fn m3_who_was_let_in_by_somebody_sent_away_before_is_told_so() {
        for by_invite in [false, true] {
            let mut folder = Folder::of(&[3]);
            let founder = folder.log.genesis().op_id();
            let admin = OpBody::Grant { member: pair(102), device: pair(2), role: Role::Admin };
            let bob = folder.write(founder, &key(1), admin).id();
            let mut at_bob = folder.fork();
            let dan = if by_invite {
                let (seed, expires_ms) = (pair(60), 1000);
                let (sig, hpke) = (seed.sig, seed.hpke);
                let body = OpBody::Invite { sig, hpke, role: Role::Editor, max_uses: 1, expires_ms, grant: true };
                let invite = at_bob.write(bob, &key(2), body).id();
                let join = at_bob.join(invite, 60, 4).id();
                at_bob.write(bob, &key(2), OpBody::Witness { join, at_ms: 5 });
                join
            } else {
                let body = OpBody::Grant { member: pair(104), device: pair(4), role: Role::Editor };
                at_bob.write(bob, &key(2), body).id()
            };
            let proof = pair(5).prove_device(&key(5), &folder.id(), &dan);
            at_bob.write(dan, &key(4), OpBody::AddDevice { device: pair(5), proof });
            folder.remove(2, vec![]);
            folder.grant(6);
            let apart = folder.fork();
            folder.learn(&at_bob);
            let here = folder.replica();
            for n in [4, 5] {
                let mut theirs = at_bob.replica();
                assert!(theirs.membership().is_device(&key(n).public()));
                assert!(tell(&mut theirs, n, &here.removal_of(&device(n))) > 0, "device {n}, invited: {by_invite}");
                assert!(!theirs.membership().is_device(&key(n).public()));
                assert!(!theirs.membership().is_device(&key(6).public()), "and of nothing that came after it");
            }
            assert!(here.removal_of(&device(3)).ops.is_empty() && here.removal_of(&device(9)).ops.is_empty());
            // Where nobody has heard of Dan, he brings what let him in.
            let mut elsewhere = apart.replica();
            let mut theirs = at_bob.replica();
            assert!(elsewhere.removal_of(&device(4)).ops.is_empty());
            let ops = theirs.introduction(&key(4).public());
            elsewhere.handle(0, Input::Introduced { who: device(4), ops });
            assert!(elsewhere.poll_output().is_none(), "it leaves nothing in the log");
            assert!(tell(&mut theirs, 4, &elsewhere.removal_of(&device(4))) > 0);
            assert!(!theirs.membership().is_device(&key(4).public()));
            assert!(elsewhere.removal_of(&device(5)).ops.is_empty(), "nobody else is told");
        }
    }
}
