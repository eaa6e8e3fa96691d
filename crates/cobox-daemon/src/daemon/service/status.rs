//! How everything stands.

use std::collections::BTreeMap;
use std::time::Duration;

use cobox_core::engine::{Engine, StepError, Summary};
use cobox_core::path::FolderPath;
use cobox_proto::hosting::Holding;
use cobox_proto::id::{FolderId, SigKey};
use cobox_proto::members::{Role as MemberRole, Seeder};
use cobox_proto::wire::proof::KeyKind;
use tokio::time::Instant;

use super::super::{Daemon, Running, Unopened};
use super::missing::{may_stay_missing, missing_in_vain};
use super::{failed, stopped};
use crate::api::dto::{
    BackupStatus, Device, DrillOutcome, FolderRow, FolderState, FolderStatus, MemberStatus, MissingFile, MissingState,
    OpenFile, Problem, Resealing, Role, Status, Time, WaitRequest, Whoami,
};
use crate::api::{ApiError, ProblemCode};
use crate::folder::{FolderActor, Sort};

/// How often it is looked whether all is in step.
const ROUND: Duration = Duration::from_millis(25);
/// A wait that has time looks the disk through at most this long before it goes on looking at peers.
const LOOK_MAX: Duration = Duration::from_secs(600);

/// Changes of somebody who may only read that are named in a status.
const EDITS_NAMED_MAX: usize = 20;
/// Newest states of which that is said.
const STATES_NAMED_MAX: usize = 5;
/// Files that others have open, in a status.
const OPEN_TOLD_MAX: usize = 200;

/// What a folder's thread says of itself.
pub(super) struct Snapshot {
    summary: Summary,
    pub(super) in_step: bool,
    members: Vec<MemberStatus>,
    pub(super) backups: Vec<BackupStatus>,
    peers: usize,
    problems: Vec<Problem>,
    /// Who asks to be let in, for whoever may decide.
    joins_waiting: usize,
    /// Sent and received.
    blocks: (u64, u64),
    online: Vec<SigKey>,
    editing: Vec<Opened>,
    rest: Option<Duration>,
}

/// A file that is open on another device.
struct Opened {
    path: FolderPath,
    /// The member's name; nothing if it is this very person.
    by: Option<String>,
    device: SigKey,
    since_ms: u64,
}

impl Opened {
    fn named(self, person: &str) -> OpenFile {
        OpenFile {
            path: self.path.to_string(),
            by: self.by.unwrap_or_else(|| person.to_owned()),
            device: self.device.short(),
            since: time(self.since_ms),
        }
    }
}

/// What others have open, by path; who opened it first comes first.
fn editing(actor: &FolderActor) -> Vec<Opened> {
    let roster = actor.replica.membership().roster();
    let own = actor.device.public().sig;
    let opened = |(device, path, since_ms): (&SigKey, &FolderPath, u64)| {
        let (_, member) = roster.device(device)?;
        let you = member.devices.iter().any(|device| device.sig == own);
        let name = || actor.member_name(&member.grant).unwrap_or_else(|| member.sig.short());
        Some(Opened { path: path.clone(), by: (!you).then(name), device: *device, since_ms })
    };
    let mut all: Vec<Opened> = actor.edited_elsewhere.iter().filter_map(opened).collect();
    all.sort_by(|a, b| (&a.path, a.since_ms).cmp(&(&b.path, b.since_ms)));
    all.truncate(OPEN_TOLD_MAX);
    all
}

impl Snapshot {
    /// Whether the newest state is known to lie whole somewhere else than here: at a seeder that signed for it, this one left out, or
    /// at a connected member.
    pub(super) fn lies_whole_elsewhere(&self, but_for: Option<&str>) -> bool {
        let mut others = self.backups.iter().filter(|backup| but_for != Some(backup.seeder.as_str()));
        others.any(|backup| backup.complete) || self.in_step_with_members()
    }

    /// Whether every file that the folder has is on this device.
    pub(super) fn is_whole_here(&self) -> bool {
        self.summary.pending_files == 0
    }

    /// How many files the folder has.
    pub(super) fn files(&self) -> u64 {
        self.summary.files
    }

    /// Whether another member who is connected has everything.
    fn in_step_with_members(&self) -> bool {
        self.members.iter().any(|member| !member.you && member.in_step)
    }
}

pub(in crate::daemon) fn role(role: MemberRole) -> Role {
    match role {
        MemberRole::Reader => Role::Reader,
        MemberRole::Editor => Role::Editor,
        MemberRole::Admin => Role::Admin,
        MemberRole::Owner => Role::Owner,
    }
}

fn time(ms: u64) -> Time {
    Time::from_ms(ms.try_into().unwrap_or(i64::MAX))
}

/// Everything the status wants, taken in one go by the folder's own thread.
pub(super) fn snapshot(actor: &mut FolderActor) -> Snapshot {
    actor.note_unsent();
    let rest = actor.rest();
    let summary = actor.engine.as_ref().map(|engine| engine.summary()).unwrap_or_default();
    let root = actor.engine.as_ref().map(|engine| engine.root());
    let roster = actor.replica.membership().roster();
    let own = actor.device.public().sig;
    let mut progress: BTreeMap<SigKey, Option<bool>> = BTreeMap::new();
    for row in actor.peers.values() {
        let in_step = row.progress.map(|(theirs, missing)| Some(theirs) == root && missing == 0);
        progress.insert(row.who.key, in_step);
    }
    let members = roster
        .members()
        .map(|member| {
            let you = member.devices.iter().any(|device| device.sig == own);
            let states: Vec<Option<bool>> =
                member.devices.iter().filter_map(|d| progress.get(&d.sig).copied()).collect();
            let nickname = actor.nickname(&member.grant).is_some();
            MemberStatus {
                own_name: actor.own_name(&member.grant).filter(|_| nickname && !you),
                words: actor.member_words(&member.grant),
                name: if you {
                    String::new()
                } else {
                    actor.member_name(&member.grant).unwrap_or_else(|| member.sig.short())
                },
                key: member.sig.to_string(),
                role: role(member.role),
                you,
                online: you || !states.is_empty(),
                in_step: if you {
                    summary.pending_files == 0
                } else {
                    !states.is_empty() && states.iter().all(|s| *s == Some(true))
                },
                last_seen: None,
            }
        })
        .collect();
    Snapshot {
        in_step: actor.in_step(),
        members,
        backups: backups(actor),
        peers: actor.peers.len(),
        problems: problems(actor, &summary),
        joins_waiting: if actor.role() >= Some(MemberRole::Admin) { actor.waiting_joins().len() } else { 0 },
        blocks: (actor.sent_blocks, actor.received_blocks),
        online: actor.peers.values().map(|row| row.who.key).collect(),
        editing: editing(actor),
        rest,
        summary,
    }
}

/// The folder's seeders, each once, with the largest room it was granted for: a larger offer stands beside the one before it.
fn seeders(actor: &FolderActor) -> Vec<&Seeder> {
    let all = actor.replica.membership().roster().seeders();
    let largest =
        |seeder: &Seeder| all.iter().filter(|other| other.key == seeder.key).max_by_key(|other| other.quota_bytes);
    let first = |at: usize| all[..at].iter().all(|earlier| earlier.key != all[at].key);
    (0..all.len()).filter(|at| first(*at)).filter_map(|at| largest(&all[at])).collect()
}

fn backups(actor: &FolderActor) -> Vec<BackupStatus> {
    seeders(actor)
        .into_iter()
        .map(|seeder| {
            let online = actor.peers.values().any(|row| row.who.kind == KeyKind::Seeder && row.who.key == seeder.key);
            let now = actor.backed_up(&seeder.key);
            let complete: Vec<_> = actor
                .replica
                .receipts()
                .map(|receipt| receipt.receipt())
                .filter(|r| r.seeder == seeder.key && r.holding == Holding::Complete)
                .collect();
            let newest = complete.iter().max_by_key(|r| r.received_ms);
            let head_at =
                newest.and_then(|r| actor.replica.heads().get(&r.head)).map(|head| time(head.head().claimed_time_ms));
            BackupStatus {
                seeder: seeder.key.short(),
                online,
                complete: now.is_some() || actor.has_nothing_to_keep(&seeder.key),
                head_at,
                receipt_at: newest.map(|r| time(r.received_ms)),
                audited_at: None,
                held_bytes: newest.map_or(0, |r| seeder.quota_bytes.saturating_sub(r.free_bytes)),
                quota_bytes: seeder.quota_bytes,
                history_days: seeder.retention.daily_days,
                drill: None,
                drill_at: None,
                drill_passed_at: None,
            }
        })
        .collect()
}

fn problems(actor: &FolderActor, summary: &Summary) -> Vec<Problem> {
    let problem = |code: ProblemCode, path: Option<String>, message: String, hint: &str| Problem {
        code: code.into(),
        path,
        message,
        hint: (!hint.is_empty()).then(|| hint.into()),
    };
    let mut all = Vec::new();
    if actor.is_out() {
        all.push(problem(
            ProblemCode::Removed,
            None,
            "you, or this device, are no member of this folder any more: nothing is sent or received, your files stay as they are"
                .into(),
            "to be in it again, ask for an invite; `cobox leave` takes it off the list",
        ));
    }
    if let Some(unsent) = &actor.unsent {
        for path in &unsent.named {
            all.push(problem(
                ProblemCode::Unsent,
                Some(path.to_string()),
                format!("{path} was changed here and did not reach the folder before that"),
                "it stays on this disk as it is; nobody else has it by this folder",
            ));
        }
        if unsent.more > 0 {
            let why = format!("{} more files were changed here and did not reach the folder", unsent.more);
            all.push(problem(ProblemCode::Unsent, None, why, ""));
        }
    }
    if !actor.is_out() && !actor.quarantined().is_empty() {
        all.push(problem(
            ProblemCode::HeldAside,
            None,
            "somebody who was sent away had written something that nobody had seen; it is held aside".into(),
            "`cobox quarantine list` shows it; take it in with `adopt`, or put it out of sight with `discard`",
        ));
    }
    for (by, at_ms) in actor.states_in_vain().into_iter().take(STATES_NAMED_MAX) {
        all.push(problem(
            ProblemCode::OlderShown,
            None,
            format!("what {by} published at {} lies whole with nobody who was here; what is shown is older", time(at_ms)),
            "it comes by itself when somebody has it; meanwhile you can go on with what is there, and nothing is lost by that",
        ));
    }
    if let Some(why) = &actor.root_lost {
        all.push(problem(
            ProblemCode::FolderVanished,
            None,
            why.clone(),
            "bring the directory back; nothing is deleted meanwhile",
        ));
    }
    if let Some(why) = &actor.unkept {
        let (code, hint) = match why.disk_full {
            true => (ProblemCode::DiskFull, "make room there; nothing is lost, and it goes on by itself"),
            false => (
                ProblemCode::NotKept,
                "see that this disk is well and can be written; nothing is lost, and it goes on by itself",
            ),
        };
        all.push(problem(code, None, format!("what changed can not be remembered: {}", why.message), hint));
    }
    if actor.engine.as_ref().is_some_and(Engine::knows_of_a_twin) {
        all.push(problem(
            ProblemCode::Duplicated,
            None,
            "this device seems to be duplicated: another copy of its home writes to this folder".into(),
            "nothing is lost; stop one of the two, and let that computer join with a home of its own",
        ));
    }
    for seeder in seeders(actor) {
        let refused = actor.newest_receipt(&seeder.key).map(|r| r.receipt().holding);
        if matches!(refused, Some(Holding::NoRoom | Holding::ShareUsed)) {
            all.push(problem(
                ProblemCode::Quota,
                None,
                format!("seeder {} has no room for the newest state; what it had stays", seeder.key.short()),
                "ask its owner for a larger offer, and add that with `cobox backup add`; or for room, if its disk is full",
            ));
        }
    }
    let edits = actor.edits_here();
    for path in edits.iter().take(EDITS_NAMED_MAX) {
        all.push(problem(
            ProblemCode::OnlyHere,
            Some(path.to_string()),
            format!("{path} was changed here, and you may only read this folder: nobody else has it"),
            "`cobox edits reset` sets it aside beside the folder and brings the folder's own back",
        ));
    }
    if edits.len() > EDITS_NAMED_MAX {
        let why = format!("{} more were changed here and are nobody else's", edits.len() - EDITS_NAMED_MAX);
        all.push(problem(ProblemCode::OnlyHere, None, why, "`cobox edits list` names them"));
    }
    for (path, why) in &actor.left_out.unreadable {
        all.push(problem(
            ProblemCode::Unreadable,
            Some(path.to_string()),
            why.clone(),
            "make the file readable for you",
        ));
    }
    for path in &summary.outside {
        all.push(problem(
            ProblemCode::Skipped,
            Some(path.to_string()),
            format!("{path} is not made: the symlink would lead outside of the folder from where it stands"),
            "move its directory to where it leads inside and it is made again; with its directory it is deleted",
        ));
    }
    if summary.outside_more > 0 {
        let why = format!("{} more symlinks are not made: they would lead outside of the folder", summary.outside_more);
        all.push(problem(ProblemCode::Skipped, None, why, ""));
    }
    let is_told = |name: &String| summary.outside.iter().any(|path| path.as_str() == name);
    let left_out = &actor.left_out;
    for (name, why) in left_out.bad_rules.iter().chain(left_out.skipped.iter().filter(|(name, _)| !is_told(name))) {
        all.push(problem(ProblemCode::Skipped, Some(name.clone()), format!("{name} is not synced: {why}"), ""));
    }
    if left_out.skipped_more > 0 {
        let why = format!("{} more are not synced: there are too many to name them all", left_out.skipped_more);
        all.push(problem(ProblemCode::Skipped, None, why, ""));
    }
    for (path, why) in &summary.stuck {
        let (code, message, hint) = match why {
            StepError::DiskFull => {
                (ProblemCode::DiskFull, "the disk is full".to_string(), "make room there; it is tried again by itself")
            }
            // Told below, with who wrote it.
            StepError::NoContent | StepError::Unusable(_) => continue,
            StepError::NotEmpty => (
                ProblemCode::NotEmpty,
                "the directory was deleted by others, but holds files that are not synced".into(),
                "",
            ),
            StepError::Changed | StepError::Noise => continue,
            StepError::Failed(why) => (
                ProblemCode::NotWritten,
                why.clone(),
                "if it is the disk, see that it is well and can be written; it is tried again by itself",
            ),
        };
        all.push(problem(code, Some(path.to_string()), message, hint));
    }
    if summary.pending_files > 0 && may_stay_missing(actor, summary) {
        all.extend(missing_in_vain(actor).missing.into_iter().filter_map(missing_problem));
    }
    all
}

/// A file that does not come, and whose it is: as long as it is part of the folder no backup can hold all of it.
fn missing_problem(file: MissingFile) -> Option<Problem> {
    let code = match file.state {
        MissingState::Waiting => ProblemCode::Waiting,
        MissingState::Unusable => ProblemCode::NotWritten,
        MissingState::Coming | MissingState::NotWritten => return None,
    };
    Some(Problem {
        code: code.into(),
        message: format!("{}: {}; it was written by {} on {}", file.path, file.why, file.by, file.device),
        path: Some(file.path),
        hint: Some(
            "no backup is complete without it; ask who wrote it to save it again, or `cobox missing drop` gives it up"
                .into(),
        ),
    })
}

impl Daemon {
    pub(super) fn who_am_i(&self) -> Whoami {
        let identity = self.identity();
        Whoami {
            name: identity.name.clone(),
            cobox_key: identity.cobox_key(),
            device_key: self.endpoint.id().to_string(),
            addresses: self.endpoint.addrs().addrs.iter().map(ToString::to_string).collect(),
            api: String::new(),
        }
    }

    async fn snapshot_of(&self, running: &Running) -> Option<Snapshot> {
        let mut snapshot = running.handle.ask(snapshot).await?;
        self.note_seen(&snapshot.online);
        self.tell_drills(&running.handle.id, &mut snapshot);
        Some(snapshot)
    }

    /// What came of the last rehearsed restores, which the folder's thread does not know.
    fn tell_drills(&self, folder: &FolderId, snapshot: &mut Snapshot) {
        for backup in &mut snapshot.backups {
            let Some(known) = self.drill_known(folder, &backup.seeder) else { continue };
            backup.drill_passed_at = known.passed_ms.map(time);
            let Some(last) = known.last else { continue };
            (backup.drill, backup.drill_at) = (Some(last.outcome), Some(time(last.at_ms)));
            if last.outcome == DrillOutcome::Failed {
                snapshot.problems.push(Problem {
                    code: ProblemCode::DrillFailed.into(),
                    path: None,
                    message: format!(
                        "a restore from seeder {} was rehearsed on {} and failed: {}",
                        backup.seeder,
                        time(last.at_ms),
                        last.message
                    ),
                    hint: Some(
                        "`cobox drill` tries again; if it stays so, tell the seeder's owner, and place another copy with `cobox backup add`"
                            .into(),
                    ),
                });
            }
        }
    }

    /// Folders with their figures, by name.
    pub(super) async fn rows(&self) -> Vec<FolderRow> {
        let mut rows = Vec::new();
        for running in self.running().into_iter().filter(|r| r.config.sort == Sort::Folder) {
            if let Some(snapshot) = self.snapshot_of(&running).await {
                rows.push(row(&running, &snapshot));
            }
        }
        rows.extend(self.unopened_folders().map(|folder| folder.row));
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    }

    /// Folders that could not be opened, as status names them. The vault is none of the person's folders.
    fn unopened_folders(&self) -> impl Iterator<Item = FolderStatus> {
        self.unopened().into_iter().filter(|unopened| unopened.config.sort == Sort::Folder).map(unopened_status)
    }

    pub(super) async fn status_of(&self, folder: Option<String>) -> Result<Status, ApiError> {
        let (wanted, mut folders, joining) = match folder {
            Some(typed) => (vec![self.find(&typed)?], Vec::new(), Vec::new()),
            None => {
                let running = self.running().into_iter().filter(|r| r.config.sort == Sort::Folder).collect();
                (running, self.unopened_folders().collect(), self.list_joining())
            }
        };
        let mut in_step = folders.is_empty();
        for running in wanted {
            let snapshot = self.snapshot_of(&running).await.ok_or_else(stopped)?;
            in_step &= snapshot.in_step || running.config.paused;
            folders.push(self.folder_status(&running, snapshot));
        }
        folders.sort_by(|a, b| a.row.name.cmp(&b.row.name));
        let (identity, traffic) = (self.identity(), self.endpoint.traffic());
        let device = Device {
            name: identity.name,
            key: self.endpoint.id().to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            sent_bytes: traffic.sent_bytes,
            received_bytes: traffic.received_bytes,
            connections: self.links.count() as u64,
            bandwidth: self.bandwidth_now(),
        };
        Ok(Status { device, folders, joining, in_step })
    }

    fn folder_status(&self, running: &Running, snapshot: Snapshot) -> FolderStatus {
        let row = row(running, &snapshot);
        let person = self.identity().name;
        let members = snapshot
            .members
            .into_iter()
            .map(|mut member| {
                if member.you {
                    member.name.clone_from(&person);
                }
                member.last_seen = member.key.parse().ok().and_then(|key| self.last_seen(&key)).map(time);
                member
            })
            .collect();
        FolderStatus {
            row,
            pending_files: snapshot.summary.pending_files,
            pending_bytes: snapshot.summary.pending_bytes,
            // Rounded up: nobody minds if it is done sooner.
            remaining_s: snapshot.rest.map(|rest| rest.as_secs() + 1),
            sent_blocks: snapshot.blocks.0,
            received_blocks: snapshot.blocks.1,
            members,
            backups: snapshot.backups,
            conflicts: snapshot.summary.conflicts,
            held_changes: u64::from(snapshot.summary.held_files > 0)
                + u64::from(snapshot.summary.held_incoming_files > 0),
            joins_waiting: snapshot.joins_waiting as u64,
            editing: snapshot.editing.into_iter().map(|open| open.named(&person)).collect(),
            resealing: snapshot.summary.resealing.map(|left| Resealing { files: left.files, bytes: left.bytes }),
            problems: snapshot.problems,
        }
    }

    pub(super) async fn wait_in_step(&self, request: WaitRequest) -> Result<Status, ApiError> {
        let deadline = Instant::now() + Duration::from_millis(request.timeout_ms);
        if request.rescan {
            let wanted = match &request.folder {
                Some(typed) => vec![self.find(typed)?],
                None => self.running(),
            };
            let mut looks = Vec::new();
            for running in wanted {
                looks.extend(running.handle.ask(FolderActor::rescan).await.flatten());
            }
            for look in looks {
                // The look goes on when the time is over; the answer then says "not in step".
                let _ = tokio::time::timeout_at(deadline.min(Instant::now() + LOOK_MAX), look).await;
            }
        }
        loop {
            let status = self.status_of(request.folder.clone()).await?;
            let vault = match self.vault() {
                Some(vault) => vault.handle.ask(|actor| actor.in_step()).await.unwrap_or(true),
                None => true,
            };
            if status.in_step && vault || Instant::now() >= deadline {
                return Ok(Status { in_step: status.in_step && vault, ..status });
            }
            tokio::time::sleep(ROUND).await;
        }
    }

    pub(super) async fn folder_snapshot(&self, running: &Running) -> Result<Snapshot, ApiError> {
        self.snapshot_of(running).await.ok_or_else(|| failed("the folder's thread has stopped"))
    }
}

fn unopened_status(unopened: Unopened) -> FolderStatus {
    let Unopened { config, why } = unopened;
    FolderStatus {
        row: FolderRow {
            id: config.id,
            name: config.name,
            path: config.path.map(|p| p.display().to_string()).unwrap_or_default(),
            state: FolderState::Problem,
            files: 0,
            bytes: 0,
        },
        pending_files: 0,
        pending_bytes: 0,
        remaining_s: None,
        sent_blocks: 0,
        received_blocks: 0,
        members: Vec::new(),
        backups: Vec::new(),
        conflicts: 0,
        held_changes: 0,
        joins_waiting: 0,
        resealing: None,
        editing: Vec::new(),
        problems: vec![Problem {
            code: ProblemCode::NotOpened.into(),
            path: None,
            message: why,
            hint: Some("its files are untouched; put right what is named, then `cobox down` and `cobox up`".into()),
        }],
    }
}

fn row(running: &Running, snapshot: &Snapshot) -> FolderRow {
    let summary = &snapshot.summary;
    let serious = snapshot
        .problems
        .iter()
        .any(|p| !matches!(p.code.as_str(), "skipped" | "waiting" | "held_aside" | "older_shown"));
    let state = if running.config.paused {
        FolderState::Paused
    } else if summary.held_files > 0 || summary.held_incoming_files > 0 {
        FolderState::Held
    } else if serious {
        FolderState::Problem
    } else if snapshot.peers == 0 && (snapshot.in_step || summary.pending_files > 0) {
        // What is missing here is not on its way while nobody is there who could send it.
        FolderState::Offline
    } else if snapshot.in_step {
        FolderState::InStep
    } else {
        FolderState::Syncing
    };
    FolderRow {
        id: running.config.id.clone(),
        name: running.config.name.clone(),
        path: running.config.path.as_ref().map(|p| p.display().to_string()).unwrap_or_default(),
        state,
        files: summary.files,
        bytes: summary.bytes,
    }
}
