//! Strangers, liars, and the greedy.

use super::*;
use crate::hosting::{Holding, Receipt};
use crate::limits::{HEADS_PENDING_PER_PEER_MAX, LOG_OPS_MAX, SERVE_QUEUE_MAX, TIPS_MAX};
use crate::replicate::Closed;
use crate::wire::{ChainWanted, LogEntry, Tip};

/// Alice at home; Mallory speaks to her by hand as `who`.
struct Visit {
    folder: Folder,
    alice: Replica,
    log: Vec<Output>,
    now_ms: u64,
}

const PEER: PeerId = PeerId(1);

impl Visit {
    fn by(who: Who) -> Self {
        let folder = Folder::of(&[2]);
        let alice = folder.replica();
        let mut visit = Self { folder, alice, log: vec![], now_ms: 0 };
        visit.tell(Input::PeerOpened { peer: PEER, who, ours: KeyKind::Device });
        visit
    }

    fn tell(&mut self, input: Input) {
        self.alice.handle(self.now_ms, input);
        self.log.extend(std::iter::from_fn(|| self.alice.poll_output()));
    }

    fn say(&mut self, message: Message) {
        self.tell(Input::Received { peer: PEER, message });
    }

    fn closed(&self) -> Option<&Closed> {
        self.log.iter().find_map(|output| match output {
            Output::ClosePeer { why, .. } => Some(why),
            _ => None,
        })
    }

    fn misbehaved(&self) -> bool {
        matches!(self.closed(), Some(Closed::Misbehaved(_)))
    }
}

#[test]
fn g4_a_stranger_is_shown_the_door_and_told_nothing() {
    for who in [device(9), seeder(9), device(102), Who { kind: KeyKind::Member, ..device(2) }] {
        let visit = Visit::by(who);
        assert_eq!(visit.log, [Output::ClosePeer { peer: PEER, why: Closed::NotEntitled }]);
    }
}

#[test]
fn a_member_key_gets_the_log_and_no_head_or_block() {
    let member = Who { kind: KeyKind::Member, key: key(102).public() };
    let mut visit = Visit::by(member);
    assert!(matches!(visit.log[..], [Output::Send { message: Message::LogSummary { .. }, .. }]));
    visit.say(Message::LogHave { entries: vec![], last: true });
    assert!(visit.log.iter().any(|o| matches!(o, Output::Send { message: Message::Ops { .. }, .. })));
    let head = visit.folder.head(1, None, &[], cid(1));
    visit.tell(Input::LocalHead(Box::new(head)));
    assert!(!visit.log.iter().any(|o| matches!(o, Output::Send { message: Message::Heads { .. }, .. })));
    visit.say(Message::Want { cids: vec![cid(1)] });
    assert!(visit.misbehaved());
}

#[test]
fn s12_blocks_nobody_asked_for_are_dropped() {
    let mut visit = Visit::by(seeder(50));
    visit.tell(Input::BlockArrived { peer: PEER, cid: cid(1), bytes: 10 });
    assert_eq!(visit.log.pop(), Some(Output::BlockDropped { peer: PEER, cid: cid(1) }));
}

#[test]
fn s12_endless_lists_end_the_channel() {
    let mut next = 0u64;
    let mut id = move || {
        next += 1;
        *blake3::hash(&next.to_le_bytes()).as_bytes()
    };
    let mut visit = Visit::by(seeder(50));
    let mut sent = 0;
    while visit.closed().is_none() {
        let tips = (0..1024).map(|_| Tip { actor: ActorId([1; 16]), seq: 1, head: HeadId(id()) }).collect();
        visit.say(Message::HeadsHave { tips, last: false });
        sent += 1024;
        assert!(sent <= TIPS_MAX + 1024);
    }
    assert!(visit.misbehaved());

    let mut visit = Visit::by(seeder(50));
    let mut sent = 0;
    while visit.closed().is_none() {
        let entries = (0..1024).map(|_| LogEntry { op: OpId(id()), envelopes: 0 }).collect();
        visit.say(Message::LogHave { entries, last: false });
        sent += 1024;
        assert!(sent <= LOG_OPS_MAX + 1024);
    }
    assert!(visit.misbehaved());

    let mut visit = Visit::by(device(2));
    let mut sent = 0;
    while visit.closed().is_none() {
        visit.say(Message::Want { cids: (0..1024).map(|_| Cid(id())).collect() });
        sent += 1024;
        assert!(sent <= SERVE_QUEUE_MAX + 2048);
    }
    assert!(visit.misbehaved());
}

#[test]
fn s12_heads_with_invented_parents_take_bounded_room() {
    let mut visit = Visit::by(device(2));
    let first = visit.folder.head(2, None, &[], cid(1));
    for n in 0..HEADS_PENDING_PER_PEER_MAX as u32 + 200 {
        let mut head = visit.folder.unsigned_head(2, Some(&first), &[], cid(1));
        head.prev = Some(HeadId(*blake3::hash(&n.to_le_bytes()).as_bytes()));
        let head = head.sign(&key(2)).unwrap();
        visit.say(Message::Heads { heads: vec![head.bytes().to_vec()] });
        visit.log.clear();
    }
    assert_eq!(visit.alice.heads().waiting_len(), HEADS_PENDING_PER_PEER_MAX);
    assert_eq!(visit.closed(), None);
    visit.tell(Input::PeerClosed { peer: PEER });
    assert_eq!(visit.alice.heads().waiting_len(), 0);
    assert_eq!(visit.alice.poll_timeout(), None);
}

#[test]
fn what_nobody_waits_for_any_more_is_not_asked_for_and_wakes_nobody() {
    let mut visit = Visit::by(device(2));
    let liar = PeerId(2);
    visit.tell(Input::PeerOpened { peer: liar, who: seeder(50), ours: KeyKind::Device });
    let orphan = visit.folder.chain(2, 3).pop().unwrap();
    let heads = vec![orphan.bytes().to_vec()];
    visit.tell(Input::Received { peer: liar, message: Message::Heads { heads } });
    let due = visit.alice.poll_timeout().unwrap();
    visit.alice.handle(due, Input::Tick);
    let asked: Vec<PeerId> = std::iter::from_fn(|| visit.alice.poll_output())
        .filter_map(|output| match output {
            Output::Send { peer, message: Message::HeadsWanted { .. } } => Some(peer),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [PEER], "who brought it did not answer, so the other is asked");
    visit.alice.handle(due, Input::PeerClosed { peer: liar });
    assert_eq!(visit.alice.poll_timeout(), None);
}

#[test]
fn asking_for_a_head_that_is_not_here_is_answered_by_silence() {
    let mut visit = Visit::by(device(2));
    visit.log.clear();
    let chains = vec![ChainWanted { head: HeadId([9; 32]), above_seq: 0 }];
    visit.say(Message::HeadsWanted { chains });
    assert_eq!(visit.log, []);
}

#[test]
fn x13_heads_and_ops_of_another_folder_and_forged_ones_end_the_channel() {
    let head = {
        let visit = Visit::by(device(2));
        let mut head = visit.folder.unsigned_head(2, None, &[], cid(1));
        head.folder = FolderId([8; 32]);
        head.actor = ActorId::of(&head.folder, &head.device, &[2; 16]);
        head.sign(&key(2)).unwrap().bytes().to_vec()
    };
    let mut forged = Folder::of(&[2]).head(2, None, &[], cid(1)).bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let mut op = Folder::of(&[2]).ops[0].bytes().to_vec();
    *op.last_mut().unwrap() ^= 1;
    let receipt = vec![0; 10];
    for message in [
        Message::Heads { heads: vec![head] },
        Message::Heads { heads: vec![forged] },
        Message::Ops { ops: vec![op] },
        Message::Receipt { bytes: receipt },
        Message::Claimed,
    ] {
        let mut visit = Visit::by(device(2));
        visit.say(message.clone());
        assert!(visit.misbehaved(), "{message:?}");
        assert!(visit.alice.heads().is_empty());
    }
}

#[test]
fn s3_an_envelope_that_the_op_does_not_cover_ends_the_channel() {
    let folder = Folder::of(&[2]);
    let mut kept = folder.kept();
    kept.envelopes.clear();
    let mut alice = Replica::restore(folder.genesis(), kept);
    alice.handle(0, Input::PeerOpened { peer: PEER, who: seeder(50), ours: KeyKind::Device });
    let mut sent = folder.envelopes[0].clone();
    sent.envelopes[0].bytes[0] ^= 1;
    alice.handle(0, Input::Received { peer: PEER, message: Message::Envelopes(sent) });
    assert!(std::iter::from_fn(|| alice.poll_output()).any(|o| matches!(o, Output::ClosePeer { .. })));
    assert_eq!(alice.envelopes().count(&folder.envelopes[0].op), 0);
}

#[test]
fn x4_a_device_that_signs_two_histories_is_named_and_both_are_kept() {
    let mut visit = Visit::by(seeder(50));
    let one = visit.folder.head(2, None, &[], cid(1));
    let branches = [cid(2), cid(3)].map(|root| visit.folder.head(2, Some(&one), &[], root));
    let heads = [&one, &branches[0], &branches[1]].map(|head| head.bytes().to_vec()).to_vec();
    visit.say(Message::Heads { heads });
    let [first, second] = [branches[0].id(), branches[1].id()];
    assert!(visit.log.contains(&Output::DeviceForked { device: key(2).public(), first, second }));
    assert_eq!(visit.alice.heads().len(), 3);
    assert_eq!(visit.alice.heads().tips().count(), 2, "both are told to others, who will see the same");
}

#[test]
fn s5_an_older_head_replaces_nothing_and_a_seeder_that_forgot_is_convicted() {
    let mut visit = Visit::by(device(2));
    let chain = visit.folder.chain(1, 3);
    for head in &chain {
        visit.tell(Input::LocalHead(Box::new(head.clone())));
    }
    let receipt = Receipt {
        folder: visit.folder.id(),
        seeder: key(50).public(),
        head: chain[2].id(),
        holding: Holding::Complete,
        received_ms: 0,
        keep_until_ms: 3_600_000,
        free_bytes: 0,
        terms: OpId([1; 32]),
    };
    let receipt = receipt.sign(&key(50));
    visit.say(Message::Receipt { bytes: receipt.bytes().to_vec() });
    // The seeder comes, with the state of an old backup. What it says at first may have been on the way since before it signed.
    let convicts = Output::SeederRolledBack { seeder: key(50).public(), receipt };
    let head = chain[0].head();
    let tips = vec![Tip { actor: head.actor, seq: 1, head: chain[0].id() }];
    visit.tell(Input::PeerOpened { peer: PeerId(3), who: seeder(50), ours: KeyKind::Device });
    visit.tell(Input::Received { peer: PeerId(3), message: Message::HeadsHave { tips: tips.clone(), last: true } });
    visit.tell(Input::PeerClosed { peer: PeerId(3) });
    assert!(!visit.log.contains(&convicts));
    visit.now_ms = 5_000;
    let old = PeerId(2);
    visit.tell(Input::PeerOpened { peer: old, who: seeder(50), ours: KeyKind::Device });
    visit.tell(Input::Received { peer: old, message: Message::HeadsHave { tips, last: true } });
    let heads = vec![chain[0].bytes().to_vec()];
    visit.tell(Input::Received { peer: old, message: Message::Heads { heads } });
    assert_eq!(visit.alice.heads().tips().map(|tip| tip.head).collect::<Vec<_>>(), [chain[2].id()]);
    assert!(visit.log.contains(&convicts));
}

#[test]
fn a_guest_can_not_flood_the_log() {
    let mut folder = Folder::of(&[]);
    let invite = folder.invite(60, 1, 1000);
    let mut alice = folder.replica();
    let holder = Who { kind: KeyKind::Invite, key: key(60).public() };
    alice.handle(0, Input::PeerOpened { peer: PEER, who: holder, ours: KeyKind::Device });
    let ops: Vec<Vec<u8>> = (0..100).map(|n| folder.join(invite, 60, n).bytes().to_vec()).collect();
    alice.handle(0, Input::Received { peer: PEER, message: Message::Ops { ops } });
    assert!(std::iter::from_fn(|| alice.poll_output()).any(|o| matches!(o, Output::ClosePeer { .. })));
}
