//! G5, X7: what somebody asks a seeder to keep.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cobox_core::keys::Profile;
use cobox_core::members::{Founding, FoundingRandom, found};
use cobox_proto::head::{Head, SignedHead};
use cobox_proto::hosting::{
    Arriving, Delivered, Holding, Offer, Promise, Shelf, SignedReceipt, Status, Tenant, TenantInput, TenantOutput,
};
use cobox_proto::id::{Cid, OfferId};
use cobox_proto::limits::CLAIM_BYTES_MAX;
use cobox_proto::members::{FolderKind, Genesis, Policy};
use cobox_proto::replicate::{Input, Output, PeerId};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::KeyKind;
use cobox_proto::wire::{ClaimRefusal, LogPart, Message};

use crate::home::{GUEST, Home, cid, seeder_key, strange_key};
use crate::{Against, Role, Script, Verdict, pure};

pub(crate) const SCRIPTS: &[Script] = &[
    claim("g5", "a folder is brought to be kept that nobody granted", Role::Stranger, not_granted),
    claim("g5", "an offer is used for a second folder", Role::Stranger, used),
    claim("g5", "an offer is used after its date", Role::Stranger, expired),
    claim("g5", "a grant asks for more than was offered", Role::Member, more_than_offered),
    claim("g5", "a log comes with another folder's beginning", Role::Stranger, other_beginning),
    claim("g5", "a log lacks its middle", Role::Stranger, without_middle),
    claim("g5", "a log is too large", Role::Stranger, too_large),
    claim("g5", "a folder is attached as if it were a vault", Role::Member, no_vault),
    claim("g5", "a member attaches a second vault", Role::Member, second_vault),
    claim("g5", "an offer is forged in a seeder's name", Role::Stranger, forged_offer),
    pure("g5", "a head announces ten terabytes", Role::Member, Against::Seeder, Verdict::Capped, ten_terabytes),
    pure(
        "x7",
        "a head announces one block and brings thousands",
        Role::Member,
        Against::Seeder,
        Verdict::Capped,
        more_than_announced,
    ),
    pure(
        "x7",
        "a head announces more than there are numbers for",
        Role::Member,
        Against::Seeder,
        Verdict::Capped,
        beyond_numbers,
    ),
    pure(
        "s12",
        "a head's blocks name blocks without end",
        Role::Member,
        Against::Seeder,
        Verdict::Capped,
        endless_depth,
    ),
];

const fn claim(case: &'static str, name: &'static str, role: Role, play: fn() -> Result<Verdict>) -> Script {
    pure(case, name, role, Against::Seeder, Verdict::Closed, play)
}

fn part(genesis: &Genesis, home: &Home) -> LogPart {
    LogPart { genesis: genesis.to_bytes(), ops: home.ops.iter().map(|op| op.bytes().to_vec()).collect(), last: true }
}

fn delivered(home: &Home) -> Result<Delivered> {
    let whole = Arriving::default().take(&home.id(), part(&home.genesis(), home))?;
    whole.context("it is whole")
}

fn refused<T: std::fmt::Debug>(said: Result<T, ClaimRefusal>, why: ClaimRefusal) -> Result<Verdict> {
    match said {
        Err(because) if because == why => Ok(Verdict::Closed),
        other => anyhow::bail!("{other:?} instead of {why:?}"),
    }
}

fn not_granted() -> Result<Verdict> {
    let home = Home::new()?;
    delivered(&home)?.judge_claim(0, &home.offer, None)?;
    let other = Offer { id: OfferId([77; 16]), ..home.offer.clone() };
    refused(delivered(&home)?.judge_claim(0, &other, None), ClaimRefusal::NotGranted)?;
    let secret = Offer { secret: [78; 16], ..home.offer.clone() };
    refused(delivered(&home)?.judge_claim(0, &secret, None), ClaimRefusal::NotGranted)
}

fn used() -> Result<Verdict> {
    let (home, other) = (Home::new()?, Home::number(40)?);
    refused(delivered(&other)?.judge_claim(0, &other.offer, Some(&home.id())), ClaimRefusal::Used)
}

fn expired() -> Result<Verdict> {
    let home = Home::new()?;
    refused(delivered(&home)?.judge_claim(u64::MAX, &home.offer, None), ClaimRefusal::Expired)
}

fn more_than_offered() -> Result<Verdict> {
    let home = Home::new()?;
    let small = Offer { quota_bytes: 1 << 20, ..home.offer.clone() };
    refused(delivered(&home)?.judge_claim(0, &small, None), ClaimRefusal::NotGranted)
}

fn other_beginning() -> Result<Verdict> {
    let (home, other) = (Home::new()?, Home::number(40)?);
    for genesis in [other.genesis().to_bytes(), vec![], vec![1; 5000]] {
        let part = LogPart { genesis, ..part(&home.genesis(), &home) };
        refused(Arriving::default().take(&home.id(), part), ClaimRefusal::BadLog)?;
    }
    Ok(Verdict::Closed)
}

fn without_middle() -> Result<Verdict> {
    let home = Home::new()?;
    let mut holes = part(&home.genesis(), &home);
    holes.ops.remove(1);
    refused(Arriving::default().take(&home.id(), holes), ClaimRefusal::BadLog)?;
    let mut twice = Arriving::default();
    let mut first = part(&home.genesis(), &home);
    first.last = false;
    twice.take(&home.id(), first.clone())?;
    refused(twice.take(&home.id(), first), ClaimRefusal::BadLog)
}

fn too_large() -> Result<Verdict> {
    let home = Home::new()?;
    let mut arriving = Arriving::default();
    let mut sent = 0;
    let op = home.ops[0].bytes().to_vec();
    let mut part = LogPart { genesis: home.genesis().to_bytes(), ops: vec![op.clone(); 200], last: false };
    loop {
        sent += 200 * op.len();
        ensure!(sent < 2 * CLAIM_BYTES_MAX, "nobody minds");
        match arriving.take(&home.id(), part.clone()) {
            Ok(None) => part.genesis.clear(),
            other => return refused(other, ClaimRefusal::BadLog),
        }
    }
}

fn no_vault() -> Result<Verdict> {
    let home = Home::new()?;
    refused(delivered(&home)?.judge_vault(&seeder_key().public(), 0), ClaimRefusal::VaultRefused)
}

/// A vault of Mallory's that asks for nothing yet.
fn vault() -> Result<Delivered> {
    let root = cobox_core::keys::RootSecret::from_entropy([2; 16]);
    let device = cobox_core::keys::DeviceSecret::from_seed(&[2; 32]);
    let (kind, profile, policy) = (FolderKind::Vault, Profile::Cdc, Policy::default());
    let founding = Founding { kind, slot: &root.slot(0), device: &device, profile, high_privacy: false, policy };
    let log = found(founding, &FoundingRandom { nonce: [9; 32], shape: [8; 32], epoch: [7; 64] })?.log;
    let ops = log.ops().map(|op| op.bytes().to_vec()).collect();
    let part = LogPart { genesis: log.genesis().to_bytes(), ops, last: true };
    Arriving::default().take(&log.folder(), part)?.context("it is whole")
}

fn second_vault() -> Result<Verdict> {
    refused(vault()?.judge_vault(&seeder_key().public(), 1), ClaimRefusal::VaultRefused)?;
    refused(vault()?.judge_vault(&seeder_key().public(), 0), ClaimRefusal::NotGranted)
}

fn forged_offer() -> Result<Verdict> {
    let home = Home::new()?;
    let honest = home.offer.to_text(&seeder_key());
    ensure!(Offer::from_text(&honest).is_ok(), "the honest one");
    ensure!(Offer::from_text(&home.offer.to_text(&strange_key())).is_err(), "signed by another");
    let larger = Offer { quota_bytes: u64::MAX, ..home.offer.clone() };
    ensure!(Offer::from_text(&larger.to_text(&strange_key())).is_err(), "and larger");
    Ok(Verdict::Closed)
}

/// Blocks by name, as a seeder sees them.
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
        self.0.get(cid).map(|(links, ..)| links.clone()).unwrap_or_default()
    }
    fn bytes(&self, cid: &Cid) -> u64 {
        self.0.get(cid).map_or(0, |(_, bytes, _)| *bytes)
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

const BLOCK_BYTES: u64 = 4096;

/// A seeder of the folder, and Mallory, who brings heads and whatever blocks `has` says.
struct Host {
    home: Home,
    tenant: Tenant,
    shelf: Blocks,
    said: Vec<TenantOutput>,
}

impl Host {
    fn new() -> Result<Self> {
        let home = Home::new()?;
        let mut shelf = Blocks::default();
        let promise = Promise::of(&home.id(), [&home.offer]);
        let (genesis, kept) = (home.genesis(), home.kept());
        let tenant = Tenant::restore(1_000_000, genesis, kept, BTreeMap::new(), seeder_key(), promise, &mut shelf);
        let mut host = Self { home, tenant, shelf, said: vec![] };
        let who = host.home.mallory.who();
        host.tells(Input::PeerOpened { peer: GUEST, who, ours: KeyKind::Seeder }, &|_| None);
        Ok(host)
    }

    fn tells(&mut self, input: Input, has: &dyn Fn(&Cid) -> Option<Vec<Cid>>) {
        let mut inputs = vec![TenantInput::Replica(input)];
        let mut turns = 0;
        while let Some(input) = inputs.pop() {
            turns += 1;
            assert!(turns < 200_000, "o7: it has no end");
            self.tenant.handle(1_000_000, input, &mut self.shelf);
            while let Some(output) = self.tenant.poll_output() {
                match &output {
                    TenantOutput::Replica(Output::Send { peer: PeerId(1), message: Message::Want { cids } }) => {
                        let here = cids.iter().filter(|cid| has(cid).is_some());
                        let arrived = |cid: &Cid| Input::BlockArrived { peer: GUEST, cid: *cid, bytes: BLOCK_BYTES };
                        inputs.extend(here.map(|cid| TenantInput::Replica(arrived(cid))));
                    }
                    TenantOutput::Replica(Output::BlockTaken { cid, .. }) => {
                        self.shelf.0.insert(*cid, (has(cid).unwrap_or_default(), BLOCK_BYTES, false));
                        inputs.push(TenantInput::BlockStored(*cid));
                    }
                    _ => {}
                }
                self.said.push(output);
            }
        }
    }

    /// Mallory brings a head that announces so much.
    fn shows(&mut self, blocks: u64, bytes: u64, has: &dyn Fn(&Cid) -> Option<Vec<Cid>>) -> Result<SignedHead> {
        let head = self.home.head(&self.home.mallory, 1, None, cid(0))?;
        let key: &SecretKey = &self.home.mallory.device.sig;
        let head = Head { new_blocks: blocks, new_bytes: bytes, ..head }.sign(key)?;
        self.tells(
            Input::Received { peer: GUEST, message: Message::Heads { heads: vec![head.bytes().to_vec()] } },
            has,
        );
        Ok(head)
    }

    fn holding(&self, head: &SignedHead) -> Option<Holding> {
        let receipts = self.said.iter().filter_map(|output| match output {
            TenantOutput::Replica(Output::Send { message: Message::Receipt { bytes }, .. }) => {
                SignedReceipt::from_bytes(bytes).ok()
            }
            _ => None,
        });
        receipts.filter(|signed| signed.receipt().head == head.id()).map(|signed| signed.receipt().holding).next_back()
    }

    /// An honest head of Alice's is still kept whole, and signed for.
    fn still_keeps(&mut self) -> Result<()> {
        let head = self.home.head(&self.home.alice, 5, None, cid(1 << 40))?;
        let head = Head { new_blocks: 3, new_bytes: 3 * BLOCK_BYTES, ..head }.sign(&self.home.alice.device.sig)?;
        let honest = |wanted: &Cid| {
            (*wanted == cid(1 << 40))
                .then(|| vec![cid((1 << 40) + 1), cid((1 << 40) + 2)])
                .or_else(|| [cid((1 << 40) + 1), cid((1 << 40) + 2)].contains(wanted).then(Vec::new))
        };
        let message = Message::Heads { heads: vec![head.bytes().to_vec()] };
        self.tells(Input::Received { peer: GUEST, message }, &honest);
        ensure!(self.holding(&head) == Some(Holding::Complete), "an honest head is kept");
        Ok(())
    }
}

fn ten_terabytes() -> Result<Verdict> {
    let mut host = Host::new()?;
    let head = host.shows(10 << 30, 10 << 40, &|_| None)?;
    let holding = host.holding(&head);
    ensure!(matches!(holding, Some(Holding::NoRoom | Holding::ShareUsed)), "{holding:?}");
    ensure!(host.shelf.0.is_empty(), "nothing of it is taken");
    host.still_keeps()?;
    Ok(Verdict::Capped)
}

fn more_than_announced() -> Result<Verdict> {
    let mut host = Host::new()?;
    // Each block names ten others, five thousand in all.
    let has = |wanted: &Cid| (0..5000u64).find(|n| cid(*n) == *wanted).map(|n| links(n * 10 + 1, 10));
    let head = host.shows(1, BLOCK_BYTES, &has)?;
    let holding = host.holding(&head);
    ensure!(holding == Some(Holding::MoreThanAnnounced), "{holding:?}");
    ensure!(host.shelf.0.len() < 200, "{} blocks were taken", host.shelf.0.len());
    host.still_keeps()?;
    Ok(Verdict::Capped)
}

fn links(from: u64, count: u64) -> Vec<Cid> {
    (from..from + count).map(cid).collect()
}

fn beyond_numbers() -> Result<Verdict> {
    let mut host = Host::new()?;
    let head = host.shows(u64::MAX, u64::MAX, &|_| None)?;
    ensure!(host.holding(&head) != Some(Holding::Complete), "it is not kept");
    host.still_keeps()?;
    Ok(Verdict::Capped)
}

fn endless_depth() -> Result<Verdict> {
    let mut host = Host::new()?;
    // Names without end: each block names the next. It announced a thousand.
    let numbers: BTreeMap<Cid, u64> = (0..20_000u64).map(|n| (cid(n), n)).collect();
    let has = |wanted: &Cid| numbers.get(wanted).map(|n| links(n + 1, 1));
    let head = host.shows(1000, 1000 * BLOCK_BYTES, &has)?;
    ensure!(host.holding(&head) != Some(Holding::Complete), "it is never whole");
    ensure!(host.shelf.0.len() < 2000, "{} blocks were taken", host.shelf.0.len());
    host.still_keeps()?;
    Ok(Verdict::Capped)
}
