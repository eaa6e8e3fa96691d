//! X13, M10, S3, S4, S6, S11: words that were said elsewhere, or were never said: ops, envelopes, heads, receipts and addresses that are
//! forged, replayed, or signed by somebody who may not.

use anyhow::{Result, ensure};
use cobox_core::keys::{EpochSecret, FolderKeys, KeysError, Profile};
use cobox_core::members::{Author, propose};
use cobox_proto::hosting::{Holding, Receipt};
use cobox_proto::id::{ActorId, Hash, HeadId, OpId};
use cobox_proto::members::{
    Envelope, EnvelopeList, EpochParams, OpBody, Policy, Retention, Role as MemberRole, SignedOp,
};
use cobox_proto::replicate::{Closed, Newcomer, NewcomerError, Output, Replica};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::{KeyKind, Who};
use cobox_proto::wire::{AddressNote, LogEntry, Message};

use crate::home::{GUEST, Home, Visit, cid, seeder, seeder_key, strange_key};
use crate::{Against, Role, Script, Verdict, pure};

const ALL: Against = Against::Both;

pub(crate) const SCRIPTS: &[Script] = &[
    pure("x13", "a head of another folder", Role::Member, ALL, Verdict::Closed, head_elsewhere),
    pure("x13", "an op of another folder", Role::Member, ALL, Verdict::Closed, op_elsewhere),
    pure("x13", "a receipt of another folder", Role::Member, ALL, Verdict::Closed, receipt_elsewhere),
    pure("x13", "somebody's addresses of another folder", Role::Member, ALL, Verdict::Closed, addresses_elsewhere),
    pure("x13", "old addresses after new ones", Role::Member, ALL, Verdict::Ignored, old_addresses),
    pure("x13", "a signature of one kind of object under another", Role::Member, ALL, Verdict::Closed, other_kind),
    pure("x13", "alice's head with another number and her signature", Role::Member, ALL, Verdict::Closed, altered_head),
    pure("x13", "alice's actor in a head of mallory's", Role::Member, ALL, Verdict::Closed, stolen_actor),
    pure("x13", "a head under an epoch that never was", Role::Member, ALL, Verdict::Named, unknown_epoch),
    pure("m10", "the key of one folder at another", Role::Member, ALL, Verdict::Closed, other_folders_key),
    pure(
        "m10",
        "a device's key that says it is a member's or a seeder's",
        Role::Member,
        ALL,
        Verdict::Closed,
        other_sort,
    ),
    pure("m10", "a member's key asks for blocks", Role::Member, ALL, Verdict::Closed, member_key_asks),
    pure("s3", "a bit flips in every op", Role::Seeder, ALL, Verdict::Closed, flipped_ops),
    pure("s3", "a member's key in a grant is replaced", Role::Seeder, ALL, Verdict::Closed, replaced_key),
    pure("s3", "an envelope's bytes are changed", Role::Seeder, ALL, Verdict::Closed, changed_envelope),
    pure("s3", "two members' envelopes are swapped", Role::Seeder, ALL, Verdict::Closed, swapped_envelopes),
    pure(
        "s3",
        "an epoch's envelopes are all replaced by others",
        Role::Seeder,
        ALL,
        Verdict::Closed,
        replaced_envelopes,
    ),
    pure(
        "s3",
        "a newcomer is given another genesis",
        Role::Seeder,
        Against::Member,
        Verdict::RefusedAtDecode,
        other_genesis,
    ),
    pure("s4", "a seeder writes a head", Role::Seeder, ALL, Verdict::Named, seeder_writes),
    pure("s4", "a seeder admits a member", Role::Seeder, ALL, Verdict::Ignored, seeder_admits),
    pure("s4", "a seeder hires another seeder", Role::Seeder, ALL, Verdict::Ignored, seeder_hires),
    pure("s4", "a seeder removes a member", Role::Seeder, ALL, Verdict::Ignored, seeder_removes),
    pure("s4", "a seeder changes the policy", Role::Seeder, ALL, Verdict::Ignored, seeder_rules),
    pure("s4", "a seeder starts an epoch of its own", Role::Seeder, ALL, Verdict::Ignored, seeder_epoch),
    pure("s4", "somebody nobody knows admits themselves", Role::Seeder, ALL, Verdict::Ignored, stranger_admits),
    pure(
        "s4",
        "a receipt is signed by a seeder that nobody hired",
        Role::Seeder,
        ALL,
        Verdict::Ignored,
        strange_receipt,
    ),
    pure(
        "s6",
        "a newcomer is given a log that lacks what it names",
        Role::Seeder,
        Against::Member,
        Verdict::Ignored,
        log_with_holes,
    ),
    pure(
        "s6",
        "a newcomer is given ops of another folder",
        Role::Seeder,
        Against::Member,
        Verdict::RefusedAtDecode,
        log_of_other,
    ),
    pure(
        "s11",
        "an epoch asks for a weaker cipher",
        Role::Member,
        Against::Member,
        Verdict::RefusedAtDecode,
        weaker_epoch,
    ),
    pure(
        "s11",
        "objects say that they are of an older format or suite",
        Role::Seeder,
        ALL,
        Verdict::RefusedAtDecode,
        older_formats,
    ),
];

/// What came of one message.
fn came(visit: &Visit) -> Verdict {
    if visit.sent_away() { Verdict::Closed } else { Verdict::Ignored }
}

fn heard(mut visit: Visit, message: Message) -> Result<Verdict> {
    visit.hears(message);
    ensure!(visit.replica.heads().is_empty(), "no head came of it");
    Ok(came(&visit))
}

fn head_elsewhere() -> Result<Verdict> {
    let visit = Visit::by_mallory()?;
    let other = Home::number(40)?;
    let head = other.signed(&other.mallory, 1, None, cid(1))?;
    heard(visit, Message::Heads { heads: vec![head.bytes().to_vec()] })
}

fn op_elsewhere() -> Result<Verdict> {
    let visit = Visit::by_mallory()?;
    let before = visit.replica.membership().log().len();
    let other = Home::number(40)?;
    let mut visit = visit;
    visit.hears(Message::Ops { ops: other.ops.iter().map(|op| op.bytes().to_vec()).collect() });
    ensure!(visit.replica.membership().log().len() == before, "nothing of it is in the log");
    Ok(came(&visit))
}

fn a_receipt(home: &Home, by: &SecretKey) -> Vec<u8> {
    let receipt = Receipt {
        folder: home.id(),
        seeder: by.public(),
        head: HeadId([4; 32]),
        holding: Holding::Complete,
        received_ms: 1,
        keep_until_ms: 2,
        free_bytes: 3,
        terms: OpId([1; 32]),
    };
    receipt.sign(by).bytes().to_vec()
}

fn receipt_elsewhere() -> Result<Verdict> {
    let bytes = a_receipt(&Home::number(40)?, &seeder_key());
    heard(Visit::by_mallory()?, Message::Receipt { bytes })
}

fn strange_receipt() -> Result<Verdict> {
    let visit = Visit::by_seeder()?;
    let bytes = a_receipt(&visit.home, &strange_key());
    let mut visit = visit;
    visit.hears(Message::Receipt { bytes });
    ensure!(visit.replica.receipts().count() == 0, "it counts for nothing");
    Ok(came(&visit))
}

fn addresses_elsewhere() -> Result<Verdict> {
    let other = Home::number(40)?;
    let note = AddressNote::sign(&other.alice.device.sig, &other.id(), 9, vec![1; 40]);
    let mut visit = Visit::by_mallory()?;
    visit.hears(Message::Addresses(note));
    ensure!(visit.replica.addresses().count() == 0, "they are not kept");
    Ok(came(&visit))
}

fn old_addresses() -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    let (folder, alice) = (visit.home.id(), visit.home.alice.device.sig.clone());
    for (stamp, sealed) in [(10, 1), (9, 2), (10, 3)] {
        visit.hears(Message::Addresses(AddressNote::sign(&alice, &folder, stamp, vec![sealed; 40])));
    }
    ensure!(visit.replica.addresses().all(|note| note.sealed == [1; 40]), "the newest stays");
    Ok(came(&visit))
}

fn other_kind() -> Result<Verdict> {
    // What Alice signed as addresses, shown as a head's signature; and a head's as addresses.
    let visit = Visit::by_mallory()?;
    let head = visit.home.signed(&visit.home.alice, 1, None, cid(1))?;
    let (body, _) = head.bytes().split_at(head.bytes().len() - 64);
    let as_addresses = visit.home.alice.device.sig.sign("addresses", &visit.home.id(), body);
    heard(visit, Message::Heads { heads: vec![[body, &as_addresses.0].concat()] })
}

fn altered_head() -> Result<Verdict> {
    let visit = Visit::by_mallory()?;
    let head = visit.home.signed(&visit.home.alice, 1, None, cid(1))?;
    let altered = visit.home.signed(&visit.home.alice, 1, None, cid(2))?;
    let signature = &head.bytes()[head.bytes().len() - 64..];
    let body = &altered.bytes()[..altered.bytes().len() - 64];
    heard(visit, Message::Heads { heads: vec![[body, signature].concat()] })
}

fn stolen_actor() -> Result<Verdict> {
    let visit = Visit::by_mallory()?;
    let mut head = visit.home.head(&visit.home.mallory, 1, None, cid(1))?;
    head.actor = visit.home.actor(&visit.home.alice, 1);
    let one = head.clone().sign(&visit.home.mallory.device.sig)?;
    ensure!(head.actor != ActorId::of(&visit.home.id(), &visit.home.mallory.key(), &[1; 16]), "it is hers");
    heard(visit, Message::Heads { heads: vec![one.bytes().to_vec()] })
}

fn unknown_epoch() -> Result<Verdict> {
    let mut visit = Visit::by_mallory()?;
    let mut head = visit.home.head(&visit.home.mallory, 1, None, cid(1))?;
    head.epoch = cobox_proto::id::EpochTag([7; 16]);
    let head = head.sign(&visit.home.mallory.device.sig)?;
    visit.hears_heads(&[&head]);
    ensure!(visit.replica.heads().is_empty(), "it is not in the graph");
    Ok(if visit.named(&visit.home.mallory.key()) { Verdict::Named } else { came(&visit) })
}

/// What is said to each of these when they come.
fn all_turned_away(who: impl Fn(&Home) -> Vec<Who>) -> Result<Verdict> {
    let home = Home::new()?;
    for who in who(&home) {
        let mut replica = home.replica();
        replica.handle(0, cobox_proto::replicate::Input::PeerOpened { peer: GUEST, who, ours: KeyKind::Device });
        let said: Vec<Output> = std::iter::from_fn(|| replica.poll_output()).collect();
        ensure!(said == [Output::ClosePeer { peer: GUEST, why: Closed::NotEntitled }], "{who:?}: {said:?}");
    }
    Ok(Verdict::Closed)
}

fn other_folders_key() -> Result<Verdict> {
    all_turned_away(|_| {
        let theirs = SecretKey::from_seed(&[98; 32]).public();
        [KeyKind::Device, KeyKind::Member, KeyKind::Invite, KeyKind::Seeder]
            .map(|kind| Who { kind, key: theirs })
            .into()
    })
}

fn other_sort() -> Result<Verdict> {
    all_turned_away(|home| {
        let device = home.mallory.key();
        let member = home.mallory.slot.public().sig;
        let kinds = [KeyKind::Member, KeyKind::Invite, KeyKind::Seeder].map(|kind| Who { kind, key: device });
        let mut all: Vec<Who> = kinds.into();
        all.extend([KeyKind::Device, KeyKind::Invite, KeyKind::Seeder].map(|kind| Who { kind, key: member }));
        all.extend([KeyKind::Device, KeyKind::Member].map(|kind| Who { kind, ..seeder() }));
        all
    })
}

fn member_key_asks() -> Result<Verdict> {
    let by_slot = || Visit::by(|home| Who { kind: KeyKind::Member, key: home.mallory.slot.public().sig });
    for message in [
        Message::Want { cids: vec![cid(1)] },
        Message::HeadsHave { tips: vec![], last: true },
        Message::HeadsWanted { chains: vec![] },
        Message::Heads { heads: vec![] },
        Message::Addresses(AddressNote::sign(&strange_key(), &Home::new()?.id(), 1, vec![])),
    ] {
        let mut visit = by_slot()?;
        visit.hears(message.clone());
        ensure!(visit.sent_away(), "{message:?}");
    }
    Ok(Verdict::Closed)
}

/// Every op is signed, so a changed one is none.
fn flipped_ops() -> Result<Verdict> {
    let home = Home::new()?;
    // One stands for all: the same signature covers each body.
    let op = home.ops[0].bytes();
    for at in (0..op.len()).step_by(7) {
        let mut bytes = op.to_vec();
        bytes[at] ^= 1;
        let mut visit = Visit::by_seeder()?;
        let before = visit.replica.membership().log().len();
        visit.hears(Message::Ops { ops: vec![bytes] });
        ensure!(visit.replica.membership().log().len() == before && visit.sent_away(), "byte {at}");
    }
    Ok(Verdict::Closed)
}

fn replaced_key() -> Result<Verdict> {
    // The server attack on end-to-end clouds: the grant that names Mallory's keys, with the server's in their place.
    let mut visit = Visit::by_seeder()?;
    let grant = visit.home.ops.iter().find(|op| matches!(op.op().body, OpBody::Grant { .. })).cloned();
    let grant = grant.ok_or_else(|| anyhow::anyhow!("somebody was admitted"))?;
    let OpBody::Grant { device, .. } = &grant.op().body else { anyhow::bail!("it is a grant") };
    let (theirs, servers) = (device.sig.0, strange_key().public().0);
    let bytes = super::names::replaced(grant.bytes(), &theirs, &servers);
    ensure!(bytes != grant.bytes(), "the key stands in it");
    visit.hears(Message::Ops { ops: vec![bytes] });
    ensure!(visit.replica.reach(&Who { kind: KeyKind::Device, key: strange_key().public() }, 0).is_none(), "no way in");
    Ok(came(&visit))
}

/// A member who has no envelope yet is sent these.
fn sent_envelopes(change: impl FnOnce(&mut cobox_proto::wire::OpEnvelopes)) -> Result<Verdict> {
    let mut visit = Visit::by_seeder()?;
    let mut kept = visit.home.kept();
    kept.envelopes.clear();
    visit.replica = Replica::restore(visit.home.genesis(), kept);
    visit.enters(GUEST, seeder());
    visit.said.clear();
    let mut sent = visit.home.envelopes[0].clone();
    change(&mut sent);
    let op = sent.op;
    visit.hears(Message::Envelopes(sent));
    ensure!(visit.replica.envelopes().count(&op) == 0, "none of them is kept");
    Ok(came(&visit))
}

fn changed_envelope() -> Result<Verdict> {
    sent_envelopes(|sent| sent.envelopes[0].bytes[40] ^= 1)
}

fn swapped_envelopes() -> Result<Verdict> {
    sent_envelopes(|sent| {
        let stranger = Envelope { recipient: Hash([9; 32]), bytes: sent.envelopes[0].bytes.clone() };
        sent.envelopes[0] = stranger;
    })
}

fn replaced_envelopes() -> Result<Verdict> {
    sent_envelopes(|sent| {
        // The list fits the envelopes, but not the op that a member signed.
        for envelope in &mut sent.envelopes {
            envelope.bytes = vec![7; 1200];
        }
        sent.list = EnvelopeList::of(&sent.envelopes);
    })
}

fn other_genesis() -> Result<Verdict> {
    let (home, other) = (Home::new()?, Home::number(40)?);
    let mut flipped = home.genesis().to_bytes();
    flipped[40] ^= 1;
    for bytes in [other.genesis().to_bytes(), flipped, vec![]] {
        let (mut newcomer, _) = Newcomer::new(home.id());
        let said = newcomer.take(Message::Genesis { bytes });
        ensure!(said == Err(NewcomerError::WrongGenesis), "{said:?}");
    }
    Ok(Verdict::RefusedAtDecode)
}

fn log_with_holes() -> Result<Verdict> {
    let home = Home::new()?;
    let (mut newcomer, _) = Newcomer::new(home.id());
    newcomer.take(Message::Genesis { bytes: home.genesis().to_bytes() })?;
    let entries: Vec<LogEntry> = home.ops.iter().map(|op| LogEntry { op: op.id(), envelopes: 0 }).collect();
    newcomer.take(Message::LogHave { entries, last: true })?;
    let but_the_last = home.ops[..home.ops.len() - 1].iter().map(|op| op.bytes().to_vec()).collect();
    let whole = newcomer.take(Message::Ops { ops: but_the_last })?;
    ensure!(whole.is_none(), "it is not taken for the whole");
    Ok(Verdict::Ignored)
}

fn log_of_other() -> Result<Verdict> {
    let (home, other) = (Home::new()?, Home::number(40)?);
    let (mut newcomer, _) = Newcomer::new(home.id());
    let said = newcomer.take(Message::Ops { ops: vec![other.ops[0].bytes().to_vec()] });
    ensure!(said == Err(NewcomerError::BadLog), "{said:?}");
    Ok(Verdict::RefusedAtDecode)
}

fn seeder_writes() -> Result<Verdict> {
    let mut visit = Visit::by_seeder()?;
    let mut head = visit.home.head(&visit.home.mallory, 1, None, cid(1))?;
    let key = seeder_key();
    head.device = key.public();
    head.actor = ActorId::of(&visit.home.id(), &key.public(), &[1; 16]);
    let head = head.sign(&key)?;
    visit.hears_heads(&[&head]);
    ensure!(visit.replica.heads().is_empty(), "it is not in the graph");
    Ok(if visit.named(&key.public()) { Verdict::Named } else { came(&visit) })
}

/// Somebody who may not says this op; it may be kept, but it changes nothing.
fn powerless(by: &SecretKey, grant: impl Fn(&Home) -> OpId, body: impl Fn(&Home) -> OpBody) -> Result<Verdict> {
    let mut visit = Visit::by_seeder()?;
    let author = Author { grant: grant(&visit.home), key: by };
    let op = propose(&visit.home.log, author, body(&visit.home))?;
    let said = |replica: &Replica| {
        let roster = replica.membership().roster();
        let members: Vec<OpId> = roster.members().map(|member| member.grant).collect();
        (members, roster.seeders().len(), roster.policy(), roster.epochs().count(), roster.writable_epoch())
    };
    let before = said(&visit.replica);
    visit.hears(Message::Ops { ops: vec![op.bytes().to_vec()] });
    ensure!(!visit.replica.membership().roster().accepted(&op.id()), "it does not stand");
    ensure!(said(&visit.replica) == before, "and changes nothing");
    Ok(came(&visit))
}

fn hired_as(home: &Home) -> OpId {
    let hired = home.ops.iter().find(|op| matches!(op.op().body, OpBody::SeederGrant { .. }));
    hired.map_or(OpId::ZERO, SignedOp::id)
}

fn by_seeder(body: impl Fn(&Home) -> OpBody) -> Result<Verdict> {
    powerless(&seeder_key(), hired_as, body)
}

fn its_own(n: u8) -> cobox_proto::members::KeyPair {
    cobox_core::keys::DeviceSecret::from_seed(&[n; 32]).public()
}

fn seeder_admits() -> Result<Verdict> {
    by_seeder(|_| OpBody::Grant { member: its_own(60), device: its_own(61), role: MemberRole::Editor })
}

fn seeder_hires() -> Result<Verdict> {
    by_seeder(|_| OpBody::SeederGrant {
        seeder: strange_key().public(),
        offer_hash: Hash([0; 32]),
        quota_bytes: 1 << 40,
        retention: Retention::default(),
        member_share: 50,
    })
}

fn seeder_removes() -> Result<Verdict> {
    by_seeder(|home| OpBody::Remove { grant: home.mallory.grant, cut: vec![] })
}

fn seeder_rules() -> Result<Verdict> {
    by_seeder(|_| OpBody::Policy { policy: Policy { approve_joins: true, ..Policy::default() } })
}

fn epoch_op(home: &Home, params: EpochParams) -> OpBody {
    let list = EnvelopeList::of(&home.envelopes[0].envelopes);
    OpBody::EpochBundle {
        parents: home.replica().membership().roster().epoch_tips(&home.log),
        id: EpochSecret::from_bytes([66; 32]).id(),
        params,
        recipients: list.recipients(),
        envelopes: list.hash(),
        history: vec![],
    }
}

fn seeder_epoch() -> Result<Verdict> {
    by_seeder(|home| epoch_op(home, FolderKeys::params_for(Profile::Cdc, false)))
}

fn stranger_admits() -> Result<Verdict> {
    let admit = |_: &Home| OpBody::Grant { member: its_own(60), device: its_own(61), role: MemberRole::Owner };
    for grant in [|home: &Home| home.alice.grant, |home: &Home| home.mallory.grant, hired_as, |_: &Home| OpId([3; 32])]
    {
        let came = powerless(&strange_key(), grant, admit)?;
        ensure!(came == Verdict::Ignored, "{came:?}");
    }
    Ok(Verdict::Ignored)
}

fn weaker_epoch() -> Result<Verdict> {
    let mut home = Home::new()?;
    let good = FolderKeys::params_for(Profile::Cdc, false);
    for weak in [
        EpochParams { suite: 0, ..good },
        EpochParams { suite: 2, ..good },
        EpochParams { block_ver: 0, ..good },
        EpochParams { codec: 1, ..good },
    ] {
        let taken = home.keys.insert_epoch(EpochSecret::from_bytes([67; 32]), weak);
        ensure!(matches!(taken, Err(KeysError::Unsupported { .. })), "{weak:?}: {taken:?}");
    }
    ensure!(home.keys.epochs().count() == 1, "no such epoch is held");
    Ok(Verdict::RefusedAtDecode)
}

fn older_formats() -> Result<Verdict> {
    use cobox_proto::head::SignedHead;
    use cobox_proto::hosting::SignedReceipt;
    use cobox_proto::members::Genesis;
    let home = Home::new()?;
    let head = home.signed(&home.alice, 1, None, cid(1))?.bytes().to_vec();
    let (op, genesis, receipt) =
        (home.ops[0].bytes().to_vec(), home.genesis().to_bytes(), a_receipt(&home, &seeder_key()));
    let block = home.keys.seal_block(&home.epoch, cobox_core::seal::BlockKind::Node, &[], b"x")?.bytes;
    for (byte, value) in [(0, 0), (0, 2), (1, 0), (1, 2), (1, 255)] {
        let with = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[byte] = value;
            bytes
        };
        ensure!(SignedHead::from_bytes(&with(&head)).is_err(), "head, {byte} is {value}");
        ensure!(SignedOp::from_bytes(&with(&op)).is_err(), "op, {byte} is {value}");
        ensure!(Genesis::from_bytes(&with(&genesis)).is_err(), "genesis, {byte} is {value}");
        ensure!(SignedReceipt::from_bytes(&with(&receipt)).is_err(), "receipt, {byte} is {value}");
        ensure!(home.keys.open_block(&with(&block)).is_err(), "block, {byte} is {value}");
    }
    Ok(Verdict::RefusedAtDecode)
}
