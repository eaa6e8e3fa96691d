//! The rules of what is no content on a disk: `.cobox-ignore` in its root, a name a line, of a directory with a slash behind it.

use std::collections::BTreeSet;

use cobox_core::engine::IgnoreRules;
use cobox_core::path::{FolderPath, IGNORE_FILE};

use crate::disk::{Disk, Node};

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    names: BTreeSet<String>,
}

impl Rules {
    pub(crate) fn of(disk: &Disk) -> Self {
        let file = FolderPath::parse(IGNORE_FILE).expect("it is a good path");
        let Some(Node::File { content, .. }) = disk.tree.get(&file) else { return Self::default() };
        let text = String::from_utf8_lossy(&content.bytes);
        Self { names: text.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect() }
    }

    /// Whether a path or a directory above it is ignored.
    pub(crate) fn ignores(&self, path: &FolderPath, is_dir: bool) -> bool {
        let mut above = std::iter::successors(path.parent(), FolderPath::parent);
        self.matches(path, is_dir) || above.any(|dir| self.matches(&dir, true))
    }
}

impl IgnoreRules for Rules {
    fn matches(&self, path: &FolderPath, is_dir: bool) -> bool {
        let Some(name) = path.name() else { return false };
        let name = name.as_str();
        self.names.contains(name) || is_dir && self.names.contains(&format!("{name}/"))
    }
}
