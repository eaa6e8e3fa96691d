//! Which heads are accepted, refused, or wait (formats F4).

use super::*;
use crate::replicate::{HeadEvent, HeadGraph, Membership, Refusal};

struct Bench {
    folder: Folder,
    graph: HeadGraph,
    membership: Membership,
}

impl Bench {
    fn new() -> Self {
        let folder = Folder::of(&[2, 3]);
        let membership = Membership::of(folder.genesis(), folder.ops.clone());
        Self { folder, graph: HeadGraph::default(), membership }
    }
    fn offer(&mut self, head: &SignedHead) -> Vec<HeadEvent> {
        self.graph.offer(head.clone(), None, &mut self.membership)
    }
    fn refused(&mut self, n: u8, head: Head) -> Refusal {
        let head = head.sign(&key(n)).unwrap();
        let events = self.offer(&head);
        match events[..] {
            [HeadEvent::Refused { head: id, device, why }] if id == head.id() && device == key(n).public() => why,
            _ => panic!("not refused: {events:?}"),
        }
    }
}

#[test]
fn every_refusal_has_its_reason_and_names_the_device() {
    let mut b = Bench::new();
    let chain = b.folder.chain(2, 3);
    chain.iter().for_each(|head| assert_eq!(b.offer(head), [HeadEvent::Accepted(head.id())]));
    let (a1, other) = (b.folder.head(1, None, &[], cid(50)), b.folder.head(3, None, &[&chain[1]], cid(51)));
    b.offer(&a1);
    b.offer(&other);

    let mut gap = b.folder.unsigned_head(2, Some(&chain[2]), &[], cid(1));
    gap.seq = 6;
    gap.skip = Some(chain[0].id());
    assert_eq!(b.refused(2, gap), Refusal::BrokenChain);
    let mut stolen = b.folder.unsigned_head(2, Some(&chain[2]), &[], cid(1));
    stolen.device = key(3).public();
    assert_eq!(b.refused(3, stolen), Refusal::BrokenChain);
    let mut skip = b.folder.unsigned_head(2, Some(&chain[1]), &[], cid(1));
    skip.skip = Some(chain[0].id());
    assert_eq!(b.refused(2, skip), Refusal::WrongSkip, "seq 3 skips to 2");
    let own = b.folder.unsigned_head(2, Some(&chain[2]), &[&chain[1]], cid(1));
    assert_eq!(b.refused(2, own), Refusal::IdleMerge);
    let twice = b.folder.unsigned_head(1, Some(&a1), &[&chain[1], &other], cid(1));
    assert_eq!(b.refused(1, twice), Refusal::IdleMerge, "one is in the past of the other");
    let mut forgets = b.folder.unsigned_head(2, Some(&chain[0]), &[], cid(1));
    forgets.auth = vec![b.folder.genesis().op_id()];
    assert_eq!(b.refused(2, forgets), Refusal::ForgottenOps);
    let mut early = b.folder.unsigned_head(3, None, &[], cid(1));
    early.auth = vec![b.folder.genesis().op_id()];
    assert_eq!(b.refused(3, early), Refusal::NoWriter, "not a member yet by what it rests on");
    let mut nobody = b.folder.unsigned_head(9, None, &[], cid(1));
    nobody.auth = vec![];
    assert_eq!(b.refused(9, nobody), Refusal::NoWriter);
    let mut epoch = b.folder.unsigned_head(1, Some(&a1), &[], cid(1));
    epoch.epoch = EpochId([99; 32]).tag();
    assert_eq!(b.refused(1, epoch.clone()), Refusal::BadEpoch);
    let refused = epoch.sign(&key(1)).unwrap();
    let heir = b.folder.unsigned_head(1, Some(&refused), &[], cid(2));
    assert_eq!(b.refused(1, Head { skip: Some(a1.id()), ..heir.clone() }), Refusal::RefusedParent);
    let merger = b.folder.unsigned_head(3, Some(&other), &[&refused], cid(2));
    assert_eq!(b.refused(3, merger), Refusal::RefusedParent);
}

#[test]
fn heads_may_come_in_any_order() {
    let folder = Folder::of(&[2, 3]);
    let a = folder.chain(1, 40);
    let b = folder.head(2, None, &[&a[20]], cid(100));
    let all: Vec<&SignedHead> = a.iter().chain([&b]).collect();
    for turn in 0..all.len() {
        let mut bench = Bench::new();
        for i in 0..all.len() {
            bench.offer(all[(turn + i * 17) % all.len()]);
        }
        assert_eq!((bench.graph.len(), bench.graph.waiting_len()), (41, 0), "turn {turn}");
        let maximal: BTreeSet<HeadId> = bench.graph.maximal().map(SignedHead::id).collect();
        assert_eq!(maximal, BTreeSet::from([a[39].id(), b.id()]));
    }
}

#[test]
fn what_waits_names_what_it_waits_for() {
    let mut b = Bench::new();
    let chain = b.folder.chain(2, 5);
    b.offer(&chain[0]);
    assert_eq!(b.offer(&chain[3]), []);
    assert_eq!(b.offer(&chain[4]), []);
    let missing = b.graph.missing_heads();
    assert_eq!(missing.len(), 1);
    assert_eq!((missing[0].head, missing[0].above_seq), (chain[2].id(), 1));
    let later = {
        let mut ahead = Folder::of(&[2, 3]);
        ahead.epoch();
        ahead.head(1, None, &[], cid(9))
    };
    b.offer(&later);
    assert_eq!(b.graph.missing_ops(&b.membership), later.head().auth.iter().copied().collect());
}

#[test]
fn the_past_is_found_along_both_kinds_of_parents() {
    let mut b = Bench::new();
    let a = b.folder.chain(1, 10);
    let c = b.folder.head(3, None, &[&a[4]], cid(60));
    let d = b.folder.head(2, None, &[&c, &a[7]], cid(61));
    for head in a.iter().chain([&c, &d]) {
        assert!(matches!(b.offer(head)[..], [HeadEvent::Accepted(_)]));
    }
    assert!(b.graph.is_past_or_same(&a[0].id(), &d.id()));
    assert!(b.graph.is_past_or_same(&d.id(), &d.id()));
    assert!(!b.graph.is_past_or_same(&a[8].id(), &d.id()));
    assert!(!b.graph.is_past_or_same(&d.id(), &c.id()));
    assert_eq!(b.graph.past(&d.id(), |_| true).len(), 10);
    assert_eq!(b.graph.past(&d.id(), |head| head.head().device != key(1).public()).len(), 2);
}

#[test]
fn a_replica_restored_from_what_was_kept_in_any_order_is_the_same() {
    let folder = Folder::of(&[2, 3]);
    let mut kept = folder.kept();
    kept.heads = folder.chain(1, 50);
    kept.heads.reverse();
    kept.ops.reverse();
    let mut replica = Replica::restore(folder.genesis(), kept);
    assert_eq!(replica.heads().len(), 50);
    assert_eq!(replica.membership().frontier(), folder.log.frontier());
    assert_eq!(replica.poll_output(), None, "nothing is told about what was kept");
}

/// Whoever joins them must know what a head rests on before it comes, else it takes what is beneath it for news.
#[test]
fn what_counts_again_is_told_after_what_it_rests_on() {
    let mut folder = Folder::of(&[2, 3]);
    let hidden = folder.chain(2, 12);
    let before = Membership::of(folder.genesis(), folder.ops.clone());
    folder.remove(2, vec![]);
    folder.epoch();
    let membership = Membership::of(folder.genesis(), folder.ops.clone());
    let mut b = Bench { folder, graph: HeadGraph::default(), membership };
    for head in &hidden {
        assert_eq!(b.offer(head), [HeadEvent::Quarantined(head.id())]);
    }
    let vouches = b.folder.head(3, None, &[&hidden[11]], cid(100));
    let told: Vec<HeadEvent> = hidden.iter().chain([&vouches]).map(|head| HeadEvent::Accepted(head.id())).collect();
    assert_eq!(b.offer(&vouches), told, "a member vouches for them");

    let mut b = Bench { folder: b.folder, graph: HeadGraph::default(), membership: b.membership };
    hidden.iter().for_each(|head| assert_eq!(b.offer(head).len(), 1));
    b.membership = before;
    assert_eq!(b.graph.ops_changed(&mut b.membership), told[..12], "the removal is undone");
}
