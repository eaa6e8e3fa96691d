//! A state read from nodes that a malicious member wrote: whole trees, deltas, lists of a file's chunks. Whatever is accepted must
//! join with an honest state, by either way and in either order alike, and show as a view.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use cobox_core::path::Name;
use cobox_core::seal::{BlockKind, SealedBlock};
use cobox_core::state::{Body, Commit, Content, Kind, Manifest, State, view};
use cobox_core::tree::manifest::{Listing, Step};
use cobox_core::tree::{Delta, Fetch, Remote, Tree, TreeKeys};
use cobox_proto::id::{ActorId, Cid, EpochTag, Inode, SigKey};

use crate::feed::Feed;
use crate::glass::{Glass, KINDS};

const EPOCH: EpochTag = EpochTag([5; 16]);
/// Blocks of one story.
const BLOCKS_MAX: usize = 24;

/// An honest folder: two directories, three files, one of them twice, and a link.
static HOME: LazyLock<(State, Tree)> = LazyLock::new(|| {
    let mut state = State::new();
    let inode = |kind: Kind, parent: Inode, name: &Name, n: u32| {
        let mut id = [0; 16];
        let place = [&parent.0[..], name.as_str().as_bytes(), &[kind as u8], &n.to_le_bytes()].concat();
        id.copy_from_slice(&blake3::hash(&place).as_bytes()[..16]);
        Inode(id)
    };
    let name = |text: &str| Name::new(text).expect("it is a name");
    let body = |text: &str| Body {
        size: text.len() as u64,
        mtime_ns: 7,
        executable: false,
        plain_digest: Glass.inline_digest(text.as_bytes()),
        content: Content::Inline(text.as_bytes().into()),
    };
    for actor in 1..=2 {
        let mut commit = Commit::new(&mut state, ActorId([actor; 16]), SigKey([actor; 32]), &inode);
        let dir = commit.make_dir(Inode::ZERO, &name("papers"));
        commit.make_dir(dir, &name(&format!("of {actor}")));
        commit.create(dir, &name("plan"), Kind::File, body(&format!("by {actor}")));
        commit.create(Inode::ZERO, &name("link"), Kind::Symlink, body("papers/plan"));
        commit.finish();
    }
    let (tree, _) = Tree::build(&state, &Glass, EPOCH).expect("a small state");
    (state, tree)
});

/// Blocks as a member may seal them, each linking to earlier ones or to what is nowhere.
fn blocks(feed: &mut Feed<'_>) -> Vec<SealedBlock> {
    let mut blocks: Vec<SealedBlock> = Vec::new();
    while !feed.is_empty() && blocks.len() < BLOCKS_MAX {
        let kind = KINDS[usize::from(feed.u8()) % KINDS.len()];
        let links: BTreeSet<Cid> = (0..feed.u8() % 96)
            .map(|_| match feed.u8() {
                at @ 0..128 if !blocks.is_empty() => blocks[usize::from(at) % blocks.len()].cid,
                nowhere => Cid([nowhere; 32]),
            })
            .collect();
        let links: Vec<Cid> = links.into_iter().collect();
        blocks.extend(Glass.seal(EPOCH, kind, &links, feed.bytes()));
    }
    blocks
}

fn depth(_: &EpochTag) -> u64 {
    0
}

/// Takes a state in by its differences and as a whole, mine first and theirs first.
fn joined(remote: &Remote, base: &State) {
    let mut theirs = base.clone();
    theirs.ctx = remote.ctx.clone();
    theirs.forks = remote.forks.clone();
    for (inode, item) in &remote.theirs {
        match item {
            Some(item) => theirs.insert(*inode, item.clone()),
            None => drop(theirs.remove(inode)),
        }
    }
    let (mut by_parts, mut whole, mut other_way) = (base.clone(), base.clone(), theirs.clone());
    by_parts.join_with(&remote.ctx, &remote.forks, &remote.theirs, &depth);
    whole.join(&theirs, &depth);
    other_way.join(base, &depth);
    assert_eq!(by_parts, whole, "by its differences or as a whole is one");
    assert_eq!(whole, other_way, "who takes in whom does not matter");
    let mut again = whole.clone();
    again.join(&theirs, &depth);
    assert_eq!(again, whole, "twice is once");
    for state in [&theirs, &whole] {
        let shown = view(state);
        for path in shown.entries.keys() {
            let parent = path.parent().expect("the root is no entry");
            assert!(parent.is_root() || shown.entries.contains_key(&parent), "what is shown lies somewhere");
        }
    }
    let _ = Tree::build(&whole, &Glass, EPOCH);
}

/// A whole tree, its root last.
pub(crate) fn tree(bytes: &[u8]) {
    let (home, home_tree) = &*HOME;
    let mut feed = Feed::new(bytes);
    let nothing = State::new();
    let (base, base_tree) = if feed.flag() { (home, Some(home_tree)) } else { (&nothing, None) };
    let blocks = blocks(&mut feed);
    let Some(root) = blocks.last().map(|block| block.cid) else { return };
    let by_name: BTreeMap<Cid, &[u8]> = blocks.iter().map(|block| (block.cid, &block.bytes[..])).collect();
    let mut fetch = Fetch::new(root, base_tree);
    while let Some(cid) = fetch.wanted(1).first().copied() {
        let Some(block) = by_name.get(&cid) else { return };
        if fetch.supply(cid, block, &Glass).is_err() {
            return;
        }
    }
    if let Ok(remote) = fetch.done(base, &Glass) {
        joined(&remote, base);
    }
}

/// The change that comes with a head.
pub(crate) fn delta(bytes: &[u8]) {
    let (home, home_tree) = &*HOME;
    let mut feed = Feed::new(bytes);
    let on_home = feed.flag();
    let links: Vec<Cid> = (0..feed.u8() % 96).map(|n| Cid([n; 32])).collect();
    let mut payload = feed.rest().to_vec();
    if on_home && let Some(base) = payload.get_mut(1..33) {
        base.copy_from_slice(&home_tree.root().0);
    }
    let Ok(block) = Glass.seal(EPOCH, BlockKind::Delta, &links, &payload) else { return };
    let Ok(delta) = Delta::open(&block.bytes, &Glass) else { return };
    let again = delta.seal(&Glass).expect("glass seals all").expect("it was small enough");
    assert_eq!(again.bytes, block.bytes, "one change, one encoding");
    // It names no root that it could give, so the work is done and the end refused.
    assert!(delta.apply(Remote::same(home, home_tree), home, Cid([1; 32]), &Glass).is_err());
}

/// The list of a long file's chunks, its top last.
pub(crate) fn manifest(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let (size, refs, true_digest) = (feed.u64(), feed.u64(), feed.flag());
    let blocks = blocks(&mut feed);
    let Some(top) = blocks.last() else { return };
    let by_name: BTreeMap<Cid, &[u8]> = blocks.iter().map(|block| (block.cid, &block.bytes[..])).collect();
    let walk = |refs_digest: [u8; 32]| {
        let manifest = Manifest { cid: top.cid, refs, oldest_epoch: EPOCH, refs_digest };
        let mut listing = Listing::new(&manifest, size);
        let (mut digest, mut chunks, mut chunk_bytes) = (blake3::Hasher::new(), 0u64, 0u64);
        let ended = loop {
            match listing.step() {
                Ok(Step::Chunk(listed)) => {
                    chunks += 1;
                    chunk_bytes += u64::from(listed.chunk.len);
                    digest.update(&listed.chunk.cid.0);
                    assert!(chunks <= refs && chunk_bytes <= size, "no more than the record says");
                    // A few blocks may be named over and over; that far a walk may be checked here.
                    if chunks > 20_000 {
                        break false;
                    }
                }
                Ok(Step::Want(cid)) => {
                    let Some(block) = by_name.get(&cid) else { break false };
                    if listing.supply(block, &Glass).is_err() {
                        break false;
                    }
                }
                Ok(Step::End) => break true,
                Err(_) => break false,
            }
        };
        if ended {
            assert_eq!((chunks, chunk_bytes), (refs, size), "all that the record says");
        }
        *digest.finalize().as_bytes()
    };
    let digest = walk([0; 32]);
    if true_digest {
        walk(digest);
    }
}
