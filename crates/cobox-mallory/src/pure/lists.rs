//! X6, X7, X9, S12, G2: too many, too long, without end.

use anyhow::{Result, ensure};
use cobox_proto::codec::{Canonical, Writer};
use cobox_proto::head::{Head, SignedHead};
use cobox_proto::id::{Cid, HeadId, OpId};
use cobox_proto::limits::{
    BLOCK_LINKS_MAX, HEADS_PENDING_PER_PEER_MAX, LOG_OPS_MAX, SERVE_QUEUE_MAX, SERVING_PER_PEER_MAX, TIPS_MAX,
};
use cobox_proto::replicate::{Input, Output, PeerId, Priority};
use cobox_proto::wire::{ChainWanted, Frame, LogEntry, Message, Tip};

use crate::home::{GUEST, Visit, cid, nowhere};
use crate::{Against, Role, Script, Verdict, pure};

const ALL: Against = Against::Both;

pub(crate) const SCRIPTS: &[Script] = &[
    pure(
        "x7",
        "every list of a message says that it is endless",
        Role::Member,
        ALL,
        Verdict::RefusedAtDecode,
        endless_lists,
    ),
    pure(
        "x7",
        "every string of a message says that it is endless",
        Role::Member,
        ALL,
        Verdict::RefusedAtDecode,
        endless_strings,
    ),
    pure(
        "x7",
        "a block says that it has four billion links",
        Role::Member,
        ALL,
        Verdict::RefusedAtDecode,
        endless_links,
    ),
    pure("x9", "a head merges more heads than it may", Role::Member, ALL, Verdict::RefusedAtDecode, many_merged),
    pure("x9", "a head is longer than a head", Role::Member, ALL, Verdict::RefusedAtDecode, long_head),
    pure("x6", "heads wait for a thousand heads that never were", Role::Member, ALL, Verdict::Capped, invented_parents),
    pure("x9", "a thousand beginnings of histories are refused", Role::Member, ALL, Verdict::Capped, many_refused),
    pure("s12", "a list of heads has no end", Role::Seeder, ALL, Verdict::Closed, endless_tips),
    pure("s12", "a log has no end", Role::Seeder, ALL, Verdict::Closed, endless_log),
    pure("s12", "a wish for blocks has no end", Role::Seeder, ALL, Verdict::Closed, endless_wishes),
    pure("s12", "blocks come that nobody asked for", Role::Seeder, ALL, Verdict::Ignored, unasked),
    pure("s12", "a block comes from one who was not asked for it", Role::Seeder, ALL, Verdict::Ignored, from_another),
    pure("s12", "tips are named that do not exist", Role::Seeder, ALL, Verdict::Capped, tips_of_nothing),
    pure("s12", "blocks are unwanted and gone that never were", Role::Seeder, ALL, Verdict::Ignored, gone_and_unwanted),
    pure("g4", "heads, ops and blocks are asked for by guess", Role::Member, ALL, Verdict::LikeAbsent, guesses),
    pure("n6", "a member asks for everything and takes nothing", Role::Member, ALL, Verdict::Capped, takes_nothing),
    pure("n9", "a seeder answers no wish", Role::Seeder, Against::Member, Verdict::Contained, hangs),
    pure("s9", "a seeder says that every block is gone", Role::Seeder, Against::Member, Verdict::Contained, withholds),
];

fn endless_lists() -> Result<Verdict> {
    for claimed in [1025, 1 << 20, 1 << 31, 1 << 63, u64::MAX] {
        for kind in [2, 3, 4, 6, 7, 8, 9, 10, 11] {
            let mut w = Writer::new();
            w.u8(kind).varint(claimed).fixed(&[0; 300]);
            ensure!(Message::from_bytes(w.as_slice()).is_err(), "kind {kind} of {claimed}");
        }
    }
    Ok(Verdict::RefusedAtDecode)
}

fn endless_strings() -> Result<Verdict> {
    for claimed in [(1 << 20) + 1, 1 << 31, 1 << 63, u64::MAX] {
        for kind in [12, 22, 24] {
            let mut w = Writer::new();
            w.u8(kind).varint(claimed).fixed(&[0; 300]);
            ensure!(Message::from_bytes(w.as_slice()).is_err(), "kind {kind} of {claimed}");
        }
        for kind in [3, 8] {
            let mut w = Writer::new();
            w.u8(kind).varint(1).varint(claimed).fixed(&[0; 300]);
            ensure!(Message::from_bytes(w.as_slice()).is_err(), "an item of kind {kind} of {claimed}");
        }
        let mut w = Writer::new();
        w.varint(claimed).fixed(&[0; 300]);
        ensure!(Frame::from_bytes(w.as_slice()).is_err(), "a frame of {claimed}");
    }
    Ok(Verdict::RefusedAtDecode)
}

fn endless_links() -> Result<Verdict> {
    for claimed in [BLOCK_LINKS_MAX as u64 + 1, u64::from(u32::MAX), u64::MAX] {
        let mut w = Writer::new();
        w.u8(1).u8(1).fixed(&[3; 16]).varint(claimed).fixed(&[0; 4096]);
        ensure!(cobox_proto::block::BlockHeader::parse(w.as_slice()).is_err(), "{claimed}");
    }
    Ok(Verdict::RefusedAtDecode)
}

/// What the folder makes of a head of Mallory's that no honest program can write.
fn monstrous(change: impl FnOnce(&mut Head)) -> Result<Verdict> {
    let visit = Visit::by_mallory()?;
    let mut head = visit.home.head(&visit.home.mallory, 1, None, cid(1))?;
    change(&mut head);
    let signed = head.sign(&visit.home.mallory.device.sig);
    Ok(match signed {
        Err(_) => Verdict::RefusedAtDecode,
        Ok(head) if SignedHead::from_bytes(head.bytes()).is_err() => Verdict::RefusedAtDecode,
        Ok(_) => Verdict::Ignored,
    })
}

fn many_merged() -> Result<Verdict> {
    monstrous(|head| {
        head.merged = (0..65).map(nowhere).collect();
        head.merged.sort();
    })
}

fn long_head() -> Result<Verdict> {
    monstrous(|head| head.sealed = vec![0; 9000])
}

fn invented_parents() -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    let first = visit.home.signed(&visit.home.mallory, 1, None, cid(1))?;
    for n in 0..HEADS_PENDING_PER_PEER_MAX as u64 + 100 {
        let mut head = visit.home.head(&visit.home.mallory, 1, Some(&first), cid(1))?;
        head.prev = Some(nowhere(n));
        let head = head.sign(&visit.home.mallory.device.sig)?;
        visit.hears_heads(&[&head]);
        visit.said.clear();
    }
    ensure!(visit.replica.heads().waiting_len() == HEADS_PENDING_PER_PEER_MAX, "no more wait than may");
    visit.enters(PeerId(2), visit.home.rita.who());
    let honest = visit.home.chain(&visit.home.alice, 1, 2)?;
    visit.hears_from(PeerId(2), Message::Heads { heads: vec![honest[1].bytes().to_vec()] });
    visit.hears_from(PeerId(2), Message::Heads { heads: vec![honest[0].bytes().to_vec()] });
    ensure!(visit.replica.heads().len() == 2, "an honest head still finds its place");
    visit.tell(Input::PeerClosed { peer: GUEST });
    ensure!(visit.replica.heads().waiting_len() == 0, "what she brought goes with her");
    Ok(Verdict::Capped)
}

fn many_refused() -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    let mut told = 0;
    for n in 0..1000u64 {
        let mut head = visit.home.head(&visit.home.mallory, (n % 250) as u8, None, cid(n))?;
        head.epoch = cobox_proto::id::EpochTag([9; 16]);
        let head = head.sign(&visit.home.mallory.device.sig)?;
        visit.hears_heads(&[&head]);
        told += visit.said.iter().filter(|o| matches!(o, Output::HeadRefused { .. })).count();
        visit.said.clear();
    }
    ensure!(visit.replica.heads().is_empty() && visit.replica.heads().waiting_len() == 0, "nothing of it stays");
    ensure!(told == 1000, "each is told once: {told}");
    let honest = visit.home.signed(&visit.home.alice, 1, None, cid(1))?;
    visit.hears_heads(&[&honest]);
    ensure!(visit.replica.heads().len() == 1, "the honest one is taken");
    Ok(Verdict::Capped)
}

/// Goes on until it is sent away, or has said more than anybody may.
fn until_away(mut visit: Visit, items_max: usize, mut batch: impl FnMut(u64) -> Message) -> Result<Verdict> {
    let mut sent = 0;
    while !visit.sent_away() {
        visit.hears(batch(sent as u64));
        sent += 1024;
        ensure!(sent <= items_max + 2048, "nobody minds");
    }
    Ok(Verdict::Closed)
}

fn endless_tips() -> Result<Verdict> {
    let actor = cobox_proto::id::ActorId([1; 16]);
    until_away(Visit::by_seeder()?, TIPS_MAX, |at| {
        let tips = (0..1024).map(|n| Tip { actor, seq: 1, head: nowhere(at + n) }).collect();
        Message::HeadsHave { tips, last: false }
    })
}

fn endless_log() -> Result<Verdict> {
    until_away(Visit::by_seeder()?, LOG_OPS_MAX, |at| {
        let entries = (0..1024).map(|n| LogEntry { op: OpId(nowhere(at + n).0), envelopes: 0 }).collect();
        Message::LogHave { entries, last: false }
    })
}

fn endless_wishes() -> Result<Verdict> {
    until_away(Visit::by_seeder()?, SERVE_QUEUE_MAX, |at| Message::Want {
        cids: (0..1024).map(|n| cid(at + n)).collect(),
    })
}

fn unasked() -> Result<Verdict> {
    let mut visit = Visit::by_seeder()?;
    for n in 0..1000 {
        visit.tell(Input::BlockArrived { peer: GUEST, cid: cid(n), bytes: 4096 });
        ensure!(visit.said.pop() == Some(Output::BlockDropped { peer: GUEST, cid: cid(n) }), "no. {n} is dropped");
    }
    ensure!(visit.said.is_empty(), "and nothing else is done");
    Ok(Verdict::Ignored)
}

fn from_another() -> Result<Verdict> {
    let mut visit = Visit::by_seeder()?;
    visit.tell(Input::Want { cids: vec![cid(1)], priority: Priority::Tree });
    // By its name it is the right one, so it is taken whoever brings it; then it is wanted no more.
    visit.enters(PeerId(2), visit.home.rita.who());
    visit.tell(Input::BlockArrived { peer: PeerId(2), cid: cid(1), bytes: 4096 });
    ensure!(visit.has(|o| matches!(o, Output::BlockTaken { .. })), "a name can not lie");
    visit.said.clear();
    visit.tell(Input::BlockArrived { peer: GUEST, cid: cid(1), bytes: 4096 });
    ensure!(visit.said == [Output::BlockDropped { peer: GUEST, cid: cid(1) }], "and once is enough: {:?}", visit.said);
    Ok(Verdict::Ignored)
}

fn tips_of_nothing() -> Result<Verdict> {
    let mut visit = Visit::by_seeder()?;
    let actor = cobox_proto::id::ActorId([1; 16]);
    for batch in 0..10 {
        let tips = (0..1000).map(|n| Tip { actor, seq: u64::MAX, head: nowhere(batch * 1000 + n) }).collect();
        visit.hears(Message::HeadsHave { tips, last: batch == 9 });
    }
    let asked: usize = visit
        .said
        .iter()
        .map(|o| match o {
            Output::Send { message: Message::HeadsWanted { chains }, .. } => chains.len(),
            _ => 0,
        })
        .sum();
    ensure!(asked > 0 && asked <= 1024, "{asked} are asked for at once");
    visit.tell(Input::PeerClosed { peer: GUEST });
    ensure!(visit.replica.poll_timeout().is_none(), "with it goes every wish");
    Ok(Verdict::Capped)
}

fn gone_and_unwanted() -> Result<Verdict> {
    let mut visit = Visit::by_seeder()?;
    for n in 0..100 {
        visit.hears(Message::Gone { cids: (0..1024).map(|m| cid(n * 1024 + m)).collect() });
        visit.hears(Message::Unwant { cids: (0..1024).map(|m| cid(n * 1024 + m)).collect() });
        visit.hears(Message::Stale { head: nowhere(n), ops: vec![OpId([1; 32]); 64] });
    }
    ensure!(visit.said.is_empty(), "nothing is said to it: {:?}", visit.said.first());
    ensure!(visit.replica.poll_timeout().is_none(), "and nothing waits for it");
    Ok(Verdict::Ignored)
}

fn guesses() -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    visit.hears(Message::HeadsWanted { chains: vec![ChainWanted { head: HeadId([9; 32]), above_seq: 0 }] });
    visit.hears(Message::OpsWanted { ops: vec![OpId([9; 32])] });
    ensure!(visit.said.is_empty(), "silence: {:?}", visit.said);
    visit.hears(Message::Want { cids: vec![Cid([9; 32])] });
    visit.tell(Input::BlockMissing { peer: GUEST, cid: Cid([9; 32]) });
    let gone = Output::Send { peer: GUEST, message: Message::Gone { cids: vec![Cid([9; 32])] } };
    ensure!(visit.said.last() == Some(&gone), "a block is not here, and that is all that is said");
    Ok(Verdict::LikeAbsent)
}

fn on_the_way(visit: &Visit, to: PeerId) -> usize {
    visit.said.iter().filter(|o| matches!(o, Output::SendBlock { peer, .. } if *peer == to)).count()
}

fn takes_nothing() -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    visit.enters(PeerId(2), visit.home.rita.who());
    visit.said.clear();
    visit.hears(Message::Want { cids: (0..1000).map(cid).collect() });
    ensure!(on_the_way(&visit, GUEST) == SERVING_PER_PEER_MAX, "few are begun");
    visit.hears_from(PeerId(2), Message::Want { cids: (0..20).map(cid).collect() });
    for n in 0..20 {
        visit.tell(Input::BlockSent { peer: PeerId(2), cid: cid(n) });
    }
    ensure!(on_the_way(&visit, PeerId(2)) == 20, "the other gets all");
    ensure!(on_the_way(&visit, GUEST) == SERVING_PER_PEER_MAX, "and she no more");
    Ok(Verdict::Capped)
}

/// A block is wanted, and the seeder does not give it; another member has it.
fn another_source(tell: impl FnOnce(&mut Visit)) -> Result<Verdict> {
    let mut visit = Visit::by_seeder()?;
    visit.tell(Input::Want { cids: vec![cid(1)], priority: Priority::Bulk });
    ensure!(visit.has(|o| matches!(o, Output::Send { peer: GUEST, message: Message::Want { .. } })), "it is asked");
    visit.enters(PeerId(2), visit.home.rita.who());
    visit.said.clear();
    tell(&mut visit);
    let asked = |o: &Output| matches!(o, Output::Send { peer: PeerId(2), message: Message::Want { cids } } if cids.contains(&cid(1)));
    ensure!(visit.has(asked), "then the other is asked: {:?}", visit.said);
    visit.tell(Input::BlockArrived { peer: PeerId(2), cid: cid(1), bytes: 10 });
    ensure!(!visit.replica.wants(&cid(1)), "and all is well");
    Ok(Verdict::Contained)
}

fn hangs() -> Result<Verdict> {
    another_source(|visit| {
        // Each time something is due, time has come to that point.
        for _ in 0..100 {
            let Some(due) = visit.replica.poll_timeout() else { return };
            visit.comes_to(due);
        }
    })
}

fn withholds() -> Result<Verdict> {
    another_source(|visit| visit.hears(Message::Gone { cids: vec![cid(1)] }))
}
