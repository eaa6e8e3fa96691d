//! A1, A2 where something is let go of beneath states that stay: heads come, block by block, and go; blocks are named beneath some of them;
//! the host looks, deletes, looks again at what stands above, and is stopped between any two of these.
//!
//! After every step all that hangs under a head by ways that lead through nothing that was named for it, and was here, is here still; and
//! what is marked complete is.

use std::collections::{BTreeMap, BTreeSet};

use super::MemShelf;
use crate::hosting::{Ingest, Shelf, Status, TRASH_MS, Trash, missing_without, reach_without, recheck};
use crate::id::Cid;

const START_MS: u64 = 20_000 * 24 * 3_600_000;
const BLOCKS: u16 = 10;

/// A small generator, so that a million cases take seconds.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn cid(n: u16) -> Cid {
    let mut id = [7; 32];
    id[..2].copy_from_slice(&n.to_be_bytes());
    Cid(id)
}

/// A head: its root, and what was named for it.
#[derive(Clone)]
struct Head {
    root: u16,
    without: BTreeSet<Cid>,
}

struct World {
    links: Vec<Vec<u16>>,
    shelf: MemShelf,
    /// The oldest first; nothing is named for the last.
    heads: Vec<Head>,
    /// All that was ever named, also beneath heads that are gone: what stands above it may lie in the trash, and come out again.
    named: BTreeSet<Cid>,
    trash: Trash,
    kept: BTreeMap<Cid, u64>,
    now_ms: u64,
}

impl World {
    fn roots(&self) -> Vec<Cid> {
        self.heads.iter().map(|head| cid(head.root)).collect()
    }

    /// What a head needs that is here, by the plainest reckoning.
    fn needed(&self) -> BTreeSet<u16> {
        let mut all = BTreeSet::new();
        for head in &self.heads {
            let (mut todo, mut seen) = (vec![head.root], BTreeSet::new());
            while let Some(n) = todo.pop() {
                let is_named = head.without.contains(&cid(n));
                if !is_named && self.shelf.status(&cid(n)) != Status::Missing && seen.insert(n) {
                    todo.extend(&self.links[usize::from(n)]);
                }
            }
            all.extend(seen);
        }
        all
    }

    /// Some block comes that a head wants; as a host does, the plain ones want by marks.
    fn arrive(&mut self, n: u16) {
        let mut wanted = false;
        for head in self.heads.clone() {
            let root = cid(head.root);
            if head.without.is_empty() {
                let mut ingest = Ingest::default();
                ingest.add_root(&mut self.shelf, root);
                wanted |= ingest.wants(&cid(n));
            } else {
                wanted |= missing_without(&self.shelf, &root, |cid| head.without.contains(cid)).contains(&cid(n));
            }
        }
        if wanted {
            self.shelf.put(cid(n), self.links[usize::from(n)].iter().map(|to| cid(*to)).collect(), 1);
            for head in self.heads.iter().filter(|head| head.without.is_empty()) {
                Ingest::default().add_root(&mut self.shelf, cid(head.root));
            }
        }
    }

    /// Looks and deletes. Returns how many blocks went, and how many of these leave a gap.
    fn look(&mut self, dice: &mut Dice) -> (usize, usize) {
        let mut reached = BTreeSet::new();
        for head in &self.heads {
            let without = |cid: &Cid| head.without.contains(cid);
            reach_without(&self.shelf, &cid(head.root), without, &mut BTreeSet::new(), |cid| {
                reached.insert(*cid);
            });
        }
        let garbage: BTreeSet<Cid> = self.shelf.cids().into_iter().filter(|cid| !reached.contains(cid)).collect();
        let look = self.trash.look(self.now_ms, &garbage, usize::from(BLOCKS));
        if dice.roll(4) == 0 {
            // It could not be written down: the host begins anew, and deletes nothing.
            self.trash = Trash::of(self.kept.clone());
            return (0, 0);
        }
        self.kept.retain(|cid, _| !look.taken.contains(cid));
        self.kept.extend(look.put.iter().map(|cid| (*cid, self.now_ms)));
        let due: BTreeSet<Cid> = look.due.iter().copied().collect();
        let leaves_gaps = due.iter().any(|cid| self.named.contains(cid)) || self.trash.leaves_gaps(&due, &self.shelf);
        let (mut deleted, mut gaps) = (0, 0);
        for cid in &look.due {
            if dice.roll(8) == 0 {
                // Stopped in the middle: the next start finds the marks in doubt.
                break;
            }
            self.shelf.remove(cid);
            self.kept.remove(cid);
            deleted += 1;
            gaps += usize::from(self.named.contains(cid));
        }
        self.trash.deleted(&look.due);
        if leaves_gaps {
            let roots = self.roots();
            recheck(&mut self.shelf, &roots);
        }
        (deleted, gaps)
    }
}

fn interleaving(seed: u64) -> (usize, usize) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    // Links lead to higher numbers, so that there is no way round in a circle.
    let links: Vec<Vec<u16>> = (0..BLOCKS).map(|n| (n + 1..BLOCKS).filter(|_| dice.roll(4) == 0).collect()).collect();
    let mut world = World {
        links,
        shelf: MemShelf::default(),
        heads: Vec::new(),
        named: BTreeSet::new(),
        trash: Trash::default(),
        kept: BTreeMap::new(),
        now_ms: START_MS,
    };
    let (mut deleted, mut gaps) = (0, 0);
    let mut must_stay: BTreeSet<u16> = BTreeSet::new();
    for _ in 0..48 {
        match dice.roll(10) {
            0 | 1 => {
                let root = dice.roll(BLOCKS.into()) as u16;
                world.heads.push(Head { root, without: BTreeSet::new() });
            }
            // Some head grows old; the newest never does.
            2 if world.heads.len() > 1 => {
                let gone = dice.roll(world.heads.len() as u64 - 1) as usize;
                world.heads.remove(gone);
            }
            // Some blocks are named beneath some of the older heads.
            3 if world.heads.len() > 1 => {
                let named: Vec<Cid> = (0..BLOCKS).filter(|_| dice.roll(4) == 0).map(cid).collect();
                let older = world.heads.len() - 1;
                world.named.extend(named.iter().copied());
                for head in &mut world.heads[..older] {
                    if dice.roll(2) == 0 {
                        head.without.extend(named.iter().copied());
                    }
                }
            }
            4..7 => world.arrive(dice.roll(BLOCKS.into()) as u16),
            7 => world.now_ms += dice.roll(2 * TRASH_MS),
            // A stop: what was not remembered is forgotten.
            8 => world.trash = Trash::of(world.kept.clone()),
            _ => {
                let (gone, holes) = world.look(&mut dice);
                (deleted, gaps) = (deleted + gone, gaps + holes);
            }
        }
        let here = |n: u16| world.shelf.status(&cid(n)) != Status::Missing;
        let wanted: BTreeSet<u16> = wanted(&world);
        let lost: Vec<&u16> = must_stay.iter().filter(|n| wanted.contains(n) && !here(**n)).collect();
        assert!(lost.is_empty(), "seed {seed}: {lost:?}");
        must_stay = world.needed();
        for n in (0..BLOCKS).filter(|n| world.shelf.status(&cid(*n)) == Status::Complete) {
            let whole = world.links[usize::from(n)].iter().all(|to| world.shelf.status(&cid(*to)) == Status::Complete);
            assert!(whole, "seed {seed}: {n} is called complete and is not");
        }
    }
    (deleted, gaps)
}

/// All that hangs under the heads by ways that lead through nothing that was named for them, here or not.
fn wanted(world: &World) -> BTreeSet<u16> {
    let mut all = BTreeSet::new();
    for head in &world.heads {
        let (mut todo, mut seen) = (vec![head.root], BTreeSet::new());
        while let Some(n) = todo.pop() {
            if !head.without.contains(&cid(n)) && seen.insert(n) {
                todo.extend(&world.links[usize::from(n)]);
            }
        }
        all.extend(seen);
    }
    all
}

fn interleavings(count: u64) {
    let (mut deleted, mut gaps) = (0, 0);
    for seed in 1..=count {
        let (gone, holes) = interleaving(seed);
        (deleted, gaps) = (deleted + gone as u64, gaps + holes as u64);
    }
    assert!(deleted > count / 20 && gaps > count / 200, "{deleted} and {gaps} of {count}");
}

#[test]
fn a1_a2_what_was_named_goes_and_nothing_else_however_arrivals_expiry_looks_and_stops_interleave() {
    interleavings(20_000);
}

#[test]
#[ignore = "takes a minute or two; the same with a million"]
fn a1_a2_what_was_named_goes_and_nothing_else_in_a_million_interleavings() {
    interleavings(1_000_000);
}
