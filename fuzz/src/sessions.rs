//! What decides, fed what peers say: a connection, a replica, a first visit, a seeder's folder. A step is a byte and what it takes;
//! messages come as raw bytes, and as what a member with its own keys could sign.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use cobox_proto::codec::Canonical;
use cobox_proto::hosting::{Arriving, Holding, Receipt, Shelf, Status, Tenant, TenantInput, TenantOutput, reach};
use cobox_proto::id::{Cid, EndpointId, Hash, HeadId, OpId};
use cobox_proto::limits::FRAME_BYTES_MAX;
use cobox_proto::link::{Link, Output as LinkOutput};
use cobox_proto::replicate::{Input, Newcomer, Output, PeerId, Priority, Replica};
use cobox_proto::wire::proof::{KeyKind, Session, Side};
use cobox_proto::wire::{
    AddressNote, ChainWanted, Frame, Guess, Half, LogEntry, LogPart, Message, Nameplate, Party, Tip, Told,
};

use crate::feed::Feed;
use crate::stage::{START_MS, Stage, cid, key, offer};

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);
/// Steps of one story; more says nothing new.
const STEPS_MAX: usize = 64;
/// Outputs of one step, with a story's handful of peers, ops and heads.
const OUTPUTS_MAX: usize = 2_000;

const GUESS: Guess = Guess { half: Half([3; 32]), confirmation: Hash([4; 32]) };

fn session() -> Session {
    Session { exporter: [0x0e; 32], dialer: EndpointId([0x0d; 32]), acceptor: EndpointId([0x0a; 32]) }
}

/// A connection, its frames in any bytes. Nothing of a folder passes before it is open; after the end nothing comes out.
pub(crate) fn link(bytes: &[u8]) {
    let folder = STAGE.genesis().folder_id();
    let mut feed = Feed::new(bytes);
    let side = if feed.flag() { Side::Dialer } else { Side::Acceptor };
    let mut now_ms = START_MS;
    let mut link = Link::new(now_ms, session(), side, Party::Member);
    let (mut open, mut ended) = (BTreeSet::new(), false);
    for _ in 0..STEPS_MAX {
        match feed.u8() % 12 {
            _ if feed.is_empty() => break,
            0..4 => {
                let bytes = feed.bytes();
                link.receive(now_ms, &bytes[..bytes.len().min(link.frame_bytes_max())]);
            }
            4 => {
                // What an entitled device would send.
                let channel = cobox_proto::wire::Channel(u32::from(feed.u8()));
                let proof = link.session().prove(side.other(), &folder, KeyKind::Device, &key(2));
                let blinded = link.session().blind(&folder);
                let proof = cobox_proto::wire::proof::Proof::Key(proof);
                link.receive(now_ms, &Frame::Open { channel, blinded, proof }.to_bytes());
            }
            5 => {
                let ours = link.session().prove(side, &folder, KeyKind::Device, &key(1));
                let _ = link.open(folder, cobox_proto::wire::proof::Proof::Key(ours));
            }
            6 => {
                now_ms = now_ms.saturating_add(u64::from(feed.u16()));
                link.tick(now_ms);
            }
            7 => link.close(cobox_proto::wire::Channel(u32::from(feed.u8()))),
            8 => drop(link.send(cobox_proto::wire::Channel(u32::from(feed.u8())), Message::GenesisWanted)),
            // What an inviter, a joiner and a mailbox do on their own; the other end says what it likes.
            9 => drop(link.lay(Nameplate::any(feed.u8().into()), Half([feed.u8(); 32]), 60)),
            10 => drop(link.ask(Nameplate::any(feed.u8().into()))),
            _ => {
                let channel = cobox_proto::wire::Channel(u32::from(feed.u8()));
                let proof = link.session().prove(side.other(), &folder, KeyKind::Seeder, &key(50));
                link.receive(now_ms, &Frame::Opened { channel, proof }.to_bytes());
            }
        }
        let mut outputs = 0;
        while let Some(output) = link.poll_output() {
            outputs += 1;
            assert!(outputs < OUTPUTS_MAX, "one frame is not answered by thousands");
            assert!(!ended, "nothing comes after the end: {output:?}");
            match output {
                LinkOutput::Send(frame) => {
                    assert!(frame.len() <= FRAME_BYTES_MAX);
                    assert!(Frame::from_bytes(&frame).is_ok(), "what is sent can be read");
                }
                LinkOutput::OpenAsked { channel, .. } => {
                    link.introduction(&folder);
                    let ours = link.session().prove(side, &folder, KeyKind::Device, &key(1));
                    match link.asked(channel, &folder) {
                        Some(_) if link.accept(channel, folder, ours).is_ok() => drop(open.insert(channel)),
                        _ => link.refuse(now_ms, channel),
                    }
                }
                LinkOutput::Opened { channel, .. } => drop(open.insert(channel)),
                LinkOutput::ToFolder { channel, .. } => {
                    assert!(open.contains(&channel), "nothing of a folder passes before its channel is open");
                }
                LinkOutput::FindAsked { .. } => link.found(vec![]),
                LinkOutput::LayAsked { nameplate, .. } => {
                    link.laid(nameplate, true);
                    link.knock(nameplate, EndpointId([1; 32]), GUESS);
                }
                LinkOutput::Asked { nameplate } => {
                    link.tell(nameplate, Told { inviter: EndpointId([1; 32]), half: Half([2; 32]) });
                }
                LinkOutput::Told { nameplate, .. } => drop(link.guess(nameplate, GUESS)),
                LinkOutput::Knocked { nameplate, .. } => link.give(nameplate, Some(vec![1])),
                LinkOutput::Guessed { nameplate, .. } => link.given(nameplate, None),
                LinkOutput::Gave { nameplate, .. } | LinkOutput::Given { nameplate, .. } => link.lift(nameplate),
                LinkOutput::Ended { .. } => ended = true,
                _ => {}
            }
        }
    }
}

/// Something a peer says: any bytes, or what its keys allow it to sign.
fn message(stage: &mut Stage, feed: &mut Feed<'_>) -> Option<Message> {
    Some(match feed.u8() % 16 {
        0 | 1 => Message::from_bytes(feed.bytes()).ok()?,
        2 | 3 => Message::Ops { ops: vec![stage.op(feed)?.bytes().to_vec()] },
        4..7 => Message::Heads { heads: vec![stage.head(feed)?.bytes().to_vec()] },
        7 => {
            let (head, device) = (stage.head(feed)?, feed.u8());
            let (actor, seq, head) = (head.head().actor, head.head().seq, head.id());
            let mut actor = actor;
            actor.0[0] ^= device & 1;
            Message::HeadsHave { tips: vec![Tip { actor, seq, head }], last: feed.flag() }
        }
        8 => Message::HeadsWanted {
            chains: vec![ChainWanted { head: stage.head_id(feed), above_seq: u64::from(feed.u8()) }],
        },
        9 => Message::Want { cids: vec![cid(feed.u8())] },
        10 => Message::Gone { cids: vec![cid(feed.u8())] },
        11 => {
            let seeder = key([50, 2][usize::from(feed.u8() & 1)]);
            let terms = stage.ops.get(3).map_or(OpId::ZERO, |op| op.id());
            let receipt = Receipt {
                folder: stage.genesis().folder_id(),
                seeder: seeder.public(),
                head: stage.head_id(feed),
                holding: if feed.flag() { Holding::NoRoom } else { Holding::Complete },
                received_ms: feed.u64(),
                keep_until_ms: 0,
                free_bytes: feed.u64(),
                terms,
            };
            Message::Receipt { bytes: receipt.sign(&seeder).bytes().to_vec() }
        }
        12 => {
            let (by, stamp_ms) = (key([1, 2, 3, 4][usize::from(feed.u8()) % 4]), feed.u64());
            Message::Addresses(AddressNote::sign(&by, &stage.genesis().folder_id(), stamp_ms, feed.bytes().to_vec()))
        }
        13 => {
            let ops = vec![stage.ops[usize::from(feed.u8()) % stage.ops.len()].id()];
            Message::Stale { head: stage.head_id(feed), ops }
        }
        14 => {
            let op = stage.op(feed)?.id();
            Message::LogHave { entries: vec![LogEntry { op, envelopes: u32::from(feed.u16()) }], last: feed.flag() }
        }
        _ => Message::Delta { bytes: feed.bytes().to_vec() },
    })
}

/// What the world tells a replica: peers come and go, say anything, and time passes.
fn input(stage: &mut Stage, feed: &mut Feed<'_>, peers: &BTreeSet<PeerId>, now_ms: &mut u64) -> Option<Input> {
    let peer = |feed: &mut Feed<'_>| PeerId(u64::from(feed.u8() % 4));
    Some(match feed.u8() % 16 {
        0 | 1 => {
            let (peer, who) = (peer(feed), stage.who(feed));
            if peers.contains(&peer) {
                Input::PeerClosed { peer }
            } else {
                let ours = if feed.u8() == 9 { KeyKind::Invite } else { KeyKind::Device };
                Input::PeerOpened { peer, who, ours }
            }
        }
        2..10 => Input::Received { peer: peer(feed), message: message(stage, feed)? },
        10 => Input::BlockArrived { peer: peer(feed), cid: cid(feed.u8()), bytes: feed.u64() },
        11 => Input::Want { cids: vec![cid(feed.u8())], priority: Priority::Recent },
        12 => {
            *now_ms = now_ms.saturating_add(u64::from(feed.u16()) << (feed.u8() % 24));
            Input::Tick
        }
        13 => Input::LocalHead(Box::new(stage.head(feed)?)),
        14 => Input::Introduced { who: stage.who(feed), ops: vec![stage.op(feed)?.bytes().to_vec()] },
        _ => match feed.u8() % 4 {
            0 => Input::BlockSent { peer: peer(feed), cid: cid(feed.u8()) },
            1 => Input::BlockMissing { peer: peer(feed), cid: cid(feed.u8()) },
            2 => Input::BlockReceiving { peer: peer(feed) },
            _ => Input::HoldsMore,
        },
    })
}

/// Follows which channels are open, and checks what a replica says to them.
fn check(output: &Output, peers: &mut BTreeSet<PeerId>, refused: &mut Vec<PeerId>) {
    match output {
        Output::Send { peer, message } => {
            assert!(peers.contains(peer), "nothing is said to whom a channel is not open to: {message:?}");
            let bytes = message.to_bytes();
            assert!(bytes.len() <= FRAME_BYTES_MAX);
            assert_eq!(Message::from_bytes(&bytes).as_ref(), Ok(message), "what is sent can be read");
        }
        Output::SendBlock { peer, .. } => {
            assert!(peers.contains(peer), "no block goes to whom a channel is not open to");
        }
        Output::ClosePeer { peer, .. } => {
            peers.remove(peer);
            refused.push(*peer);
        }
        _ => {}
    }
}

/// A member's brain of one folder, fed by its peers.
pub(crate) fn replica(bytes: &[u8]) {
    let mut stage = STAGE.clone();
    let mut replica = Replica::restore(stage.genesis().clone(), stage.kept());
    let (mut feed, mut now_ms, mut peers, mut closed) = (Feed::new(bytes), START_MS, BTreeSet::new(), Vec::new());
    for _ in 0..STEPS_MAX {
        if feed.is_empty() {
            break;
        }
        let Some(input) = input(&mut stage, &mut feed, &peers, &mut now_ms) else { continue };
        match &input {
            Input::PeerOpened { peer, .. } => drop(peers.insert(*peer)),
            Input::PeerClosed { peer } => drop(peers.remove(peer)),
            _ => {}
        }
        replica.handle(now_ms, input);
        let mut outputs = 0;
        while let Some(output) = replica.poll_output() {
            outputs += 1;
            assert!(outputs < OUTPUTS_MAX, "one message is not answered by thousands");
            check(&output, &mut peers, &mut closed);
        }
        let known: BTreeSet<PeerId> = replica.peers().map(|(peer, _)| peer).collect();
        assert_eq!(known, peers, "both know the same peers");
        replica.poll_timeout();
    }
    // What is kept of it makes the same replica again.
    let ops = replica.membership().log().ops().cloned().collect();
    let heads: BTreeSet<HeadId> = replica.heads().iter().map(|head| head.id()).collect();
    let kept = cobox_proto::replicate::Kept {
        ops,
        envelopes: vec![],
        heads: replica.heads().iter().cloned().collect(),
        receipts: replica.receipts().cloned().collect(),
        addresses: replica.addresses().cloned().collect(),
    };
    let again = Replica::restore(stage.genesis().clone(), kept);
    assert_eq!(again.heads().iter().map(|head| head.id()).collect::<BTreeSet<_>>(), heads, "a restart forgets nothing");
}

/// A first visit, and a claim: logs delivered by somebody who is not trusted.
pub(crate) fn newcomer(bytes: &[u8]) {
    let mut stage = STAGE.clone();
    let folder = stage.genesis().folder_id();
    let (mut newcomer, _) = Newcomer::new(folder);
    let mut arriving = Arriving::default();
    let mut feed = Feed::new(bytes);
    for _ in 0..STEPS_MAX {
        if feed.is_empty() {
            break;
        }
        let message = match feed.u8() % 6 {
            0 => Some(Message::Genesis { bytes: stage.genesis().to_bytes() }),
            1 => {
                let ops = stage.ops.iter().map(|op| op.bytes().to_vec()).collect();
                Some(Message::Ops { ops })
            }
            2 => {
                let entries = stage.ops.iter().map(|op| LogEntry { op: op.id(), envelopes: 0 }).collect();
                Some(Message::LogHave { entries, last: feed.flag() })
            }
            3 => {
                let ops = stage.ops.iter().take(usize::from(feed.u8())).map(|op| op.bytes().to_vec()).collect();
                let genesis = if feed.flag() { vec![] } else { stage.genesis().to_bytes() };
                Some(Message::Claim(LogPart { genesis, ops, last: feed.flag() }))
            }
            _ => message(&mut stage, &mut feed),
        };
        match message {
            Some(Message::Claim(part) | Message::AttachVault(part)) => match arriving.take(&folder, part) {
                Ok(Some(delivered)) => {
                    let _ = delivered.judge_claim(START_MS, &offer(), None);
                    let _ = delivered.judge_vault(&key(50).public(), 0);
                    assert_eq!(delivered.genesis.folder_id(), folder);
                    arriving = Arriving::default();
                }
                Ok(None) => {}
                Err(_) => return,
            },
            Some(message) => match newcomer.take(message) {
                Ok(Some((genesis, kept))) => {
                    assert_eq!(genesis.folder_id(), folder, "the id vouches for the beginning");
                    Replica::restore(genesis, kept);
                    return;
                }
                Ok(None) => {}
                Err(_) => return,
            },
            None => {}
        }
    }
}

/// A seeder's blocks of one folder.
#[derive(Default)]
struct Blocks(BTreeMap<Cid, (Vec<Cid>, u64, bool)>);

impl Shelf for Blocks {
    fn status(&self, cid: &Cid) -> Status {
        match self.0.get(cid) {
            None => Status::Missing,
            Some((_, _, true)) => Status::Complete,
            Some(_) => Status::Held,
        }
    }
    fn links(&self, cid: &Cid) -> Vec<Cid> {
        self.0.get(cid).map_or_else(Vec::new, |block| block.0.clone())
    }
    fn bytes(&self, cid: &Cid) -> u64 {
        self.0.get(cid).map_or(0, |block| block.1)
    }
    fn set_complete(&mut self, cid: &Cid, complete: bool) {
        if let Some(block) = self.0.get_mut(cid) {
            block.2 = complete;
        }
    }
    fn cids(&self) -> Vec<Cid> {
        self.0.keys().copied().collect()
    }
}

/// A seeder's decisions about one folder: what it takes, signs for, keeps and gives up.
pub(crate) fn hosting(bytes: &[u8]) {
    let mut stage = STAGE.clone();
    let mut shelf = Blocks::default();
    let (genesis, kept, promise) = (stage.genesis().clone(), stage.kept(), stage.promise());
    let mut now_ms = START_MS;
    let mut tenant = Tenant::restore(now_ms, genesis, kept, BTreeMap::new(), key(50), promise, &mut shelf);
    let (mut feed, mut peers, mut closed) = (Feed::new(bytes), BTreeSet::new(), Vec::new());
    // Each block links to earlier ones only, as a hash allows: so a story names what it likes and makes no cycle.
    let links = |n: u8, feed: &mut Feed<'_>| -> Vec<Cid> {
        let below: BTreeSet<Cid> =
            (0..feed.u8() % 3).filter_map(|_| Some(cid(feed.u8().checked_rem(n % 24)?))).collect();
        below.into_iter().collect()
    };
    for _ in 0..STEPS_MAX {
        if feed.is_empty() {
            break;
        }
        let input = match feed.u8() % 8 {
            0 => {
                // A block that is wanted comes and is stored.
                let wanted: Vec<Cid> = (0..24).map(cid).filter(|cid| tenant.replica().wants(cid)).collect();
                let Some(taken) = feed.pick(&wanted).copied() else { continue };
                let n = (0..24).find(|n| cid(*n) == taken).unwrap_or_default();
                let (links, bytes) = (links(n, &mut feed), u64::from(feed.u16()));
                shelf.0.entry(taken).or_insert((links, bytes, false));
                TenantInput::BlockStored(taken)
            }
            1 => {
                let lost = cid(feed.u8());
                if shelf.0.remove(&lost).is_none() {
                    continue;
                }
                TenantInput::BlockLost(lost)
            }
            2 => {
                now_ms = now_ms.saturating_add(u64::from(feed.u16()) << (feed.u8() % 28));
                let garbage = tenant.sweep(now_ms, &mut shelf);
                let mut kept = BTreeSet::new();
                for head in tenant.complete().keys() {
                    if let Some(head) = tenant.replica().heads().get(head) {
                        reach(&shelf, &head.head().root, &mut kept, |_| {});
                    }
                }
                assert!(garbage.iter().all(|cid| !kept.contains(cid)), "what a complete head needs is no garbage");
                if feed.flag() {
                    garbage.iter().for_each(|cid| drop(shelf.0.remove(cid)));
                }
                TenantInput::Replica(Input::Tick)
            }
            3 if feed.u8() == 1 => {
                tenant.disk_full(now_ms);
                TenantInput::Replica(Input::Tick)
            }
            _ => match input(&mut stage, &mut feed, &peers, &mut now_ms) {
                Some(Input::Want { .. } | Input::LocalHead(_)) | None => continue,
                Some(input) => TenantInput::Replica(input),
            },
        };
        match &input {
            TenantInput::Replica(Input::PeerOpened { peer, .. }) => drop(peers.insert(*peer)),
            TenantInput::Replica(Input::PeerClosed { peer }) => drop(peers.remove(peer)),
            _ => {}
        }
        tenant.handle(now_ms, input, &mut shelf);
        let mut outputs = 0;
        while let Some(output) = tenant.poll_output() {
            outputs += 1;
            assert!(outputs < OUTPUTS_MAX, "one message is not answered by thousands");
            match output {
                TenantOutput::Replica(output) => check(&output, &mut peers, &mut closed),
                TenantOutput::Completed { head, .. } => whole(&tenant, &shelf, &head),
                _ => {}
            }
        }
        tenant.complete().keys().for_each(|head| whole(&tenant, &shelf, head));
    }
}

/// A head that counts as complete has every block beneath it on the shelf.
fn whole(tenant: &Tenant, shelf: &Blocks, head: &HeadId) {
    let Some(head) = tenant.replica().heads().get(head) else { return };
    let mut stack = vec![head.head().root];
    let mut seen = BTreeSet::new();
    while let Some(cid) = stack.pop() {
        assert_ne!(shelf.status(&cid), Status::Missing, "a receipt was given for a head that lacks a block");
        if seen.insert(cid) {
            stack.extend(shelf.links(&cid));
        }
    }
}
