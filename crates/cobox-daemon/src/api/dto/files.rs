//! The files of a folder, as one looks through them; what of them is left out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// A symbolic link.
    Link,
}

/// In which order files are listed; directories come first in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileOrder {
    /// By name.
    #[default]
    Name,
    /// By size, smallest first.
    Size,
    /// By the time of the last change, oldest first.
    Changed,
}

/// A file, or a directory and all beneath it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its path within the folder.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Its size; of a directory, that of all files beneath.
    pub size_bytes: u64,
    /// How many files it holds; 1 for a file.
    pub files: u64,
    /// When it was last changed; of a directory, the newest beneath.
    pub changed_at: Option<Time>,
    /// Who changed it last; unknown for a directory.
    pub by: Option<String>,
    /// Whether its content is on this computer; of a directory, of all beneath.
    pub here: bool,
    /// Whether it stands beside another version of the same file.
    pub conflict: bool,
}

/// `GET folders/{folder}/files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileList {
    /// Which directory; empty for the folder itself.
    pub dir: String,
    /// How many there are altogether.
    pub total: u64,
    /// The place of the first of these among all.
    pub offset: u64,
    /// So many as were asked for, from there on.
    pub files: Vec<FileEntry>,
}

/// A file that somebody else has open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenFile {
    /// Its path within the folder.
    pub path: String,
    /// Who.
    pub by: String,
    /// On which device.
    pub device: String,
    /// Since when, as far as that is known.
    pub since: Time,
}

/// A file that was put into the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileAdded {
    /// Its path within the folder: another than asked for, if that was taken.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
}

/// A line of ignore rules that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BadLine {
    /// Counted from 1; 0 for the rules as a whole.
    pub line: u64,
    /// What is wrong with it.
    pub message: String,
}

/// `GET folders/{folder}/ignore`, and after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IgnoreRules {
    /// The rules, in the syntax of `.gitignore`.
    pub rules: String,
    /// Lines that were not understood; the others hold.
    pub bad_lines: Vec<BadLine>,
}

/// `PUT folders/{folder}/ignore` and `POST folders/{folder}/ignore/test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IgnoreRequest {
    /// The rules, in the syntax of `.gitignore`; for a test, those in force when left out.
    pub rules: Option<String>,
}

/// What ignore rules would leave out of what lies in the directory now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IgnoreMatches {
    /// How many files and directories match; what lies in such a directory is not counted.
    pub matches: u64,
    /// The first of them, by path.
    pub examples: Vec<String>,
    /// Lines that were not understood; the others hold.
    pub bad_lines: Vec<BadLine>,
}
