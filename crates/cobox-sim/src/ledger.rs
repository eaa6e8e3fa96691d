//! What people wrote, and what became of it: every content is unique, so it can be followed wherever it goes.

use std::collections::{BTreeMap, BTreeSet};

use cobox_core::path::FolderPath;

use crate::disk::{Bytes, Disk, Node};
use crate::ignore::Rules;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Every content ever written, with who wrote it where.
    written: BTreeMap<[u8; 32], String>,
    /// Who wrote to a place.
    writers: BTreeMap<FolderPath, BTreeSet<char>>,
    /// Contents that somebody who had them overwrote or deleted.
    let_go: BTreeSet<[u8; 32]>,
    /// Contents that were nowhere when all were equal.
    dead: BTreeSet<[u8; 32]>,
    /// Contents that several disks had when all were equal.
    shared: BTreeSet<[u8; 32]>,
    /// Contents that a person deleted, who, and where.
    deleted: BTreeMap<[u8; 32], (char, FolderPath)>,
    /// Who moved, copied or touched a content.
    handled: BTreeMap<[u8; 32], BTreeSet<char>>,
    /// Contents that were copied.
    copied: BTreeSet<[u8; 32]>,
    /// Contents that may be among what the program set aside: a machine that went back with its disk believes what it had told others since.
    aside: BTreeSet<[u8; 32]>,
    /// Contents that a person moved to where they are ignored, and so out of the folder.
    taken_out: BTreeSet<[u8; 32]>,
    /// Who moved a content.
    moved: BTreeSet<(char, [u8; 32])>,
    /// How often somebody moved, copied or touched a content.
    deeds: BTreeMap<[u8; 32], u64>,
    /// Where the one who deletes next has not seen yet what others did with the same bytes: that is not theirs to let go.
    pub(crate) unseen: BTreeSet<FolderPath>,
    /// Nothing was forgotten, nobody refused a deletion, and no write landed in a directory just as a person moved it.
    pub(crate) deletions_hold: bool,
    /// Nobody's memory was set back or lost.
    pub(crate) all_remember: bool,
    /// Somebody waits for a state. What was deleted in it may be there, for older ones are joined meanwhile.
    pub(crate) something_waits: bool,
    pub(crate) count: u64,
    /// How many names were made up that are used once.
    pub(crate) names: u64,
}

impl Ledger {
    pub(crate) fn wrote(&mut self, content: &Bytes, story: String) {
        self.written.insert(content.hash, story);
    }

    /// A person writes to a place.
    pub(crate) fn writes_to(&mut self, path: &FolderPath, who: char) {
        self.writers.entry(path.clone()).or_default().insert(who);
    }

    /// Whether others than this person, and than whoever wrote this content, have written to a place, or touched what was there: one of
    /// several versions may have come of it.
    pub(crate) fn others_wrote_to(&self, path: &FolderPath, content: &[u8; 32], who: char) -> bool {
        let author = self.written.get(content).and_then(|story| story.chars().next());
        let is_other = |writer: &char| *writer != who && Some(*writer) != author;
        self.writers.get(path).is_some_and(|writers| writers.iter().any(is_other))
    }

    /// A person overwrites or deletes what stands at and below a path of their disk.
    pub(crate) fn let_go(&mut self, disk: &Disk, path: &FolderPath) {
        let contents = disk.below(path).into_iter().filter_map(|path| Some(disk.tree.get(&path)?.content()?.hash));
        self.let_go.extend(contents);
    }

    /// A person deletes what stands at and below a path.
    pub(crate) fn delete(&mut self, disk: &Disk, path: &FolderPath, who: char) {
        if self.unseen.contains(path) {
            return;
        }
        self.let_go(disk, path);
        let content = |path: &FolderPath| disk.tree.get(path).and_then(Node::content).map(|content| content.hash);
        let below: BTreeSet<FolderPath> = disk.below(path).into_iter().collect();
        // While the program moves a version to another name by writing it there, a disk has it twice: one of them stays.
        let stays: BTreeSet<[u8; 32]> =
            disk.tree.keys().filter(|path| !below.contains(*path)).filter_map(content).collect();
        // Two people may each delete one version of a file while the program gives the place of one to the other.
        let is_copy = |path: &FolderPath| path.to_string().contains("(conflict ");
        for path in below.iter().filter(|path| !is_copy(path)) {
            if let Some(hash) = content(path).filter(|hash| !stays.contains(hash)) {
                self.deleted.insert(hash, (who, path.clone()));
            }
        }
    }

    /// A person puts something where they may just have deleted something else: then they replaced it.
    pub(crate) fn put(&mut self, path: &FolderPath, who: char) {
        self.deleted.retain(|_, (other, place)| (*other, &*place) != (who, path));
    }

    /// Everything that this disk has and `newer` may lose by being set back to it.
    pub(crate) fn set_back(&mut self, newer: &Disk, older: &Disk) {
        let old: BTreeSet<[u8; 32]> = older.tree.values().filter_map(Node::content).map(|c| c.hash).collect();
        let lost =
            newer.tree.values().filter_map(Node::content).chain(newer.kept_contents()).map(|content| content.hash);
        self.let_go.extend(lost.filter(|hash| !old.contains(hash)));
    }

    /// These need only be among what was set aside: a machine went back to before it told others that they are gone.
    pub(crate) fn may_be_aside(&mut self, contents: impl IntoIterator<Item = Bytes>) {
        self.aside.extend(contents.into_iter().map(|content| content.hash));
    }

    /// What this disk holds may be unknown to the memory beside it: then it is as good as written today.
    pub(crate) fn may_be_new(&mut self, disk: &Disk) {
        self.may_live(disk.tree.values().filter_map(Node::content).cloned());
    }

    /// These may be there again although they were nowhere: nobody knows of their deletion any more, or a person who was set back
    /// did something with the file.
    pub(crate) fn may_live(&mut self, contents: impl IntoIterator<Item = Bytes>) {
        for content in contents {
            self.dead.remove(&content.hash);
        }
    }

    /// A person moves or copies what stands at and below a path, or changes its time: whoever deleted it meanwhile did not know of that.
    pub(crate) fn handle(&mut self, disk: &Disk, path: &FolderPath, who: char) {
        for content in disk.below(path).iter().filter_map(|path| disk.tree.get(path)?.content()) {
            self.handled.entry(content.hash).or_default().insert(who);
            *self.deeds.entry(content.hash).or_default() += 1;
            self.may_live([content.clone()]);
        }
    }

    /// How often somebody moved, copied or touched a content.
    pub(crate) fn deeds(&self, content: &[u8; 32]) -> u64 {
        self.deeds.get(content).copied().unwrap_or_default()
    }

    /// Whether nobody else ever moved, copied, touched or let go of a content, nor did this person after so many deeds.
    pub(crate) fn is_all_that_was_done(&self, content: &[u8; 32], who: char, deeds: u64) -> bool {
        let alone = self.handled.get(content).is_some_and(|all| all.iter().all(|other| *other == who));
        alone && self.deeds(content) == deeds && !self.let_go.contains(content) && !self.copied.contains(content)
    }

    /// A person copies a file: to delete one of the two is not to delete the content.
    pub(crate) fn copy(&mut self, disk: &Disk, path: &FolderPath, who: char) {
        self.handle(disk, path, who);
        self.copied.extend(disk.tree.get(path).and_then(|node| node.content()).map(|content| content.hash));
    }

    /// A person has moved something to this path. Where it is ignored, it has left the folder.
    pub(crate) fn moved_to(&mut self, disk: &Disk, path: &FolderPath, who: char) {
        let contents = disk.below(path).into_iter().filter_map(|path| Some(disk.tree.get(&path)?.content()?.hash));
        self.moved.extend(contents.map(|hash| (who, hash)));
        self.take_out(disk, path, who);
    }

    /// Everybody rests. What a person moved to where rules ignore it now, be they theirs or others', may never have been seen there.
    pub(crate) fn rested(&mut self, disk: &Disk, who: char) {
        self.take_out(disk, &FolderPath::root(), who);
    }

    /// What is ignored at and below this path, and came there by this person's moving it.
    fn take_out(&mut self, disk: &Disk, path: &FolderPath, who: char) {
        let rules = Rules::of(disk);
        let outside = disk.below(path).into_iter().filter(|path| rules.ignores(path, disk.has_dir(path)));
        let contents = outside.filter_map(|path| Some(disk.tree.get(&path)?.content()?.hash));
        self.taken_out.extend(contents.filter(|hash| self.moved.contains(&(who, *hash))));
    }

    fn must_be_gone(&self, hash: &[u8; 32]) -> bool {
        let by_others = |who: &char| self.handled.get(hash).is_some_and(|all| all.iter().any(|other| other != who));
        self.deletions_hold
            && !self.copied.contains(hash)
            && self.deleted.get(hash).is_some_and(|(who, _)| !by_others(who))
    }

    /// What this disk has and is not among these may be lost.
    pub(crate) fn let_go_unless(&mut self, disk: &Disk, known: &[Bytes]) {
        let here = disk.tree.values().filter_map(Node::content).filter(|content| !known.contains(content));
        self.let_go.extend(here.map(|content| content.hash));
    }

    /// What only the program's own keeping has is lost when its memory is set back.
    pub(crate) fn let_go_kept(&mut self, disk: &Disk) {
        self.let_go.extend(disk.kept_contents().map(|content| content.hash));
    }

    /// O1, O3 and O4 on the disks of all, with what is ignored there, when they agree; `left_out` is what the folder has and no disk
    /// needs to show.
    pub(crate) fn check(
        &mut self,
        disks: &[(&Disk, BTreeSet<FolderPath>)],
        left_out: Vec<Bytes>,
    ) -> Result<(), String> {
        let left_out: BTreeSet<[u8; 32]> = left_out.into_iter().map(|content| content.hash).collect();
        let mut here = left_out.clone();
        let all =
            disks.iter().flat_map(|(disk, ignored)| disk.tree.iter().map(move |(path, node)| (path, node, ignored)));
        for (path, node, ignored) in all {
            let Some(content) = node.content() else { continue };
            if !self.written.contains_key(&content.hash) {
                return Err(format!("O3: {path} shows what nobody wrote"));
            }
            // What a person has ignored since it was written there is theirs alone.
            if self.dead.contains(&content.hash) && !ignored.contains(path) && !self.something_waits {
                return Err(format!("O4: {path} is back: {}", self.written[&content.hash]));
            }
            if self.must_be_gone(&content.hash) {
                return Err(format!("O4: {path} was deleted and is there: {}", self.written[&content.hash]));
            }
            here.insert(content.hash);
        }
        let (mut shared, mut shown) = (BTreeSet::new(), left_out);
        let mut once = BTreeSet::new();
        for (disk, ignored) in disks {
            let contents = |path: &FolderPath, node: &Node| Some((node.content()?.hash, ignored.contains(path)));
            let on_disk: BTreeSet<([u8; 32], bool)> =
                disk.tree.iter().filter_map(|(path, node)| contents(path, node)).collect();
            shown.extend(on_disk.iter().filter(|(_, is_ignored)| !is_ignored).map(|(hash, _)| *hash));
            let hashes: BTreeSet<[u8; 32]> = on_disk.into_iter().map(|(hash, _)| hash).collect();
            shared.extend(hashes.intersection(&once).copied());
            once.extend(hashes);
        }
        // Others had it, nobody deleted it, and now there is it only where somebody ignores it.
        let is_meant = |hash: &[u8; 32]| self.let_go.contains(hash) || self.taken_out.contains(hash);
        let taken = |hash: &&[u8; 32]| !shared.contains(*hash) && !shown.contains(*hash) && !is_meant(hash);
        if let Some(hash) = self.shared.iter().filter(|hash| self.all_remember && here.contains(*hash)).find(taken) {
            return Err(format!("O1: taken from others what {}", self.written[hash]));
        }
        self.shared = shared;
        let kept: BTreeSet<[u8; 32]> =
            disks.iter().flat_map(|(disk, _)| disk.kept_contents()).map(|content| content.hash).collect();
        for (hash, story) in &self.written {
            let is_aside = self.aside.contains(hash) && kept.contains(hash);
            if !here.contains(hash) && !self.let_go.contains(hash) && !is_aside {
                return Err(format!("O1: lost what {story}"));
            }
        }
        let is_gone = |hash: &&[u8; 32]| !here.contains(*hash) && !self.something_waits;
        self.dead = self.written.keys().filter(is_gone).copied().collect();
        Ok(())
    }
}
