//! `status`: how everything stands, and waiting until it stands well.

use std::time::{Duration, Instant};

use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::{
    BackupStatus, Bandwidth, FolderState, FolderStatus, JoiningState, JoiningStatus, MemberStatus, Role, Status, Time,
    WaitRequest,
};
use jiff::tz::TimeZone;

use crate::client::{Client, part};
use crate::error::Failure;
use crate::text::clean;
use crate::units::{count, show_ago, show_bytes, show_clock, show_rest};
use crate::{Context, place};

/// How long one question waits before progress is shown.
const SLICE: Duration = Duration::from_secs(1);

/// Show how your folders stand
///
/// "in step" means: everything seen is at every member who can be reached, and the newest state lies complete and signed for at every
/// seeder that can be reached.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One folder: its name, the beginning of its id, or its path
    folder: Option<String>,
    /// Look at the disk again, and wait until everything is in step
    #[arg(long)]
    wait: bool,
    /// Wait so many seconds at most, then exit 1
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<u64>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let folder = self.folder.as_deref().map(place::folder).transpose()?;
        let status = if self.wait {
            wait(context, &client, folder, self.timeout)?
        } else {
            let query = folder.map(|folder| format!("?folder={}", part(&folder))).unwrap_or_default();
            client.get(&format!("status{query}"))?
        };
        context.out.data(&status, show)?;
        if self.wait && !status.in_step {
            return Err(Failure::new(
                ErrorCode::TimedOut,
                format!("not in step in time: {}", behind(&status)),
                "wait longer with --timeout",
            ));
        }
        Ok(())
    }
}

/// Waits until all that was asked for is in step, and says meanwhile how far it is.
pub(super) fn wait(
    context: &Context,
    client: &Client,
    folder: Option<String>,
    timeout_s: Option<u64>,
) -> Result<Status, Failure> {
    let until = timeout_s.and_then(|s| Instant::now().checked_add(Duration::from_secs(s)));
    let progress = context.out.progress();
    let mut rescan = true;
    loop {
        let left = until.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()).min(SLICE));
        let request = WaitRequest { folder: folder.clone(), rescan, timeout_ms: left.as_millis() as u64 };
        let status: Status = client.post("status/wait", &request)?;
        if status.in_step || until.is_some_and(|until| Instant::now() >= until) {
            return Ok(status);
        }
        rescan = false;
        // They come at the same time.
        let rest = status.folders.iter().filter_map(|folder| folder.remaining_s).max();
        let rest = rest.map(|rest_s| format!("; about {} left", show_rest(rest_s))).unwrap_or_default();
        progress.say(&format!("waiting for {}{rest}", behind(&status)));
    }
}

/// What is still missing.
fn behind(status: &Status) -> String {
    let parts: Vec<String> = status
        .folders
        .iter()
        .filter(|f| f.row.state != FolderState::InStep)
        .map(|f| {
            let name = clean(&f.row.name);
            match f.pending_files {
                0 => format!("{name} ({})", state(f.row.state)),
                n => format!("{name} ({}, {} to go)", count(n, "file"), show_bytes(f.pending_bytes)),
            }
        })
        .collect();
    if parts.is_empty() { "others".into() } else { parts.join(", ") }
}

/// The word for a state.
pub(super) fn state(state: FolderState) -> &'static str {
    match state {
        FolderState::InStep => "in step",
        FolderState::Syncing => "syncing",
        FolderState::Offline => "offline",
        FolderState::Paused => "paused",
        FolderState::Held => "changes held",
        FolderState::Problem => "problem",
    }
}

/// The word for a role.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Reader => "reader",
        Role::Editor => "editor",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

fn show(status: &Status) -> String {
    let asks: String = status.joining.iter().map(show_joining).collect();
    if status.folders.is_empty() && asks.is_empty() {
        return format!("{}: no folders yet; make one with `cobox create PATH`\n", clean(&status.device.name));
    }
    let now = Time::now();
    let folders = status.folders.iter().map(|folder| show_folder(folder, now));
    let paused = (status.device.bandwidth == Bandwidth::Paused).then(|| {
        "nothing is sent or received now, by this computer's schedule: `cobox config get schedule`\n".to_owned()
    });
    folders.chain((!asks.is_empty()).then_some(asks)).chain(paused).collect::<Vec<_>>().join("\n")
}

/// A folder that one asks to be let into, in a line.
fn show_joining(join: &JoiningStatus) -> String {
    let name = clean(&join.name);
    match join.state {
        JoiningState::Waiting => {
            format!("{name}: waits until an owner or admin lets you in; your words: {}\n", clean(&join.words))
        }
        JoiningState::Refused => format!("{name}: you were not let in; `cobox joins withdraw` puts it out of sight\n"),
        JoiningState::Expired => {
            format!("{name}: nobody let you in in time; `cobox joins withdraw` puts it out of sight\n")
        }
    }
}

fn show_folder(folder: &FolderStatus, now: Time) -> String {
    let row = &folder.row;
    let (name, zone) = (clean(&row.name), TimeZone::system());
    let mut text = format!(
        "{name}: {}\n  {}, {} in {}\n",
        state(row.state),
        count(row.files, "file"),
        show_bytes(row.bytes),
        clean(&row.path)
    );
    let mut line = |line: String| text.push_str(&format!("  {line}\n"));
    if folder.pending_files > 0 || folder.pending_bytes > 0 {
        let rest = folder.remaining_s.map(|rest_s| format!(", about {} left", show_rest(rest_s))).unwrap_or_default();
        line(format!("{} to go, {}{rest}", count(folder.pending_files, "file"), show_bytes(folder.pending_bytes)));
    }
    for member in &folder.members {
        line(format!("member {}", show_member(member, now)));
    }
    for backup in &folder.backups {
        line(format!("backup {}", show_backup(backup, now)));
    }
    if folder.conflicts > 0 {
        line(format!("{}: `cobox conflicts list {name}`", count(folder.conflicts, "conflict")));
    }
    if folder.held_changes > 0 {
        line(format!("{}: `cobox held list {name}`", count(folder.held_changes, "held change")));
    }
    if let Some(left) = folder.resealing {
        line(format!("sealed under new keys: {} to go, {}", count(left.files, "file"), show_bytes(left.bytes)));
    }
    for open in &folder.editing {
        let (path, by, device) = (clean(&open.path), clean(&open.by), clean(&open.device));
        line(format!("{path}: {by} has this open since {} (device {device})", show_clock(open.since, now, &zone)));
    }
    if folder.joins_waiting > 0 {
        line(format!("waits for you: {} to be let in: `cobox joins list {name}`", asking(folder.joins_waiting)));
    }
    for problem in &folder.problems {
        let path = problem.path.as_ref().map(|path| format!("{}: ", clean(path))).unwrap_or_default();
        let hint = problem.hint.as_ref().map(|hint| format!(" ({})", clean(hint))).unwrap_or_default();
        line(format!("problem: {path}{}{hint}", clean(&problem.message)));
    }
    text
}

fn asking(people: u64) -> String {
    if people == 1 { "somebody asks".into() } else { format!("{people} people ask") }
}

/// A member in a line.
pub(super) fn show_member(member: &MemberStatus, now: Time) -> String {
    let seen = match (member.you, member.online, member.last_seen) {
        (true, _, _) => "you".into(),
        (_, true, _) if member.in_step => "online, in step".into(),
        (_, true, _) => "online".into(),
        (_, false, Some(at)) => format!("last seen {}", show_ago(at, now)),
        (_, false, None) => "not seen yet".into(),
    };
    format!("{} ({}): {seen}", clean(&member.name), role(member.role))
}

/// A backup in a line.
pub(super) fn show_backup(backup: &BackupStatus, now: Time) -> String {
    let complete = if backup.complete { "complete" } else { "not complete yet" };
    let online = if backup.online { "online" } else { "not reachable" };
    let signed = backup.receipt_at.map(|at| format!(", signed {}", show_ago(at, now))).unwrap_or_default();
    format!("{}: {complete}, {online}{signed}, {} kept", clean(&backup.seeder), show_bytes(backup.held_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cobox_daemon::api::dto::{FolderRow, OpenFile, Problem};

    #[test]
    fn x11_a_hostile_name_stays_on_its_line() {
        let hostile = "docs\u{1b}[2J\nok: in step\u{202e}";
        let row = FolderRow {
            id: "ab".into(),
            name: hostile.into(),
            path: hostile.into(),
            state: FolderState::Problem,
            files: 1,
            bytes: 1,
        };
        let who = MemberStatus {
            name: hostile.into(),
            own_name: Some(hostile.into()),
            key: hostile.into(),
            words: None,
            role: Role::Editor,
            you: false,
            online: true,
            in_step: true,
            last_seen: None,
        };
        let backup = BackupStatus {
            seeder: hostile.into(),
            online: true,
            complete: true,
            head_at: None,
            receipt_at: None,
            audited_at: None,
            held_bytes: 1,
            quota_bytes: 2,
            history_days: 90,
            drill: None,
            drill_at: None,
            drill_passed_at: None,
        };
        let problem = Problem {
            code: "x".into(),
            path: Some(hostile.into()),
            message: hostile.into(),
            hint: Some(hostile.into()),
        };
        let open =
            OpenFile { path: hostile.into(), by: hostile.into(), device: hostile.into(), since: Time::from_ms(0) };
        let folder = FolderStatus {
            row,
            pending_files: 1,
            pending_bytes: 1,
            remaining_s: Some(240),
            sent_blocks: 0,
            received_blocks: 0,
            members: vec![who],
            backups: vec![backup],
            conflicts: 1,
            held_changes: 2,
            joins_waiting: 1,
            resealing: None,
            editing: vec![open],
            problems: vec![problem],
        };
        let text = show_folder(&folder, Time::from_ms(0));
        assert_eq!(text.lines().count(), 10, "{text}");
        assert!(text.contains("1 file to go, 1 B, about 4 minutes left"), "{text}");
        assert!(!text.chars().any(|c| c != '\n' && crate::text::misleads(c)), "{text}");
    }
}
