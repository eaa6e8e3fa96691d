//! Rehearsed restores: one at a time, from each seeder of each folder when it is due, and what came of the last one.
//!
//! What came of them stands in `drill.json` beside the folder's settings, by the seeder's key. It is this device's own knowledge. If it
//! is lost, a rehearsal comes sooner than it had to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use cobox_core::drill::{DrillOf, LastDrill};
use cobox_proto::id::{FolderId, SigKey};
use serde::{Deserialize, Serialize};

use super::{Daemon, Running, now_ms, random};
use crate::api::dto::{Bandwidth, DrillOutcome, NotGiven, SeederDrill, Time};
use crate::api::{EventKind, News};
use crate::folder::{CutOff, Drill, Drilled, LetsThrough, NoDrill, Sort};

/// In a folder's own directory: what came of them, and where files are put together.
const KEPT: &str = "drill.json";
const PLACE: &str = "drill";
/// The first look, when seeders have had the time to be called.
const LOOK_FIRST: Duration = Duration::from_secs(10);
/// One that is due, of a seeder that is not there, is looked for again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// It is looked at least this often: a computer may have slept, a clock may be set.
const LOOK_MAX: Duration = Duration::from_secs(3600);
/// Of what did not come back, so many are named.
const NAMED_MAX: usize = 20;

/// What is known of the rehearsals of all folders.
#[derive(Default)]
pub(crate) struct Drills {
    /// The setting changed.
    pub(super) look_again: Arc<tokio::sync::Notify>,
    one_at_a_time: tokio::sync::Mutex<()>,
    kept: Mutex<BTreeMap<FolderId, Kept>>,
    /// What the last one came to, of each seeder, and when it ended: whoever asked before that is told the same.
    ended: Mutex<BTreeMap<(FolderId, SigKey), (Instant, SeederDrill)>>,
}

impl Drills {
    fn ended(&self) -> MutexGuard<'_, BTreeMap<(FolderId, SigKey), (Instant, SeederDrill)>> {
        self.ended.lock().expect("no thread panics while it holds this lock")
    }
}

/// Of one folder, by the seeder's key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Kept(BTreeMap<String, OfSeeder>);

/// Of one seeder.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct OfSeeder {
    /// When it was looked for the first time whether one is due.
    since_ms: u64,
    /// The last one.
    pub(super) last: Option<Ended>,
    /// When one passed last.
    pub(super) passed_ms: Option<u64>,
}

/// How one ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) at_ms: u64,
    pub(super) outcome: DrillOutcome,
    pub(super) message: String,
}

/// Rehearses what is due, until the daemon is gone.
pub(super) async fn keep_drilling(daemon: Weak<Daemon>) {
    let mut wait = LOOK_FIRST;
    loop {
        let Some(look_again) = daemon.upgrade().map(|daemon| daemon.drills.look_again.clone()) else { return };
        let _ = tokio::time::timeout(wait, look_again.notified()).await;
        let Some(daemon) = daemon.upgrade() else { return };
        wait = daemon.drill_what_is_due().await;
    }
}

impl Daemon {
    /// Does it; how long until it is to be looked again.
    async fn drill_what_is_due(&self) -> Duration {
        let every_days = self.config().drill_days;
        let mut wait = LOOK_MAX;
        if every_days == 0 || self.bandwidth_now() == Bandwidth::Paused {
            return wait;
        }
        let folders = self.running().into_iter().filter(|r| r.config.sort == Sort::Folder && !r.config.paused);
        for running in folders {
            let folder = running.handle.id;
            let asked = running.handle.ask(|actor| (actor.device.public().sig, actor.hired_seeders())).await;
            let Some((device, seeders)) = asked else { continue };
            for seeder in seeders {
                let now_ms = now_ms();
                let known = self.drill_known_since(&folder, &seeder, now_ms);
                let last = known
                    .last
                    .map(|last| LastDrill { at_ms: last.at_ms, passed: last.outcome == DrillOutcome::Passed });
                let of = DrillOf { folder, seeder, device };
                let Some(due_ms) = of.due_ms(every_days, known.since_ms, last, now_ms) else { continue };
                if due_ms > now_ms {
                    wait = wait.min(Duration::from_millis(due_ms - now_ms));
                    continue;
                }
                match self.drill(&running, seeder).await {
                    Some(SeederDrill { outcome: DrillOutcome::Away | DrillOutcome::NothingWhole, .. }) => {
                        wait = wait.min(LOOK_AGAIN);
                    }
                    Some(_) => wait = LOOK_AGAIN,
                    None => {}
                }
            }
        }
        wait
    }

    /// Rehearses a restore from one seeder, or waits for one that goes on; `None` if the folder is being stopped.
    pub(super) async fn drill(&self, running: &Running, seeder: SigKey) -> Option<SeederDrill> {
        let asked = Instant::now();
        let _one_at_a_time = self.drills.one_at_a_time.lock().await;
        let of = (running.handle.id, seeder);
        if let Some((_, told)) = self.drills.ended().get(&of).filter(|(ended, _)| *ended >= asked) {
            return Some(told.clone());
        }
        let told = self.drill_alone(running, seeder).await?;
        self.drills.ended().insert(of, (Instant::now(), told.clone()));
        Some(told)
    }

    async fn drill_alone(&self, running: &Running, seeder: SigKey) -> Option<SeederDrill> {
        let (folder, at_ms) = (running.handle.id, now_ms());
        let setup = match running.handle.ask(move |actor| actor.drill_setup(&seeder)).await? {
            Ok(setup) => setup,
            Err(why) => return Some(none(&seeder, why)),
        };
        let head_at_ms = setup.head.head().claimed_time_ms;
        let place = self.folder_dir(&folder).join(PLACE);
        let me = self.me.clone();
        let lets_through =
            move || me.upgrade().map_or(LetsThrough::Enough, |daemon| LetsThrough::of(daemon.rates_now()));
        let drill =
            Drill::new(setup, running.handle.clone(), self.runtime.clone(), Box::new(lets_through), random(), place);
        let drilled = tokio::task::spawn_blocking(move || drill.run()).await.ok()?;
        let inodes = drilled.failed.iter().map(|(inode, ..)| *inode).collect();
        let paths = running.handle.ask(move |actor| actor.paths_of(&inodes)).await?;
        let path = |inode, name: &str| paths.get(inode).map_or_else(|| format!("\u{2026}/{name}"), ToString::to_string);
        let not_given = drilled
            .failed
            .iter()
            .map(|(inode, name, why)| NotGiven { path: Some(path(inode, name)), message: why.to_string() });
        let records = drilled.records.iter().map(|why| NotGiven { path: None, message: why.to_string() });
        let failed: Vec<NotGiven> = records.chain(not_given).collect();
        let told = told(&seeder, &drilled, head_at_ms, failed);
        let ended = Ended { at_ms, outcome: told.outcome, message: told.message.clone() };
        self.keep_drill(&folder, &seeder, ended);
        let name = &running.config.name;
        let (kind, text) = match told.outcome {
            DrillOutcome::Passed => {
                (EventKind::Drilled, format!("{name}: a restore from {} was rehearsed: {}", told.seeder, told.message))
            }
            _ => (
                EventKind::Problem,
                format!("{name}: a rehearsed restore from {} did not succeed: {}", told.seeder, told.message),
            ),
        };
        self.events.publish(News::new(kind, text).folder(folder.to_string()).who(seeder.to_string()));
        Some(told)
    }

    /// What is known of a seeder's rehearsals; it is noted that it was asked for.
    fn drill_known_since(&self, folder: &FolderId, seeder: &SigKey, now_ms: u64) -> OfSeeder {
        let mut all = self.drills.kept.lock().expect("no thread panics while it holds this lock");
        let kept = all.entry(*folder).or_insert_with(|| self.read_drills(folder));
        if let Some(known) = kept.0.get(&seeder.to_string()) {
            return known.clone();
        }
        let new = OfSeeder { since_ms: now_ms, ..OfSeeder::default() };
        kept.0.insert(seeder.to_string(), new.clone());
        self.write_drills(folder, kept);
        new
    }

    fn keep_drill(&self, folder: &FolderId, seeder: &SigKey, ended: Ended) {
        let mut all = self.drills.kept.lock().expect("no thread panics while it holds this lock");
        let kept = all.entry(*folder).or_insert_with(|| self.read_drills(folder));
        let known = kept
            .0
            .entry(seeder.to_string())
            .or_insert_with(|| OfSeeder { since_ms: ended.at_ms, ..OfSeeder::default() });
        if ended.outcome == DrillOutcome::Passed {
            known.passed_ms = Some(ended.at_ms);
        }
        known.last = Some(ended);
        self.write_drills(folder, kept);
    }

    /// What is known of the rehearsals with the seeder whose key begins so.
    pub(super) fn drill_known(&self, folder: &FolderId, seeder: &str) -> Option<OfSeeder> {
        self.drills.ended().retain(|(of, _), _| of != folder);
        let mut all = self.drills.kept.lock().expect("no thread panics while it holds this lock");
        let kept = all.entry(*folder).or_insert_with(|| self.read_drills(folder));
        kept.0.iter().find(|(key, _)| key.starts_with(seeder)).map(|(_, known)| known.clone())
    }

    /// The folder is left.
    pub(super) fn forget_drills(&self, folder: &FolderId) {
        self.drills.kept.lock().expect("no thread panics while it holds this lock").remove(folder);
    }

    fn drills_file(&self, folder: &FolderId) -> PathBuf {
        self.folder_dir(folder).join(KEPT)
    }

    fn read_drills(&self, folder: &FolderId) -> Kept {
        let read = std::fs::read(self.drills_file(folder)).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn write_drills(&self, folder: &FolderId, kept: &Kept) {
        let bytes = serde_json::to_vec_pretty(kept).expect("strings and numbers have a JSON form");
        if let Err(why) = crate::files::replace(&self.drills_file(folder), &bytes) {
            tracing::warn!(%why, "what came of a rehearsed restore could not be kept");
        }
    }
}

fn time(ms: u64) -> Time {
    Time::from_ms(ms.try_into().unwrap_or(i64::MAX))
}

/// There was none.
fn none(seeder: &SigKey, why: NoDrill) -> SeederDrill {
    match why {
        NoDrill::Away => not_begun(seeder, DrillOutcome::Away, "it is not connected"),
        NoDrill::NothingWhole => not_begun(seeder, DrillOutcome::NothingWhole, "it has signed for no whole state yet"),
    }
}

/// The folder was paused or left while it went on.
pub(super) fn stopped(seeder: &SigKey) -> SeederDrill {
    not_begun(seeder, DrillOutcome::Unfinished, "the folder was stopped before all was tried")
}

fn not_begun(seeder: &SigKey, outcome: DrillOutcome, message: &str) -> SeederDrill {
    SeederDrill {
        seeder: seeder.short(),
        outcome,
        head_at: None,
        files: 0,
        bytes: 0,
        fetched_bytes: 0,
        took_ms: 0,
        left_out: 0,
        failed: Vec::new(),
        failed_more: 0,
        other_blocks: 0,
        message: message.into(),
    }
}

fn told(seeder: &SigKey, drilled: &Drilled, head_at_ms: u64, mut failed: Vec<NotGiven>) -> SeederDrill {
    let is_damaged = !drilled.failed.is_empty() || drilled.records.is_some() && drilled.cut_off.is_none();
    let outcome = match &drilled.cut_off {
        _ if is_damaged => DrillOutcome::Failed,
        Some(_) => DrillOutcome::Unfinished,
        None => DrillOutcome::Passed,
    };
    let state = time(head_at_ms);
    let message = match (&drilled.cut_off, &drilled.records) {
        (Some(CutOff::Disk(why)), _) if !is_damaged => format!("this computer's disk refused: {why}"),
        (Some(CutOff::OwnLimit), _) if !is_damaged => {
            "this computer's own limits or schedule let nothing through in time: `cobox config list`".to_owned()
        }
        (Some(CutOff::Connection), _) if !is_damaged => "the connection to it ended before all was tried".to_owned(),
        (_, Some(why)) => format!("what leads to the files of the state of {state} did not come back: {why}"),
        _ if is_damaged => {
            let (bad, all) = (drilled.failed.len(), drilled.failed.len() as u64 + drilled.files);
            let why = drilled.failed.first().map(|(.., why)| format!(": {why}")).unwrap_or_default();
            format!("{bad} of {all} files of the state of {state} did not come back{why}")
        }
        _ if drilled.files == 0 && drilled.left_out > 0 => {
            format!(
                "all files that were drawn of the state of {state} are too large for a rehearsal; what leads to them came back"
            )
        }
        _ if drilled.files == 0 => format!("the state of {state} has no files"),
        _ => match drilled.files {
            1 => format!("1 file of the state of {state} came back as it was"),
            files => format!("{files} files of the state of {state} came back as they were"),
        },
    };
    let failed_more = failed.len().saturating_sub(NAMED_MAX) as u64;
    failed.truncate(NAMED_MAX);
    SeederDrill {
        seeder: seeder.short(),
        outcome,
        head_at: Some(state),
        files: drilled.files,
        bytes: drilled.bytes,
        fetched_bytes: drilled.fetched_bytes,
        took_ms: drilled.took.as_millis().try_into().unwrap_or(u64::MAX),
        left_out: drilled.left_out,
        failed,
        failed_more,
        other_blocks: drilled.other_blocks,
        message,
    }
}

#[cfg(test)]
mod tests {
    use cobox_proto::id::Inode;

    use super::*;
    use crate::folder;

    fn outcome(drilled: &Drilled) -> (DrillOutcome, String) {
        let told = told(&SigKey([1; 32]), drilled, 0, Vec::new());
        (told.outcome, told.message)
    }

    fn failed(why: folder::NotGiven) -> Vec<(Inode, String, folder::NotGiven)> {
        vec![(Inode([1; 16]), "song.txt".into(), why)]
    }

    #[test]
    fn a5_what_could_not_be_tried_is_no_failure_and_no_success() {
        use folder::NotGiven::{Gone, Silent};
        let good = Drilled { files: 3, ..Drilled::default() };
        assert_eq!(outcome(&good).0, DrillOutcome::Passed);
        let lost = Drilled { failed: failed(Gone), files: 3, ..Drilled::default() };
        let (end, message) = outcome(&lost);
        assert_eq!(end, DrillOutcome::Failed);
        assert!(message.starts_with("1 of 4 files of the state of 1970"), "{message}");
        let no_tree = Drilled { records: Some(Silent), ..Drilled::default() };
        assert_eq!(outcome(&no_tree).0, DrillOutcome::Failed);
        let cut = Drilled { cut_off: Some(CutOff::Connection), records: Some(Silent), ..Drilled::default() };
        assert_eq!(outcome(&cut).0, DrillOutcome::Unfinished);
        let cut = Drilled { cut_off: Some(CutOff::Connection), failed: failed(Gone), ..Drilled::default() };
        assert_eq!(outcome(&cut).0, DrillOutcome::Failed, "what it said before stands");
        let slow = Drilled { cut_off: Some(CutOff::OwnLimit), records: Some(Silent), ..Drilled::default() };
        assert_eq!(outcome(&slow).0, DrillOutcome::Unfinished, "no seeder is blamed for what this computer holds back");
        let full = CutOff::Disk(std::io::Error::other("full"));
        let (end, message) = outcome(&Drilled { cut_off: Some(full), ..Drilled::default() });
        assert_eq!(end, DrillOutcome::Unfinished);
        assert!(message.contains("this computer"), "the seeder is not to blame: {message}");
        let huge = Drilled { left_out: 2, ..Drilled::default() };
        assert!(outcome(&huge).1.contains("too large"));
    }
}
