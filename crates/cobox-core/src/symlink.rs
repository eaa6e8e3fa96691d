//! Which symlinks are content: relative ones that stay inside the folder. A link that leads outside would show this machine's files under a
//! folder's name, or let a member point other programs at them (l8, x2).
//!
//! The rule asks for a link's text and the place where it stands, so all members judge alike. A link that a move of its directory would
//! lead outside stays in the folder's state and stands on nobody's disk until it is moved to where it leads inside
//! ([design 18](../../../docs/design/0018-links-that-would-lead-outside.md)).

use crate::path::{FolderPath, Name};

/// Bytes of a link's text: what Linux can hold.
const TARGET_BYTES_MAX: usize = 4095;

/// Whether a link at `path` stays inside. `..` may stand only in front: behind a name it would be followed from wherever that name, which may be a
/// link itself, leads.
pub fn stays_inside(path: &FolderPath, target: &str) -> bool {
    if target.is_empty() || target.len() > TARGET_BYTES_MAX || target.starts_with('/') || target.contains('\0') {
        return false;
    }
    let mut above = path.depth().saturating_sub(1);
    let mut named = false;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if named || above == 0 => return false,
            ".." => above -= 1,
            part if Name::new(part).is_err() => return false,
            _ => named = true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l8_only_relative_links_that_stay_inside_are_content() {
        let link = FolderPath::parse("a/b/link").unwrap();
        for inside in ["x", "../x", "../../x", "./x", "x/y/", "..", "../..", "link", "-rf", "a b", ".cobox-ignore"] {
            assert!(stays_inside(&link, inside), "{inside}");
        }
        for outside in [
            "",
            "/",
            "/etc",
            "../../..",
            "../../../x",
            "x/../../../../etc",
            "x/..",
            ".cobox/keep",
            "../../.Cobox/marker",
            "a\0b",
        ] {
            assert!(!stays_inside(&link, outside), "{outside}");
        }
        assert!(!stays_inside(&link, &"x/".repeat(3000)));
    }
}
