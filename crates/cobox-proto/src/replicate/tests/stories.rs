//! What a folder's replicas do when all goes well, or badly by nobody's fault.

use super::*;
use crate::hosting::{Holding, Receipt};
use crate::limits::{BATCH_ITEMS_MAX, LOG_PENDING_OPS_MAX};
use crate::replicate::{ASK_AGAIN_MS, BLOCK_TIMEOUT_MS, Newcomer, NewcomerError};
use crate::wire::AddressNote;
use proptest::prelude::*;

/// Alice, Bob and Carol with seeder 50; all know the log.
fn trio(seed: u64) -> (Folder, Net) {
    let folder = Folder::of(&[2, 3]);
    let mut net = Net::new(seed);
    for who in [device(1), device(2), device(3), seeder(50)] {
        net.join(who, folder.replica());
    }
    (folder, net)
}

#[test]
fn logs_envelopes_and_heads_become_equal() {
    let folder = Folder::of(&[2, 3]);
    for seed in 0..20 {
        let mut net = Net::new(seed);
        let alice = net.join(device(1), folder.replica());
        let early = Kept { ops: folder.ops[..2].to_vec(), ..Kept::default() };
        let bob = net.join(device(2), Replica::restore(folder.genesis(), early));
        let a = folder.head(1, None, &[], cid(1));
        let b = folder.head(2, None, &[], cid(2));
        net.publish(alice, &a);
        net.publish(bob, &b);
        assert_eq!(net.heads(bob).len(), 0, "it rests on ops Bob has not got yet");
        net.connect(alice, bob);
        net.settle();
        assert_eq!(net.ops(alice), net.ops(bob));
        assert_eq!(net.heads(alice), BTreeSet::from([a.id(), b.id()]));
        assert_eq!(net.heads(alice), net.heads(bob));
        let bundle = folder.envelopes[0].op;
        assert_eq!(net.parties[bob].replica.envelopes().count(&bundle), folder.envelopes[0].envelopes.len() as u32);
        assert_eq!(net.said(bob, |o| matches!(o, Output::EnvelopesAdded(_))), 1);
    }
}

/// Whoever starts an epoch may be gone for good between its op and its keys; the others would have to write with keys nobody has.
#[test]
fn m3_an_epoch_is_none_until_all_its_keys_have_come() {
    let (mut folder, mut net) = trio(21);
    net.connect(0, 1);
    net.settle();
    let count = folder.ops.len();
    let epoch = folder.epoch();
    let ops = folder.ops[count..].to_vec();
    let has = |net: &Net, party: usize| net.ops(party).contains(&epoch);
    net.tell(0, Input::LocalOps { ops: ops.clone(), envelopes: vec![] });
    net.settle();
    assert!(has(&net, 0) && !has(&net, 1), "its author alone has it");
    let before = net.parties[1].replica.membership().roster().writable_epoch();
    assert!(before.is_some(), "and the others go on writing under the one before");
    // Some of the keys are not all.
    let (whole, mut some) = (folder.envelopes[1].clone(), folder.envelopes[1].clone());
    some.envelopes.truncate(1);
    net.tell(0, Input::LocalOps { ops: vec![], envelopes: vec![some] });
    net.settle();
    assert!(!has(&net, 1));
    net.tell(0, Input::LocalOps { ops: vec![], envelopes: vec![whole.clone()] });
    net.settle();
    assert!(has(&net, 1));
    assert_ne!(net.parties[1].replica.membership().roster().writable_epoch(), before);
    assert_eq!(net.parties[1].replica.envelopes().of(&epoch).map(|sent| sent.envelopes), Some(whole.envelopes));
    // What is kept is kept in this order: a stop in between leaves keys without an epoch and not the other way round.
    let kept = net.parties[1].log.iter().filter_map(|output| match output {
        Output::EnvelopesAdded(sent) if sent.op == epoch => Some("keys"),
        Output::OpsAdded(ids) if ids.contains(&epoch) => Some("epoch"),
        _ => None,
    });
    assert_eq!(kept.collect::<Vec<_>>(), ["keys", "epoch"]);
    // Whoever comes later gets both from whoever has both.
    net.connect(1, 2);
    net.settle();
    assert!(has(&net, 2));
}

#[test]
fn g8_epochs_whose_keys_never_come_take_no_more_than_their_room() {
    let (mut folder, mut net) = trio(22);
    net.connect(0, 1);
    net.settle();
    let (count, before) = (folder.ops.len(), net.ops(1));
    for _ in 0..40 {
        folder.epoch();
    }
    for op in &folder.ops[count..] {
        net.tell(0, Input::LocalOps { ops: vec![op.clone()], envelopes: vec![] });
    }
    let missing: Vec<OpEnvelopes> = folder.envelopes[1..].to_vec();
    for sent in &missing {
        let mut some = sent.clone();
        some.envelopes.truncate(sent.envelopes.len() - 1);
        net.tell(0, Input::LocalOps { ops: vec![], envelopes: vec![some] });
    }
    net.settle();
    assert_eq!(net.ops(1), before, "none of them is in the log");
    for sent in missing {
        net.tell(0, Input::LocalOps { ops: vec![], envelopes: vec![sent] });
    }
    net.settle();
    assert_eq!(net.ops(1), net.ops(0));
}

#[test]
fn g8_a_peer_with_epochs_that_have_no_keys_keeps_nobody_elses_epoch_out() {
    let (mut folder, mut net) = trio(23);
    net.connect(1, 3);
    net.settle();
    let bundle = folder.ops.iter().map(|op| op.op()).find(|op| matches!(op.body, OpBody::EpochBundle { .. })).unwrap();
    let without_keys = |n: usize| {
        let mut op = bundle.clone();
        let OpBody::EpochBundle { id, .. } = &mut op.body else { unreachable!() };
        id.0[..8].copy_from_slice(&n.to_le_bytes());
        op.signers[0].key = key(60).public();
        SignedOp::sign(op, &[&key(60)]).unwrap().bytes().to_vec()
    };
    let from = net.other.keys().find(|end| end.party == 1).unwrap().peer;
    for n in 0..LOG_PENDING_OPS_MAX + 10 {
        let message = Message::Ops { ops: vec![without_keys(n)] };
        net.tell(1, Input::Received { peer: from, message });
    }
    let (count, before) = (folder.ops.len(), net.ops(1));
    let epoch = folder.epoch();
    let (ops, envelopes) = (folder.ops[count..].to_vec(), folder.envelopes[1..].to_vec());
    net.tell(0, Input::LocalOps { ops, envelopes });
    net.connect(0, 1);
    net.settle();
    assert!(net.ops(1).contains(&epoch));
    assert_eq!(net.ops(1).len(), before.len() + 1, "and none of the others");
}

#[test]
fn a_delta_goes_to_devices_before_its_head_and_never_to_a_seeder() {
    let (folder, mut net) = trio(5);
    for other in 1..4 {
        net.connect(0, other);
    }
    net.settle();
    let bytes = vec![5; 70];
    let head = Head { delta: Some(Cid::of(&bytes)), ..folder.unsigned_head(1, None, &[], cid(1)) };
    let head = head.sign(&key(1)).unwrap();
    let replica = &mut net.parties[0].replica;
    replica.handle(0, Input::LocalDelta { cid: Cid::of(&bytes), bytes: bytes.clone() });
    replica.handle(0, Input::LocalHead(Box::new(head.clone())));
    let mut said: BTreeMap<PeerId, Vec<bool>> = BTreeMap::new();
    while let Some(output) = replica.poll_output() {
        match output {
            Output::Send { peer, message: Message::Delta { bytes: sent } } => {
                assert_eq!(sent, bytes);
                said.entry(peer).or_default().push(true);
            }
            Output::Send { peer, message: Message::Heads { .. } } => said.entry(peer).or_default().push(false),
            _ => {}
        }
    }
    let kinds: BTreeMap<PeerId, KeyKind> = replica.peers().map(|(id, who)| (id, who.kind)).collect();
    for (peer, order) in &said {
        let wanted: &[bool] = if kinds[peer] == KeyKind::Device { &[true, false] } else { &[false] };
        assert_eq!(order, wanted, "{:?}", kinds[peer]);
    }
    assert!(kinds.values().any(|kind| *kind == KeyKind::Seeder) && said.len() == kinds.len());

    // A delta of another head is not sent with this one.
    replica.handle(0, Input::LocalDelta { cid: Cid::of(b"other"), bytes: b"other".to_vec() });
    let next = folder.head(1, Some(&head), &[], cid(2));
    replica.handle(0, Input::LocalHead(Box::new(next)));
    while let Some(output) = replica.poll_output() {
        assert!(!matches!(output, Output::Send { message: Message::Delta { .. }, .. }));
    }
}

#[test]
fn c9_a_change_that_comes_by_three_routes_counts_once() {
    let (folder, mut net) = trio(1);
    for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
        net.connect(a, b);
    }
    net.settle();
    let before = net.delivered;
    net.publish(0, &folder.head(1, None, &[], cid(1)));
    net.settle();
    for party in 0..4 {
        assert_eq!(net.said(party, |o| matches!(o, Output::HeadAccepted(_))), 1);
    }
    assert!(net.delivered - before <= 9, "no storm: {}", net.delivered - before);
}

#[test]
fn equal_logs_are_told_in_one_message_each_way() {
    let (_, mut net) = trio(1);
    net.connect(0, 1);
    net.settle();
    assert_eq!(net.said(0, |o| matches!(o, Output::Send { message: Message::LogHave { .. }, .. })), 0);
    assert_eq!(net.delivered, 4, "a summary and a list of no heads from each");
}

#[test]
fn a_long_chain_is_fetched_in_pieces() {
    let (folder, mut net) = trio(3);
    let chain = folder.chain(1, 2 * BATCH_ITEMS_MAX as u64 + 50);
    for head in &chain {
        net.publish(0, head);
    }
    net.connect(0, 1);
    net.settle();
    assert_eq!(net.heads(1).len(), chain.len());
    assert!(net.said(1, |o| matches!(o, Output::Send { message: Message::HeadsWanted { .. }, .. })) < 10);
    // A third one that has the first half asks for the rest alone.
    for head in &chain[..BATCH_ITEMS_MAX] {
        net.publish(2, head);
    }
    net.connect(1, 2);
    net.settle();
    assert_eq!(net.heads(2).len(), chain.len());
}

#[test]
fn a_newest_head_pushed_alone_pulls_its_chain_and_what_it_merged() {
    let (folder, mut net) = trio(3);
    net.connect(0, 1);
    net.settle();
    let a = folder.chain(1, 5);
    let b = folder.head(2, None, &[&a[4]], cid(9));
    for head in &a {
        net.publish(2, head);
    }
    net.publish(2, &b);
    // Carol comes to Bob with all; Alice, behind Bob, learns only of what is new to Bob.
    net.connect(1, 2);
    net.settle();
    assert_eq!(net.heads(0).len(), 6);
}

#[test]
fn blocks_come_from_two_holders_and_gone_sends_to_the_other() {
    let (_, mut net) = trio(4);
    for n in 0..200 {
        net.parties[3].blocks.insert(cid(n));
        if n % 2 == 0 {
            net.parties[1].blocks.insert(cid(n));
        }
    }
    net.connect(0, 1);
    net.connect(0, 3);
    net.settle();
    net.want(0, (0..200).map(cid).collect());
    net.settle();
    assert_eq!(net.parties[0].blocks.len(), 200);
    let from = |peer: u64| net.said(0, |o| matches!(o, Output::BlockTaken { peer: p, .. } if *p == PeerId(peer)));
    assert!(from(1) > 20 && from(3) > 20, "{} and {}", from(1), from(3));
    assert!(net.said(1, |o| matches!(o, Output::Send { message: Message::Gone { .. }, .. })) > 0);
}

#[test]
fn n9_a_seeder_that_hangs_costs_a_timeout_not_the_file() {
    let (_, mut net) = trio(5);
    for n in 0..50 {
        net.parties[1].blocks.insert(cid(n));
        net.parties[3].blocks.insert(cid(n));
    }
    net.parties[3].hangs = true;
    net.connect(0, 3);
    net.settle();
    net.want(0, (0..50).map(cid).collect());
    net.connect(0, 1);
    net.pass(BLOCK_TIMEOUT_MS);
    net.settle();
    assert_eq!(net.parties[0].blocks.len(), 50);
    assert!(net.other.keys().any(|end| end.party == 3), "it is slow, not lost");
}

#[test]
fn n2_a_cut_connection_resumes_with_what_is_missing() {
    let (folder, mut net) = trio(6);
    let chain = folder.chain(1, 40);
    for head in &chain {
        net.publish(0, head);
    }
    (0..100).for_each(|n| {
        net.parties[0].blocks.insert(cid(n));
    });
    net.want(1, (0..100).map(cid).collect());
    for steps in [3, 7, 20, 50, 90] {
        net.connect(0, 1);
        for _ in 0..steps {
            net.step();
        }
        net.cut(0, 1);
    }
    let got = net.parties[1].blocks.len();
    net.connect(0, 1);
    net.settle();
    assert_eq!((net.heads(1).len(), net.parties[1].blocks.len()), (40, 100));
    assert_eq!(
        net.said(1, |o| matches!(o, Output::BlockTaken { .. })),
        100,
        "none was fetched twice; {got} before the last"
    );
}

#[test]
fn who_does_not_answer_about_a_head_is_not_asked_for_ever() {
    let (folder, mut net) = trio(7);
    let chain = folder.chain(1, 3);
    net.connect(0, 1);
    net.connect(0, 2);
    net.settle();
    for head in &chain {
        net.publish(2, head);
    }
    // Bob passes on the last head alone and then says nothing: his answers are lost.
    let bob_at_alice = *net.other.keys().find(|end| end.party == 0).unwrap();
    net.settle();
    let mut fresh = Net::new(1);
    let alice = fresh.join(device(1), folder.replica());
    let bob = fresh.join(device(2), folder.replica());
    let carol = fresh.join(device(3), folder.replica());
    fresh.connect(alice, bob);
    fresh.settle();
    let peer = fresh.other.keys().find(|end| end.party == alice).unwrap().peer;
    let message = Message::Heads { heads: vec![chain[2].bytes().to_vec()] };
    fresh.tell(alice, Input::Received { peer, message });
    fresh.settle();
    for head in &chain {
        fresh.publish(carol, head);
    }
    fresh.connect(alice, carol);
    fresh.pass(2 * ASK_AGAIN_MS);
    assert_eq!(fresh.heads(alice).len(), 3);
    assert!(net.other.contains_key(&bob_at_alice));
}

#[test]
fn a_removed_members_channel_closes_and_its_later_heads_do_not_count() {
    let (mut folder, mut net) = trio(8);
    net.connect(0, 1);
    net.connect(0, 2);
    net.settle();
    let known = folder.head(2, None, &[], cid(1));
    net.publish(1, &known);
    net.settle();
    net.cut(0, 1);
    let hidden = folder.head(2, Some(&known), &[], cid(2));
    net.publish(1, &hidden);
    net.connect(0, 1);
    let count = folder.ops.len();
    folder.remove(2, vec![known.id()]);
    folder.epoch();
    let (ops, envelopes) = (folder.ops[count..].to_vec(), folder.envelopes[1..].to_vec());
    net.tell(0, Input::LocalOps { ops, envelopes });
    assert!(net.said(0, |o| matches!(o, Output::ClosePeer { .. })) == 1, "at once");
    net.settle();
    assert!(net.parties[2].replica.heads().counts(&known.id()));
    // The hidden head reaches Carol by another way: kept, shown, not counted, until a member vouches for it.
    net.publish(2, &hidden);
    assert_eq!(net.said(2, |o| *o == Output::HeadQuarantined(hidden.id())), 1);
    let vouches = folder.head(3, None, &[&hidden], cid(3));
    net.publish(2, &vouches);
    net.settle();
    for party in [0, 2] {
        assert!(net.parties[party].replica.heads().counts(&hidden.id()));
    }
    assert_eq!(net.said(2, |o| *o == Output::HeadAccepted(hidden.id())), 1);
}

#[test]
fn heads_that_counted_go_to_quarantine_when_a_removal_arrives_and_stay_the_same_everywhere() {
    let (mut folder, mut net) = trio(9);
    net.connect(0, 2);
    net.settle();
    let seen = folder.head(2, None, &[], cid(1));
    let unseen = folder.head(2, Some(&seen), &[], cid(2));
    net.publish(2, &seen);
    net.settle();
    net.cut(0, 2);
    net.publish(2, &unseen);
    let last =
        |net: &Net, party: usize| net.parties[party].replica.heads().last_of(|device, _| *device == key(2).public());
    assert_eq!((last(&net, 0), last(&net, 2)), (vec![seen.id()], vec![unseen.id()]), "what a removal would name");
    let count = folder.ops.len();
    folder.remove(2, vec![seen.id()]);
    net.tell(0, Input::LocalOps { ops: folder.ops[count..].to_vec(), envelopes: vec![] });
    net.connect(0, 2);
    net.settle();
    for party in [0, 2] {
        let heads = net.parties[party].replica.heads();
        assert!(heads.counts(&seen.id()) && !heads.counts(&unseen.id()), "party {party}");
        assert_eq!(net.heads(party).len(), 2);
        assert_eq!(heads.quarantined(), [unseen.id()]);
        assert_eq!(last(&net, party), [seen.id()]);
    }
}

#[test]
fn m2_a_cut_names_no_head_that_somebody_else_has_built_upon() {
    let (folder, mut net) = trio(13);
    let first = folder.head(2, None, &[], cid(1));
    let second = folder.head(2, Some(&first), &[], cid(2));
    let built = folder.head(3, None, &[&first], cid(3));
    for head in [&first, &second, &built] {
        net.publish(0, head);
    }
    let last = |n: u8| net.parties[0].replica.heads().last_of(|device, _| *device == key(n).public());
    assert_eq!((last(2), last(3)), (vec![second.id()], vec![built.id()]));
    let third = folder.head(3, Some(&built), &[&second], cid(4));
    net.publish(0, &third);
    let heads = net.parties[0].replica.heads();
    assert!(heads.last_of(|device, _| *device == key(2).public()).is_empty(), "they count by what was built upon them");
}

#[test]
fn an_author_behind_a_removal_is_told_that_its_head_is_stale() {
    let (mut folder, mut net) = trio(10);
    let old = folder.head(2, None, &[], cid(1));
    let count = folder.ops.len();
    folder.remove(3, vec![]);
    net.tell(0, Input::LocalOps { ops: folder.ops[count..].to_vec(), envelopes: vec![] });
    net.publish(1, &old);
    net.connect(0, 1);
    net.settle();
    assert!(net.parties[0].replica.heads().counts(&old.id()), "it is valid all the same");
    assert_eq!(net.said(1, |o| *o == Output::Stale { head: old.id() }), 1);
    assert!(net.ops(1).contains(&folder.ops.last().unwrap().id()), "and the author knows by then why");
}

#[test]
fn receipts_and_addresses_travel_over_others_to_devices() {
    let (folder, mut net) = trio(11);
    net.connect(3, 0);
    net.connect(0, 1);
    net.settle();
    let head = folder.head(1, None, &[], cid(1));
    net.publish(0, &head);
    net.settle();
    let receipt = Receipt {
        folder: folder.id(),
        seeder: net.key(3),
        head: head.id(),
        holding: Holding::Complete,
        received_ms: net.now_ms,
        keep_until_ms: net.now_ms + 3_600_000,
        free_bytes: 5,
        terms: OpId([1; 32]),
    };
    let signed = receipt.clone().sign(&key(50));
    net.tell(3, Input::LocalReceipt(signed.clone()));
    net.settle();
    assert_eq!(net.said(1, |o| *o == Output::ReceiptArrived(signed.clone())), 1);
    let forged = Receipt { seeder: net.key(1), ..receipt }.sign(&key(2));
    net.tell(1, Input::LocalReceipt(forged));
    assert_eq!(net.parties[1].replica.receipts().count(), 1, "only seeders of the folder give receipts");

    let note = |stamp| AddressNote::sign(&key(2), &folder.id(), stamp, vec![1, 2, 3]);
    net.tell(1, Input::LocalAddresses(note(7)));
    net.settle();
    net.tell(1, Input::LocalAddresses(note(6)));
    net.settle();
    assert_eq!(net.said(3, |o| matches!(o, Output::AddressesArrived(n) if n.stamp_ms == 7)), 1, "seeders pass them on");
    net.connect(2, 3);
    net.settle();
    assert_eq!(net.parties[2].replica.addresses().next(), Some(&note(7)));
}

#[test]
fn an_invites_holder_gets_the_log_and_brings_its_join() {
    let mut folder = Folder::of(&[]);
    let invite = folder.invite(60, 1, 2_000_000);
    let mut net = Net::new(12);
    let at_seeder = net.join(seeder(50), folder.replica());
    let head = folder.head(1, None, &[], cid(1));
    net.publish(at_seeder, &head);
    let holder = Who { kind: KeyKind::Invite, key: key(60).public() };
    let (genesis, kept) = first_visit(&mut net, at_seeder, holder, folder.id());
    assert_eq!(kept.ops.len(), folder.ops.len());
    let newcomer = net.join(holder, Replica::restore(genesis, kept));
    assert_eq!(net.parties[newcomer].replica.envelopes().count(&folder.envelopes[0].op), 2);
    net.connect(newcomer, at_seeder);
    net.settle();
    let join = folder.join(invite, 60, 9);
    net.tell(newcomer, Input::LocalOps { ops: vec![join.clone()], envelopes: vec![] });
    net.settle();
    assert!(net.ops(at_seeder).contains(&join.id()));
    assert!(net.heads(newcomer).is_empty(), "heads are for members");
    net.now_ms = 2_000_001;
    net.tell(at_seeder, Input::Tick);
    assert_eq!(net.said(at_seeder, |o| matches!(o, Output::ClosePeer { .. })), 1, "expired by the seeder's clock");
}

/// Somebody who knows the folder's id alone asks `party` for the log.
fn first_visit(net: &mut Net, party: usize, who: Who, folder: FolderId) -> (Genesis, Kept) {
    let peer = PeerId(9_999);
    let from = net.parties[party].log.len();
    let (mut newcomer, hello) = Newcomer::new(folder);
    net.tell(party, Input::PeerOpened { peer, who, ours: KeyKind::Seeder });
    for message in hello {
        net.tell(party, Input::Received { peer, message });
    }
    net.tell(party, Input::PeerClosed { peer });
    let mut whole = None;
    for output in net.parties[party].log[from..].iter().cloned() {
        if let Output::Send { message, .. } = output {
            assert!(whole.is_none(), "more came after the whole");
            whole = newcomer.take(message).unwrap();
        }
    }
    whole.unwrap()
}

#[test]
fn s6_a_first_visit_believes_only_what_the_folders_id_vouches_for() {
    let folder = Folder::of(&[2]);
    let (mut newcomer, _) = Newcomer::new(FolderId([1; 32]));
    let genesis = Message::Genesis { bytes: folder.genesis().to_bytes() };
    assert_eq!(newcomer.take(genesis.clone()), Err(NewcomerError::WrongGenesis));
    let (mut newcomer, _) = Newcomer::new(folder.id());
    assert_eq!(newcomer.take(genesis), Ok(None));
    let mut op = folder.ops[0].bytes().to_vec();
    op[60] ^= 1;
    assert_eq!(newcomer.take(Message::Ops { ops: vec![op] }), Err(NewcomerError::BadLog));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_is_cut_and_reordered_all_end_up_equal(seed: u64, script in prop::collection::vec((0u8..4, 0u8..4, 0u8..40), 1..24)) {
        let (folder, mut net) = trio(seed);
        let mut last: [Option<SignedHead>; 3] = [None, None, None];
        let mut lengths = [0u64; 3];
        let chains: Vec<Vec<SignedHead>> = (1..=3).map(|n| folder.chain(n, 24)).collect();
        for (kind, who, steps) in script {
            let (a, b) = (who as usize, (who as usize + 1 + steps as usize % 3) % 4);
            match kind {
                0 if a < 3 => {
                    let head = chains[a][lengths[a] as usize].clone();
                    net.publish(a, &head);
                    lengths[a] += 1;
                    last[a] = Some(head);
                }
                1 => net.cut(a, b),
                _ => net.connect(a, b),
            }
            for _ in 0..steps {
                net.step();
            }
        }
        for party in 1..4 {
            net.cut(0, party);
            net.connect(0, party);
        }
        net.pass(60_000);
        let all: BTreeSet<HeadId> = (0..3).flat_map(|n| chains[n][..lengths[n] as usize].iter().map(SignedHead::id)).collect();
        for party in 0..4 {
            prop_assert_eq!(&net.heads(party), &all);
            prop_assert_eq!(net.parties[party].replica.heads().waiting_len(), 0);
        }
    }
}
