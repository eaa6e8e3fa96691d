//! Which paths are no content on this machine: `.cobox-ignore` in the root, in the syntax of `.gitignore`, after a few rules of our own. The file itself is ordinary
//! content. What is ignored is absent here, not deleted (l15); the engine sees to that.
//!
//! As with git, what lies in an ignored directory can not be taken back: the walk does not enter it.

use std::path::Path;

use cobox_core::engine::IgnoreRules;
use cobox_core::path::FolderPath;
pub use cobox_core::path::IGNORE_FILE;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::root::read_small;
use super::{DiskError, DiskTree};

/// Bytes of it that are read; rules beyond would slow each scan.
const IGNORE_BYTES_MAX: usize = 1 << 20;
/// Lock and swap files of editors and leavings of desktops: they mean something to one machine only, and come and go with each
/// keystroke. Short on purpose: what a person could have made is content. `!` in the ignore file takes any of them back.
const BUILT_IN: [&str; 7] = [
    // Vim's swap files.
    ".*.sw[a-p]",
    // Emacs' locks, which are dangling symlinks.
    ".#*",
    // Locks of Microsoft Office and LibreOffice.
    "~$*",
    ".~lock.*#",
    // Of the Finder and of Explorer.
    ".DS_Store",
    "Thumbs.db",
    // Open files that were removed on NFS.
    ".nfs????????????????????????",
];

/// A line that is no pattern. The other lines hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPattern {
    /// Counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// The rules of one folder on this machine.
#[derive(Debug, Clone)]
pub struct Ignore {
    text: Box<str>,
    rules: Gitignore,
    bad: Vec<BadPattern>,
}

impl Ignore {
    /// The rules in this text, after the built-in ones.
    pub fn parse(text: &str) -> Self {
        let mut builder = GitignoreBuilder::new("");
        let mut bad = Vec::new();
        for pattern in BUILT_IN {
            builder.add_line(None, pattern).expect("the built-in patterns are valid");
        }
        let whole = text;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (at, line) in text.lines().enumerate() {
            if let Err(error) = builder.add_line(None, line) {
                bad.push(BadPattern { line: at + 1, message: error.to_string() });
            }
        }
        let rules = builder.build().unwrap_or_else(|error| {
            bad.push(BadPattern { line: 0, message: error.to_string() });
            Gitignore::empty()
        });
        Self { text: whole.into(), rules, bad }
    }

    /// The rules as they stand in the folder now. No file is no rules; one that can not be read is an error: without it, private
    /// files would be taken for content.
    pub fn load(tree: &DiskTree) -> Result<Self, DiskError> {
        let failed = |error| DiskError::io("read", IGNORE_FILE, error);
        let Some(bytes) = read_small(&tree.0.root, IGNORE_FILE, IGNORE_BYTES_MAX).map_err(failed)? else {
            return Ok(Self::parse(""));
        };
        if bytes.len() > IGNORE_BYTES_MAX {
            return Err(failed(rustix::io::Errno::FBIG));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) => {
                // Lines that are text hold.
                let mut ignore = Self::parse(&String::from_utf8_lossy(error.as_bytes()));
                ignore.bad.push(BadPattern { line: 0, message: "it is not all UTF-8".into() });
                Ok(ignore)
            }
        }
    }

    /// The rules as they were written, without the built-in ones.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether both stand for the same rules.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// Lines that were not understood.
    pub fn bad_patterns(&self) -> &[BadPattern] {
        &self.bad
    }

    /// Whether a path or a directory above it is ignored.
    pub fn is_ignored(&self, path: &FolderPath, is_dir: bool) -> bool {
        let text = path.as_str();
        text.match_indices('/').any(|(end, _)| self.matches(&text[..end], true)) || self.is_ignored_here(path, is_dir)
    }

    /// The same for a path below directories that are not ignored.
    pub(crate) fn is_ignored_here(&self, path: &FolderPath, is_dir: bool) -> bool {
        !path.is_root() && self.matches(path.as_str(), is_dir)
    }

    fn matches(&self, path: &str, is_dir: bool) -> bool {
        matches!(self.rules.matched(Path::new(path), is_dir), Match::Ignore(_))
    }
}

impl IgnoreRules for Ignore {
    fn matches(&self, path: &FolderPath, is_dir: bool) -> bool {
        self.is_ignored_here(path, is_dir)
    }
}

impl Default for Ignore {
    fn default() -> Self {
        Self::parse("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(rules: &str, path: &str, is_dir: bool) -> bool {
        Ignore::parse(rules).is_ignored(&FolderPath::parse(path).unwrap(), is_dir)
    }

    #[test]
    fn l15_rules_are_read_as_git_reads_them() {
        let rules = "# comment\n\ntarget/\n*.log\n!keep.log\n/only-here\nbuild/**/x\r\n";
        assert!(ignored(rules, "target", true) && ignored(rules, "a/target/b/c", false));
        assert!(!ignored(rules, "target", false), "a file of that name");
        assert!(ignored(rules, "a/b.log", false) && !ignored(rules, "a/keep.log", false));
        assert!(ignored(rules, "target/keep.log", false), "an ignored directory is not entered");
        assert!(ignored(rules, "only-here", false) && !ignored(rules, "a/only-here", false));
        assert!(ignored(rules, "build/a/b/x", false));
        assert!(!ignored(rules, ".cobox-ignore", false) && !ignored(rules, "", true));
    }

    #[test]
    fn editors_locks_are_ignored_unless_taken_back() {
        for name in [".report.txt.swp", ".#notes", "~$letter.docx", ".~lock.sheet.ods#", "a/.DS_Store", "Thumbs.db"] {
            assert!(ignored("", name, false), "{name}");
        }
        for name in ["report.swp", "#notes#", "letter~", "x.tmp", "x.part", ".env", ".git", "core"] {
            assert!(!ignored("", name, false), "{name}");
        }
        assert!(!ignored("!.DS_Store", "a/.DS_Store", false));
    }

    #[test]
    fn i4_a_bad_line_is_named_and_the_others_hold() {
        let ignore = Ignore::parse("\u{feff}*.log\n[z-a]\n*.tmp");
        assert_eq!(ignore.bad_patterns().iter().map(|bad| bad.line).collect::<Vec<_>>(), [2]);
        for name in ["x.log", "x.tmp"] {
            assert!(ignore.is_ignored(&FolderPath::parse(name).unwrap(), false));
        }
    }

    #[test]
    fn odd_names_do_not_confuse_the_rules() {
        assert!(ignored("*.log", "a\nb.log", false));
        assert!(ignored("\\#x", "#x", false));
        assert!(!ignored("*", "", true));
        assert!(ignored("*", "-rf", false));
    }
}
