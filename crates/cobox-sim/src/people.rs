//! What people do to their disks: they write, rename, move, copy, touch and delete, mostly among a few names, so that they meet.

use cobox_core::path::{FolderPath, IGNORE_FILE, Name};

use crate::dice::Dice;
use crate::disk::{Bytes, Disk, New, Node};
use crate::ledger::Ledger;

const FILES: &[&str] = &["a.txt", "b.txt", "B.txt", "plan", "x"];
const DIRS: &[&str] = &["d", "e", "f"];
/// Where files and directories take each other's names.
const BOTH: &[&str] = &["a.txt", "x", "d", "e"];

/// How people are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    /// They move directories.
    pub(crate) moves_dirs: bool,
    /// They give files the names of directories, and the other way round; what has the name has to go first.
    pub(crate) kinds: bool,
}

impl Ways {
    fn file_name(self, dice: &mut Dice) -> Name {
        name(dice.pick(if self.kinds { BOTH } else { FILES }).copied().unwrap_or("x"))
    }

    fn dir_name(self, dice: &mut Dice) -> Name {
        name(dice.pick(if self.kinds { BOTH } else { DIRS }).copied().unwrap_or("d"))
    }

    /// Whether the place is free, or is now that what had its name is deleted.
    fn makes_room(self, dice: &mut Dice, disk: &mut Disk, ledger: &mut Ledger, who: char, place: &FolderPath) -> bool {
        if self.kinds && disk.tree.contains_key(place) && dice.one_in(2) {
            ledger.delete(disk, place, who);
            disk.erase(place);
        }
        !disk.tree.contains_key(place)
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("the names here are good")
}

fn some_dir(dice: &mut Dice, disk: &Disk) -> FolderPath {
    let dirs: Vec<FolderPath> =
        disk.tree.iter().filter(|(_, node)| matches!(node, Node::Dir(_))).map(|(path, _)| path.clone()).collect();
    if dice.one_in(3) { FolderPath::root() } else { dice.pick(&dirs).cloned().unwrap_or_default() }
}

fn some(dice: &mut Dice, disk: &Disk, wanted: impl Fn(&Node) -> bool) -> Option<FolderPath> {
    let paths: Vec<&FolderPath> = disk.tree.iter().filter(|(_, node)| wanted(node)).map(|(path, _)| path).collect();
    dice.pick(&paths).map(|path| (*path).clone())
}

fn new_content(dice: &mut Dice, ledger: &mut Ledger, who: char, path: &FolderPath, link: bool) -> Bytes {
    ledger.count += 1;
    let mut text = format!("{who} wrote no. {} ", ledger.count);
    if !link && dice.one_in(3) {
        let long = 513 + dice.below(3000);
        text = text.repeat(long / text.len() + 1);
    }
    let content = Bytes::new(text.as_bytes());
    ledger.wrote(&content, format!("{who} wrote to {path} (no. {})", ledger.count));
    ledger.writes_to(path, who);
    content
}

/// Somebody changes what is ignored, perhaps for themselves alone.
pub(crate) fn change_rules(
    dice: &mut Dice,
    disk: &mut Disk,
    ledger: &mut Ledger,
    (who, now_ms): (char, u64),
    own: bool,
) -> String {
    let path = FolderPath::root().join(&name(IGNORE_FILE));
    ledger.let_go(disk, &path);
    ledger.count += 1;
    let mut lines = vec![format!("# {who} wrote no. {}", ledger.count)];
    for file in FILES.iter().chain(DIRS) {
        match dice.below(12) {
            0 | 1 => lines.push((*file).to_owned()),
            2 => lines.push(format!("{file}/")),
            _ => {}
        }
    }
    if own && dice.one_in(3) {
        lines.push(IGNORE_FILE.to_owned());
    }
    let content = Bytes::new(lines.join("\n").as_bytes());
    ledger.wrote(&content, format!("{who} wrote to {path} (no. {})", ledger.count));
    let new = New { content, link: false, mtime_ns: now_ms as i64 * 1_000_000, executable: false };
    disk.put(&path, new, false);
    format!("ignores {:?}", &lines[1..])
}

/// Somebody writes a file with a name of their own.
pub(crate) fn write_new(
    dice: &mut Dice,
    disk: &mut Disk,
    ledger: &mut Ledger,
    (who, now_ms): (char, u64),
    name: &Name,
) -> String {
    let path = some_dir(dice, disk).join(name);
    let content = new_content(dice, ledger, who, &path, false);
    let new = New { content, link: false, mtime_ns: now_ms as i64 * 1_000_000, executable: false };
    disk.put(&path, new, false);
    format!("writes {path}")
}

/// One thing somebody does; what it was, if anything.
pub(crate) fn act(
    dice: &mut Dice,
    disk: &mut Disk,
    ledger: &mut Ledger,
    (who, now_ms): (char, u64),
    ways: Ways,
) -> Option<String> {
    let mtime_ns = now_ms as i64 * 1_000_000;
    let is_leaf = |node: &Node| !matches!(node, Node::Dir(_));
    let is_dir = |disk: &Disk, path: &FolderPath| matches!(disk.tree.get(path), Some(Node::Dir(_)));
    match dice.below(20) {
        0..=4 => {
            let file = ways.file_name(dice);
            let path = some_dir(dice, disk).join(&file);
            if is_dir(disk, &path) && !ways.makes_room(dice, disk, ledger, who, &path) {
                return None;
            }
            ledger.let_go(disk, &path);
            let link = dice.one_in(12);
            let content = new_content(dice, ledger, who, &path, link);
            let in_place = !link && matches!(disk.tree.get(&path), Some(Node::File { .. })) && dice.one_in(2);
            ledger.put(&path, who);
            disk.put(&path, New { content, link, mtime_ns, executable: false }, in_place);
            Some(format!("writes {path}"))
        }
        5..=8 => {
            let path = some(dice, disk, |node| matches!(node, Node::File { .. }))?;
            ledger.let_go(disk, &path);
            let content = new_content(dice, ledger, who, &path, false);
            let in_place = dice.one_in(2);
            disk.put(&path, New { content, link: false, mtime_ns, executable: false }, in_place);
            Some(format!("edits {path}"))
        }
        9 | 10 => {
            let path = some_dir(dice, disk).join(&ways.dir_name(dice));
            if is_dir(disk, &path) || path.depth() > 4 || !ways.makes_room(dice, disk, ledger, who, &path) {
                return None;
            }
            disk.make_dir(&path);
            Some(format!("makes dir {path}"))
        }
        11 | 12 => {
            let from = some(dice, disk, is_leaf)?;
            let file = ways.file_name(dice);
            let to = some_dir(dice, disk).join(&file);
            if from == to || is_dir(disk, &to) {
                return None;
            }
            ledger.let_go(disk, &to);
            ledger.handle(disk, &from, who);
            ledger.put(&to, who);
            disk.erase(&to);
            disk.rename(&from, &to);
            ledger.moved_to(disk, &to, who);
            Some(format!("renames {from} -> {to}"))
        }
        13 | 14 => {
            let from = some(dice, disk, |node| matches!(node, Node::Dir(_))).filter(|_| ways.moves_dirs)?;
            let to = some_dir(dice, disk).join(&ways.dir_name(dice));
            let is_within = to.starts_with(&from) || from.starts_with(&to);
            if is_within || !ways.makes_room(dice, disk, ledger, who, &to) {
                return None;
            }
            ledger.handle(disk, &from, who);
            disk.rename(&from, &to);
            ledger.moved_to(disk, &to, who);
            if dice.one_in(4) {
                disk.make_dir(&from);
                return Some(format!("moves dir {from} -> {to} and makes it anew"));
            }
            Some(format!("moves dir {from} -> {to}"))
        }
        15 | 16 => {
            let path = some(dice, disk, is_leaf)?;
            ledger.delete(disk, &path, who);
            disk.erase(&path);
            Some(format!("deletes {path}"))
        }
        17 => {
            let path = some(dice, disk, |node| matches!(node, Node::Dir(_)))?;
            ledger.delete(disk, &path, who);
            disk.erase(&path);
            Some(format!("deletes dir {path}"))
        }
        18 => {
            let path = some(dice, disk, |node| matches!(node, Node::File { .. }))?;
            ledger.handle(disk, &path, who);
            ledger.writes_to(&path, who);
            disk.touch(&path, mtime_ns, dice.one_in(2));
            Some(format!("touches {path}"))
        }
        _ => {
            let from = some(dice, disk, |node| matches!(node, Node::File { .. }))?;
            let file = ways.file_name(dice);
            let to = some_dir(dice, disk).join(&file);
            if disk.tree.contains_key(&to) {
                return None;
            }
            let content = disk.tree.get(&from)?.content()?.clone();
            ledger.copy(disk, &from, who);
            ledger.put(&to, who);
            disk.put(&to, New { content, link: false, mtime_ns, executable: false }, false);
            Some(format!("copies {from} -> {to}"))
        }
    }
}
