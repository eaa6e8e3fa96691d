//! How a device comes to be known where nobody has told of it: it brings the ops that admitted it as it asks to enter. So a device that
//! was recovered, or joined, with the help of one seeder is let in at another one that was out of reach then. And so is a device whose
//! removal is void because its member had sent away whoever did it, where that is not known yet.
//!
//! Must hold: what a stranger brings leaves no trace and is answered like any stranger; ops are taken only if with them the device
//! that proved its key is a member's, by all that is known here. Of whoever was a member's device by what its ops had seen, it is
//! remembered for a while why that does not hold ([`super::parting`]).

use std::collections::BTreeSet;

use crate::id::{OpId, SigKey};
use crate::limits::{INTRODUCTION_BYTES_MAX, INTRODUCTION_OPS_MAX, VOID_INTRODUCTIONS_MAX};
use crate::members::{Log, OpBody, SignedOp, Signer};
use crate::replicate::parting::ends_of_admissions;
use crate::replicate::{Membership, Replica};
use crate::wire::proof::{KeyKind, Who};

impl Replica {
    /// The ops that admitted one of our devices, or made its removal void, with as many before them as fit, each after those it depends
    /// on. Empty if it is the founder's first, or is none.
    pub fn introduction(&self, device: &SigKey) -> Vec<Vec<u8>> {
        if !self.membership.is_device(device) {
            return vec![];
        }
        let log = self.membership.log();
        let mut admitting = admitting(log, device);
        admitting.extend(clearing(&self.membership, device));
        let rests = |op: &&SignedOp| admitting.iter().any(|a| *a == op.id() || log.precedes(&op.id(), a));
        let (mut ops, mut bytes) = (Vec::new(), 0);
        let all: Vec<&SignedOp> = log.ops().filter(rests).collect();
        for op in all.into_iter().rev().take(INTRODUCTION_OPS_MAX) {
            bytes += op.bytes().len();
            if bytes > INTRODUCTION_BYTES_MAX {
                break;
            }
            ops.push(op.bytes().to_vec());
        }
        ops.reverse();
        ops
    }

    /// See the module's text.
    pub(super) fn introduced(&mut self, now_ms: u64, who: &Who, ops: &[Vec<u8>]) {
        if who.kind != KeyKind::Device || ops.len() > INTRODUCTION_OPS_MAX || self.reach(who, now_ms).is_some() {
            return;
        }
        let Ok(ops) = ops.iter().map(|bytes| SignedOp::from_bytes(bytes)).collect::<Result<Vec<_>, _>>() else {
            return;
        };
        // A stranger that is not even named is not worth the work.
        let was_here = !self.membership.roster().removals_of(&who.key).is_empty();
        if !was_here && !ops.iter().any(|op| admits(&op.op().body, &who.key)) {
            return;
        }
        let log = self.membership.log();
        let known: Vec<SignedOp> = log.ops().chain(&ops).cloned().collect();
        let then = Membership::of(log.genesis().clone(), known);
        if then.is_device(&who.key) {
            return self.add_ops(None, ops.into_iter().filter(|op| then.contains(&op.id())).collect());
        }
        // It was let in by somebody who had lost the right to by then, and is told which op says so.
        let ends: BTreeSet<OpId> = ends_of_admissions(&then, &who.key);
        let ends: Vec<OpId> = ends.into_iter().filter(|op| self.membership.contains(op)).collect();
        if !ends.is_empty() {
            self.void_introductions.retain(|(device, _)| *device != who.key);
            self.void_introductions.truncate(VOID_INTRODUCTIONS_MAX - 1);
            self.void_introductions.push_front((who.key, ends));
        }
    }
}

/// Whether an op lets a device with this key in, or asks that it be.
pub(super) fn admits(body: &OpBody, key: &SigKey) -> bool {
    match body {
        OpBody::Grant { device, .. } | OpBody::Join { device, .. } | OpBody::AddDevice { device, .. } => {
            device.sig == *key
        }
        _ => false,
    }
}

/// The ops that took the right from those who sent the device or its member away, so that this is void.
fn clearing(membership: &Membership, device: &SigKey) -> BTreeSet<OpId> {
    let (log, roster) = (membership.log(), membership.roster());
    let Some((_, member)) = roster.device(device) else { return BTreeSet::new() };
    let sends_it_away = |body: &OpBody| match body {
        OpBody::Remove { grant, .. } => *grant == member.grant,
        OpBody::RemoveDevice { device: gone, .. } => gone == device,
        _ => false,
    };
    let void = log.ops().filter(|op| sends_it_away(&op.op().body) && !roster.accepted(&op.id()));
    let by: Vec<Signer> = void.flat_map(|op| op.op().signers.iter().copied()).collect();
    let takes_their_right = |body: &OpBody| match body {
        OpBody::Remove { grant, .. } | OpBody::SetRole { grant, .. } => by.iter().any(|signer| signer.grant == *grant),
        OpBody::RemoveDevice { device, .. } => by.iter().any(|signer| signer.key == *device),
        _ => false,
    };
    log.ops().filter(|op| takes_their_right(&op.op().body)).map(SignedOp::id).filter(|op| roster.accepted(op)).collect()
}

/// The ops that name the device, and those that give a join its effect.
fn admitting(log: &Log, key: &SigKey) -> BTreeSet<OpId> {
    let named: BTreeSet<OpId> = log.ops().filter(|op| admits(&op.op().body, key)).map(SignedOp::id).collect();
    let witnesses =
        log.ops().filter(|op| matches!(&op.op().body, OpBody::Witness { join, .. } if named.contains(join)));
    named.iter().copied().chain(witnesses.map(SignedOp::id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::{Op, Role};
    use crate::replicate::tests::{Folder, device, key, pair};
    use crate::replicate::{Input, Output, Reach};

    /// What a replica says of somebody who brings these ops, and what it did with them.
    fn asked(replica: &mut Replica, n: u8, ops: &[Vec<u8>]) -> (Option<Reach>, usize) {
        replica.handle(0, Input::Introduced { who: device(n), ops: ops.to_vec() });
        let mut added = 0;
        while let Some(output) = replica.poll_output() {
            match output {
                Output::OpsAdded(ids) => added += ids.len(),
                other => panic!("nothing else is to be done: {other:?}"),
            }
        }
        (replica.reach(&device(n), 0), added)
    }

    #[test]
    fn r5_a_device_admitted_elsewhere_is_known_by_what_it_brings() {
        let mut folder = Folder::of(&[2]);
        let mut there = folder.replica();
        // Meanwhile, where `there` can not be reached: a seeder is hired, 5 is admitted, and then much more happens.
        folder.hire(50, 1000);
        folder.grant(5);
        folder.grant(6);
        let here = folder.replica();
        let ops = here.introduction(&key(5).public());
        assert_eq!(asked(&mut there, 5, &[]), (None, 0));
        assert_eq!(
            asked(&mut there, 5, &ops),
            (Some(Reach::Everything), 2),
            "the two it needs, and nothing after them"
        );
        assert_eq!(asked(&mut there, 5, &ops), (Some(Reach::Everything), 0));
        assert!(here.introduction(&key(1).public()).is_empty(), "the founder is known to all");
        assert!(here.introduction(&key(9).public()).is_empty());
    }

    /// 3, an admin, sends 2 away, who was made one just then, is the more senior, and sends 3 away, where they can not reach each other.
    /// Who is left hears of what 3 did alone.
    #[test]
    fn m3_whose_removal_is_void_by_what_only_he_knows_brings_that_and_is_let_in() {
        let mut folder = Folder::of(&[2, 3, 4]);
        let grant =
            |folder: &Folder, n: u8| folder.replica().membership().roster().device(&key(n).public()).unwrap().1.grant;
        let founder = folder.log.genesis().op_id();
        let (two, three) = (grant(&folder, 2), grant(&folder, 3));
        let admin = |grant| OpBody::SetRole { grant, role: Role::Admin, cut: vec![] };
        folder.write(founder, &key(1), admin(three));
        let mut by_two = folder.clone();
        by_two.write(founder, &key(1), admin(two));
        by_two.write(two, &key(2), OpBody::Remove { grant: three, cut: vec![] });
        let mut here = by_two.replica();
        folder.write(three, &key(3), OpBody::Remove { grant: two, cut: vec![] });
        let mut there = folder.replica();
        assert_eq!(there.reach(&device(2), 0), None);

        // As 2 asks to enter, it is told of its removal, and does not believe it; asking again, it says why.
        let told = there.removal_of(&device(2));
        assert_eq!(asked(&mut there, 2, &here.introduction(&key(2).public())), (None, 0));
        here.handle(0, Input::ToldRemoved { device: key(2).public(), told });
        assert!(here.membership().is_device(&key(2).public()));
        while here.poll_output().is_some() {}
        let brings = here.introduction(&key(2).public());
        assert_eq!(asked(&mut there, 2, &brings), (Some(Reach::Everything), 2));
        assert_eq!(there.reach(&device(3), 0), None, "and 3 is out");
        assert_eq!(there.membership().roster(), here.membership().roster());
    }

    #[test]
    fn a_join_needs_its_witness() {
        let mut folder = Folder::of(&[2]);
        let mut there = folder.replica();
        let invite = folder.invite(60, 1, 1000);
        let join = folder.join(invite, 60, 7).id();
        let alone: Vec<Vec<u8>> = folder.ops.iter().map(|op| op.bytes().to_vec()).collect();
        assert_eq!(asked(&mut there, 7, &alone), (None, 0));
        let grant = folder.log.genesis().op_id();
        folder.write(grant, &key(1), OpBody::Witness { join, at_ms: 5 });
        let ops = folder.replica().introduction(&key(7).public());
        assert_eq!(asked(&mut there, 7, &ops), (Some(Reach::Everything), 3));
    }

    #[test]
    fn m1_x13_what_admits_nobody_leaves_no_trace() {
        let mut folder = Folder::of(&[2]);
        let mut there = folder.replica();
        folder.hire(50, 1000);
        folder.grant(5);
        let ops = folder.replica().introduction(&key(5).public());
        assert_eq!(asked(&mut there, 9, &ops), (None, 0), "another's admission");
        assert_eq!(asked(&mut there, 5, &ops[ops.len() - 1..]), (None, 0), "what it rests on is not known");
        assert!(there.membership().log().missing().is_empty(), "nor waited for");
        let mut damaged = ops.clone();
        *damaged[0].last_mut().unwrap() ^= 1;
        assert_eq!(asked(&mut there, 5, &damaged), (None, 0));
        let forged = Op {
            folder: folder.id(),
            signers: vec![Signer { grant: folder.log.genesis().op_id(), key: key(9).public() }],
            deps: there.membership().frontier(),
            body: OpBody::Grant { member: pair(109), device: pair(9), role: Role::Owner },
            sealed: vec![],
        };
        let forged = SignedOp::sign(forged, &[&key(9)]).unwrap().bytes().to_vec();
        assert_eq!(asked(&mut there, 9, &[forged]), (None, 0), "nobody admits itself");
        let many = vec![ops[ops.len() - 1].clone(); INTRODUCTION_OPS_MAX + 1];
        assert_eq!(asked(&mut there, 5, &many), (None, 0));

        // Whoever was removed since does not come back with its old papers.
        folder.remove(5, vec![]);
        let mut there = folder.replica();
        assert_eq!(asked(&mut there, 5, &ops), (None, 0));
    }

    #[test]
    fn g2_an_introduction_fits_into_a_strangers_frame() {
        let mut folder = Folder::of(&[]);
        for n in 2..90 {
            folder.grant(n);
        }
        let ops = folder.replica().introduction(&key(89).public());
        assert!(ops.len() <= INTRODUCTION_OPS_MAX && ops.iter().map(Vec::len).sum::<usize>() <= INTRODUCTION_BYTES_MAX);
        let frame = crate::wire::Frame::Introduce { blinded: crate::id::BlindedFolder([1; 32]), ops };
        assert!(crate::codec::Canonical::to_bytes(&frame).len() <= crate::limits::FRAME_BYTES_BEFORE_AUTH_MAX);
    }
}
