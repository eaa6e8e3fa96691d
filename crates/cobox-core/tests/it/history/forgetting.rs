//! What may be let go of so that a path is had by nobody: only what was its own alone, and only where it was looked for.

use cobox_core::history::{ForgetError, Forgettable, forgettable};
use cobox_core::state::{Dot, Item, Ref};
use cobox_core::tree::manifest::{Listed, list};
use cobox_proto::limits::PATH_DEPTH_MAX;

use super::*;

fn piece(n: u64) -> Cid {
    let mut cid = [0x77; 32];
    cid[..8].copy_from_slice(&n.to_be_bytes());
    Cid(cid)
}

impl Story {
    /// A file of these pieces; more than 64 make a list of its own.
    pub(super) fn pieces(&mut self, pieces: impl IntoIterator<Item = u64>) -> Body {
        self.written += 1;
        let epoch = self.epoch;
        let chunk = |n| Ref { cid: piece(n), len: 1000, epoch };
        let listed: Vec<Listed> = pieces
            .into_iter()
            .map(|n| Listed { chunk: chunk(n), mark: piece(n).0[..16].try_into().unwrap() })
            .collect();
        let (content, blocks) = list(&listed, |_| 0, &self.keys, self.epoch).unwrap();
        self.blocks.extend(blocks.into_iter().map(|block| (block.cid, block.bytes)));
        let mut plain_digest = [1; 32];
        plain_digest[..8].copy_from_slice(&self.written.to_be_bytes());
        Body { size: listed.len() as u64 * 1000, mtime_ns: 0, executable: false, plain_digest, content }
    }

    fn create_of(&mut self, text: &str, pieces: impl IntoIterator<Item = u64>) -> Inode {
        let (body, at) = (self.pieces(pieces), path(text));
        let parent = at.parent().filter(|parent| !parent.is_root());
        let parent = parent.map_or(Inode::ZERO, |parent| self.inode(parent.as_str()));
        self.commit(0, |c| c.create(parent, &at.name().unwrap(), Kind::File, body)).1
    }

    fn edit_of(&mut self, inode: Inode, pieces: impl IntoIterator<Item = u64>) {
        let body = self.pieces(pieces);
        let seen = [self.devices[0].state.get(&inode).unwrap().body[0].0];
        self.commit(0, |c| c.edit(inode, &seen, body).unwrap());
    }

    fn delete(&mut self, inode: Inode) {
        let seen = [self.devices[0].state.get(&inode).unwrap().body[0].0];
        self.commit(0, |c| c.remove(inode, &seen));
    }

    fn make_dir(&mut self, text: &str) -> Inode {
        let name = path(text).name().unwrap();
        self.commit(0, |c| c.make_dir(Inode::ZERO, &name)).1
    }

    /// A directory by its path.
    fn inode(&self, text: &str) -> Inode {
        view(&self.devices[0].state).lookup(&path(text)).unwrap().dir().unwrap()
    }

    fn forgettable(&self, blocks: &BTreeMap<Cid, Vec<u8>>, text: &str) -> Result<Forgettable, ForgetError> {
        forgettable(&self.chronicle(), &path(text), &mut self.now(), &mut Kept(blocks), &self.keys)
    }

    /// The heads of which the state has an item with one of these pieces.
    fn heads_with(&self, pieces: &[u64]) -> BTreeSet<HeadId> {
        let has = |state: &State| {
            let mut cids = state.iter().flat_map(|(_, item)| &item.body).flat_map(|(_, body)| body.content.cids());
            cids.any(|cid| pieces.iter().any(|n| piece(*n) == cid))
        };
        self.states.iter().filter(|(_, state)| has(state)).map(|(head, _)| *head).collect()
    }
}

fn cids(of: &[u64]) -> BTreeSet<Cid> {
    of.iter().map(|n| piece(*n)).collect()
}

fn paths(of: &[&str]) -> BTreeSet<FolderPath> {
    of.iter().map(|text| path(text)).collect()
}

#[test]
fn all_versions_of_a_file_go_under_all_its_names_and_what_it_shares_stays() {
    let mut story = Story::new(1);
    let other = story.create_of("other", [5, 6]);
    story.edit_of(other, [7]);
    let file = story.create_of("draft", [1, 2, 5]);
    story.edit_of(file, [2, 3]);
    story.commit(0, |c| c.rename(file, Inode::ZERO, &"secret".parse().unwrap()).unwrap());
    story.edit_of(file, [3, 7, 4]);
    assert!(matches!(story.forgettable(&story.blocks, "secret"), Err(ForgetError::StillThere(_))));
    story.delete(file);
    // A file made anew where that one began has its inode, and is another.
    assert_eq!(story.create_of("draft", [8]), file);
    assert!(matches!(story.forgettable(&story.blocks, "nothing"), Err(ForgetError::Unknown(_))));
    let found = story.forgettable(&story.blocks, "secret").unwrap();
    assert_eq!(found.blocks, cids(&[1, 2, 3, 4]), "5 and 7 are in another file, now or once");
    assert_eq!(found.states, story.heads_with(&[1, 2, 3, 4]));
    assert_eq!((found.versions, found.shared_versions, found.bytes), (3, 2, 8000));
    assert_eq!(found.names, paths(&["draft", "secret"]));
    assert_eq!((found.states_not_seen, found.elsewhere), (0, BTreeSet::new()));
}

#[test]
fn of_a_directory_all_goes_that_is_gone_and_what_lives_on_elsewhere_stays() {
    let mut story = Story::new(1);
    let dir = story.make_dir("letters");
    let (gone, moved) = (story.create_of("letters/one", [1]), story.create_of("letters/two", [2]));
    let kept = story.create_of("letters/three", [3]);
    for (inode, to) in [(moved, "two"), (kept, "three")] {
        story.commit(0, |c| c.rename(inode, Inode::ZERO, &to.parse().unwrap()).unwrap());
    }
    story.edit_of(moved, [4]);
    story.edit_of(kept, [5]);
    story.delete(gone);
    story.delete(moved);
    story.commit(0, |c| c.trash_dir(dir));
    let found = story.forgettable(&story.blocks, "letters").unwrap();
    assert_eq!(found.blocks, cids(&[1, 2, 4]));
    assert_eq!(found.elsewhere, paths(&["three"]));
    assert!(matches!(story.forgettable(&story.blocks, "letters/three"), Err(ForgetError::LivesOn(_, _))));
}

#[test]
fn of_a_long_file_its_list_goes_and_a_short_one_keeps_what_a_list_names() {
    let mut story = Story::new(1);
    let long = story.create_of("long", 0..200);
    let short = story.create_of("short", [3, 300]);
    story.delete(long);
    let found = story.forgettable(&story.blocks, "long").unwrap();
    assert_eq!(found.blocks.len(), 1, "what is beneath the list and nowhere else is reached no more");
    assert!(story.blocks.contains_key(found.blocks.first().unwrap()));
    story.delete(short);
    assert_eq!(story.forgettable(&story.blocks, "short").unwrap().blocks, cids(&[300]));
    // Where nobody has the list it is not known what it names: those states are left alone.
    let list = *found.blocks.first().unwrap();
    let mut blocks = story.blocks.clone();
    blocks.remove(&list);
    let found = story.forgettable(&blocks, "short").unwrap();
    let with_long: BTreeSet<HeadId> = story
        .states
        .iter()
        .filter(|(_, state)| state.get(&long).is_some_and(|item| !item.body.is_empty()))
        .map(|(head, _)| *head)
        .collect();
    assert!(found.states.is_disjoint(&with_long) && !found.states.is_empty());
}

/// Whether it lies at or beneath a path, by what records say. What was moved into itself by two people at once hangs in a circle, and
/// beneath nothing.
fn is_beneath(state: &State, inode: &Inode, top: &FolderPath) -> bool {
    let (mut names, mut at) = (Vec::new(), *inode);
    while let Some((_, loc)) = state.get(&at).and_then(Item::effective) {
        names.push(loc.name.clone());
        at = loc.parent;
        if at == Inode::ZERO {
            break;
        }
        if names.len() > PATH_DEPTH_MAX {
            return false;
        }
    }
    names.reverse();
    FolderPath::new(&names).starts_with(top)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn nothing_is_named_that_anything_else_has_in_any_state_that_was_seen(
        seed: u64, steps in 5usize..60, every in 1usize..4, pick: u64,
    ) {
        let story = Story::random_of(seed, steps, Some(14));
        // Like a seeder in time: the nodes of every so many states, and of the newest.
        let kept = story.heads.iter().enumerate().filter(|(n, _)| n % every == 0 || n + 1 == story.heads.len());
        let kept: BTreeSet<HeadId> = kept.map(|(_, head)| head.id()).collect();
        let names: BTreeSet<Cid> = kept.iter().flat_map(|id| &story.trees[id]).copied().collect();
        let blocks: BTreeMap<Cid, Vec<u8>> =
            story.blocks.iter().filter(|(cid, _)| names.contains(cid)).map(|(cid, bytes)| (*cid, bytes.clone())).collect();
        let ever: BTreeSet<FolderPath> = story.shown.values().flat_map(|shown| shown.keys().cloned()).collect();
        prop_assume!(!ever.is_empty());
        let top = ever.iter().nth(pick as usize % ever.len()).unwrap();
        let top = if pick % 3 == 0 { top.parent().filter(|dir| !dir.is_root()).unwrap_or(top.clone()) } else { top.clone() };
        let now = &story.devices[0].state;
        let found = match story.forgettable(&blocks, top.as_str()) {
            Ok(found) => found,
            Err(ForgetError::StillThere(_)) => {
                prop_assert!(view(now).lookup(&top).is_some());
                return Ok(());
            }
            Err(ForgetError::Unknown(_) | ForgetError::LivesOn(..)) => return Ok(()),
            Err(why) => panic!("{why}"),
        };
        // By the plainest reckoning. Other heads may have the root of a kept one, and are seen then.
        let roots: BTreeSet<Cid> = story.heads.iter().filter(|h| kept.contains(&h.id())).map(|h| h.head().root).collect();
        let seen: Vec<(HeadId, &State)> = story.heads.iter()
            .filter(|head| roots.contains(&head.head().root))
            .map(|head| (head.id(), &story.states[&head.id()]))
            .collect();
        let versions = |state: &State| -> Vec<(Inode, Dot, Dot, Vec<Cid>)> {
            state.iter().flat_map(|(key, item)| {
                let stay = item.effective().unwrap().1.vd;
                let bodies = item.body.iter();
                bodies.map(|(dot, body)| (key.inode, stay, *dot, body.content.cids().collect())).collect::<Vec<_>>()
            }).collect()
        };
        let all: Vec<_> = seen.iter().flat_map(|(_, state)| versions(state)).collect();
        let live = versions(now);
        // Whatever shares a stay or a content with what was beneath the path, and so on; all of it or nothing, if any of it lives.
        let spread = |mut stays: BTreeSet<(Inode, Dot)>| {
            let mut bodies: BTreeSet<(Inode, Dot)> = BTreeSet::new();
            for _ in 0..all.len() {
                for (inode, stay, body, _) in &all {
                    if stays.contains(&(*inode, *stay)) || bodies.contains(&(*inode, *body)) {
                        stays.insert((*inode, *stay));
                        bodies.insert((*inode, *body));
                    }
                }
            }
            let lives = live.iter().any(|(i, stay, body, _)| stays.contains(&(*i, *stay)) || bodies.contains(&(*i, *body)));
            if lives { BTreeSet::new() } else { bodies }
        };
        let mut targets: BTreeSet<(Inode, Dot)> = BTreeSet::new();
        for (_, state) in &seen {
            for (inode, stay, ..) in versions(state).iter().filter(|(inode, ..)| is_beneath(state, inode, &top)) {
                targets.extend(spread([(*inode, *stay)].into()));
            }
        }
        let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
        for (inode, _, body, cids) in all.iter().chain(&live) {
            if targets.contains(&(*inode, *body)) { &mut ours } else { &mut theirs }.extend(cids.iter().copied());
        }
        let own: BTreeSet<Cid> = ours.difference(&theirs).copied().collect();
        prop_assert_eq!(&found.blocks, &own);
        let has = |state: &State| versions(state).iter().any(|(.., cids)| cids.iter().any(|cid| own.contains(cid)));
        let states: BTreeSet<HeadId> = seen.iter().filter(|(_, state)| has(state)).map(|(head, _)| *head).collect();
        prop_assert_eq!(&found.states, &states);
        prop_assert_eq!(found.states_not_seen as usize, story.heads.len() - seen.len());
    }
}
