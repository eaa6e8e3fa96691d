//! What a person does not want synced: `.cobox-ignore` at the folder's root, in gitignore's syntax. The file itself is
//! ordinary content. A few names that programs use for a moment only are ignored always.

use cobox_core::path::FolderPath;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::DiskTree;

const IGNORE_FILE: &str = ".cobox-ignore";
/// Bytes of an ignore file.
const IGNORE_BYTES_MAX: usize = 1 << 20;
/// Names that stand for a moment while programs save or transfer.
const ALWAYS: [&str; 6] = ["*.swp", "*.swx", "4913", ".~lock.*#", "*.part", "*.crdownload"];

/// The rules of one folder.
#[derive(Debug)]
pub(crate) struct Ignore {
    rules: Gitignore,
}

impl Ignore {
    /// The folder's rules as they are now; a line that can not be understood is left out.
    pub(crate) fn load(disk: &DiskTree) -> Self {
        let mut text = Vec::new();
        if let Ok(path) = FolderPath::parse(IGNORE_FILE) {
            let read = disk.read_stable(&path, &mut |bytes| {
                if text.len() + bytes.len() <= IGNORE_BYTES_MAX {
                    text.extend_from_slice(bytes);
                }
            });
            if read.is_err() {
                text.clear();
            }
        }
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// From the text of an ignore file.
    pub(crate) fn parse(text: &str) -> Self {
        let mut builder = GitignoreBuilder::new("");
        for line in ALWAYS.into_iter().chain(text.lines()) {
            if let Err(why) = builder.add_line(None, line) {
                tracing::info!(%why, "a line of .cobox-ignore is left out");
            }
        }
        Self { rules: builder.build().unwrap_or_else(|_| Gitignore::empty()) }
    }

    /// Whether the path is ignored, by itself or by a directory above it.
    pub(crate) fn is_ignored(&self, path: &FolderPath, is_dir: bool) -> bool {
        self.rules.matched_path_or_any_parents(path.to_string(), is_dir).is_ignore()
    }
}
