//! The tree with real seals between real states: two devices that read one another's trees end at one root.

use cobox_core::keys::{EpochSecret, FolderKeys, Profile, ShapeKey};
use cobox_core::path::Name;
use cobox_core::state::{Body, Commit, Content, Kind, State, Touched};
use cobox_core::tree::{Fetch, Tree};
use cobox_proto::id::{ActorId, EpochTag, FolderId, Inode, SigKey};
use proptest::prelude::*;

use super::{Blocks, Dice};

struct Device {
    keys: FolderKeys,
    epoch: EpochTag,
    actor: ActorId,
    state: State,
    tree: Tree,
    store: Blocks,
    dice: Dice,
}

impl Device {
    fn new(actor: u8, seed: u64) -> Self {
        let mut keys = FolderKeys::new(FolderId([1; 32]), ShapeKey::from_bytes([2; 32]), Profile::Cdc);
        let params = FolderKeys::params_for(Profile::Cdc, false);
        let epoch = keys.insert_epoch(EpochSecret::from_bytes([3; 32]), params).unwrap();
        let state = State::new();
        let (tree, blocks) = Tree::build(&state, &keys, epoch).unwrap();
        let (actor, store) = (ActorId([actor; 16]), Blocks::of(blocks));
        Self { keys, epoch, actor, state, tree, store, dice: Dice(seed ^ u64::from(actor.0[0])) }
    }

    fn work(&mut self, changes: u64) {
        let inodes: Vec<Inode> = self.state.iter().map(|(key, _)| key.inode).collect();
        let prf = |kind: Kind, parent: Inode, name: &Name, n: u32| self.keys.shape().inode(kind, parent, name, n);
        let mut commit =
            Commit::new(&mut self.state, self.actor, SigKey(self.actor.0.repeat(2).try_into().unwrap()), &prf);
        for _ in 0..changes {
            let name = Name::new(&format!("file {}", self.dice.roll(400))).unwrap();
            let bytes = vec![self.dice.roll(256) as u8; self.dice.roll(513) as usize];
            let body = Body {
                size: bytes.len() as u64,
                mtime_ns: self.dice.roll(1 << 60) as i64,
                executable: false,
                plain_digest: self.keys.shape().inline_digest(&bytes),
                content: Content::Inline(bytes.into()),
            };
            let old = inodes.get(self.dice.roll(inodes.len().max(1) as u64) as usize).copied();
            match (self.dice.roll(6), old) {
                (0, Some(inode)) => drop(commit.rename(inode, Inode::ZERO, &name)),
                (1, Some(inode)) => drop(commit.edit(inode, &[], body)),
                (2, Some(inode)) => commit.remove(inode, &[]),
                _ => _ = commit.create(Inode::ZERO, &name, Kind::File, body),
            }
        }
        if let Some((_, touched)) = commit.finish() {
            self.write(&touched);
        }
    }

    fn write(&mut self, touched: &Touched) {
        let (tree, new) = self.tree.update(&self.state, touched, &self.keys, self.epoch).unwrap();
        assert_eq!(tree, Tree::build(&self.state, &self.keys, self.epoch).unwrap().0);
        (self.tree, _) = (tree, self.store.keep(new));
    }

    /// Reads and joins the other's state; joins it whole as well, to see that both ways are one.
    fn pull(&mut self, other: &Device) {
        let mut fetch = Fetch::new(other.tree.root(), Some(&self.tree));
        while let Some(cid) = fetch.wanted(1).first().copied() {
            fetch.supply(cid, &other.store.0[&cid], &self.keys).unwrap();
        }
        let remote = fetch.done(&self.state, &self.keys).unwrap();
        assert_eq!(remote.tree, other.tree);
        let depth = |_: &EpochTag| 0;
        let mut whole = self.state.clone();
        let (touched_whole, _) = whole.join(&other.state, &depth);
        let (touched, _) = self.state.join_with(&remote.ctx, &remote.forks, &remote.theirs, &depth);
        assert_eq!(self.state, whole);
        assert_eq!(touched, touched_whole);
        self.write(&touched);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn devices_that_read_one_another_end_at_one_root(seed: u64, steps in 2u32..8) {
        let (mut alice, mut bob) = (Device::new(1, seed), Device::new(2, seed));
        for _ in 0..steps {
            let (a, b) = (alice.dice.roll(150), bob.dice.roll(150));
            alice.work(a);
            bob.work(b);
            match alice.dice.roll(3) {
                0 => alice.pull(&bob),
                1 => bob.pull(&alice),
                _ => {}
            }
        }
        alice.pull(&bob);
        bob.pull(&alice);
        prop_assert_eq!(alice.tree.root(), bob.tree.root());
    }
}
