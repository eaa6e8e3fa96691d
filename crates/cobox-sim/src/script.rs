//! A world that does what a story says instead of what dice say. Members are numbers, paths are texts.

use cobox_core::engine::{Engine, Input};
use cobox_core::path::FolderPath;
use cobox_core::state::Kind;
use cobox_proto::id::Inode;

use crate::cast::Cast;
use crate::disk::{Bytes, Disk, New};
use crate::links::End;
use crate::world::{Options, World};

fn at(path: &str) -> FolderPath {
    FolderPath::parse(path).expect("paths of stories are good")
}

impl<'c> World<'c> {
    /// A world without faults: `members` run and know each other.
    pub fn of(cast: &'c Cast, members: usize) -> Self {
        let mut world = Self::new(cast, 0, Options::default());
        world.members = (0..members).map(|n| crate::member::Member::at(cast, &cast.ops, n)).collect();
        world.faults.scripted = true;
        for member in 0..members {
            world.start(member);
        }
        world.meet();
        world
    }

    /// A world without faults in which people can send each other away and keys grow old.
    pub fn of_people(cast: &'c Cast, members: usize) -> Self {
        let mut world = Self::new(cast, 0, Options::default());
        let member = |n| crate::member::Member::at(cast, &cast.ops, n).with_a_log(true);
        world.members = (0..members).map(member).collect();
        (world.faults.scripted, world.faults.membership) = (true, true);
        for member in 0..members {
            world.start(member);
        }
        world.meet();
        world
    }

    /// So many days pass, one after the other; what falls due is done.
    pub fn days(&mut self, days: u64) {
        for _ in 0..days {
            self.pass(24 * 60 * 60 * 1000);
            self.settle().expect("it comes to rest");
        }
    }

    /// Somebody sends somebody away; whether they may and the machine did not stop before.
    pub fn send_away(&mut self, by: usize, whom: usize) -> bool {
        let target = self.members[whom].device();
        let done = self.members[by].send_away(self.now_ms, target);
        self.members[by].carry_out(self.now_ms);
        self.tidy();
        done
    }

    /// Whether a member knows that another belongs to the folder.
    pub fn belongs(&self, by: usize, whom: usize) -> bool {
        self.members[by].roster().is_some_and(|roster| roster.device(&self.members[whom].device()).is_some())
    }

    /// How many epochs a member has the keys of.
    pub fn epochs(&self, member: usize) -> usize {
        self.members[member].keys().epochs().count()
    }

    /// [`Self::agree`] of those who belong to the folder; and whoever does not knows that, and has no keys of today.
    pub fn agree_on_people(&mut self) {
        self.agree();
        if let Err(why) = self.all_know_who_belongs() {
            panic!("{why}");
        }
    }

    fn disk(&mut self, member: usize) -> &mut Disk {
        self.now_ms += 5_000;
        &mut self.members[member].durable.disk
    }

    /// A person writes a file, with the directories above it.
    pub fn write(&mut self, member: usize, path: &str, text: &str) {
        let (path, mtime_ns) = (at(path), self.now_ms as i64 * 1_000_000);
        let disk = self.disk(member);
        let above: Vec<FolderPath> = std::iter::successors(path.parent(), FolderPath::parent).collect();
        for dir in above.into_iter().rev() {
            if !disk.has_dir(&dir) {
                disk.make_dir(&dir);
            }
        }
        disk.put(&path, New { content: Bytes::new(text.as_bytes()), link: false, mtime_ns, executable: false }, true);
    }

    /// A person makes a directory.
    pub fn make_dir(&mut self, member: usize, path: &str) {
        self.disk(member).make_dir(&at(path));
    }

    /// A person renames or moves a file or directory over whatever is there.
    pub fn rename(&mut self, member: usize, from: &str, to: &str) {
        let disk = self.disk(member);
        disk.erase(&at(to));
        disk.rename(&at(from), &at(to));
    }

    /// A person makes a file executable.
    pub fn make_executable(&mut self, member: usize, path: &str) {
        let mtime_ns = self.now_ms as i64 * 1_000_000;
        self.disk(member).touch(&at(path), mtime_ns, true);
    }

    /// A person deletes a file or directory.
    pub fn delete(&mut self, member: usize, path: &str) {
        self.disk(member).erase(&at(path));
    }

    /// A place can not be listed, or is ignored, from now on.
    pub fn hide(&mut self, member: usize, path: &str) {
        self.disk(member).hidden.insert(at(path));
    }

    /// What a file holds.
    pub fn read(&self, member: usize, path: &str) -> Option<String> {
        let content = self.members[member].durable.disk.tree.get(&at(path))?.content()?;
        Some(String::from_utf8_lossy(&content.bytes).into_owned())
    }

    /// Every path on a disk.
    pub fn paths(&self, member: usize) -> Vec<String> {
        self.members[member].durable.disk.tree.keys().map(ToString::to_string).collect()
    }

    /// All members look at their disks, and talk until nothing is left to do.
    pub fn sync(&mut self) {
        for member in 0..self.members.len() {
            self.members[member].look_at(Vec::new());
        }
        self.settle().expect("it comes to rest");
    }

    /// A member looks at one place.
    pub fn look_there(&mut self, member: usize, path: &str) {
        self.members[member].look_at(vec![at(path)]);
    }

    /// They do what is at hand. No time passes, and nobody looks at a disk unasked.
    pub fn exchange(&mut self) {
        loop {
            let busy = (0..self.members.len()).find(|n| self.members[*n].has_work());
            match busy {
                _ if self.queues.values().any(|queue| !queue.is_empty()) => self.deliver(),
                Some(member) => self.work(member),
                None => return,
            }
            self.tidy();
        }
    }

    /// Which item a member's folder shows at a place.
    pub fn item(&self, member: usize, path: &str) -> Option<Inode> {
        self.engine(member).leaf_at(&at(path)).map(|(inode, ..)| inode)
    }

    /// They talk until nothing is left to do, and nobody looks at a disk unless the program itself wants to.
    pub fn settle_only(&mut self) {
        self.settle().expect("it comes to rest");
    }

    /// [`Self::sync`], and all must be equal then.
    pub fn agree(&mut self) {
        self.sync();
        if let Err(why) = self.members_agree() {
            panic!("{why}");
        }
    }

    /// One more joins, with an empty disk.
    pub fn add_member(&mut self) {
        let member = self.members.len();
        self.members.push(crate::member::Member::at(self.cast, &self.cast.ops, member));
        self.start(member);
    }

    /// A running machine wakes up a second time from one image of memory and disk: as the newest member.
    pub fn twin(&mut self, member: usize) {
        self.wake_twice(member);
        self.tidy();
    }

    /// All talk to each other again.
    pub fn meet(&mut self) {
        for a in 0..self.members.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
        self.tidy();
    }

    /// Two talk to each other.
    pub fn introduce(&mut self, a: usize, b: usize) {
        self.connect(a, b);
        self.tidy();
    }

    /// Nobody talks to anybody.
    pub fn part(&mut self) {
        let ends: Vec<End> = self.other.keys().copied().collect();
        for end in ends {
            self.close(end);
        }
    }

    /// The program stops; the disk stays.
    pub fn stop(&mut self, member: usize) {
        self.members[member].stop();
        self.tidy();
    }

    /// It will stop after so many more durable things.
    pub fn stop_after(&mut self, member: usize, durable: u32) {
        self.members[member].stop_after = Some(durable);
    }

    /// It will not stop by itself any more.
    pub fn stop_no_more(&mut self, member: usize) {
        self.members[member].stop_after = None;
    }

    /// Whether it runs.
    pub fn runs(&self, member: usize) -> bool {
        self.members[member].live.is_some()
    }

    /// Its clock shows another time than the world's from now on.
    pub fn set_clock(&mut self, member: usize, skew_ms: i64) {
        self.members[member].machine.skew_ms = skew_ms;
    }

    /// It looks at its disk, and the listing is empty and no error.
    pub fn look_and_see_nothing(&mut self, member: usize) {
        self.members[member].machine.sees_nothing_once = true;
        self.members[member].look_at(Vec::new());
        self.settle().expect("it comes to rest");
    }

    /// It starts again.
    pub fn start(&mut self, member: usize) {
        self.start_if_stopped(member);
        self.tidy();
    }

    /// A backup of the machine, with or without the folder, to go back to.
    pub fn back_up(&self, member: usize) -> Backup {
        Backup(self.members[member].durable.clone())
    }

    /// The machine is set back; the folder's files too if `with_disk`.
    pub fn set_back(&mut self, member: usize, backup: Backup, with_disk: bool) {
        self.stop(member);
        let newer = std::mem::replace(&mut self.members[member].durable, backup.0);
        if !with_disk {
            self.members[member].durable.disk = newer.disk;
        }
    }

    /// Somebody answers whether held deletions are meant.
    pub fn decide(&mut self, member: usize, approve: bool) {
        self.members[member].tell_engine(self.now_ms, Input::Decide { approve });
        self.tidy();
    }

    /// A running member's engine.
    pub fn engine(&self, member: usize) -> &Engine {
        &self.members[member].live.as_ref().expect("it runs").engine
    }

    /// How many heads a member has published.
    pub fn published(&self, member: usize) -> u64 {
        self.members[member].published
    }

    /// How many files and links a disk has.
    pub fn files(&self, member: usize) -> usize {
        self.members[member].durable.disk.tree.values().filter(|node| node.content().is_some()).count()
    }

    /// How many files the engine believes to be on the disk.
    pub fn synced_files(&self, member: usize) -> usize {
        self.engine(member).synced().values().filter(|synced| synced.kind != Kind::Dir).count()
    }

    /// How many sealed blocks are kept.
    pub fn blocks(&self, member: usize) -> usize {
        self.members[member].durable.block_count()
    }

    /// How many versions were set aside by the program.
    pub fn set_aside(&self, member: usize) -> usize {
        self.members[member].durable.disk.kept.len()
    }
}

/// What a machine was once.
#[derive(Debug)]
pub struct Backup(crate::member::Durable);
