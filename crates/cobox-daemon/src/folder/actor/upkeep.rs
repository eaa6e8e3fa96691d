//! What is thrown away in time: versions set aside that nobody can need any more, blocks of old states (`collect`), and what owners had
//! forgotten (`forgetting`).
//!
//! What must hold: a version that may be somebody's only copy of an edit, because it was changed after it was set aside, stays. So does, for
//! its time, whatever is not at every seeder; the rest stays for looking back, within a part of the folder's size.

use super::*;
use crate::disk_tree::Kept;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Versions set aside go after this ...
const KEPT_MS_MAX: u64 = 30 * DAY_MS;
/// ... or, the oldest first, after this, if they take more than their part and every seeder has all there is now.
const KEPT_MS_BACKED_UP: u64 = DAY_MS;
/// Their part of the folder's size, in percent ...
const KEPT_PERCENT: u64 = 10;
/// ... and how much they may take in any folder.
const KEPT_BYTES_MIN: u64 = 64 << 20;

/// Which versions set aside have served their time.
fn served(mut kept: Vec<Kept>, now_ms: u64, backed_up: bool, folder_bytes: u64) -> Vec<Kept> {
    // Moving it aside, or changing it there, set its ctime; programs can not set it back.
    let since_ms = |kept: &Kept| u64::try_from(kept.stamp.ctime_ns / 1_000_000).unwrap_or(0);
    let mut bytes: u64 = kept.iter().map(|kept| kept.stamp.size).sum();
    let bytes_max = (folder_bytes / 100 * KEPT_PERCENT).max(KEPT_BYTES_MIN);
    kept.sort_by_key(since_ms);
    kept.retain(|kept| {
        let age_ms = now_ms.saturating_sub(since_ms(kept));
        let is_too_much = backed_up && bytes > bytes_max && age_ms > KEPT_MS_BACKED_UP;
        let goes = kept.intact && (age_ms > KEPT_MS_MAX || is_too_much);
        bytes -= if goes { kept.stamp.size } else { 0 };
        goes
    });
    kept
}

impl FolderActor {
    /// Looks through what is set aside, now and then.
    pub(super) fn keep_up(&mut self, now: u64) {
        if self.next_upkeep_ms > now {
            return;
        }
        self.next_upkeep_ms = now + HOUR_MS;
        self.collect();
        self.hear_what_to_forget(true);
        self.let_go();
        let Some(disk) = self.disk_tree().cloned() else { return };
        let backed_up = self.is_at_every_seeder();
        let kept = match disk.list_kept() {
            Ok(kept) => kept,
            Err(why) => return tracing::warn!(%why, "what was set aside could not be listed"),
        };
        let folder_bytes = self.engine.as_ref().map_or(0, |engine| engine.summary().bytes);
        for kept in served(kept, now, backed_up, folder_bytes) {
            if let Err(why) = self.db.drop_pieces(seen::stamp(&kept.stamp).id) {
                tracing::warn!(%why, "the places of dropped blocks are still noted");
                continue;
            }
            if let Err(why) = disk.drop_kept(&kept.id) {
                tracing::warn!(%why, "a version set aside could not be dropped");
            }
        }
    }

    /// Whether each seeder of the folder, and there is one, has said that it holds all of the state there is now.
    fn is_at_every_seeder(&self) -> bool {
        let seeders = self.replica.membership().roster().seeders();
        !seeders.is_empty() && seeders.iter().all(|seeder| self.backed_up(&seeder.key).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk_tree::Stamp;

    const NOW_MS: u64 = 100 * DAY_MS;

    fn kept(age_ms: u64, size: u64, intact: bool) -> Kept {
        let ctime_ns = ((NOW_MS - age_ms) * 1_000_000) as i64;
        let stamp = Stamp { size, mtime_ns: 3, ctime_ns, ino: 1, dev: 1, executable: false };
        Kept { id: "0123456789abcdef-1-2-3".parse().unwrap(), stamp, intact }
    }

    fn goes(age_ms: u64, size: u64, intact: bool, backed_up: bool) -> bool {
        !served(vec![kept(age_ms, size, intact)], NOW_MS, backed_up, 0).is_empty()
    }

    #[test]
    fn versions_set_aside_go_when_they_are_old_or_too_much_and_safe_elsewhere_and_never_when_changed() {
        const LARGE: u64 = KEPT_BYTES_MIN + 1;
        assert!(!goes(29 * DAY_MS, 2, true, true), "they are history");
        assert!(goes(30 * DAY_MS + 1, 2, true, true) && goes(30 * DAY_MS + 1, 2, true, false));
        assert!(goes(DAY_MS + 1, LARGE, true, true));
        assert!(!goes(HOUR_MS, LARGE, true, true), "somebody may want it back tomorrow");
        assert!(!goes(29 * DAY_MS, LARGE, true, false), "nobody else may have it");
        assert!(!goes(90 * DAY_MS, LARGE, false, true), "an edit that nobody else has");
    }

    #[test]
    fn d3_of_too_much_the_oldest_goes_and_a_large_folder_keeps_more() {
        let size = KEPT_BYTES_MIN / 2;
        let versions =
            || vec![kept(2 * DAY_MS, size, true), kept(4 * DAY_MS, size, true), kept(3 * DAY_MS, size, true)];
        let gone = served(versions(), NOW_MS, true, 0);
        assert_eq!(gone, [kept(4 * DAY_MS, size, true)]);
        assert!(served(versions(), NOW_MS, true, 40 * size).is_empty());
    }
}
