//! What is thrown away in time: versions set aside that nobody can need any more, and blocks of old states (`collect`).
//!
//! What must hold: a version that may be somebody's only copy of an edit, because it was changed after it was set aside, stays.

use super::*;
use crate::disk_tree::Kept;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Versions set aside go after this ...
const KEPT_MS_MAX: u64 = 30 * DAY_MS;
/// ... and after this if every seeder has all there is now.
const KEPT_MS_BACKED_UP: u64 = DAY_MS;

/// Whether a version set aside has served its time.
fn has_served(kept: &Kept, now_ms: u64, backed_up: bool) -> bool {
    // Moving it aside, or changing it there, set its ctime; programs can not set it back.
    let since_ms = u64::try_from(kept.stamp.ctime_ns / 1_000_000).unwrap_or(0);
    let age_ms = now_ms.saturating_sub(since_ms);
    kept.intact && age_ms > if backed_up { KEPT_MS_BACKED_UP } else { KEPT_MS_MAX }
}

impl FolderActor {
    /// Looks through what is set aside, now and then.
    pub(super) fn keep_up(&mut self, now: u64) {
        if self.next_upkeep_ms > now {
            return;
        }
        self.next_upkeep_ms = now + HOUR_MS;
        self.collect();
        let Some(disk) = self.disk_tree().cloned() else { return };
        let backed_up = self.is_at_every_seeder();
        let kept = match disk.list_kept() {
            Ok(kept) => kept,
            Err(why) => return tracing::warn!(%why, "what was set aside could not be listed"),
        };
        for kept in kept.into_iter().filter(|kept| has_served(kept, now, backed_up)) {
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

    #[test]
    fn versions_set_aside_go_when_they_are_old_or_safe_elsewhere_and_never_when_changed() {
        let now = 100 * DAY_MS;
        let kept = |age_ms: u64, intact: bool| Kept {
            id: "0123456789abcdef-1-2-3".parse().unwrap(),
            stamp: Stamp {
                size: 2,
                mtime_ns: 3,
                ctime_ns: ((now - age_ms) * 1_000_000) as i64,
                ino: 1,
                dev: 1,
                executable: false,
            },
            intact,
        };
        assert!(!has_served(&kept(HOUR_MS, true), now, true));
        assert!(has_served(&kept(DAY_MS + 1, true), now, true));
        assert!(!has_served(&kept(DAY_MS + 1, true), now, false));
        assert!(!has_served(&kept(30 * DAY_MS, true), now, false));
        assert!(has_served(&kept(30 * DAY_MS + 1, true), now, false));
        assert!(!has_served(&kept(90 * DAY_MS, false), now, true), "an edit that nobody else has");
    }
}
