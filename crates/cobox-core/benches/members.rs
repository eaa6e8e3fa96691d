//! What membership costs: `cargo xtask bench members` runs this program three times and judges what it prints. Each question has a process of
//! its own, so that the memory it took is its own too.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the brain knows no clock and no disk; what measures it looks at one, and reads from the other"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use cobox_core::content::inline_digest;
use cobox_core::keys::{DeviceSecret, EnvelopeError, FolderKeys, Profile, RootSecret, Slot};
use cobox_core::members::{
    Author, Founding, FoundingRandom, SealJob, Sealing, add_device, device_proof, found, mint_epoch_by, propose,
    seal_in_turn,
};
use cobox_core::path::Name;
use cobox_core::state::{Body, Commit, Content, Kind, State};
use cobox_core::tree::Tree;
use cobox_proto::id::{ActorId, Hash, Inode, OpId};
use cobox_proto::members::{
    Envelope, FolderKind, Genesis, KeyPair, Log, OpBody, Policy, Retention, Role, SignedOp, Signer, resolve,
};
use cobox_proto::sign::SecretKey;

/// Ops of the long log.
const OPS: usize = 10_000;
/// Members of the folder that gets an epoch, each with as many devices.
const MEMBERS: u8 = 100;
const DEVICES_EACH: u8 = 2;
/// Files of the folder whose names are sealed anew.
const RECORDS: u64 = 100_000;
const RUNS: usize = 5;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", file, turns] => make(Path::new(file), turns.parse().expect("a number of turns")),
        ["resolve", file] => resolving(Path::new(file)),
        ["mint"] => minting(),
        ["metadata"] => metadata(),
        // As a benchmark among others it shows what needs no file.
        _ => {
            minting();
            metadata();
        }
    }
}

fn say(what: &str, figures: &[(&str, f64)]) {
    let figures: Vec<String> = figures.iter().map(|(name, value)| format!("{name}={value:.3}")).collect();
    println!("{what} {}", figures.join(" "));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The best of a few runs: other work on the machine only adds to it.
fn best(mut run: impl FnMut()) -> Duration {
    let one = |()| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    (0..RUNS).map(|_| ()).map(one).min().unwrap_or_default()
}

/// Somebody who writes ops.
struct Person {
    slot: Slot,
    device: DeviceSecret,
    grant: OpId,
}

impl Person {
    fn new(number: u16) -> Self {
        let mut entropy = [0; 16];
        entropy[..2].copy_from_slice(&number.to_le_bytes());
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&number.to_le_bytes());
        let (slot, device) = (RootSecret::from_entropy(entropy).slot(1), DeviceSecret::from_seed(&seed));
        Self { slot, device, grant: OpId::ZERO }
    }
    fn author(&self) -> Author<'_> {
        Author { grant: self.grant, key: &self.device.sig }
    }
    fn keys(&self) -> (KeyPair, KeyPair) {
        (self.slot.public(), self.device.public())
    }
}

fn founded() -> (Person, Log, FolderKeys, SignedOp) {
    let mut founder = Person::new(u16::MAX);
    let founding = Founding {
        kind: FolderKind::Folder,
        slot: &founder.slot,
        device: &founder.device,
        profile: Profile::Cdc,
        high_privacy: false,
        policy: Policy::default(),
    };
    let random = FoundingRandom { nonce: [1; 32], shape: [2; 32], epoch: [3; 64] };
    let founded = found(founding, &random).expect("a folder");
    founder.grant = founded.log.genesis().op_id();
    (founder, founded.log, founded.keys, founded.epoch.op)
}

/// Writes an op into one copy of the log.
fn write(log: &mut Log, op: SignedOp) -> OpId {
    let id = op.id();
    log.add(op).expect("it is made for this log");
    id
}

fn does(log: &mut Log, by: &Person, body: OpBody) -> OpId {
    let op = propose(log, by.author(), body).expect("an op");
    write(log, op)
}

/// A log as a busy club writes it in twenty years: people come by invites and grants, link devices, change roles, go; seeders are hired.
/// Two admins write, mostly one after the other; after so many turns once without having seen each other's.
fn make(file: &Path, turns_together: usize) {
    let (founder, mut log, ..) = founded();
    let mut admin = Person::new(60_000);
    let (member, device) = admin.keys();
    admin.grant = does(&mut log, &founder, OpBody::Grant { member, device, role: Role::Admin });
    let mut logs = [log.clone(), log];
    let authors = [founder, admin];
    let mut people: Vec<Person> = Vec::new();
    let (mut number, mut turn) = (0_u16, 0);
    while logs[0].len() + logs[1].len() < 2 * OPS {
        let apart = turn % turns_together == 0;
        let who = turn % 2;
        turn += 1;
        let (log, by) = (&mut logs[who], &authors[who]);
        number += 1;
        let mut person = Person::new(number);
        let (member, device) = person.keys();
        match turn % 5 {
            0 => {
                let invited = Person::new(number.wrapping_add(30_000));
                let (_, keys) = invited.keys();
                let body = OpBody::Invite {
                    sig: keys.sig,
                    hpke: keys.hpke,
                    role: Role::Editor,
                    max_uses: 1,
                    expires_ms: 1_000,
                    grant: true,
                };
                let invite = does(log, by, body);
                let signers = vec![
                    Signer { grant: invite, key: invited.device.sig.public() },
                    Signer { grant: OpId::ZERO, key: device.sig },
                ];
                let op = cobox_proto::members::Op {
                    folder: log.folder(),
                    signers,
                    deps: log.frontier(),
                    body: OpBody::Join { invite, member, device },
                    sealed: vec![],
                };
                let op = SignedOp::sign(op, &[&invited.device.sig, &person.device.sig]).expect("a join");
                person.grant = write(log, op);
                does(log, by, OpBody::Witness { join: person.grant, at_ms: 5 });
                people.push(person);
            }
            1 => {
                person.grant = does(log, by, OpBody::Grant { member, device, role: Role::Reader });
                people.push(person);
            }
            2 => {
                let policy = Policy { delay_days: number % 60, ..Policy::default() };
                does(log, by, OpBody::Policy { policy });
            }
            3 if people.len() > 60 => {
                let gone = people.remove(0).grant;
                if log.contains(&gone) {
                    does(log, by, OpBody::SetRole { grant: gone, role: Role::Reader, cut: vec![] });
                    does(log, by, OpBody::Remove { grant: gone, cut: vec![] });
                }
            }
            _ => {
                let seeder = SecretKey::from_seed(&[number as u8; 32]).public();
                let body = OpBody::SeederGrant {
                    seeder,
                    offer_hash: Hash([number as u8; 32]),
                    quota_bytes: 1 << 30,
                    retention: Retention::default(),
                    member_share: 50,
                };
                let hired = does(log, by, body);
                does(log, by, OpBody::SeederEnd { seeder: hired });
            }
        }
        if !apart {
            exchange(&mut logs);
        }
    }
    exchange(&mut logs);
    let mut bytes = Vec::new();
    let mut put = |part: &[u8]| {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part);
    };
    put(&logs[0].genesis().to_bytes());
    logs[0].ops().take(OPS).for_each(|op| put(op.bytes()));
    std::fs::write(file, bytes).expect("the file can be written");
}

/// Each hears of what the other wrote.
fn exchange(logs: &mut [Log; 2]) {
    let [one, other] = logs;
    let missing = |from: &Log, to: &Log| from.ops().filter(|op| !to.contains(&op.id())).cloned().collect::<Vec<_>>();
    let (to_other, to_one) = (missing(one, other), missing(other, one));
    to_other.into_iter().for_each(|op| drop(other.add(op)));
    to_one.into_iter().for_each(|op| drop(one.add(op)));
}

fn resolving(file: &Path) {
    let bytes = std::fs::read(file).expect("the file can be read");
    let mut rest = &bytes[..];
    let mut next = || {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let (part, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        rest = after;
        Some(part)
    };
    let genesis = Genesis::from_bytes(next().expect("a genesis")).expect("a genesis");
    let begun = Instant::now();
    let ops: Vec<SignedOp> =
        std::iter::from_fn(next).map(|bytes| SignedOp::from_bytes(bytes).expect("an op")).collect();
    let verified = begun.elapsed();
    drop(bytes);
    let count = ops.len();
    let begun = Instant::now();
    let mut log = Log::new(genesis);
    for op in ops {
        log.add(op).expect("an op of this log");
    }
    let roster = resolve(&log);
    let resolved = begun.elapsed();
    let standing = log.ops().filter(|op| roster.accepted(&op.id())).count();
    assert!(roster.members().count() > 10 && standing > count / 2, "it is a folder with people");
    let figures = [
        ("ops", count as f64),
        ("standing", standing as f64),
        ("verify_ms", ms(verified)),
        ("resolve_ms", ms(resolved)),
        ("peak_mb", peak_mb()),
    ];
    say("resolve", &figures);
}

/// The most memory this process had. Linux alone tells.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).map_or(f64::NAN, |kb| kb / 1024.0)
}

fn minting() {
    let (founder, mut log, keys, first) = founded();
    log.add(first).expect("the first epoch");
    for number in 0..MEMBERS {
        let mut person = Person::new(u16::from(number));
        let (member, device) = person.keys();
        person.grant = does(&mut log, &founder, OpBody::Grant { member, device, role: Role::Editor });
        for second in 1..DEVICES_EACH {
            let device = DeviceSecret::from_seed(&[number, second].repeat(16).try_into().expect("32 bytes"));
            let proof = device_proof(&device, &log.folder(), &person.grant);
            let op = add_device(&log, person.author(), device.public(), proof).expect("an op");
            write(&mut log, op);
        }
    }
    let roster = resolve(&log);
    let params = FolderKeys::params_for(Profile::Cdc, false);
    let mut envelopes = 0;
    let mut time = |sealing: Sealing| {
        best(|| {
            let (mut keys, by) = (keys.clone(), founder.author());
            let epoch = mint_epoch_by(sealing, &log, &roster, &mut keys, by, params, &[9; 64]).expect("an epoch");
            envelopes = epoch.envelopes.len();
        })
    };
    let (together, in_turn) = (time(on_all_processors), time(seal_in_turn));
    let devices: usize = roster.members().map(|member| member.devices.len()).sum();
    let figures = [
        ("devices", devices as f64),
        ("envelopes", envelopes as f64),
        ("mint_ms", ms(together)),
        ("mint_in_turn_ms", ms(in_turn)),
    ];
    say("mint", &figures);
}

/// As the service makes them.
fn on_all_processors(jobs: &[SealJob<'_>]) -> Vec<Result<Envelope, EnvelopeError>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let shares = jobs.chunks(jobs.len().div_ceil(processors).max(1));
        let threads: Vec<_> = shares.map(|share| scope.spawn(|| seal_in_turn(share))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it seals")).collect()
    })
}

/// A folder of many small files, all names and records sealed under an epoch.
fn metadata() {
    let (founder, _, keys, _) = founded();
    let epoch = *keys.epochs().next().expect("the first epoch").0;
    let mut state = State::new();
    let mut commit = Commit::new(&mut state, ActorId([1; 16]), founder.device.sig.public(), keys.shape());
    let name = |text: String| Name::new(&text).expect("a name");
    for dir in 0..RECORDS / 100 {
        let parent = commit.make_dir(Inode::ZERO, &name(format!("dir {dir}")));
        for n in 0..100 {
            let text = format!("file {n} of {dir}");
            let digest = inline_digest(&keys, text.as_bytes());
            let content = Content::Inline(text.as_bytes().into());
            let body = Body { size: text.len() as u64, mtime_ns: 1, executable: false, plain_digest: digest, content };
            commit.create(parent, &name(text), Kind::File, body);
        }
    }
    commit.finish();
    let mut blocks = 0;
    let time = best(|| blocks = Tree::build(&state, &keys, epoch).expect("sealed").1.len());
    let records = state.len() as f64;
    let rate = records / time.as_secs_f64();
    say("metadata", &[("records", records), ("blocks", blocks as f64), ("records_per_s", rate)]);
}
