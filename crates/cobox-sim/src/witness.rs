//! What a member's machine shows to the oracles, and to whoever follows one content through a run; and what is remembered of it for
//! them alone. The machine itself knows nothing of that.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cobox_core::engine::{Step, Synced};
use cobox_core::path::FolderPath;
use cobox_core::state::{Content, Kind, State};
use cobox_proto::id::Cid;

use crate::disk::Bytes;
use crate::haste::Move;
use crate::ignore::Rules;
use crate::member::Member;
use crate::work::tell;

/// Of a folder with so many files, it is never believed that it was emptied.
const EMPTIED_MIN: u64 = 3;

/// What is remembered of a machine for the oracles alone.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// What was told last of what is followed.
    followed: String,
    /// A promise that this machine broke by itself.
    pub(crate) broken: Option<String>,
    /// What it saw to be ignored on its disk: should that be ignored no more, nobody can tell it from what is new.
    pub(crate) once_ignored: Vec<Bytes>,
    /// Contents that a listing here has left out: others may have been told that they are gone.
    pub(crate) once_left_out: BTreeSet<[u8; 32]>,
    /// Files behind which the program put what others did with equal bytes, since they were last looked at.
    pub(crate) adopted: BTreeSet<FolderPath>,
    /// Moves to be judged in the end.
    pub(crate) moves: Vec<Move>,
    /// A person has just said that the files are meant to go.
    pub(crate) is_told_to_delete: bool,
}

impl Witness {
    /// What is known to stand at a place is another value from now on, or the same by another's hand.
    pub(crate) fn note_synced(&mut self, path: &FolderPath, before: Option<&Synced>, now: Option<&Synced>) {
        let is_same_file = |a: &Synced, b: &Synced| a.stamp.is_some() && (a.stamp, a.digest) == (b.stamp, b.digest);
        match before.zip(now).filter(|(before, now)| is_same_file(before, now)) {
            Some((before, now)) if before == now => {}
            Some(_) => drop(self.adopted.insert(path.clone())),
            None => drop(self.adopted.remove(path)),
        }
    }
}

impl Member<'_> {
    /// What this member knows of contents in which a text stands; told when it changes.
    pub(crate) fn follow(&mut self, text: &str) -> Option<String> {
        let live = self.live.as_ref()?;
        let has = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
        let mut known = String::new();
        for (key, item) in live.engine.state().iter() {
            let is_named = text.strip_prefix('#').is_some_and(|short| key.inode.short() == short);
            if is_named || text.starts_with('/') && item.loc.iter().any(|(_, loc)| loc.name.as_str() == &text[1..]) {
                let _ = write!(
                    known,
                    "; ITEM {} loc {:?} body {:?}",
                    key.inode.short(),
                    item.loc
                        .iter()
                        .map(|(d, l)| format!(
                            "{}@{} {} vd {}@{}",
                            d.counter,
                            d.actor.short(),
                            l.parent.short(),
                            l.vd.counter,
                            l.vd.actor.short()
                        ))
                        .collect::<Vec<_>>(),
                    item.body
                        .iter()
                        .map(|(d, b)| format!("{}@{} {:x?}", d.counter, d.actor.short(), &b.plain_digest[..2]))
                        .collect::<Vec<_>>()
                );
            }
            for (dot, body) in &item.body {
                if self.assemble(body).is_ok_and(|content| has(&content.bytes)) {
                    let inode = key.inode.short();
                    let _ = write!(known, "; {inode} has it by {}@{}", dot.counter, dot.actor.short());
                    let shown = live.engine.view().entries.iter().filter(|(_, entry)| {
                        entry.shown().is_some_and(|leaf| leaf.inode == key.inode && leaf.seen().contains(dot))
                    });
                    for (path, _) in shown {
                        let _ = write!(known, " shown as {path}");
                    }
                }
            }
        }
        for (path, synced) in live.engine.synced() {
            if text.starts_with('/') && path.to_string().contains(&text[1..]) {
                let _ = write!(
                    known,
                    "; SYNCED {path} {} {:x?} seen {:?} twins {:?}",
                    synced.inode.short(),
                    &synced.digest[..2],
                    synced.seen.iter().map(|d| format!("{}@{}", d.counter, d.actor.short())).collect::<Vec<_>>(),
                    synced.twins.len()
                );
            }
            let content = self.durable.disk.tree.get(path).and_then(|node| node.content());
            if content.is_some_and(|content| has(&content.bytes)) {
                let seen: Vec<String> =
                    synced.seen.iter().map(|dot| format!("{}@{}", dot.counter, dot.actor.short())).collect();
                let _ = write!(known, "; {path} is synced, seen {}", seen.join(" "));
            }
        }
        if known == self.witness.followed {
            return None;
        }
        self.witness.followed.clone_from(&known);
        Some(format!("knows{known}"))
    }

    /// A look was committed. True, and a promise broken, if it emptied the folder because it saw nothing there.
    pub(crate) fn emptied_unseen(&mut self, removed: u64) -> bool {
        let is_broken = removed >= EMPTIED_MIN && self.deletes_all_unseen() && self.witness.broken.is_none();
        if is_broken {
            self.witness.broken = Some(format!("O1: {} deleted {removed} files because it saw none (H1)", self.name));
        }
        is_broken
    }

    /// Whether nothing is left of a folder that a person did not empty.
    fn deletes_all_unseen(&self) -> bool {
        if self.machine.unmounted
            && let Some(live) = &self.live
        {
            let known = live.engine.synced();
            let went = self.machine.stood_there.iter().filter(|path| !known.contains_key(*path)).count() as u64;
            let is_empty = known.values().all(|known| known.kind == Kind::Dir);
            return went >= EMPTIED_MIN && is_empty && !self.witness.is_told_to_delete;
        }
        self.saw_nothing_at_all()
    }

    /// What went until now, went by itself: it was ignored, or a few files before all the others.
    pub(crate) fn forget_what_went(&mut self) {
        if self.machine.unmounted
            && let Some(live) = &self.live
        {
            self.machine.stood_there.retain(|path| live.engine.synced().contains_key(path));
        }
    }

    /// Whether the look under way was told that the folder is empty.
    fn saw_nothing_at_all(&self) -> bool {
        let scan = self.live.as_ref().and_then(|live| live.scan.as_ref());
        let knew = self.durable.synced.values().filter(|known| known.kind != Kind::Dir).count() as u64;
        !self.witness.is_told_to_delete
            && knew >= EMPTIED_MIN
            && scan.is_some_and(|scan| scan.left_out.contains(&FolderPath::root()) && scan.under_all())
    }

    /// Blocks of others' states that are not here.
    pub(crate) fn wants(&self) -> Vec<Cid> {
        self.live.iter().flat_map(|live| live.wants.iter().copied()).collect()
    }

    /// Steps whose content is not here.
    pub(crate) fn waits_for(&self) -> String {
        let Some(live) = &self.live else { return "nothing: it is stopped".into() };
        live.waiting.iter().map(|(_, step)| tell(step)).collect::<Vec<_>>().join(", ")
    }

    /// The blocks that writes wait for.
    pub(crate) fn missing_contents(&self) -> BTreeSet<Cid> {
        let bodies = self.live.iter().flat_map(|live| &live.waiting).filter_map(|(_, step)| match step {
            Step::Write { body, .. } => self.assemble(body).err(),
            _ => None,
        });
        bodies.flatten().collect()
    }

    /// Whether a path of the disk, or one that the folder shows, is no content here.
    pub(crate) fn ignores(&self, path: &FolderPath) -> bool {
        let shown = self.live.as_ref().and_then(|live| live.engine.view().lookup(path));
        let is_dir = self.durable.disk.has_dir(path) || shown.is_some_and(|entry| entry.dir().is_some());
        Rules::of(&self.durable.disk).ignores(path, is_dir)
    }

    /// What lies on the disk and is no content there.
    pub(crate) fn ignored(&self) -> BTreeSet<FolderPath> {
        self.durable.disk.tree.keys().filter(|path| self.ignores(path)).cloned().collect()
    }

    /// Whether this is a directory that is gone for the others and stays here for what is ignored in it (l16).
    pub(crate) fn keeps_ignored(&self, path: &FolderPath) -> bool {
        let Some(live) = &self.live else { return false };
        let disk = &self.durable.disk;
        let mut below = disk.below(path).into_iter().skip(1).peekable();
        disk.has_dir(path)
            && below.peek().is_some()
            && live.engine.view().lookup(path).is_none()
            && below.all(|path| self.ignores(&path) || disk.has_dir(&path))
    }

    /// Which values of the state a block belongs to, and where they are shown.
    pub(crate) fn names_of(&self, cid: &Cid) -> String {
        let Some(live) = &self.live else { return String::new() };
        let mut names = Vec::new();
        for (key, item) in live.engine.state().iter() {
            for (dot, body) in &item.body {
                if matches!(&body.content, Content::Refs(refs) if refs.iter().any(|chunk| chunk.cid == *cid)) {
                    let shown = live.engine.view().entries.iter().find(|(_, entry)| {
                        entry.shown().is_some_and(|leaf| leaf.inode == key.inode && leaf.seen().contains(dot))
                    });
                    let place = shown.map_or("nowhere".into(), |(path, _)| path.to_string());
                    names.push(format!("{} {}@{} shown at {place}", key.inode.short(), dot.counter, dot.actor.short()));
                }
            }
        }
        names.join(", ")
    }

    /// Contents that the folder has at places that are no content here.
    pub(crate) fn left_out(&self) -> Vec<Bytes> {
        let Some(live) = &self.live else { return Vec::new() };
        let ignored = live.engine.view().entries.keys().filter(|path| self.ignores(path));
        let bodies = ignored.filter_map(|path| live.engine.leaf_at(path));
        bodies.filter_map(|(_, _, body)| self.assemble(&body).ok()).collect()
    }

    /// The state that is known, or would be read back at a start.
    fn state(&self) -> Option<State> {
        match &self.live {
            Some(live) => Some(live.engine.state().clone()),
            None => Some(self.load(self.durable.memory.as_ref()?.0)?.0),
        }
    }

    /// The contents of that state.
    pub(crate) fn remembered(&self) -> Vec<Bytes> {
        let Some(state) = self.state() else { return Vec::new() };
        let bodies = state.iter().flat_map(|(_, item)| item.body.iter());
        bodies.filter_map(|(_, body)| self.assemble(body).ok()).collect()
    }
}

/// Contents that this member remembers and somebody else remembers to be deleted or replaced.
pub(crate) fn gone_elsewhere(members: &[Member<'_>], member: usize) -> Vec<Bytes> {
    let others = members.iter().enumerate().filter(|(n, _)| *n != member);
    let others: Vec<State> = others.filter_map(|(_, other)| other.state()).collect();
    let Some(own) = members[member].state() else { return Vec::new() };
    let mut contents = Vec::new();
    for (key, item) in own.iter() {
        for (dot, body) in &item.body {
            let has = |state: &State| state.get(&key.inode).is_some_and(|item| item.body.iter().any(|(d, _)| d == dot));
            if others.iter().any(|state| state.ctx.covers(*dot) && !has(state)) {
                contents.extend(members.iter().find_map(|member| member.assemble(body).ok()));
            }
        }
    }
    contents
}

/// Contents that somebody remembers and nobody remembers to be deleted or replaced.
pub(crate) fn forgotten_deletions(members: &[Member<'_>]) -> Vec<Bytes> {
    let states: Vec<State> = members.iter().filter_map(Member::state).collect();
    let mut contents = Vec::new();
    for (key, item) in states.iter().flat_map(State::iter) {
        for (dot, body) in &item.body {
            let has = |state: &State| state.get(&key.inode).is_some_and(|item| item.body.iter().any(|(d, _)| d == dot));
            if !states.iter().any(|state| state.ctx.covers(*dot) && !has(state)) {
                contents.extend(members.iter().find_map(|member| member.assemble(body).ok()));
            }
        }
    }
    contents
}
