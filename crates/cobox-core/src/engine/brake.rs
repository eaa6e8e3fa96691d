//! Holds back deletions that look like a disaster: a folder emptied, unmounted or replaced must never be taken for a
//! person deleting (H1, D7). Pure rule; the engine keeps what is held.

use cobox_proto::guard::Guard;

/// More deleted files than this are always held.
pub(super) const DELETED_FILES_MAX: usize = 1000;
/// Up to this many pass unasked, whatever their share, unless nothing is left.
pub(super) const DELETED_FILES_FREE: usize = 20;
/// A folder of at least this many files that is suddenly empty is held.
pub(super) const EMPTIED_FILES_MIN: usize = 3;

/// Whether something vanishing in one look, `deleted` of `known` files with it, must wait for a person. `judged`: of how many files
/// that look could say anything; of the others nothing is known because a step is under way or their place can not be read.
pub(super) fn holds(deleted: usize, judged: usize, known: usize) -> bool {
    if !Guard::EmptiedIsHeld.stands() {
        return false;
    }
    deleted > DELETED_FILES_MAX
        || (deleted > DELETED_FILES_FREE && deleted * 2 > judged)
        || (deleted == judged && known >= EMPTIED_FILES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_an_emptied_folder_is_held_and_a_clean_up_is_not() {
        assert!(holds(5, 5, 5));
        assert!(holds(30, 50, 50));
        assert!(holds(1001, 1_000_000, 1_000_000));
        assert!(!holds(20, 30, 30));
        assert!(!holds(20, 10_000, 10_000));
        assert!(!holds(1, 1, 1));
        assert!(!holds(0, 0, 0));
        assert!(holds(2, 2, 3), "of the third nothing is known");
        assert!(holds(0, 0, 3), "directories of which the files are on their way");
        assert!(!holds(2, 3, 3));
    }
}
