//! X4, X6, S5, S7, S8, S10, M8, T3: heads. What is signed twice, what is left out, what is old, and who may not write.

use anyhow::{Context, Result, ensure};
use cobox_core::members::propose;
use cobox_proto::head::SignedHead;
use cobox_proto::hosting::{Holding, Receipt};
use cobox_proto::id::OpId;
use cobox_proto::members::{OpBody, Role as MemberRole};
use cobox_proto::replicate::{Input, Output, PeerId};
use cobox_proto::wire::{AddressNote, Message, Tip};

use crate::home::{Visit, cid, seeder, seeder_key};
use crate::{Against, Role, Script, Verdict, pure};

const ALL: Against = Against::Both;

pub(crate) const SCRIPTS: &[Script] = &[
    pure("x4", "a second head has the number of the first", Role::Member, ALL, Verdict::Named, two_firsts),
    pure("x4", "a history splits in the middle", Role::Member, ALL, Verdict::Named, split),
    pure("x4", "two people were told different histories and compare", Role::Member, ALL, Verdict::Named, compared),
    pure("x4", "the two sides of a split come in any order", Role::Member, ALL, Verdict::Named, any_order),
    pure("x4", "a head skips over one of its own", Role::Member, ALL, Verdict::Named, wrong_skip),
    pure("x4", "a head says that it follows somebody else's", Role::Member, ALL, Verdict::Named, foreign_past),
    pure("x4", "a head merges its own past", Role::Member, ALL, Verdict::Named, idle_merge),
    pure(
        "x4",
        "a head forgets a change of members that the one before knew",
        Role::Member,
        ALL,
        Verdict::Named,
        forgetful,
    ),
    pure("x4", "a head builds on one that was refused", Role::Member, ALL, Verdict::Named, heir),
    pure(
        "s5",
        "a seeder names older heads than it has signed for",
        Role::Seeder,
        Against::Member,
        Verdict::Named,
        rolled_back,
    ),
    pure("s5", "an old state comes again and again", Role::Seeder, Against::Member, Verdict::Ignored, old_again),
    pure("s5", "an old receipt comes after the new one", Role::Seeder, Against::Member, Verdict::Ignored, old_receipt),
    pure(
        "s7",
        "each of two people gets another branch",
        Role::Seeder,
        Against::Member,
        Verdict::Contained,
        two_branches,
    ),
    pure("s8", "the head that deletes is left out of a history", Role::Seeder, Against::Member, Verdict::Ignored, gap),
    pure(
        "s8",
        "the head that a merge rests on is held back",
        Role::Seeder,
        Against::Member,
        Verdict::Ignored,
        held_back,
    ),
    pure("s10", "a seeder signs for a head and then has none", Role::Seeder, Against::Member, Verdict::Named, emptied),
    pure("m8", "somebody who may only read writes", Role::Member, ALL, Verdict::Named, reader_writes),
    pure(
        "m8",
        "somebody who may only read rests on nothing at all",
        Role::Member,
        ALL,
        Verdict::Named,
        reader_without_past,
    ),
    pure(
        "m8",
        "somebody who may only read makes themselves an editor",
        Role::Member,
        ALL,
        Verdict::Ignored,
        reader_promotes,
    ),
    pure("t3", "a head says that it is from the last day there is", Role::Member, ALL, Verdict::Contained, last_day),
    pure("t3", "an address is from the last day there is", Role::Member, ALL, Verdict::Contained, last_address),
];

fn forked(visit: &Visit) -> bool {
    let key = visit.home.mallory.key();
    visit.has(|o| matches!(o, Output::DeviceForked { device, .. } if *device == key))
}

/// Both are there, both are told to others, and she is named.
fn both_kept(visit: &Visit, one: &SignedHead, other: &SignedHead) -> Result<Verdict> {
    let heads = visit.replica.heads();
    ensure!(heads.get(&one.id()).is_some() && heads.get(&other.id()).is_some(), "both are kept");
    let tips: Vec<_> = heads.tips().map(|tip| tip.head).collect();
    ensure!(tips.contains(&one.id()) && tips.contains(&other.id()), "both are told to others");
    Ok(if forked(visit) { Verdict::Named } else { Verdict::Ignored })
}

fn two_firsts() -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    let one = visit.home.signed(&visit.home.mallory, 1, None, cid(1))?;
    let other = visit.home.signed(&visit.home.mallory, 1, None, cid(2))?;
    visit.hears_heads(&[&one, &other]);
    both_kept(&visit, &one, &other)
}

fn split() -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    let chain = visit.home.chain(&visit.home.mallory, 1, 5)?;
    let mut other = visit.home.head(&visit.home.mallory, 1, Some(&chain[2]), cid(99))?;
    other.skip = None; // Number four is a power of two.
    let other = other.sign(&visit.home.mallory.device.sig)?;
    visit.hears_heads(&chain.iter().collect::<Vec<_>>());
    visit.hears_heads(&[&other]);
    both_kept(&visit, &chain[4], &other)
}

fn compared() -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    let one = visit.home.signed(&visit.home.mallory, 1, None, cid(1))?;
    let other = visit.home.signed(&visit.home.mallory, 1, None, cid(2))?;
    visit.hears_heads(&[&one]);
    visit.tell(Input::PeerClosed { peer: PeerId(1) });
    ensure!(!forked(&visit), "one history is no lie");
    visit.enters(PeerId(2), visit.home.rita.who());
    visit.hears_from(PeerId(2), Message::Heads { heads: vec![other.bytes().to_vec()] });
    let bytes = one.bytes().to_vec();
    let told = |o: &Output| {
        matches!(o, Output::Send { peer: PeerId(2), message: Message::HeadsHave { tips, .. } } if tips.iter().any(|t| t.head == one.id()))
            || matches!(o, Output::Send { peer: PeerId(2), message: Message::Heads { heads } } if heads.contains(&bytes))
    };
    ensure!(visit.has(told), "the other person hears of it, too");
    both_kept(&visit, &one, &other)
}

fn any_order() -> Result<Verdict> {
    for turn in 0..2 {
        let mut visit = Visit::by_mallory()?;
        let chain = visit.home.chain(&visit.home.mallory, 1, 3)?;
        let other = visit.home.signed(&visit.home.mallory, 1, None, cid(9))?;
        let mut all: Vec<&SignedHead> = chain.iter().chain([&other]).collect();
        if turn == 1 {
            all.reverse();
        }
        for head in all {
            visit.hears_heads(&[head]);
        }
        ensure!(both_kept(&visit, &chain[2], &other)? == Verdict::Named, "turn {turn}");
    }
    Ok(Verdict::Named)
}

/// What came of the last of these heads of Mallory's.
fn refused(heads: impl FnOnce(&Visit) -> Result<Vec<SignedHead>>) -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    let heads = heads(&visit)?;
    visit.hears_heads(&heads.iter().collect::<Vec<_>>());
    let last = heads.last().context("there is one")?;
    ensure!(visit.replica.heads().get(&last.id()).is_none(), "it is not in the graph");
    ensure!(!visit.sent_away(), "what is well signed is judged, not closed upon");
    Ok(if visit.named(&last.head().device) { Verdict::Named } else { Verdict::Ignored })
}

fn wrong_skip() -> Result<Verdict> {
    refused(|visit| {
        let mallory = &visit.home.mallory;
        let mut chain = visit.home.chain(mallory, 1, 2)?;
        let mut head = visit.home.head(mallory, 1, chain.last(), cid(3))?;
        head.skip = Some(chain[0].id());
        chain.push(head.sign(&mallory.device.sig)?);
        Ok(chain)
    })
}

fn foreign_past() -> Result<Verdict> {
    refused(|visit| {
        let alices = visit.home.signed(&visit.home.alice, 1, None, cid(1))?;
        let head = visit.home.signed(&visit.home.mallory, 1, Some(&alices), cid(2))?;
        Ok(vec![alices, head])
    })
}

fn idle_merge() -> Result<Verdict> {
    refused(|visit| {
        let mallory = &visit.home.mallory;
        let mut chain = visit.home.chain(mallory, 1, 2)?;
        let mut head = visit.home.head(mallory, 1, chain.last(), cid(3))?;
        head.skip = Some(chain[1].id());
        head.merged = vec![chain[0].id()];
        chain.push(head.sign(&mallory.device.sig)?);
        Ok(chain)
    })
}

fn forgetful() -> Result<Verdict> {
    refused(|visit| {
        let mallory = &visit.home.mallory;
        let mut chain = visit.home.chain(mallory, 1, 1)?;
        let mut head = visit.home.head(mallory, 1, chain.last(), cid(2))?;
        head.auth = vec![mallory.grant];
        chain.push(head.sign(&mallory.device.sig)?);
        Ok(chain)
    })
}

fn heir() -> Result<Verdict> {
    refused(|visit| {
        let (mallory, rita) = (&visit.home.mallory, &visit.home.rita);
        let bad = visit.home.signed(rita, 1, None, cid(1))?;
        let mut head = visit.home.head(mallory, 1, None, cid(2))?;
        head.merged = vec![bad.id()];
        Ok(vec![bad, head.sign(&mallory.device.sig)?])
    })
}

fn tips(heads: &[SignedHead]) -> Vec<Tip> {
    heads.iter().map(|head| Tip { actor: head.head().actor, seq: head.head().seq, head: head.id() }).collect()
}

/// The seeder has signed for the last of three heads of Alice's, and comes again.
fn signed_for() -> Result<(Visit, Vec<SignedHead>)> {
    let mut visit = Visit::by_mallory()?;
    let chain = visit.home.chain(&visit.home.alice, 1, 3)?;
    for head in &chain {
        visit.tell(Input::LocalHead(Box::new(head.clone())));
    }
    let receipt = receipt(&visit, &chain[2], 10);
    visit.hears(Message::Receipt { bytes: receipt });
    // What it says at first may have been on the way since before it signed: a young receipt convicts nobody.
    visit.comes_to(60_000);
    visit.enters(PeerId(2), seeder());
    Ok((visit, chain))
}

fn receipt(visit: &Visit, head: &SignedHead, received_ms: u64) -> Vec<u8> {
    let receipt = Receipt {
        folder: visit.home.id(),
        seeder: seeder_key().public(),
        head: head.id(),
        holding: Holding::Complete,
        received_ms,
        keep_until_ms: 3_600_000,
        free_bytes: 0,
        terms: OpId([1; 32]),
    };
    receipt.sign(&seeder_key()).bytes().to_vec()
}

fn convicted(visit: &Visit) -> bool {
    let key = seeder_key().public();
    visit.has(|o| matches!(o, Output::SeederRolledBack { seeder, .. } if *seeder == key))
}

fn rolled_back() -> Result<Verdict> {
    let (mut visit, chain) = signed_for()?;
    visit.hears_from(PeerId(2), Message::HeadsHave { tips: tips(&chain[..1]), last: true });
    ensure!(
        visit.replica.heads().tips().map(|tip| tip.head).collect::<Vec<_>>() == [chain[2].id()],
        "nothing goes back"
    );
    Ok(if convicted(&visit) { Verdict::Named } else { Verdict::Ignored })
}

fn emptied() -> Result<Verdict> {
    let (mut visit, _) = signed_for()?;
    visit.hears_from(PeerId(2), Message::HeadsHave { tips: vec![], last: true });
    Ok(if convicted(&visit) { Verdict::Named } else { Verdict::Ignored })
}

fn old_again() -> Result<Verdict> {
    let (mut visit, chain) = signed_for()?;
    visit.said.clear();
    for _ in 0..100 {
        visit.hears_from(PeerId(2), Message::Heads { heads: vec![chain[0].bytes().to_vec()] });
    }
    ensure!(
        visit.replica.heads().tips().map(|tip| tip.head).collect::<Vec<_>>() == [chain[2].id()],
        "nothing goes back"
    );
    ensure!(!visit.has(|o| matches!(o, Output::HeadAccepted(_))), "and nothing is news");
    Ok(Verdict::Ignored)
}

fn old_receipt() -> Result<Verdict> {
    let (mut visit, chain) = signed_for()?;
    visit.said.clear();
    visit.hears_from(PeerId(2), Message::Receipt { bytes: receipt(&visit, &chain[2], 5) });
    ensure!(visit.replica.receipts().all(|signed| signed.receipt().received_ms == 10), "the newest stays");
    ensure!(!visit.has(|o| matches!(o, Output::ReceiptArrived(_))), "and is not told again");
    Ok(Verdict::Ignored)
}

fn two_branches() -> Result<Verdict> {
    // The seeder shows Alice Mallory's newest and holds it back from Rita, who writes beside it; then the two compare.
    let mut alice = Visit::by_seeder()?;
    let chain = alice.home.chain(&alice.home.mallory, 1, 2)?;
    alice.hears_heads(&chain.iter().collect::<Vec<_>>());
    let mut beside = alice.home.head(&alice.home.alice, 7, None, cid(50))?;
    beside.merged = vec![chain[0].id()];
    let beside = beside.sign(&alice.home.alice.device.sig)?;
    alice.enters(PeerId(2), alice.home.rita.who());
    alice.hears_from(PeerId(2), Message::Heads { heads: vec![beside.bytes().to_vec()] });
    let heads = alice.replica.heads();
    let newest: Vec<_> = heads.maximal().map(SignedHead::id).collect();
    ensure!(newest.contains(&chain[1].id()) && newest.contains(&beside.id()), "both branches stand beside each other");
    ensure!(!forked(&alice), "and nobody is called a liar who is none");
    Ok(Verdict::Contained)
}

fn gap() -> Result<Verdict> {
    let mut visit = Visit::by_seeder()?;
    let chain = visit.home.chain(&visit.home.alice, 1, 3)?;
    visit.hears_heads(&[&chain[0], &chain[2]]);
    ensure!(
        visit.replica.heads().len() == 1 && visit.replica.heads().waiting_len() == 1,
        "what rests on the gap waits"
    );
    let missing = chain[1].id();
    let asks = |o: &Output| matches!(o, Output::Send { message: Message::HeadsWanted { chains }, .. } if chains.iter().any(|c| c.head == missing));
    ensure!(visit.has(asks), "and what is missing is asked for by its name");
    visit.hears_heads(&[&chain[1]]);
    ensure!(visit.replica.heads().len() == 3, "until it comes");
    Ok(Verdict::Ignored)
}

fn held_back() -> Result<Verdict> {
    let mut visit = Visit::by_seeder()?;
    let deletes = visit.home.signed(&visit.home.mallory, 1, None, cid(1))?;
    let mut merge = visit.home.head(&visit.home.alice, 1, None, cid(2))?;
    merge.merged = vec![deletes.id()];
    let merge = merge.sign(&visit.home.alice.device.sig)?;
    visit.hears_heads(&[&merge]);
    ensure!(visit.replica.heads().is_empty() && visit.replica.heads().waiting_len() == 1, "it waits");
    visit.tell(Input::PeerClosed { peer: PeerId(1) });
    ensure!(visit.replica.heads().waiting_len() == 0, "and goes with who brought it");
    Ok(Verdict::Ignored)
}

fn reader_writes() -> Result<Verdict> {
    refused(|visit| visit.home.chain(&visit.home.rita, 1, 1))
}

fn reader_without_past() -> Result<Verdict> {
    refused(|visit| {
        let mut head = visit.home.head(&visit.home.rita, 1, None, cid(1))?;
        head.auth = vec![];
        Ok(vec![head.sign(&visit.home.rita.device.sig)?])
    })
}

fn reader_promotes() -> Result<Verdict> {
    let mut visit = Visit::by(|home| home.rita.who())?;
    let rita = &visit.home.rita;
    let body = OpBody::SetRole { grant: rita.grant, role: MemberRole::Editor, cut: vec![] };
    let op = propose(&visit.home.log, rita.author(), body)?;
    visit.hears(Message::Ops { ops: vec![op.bytes().to_vec()] });
    let key = visit.home.rita.key();
    ensure!(!visit.replica.membership().roster().can_write(&key), "she may still only read");
    let mut head = visit.home.head(&visit.home.rita, 1, None, cid(1))?;
    head.auth = vec![op.id()];
    let head = head.sign(&visit.home.rita.device.sig)?;
    visit.hears_heads(&[&head]);
    ensure!(visit.replica.heads().get(&head.id()).is_none() && visit.named(&key), "nor by resting on it");
    Ok(Verdict::Ignored)
}

fn last_day() -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    let mut head = visit.home.head(&visit.home.mallory, 1, None, cid(1))?;
    head.claimed_time_ms = u64::MAX;
    let head = head.sign(&visit.home.mallory.device.sig)?;
    let alices = visit.home.signed(&visit.home.alice, 1, None, cid(2))?;
    visit.hears_heads(&[&head, &alices]);
    let newest: Vec<_> = visit.replica.heads().maximal().map(SignedHead::id).collect();
    ensure!(newest.contains(&alices.id()) && newest.contains(&head.id()), "time orders nothing: both are newest");
    Ok(Verdict::Contained)
}

fn last_address() -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    let (folder, mallory) = (visit.home.id(), visit.home.mallory.device.sig.clone());
    let note = AddressNote::sign(&mallory, &folder, u64::MAX, vec![1; 40]);
    visit.hears(Message::Addresses(note));
    let alices = AddressNote::sign(&visit.home.alice.device.sig, &folder, 1, vec![2; 40]);
    visit.hears(Message::Addresses(alices));
    ensure!(visit.replica.addresses().count() == 2, "it puts nobody else's aside");
    Ok(Verdict::Contained)
}
