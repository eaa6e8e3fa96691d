//! Two links joined by queues.

use super::*;
use crate::id::{EndpointId, Hash, OpId};
use crate::members::{Envelope, EnvelopeList};
use crate::sign::SecretKey;
use crate::wire::proof::KeyKind;
use crate::wire::{Guess, Half, Nameplate, Told};

const FOLDER: FolderId = FolderId([7; 32]);

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn session() -> Session {
    Session { exporter: [1; 32], dialer: EndpointId([2; 32]), acceptor: EndpointId([3; 32]) }
}

/// Alice called Bob.
struct Pair {
    alice: Link,
    bob: Link,
    at_alice: Vec<Output>,
    at_bob: Vec<Output>,
}

impl Pair {
    fn new() -> Self {
        let alice = Link::new(0, session(), Side::Dialer, Party::Member);
        let bob = Link::new(0, session(), Side::Acceptor, Party::Seeder);
        let mut pair = Self { alice, bob, at_alice: vec![], at_bob: vec![] };
        pair.drive(0);
        pair
    }

    /// Carries frames until both are silent; what is not a frame is kept for the test.
    fn drive(&mut self, now_ms: u64) {
        self.alice.tick(now_ms);
        self.bob.tick(now_ms);
        loop {
            let mut moved = false;
            while let Some(out) = self.alice.poll_output() {
                moved = true;
                match out {
                    Output::Send(bytes) => self.bob.receive(now_ms, &bytes),
                    other => self.at_alice.push(other),
                }
            }
            while let Some(out) = self.bob.poll_output() {
                moved = true;
                match out {
                    Output::Send(bytes) => self.alice.receive(now_ms, &bytes),
                    other => self.at_bob.push(other),
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn alice_proof(&self, folder: &FolderId) -> Proof {
        Proof::Key(self.alice.session().prove(Side::Dialer, folder, KeyKind::Device, &key(1)))
    }

    fn bob_proof(&self, folder: &FolderId) -> KeyProof {
        self.bob.session().prove(Side::Acceptor, folder, KeyKind::Seeder, &key(2))
    }

    fn open(&mut self) -> Channel {
        let channel = self.alice.open(FOLDER, self.alice_proof(&FOLDER)).unwrap();
        self.drive(0);
        self.bob.accept(channel, FOLDER, self.bob_proof(&FOLDER)).unwrap();
        self.drive(0);
        channel
    }
}

#[test]
fn a_folder_is_opened_with_a_proof_each_way_and_carries_messages() {
    let mut pair = Pair::new();
    assert_eq!(pair.at_alice, [Output::Met { version: 1, party: Party::Seeder }]);
    let channel = pair.alice.open(FOLDER, pair.alice_proof(&FOLDER)).unwrap();
    pair.drive(0);
    let blinded = session().blind(&FOLDER);
    assert!(matches!(pair.at_bob.pop(), Some(Output::OpenAsked { blinded: b, .. }) if b == blinded));
    assert_eq!(pair.bob.asked(channel, &FolderId([8; 32])), None, "another folder");
    assert_eq!(pair.bob.asked(channel, &FOLDER), Some(Who { kind: KeyKind::Device, key: key(1).public() }));
    pair.bob.accept(channel, FOLDER, pair.bob_proof(&FOLDER)).unwrap();
    pair.bob.send(channel, Message::Claimed).unwrap();
    pair.drive(0);
    let who = Who { kind: KeyKind::Seeder, key: key(2).public() };
    assert_eq!(
        pair.at_alice[1..],
        [
            Output::Proved,
            Output::Opened { channel, folder: FOLDER, who },
            Output::ToFolder { channel, message: Message::Claimed }
        ]
    );
    pair.alice.close(channel);
    pair.bob.send(channel, Message::Claimed).unwrap();
    pair.drive(0);
    assert_eq!(pair.at_bob.last(), Some(&Output::Closed { channel }));
    assert_eq!(pair.at_alice.len(), 4, "what crossed the close is dropped");
    assert_eq!(pair.bob.send(channel, Message::Claimed), Err(LinkError::NoSuchChannel(channel)));
}

#[test]
fn g4_absent_and_forbidden_look_and_last_the_same() {
    let answers: Vec<(Vec<Output>, Vec<u8>)> = [FOLDER, FolderId([8; 32])]
        .into_iter()
        .map(|folder| {
            let mut pair = Pair::new();
            let channel = pair.alice.open(folder, pair.alice_proof(&folder)).unwrap();
            pair.drive(100);
            // Bob hosts FOLDER alone, and does not know Alice's key: he verifies in one case and finds nothing in the other.
            let found = pair.bob.asked(channel, &FOLDER).is_some();
            assert_eq!(found, folder == FOLDER);
            pair.bob.refuse(100, channel);
            assert_eq!(pair.bob.poll_output(), None, "not at once");
            assert_eq!(pair.bob.poll_timeout(), Some(100 + REFUSAL_DELAY_MS));
            pair.bob.tick(100 + REFUSAL_DELAY_MS - 1);
            assert_eq!(pair.bob.poll_output(), None);
            pair.bob.tick(100 + REFUSAL_DELAY_MS);
            let Some(Output::Send(frame)) = pair.bob.poll_output() else { panic!("no answer") };
            (std::mem::take(&mut pair.at_bob).split_off(2), frame)
        })
        .collect();
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn g4_guessing_is_cut_short() {
    let mut pair = Pair::new();
    for n in 0..=REFUSALS_BEFORE_AUTH_MAX {
        let folder = FolderId([n as u8; 32]);
        let Ok(channel) = pair.alice.open(folder, pair.alice_proof(&folder)) else { break };
        pair.drive(0);
        pair.bob.refuse(0, channel);
        pair.drive(0);
    }
    assert_eq!(pair.at_bob.last(), Some(&Output::Ended { why: Ending::NothingProved }));
    assert!(matches!(pair.at_alice.last(), Some(Output::Ended { why: Ending::ByPeer(_) })));
}

#[test]
fn g3_silence_is_closed_after_ten_seconds_but_a_proof_ends_the_wait() {
    let mut pair = Pair::new();
    pair.drive(AUTH_TIMEOUT_MS - 1);
    assert!(!pair.at_bob.iter().any(|out| matches!(out, Output::Ended { .. })));
    pair.drive(AUTH_TIMEOUT_MS);
    assert!(pair.at_bob.iter().any(|out| matches!(out, Output::Ended { .. })));
    assert_eq!(pair.bob.poll_timeout(), None);

    let mut pair = Pair::new();
    pair.open();
    pair.drive(AUTH_TIMEOUT_MS * 100);
    assert!(!pair.at_bob.iter().any(|out| matches!(out, Output::Ended { .. })));
}

#[test]
fn frames_over_16_kib_are_refused_until_something_is_proved() {
    let big = |channel| {
        let message = Message::Ops { ops: vec![vec![0; FRAME_BYTES_BEFORE_AUTH_MAX]] };
        Frame::On { channel, message }.to_bytes()
    };
    let mut pair = Pair::new();
    pair.bob.receive(0, &big(Channel(0)));
    pair.drive(0);
    assert!(matches!(
        pair.at_bob.last(),
        Some(Output::Ended { why: Ending::Unreadable(DecodeError::TooLarge { what: "frame", .. }) })
    ));
    let mut pair = Pair::new();
    let channel = pair.open();
    pair.bob.receive(0, &big(channel));
    pair.drive(0);
    assert!(matches!(pair.at_bob.last(), Some(Output::ToFolder { .. })));
    let huge = Frame::On { channel, message: Message::Ops { ops: vec![vec![0; 60 << 10]; 20] } };
    pair.bob.receive(0, &huge.to_bytes());
    pair.drive(0);
    assert!(matches!(pair.at_bob.last(), Some(Output::Ended { .. })));
}

#[test]
fn both_ends_asking_for_one_folder_end_up_with_the_dialers_channel() {
    let mut pair = Pair::new();
    let from_bob = Proof::Key(pair.bob_proof(&FOLDER));
    pair.bob.open(FOLDER, from_bob).unwrap();
    let channel = pair.alice.open(FOLDER, pair.alice_proof(&FOLDER)).unwrap();
    pair.drive(0);
    assert!(!pair.at_alice.iter().any(|out| matches!(out, Output::OpenAsked { .. })));
    pair.bob.accept(channel, FOLDER, pair.bob_proof(&FOLDER)).unwrap();
    pair.drive(REFUSAL_DELAY_MS);
    pair.drive(REFUSAL_DELAY_MS * 2);
    assert_eq!(pair.alice.folder(channel), Some(&FOLDER));
    assert_eq!(pair.bob.folder(channel), Some(&FOLDER));
    assert!(!pair.at_bob.iter().any(|out| matches!(out, Output::Refused { .. })), "{:?}", pair.at_bob);
    assert_eq!(pair.bob.open(FOLDER, from_bob), Err(LinkError::AlreadyOpen));
}

#[test]
fn an_answer_without_the_folders_key_ends_the_connection() {
    let mut pair = Pair::new();
    let channel = pair.alice.open(FOLDER, pair.alice_proof(&FOLDER)).unwrap();
    let reflected = pair.alice.session().prove(Side::Dialer, &FOLDER, KeyKind::Seeder, &key(2));
    assert_eq!(pair.bob.accept(channel, FOLDER, reflected), Err(LinkError::NoSuchChannel(channel)));
    pair.alice.receive(0, &Frame::Opened { channel, proof: reflected }.to_bytes());
    pair.drive(0);
    assert!(matches!(pair.at_alice.last(), Some(Output::Ended { why: Ending::OutOfTurn(_) })));
}

#[test]
fn frames_out_of_turn_end_the_connection() {
    let proof = session().prove(Side::Dialer, &FOLDER, KeyKind::Device, &key(1));
    let blinded = session().blind(&FOLDER);
    let open = |channel| Frame::Open { channel: Channel(channel), blinded, proof: Proof::Key(proof) };
    let cases = [
        vec![Frame::Hello(Hello::ours(Party::Member))],
        vec![open(1)],
        vec![open(2), open(2)],
        vec![open(2), open(0)],
        vec![Frame::On { channel: Channel(0), message: Message::Claimed }],
        vec![open(0), Frame::On { channel: Channel(0), message: Message::Claimed }],
        vec![Frame::Close { channel: Channel(4) }],
        vec![Frame::Opened { channel: Channel(1), proof }],
        vec![Frame::Refused { channel: Channel(1) }],
        vec![Frame::Removed { channel: Channel(1), told: Removal::default(), last: true }],
        vec![Frame::Find { proofs: vec![proof] }],
    ];
    for frames in cases {
        let mut pair = Pair::new();
        for frame in &frames {
            pair.bob.receive(0, &frame.to_bytes());
        }
        pair.drive(0);
        assert!(matches!(pair.at_bob.last(), Some(Output::Ended { why: Ending::OutOfTurn(_) })), "{frames:?}");
    }
    let mut bob = Link::new(0, session(), Side::Acceptor, Party::Member);
    bob.receive(0, &open(0).to_bytes());
    while let Some(out) = bob.poll_output() {
        assert!(!matches!(out, Output::OpenAsked { .. }), "asked before greeting");
    }
}

#[test]
fn s11_without_a_common_version_there_is_no_talk() {
    let mut bob = Link::new(0, session(), Side::Acceptor, Party::Member);
    bob.receive(0, &Frame::Hello(Hello { version_min: 2, version_max: 9, party: Party::Member }).to_bytes());
    let outputs: Vec<Output> = std::iter::from_fn(|| bob.poll_output()).collect();
    assert_eq!(outputs.last(), Some(&Output::Ended { why: Ending::NoCommonVersion { min: 2, max: 9 } }));
}

#[test]
fn a_recovering_person_finds_folders_by_member_keys_alone() {
    let mut pair = Pair::new();
    let slots: Vec<KeyProof> =
        (10..14).map(|n| pair.alice.session().prove(Side::Dialer, &FolderId::ZERO, KeyKind::Member, &key(n))).collect();
    pair.alice.find(slots).unwrap();
    pair.drive(0);
    let Some(Output::FindAsked { keys }) = pair.at_bob.pop() else { panic!("not asked") };
    assert_eq!(keys.len(), 4);
    let folders = vec![FoundFolder { key: keys[0], folder: FOLDER, vault: true }];
    pair.bob.found(folders.clone());
    pair.drive(0);
    assert_eq!(pair.at_alice.last(), Some(&Output::Found { folders }));
    assert!(pair.bob.is_proved());
}

#[test]
fn a_claim_needs_the_offers_secret() {
    let mut pair = Pair::new();
    let offer = crate::id::OfferId([5; 16]);
    let mac = session().claim_mac(&[6; 16], &FOLDER);
    let channel = pair.alice.open(FOLDER, Proof::Claim { offer, folder: FOLDER, mac }).unwrap();
    pair.drive(0);
    assert_eq!(pair.bob.asked(channel, &FOLDER), None, "a claim is no key");
    assert_eq!(pair.bob.claim_holds(channel, &[9; 16]), None);
    assert_eq!(pair.bob.claim_holds(channel, &[6; 16]), Some(FOLDER));
    pair.bob.accept(channel, FOLDER, pair.bob_proof(&FOLDER)).unwrap();
    pair.drive(0);
    assert!(pair.alice.is_proved());
}

#[test]
fn an_introduction_counts_for_the_open_after_it_and_for_its_folder_alone() {
    let mut pair = Pair::new();
    let (ops, other) = (vec![vec![1; 100], vec![2; 200]], FolderId([8; 32]));
    pair.alice.open_introduced(FOLDER, pair.alice_proof(&FOLDER), ops.clone()).unwrap();
    pair.drive(0);
    assert!(matches!(pair.at_bob.pop(), Some(Output::OpenAsked { .. })), "nothing else is told");
    assert_eq!(pair.bob.introduction(&FOLDER), ops);
    assert!(pair.bob.introduction(&FOLDER).is_empty(), "once");
    pair.alice.open_introduced(other, pair.alice_proof(&other), ops).unwrap();
    pair.drive(0);
    assert!(pair.bob.introduction(&FOLDER).is_empty(), "it was for another folder");
}

#[test]
fn g2_who_answers_what_nobody_asked_has_proved_nothing_and_is_closed() {
    let mut pair = Pair::new();
    let found = FoundFolder { key: key(1).public(), folder: FOLDER, vault: false };
    pair.bob.receive(0, &Frame::Found { folders: vec![found] }.to_bytes());
    pair.drive(0);
    assert!(!pair.bob.is_proved());
    assert!(matches!(pair.at_bob.last(), Some(Output::Ended { why: Ending::OutOfTurn(_) })), "{:?}", pair.at_bob);

    // Who was asked may answer, once for each question.
    let mut pair = Pair::new();
    let proofs = vec![pair.alice.session().prove(Side::Dialer, &FolderId::ZERO, KeyKind::Member, &key(1))];
    pair.alice.find(proofs).unwrap();
    pair.drive(0);
    pair.bob.found(vec![found]);
    pair.drive(0);
    assert!(pair.alice.is_proved());
    pair.alice.receive(0, &Frame::Found { folders: vec![] }.to_bytes());
    pair.drive(0);
    assert!(matches!(pair.at_alice.last(), Some(Output::Ended { why: Ending::OutOfTurn(_) })));
}

#[test]
fn m1_who_was_sent_away_is_told_so_once_and_as_late_as_anybody() {
    let mut pair = Pair::new();
    let ops: Vec<Vec<u8>> = (0..40).map(|n| vec![n; 1000]).collect();
    let told = Removal { ops, envelopes: vec![sealed_for(1, 40), sealed_for(2, 3)] };
    let ask = |pair: &mut Pair, at_ms| {
        let channel = pair.alice.open(FOLDER, pair.alice_proof(&FOLDER)).unwrap();
        pair.drive(at_ms);
        assert!(pair.bob.asked(channel, &FOLDER).is_some());
        pair.bob.refuse_removed(at_ms, channel, told.clone());
        assert_eq!(pair.bob.poll_output(), None, "not at once");
        pair.drive(at_ms + REFUSAL_DELAY_MS);
        (channel, pair.at_alice.pop())
    };
    let (_, heard) = ask(&mut pair, 0);
    let Some(Output::Removed { folder: FOLDER, told: heard, .. }) = heard else { panic!("not told: {heard:?}") };
    assert_eq!(heard.ops, told.ops, "in several small frames");
    for sent in &told.envelopes {
        let of_it = heard.envelopes.iter().filter(|piece| piece.op == sent.op && piece.list == sent.list);
        let all: Vec<Envelope> = of_it.flat_map(|piece| piece.envelopes.clone()).collect();
        assert_eq!(all, sent.envelopes, "in pieces");
    }
    let (channel, heard) = ask(&mut pair, 1000);
    assert_eq!(heard, Some(Output::Refused { channel, folder: FOLDER }));
    assert!(!pair.alice.is_proved() && !pair.bob.is_proved(), "neither has proved anything by that");

    // What does not fit is not told, and what is not one is a no.
    for ops in [vec![vec![0; INTRODUCTION_BYTES_MAX + 1]], vec![]] {
        let mut pair = Pair::new();
        let channel = pair.alice.open(FOLDER, pair.alice_proof(&FOLDER)).unwrap();
        pair.drive(0);
        pair.bob.refuse_removed(0, channel, Removal { ops, envelopes: vec![] });
        pair.drive(REFUSAL_DELAY_MS);
        assert_eq!(pair.at_alice.pop(), Some(Output::Refused { channel, folder: FOLDER }));
    }
}

/// The envelopes of an epoch's op.
fn sealed_for(op: u8, recipients: u8) -> OpEnvelopes {
    let envelope = |n| Envelope { recipient: Hash([n; 32]), bytes: vec![op; 1200] };
    let envelopes: Vec<Envelope> = (0..recipients).map(envelope).collect();
    OpEnvelopes { op: OpId([op; 32]), list: EnvelopeList::of(&envelopes), envelopes }
}

/// The ops come first, and each frame is one that is taken before anything is proved. Of keys that are too many to tell the latest are told.
#[test]
fn m1_of_a_removal_that_is_too_much_to_tell_the_oldest_keys_are_left_out() {
    let mut pair = Pair::new();
    let channel = pair.alice.open(FOLDER, pair.alice_proof(&FOLDER)).unwrap();
    pair.drive(0);
    let envelopes: Vec<OpEnvelopes> = (0..40).map(|op| sealed_for(op, 30)).collect();
    pair.bob.refuse_removed(0, channel, Removal { ops: vec![vec![1; 500]; 200], envelopes: envelopes.clone() });
    pair.drive(REFUSAL_DELAY_MS);
    let Some(Output::Removed { told, .. }) = pair.at_alice.pop() else { panic!("not told") };
    assert_eq!(told.ops.len(), 200);
    let count = |op: &OpEnvelopes| told.envelopes.iter().filter(|p| p.op == op.op).flat_map(|p| &p.envelopes).count();
    assert_eq!((count(&envelopes[0]), count(&envelopes[39])), (30, 0));
}

#[test]
fn i3_a_removal_that_is_told_without_end_ends_the_connection() {
    let mut pair = Pair::new();
    let channel = pair.alice.open(FOLDER, pair.alice_proof(&FOLDER)).unwrap();
    let told = Removal { ops: vec![vec![1; 9000]], envelopes: vec![] };
    for n in 0..=REMOVAL_FRAMES_MAX {
        let ended = pair.at_alice.iter().any(|out| matches!(out, Output::Ended { .. }));
        assert!(!ended, "after {n} frames");
        pair.alice.receive(0, &Frame::Removed { channel, told: told.clone(), last: false }.to_bytes());
        pair.drive(0);
    }
    assert!(matches!(pair.at_alice.last(), Some(Output::Ended { why: Ending::OutOfTurn(_) })));
}

fn plate(n: u16) -> Nameplate {
    Nameplate::new(n).unwrap()
}

const HALF: Half = Half([7; 32]);
const BEN: EndpointId = EndpointId([8; 32]);

fn a_guess() -> Guess {
    Guess { half: Half([9; 32]), confirmation: Hash([9; 32]) }
}

#[test]
fn a_nameplate_is_laid_asked_for_guessed_and_answered() {
    let mut pair = Pair::new();
    pair.open();
    pair.at_alice.clear();
    pair.at_bob.clear();
    // Alice invites, Bob keeps the mailbox.
    pair.alice.lay(plate(7), HALF, 60).unwrap();
    pair.drive(0);
    assert_eq!(pair.at_bob, [Output::LayAsked { nameplate: plate(7), half: HALF, for_s: 60 }]);
    pair.bob.laid(plate(7), true);
    pair.bob.knock(plate(7), BEN, a_guess());
    pair.drive(0);
    let knocked = Output::Knocked { nameplate: plate(7), joiner: BEN, guess: a_guess() };
    assert_eq!(pair.at_alice, [Output::Laid { nameplate: plate(7), yes: true }, knocked]);
    // Taken back by the first guess, and answered.
    pair.alice.lift(plate(7));
    pair.alice.give(plate(7), Some(vec![1, 2]));
    pair.drive(0);
    let gave = Output::Gave { nameplate: plate(7), sealed: Some(vec![1, 2]) };
    assert_eq!(pair.at_bob[1..], [Output::Lifted { nameplate: plate(7) }, gave]);

    // The other way round Bob asks, and Alice answers as a stranger's machine would.
    let mut pair = Pair::new();
    pair.bob.ask(plate(7)).unwrap();
    assert_eq!(pair.bob.ask(plate(8)), Err(LinkError::OutOfTurn), "one at a time");
    assert_eq!(pair.bob.guess(plate(7), a_guess()), Err(LinkError::OutOfTurn), "not before it was told");
    pair.drive(0);
    let told = Told { inviter: BEN, half: HALF };
    pair.alice.tell(plate(7), told);
    pair.drive(0);
    assert_eq!(pair.at_bob.last(), Some(&Output::Told { nameplate: plate(7), told }));
    assert_eq!(pair.bob.guess(plate(8), a_guess()), Err(LinkError::OutOfTurn), "of another nameplate");
    pair.bob.guess(plate(7), a_guess()).unwrap();
    assert_eq!(pair.bob.guess(plate(7), a_guess()), Err(LinkError::OutOfTurn), "once");
    pair.drive(0);
    pair.alice.given(plate(7), None);
    pair.drive(0);
    assert_eq!(pair.at_bob.last(), Some(&Output::Given { nameplate: plate(7), sealed: None }));
    assert!(!pair.bob.is_proved() && !pair.alice.is_proved(), "words prove nothing about folders");
    pair.bob.ask(plate(8)).unwrap();
}

#[test]
fn g4_a_stranger_lays_nothing_down_and_guesses_are_counted() {
    let mut pair = Pair::new();
    pair.alice.lay(plate(7), HALF, 60).unwrap();
    pair.drive(0);
    assert_eq!(pair.at_alice.last(), Some(&Output::Laid { nameplate: plate(7), yes: false }));
    assert!(
        !pair.at_bob.iter().any(|output| matches!(output, Output::LayAsked { .. })),
        "the host does not hear of it"
    );
    let mut pair = Pair::new();
    for _ in 0..=REFUSALS_BEFORE_AUTH_MAX {
        if pair.alice.ask(plate(7)).is_err() {
            break;
        }
        pair.drive(0);
        pair.bob.tell(plate(7), Told { inviter: BEN, half: HALF });
        pair.drive(0);
        let _ended = pair.alice.guess(plate(7), a_guess());
        pair.drive(0);
        pair.bob.given(plate(7), None);
        pair.drive(0);
    }
    let why = Ending::OutOfTurn("asked too often in vain");
    assert_eq!(pair.at_bob.last(), Some(&Output::Ended { why }));
}

#[test]
fn x4_frames_of_a_meeting_that_answer_nothing_end_the_connection() {
    let told = Told { inviter: BEN, half: HALF };
    let nameplate = plate(7);
    for (frame, what) in [
        (Frame::Laid { nameplate, yes: true }, "answered a nameplate that was not laid"),
        (Frame::Told { nameplate, told }, "told of a nameplate that was not asked for"),
        (Frame::Guess { nameplate, guess: a_guess() }, "guessed without being told, or twice"),
        (Frame::Give { nameplate, sealed: vec![1] }, "gave what nobody asked for"),
        (Frame::Given { nameplate, sealed: vec![1] }, "answered a guess that was not made"),
    ] {
        let mut pair = Pair::new();
        pair.bob.receive(0, &frame.to_bytes());
        pair.drive(0);
        assert_eq!(pair.at_bob.last(), Some(&Output::Ended { why: Ending::OutOfTurn(what) }), "{frame:?}");
    }
    // A knock may have crossed our taking the nameplate back: it is answered like a wrong guess.
    let mut pair = Pair::new();
    pair.bob.receive(0, &Frame::Knock { nameplate, joiner: BEN, guess: a_guess() }.to_bytes());
    let answer = Frame::Give { nameplate, sealed: vec![] }.to_bytes();
    assert_eq!(pair.bob.poll_output(), Some(Output::Send(answer)));
    // Asked before the answer; told, and asked for another: one question at a time, one guess for each.
    let mut pair = Pair::new();
    pair.bob.receive(0, &Frame::Ask { nameplate }.to_bytes());
    pair.bob.receive(0, &Frame::Ask { nameplate }.to_bytes());
    pair.drive(0);
    let why = Ending::OutOfTurn("asked for a nameplate before the answer");
    assert_eq!(pair.at_bob.last(), Some(&Output::Ended { why }));
}

#[test]
fn i3_nameplates_on_their_way_are_bounded() {
    let mut pair = Pair::new();
    pair.open();
    for n in 1..=crate::limits::MAILBOX_SLOTS_PER_INVITER_MAX as u16 {
        pair.alice.lay(plate(n), HALF, 60).unwrap();
    }
    assert_eq!(pair.alice.lay(plate(900), HALF, 60), Err(LinkError::OutOfTurn));
    pair.drive(0);
    // Who does not keep to it is sent away.
    pair.bob.receive(0, &Frame::Lay { nameplate: plate(900), half: HALF, for_s: 60 }.to_bytes());
    pair.drive(0);
    assert!(matches!(pair.at_bob.last(), Some(Output::Ended { why: Ending::OutOfTurn(_) })));
}
