//! restic: encrypted backups into a local repository, without compression as cobox has none, and their restore. No network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::data::{Data, Workload};
use super::meter::{Meter, Run, disk_mb};

/// Whether it is installed.
pub(super) fn is_installed() -> bool {
    super::installed("restic", "version")
}

/// Backs up and restores; the large file also after an edit.
pub(super) fn there_and_back(place: &Path, data: &Data) -> Result<Vec<Run>> {
    let root = place.join("restic");
    fs::create_dir_all(&root)?;
    let to: PathBuf = root.join("restored");
    let command = |args: &[&str]| {
        let mut command = Command::new("restic");
        command.args(["--quiet", "--compression", "off", "--repo"]).arg(root.join("repo"));
        command.arg("--cache-dir").arg(root.join("cache")).args(args);
        command.env("RESTIC_PASSWORD", "bench").current_dir(&data.root);
        command
    };
    Meter::begin(&[])?.command("restic", &mut command(&["init"]))?;

    let mut meter = Meter::begin(&[])?;
    meter.command("restic", &mut command(&["backup", "."]))?;
    meter.command("sync", Command::new("sync").arg("--file-system").arg(&root))?;
    let mut backup = meter.end("restic", data.workload, "backup", &[])?;
    backup.state_mb_by.insert("repo".into(), disk_mb(&root.join("repo"))?);

    let mut meter = Meter::begin(&[])?;
    meter.command("restic", command(&["restore", "latest", "--target"]).arg(&to))?;
    meter.command("sync", Command::new("sync").arg("--file-system").arg(&root))?;
    let restore = meter.end("restic", data.workload, "restore", &[])?;
    data.same(&to).context("what restic restored is not the same")?;
    let mut runs = vec![backup, restore];
    if data.workload == Workload::Big {
        let edited = super::stories::edited(&data.root, place)?;
        let before_mb = disk_mb(&root.join("repo"))?;
        let mut meter = Meter::begin(&[])?;
        meter.command("restic", command(&["backup", "."]).current_dir(&edited))?;
        meter.command("sync", Command::new("sync").arg("--file-system").arg(&root))?;
        let mut edit = meter.end("restic", data.workload, "backup edit", &[])?;
        edit.more.insert("stored_mb", disk_mb(&root.join("repo"))? - before_mb);
        runs.push(edit);
    }
    Ok(runs)
}
