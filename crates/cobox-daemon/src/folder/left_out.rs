//! What lies in the directory and is not synced, for the person: put together from one look after another.
//!
//! What must hold: what a look did not look at stays as it was told, so that a file that is not synced is not forgotten because
//! another one was saved; what it did look at is told by it alone.

use cobox_core::path::FolderPath;

use super::look::Findings;

/// At most so many of each kind are told by name.
const NAMED_MAX: usize = 1000;

/// What is not synced as far as the looks until now tell.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    /// Places that can not be read, with the reason.
    pub(crate) unreadable: Vec<(FolderPath, String)>,
    /// What is there and no content, with marks where its name is no text, and the reason.
    pub(crate) skipped: Vec<(String, String)>,
    /// How many more there were.
    pub(crate) skipped_more: u64,
    /// Lines of the ignore rules that mean nothing, with the reason.
    pub(crate) bad_rules: Vec<(String, String)>,
}

impl LeftOut {
    /// A look ended.
    pub(super) fn follow(&mut self, found: &Findings) {
        match found.under.iter().any(FolderPath::is_root) || found.under.is_empty() {
            true => *self = Self::default(),
            false => {
                self.unreadable.retain(|(path, _)| !found.under.iter().any(|under| path.starts_with(under)));
                self.skipped.retain(|(shown, _)| !found.under.iter().any(|under| lies_in(shown, under)));
            }
        }
        self.unreadable.extend(found.unreadable.iter().cloned());
        self.skipped.extend(found.skipped.iter().cloned());
        self.skipped_more += found.skipped_more + self.skipped.len().saturating_sub(NAMED_MAX) as u64;
        self.skipped.truncate(NAMED_MAX);
        self.unreadable.truncate(NAMED_MAX);
        self.bad_rules.clone_from(&found.bad_rules);
    }

    /// A file can not be read.
    pub(super) fn can_not_be_read(&mut self, path: FolderPath, why: String) {
        self.unreadable.retain(|(known, _)| *known != path);
        if self.unreadable.len() < NAMED_MAX {
            self.unreadable.push((path, why));
        }
    }
}

/// Whether what is shown so is the path or lies below it.
fn lies_in(shown: &str, under: &FolderPath) -> bool {
    shown.strip_prefix(under.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(under: &[&str]) -> Vec<FolderPath> {
        under.iter().map(|path| FolderPath::parse(path).unwrap()).collect()
    }

    fn look(under: &[&str], skipped: &[&str], unreadable: &[&str]) -> Findings {
        Findings {
            under: paths(under),
            skipped: skipped.iter().map(|shown| (shown.to_string(), "no text".into())).collect(),
            unreadable: paths(unreadable).into_iter().map(|path| (path, "may not be read".into())).collect(),
            ..Findings::default()
        }
    }

    fn told(left_out: &LeftOut) -> Vec<String> {
        let unreadable = left_out.unreadable.iter().map(|(path, _)| path.to_string());
        left_out.skipped.iter().map(|(shown, _)| shown.clone()).chain(unreadable).collect()
    }

    #[test]
    fn l12_a_look_elsewhere_forgets_nothing() {
        let mut left_out = LeftOut::default();
        left_out.follow(&look(&[], &["caf\u{fffd}", "sub/\u{fffd}", "subway/\u{fffd}"], &["shut"]));
        left_out.follow(&look(&["good"], &[], &[]));
        assert_eq!(told(&left_out), ["caf\u{fffd}", "sub/\u{fffd}", "subway/\u{fffd}", "shut"]);
        left_out.follow(&look(&["sub", "shut"], &[], &["shut/x"]));
        assert_eq!(told(&left_out), ["caf\u{fffd}", "subway/\u{fffd}", "shut/x"], "what was looked at is told anew");
        left_out.follow(&look(&["good"], &["good"], &[]));
        left_out.follow(&look(&["good"], &["good"], &[]));
        assert_eq!(told(&left_out), ["caf\u{fffd}", "subway/\u{fffd}", "good", "shut/x"], "and nothing twice");
        left_out.follow(&look(&[], &[], &[]));
        assert!(told(&left_out).is_empty(), "a look at everything tells everything");
    }

    #[test]
    fn not_more_is_named_than_anybody_reads() {
        let mut left_out = LeftOut::default();
        for n in 0..NAMED_MAX + 5 {
            left_out.follow(&look(&[&format!("dir {n}")], &[&format!("dir {n}/\u{fffd}")], &[]));
        }
        assert_eq!((left_out.skipped.len(), left_out.skipped_more), (NAMED_MAX, 5));
    }
}
