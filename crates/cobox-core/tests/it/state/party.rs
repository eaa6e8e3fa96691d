//! Devices that work on one folder at random, each with its twin, and the oracles that watch them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_core::path::FolderPath;
use cobox_core::state::{
    Commit, Differences, History, Kind, Link, Shown, State, Touched, View, ViewEntry, align, is_duplicated, view,
};
use cobox_proto::id::{ActorId, Inode};

use super::dice::Dice;
use super::twin::{Twin, entries};
use super::world::{actor, depths, device, name, prf, sized_alike, value as number};

/// One thing a person does, in terms of what they have before them.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Create { parent: Inode, name: String, kind: Kind, value: u64 },
    MakeDir { parent: Inode, name: String },
    Edit { shown: Shown, value: u64 },
    RenameFile { shown: Shown, parent: Inode, name: String },
    SplitOff { shown: Shown, parent: Inode, name: String },
    MoveDir { inodes: Vec<Inode>, parent: Inode, name: String },
    Remove { shown: Shown },
    RemoveDir { files: Vec<Shown>, dirs: Vec<Inode> },
}

/// A rule left out, to see that the oracles notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    None,
    /// An edit leaves the place under its old dot.
    EditKeepsPlace,
    /// Deleting a directory removes its record.
    RemoveDirForgets,
    /// A device restored from an old copy goes on under its old actor, and nobody repairs it.
    ActorReused,
}

/// How a history runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) mutant: Mutant,
    /// Per step, how often a device's database is copied and both go on, to be repaired.
    pub(super) clone_percent: usize,
    /// Per step, how often a device is set back to an old state; it takes a fresh actor.
    pub(super) restore_percent: usize,
    /// A short history of two or three devices and at most so many steps; a long one if it is not said.
    pub(super) steps_max: Option<usize>,
    /// Prints what happens, up to where it breaks.
    pub(super) tells: bool,
}

/// What a history showed, so that a test can tell that it met what it is about.
#[derive(Debug, Default)]
pub(super) struct Met {
    pub(super) entries: usize,
    pub(super) conflicts: usize,
    pub(super) forks: usize,
    pub(super) moved_under_root: usize,
}

#[derive(Clone)]
pub(super) struct Replica {
    pub(super) state: State,
    pub(super) history: History,
    twin: Option<Twin>,
    /// Whether all rules are kept, so that nothing may raise an alarm.
    is_honest: bool,
}

impl Replica {
    pub(super) fn join(&mut self, other: &Replica) -> usize {
        let mut theirs = (other.state.clone(), other.history.clone());
        let found = align((&mut self.state, &mut self.history), (&mut theirs.0, &mut theirs.1)).found;
        let mut by_differences = self.state.clone();
        let listed = differences(&self.state, &theirs.0);
        let (touched, alarms) = self.state.join(&theirs.0, &depths());
        see_what_changed(&by_differences, &self.state, &touched);
        let with = by_differences.join_with(&theirs.0.ctx, &theirs.0.forks, &listed, &depths());
        assert!(!self.is_honest || alarms.is_empty(), "{alarms:?}");
        assert_eq!(with, (touched, alarms));
        assert_eq!(by_differences, self.state);
        self.history.join(&theirs.1);
        if let (Some(mine), Some(theirs)) = (&mut self.twin, &other.twin) {
            *mine = Twin::join(mine, theirs);
        }
        found.len()
    }

    pub(super) fn joined(&self, other: &Replica) -> Replica {
        let mut joined = self.clone();
        joined.join(other);
        joined
    }

    /// To whom has nothing it comes the same way, whole or listed.
    fn comes_to_nobody(&self) {
        let (mut whole, mut listed) = (State::new(), State::new());
        let all = differences(&whole, &self.state);
        let touched = whole.join(&self.state, &depths());
        assert_eq!(listed.join_with(&self.state.ctx, &self.state.forks, &all, &depths()), touched);
        assert_eq!(listed, whole);
    }

    /// Without its twin: for joins that are compared with joins.
    fn alone(&self) -> Replica {
        let Self { state, history, is_honest, .. } = self;
        Replica { state: state.clone(), history: history.clone(), twin: None, is_honest: *is_honest }
    }

    fn same_as(&self, other: &Replica) -> bool {
        self.state == other.state && self.history == other.history
    }
}

struct Device {
    actor: ActorId,
    at: Replica,
}

/// Runs one history. `Err` says which oracle it broke.
pub(super) fn run(seed: u64, rules: Rules) -> Result<Met, String> {
    let mut party = Party::new(seed, rules);
    for step in 0..party.steps {
        party.step(step)?;
    }
    party.finish()
}

struct Party {
    dice: Dice,
    rules: Rules,
    steps: usize,
    devices: Vec<Device>,
    heads: Vec<Replica>,
    left: Vec<Replica>,
    actors: BTreeSet<ActorId>,
    written: BTreeSet<u64>,
    overwritten: BTreeSet<u64>,
    met: Met,
}

impl Party {
    fn new(seed: u64, rules: Rules) -> Self {
        let (most, steps) = match rules.steps_max {
            Some(max) => (2, 4 + (seed / 2) as usize % (max - 3)),
            None => (4, 20 + seed as usize % 120),
        };
        let count = 2 + seed as usize % most;
        let is_honest = rules.mutant == Mutant::None;
        let twin = is_honest.then(Twin::default);
        let empty = Replica { state: State::new(), history: History::new(), twin, is_honest };
        let devices: Vec<Device> = (0..count as u64).map(|n| Device { actor: actor(n), at: empty.clone() }).collect();
        Self {
            dice: Dice::new(seed),
            rules,
            steps,
            actors: devices.iter().map(|d| d.actor).collect(),
            devices,
            heads: vec![empty],
            left: vec![],
            written: BTreeSet::new(),
            overwritten: BTreeSet::new(),
            met: Met::default(),
        }
    }

    fn step(&mut self, step: usize) -> Result<(), String> {
        self.copy_or_restore(step);
        let who = self.dice.below(self.devices.len());
        if self.dice.percent(60) {
            let ops = self.choose(who, step);
            if let Some(op) = ops {
                self.act(who, &op);
            }
        } else {
            let tip = self.devices[who].at.history.chain(&self.devices[who].actor).last().map(|link| link.head);
            let other = self.dice.below(self.devices.len());
            let source = if self.dice.percent(70) {
                self.devices[other].at.clone()
            } else {
                self.dice.pick(&self.heads).clone()
            };
            if self.rules.tells {
                println!("{step}: device {who} meets device {other}, or an old head");
            }
            self.met.forks += self.devices[who].at.join(&source);
            let device = &mut self.devices[who];
            if is_duplicated(&device.at.state, &device.at.history, &device.actor, tip.as_ref()) {
                device.actor = actor(1_000 + step as u64);
                self.actors.insert(device.actor);
            }
            if self.dice.percent(10) && self.devices[who].at.state.ctx.get(&self.devices[who].actor).is_some() {
                self.publish(who);
            }
        }
        self.compare(who)?;
        self.heads.push(self.devices[who].at.clone());
        if self.dice.percent(15) {
            self.check_join()?;
        }
        Ok(())
    }

    fn copy_or_restore(&mut self, step: usize) {
        let who = self.dice.below(self.devices.len());
        if self.dice.percent(self.rules.clone_percent) && self.devices.len() < 9 {
            let Device { actor, at } = &self.devices[who];
            if self.rules.tells {
                println!("{step}: device {who} is copied and both go on; the copy is {}", self.devices.len());
            }
            self.devices.push(Device { actor: *actor, at: at.clone() });
        }
        if self.dice.percent(self.rules.restore_percent) {
            let old = self.dice.pick(&self.heads).clone();
            if self.rules.tells {
                println!("{step}: device {who} is set back");
            }
            // What it published before is still with others.
            self.left.push(std::mem::replace(&mut self.devices[who].at, old));
            if self.rules.mutant != Mutant::ActorReused {
                self.devices[who].actor = actor(2_000 + step as u64);
                self.actors.insert(self.devices[who].actor);
            }
        }
    }

    /// A head of the device's chain, written or not.
    fn publish(&mut self, who: usize) {
        if self.rules.clone_percent == 0 {
            return;
        }
        let Device { actor, at } = &mut self.devices[who];
        let counter = at.state.ctx.get(actor).map_or(0, |row| row.counter);
        let head = self.dice.head();
        at.history.push(*actor, Link { head, counter });
        if let Some(twin) = &mut at.twin {
            twin.chains.entry(*actor).or_default().push((head, counter));
        }
    }

    fn choose(&mut self, who: usize, step: usize) -> Option<Op> {
        let state = &self.devices[who].at.state;
        let view = view(state);
        let dice = &mut self.dice;
        let files: Vec<(&FolderPath, &Shown)> =
            view.entries.iter().filter_map(|(path, entry)| Some((path, entry.shown()?))).collect();
        let mut dirs: Vec<(FolderPath, Vec<Inode>)> = vec![(FolderPath::default(), vec![Inode::ZERO])];
        for (path, entry) in &view.entries {
            if let ViewEntry::Dir { inodes } = entry {
                dirs.push((path.clone(), inodes.clone()));
            }
        }
        let value = if dice.percent(10) { 1_000 + dice.below(3) as u64 } else { step as u64 };
        let wants_file = |dice: &mut Dice| if dice.percent(95) { *dice.pick(&["a", "b", "c"]) } else { "x" };
        let wants_dir = |dice: &mut Dice| *dice.pick(&["x", "y", "z"]);
        let free = |path: &FolderPath, text: &str| view.lookup(&path.join(&name(text))).is_none();
        let (target, inodes) = dice.pick(&dirs).clone();
        let parent = inodes[0];
        match dice.below(11) {
            0 | 1 => {
                let text = wants_file(dice);
                let kind = if dice.percent(90) { Kind::File } else { Kind::Symlink };
                free(&target, text).then(|| Op::Create { parent, name: text.into(), kind, value })
            }
            2 | 3 if !files.is_empty() => Some(Op::Edit { shown: dice.pick(&files).1.clone(), value }),
            4 | 5 if !files.is_empty() => {
                let shown = dice.pick(&files).1.clone();
                let text = wants_file(dice);
                let bodies = &state.get(&shown.inode)?.body;
                let contested = bodies.iter().any(|(_, b)| number(b) != number(shown.body(state).unwrap()));
                let name = text.into();
                free(&target, text).then(|| {
                    if contested && dice.percent(50) {
                        Op::SplitOff { shown, parent, name }
                    } else {
                        Op::RenameFile { shown, parent, name }
                    }
                })
            }
            6 => {
                let text = wants_dir(dice);
                let fits = target.iter().count() <= 4 && free(&target, text);
                fits.then(|| Op::MakeDir { parent, name: text.into() })
            }
            7 | 8 if dirs.len() > 1 => {
                let (from, inodes) = dice.pick(&dirs[1..]).clone();
                let text = wants_dir(dice);
                let fits = !below(&target, &from) && free(&target, text);
                fits.then(|| Op::MoveDir { inodes, parent, name: text.into() })
            }
            9 if !files.is_empty() => Some(Op::Remove { shown: dice.pick(&files).1.clone() }),
            10 if dirs.len() > 1 && dice.percent(50) => {
                let from = dice.pick(&dirs[1..]).0.clone();
                let files = files.iter().filter(|(path, _)| below(path, &from)).map(|(_, s)| (*s).clone()).collect();
                let dirs = dirs.iter().filter(|(path, _)| below(path, &from)).flat_map(|(_, i)| i).copied().collect();
                Some(Op::RemoveDir { files, dirs })
            }
            _ => None,
        }
    }

    fn act(&mut self, who: usize, op: &Op) {
        if self.rules.tells {
            println!("device {who}: {op:?}");
        }
        let state = &mut self.devices[who].at.state;
        let over: Vec<&Shown> = match op {
            Op::Edit { shown, .. } | Op::Remove { shown } => vec![shown],
            Op::RemoveDir { files, .. } => files.iter().collect(),
            _ => vec![],
        };
        self.overwritten.extend(over.iter().map(|shown| number(shown.body(state).unwrap())));
        if let Op::Create { value, .. } | Op::Edit { value, .. } = op {
            self.written.insert(*value);
        }
        let who_writes = self.devices[who].actor;
        commit(&mut self.devices[who].at.state, who_writes, op, self.rules.mutant);
        if let Some(twin) = &mut self.devices[who].at.twin {
            twin.apply(who_writes, op);
        }
        self.publish(who);
    }

    fn compare(&self, who: usize) -> Result<(), String> {
        let Replica { state, history, twin, .. } = &self.devices[who].at;
        let Some(twin) = twin else { return Ok(()) };
        let mut actors = self.actors.clone();
        actors.extend(state.ctx.iter().map(|(a, _)| *a));
        actors.extend(twin.chains.keys());
        if Twin::of(state, history, &actors) != *twin {
            return Err(format!("differs from the twin:\n{:?}\n{twin:?}", Twin::of(state, history, &actors)));
        }
        if entries(state, &view(state)) != twin.view() {
            return Err(format!("shows other than the twin: {:?}\n{:?}", entries(state, &view(state)), twin.view()));
        }
        Ok(())
    }

    fn check_join(&mut self) -> Result<(), String> {
        let [a, b, c] = [0; 3].map(|_| self.dice.pick(&self.heads).alone());
        let oracle = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let both = a.joined(&b);
        both.comes_to_nobody();
        oracle(both.same_as(&b.joined(&a)), "join is not commutative")?;
        oracle(both.joined(&c).same_as(&a.joined(&b.joined(&c))), "join is not associative")?;
        oracle(a.joined(&a).same_as(&a), "join is not idempotent")?;
        oracle(both.joined(&b).same_as(&both), "a second arrival changes something")
    }

    fn finish(mut self) -> Result<Met, String> {
        let all: Vec<Replica> = self.devices.iter().map(|d| &d.at).chain(&self.left).map(Replica::alone).collect();
        let mut ends = Vec::new();
        for start in &all {
            let mut order: Vec<&Replica> = all.iter().collect();
            self.dice.shuffle(&mut order);
            let mut end = start.clone();
            for other in order {
                end.join(other);
            }
            ends.push(end);
        }
        if ends.iter().any(|end| !end.same_as(&ends[0])) {
            return Err("replicas do not converge".into());
        }
        let state = &ends[0].state;
        let is_dir = |i: &Inode| *i == Inode::ZERO || state.get(i).is_some_and(|item| item.kind == Kind::Dir);
        if let Some((key, _)) = state.iter().find(|(key, _)| !is_dir(&key.parent)) {
            return Err(format!("orphan {key:?}"));
        }
        let view = view(state);
        let shown: Vec<(&FolderPath, &Shown)> =
            view.entries.iter().filter_map(|(path, entry)| Some((path, entry.shown()?))).collect();
        let visible: BTreeSet<u64> = shown.iter().map(|(_, s)| number(s.body(state).unwrap())).collect();
        if let Some(lost) = self.written.difference(&self.overwritten).find(|value| !visible.contains(value)) {
            return Err(format!("lost body {lost}"));
        }
        let mut directories = BTreeMap::new();
        for (path, shown) in &shown {
            let directory = path.parent();
            if *directories.entry(shown.inode).or_insert_with(|| directory.clone()) != directory {
                return Err(format!("{:?} shows in two directories", shown.inode));
            }
        }
        self.met.entries = view.entries.len();
        self.met.conflicts = shown.iter().filter(|(_, s)| s.conflict.is_some()).count();
        self.met.moved_under_root = moved_under_root(state, &view);
        Ok(self.met)
    }
}

/// What a device that read only part of a tree hands to `join_with`: everything that differs, and some that does not.
fn differences(mine: &State, theirs: &State) -> Differences {
    let inodes = mine.iter().chain(theirs.iter()).map(|(key, _)| key.inode);
    let listed = inodes.filter(|i| mine.get(i) != theirs.get(i) || i.0[0] % 4 == 0);
    listed.map(|i| (i, theirs.get(&i).cloned().map(Arc::new))).collect()
}

/// How many directories show in the root although they belong elsewhere: the cycles that were cut.
fn moved_under_root(state: &State, view: &View) -> usize {
    let in_root = view.entries.iter().filter(|(path, _)| path.depth() == 1);
    let inodes = in_root.filter_map(|(_, entry)| match entry {
        ViewEntry::Dir { inodes } => Some(inodes),
        _ => None,
    });
    inodes.flatten().filter(|i| state.get(i).and_then(|item| item.effective()).unwrap().1.parent != Inode::ZERO).count()
}

/// A view that is brought up to date is the one that is computed anew, and names what was there before.
fn see_what_changed(before: &State, state: &State, touched: &Touched) {
    // One change in four: this looks at everything three times.
    if !state.len().is_multiple_of(4) {
        return;
    }
    let mut shown = view(before);
    let before = shown.clone();
    let Some(changed) = shown.update(state, touched) else {
        return assert_eq!(shown, before, "something was done in vain");
    };
    assert_eq!(shown, view(state));
    let paths: BTreeSet<&FolderPath> = before.entries.keys().chain(shown.entries.keys()).collect();
    let otherwise = paths.into_iter().filter(|path| before.lookup(path) != shown.lookup(path));
    let named: BTreeMap<FolderPath, _> = otherwise.map(|path| (path.clone(), before.lookup(path).cloned())).collect();
    assert_eq!(changed, named);
}

fn below(path: &FolderPath, top: &FolderPath) -> bool {
    let mut path = path.iter();
    top.iter().all(|name| path.next() == Some(name))
}

fn commit(state: &mut State, who: ActorId, op: &Op, mutant: Mutant) {
    let before = state.clone();
    let mut commit = Commit::new(state, who, device(0), &prf);
    match op {
        Op::Create { parent, name: text, kind, value } => {
            commit.create(*parent, &name(text), *kind, sized_alike(*value));
        }
        Op::MakeDir { parent, name: text } => {
            commit.make_dir(*parent, &name(text));
        }
        Op::Edit { shown, value } => {
            commit.edit(shown.inode, &shown.seen(), sized_alike(*value)).unwrap();
            commit.remove_twins(shown);
        }
        Op::RenameFile { shown, parent, name: text } => {
            commit.rename(shown.inode, *parent, &name(text)).unwrap();
            commit.remove_twins(shown);
        }
        Op::SplitOff { shown, parent, name: text } => {
            commit.split_off(shown.inode, &shown.seen(), *parent, &name(text)).unwrap();
            commit.remove_twins(shown);
        }
        Op::MoveDir { inodes, parent, name: text } => {
            for inode in inodes {
                commit.rename(*inode, *parent, &name(text)).unwrap();
            }
        }
        Op::Remove { shown } => {
            commit.remove(shown.inode, &shown.seen());
            commit.remove_twins(shown);
        }
        Op::RemoveDir { files, dirs } => {
            for shown in files {
                commit.remove(shown.inode, &shown.seen());
                commit.remove_twins(shown);
            }
            for inode in dirs {
                commit.trash_dir(*inode);
            }
        }
    }
    let touched = commit.finish().map(|(_, touched)| touched).unwrap_or_default();
    see_what_changed(&before, state, &touched);
    for (key, item) in before.iter() {
        let noted = touched.iter().find(|(inode, _)| **inode == key.inode);
        assert!(noted.is_some() || state.get(&key.inode) == Some(item), "{op:?} touched more than it says");
        assert!(noted.is_none_or(|(_, before)| *before == Some(key)), "{op:?} notes a wrong key");
    }
    match (mutant, op) {
        (Mutant::EditKeepsPlace, Op::Edit { shown, .. }) => {
            let mut item = state.get(&shown.inode).unwrap().clone();
            item.loc = before.get(&shown.inode).unwrap().loc.clone();
            state.insert(shown.inode, item);
        }
        (Mutant::RemoveDirForgets, Op::RemoveDir { dirs, .. }) => {
            for inode in dirs {
                state.remove(inode);
            }
        }
        _ => {}
    }
}
