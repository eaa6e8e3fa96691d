//! Who works in a folder: creates, edits in place and by rename, moves directories, copies, deletes; in a part of the folder of their own,
//! where what must be there in the end is known to the byte, and in a part that all share, where nothing may be lost.
//!
//! Nobody asks a service anything: what is let go is what was really on the disk at that moment, since files are taken out by exchanging
//! them with what replaces them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::claims::Claims;
use crate::content::{BYTES_MIN, Version};
use crate::dice::Dice;
use crate::sight::{Found, Sight, found};
use crate::tale::tell;

/// The part of the folder in which everybody works.
pub(crate) const SHARED: &str = "shared";
/// A person's own files: fewer are added to, more are tidied up.
const OWN_FILES_MIN: usize = 6;
const OWN_FILES_MAX: usize = 45;
const SHARED_FILES_MAX: usize = 30;
/// A directory with more files is not deleted whole: that would rightly be held for a person's word.
const DELETED_FILES_MAX: usize = 5;

/// One person at one computer.
pub(crate) struct Person {
    pub(crate) name: String,
    writer: u8,
    root: PathBuf,
    /// On the same disk, not in the folder: what is being written, and what was taken out.
    desk: PathBuf,
    dice: Dice,
    count: u32,
    /// Whether what is saved is safe from a power cut before anything else is done.
    durable: bool,
    /// What must lie in the own part, by path in the folder.
    pub(crate) files: BTreeMap<PathBuf, Version>,
    dirs: BTreeSet<PathBuf>,
    /// Where it is told what they do.
    pub(crate) tale: PathBuf,
}

/// What somebody does with their own files.
type Deed = fn(&mut Person) -> Result<String>;

impl Person {
    /// Somebody whose folder is at `root`, in a directory where there is room for a desk and a tale.
    pub(crate) fn new(name: &str, writer: u8, root: PathBuf, dice: Dice, durable: bool, tale: &Path) -> Result<Self> {
        let desk = root.with_extension("desk");
        fs::create_dir_all(&desk).with_context(|| desk.display().to_string())?;
        let own = PathBuf::from(name);
        fs::create_dir_all(root.join(&own))?;
        fs::create_dir_all(root.join(SHARED))?;
        let tale = tale.to_owned();
        let (files, dirs) = (BTreeMap::new(), BTreeSet::from([own]));
        Ok(Self { name: name.into(), writer, root, desk, dice, count: 0, durable, files, dirs, tale })
    }

    /// Does one thing.
    pub(crate) fn work(&mut self, claims: &mut Claims) -> Result<()> {
        let done = if self.dice.below(10) < 7 { self.own() } else { self.shared(claims) };
        let done = done.with_context(|| format!("{} at work", self.name))?;
        tell(&self.tale, &format!("{}: {done}", self.name))
    }

    /// Whether the own part is on the disk as it was left.
    pub(crate) fn still_has_own_files(&self) -> Result<()> {
        for (path, version) in &self.files {
            let there = found(&self.root.join(path)).with_context(|| path.display().to_string())?;
            ensure!(
                there == Found::Whole(*version),
                "{} synced {version:?} at {}, where now is {there:?}",
                self.name,
                path.display()
            );
        }
        Ok(())
    }

    /// A version nobody has written.
    fn fresh(&mut self, bytes: u32) -> Version {
        self.count += 1;
        Version { writer: self.writer, number: self.count, base: self.dice.next(), bytes: bytes.max(BYTES_MIN) }
    }

    /// An edit of this version: mostly the same bytes, sometimes more or fewer.
    fn edited(&mut self, old: Version) -> Version {
        let bytes = match self.dice.below(4) {
            0 => old.bytes + self.dice.below(5000) as u32,
            1 => (old.bytes / 2).max(BYTES_MIN),
            _ => old.bytes,
        };
        Version { base: old.base, ..self.fresh(bytes) }
    }

    fn some_bytes(&mut self) -> u32 {
        match self.dice.below(20) {
            0 => 1_000_000 + self.dice.below(2_000_000) as u32,
            1..=4 => self.dice.below(200_000) as u32,
            5..=7 => BYTES_MIN,
            _ => self.dice.below(10_000) as u32,
        }
    }

    /// A path of its own, for something new in some directory.
    fn new_place(&mut self, kind: &str) -> PathBuf {
        self.count += 1;
        let dirs: Vec<&PathBuf> = self.dirs.iter().collect();
        let dir = self.dice.pick(&dirs).map_or_else(PathBuf::new, |dir| dir.to_path_buf());
        dir.join(format!("{kind} {}", self.count))
    }

    fn some_file(&mut self) -> Option<PathBuf> {
        let paths: Vec<&PathBuf> = self.files.keys().collect();
        self.dice.pick(&paths).map(|path| path.to_path_buf())
    }

    /// Some directory below the own part's top.
    fn some_dir(&mut self) -> Option<PathBuf> {
        let dirs: Vec<&PathBuf> = self.dirs.iter().filter(|dir| dir.components().count() > 1).collect();
        self.dice.pick(&dirs).map(|dir| dir.to_path_buf())
    }

    fn own(&mut self) -> Result<String> {
        const DEEDS: [Deed; 20] = [
            Person::create,
            Person::create,
            Person::create,
            Person::create_elsewhere,
            Person::edit_in_place,
            Person::edit_in_place,
            Person::edit_in_place,
            Person::edit_by_rename,
            Person::edit_by_rename,
            Person::edit_beside,
            Person::move_file,
            Person::move_file,
            Person::swap,
            Person::make_dir,
            Person::move_dir,
            Person::move_dir,
            Person::delete,
            Person::delete_dir,
            Person::copy,
            Person::file_becomes_dir,
        ];
        if self.files.len() < OWN_FILES_MIN {
            return self.create();
        }
        if self.files.len() > OWN_FILES_MAX {
            return self.delete();
        }
        let deed = DEEDS[self.dice.below(DEEDS.len())];
        deed(self)
    }

    /// As a program that writes piece by piece.
    fn create(&mut self) -> Result<String> {
        let bytes = self.some_bytes();
        let (path, version) = (self.new_place("file"), self.fresh(bytes));
        let content = version.content();
        let mut file = File::create_new(self.root.join(&path))?;
        for piece in content.chunks(64 << 10) {
            file.write_all(piece)?;
        }
        self.keep(&file, &[&path])?;
        self.files.insert(path.clone(), version);
        Ok(format!("creates {} {version:?}", path.display()))
    }

    fn create_elsewhere(&mut self) -> Result<String> {
        let bytes = self.some_bytes();
        let (path, version) = (self.new_place("file"), self.fresh(bytes));
        self.save(&self.desk.join("new"), &path, version)?;
        self.files.insert(path.clone(), version);
        Ok(format!("moves in {} {version:?}", path.display()))
    }

    fn edit_in_place(&mut self) -> Result<String> {
        let Some(path) = self.some_file() else { return self.create() };
        let old = self.files[&path];
        let version = self.edited(old);
        let content = version.content();
        let file = File::options().write(true).open(self.root.join(&path))?;
        file.set_len(u64::from(version.bytes))?;
        for (n, piece) in content.chunks(16 << 10).enumerate() {
            file.write_all_at(piece, (n * (16 << 10)) as u64)?;
        }
        self.keep(&file, &[&path])?;
        self.files.insert(path.clone(), version);
        Ok(format!("edits in place {} {version:?}", path.display()))
    }

    fn edit_by_rename(&mut self) -> Result<String> {
        self.edit_via(self.desk.join("new"))
    }

    /// With the unfinished file beside the old one, where it is seen.
    fn edit_beside(&mut self) -> Result<String> {
        let Some(path) = self.some_file() else { return self.create() };
        let beside = self.root.join(&path).with_extension("saving");
        self.edit_file_via(path, beside)
    }

    fn edit_via(&mut self, new: PathBuf) -> Result<String> {
        let Some(path) = self.some_file() else { return self.create() };
        self.edit_file_via(path, new)
    }

    fn edit_file_via(&mut self, path: PathBuf, new: PathBuf) -> Result<String> {
        let old = self.files[&path];
        let version = self.edited(old);
        self.save(&new, &path, version)?;
        self.files.insert(path.clone(), version);
        Ok(format!("replaces {} {version:?}", path.display()))
    }

    fn move_file(&mut self) -> Result<String> {
        let Some(from) = self.some_file() else { return self.create() };
        let to = self.new_place("moved");
        fs::rename(self.root.join(&from), self.root.join(&to))?;
        self.keep_names(&[&from, &to])?;
        self.moved(&from, &to);
        Ok(format!("moves {} to {}", from.display(), to.display()))
    }

    fn swap(&mut self) -> Result<String> {
        let (Some(one), Some(other)) = (self.some_file(), self.some_file()) else { return self.create() };
        if one == other {
            return self.move_file();
        }
        renameat_with(CWD, self.root.join(&one), CWD, self.root.join(&other), RenameFlags::EXCHANGE)?;
        self.keep_names(&[&one, &other])?;
        let (first, second) = (self.files[&one], self.files[&other]);
        self.files.extend([(one.clone(), second), (other.clone(), first)]);
        Ok(format!("swaps {} and {}", one.display(), other.display()))
    }

    fn make_dir(&mut self) -> Result<String> {
        let dir = self.new_place("dir");
        if dir.components().count() > 5 {
            return self.move_file();
        }
        fs::create_dir(self.root.join(&dir))?;
        self.keep_names(&[&dir])?;
        self.dirs.insert(dir.clone());
        Ok(format!("makes {}", dir.display()))
    }

    fn move_dir(&mut self) -> Result<String> {
        let Some(from) = self.some_dir() else { return self.make_dir() };
        let to = self.new_place("moved dir");
        if to.starts_with(&from) || to.components().count() > 6 {
            return self.move_file();
        }
        fs::rename(self.root.join(&from), self.root.join(&to))?;
        self.keep_names(&[&from, &to])?;
        self.moved(&from, &to);
        Ok(format!("moves {} to {}", from.display(), to.display()))
    }

    fn delete(&mut self) -> Result<String> {
        let Some(path) = self.some_file() else { return self.create() };
        fs::remove_file(self.root.join(&path))?;
        self.keep_names(&[&path])?;
        self.files.remove(&path);
        Ok(format!("deletes {}", path.display()))
    }

    fn delete_dir(&mut self) -> Result<String> {
        let Some(dir) = self.some_dir() else { return self.delete() };
        if self.files.keys().filter(|path| path.starts_with(&dir)).count() > DELETED_FILES_MAX {
            return self.move_dir();
        }
        fs::remove_dir_all(self.root.join(&dir))?;
        self.keep_names(&[&dir])?;
        self.files.retain(|path, _| !path.starts_with(&dir));
        self.dirs.retain(|path| !path.starts_with(&dir));
        Ok(format!("deletes {} and all in it", dir.display()))
    }

    fn copy(&mut self) -> Result<String> {
        let Some(from) = self.some_file() else { return self.create() };
        let to = self.new_place("copy");
        fs::copy(self.root.join(&from), self.root.join(&to))?;
        self.keep(&File::open(self.root.join(&to))?, &[&to])?;
        let version = self.files[&from];
        self.files.insert(to.clone(), version);
        Ok(format!("copies {} to {}", from.display(), to.display()))
    }

    /// A directory where a file was, and the file in it.
    fn file_becomes_dir(&mut self) -> Result<String> {
        let Some(path) = self.some_file() else { return self.create() };
        let (aside, inside) = (self.desk.join("aside"), path.join("was a file"));
        if inside.components().count() > 6 {
            return self.move_file();
        }
        fs::rename(self.root.join(&path), &aside)?;
        fs::create_dir(self.root.join(&path))?;
        fs::rename(&aside, self.root.join(&inside))?;
        self.keep_names(&[&path, &inside])?;
        self.dirs.insert(path.clone());
        self.moved(&path, &inside);
        Ok(format!("makes {} a directory", path.display()))
    }

    /// What lay at or below one path lies at another.
    fn moved(&mut self, from: &Path, to: &Path) {
        let there = |path: &PathBuf| match path.strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.to_path_buf(),
            Ok(rest) => to.join(rest),
            Err(_) => path.clone(),
        };
        let files = std::mem::take(&mut self.files);
        self.files = files.iter().map(|(path, version)| (there(path), *version)).collect();
        if !to.starts_with(from) {
            self.dirs = self.dirs.iter().map(there).collect();
        }
    }

    /// Writes a version at one path and moves it to its own.
    fn save(&self, new: &Path, path: &Path, version: Version) -> Result<()> {
        fs::write(new, version.content())?;
        if self.durable {
            File::open(new)?.sync_all()?;
        }
        fs::rename(new, self.root.join(path))?;
        self.keep_names(&[path])
    }

    /// Makes a file and its name durable, if this person does that.
    fn keep(&self, file: &File, paths: &[&Path]) -> Result<()> {
        if self.durable {
            file.sync_all()?;
        }
        self.keep_names(paths)
    }

    /// Makes durable what lies at these paths, and that it lies there.
    fn keep_names(&self, paths: &[&Path]) -> Result<()> {
        for path in paths.iter().filter(|_| self.durable) {
            let at = self.root.join(path);
            if let Some(dir) = at.parent().filter(|dir| dir.exists()) {
                File::open(dir)?.sync_all()?;
            }
        }
        Ok(())
    }
}

/// In the part that all share.
impl Person {
    fn shared(&mut self, claims: &mut Claims) -> Result<String> {
        let sight = Sight::of(&self.root.join(SHARED))?;
        let files: Vec<PathBuf> = sight.versions().map(|(path, _)| Path::new(SHARED).join(path)).collect();
        let some = self.dice.pick(&files).cloned();
        let to = self.shared_place();
        let Some(some) = some.filter(|_| files.len() > 3) else { return self.write_shared(&to, claims) };
        if files.len() > SHARED_FILES_MAX {
            return self.take_out(&some, claims);
        }
        match self.dice.below(10) {
            0..=2 => self.write_shared(&to, claims),
            3..=4 => self.write_shared(&some, claims),
            5..=6 => self.edit_shared_in_place(&some, claims),
            7 => self.move_shared(&some, &to),
            8 => {
                let room = Path::new(SHARED).join(format!("room {}", self.dice.below(4)));
                match some.parent().filter(|dir| *dir != Path::new(SHARED)) {
                    Some(dir) => self.move_shared(dir, &room),
                    None => self.move_shared(&some, &to),
                }
            }
            _ => self.take_out(&some, claims),
        }
    }

    /// One of few places, so that people meet.
    fn shared_place(&mut self) -> PathBuf {
        let (room, page) = (self.dice.below(4), self.dice.below(8));
        Path::new(SHARED).join(format!("room {room}/page {page}"))
    }

    /// Writes a new version here. What was here is what comes out.
    fn write_shared(&mut self, path: &Path, claims: &mut Claims) -> Result<String> {
        let bytes = if self.dice.one_in(4) { 20_000 + self.dice.below(300_000) } else { self.dice.below(3000) } as u32;
        let version = self.fresh(bytes);
        let (new, at) = (self.desk.join("new"), self.root.join(path));
        fs::write(&new, version.content())?;
        if self.durable {
            File::open(&new)?.sync_all()?;
        }
        // A service may be making or removing the directory at this moment.
        let moved_in = || {
            at.parent().map_or(Ok(()), fs::create_dir_all)?;
            match renameat_with(CWD, &new, CWD, &at, RenameFlags::NOREPLACE) {
                Ok(()) => Ok(true),
                Err(_) => renameat_with(CWD, &new, CWD, &at, RenameFlags::EXCHANGE).map(|()| false),
            }
            .map_err(std::io::Error::from)
        };
        let alone = (0..20).find_map(|_| moved_in().ok());
        let Some(alone) = alone else {
            fs::remove_file(&new)?;
            return Ok(format!("finds no way to {}", path.display()));
        };
        claims.made(version);
        self.keep_names(&[path])?;
        if !alone {
            claims.let_go_all(&new)?;
            remove(&new)?;
        }
        Ok(format!("writes {} {version:?}, {}", path.display(), if alone { "new" } else { "over another" }))
    }

    /// One write of the same length, so that no half of it can be seen.
    fn edit_shared_in_place(&mut self, path: &Path, claims: &mut Claims) -> Result<String> {
        let at = self.root.join(path);
        let Ok(file) = File::options().read(true).write(true).open(&at) else { return self.write_shared(path, claims) };
        let bytes = file.metadata()?.len();
        if bytes > 4096 {
            return self.write_shared(path, claims);
        }
        let mut content = vec![0; bytes as usize];
        file.read_exact_at(&mut content, 0)?;
        let old =
            Version::read(&content).map_err(|why| anyhow::anyhow!("o3: nobody wrote {}: {why}", path.display()))?;
        let version = Version { base: old.base, ..self.fresh(old.bytes) };
        file.write_all_at(&version.content(), 0)?;
        claims.let_go(old);
        claims.made(version);
        self.keep(&file, &[path])?;
        Ok(format!("edits in place {} {version:?} from {old:?}", path.display()))
    }

    fn move_shared(&mut self, from: &Path, to: &Path) -> Result<String> {
        if let Some(dir) = self.root.join(to).parent() {
            fs::create_dir_all(dir)?;
        }
        let moved = renameat_with(CWD, self.root.join(from), CWD, self.root.join(to), RenameFlags::NOREPLACE);
        if moved.is_ok() {
            self.keep_names(&[from, to])?;
        }
        Ok(format!("moves {} to {}: {moved:?}", from.display(), to.display()))
    }

    fn take_out(&mut self, path: &Path, claims: &mut Claims) -> Result<String> {
        let out = self.desk.join("out");
        if fs::rename(self.root.join(path), &out).is_err() {
            return Ok(format!("finds {} no more", path.display()));
        }
        self.keep_names(&[path])?;
        claims.let_go_all(&out)?;
        remove(&out)?;
        Ok(format!("deletes {}", path.display()))
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
