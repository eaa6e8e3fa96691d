//! The blind way from a head to all its blocks: want the root, then what it links to, and so on; when the last block beneath a node
//! is here the node is complete, and so upwards. Owns only what is unfinished; what is finished is noted on the [`Shelf`], which
//! survives a restart.

use std::collections::{BTreeMap, BTreeSet};

use crate::hosting::shelf::{Shelf, Status};
use crate::id::Cid;

/// What a step led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Blocks to want from now on.
    pub wants: Vec<Cid>,
    /// Roots that became complete.
    pub complete: Vec<Cid>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Ingest {
    roots: BTreeSet<Cid>,
    /// Blocks that are not here.
    missing: BTreeSet<Cid>,
    /// Blocks here with links that are not complete, and how many.
    unfinished: BTreeMap<Cid, usize>,
    /// Blocks that are not complete, and who waits for them.
    parents: BTreeMap<Cid, BTreeSet<Cid>>,
}

impl Ingest {
    /// Whether the block is missing and needed.
    pub fn wants(&self, cid: &Cid) -> bool {
        self.missing.contains(cid)
    }
    /// All that is missing and needed, as far as it is known by name.
    pub fn missing(&self) -> impl Iterator<Item = &Cid> {
        self.missing.iter()
    }
    /// The roots that are not complete yet.
    pub fn roots(&self) -> impl Iterator<Item = &Cid> {
        self.roots.iter()
    }

    /// Goes for another root.
    pub fn add_root(&mut self, shelf: &mut dyn Shelf, root: Cid) -> Step {
        let mut step = Step::default();
        if shelf.status(&root) == Status::Complete {
            step.complete.push(root);
        } else if self.roots.insert(root) {
            self.visit(shelf, root, &mut step);
        }
        step
    }

    /// A block that is wanted is on the shelf now.
    pub fn stored(&mut self, shelf: &mut dyn Shelf, cid: &Cid) -> Step {
        let mut step = Step::default();
        if self.missing.remove(cid) {
            self.visit(shelf, *cid, &mut step);
        }
        step
    }

    /// The roots that wait for this block.
    pub fn roots_above(&self, cid: &Cid) -> BTreeSet<Cid> {
        let (mut above, mut stack, mut seen) = (BTreeSet::new(), vec![*cid], BTreeSet::new());
        while let Some(cid) = stack.pop() {
            if seen.insert(cid) {
                if self.roots.contains(&cid) {
                    above.insert(cid);
                }
                stack.extend(self.parents.get(&cid).into_iter().flatten());
            }
        }
        above
    }

    /// Goes for exactly these roots. Returns what is wanted no longer, and what the new roots led to.
    pub fn retarget(&mut self, shelf: &mut dyn Shelf, roots: &BTreeSet<Cid>) -> (Vec<Cid>, Step) {
        let mut all = Step::default();
        let mut unwanted = Vec::new();
        if !self.roots.is_subset(roots) {
            let before = std::mem::take(self).missing;
            for root in roots {
                all.complete.extend(self.add_root(shelf, *root).complete);
            }
            unwanted = before.difference(&self.missing).copied().collect();
            all.wants = self.missing.difference(&before).copied().collect();
        } else {
            for root in roots {
                if !self.roots.contains(root) {
                    let step = self.add_root(shelf, *root);
                    all.wants.extend(step.wants);
                    all.complete.extend(step.complete);
                }
            }
        }
        (unwanted, all)
    }

    /// Looks at a block and, as far as blocks are here, at those beneath it.
    fn visit(&mut self, shelf: &mut dyn Shelf, first: Cid, step: &mut Step) {
        let mut stack = vec![first];
        while let Some(cid) = stack.pop() {
            match shelf.status(&cid) {
                Status::Complete => self.finished(shelf, cid, step),
                Status::Missing => {
                    if self.missing.insert(cid) {
                        step.wants.push(cid);
                    }
                }
                Status::Held if self.unfinished.contains_key(&cid) => {}
                Status::Held => {
                    let links: BTreeSet<Cid> = shelf.links(&cid).into_iter().collect();
                    let open: Vec<Cid> =
                        links.into_iter().filter(|link| shelf.status(link) != Status::Complete).collect();
                    if open.is_empty() {
                        self.finished(shelf, cid, step);
                    } else {
                        self.unfinished.insert(cid, open.len());
                        for link in open {
                            self.parents.entry(link).or_default().insert(cid);
                            stack.push(link);
                        }
                    }
                }
            }
        }
    }

    /// A block is complete; perhaps those above it are too.
    fn finished(&mut self, shelf: &mut dyn Shelf, first: Cid, step: &mut Step) {
        let mut stack = vec![first];
        while let Some(cid) = stack.pop() {
            shelf.set_complete(&cid, true);
            if self.roots.remove(&cid) {
                step.complete.push(cid);
            }
            for parent in self.parents.remove(&cid).unwrap_or_default() {
                if let Some(open) = self.unfinished.get_mut(&parent) {
                    *open -= 1;
                    if *open == 0 {
                        self.unfinished.remove(&parent);
                        stack.push(parent);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosting::shelf::{reach, recheck};
    use crate::hosting::tests::MemShelf;
    use proptest::prelude::*;

    fn cid(n: u8) -> Cid {
        Cid([n; 32])
    }

    /// Blocks 0..n; block i links to some of lower number.
    fn dags() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 1..24).prop_map(|raw| {
            let below = |i: usize, links: Vec<u8>| -> Vec<u8> {
                let below: BTreeSet<u8> = links.into_iter().filter(|_| i > 0).map(|l| l % i.max(1) as u8).collect();
                below.into_iter().collect()
            };
            raw.into_iter().enumerate().map(|(i, links)| below(i, links)).collect()
        })
    }

    fn put(shelf: &mut MemShelf, dag: &[Vec<u8>], n: u8) {
        shelf.put(cid(n), dag[n as usize].iter().map(|l| cid(*l)).collect(), 10);
    }

    proptest! {
        #[test]
        fn a_root_is_complete_exactly_when_all_beneath_it_is_here(dag in dags(), held: Vec<bool>, order: u64) {
            let mut shelf = MemShelf::default();
            for n in 0..dag.len() as u8 {
                if held.get(n as usize).copied().unwrap_or(false) {
                    put(&mut shelf, &dag, n);
                }
            }
            let root = cid(dag.len() as u8 - 1);
            let mut ingest = Ingest::default();
            let mut done = ingest.add_root(&mut shelf, root).complete;
            let mut turn = order;
            loop {
                let missing: Vec<Cid> = ingest.missing().copied().collect();
                let Some(next) = missing.get((turn % missing.len().max(1) as u64) as usize).copied() else { break };
                prop_assert!(done.is_empty(), "complete although something is missing");
                turn = turn.wrapping_mul(6364136223846793005).wrapping_add(1);
                prop_assert_eq!(ingest.roots_above(&next), BTreeSet::from([root]));
                put(&mut shelf, &dag, next.0[0]);
                done.extend(ingest.stored(&mut shelf, &next).complete);
            }
            prop_assert_eq!(done, vec![root]);
            let mut seen = BTreeSet::new();
            reach(&shelf, &root, &mut seen, |_| {});
            prop_assert!(seen.iter().all(|cid| shelf.status(cid) == Status::Complete));
            prop_assert!(ingest.unfinished.is_empty() && ingest.parents.is_empty());
        }

        #[test]
        fn a_lost_block_makes_all_above_it_incomplete_and_wanted_again(dag in dags(), lost: u8) {
            let mut shelf = MemShelf::default();
            (0..dag.len() as u8).for_each(|n| put(&mut shelf, &dag, n));
            let root = cid(dag.len() as u8 - 1);
            Ingest::default().add_root(&mut shelf, root);
            let mut reached = BTreeSet::new();
            reach(&shelf, &root, &mut reached, |_| {});
            let lost = cid(lost % dag.len() as u8);
            shelf.remove(&lost);
            recheck(&mut shelf, &[root]);
            let mut ingest = Ingest::default();
            let step = ingest.add_root(&mut shelf, root);
            if reached.contains(&lost) {
                prop_assert_eq!(step.wants, vec![lost]);
                put(&mut shelf, &dag, lost.0[0]);
                prop_assert_eq!(ingest.stored(&mut shelf, &lost).complete, vec![root]);
            } else {
                prop_assert_eq!(step.complete, vec![root]);
            }
        }
    }

    #[test]
    fn dropping_a_root_drops_its_wants_alone() {
        let mut shelf = MemShelf::default();
        shelf.put(cid(10), vec![cid(1), cid(2)], 10);
        shelf.put(cid(11), vec![cid(2), cid(3)], 10);
        let mut ingest = Ingest::default();
        let (_, step) = ingest.retarget(&mut shelf, &[cid(10), cid(11)].into());
        assert_eq!(step.wants.into_iter().collect::<BTreeSet<_>>(), [cid(1), cid(2), cid(3)].into());
        let (unwanted, step) = ingest.retarget(&mut shelf, &[cid(11)].into());
        assert_eq!((unwanted, step), (vec![cid(1)], Step::default()));
        assert!(ingest.wants(&cid(2)) && ingest.wants(&cid(3)));
    }
}
