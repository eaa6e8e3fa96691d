//! Cases of the plan: three trees that came from one. A folder as it was is changed here and, by somebody else, elsewhere; the disk has the
//! one, the state has both joined, and a machine that starts brings the disk to what the state shows, with the shipped engine and no faults.
//!
//! What must hold: plans come to an end; every step can be done when its turn comes, and none needs a second look; the disk shows what the
//! state shows, to the last byte, time and bit; and nothing of that is taken for a person's deed, so that the state stays what was joined.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_core::content::inline_digest;
use cobox_core::engine::{FileId, Stat, Synced, same_time};
use cobox_core::keys::FolderKeys;
use cobox_core::path::{FolderPath, Name};
use cobox_core::state::{Body, Commit, Content, Kind, State, ViewEntry, view};
use cobox_core::tree::Tree;
use cobox_proto::id::{ActorId, EpochTag, Inode};
use cobox_proto::sign::SecretKey;

use crate::cast::Cast;
use crate::dice::Dice;
use crate::disk::{Bytes, Disk, New, Node};
use crate::member::Member;

/// Names are few, so that they meet.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Things that a machine does until it rests: some 30 deeds make at most as many steps, each with a look or two.
const TURNS_MAX: usize = 5_000;
/// Timers that ring while nothing is left to do.
const TICKS_MAX: usize = 20;

/// One case: what is wrong, or nothing. `tell`: prints the deeds and steps.
pub fn run(cast: &Cast, seed: u64, tell: bool) -> Option<String> {
    let caught = std::panic::catch_unwind(|| Case::of(cast, seed, tell).run());
    match caught {
        Ok(done) => done.err(),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Some(format!("a panic: {}", said.unwrap_or("without a word")))
        }
    }
}

struct Case<'c> {
    cast: &'c Cast,
    keys: &'c FolderKeys,
    dice: Dice,
    tell: bool,
    versions: u32,
}

impl<'c> Case<'c> {
    fn of(cast: &'c Cast, seed: u64, tell: bool) -> Self {
        Self { cast, keys: &cast.people[0].keys, dice: Dice::new(seed ^ 0x70_6c_61_6e), tell, versions: 0 }
    }

    fn run(mut self) -> Result<(), String> {
        let mut before = State::new();
        let count = 4 + self.dice.below(10);
        self.changes(&mut before, 1, count, true);
        let (mut here, mut there) = (before.clone(), before);
        let counts = [self.dice.below(7), 1 + self.dice.below(7)];
        self.changes(&mut here, 2, counts[0], false);
        self.changes(&mut there, 3, counts[1], false);
        let mut joined = here.clone();
        joined.join(&there, &|_: &EpochTag| 0);
        let mut member = self.machine(&here, &joined)?;
        self.rests(&mut member)?;
        shows(&member, &joined)
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.tell {
            println!("  {}", what());
        }
    }

    fn body(&mut self) -> Body {
        // Now and then two people write the same.
        self.versions += u32::from(!self.dice.one_in(8));
        let text = format!("version {}", self.versions).into_bytes();
        let plain_digest = inline_digest(self.keys, &text);
        let (mtime_ns, executable) = (i64::from(self.versions) * 5_000_000_000, self.dice.one_in(8));
        Body { size: text.len() as u64, mtime_ns, executable, plain_digest, content: Content::Inline(text.into()) }
    }

    /// What somebody does to the folder as they see it, one commit for each deed.
    fn changes(&mut self, state: &mut State, who: u8, count: usize, begins: bool) {
        let device = SecretKey::from_seed(&[who; 32]).public();
        for _ in 0..count {
            let seen = view(state).entries;
            let mut dirs = vec![(FolderPath::root(), Inode::ZERO)];
            dirs.extend(seen.iter().filter_map(|(path, entry)| Some((path.clone(), entry.dir()?))));
            let (dir, parent) = dirs[self.dice.below(dirs.len())].clone();
            let name: Name = NAMES[self.dice.below(NAMES.len())].parse().expect("a name");
            let to = dir.join(&name);
            let paths: Vec<FolderPath> = seen.keys().cloned().collect();
            let at = self.dice.pick(&paths).cloned();
            let (chance, body) = (self.dice.below(if begins { 5 } else { 12 }), self.body());
            let is_free = !seen.contains_key(&to);
            let before = at.as_ref().and_then(|path| seen[path].shown()?.body(state).cloned());
            let mut commit = Commit::new(state, ActorId([who; 16]), device, self.keys.shape());
            let what = match (chance, at) {
                (0..=2, _) if is_free => {
                    let kind = if self.dice.one_in(10) { Kind::Symlink } else { Kind::File };
                    commit.create(parent, &name, kind, body);
                    format!("writes {to}")
                }
                (3 | 4, _) if is_free => {
                    commit.make_dir(parent, &name);
                    format!("makes {to}")
                }
                (5..=7, Some(from)) if is_free && !to.starts_with(&from) => {
                    let inodes = match &seen[&from] {
                        ViewEntry::Dir { inodes } => inodes.clone(),
                        ViewEntry::File(shown) | ViewEntry::Symlink(shown) => vec![shown.inode],
                    };
                    for inode in inodes {
                        let _gone_meanwhile = commit.rename(inode, parent, &name);
                    }
                    format!("moves {from} to {to}")
                }
                (8 | 9, Some(path)) => {
                    let (Some(shown), Some(before)) = (seen[&path].shown(), before) else { continue };
                    // Now and then only the time and the bit.
                    let is_touched = self.dice.one_in(3);
                    let Body { mtime_ns, executable, .. } = body;
                    let body = if is_touched { Body { mtime_ns, executable, ..before } } else { body };
                    let _gone_meanwhile = commit.edit(shown.inode, &shown.seen(), body);
                    format!("{} {path}", if is_touched { "touches" } else { "edits" })
                }
                (10 | 11, Some(top)) => {
                    for (_, entry) in seen.range(top.clone()..).take_while(|(path, _)| path.starts_with(&top)) {
                        match entry {
                            ViewEntry::Dir { inodes } => inodes.iter().for_each(|inode| commit.trash_dir(*inode)),
                            ViewEntry::File(shown) | ViewEntry::Symlink(shown) => {
                                commit.remove(shown.inode, &shown.seen());
                                commit.remove_twins(shown);
                            }
                        }
                    }
                    format!("deletes {top}")
                }
                _ => continue,
            };
            commit.finish();
            self.say(|| format!("{} {what}", ["", "before", "here", "there"][usize::from(who)]));
        }
    }

    /// A machine whose disk has `here` and whose state is `joined`.
    fn machine(&mut self, here: &State, joined: &State) -> Result<Member<'c>, String> {
        let mut member = Member::at(self.cast, &self.cast.ops, 0);
        let (tree, blocks) =
            Tree::build(joined, self.keys, self.cast.epoch).map_err(|why| format!("no tree of the state: {why}"))?;
        member.durable.blocks.extend(blocks.into_iter().map(|block| (block.cid, Arc::new(block.bytes))));
        member.durable.memory = Some((tree.root(), BTreeSet::new()));
        for (path, entry) in view(here).entries {
            let entry = stands(&mut member.durable.disk, here, &path, &entry)?;
            member.durable.synced.insert(path, Arc::new(entry));
        }
        let entropy = self.dice.bytes32();
        member.start(0, entropy);
        Ok(member)
    }

    fn rests(&mut self, member: &mut Member<'_>) -> Result<(), String> {
        let (mut now_ms, mut ticks) = (1_000, 0);
        for _ in 0..TURNS_MAX {
            if member.has_work() {
                member.work(now_ms, self.dice.below(1_000));
                ticks = 0;
            } else if let Some(due_ms) = member.due_ms().filter(|_| ticks < TICKS_MAX) {
                now_ms = now_ms.max(due_ms);
                member.time_passed(now_ms);
                ticks += 1;
            } else {
                return Ok(());
            }
            for event in member.events.drain(..) {
                self.say(|| event.clone());
                if event.starts_with("could not") {
                    return Err(format!("a step can not be done: {event}"));
                }
            }
            member.outbox.clear();
        }
        Err("it never comes to rest".into())
    }
}

/// Puts what a state shows at a path on the disk; what is known of it.
fn stands(disk: &mut Disk, state: &State, path: &FolderPath, entry: &ViewEntry) -> Result<Synced, String> {
    let (kind, shown) = match entry {
        ViewEntry::Dir { inodes } => {
            disk.make_dir(path);
            let Stat::Dir(id) = disk.tree[path].stat() else { return Err(format!("{path} is no directory")) };
            return Ok(Synced::dir(inodes[0], id));
        }
        ViewEntry::File(shown) => (Kind::File, shown),
        ViewEntry::Symlink(shown) => (Kind::Symlink, shown),
    };
    let body = shown.body(state).ok_or_else(|| format!("{path} has no content"))?;
    let Content::Inline(bytes) = &body.content else { return Err(format!("{path} is large")) };
    let (link, mtime_ns, executable) = (kind == Kind::Symlink, body.mtime_ns, body.executable);
    disk.put(path, New { content: Bytes::new(bytes), link, mtime_ns, executable }, false);
    let stamp = disk.tree[path].stamp();
    let (id, digest) = (stamp.map_or(FileId { dev: 0, ino: 0 }, |stamp| stamp.id), body.plain_digest);
    let (inode, seen, twins) = (shown.inode, shown.seen().into(), shown.twins.clone());
    Ok(Synced { inode, kind, id, stamp, digest, seen, twins })
}

/// Whether the disk shows the state, which is as it was.
fn shows(member: &Member<'_>, joined: &State) -> Result<(), String> {
    let live = member.live.as_ref().ok_or("it stopped")?;
    if live.engine.state() != joined {
        return Err("what the program did was taken for a person's deed".into());
    }
    let pending = live.engine.summary_pending();
    if pending > 0 {
        return Err(format!("{pending} files are still to come"));
    }
    let disk = &member.durable.disk.tree;
    let shown: BTreeMap<FolderPath, ViewEntry> = view(joined).entries;
    if let Some(path) = disk.keys().find(|path| !shown.contains_key(*path)) {
        return Err(format!("{path} stands where nothing is shown"));
    }
    for (path, entry) in &shown {
        let is_there = match (entry, disk.get(path)) {
            (ViewEntry::Dir { .. }, Some(Node::Dir(_))) => true,
            (ViewEntry::File(leaf), Some(Node::File { stamp, content })) => leaf.body(joined).is_some_and(|body| {
                let is_same = matches!(&body.content, Content::Inline(bytes) if bytes[..] == content.bytes[..]);
                is_same && stamp.executable == body.executable && same_time(stamp.mtime_ns, body.mtime_ns)
            }),
            (ViewEntry::Symlink(leaf), Some(Node::Link { content, .. })) => leaf
                .body(joined)
                .is_some_and(|body| matches!(&body.content, Content::Inline(bytes) if bytes[..] == content.bytes[..])),
            _ => false,
        };
        if !is_there {
            return Err(format!("{path} is not what is shown there"));
        }
    }
    Ok(())
}
