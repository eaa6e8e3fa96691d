//! How fast the parts of the brain are, each by itself: `cargo bench -p cobox-core`. What the whole does beside other programs says
//! `cargo xtask bench`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use cobox_core::chunk::{Chunker, Cutter};
use cobox_core::content::{inline_digest, seal_small};
use cobox_core::engine::{Engine, FileId, IgnoreRules, Input, Output, Setup, Stamp, Standing, Stat};
use cobox_core::keys::{DeviceSecret, FolderKeys, Profile, RootSecret};
use cobox_core::members::{Founding, FoundingRandom, found};
use cobox_core::path::{FolderPath, Name};
use cobox_core::seal::BlockKind;
use cobox_core::state::{Body, Commit, Content, Kind, State, view};
use cobox_core::tree::Tree;
use cobox_proto::id::{ActorId, EpochTag, Inode, SigKey};
use cobox_proto::members::{FolderKind, Policy};
use cobox_proto::sign::SecretKey;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

/// Files of the folders that are measured.
const SIZES: [u64; 3] = [1_000, 10_000, 100_000];
/// Files of one directory.
const FILES_PER_DIR: u64 = 100;
/// Bytes cut and sealed in one go.
const CONTENT_BYTES: usize = 16 << 20;

fn main() {
    divan::main();
}

/// A folder, its keys and who writes in it.
struct Folder {
    setup: Setup,
    keys: FolderKeys,
    epoch: EpochTag,
    device: SigKey,
}

fn folder() -> Folder {
    let (slot, device) = (RootSecret::from_entropy([1; 16]).slot(1), DeviceSecret::from_seed(&[1; 32]));
    let (kind, profile, policy) = (FolderKind::Folder, Profile::Cdc, Policy::default());
    let founding = Founding { kind, slot: &slot, device: &device, profile, high_privacy: false, policy };
    let random = FoundingRandom { nonce: [1; 32], shape: [2; 32], epoch: [3; 64] };
    let founded = found(founding, &random).expect("a folder");
    let epoch = founded.epoch.id.tag();
    let standing =
        Standing { auth: founded.log.frontier(), epoch: Some(epoch), can_write: true, depths: BTreeMap::new() };
    let keys = founded.keys;
    let setup = Setup {
        folder: founded.log.folder(),
        keys: keys.clone(),
        device: device.sig.clone(),
        entropy: [7; 32],
        standing,
    };
    Folder { setup, keys, epoch, device: device.sig.public() }
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut at = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        at ^= at << 13;
        at ^= at >> 7;
        at ^= at << 17;
        at.to_le_bytes()
    };
    (0..bytes / 8).flat_map(|_| next()).collect()
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn body(keys: &FolderKeys, text: &[u8]) -> Body {
    Body {
        size: text.len() as u64,
        mtime_ns: 1,
        executable: false,
        plain_digest: inline_digest(keys, text),
        content: Content::Inline(text.into()),
    }
}

/// A folder of so many small files.
fn state(folder: &Folder, files: u64) -> State {
    let mut state = State::new();
    let mut commit = Commit::new(&mut state, ActorId([1; 16]), folder.device, folder.keys.shape());
    for dir in 0..files.div_ceil(FILES_PER_DIR) {
        let parent = commit.make_dir(Inode::ZERO, &name(&format!("dir {dir}")));
        for n in 0..FILES_PER_DIR.min(files - dir * FILES_PER_DIR) {
            let text = format!("file {n} of {dir}");
            commit.create(parent, &name(&text), Kind::File, body(&folder.keys, text.as_bytes()));
        }
    }
    commit.finish();
    state
}

/// The state after another device edited some files.
fn edited(folder: &Folder, state: &State, edits: usize) -> State {
    let mut state = state.clone();
    let files: Vec<_> = state
        .iter()
        .filter(|(_, item)| !item.body.is_empty())
        .step_by((state.len() / edits.max(1)).max(1))
        .map(|(key, item)| (key.inode, item.body.iter().map(|(dot, _)| *dot).collect::<Vec<_>>()))
        .take(edits)
        .collect();
    let mut commit =
        Commit::new(&mut state, ActorId([2; 16]), SecretKey::from_seed(&[9; 32]).public(), folder.keys.shape());
    for (inode, seen) in files {
        commit.edit(inode, &seen, body(&folder.keys, b"edited")).expect("the file is there");
    }
    commit.finish();
    state
}

#[divan::bench]
fn cut(bencher: Bencher) {
    let folder = folder();
    let (cutter, data) = (Cutter::new(folder.keys.shape(), Profile::Cdc), noise(CONTENT_BYTES));
    bencher.counter(BytesCount::new(data.len())).bench(|| {
        let mut chunker = Chunker::new(&cutter);
        let mut chunks = 0;
        chunker.push(&data, |_| chunks += 1);
        chunker.finish(|_| chunks += 1);
        chunks
    });
}

/// Hashes a chunk, seals it and hashes the sealed block, as for sending.
#[divan::bench(args = [16 << 10, 64 << 10, 256 << 10, 1 << 20])]
fn seal(bencher: Bencher, bytes: usize) {
    let folder = folder();
    let data = noise(bytes);
    bencher
        .counter(BytesCount::new(bytes))
        .bench(|| folder.keys.seal_block(&folder.epoch, BlockKind::Chunk, &[], &data).expect("sealed"));
}

#[divan::bench(args = [16 << 10, 64 << 10, 256 << 10, 1 << 20])]
fn open(bencher: Bencher, bytes: usize) {
    let folder = folder();
    let data = noise(bytes);
    let sealed = folder.keys.seal_block(&folder.epoch, BlockKind::Chunk, &[], &data).expect("sealed").bytes;
    bencher.counter(BytesCount::new(bytes)).bench(|| folder.keys.open_block(&sealed).expect("opened"));
}

#[divan::bench]
fn note_a_file_of_200_bytes(bencher: Bencher) {
    let folder = folder();
    let data = noise(200);
    bencher.counter(ItemsCount::new(1_usize)).bench(|| seal_small(&folder.keys, folder.epoch, black_box(&data), 1));
}

/// A state joins one in which a hundred files were edited.
#[divan::bench(args = SIZES, sample_count = 10)]
fn join(bencher: Bencher, files: u64) {
    let folder = folder();
    let mine = state(&folder, files);
    let theirs = edited(&folder, &mine, 100);
    bencher.with_inputs(|| mine.clone()).bench_values(|mut mine| {
        mine.join(&theirs, &|_: &EpochTag| 0);
        mine
    });
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn view_of_all(bencher: Bencher, files: u64) {
    let state = state(&folder(), files);
    bencher.counter(ItemsCount::new(files)).bench(|| view(&state));
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn view_after_one_edit(bencher: Bencher, files: u64) {
    let folder = folder();
    let mut mine = state(&folder, files);
    let before = view(&mine);
    let (touched, _) = mine.join(&edited(&folder, &mine, 1), &|_: &EpochTag| 0);
    bencher.with_inputs(|| before.clone()).bench_values(|mut view| {
        view.update(&mine, &touched);
        view
    });
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn tree_of_all(bencher: Bencher, files: u64) {
    let folder = folder();
    let state = state(&folder, files);
    bencher.counter(ItemsCount::new(files)).bench(|| Tree::build(&state, &folder.keys, folder.epoch).expect("sealed"));
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn tree_after_one_edit(bencher: Bencher, files: u64) {
    let folder = folder();
    let mut mine = state(&folder, files);
    let (tree, _) = Tree::build(&mine, &folder.keys, folder.epoch).expect("sealed");
    let (touched, _) = mine.join(&edited(&folder, &mine, 1), &|_: &EpochTag| 0);
    bencher.bench(|| tree.update(&mine, &touched, &folder.keys, folder.epoch).expect("sealed"));
}

/// Everything is content.
#[derive(Debug)]
struct NoRules;

impl IgnoreRules for NoRules {
    fn matches(&self, _: &FolderPath, _: bool) -> bool {
        false
    }
}

/// What lies on the disk.
fn listed(files: u64) -> Vec<(FolderPath, Stat)> {
    let at = |path: String| FolderPath::parse(&path).expect("a path");
    let mut listed = Vec::new();
    for n in 0..files {
        let dir = n / FILES_PER_DIR;
        if n % FILES_PER_DIR == 0 {
            listed.push((at(format!("dir {dir}")), Stat::Dir(FileId { dev: 1, ino: 1 << 40 | dir })));
        }
        let id = FileId { dev: 1, ino: n };
        let stamp = Stamp { size: 9, mtime_ns: 5, ctime_ns: 5, id, executable: false };
        listed.push((at(format!("dir {dir}/file {n}")), Stat::File(stamp)));
    }
    listed
}

/// An engine that has seen and published all that is listed.
fn engine(files: u64, listed: &[(FolderPath, Stat)]) -> Engine {
    let folder = folder();
    let mut engine = Engine::empty(folder.setup, folder.epoch);
    engine.handle(1_000, Input::Rules(Arc::new(NoRules)));
    looks(&mut engine, &folder.keys, listed.to_vec());
    assert_eq!(engine.summary().files, files);
    engine
}

fn looks(engine: &mut Engine, keys: &FolderKeys, listed: Vec<(FolderPath, Stat)>) {
    engine.handle(1_000, Input::ScanBegun { under: Vec::new() });
    engine.handle(1_000, Input::Listed(listed));
    engine.handle(1_000, Input::ScanEnded { unreadable: Vec::new() });
    while let Some(output) = engine.poll_output() {
        if let Output::Hash(files) = output {
            for (path, stamp) in files {
                let body = Box::new(body(keys, path.as_str().as_bytes()));
                engine.handle(1_000, Input::Hashed { path, stamp, body });
            }
        }
    }
}

/// A directory becomes a folder, its files already read: scan, state, tree, head, plan.
#[divan::bench(args = SIZES, sample_count = 3)]
fn first_look(bencher: Bencher, files: u64) {
    let listed = listed(files);
    bencher.counter(ItemsCount::new(files)).bench(|| engine(files, &listed));
}

/// A look at everything that finds nothing new.
#[divan::bench(args = SIZES, sample_count = 10)]
fn look_again(bencher: Bencher, files: u64) {
    let listed = listed(files);
    let mut engine = engine(files, &listed);
    let keys = folder().keys;
    bencher
        .counter(ItemsCount::new(files))
        .with_inputs(|| listed.clone())
        .bench_local_values(|listed| looks(&mut engine, &keys, listed));
}

/// A plan through everything, as after a step that failed.
#[divan::bench(args = SIZES, sample_count = 10)]
fn plan(bencher: Bencher, files: u64) {
    let mut engine = engine(files, &listed(files));
    bencher.counter(ItemsCount::new(files)).bench_local(|| {
        engine.retry_stuck();
        while engine.poll_output().is_some() {}
    });
}
