//! What a disk calls an entry that it can not hold under its name: `foo~2` beside `Foo` where case is ignored, `a%3Ab` for `a:b`
//! on Windows disks. The folder's names never change because of one machine's disk (l2); the table is one machine's.
//!
//! A name is mapped before its file is made, so that after a crash no file lies under a name nobody knows. On ordinary disks the table
//! stays empty and names are what they are.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::codec::{DecodeError, Reader, Writer};
use cobox_proto::id::Cid;
use cobox_proto::limits::NAME_BYTES_MAX;

use crate::path::{FolderPath, Name, NameError};

const VERSION: u8 = 1;
const PATH_COMPONENTS_MAX: usize = 4096;

/// What a disk can and can not do: found out by trying, or claimed by tests and the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskKind {
    /// `A` and `a` are one file: APFS, NTFS, FAT.
    pub folds_case: bool,
    /// `é` in one letter and in two are one file: APFS, HFS+.
    pub folds_form: bool,
    /// `:`, trailing dots and `CON` can not be stored: NTFS, FAT.
    pub refuses_windows_names: bool,
    /// Two names can be swapped at one moment.
    pub exchanges: bool,
    /// A rename can be told not to replace.
    pub renames_without_replacing: bool,
}

impl DiskKind {
    /// An ordinary Linux disk.
    pub const ORDINARY: Self = Self {
        folds_case: false,
        folds_form: false,
        refuses_windows_names: false,
        exchanges: true,
        renames_without_replacing: true,
    };

    /// Whether a name finds an entry that is spelled otherwise.
    pub fn folds_names(self) -> bool {
        self.folds_case || self.folds_form
    }

    /// Whether some names must be mapped to others.
    pub fn maps_names(self) -> bool {
        self.folds_names() || self.refuses_windows_names
    }
}

/// Both directions, by directory. Directories are named as the folder names them.
#[derive(Debug, Clone, Default)]
pub struct Names {
    kind: Option<DiskKind>,
    local: BTreeMap<FolderPath, BTreeMap<Name, String>>,
}

impl Names {
    /// An empty table.
    pub fn new(kind: DiskKind) -> Self {
        Self { kind: Some(kind), local: BTreeMap::new() }
    }

    /// What the disk calls an entry of a directory.
    pub fn local<'a>(&'a self, dir: &FolderPath, name: &'a Name) -> &'a str {
        if self.local.is_empty() {
            return name.as_str();
        }
        self.local.get(dir).and_then(|names| names.get(name)).map_or(name.as_str(), String::as_str)
    }

    /// What the disk calls a path, from the folder's root on.
    pub fn local_path<'a>(&self, path: &'a FolderPath) -> Cow<'a, str> {
        if self.local.is_empty() {
            return path.as_str().into();
        }
        let mut above = FolderPath::root();
        let mut on_disk = String::new();
        for name in path.iter() {
            if !on_disk.is_empty() {
                on_disk.push('/');
            }
            on_disk.push_str(self.local(&above, &name));
            above = above.join(&name);
        }
        on_disk.into()
    }

    /// What the folder calls an entry on disk; `None` if that name is mapped to another entry already.
    pub fn shared(&self, dir: &FolderPath, local: &str) -> Result<Option<Name>, NameError> {
        let Some(names) = self.local.get(dir) else { return Name::new(local).map(Some) };
        if let Some((name, _)) = names.iter().find(|(_, mapped)| *mapped == local) {
            return Ok(Some(name.clone()));
        }
        let name = Name::new(local)?;
        Ok(if names.contains_key(&name) { None } else { Some(name) })
    }

    /// A name that this disk can hold for an entry beside those that are `present`, which are names on disk.
    pub fn choose(&self, dir: &FolderPath, name: &Name, present: &[String]) -> String {
        let Some(kind) = self.kind else { return name.as_str().to_owned() };
        let mapped_to_others: Vec<&String> = self.local.get(dir).map_or_else(Vec::new, |names| {
            names.iter().filter(|(shared, _)| *shared != name).map(|(_, local)| local).collect()
        });
        let base =
            if kind.refuses_windows_names { escape_for_windows(name.as_str()) } else { name.as_str().to_owned() };
        let key = |text: &str| comparison_key(kind, text);
        let mut taken: BTreeSet<String> = mapped_to_others.iter().map(|local| key(local)).collect();
        // The entry itself, under this very name, is in nobody's way.
        taken.extend(present.iter().filter(|local| **local != base).map(|local| key(local)));
        if mapped_to_others.iter().all(|local| **local != base) && !taken.contains(&key(&base)) {
            return base;
        }
        (2..)
            .map(|number| numbered(&base, number))
            .find(|candidate| !taken.contains(&key(candidate)))
            .expect("numbers do not end before the names of a directory do")
    }

    /// Whether an entry can be called by its own name beside the others that are `present`.
    pub fn can_have_its_own(&self, dir: &FolderPath, name: &Name, present: &[String]) -> bool {
        let own = name.as_str();
        self.choose(dir, name, present) == own && present.iter().all(|other| other != own)
    }

    /// The entries of a directory that bear their own names on disk although the table has others for them, of which no file is there: a
    /// stop came between the renaming and the table, or a person renamed them. Of `present`, which are all names on disk.
    pub fn with_their_own<'p>(&self, dir: &FolderPath, present: impl Iterator<Item = &'p str>) -> Vec<Name> {
        let Some(names) = self.local.get(dir) else { return vec![] };
        let present: BTreeSet<&str> = present.collect();
        let mapped: BTreeSet<&str> = names.values().map(String::as_str).collect();
        let has_its_own = |(name, local): &(&Name, &String)| {
            let own = name.as_str();
            present.contains(own) && !mapped.contains(own) && !present.contains(local.as_str())
        };
        names.iter().filter(has_its_own).map(|(name, _)| name.clone()).collect()
    }

    /// Records what an entry is called; `true` if the table changed.
    pub fn bind(&mut self, dir: &FolderPath, name: &Name, local: &str) -> bool {
        if local == name.as_str() {
            return self.unbind(dir, name);
        }
        let names = self.local.entry(dir.clone()).or_default();
        names.insert(name.clone(), local.to_owned()).as_deref() != Some(local)
    }

    /// Forgets an entry; `true` if the table changed.
    pub fn unbind(&mut self, dir: &FolderPath, name: &Name) -> bool {
        let Some(names) = self.local.get_mut(dir) else { return false };
        let known = names.remove(name).is_some();
        if names.is_empty() {
            self.local.remove(dir);
        }
        known
    }

    /// What is mapped below a directory is so below another too; `true` if the table changed.
    pub fn copy_dir(&mut self, from: &FolderPath, to: &FolderPath) -> bool {
        let below: Vec<_> =
            self.local.iter().filter(|(dir, _)| dir.starts_with(from)).map(|(d, n)| (d.clone(), n.clone())).collect();
        let changed = !below.is_empty();
        for (dir, names) in below {
            self.local.extend(dir.rebased(from, to).map(|dir| (dir, names)));
        }
        changed
    }

    /// Forgets what is mapped below a directory; `true` if the table changed.
    pub fn drop_dir(&mut self, dir: &FolderPath) -> bool {
        let before = self.local.len();
        self.local.retain(|mapped, _| !mapped.starts_with(dir));
        self.local.len() != before
    }

    /// Forgets an entry that has been moved, and what is mapped below it if it is a directory; `true` if the table changed.
    pub fn moved_away(&mut self, from: &FolderPath, is_dir: bool) -> bool {
        let dropped = is_dir && self.drop_dir(from);
        let (Some(parent), Some(name)) = (from.parent(), from.name()) else { return dropped };
        self.unbind(&parent, &name) || dropped
    }

    /// Reads a table that was written for this kind of disk.
    pub fn decode(kind: DiskKind, bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes).map(|local| Self { kind: Some(kind), local })
    }

    /// The table as it is kept.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        let rows = self.local.iter().flat_map(|(dir, names)| names.iter().map(move |(name, local)| (dir, name, local)));
        w.varint(self.local.values().map(BTreeMap::len).sum::<usize>() as u64);
        for (dir, name, local) in rows {
            w.list(&dir.iter().collect::<Vec<_>>()).put(name).text(local);
        }
        let sum = Cid::of(w.as_slice());
        w.put(&sum);
        w.into_bytes()
    }
}

fn decode(bytes: &[u8]) -> Result<BTreeMap<FolderPath, BTreeMap<Name, String>>, DecodeError> {
    let damaged = DecodeError::BadValue { what: "table of names", found: bytes.len() as u64 };
    let split = bytes.len().checked_sub(Cid::LEN).ok_or_else(|| damaged.clone())?;
    let (body, sum) = bytes.split_at(split);
    if Cid::of(body).as_bytes() != sum {
        return Err(damaged);
    }
    let mut r = Reader::new(body);
    if r.u8()? != VERSION {
        return Err(damaged);
    }
    let mut table: BTreeMap<FolderPath, BTreeMap<Name, String>> = BTreeMap::new();
    for _ in 0..r.varint()? {
        let dir = FolderPath::new(&r.list::<Name>(PATH_COMPONENTS_MAX, "directory")?);
        let name = r.get::<Name>()?;
        let local = r.text(NAME_BYTES_MAX, "name on disk")?.to_owned();
        table.entry(dir).or_default().insert(name, local);
    }
    r.finish()?;
    Ok(table)
}

/// `report~2.odt`: numbered before the extension, cut so that it fits a disk's 255 bytes.
pub fn numbered(name: &str, number: u32) -> String {
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 16 => name.split_at(dot),
        _ => (name, ""),
    };
    let mark = format!("~{number}");
    let mut end = stem.len().min(NAME_BYTES_MAX - extension.len() - mark.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}{extension}", &stem[..end])
}

fn comparison_key(kind: DiskKind, local: &str) -> String {
    match Name::new(local) {
        // One key for case and form: a disk that folds one of them gets a number more often than needed, never too seldom.
        Ok(name) if kind.folds_names() => name.comparison_key().into(),
        _ => local.to_owned(),
    }
}

/// Device names of DOS, reserved with any extension.
const RESERVED: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2",
    "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Percent-encodes what NTFS and FAT refuse: some signs anywhere, dots and spaces at the end, the first letter of a device's name.
fn escape_for_windows(name: &str) -> String {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    // Windows takes superscript digits for digits here.
    let stem = stem.replace('\u{b9}', "1").replace('\u{b2}', "2").replace('\u{b3}', "3");
    let reserved = RESERVED.contains(&stem.as_str());
    let kept_to = name.trim_end_matches(['.', ' ']).len();
    let mut escaped = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        let refused = matches!(c, '<' | '>' | ':' | '"' | '\\' | '|' | '?' | '*') || (c as u32) < 32;
        if refused || at >= kept_to || (reserved && at == 0) {
            escaped.push_str(&format!("%{:02X}", c as u32));
        } else {
            escaped.push(c);
        }
    }
    if escaped.len() > NAME_BYTES_MAX { numbered(&escaped, 1) } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDING: DiskKind = DiskKind { folds_case: true, folds_form: true, ..DiskKind::ORDINARY };
    const WINDOWS: DiskKind = DiskKind { folds_case: true, refuses_windows_names: true, ..DiskKind::ORDINARY };

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn l2_a_path_on_disk_is_made_of_what_each_part_is_called_there() {
        let mut names = Names::new(FOLDING);
        let deep = FolderPath::parse("a/B/c").unwrap();
        assert_eq!(names.local_path(&deep), "a/B/c");
        assert_eq!(names.local_path(&FolderPath::root()), "");
        names.bind(&FolderPath::parse("a").unwrap(), &name("B"), "B~2");
        assert_eq!(names.local_path(&deep), "a/B~2/c");
        assert_eq!(names.local_path(&FolderPath::parse("B").unwrap()), "B");
        assert_eq!(names.local_path(&FolderPath::root()), "");
    }

    #[test]
    fn l2_colliding_names_get_numbers_that_stay() {
        let root = FolderPath::root();
        let mut names = Names::new(FOLDING);
        let present = ["Foo.txt".to_owned(), "caf\u{e9}".to_owned()];
        assert_eq!(names.choose(&root, &name("bar"), &present), "bar");
        assert_eq!(names.choose(&root, &name("Foo.txt"), &present), "Foo.txt");
        assert_eq!(names.choose(&root, &name("foo.TXT"), &present), "foo~2.TXT");
        assert_eq!(names.choose(&root, &name("cafe\u{301}"), &present), "cafe\u{301}~2");
        assert!(names.bind(&root, &name("foo.txt"), "foo~2.txt"));
        assert_eq!(names.local(&root, &name("foo.txt")), "foo~2.txt");
        assert_eq!(names.shared(&root, "foo~2.txt"), Ok(Some(name("foo.txt"))));
        assert_eq!(names.choose(&root, &name("FOO.txt"), &present), "FOO~3.txt");
        assert_eq!(names.shared(&root, "foo.txt"), Ok(None), "another file under a name that is mapped");
        // The mapped name itself arrives as a name of its own.
        assert_eq!(names.choose(&root, &name("foo~2.txt"), &present), "foo~2~2.txt");
    }

    #[test]
    fn l1_an_entry_with_its_own_name_is_told_from_one_that_took_it() {
        let root = FolderPath::root();
        let mut names = Names::new(FOLDING);
        names.bind(&root, &name("foo"), "foo~2");
        names.bind(&root, &name("foo~2"), "foo~2~2");
        let with_their_own = |present: &[&str]| names.with_their_own(&root, present.iter().copied());
        assert_eq!(with_their_own(&["Foo", "foo~2", "foo~2~2"]), []);
        assert_eq!(with_their_own(&["foo", "foo~2", "foo~2~2"]), [], "another file took the name");
        assert_eq!(with_their_own(&["foo", "foo~2~2"]), [name("foo")]);
        assert_eq!(with_their_own(&["Foo", "foo~2"]), [], "that is the other one's file");
        assert_eq!(with_their_own(&["Foo", "foo~2~2"]), [], "gone, or not made yet");
        let elsewhere = FolderPath::parse("a").unwrap();
        assert_eq!(names.with_their_own(&elsewhere, ["foo"].into_iter()), []);
    }

    #[test]
    fn l2_names_windows_refuses_are_escaped() {
        let escapes = [
            ("a:b", "a%3Ab"),
            ("con", "%63on"),
            ("NUL.tar.gz", "%4EUL.tar.gz"),
            ("com\u{b9}.txt", "%63om\u{b9}.txt"),
            ("dot.", "dot%2E"),
            ("space  ", "space%20%20"),
            ("a\nb", "a%0Ab"),
            ("console", "console"),
            ("what?", "what%3F"),
            ("...", "%2E%2E%2E"),
        ];
        for (from, to) in escapes {
            assert_eq!(Names::new(WINDOWS).choose(&FolderPath::root(), &name(from), &[]), to);
        }
        let long = ":".repeat(255);
        let chosen = Names::new(WINDOWS).choose(&FolderPath::root(), &name(&long), &[]);
        assert!(chosen.len() <= 255 && !chosen.contains(':'));
    }

    #[test]
    fn ordinary_disks_keep_every_name() {
        let names = Names::new(DiskKind::ORDINARY);
        for odd in ["a:b", "con", "dot.", "Foo"] {
            assert_eq!(names.choose(&FolderPath::root(), &name(odd), &["foo".to_owned()]), odd);
        }
    }

    #[test]
    fn i1_the_table_reads_back_and_every_flipped_bit_is_noticed() {
        let mut names = Names::new(FOLDING);
        let dir = FolderPath::parse("a/b").unwrap();
        names.bind(&dir, &name("foo"), "foo~2");
        names.bind(&FolderPath::root(), &name("a:b"), "a%3Ab");
        let bytes = names.encode();
        assert_eq!(decode(&bytes).unwrap(), names.local);
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(decode(&flipped).is_err(), "bit {at}");
        }
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(names.copy_dir(&FolderPath::parse("a").unwrap(), &FolderPath::parse("c").unwrap()));
        assert!(names.drop_dir(&FolderPath::parse("a").unwrap()));
        assert_eq!(names.local(&FolderPath::parse("c/b").unwrap(), &name("foo")), "foo~2");
        assert_eq!(names.local(&dir, &name("foo")), "foo");
    }

    #[test]
    fn l12_numbers_fit_into_255_bytes() {
        let long = format!("{}.jpeg", "é".repeat(125));
        assert!(numbered(&long, 2).len() <= 255 && numbered(&long, 2).ends_with("~2.jpeg"));
        assert_eq!(numbered(".profile", 2), ".profile~2");
        assert_eq!(numbered("tar.gz", 3), "tar~3.gz");
    }
}
