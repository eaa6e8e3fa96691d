//! The words by which problems are told: in `status`, in the answer to `check`, and to scripts.
//!
//! A word never changes its meaning; the table in `docs/api.md` is this one. New words are added at the end.

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What is the matter, in a word that scripts may compare.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ProblemCode {
            $($(#[$doc])* $name,)*
        }

        impl ProblemCode {
            /// Every word there is.
            pub const ALL: &'static [ProblemCode] = &[$(ProblemCode::$name,)*];

            /// The word itself.
            pub fn as_str(self) -> &'static str {
                match self { $(ProblemCode::$name => $text,)* }
            }
        }
    };
}

words! {
    /// The folder's directory is gone, or another one lies in its place.
    FolderVanished = "folder_vanished";
    /// A disk is full: under the home if no path is named, else under the folder.
    DiskFull = "disk_full";
    /// The home can not remember what changed.
    NotKept = "not_kept";
    /// A seeder has no room for the newest state.
    Quota = "quota";
    /// A file can not be read.
    Unreadable = "unreadable";
    /// Something in the directory is not synced.
    Skipped = "skipped";
    /// Nobody who is connected has the content.
    Waiting = "waiting";
    /// A directory that others deleted holds files that are not synced.
    NotEmpty = "not_empty";
    /// A file could not be written.
    NotWritten = "not_written";
    /// What is on the disk is not what the folder's state says.
    Damaged = "damaged";
    /// The folder could not be opened when the service started.
    NotOpened = "not_opened";
    /// Somebody else writes with this device's key.
    Duplicated = "duplicated";
    /// This device is no member's any more.
    Removed = "removed";
    /// People who were sent away had written something that nobody had seen.
    HeldAside = "held_aside";
    /// A file was changed here and did not reach the folder before this device was sent away.
    Unsent = "unsent";
    /// A file was changed here by somebody who may only read the folder.
    OnlyHere = "only_here";
    /// The newest state lies with nobody whole; an older one is shown, if there is one.
    OlderShown = "older_shown";
    /// An owner had a version removed from history.
    Forgotten = "forgotten";
    /// A rehearsed restore failed.
    DrillFailed = "drill_failed";
}

impl From<ProblemCode> for String {
    fn from(code: ProblemCode) -> Self {
        code.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_documentation_is_this_one() {
        let documented = include_str!("../../../../docs/api.md");
        let table = documented.split("\n## Problems\n").nth(1).expect("docs/api.md has a part on problems");
        let table = table.split("\n## ").next().unwrap();
        let words = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let ours = ProblemCode::ALL.iter().map(|code| code.as_str());
        assert_eq!(words.collect::<Vec<_>>(), ours.collect::<Vec<_>>());
    }
}
