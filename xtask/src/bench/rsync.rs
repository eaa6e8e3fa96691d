//! rsync: a daemon on loopback and one `rsync --archive` to it, then a sync of the file system, since cobox's files are on the
//! disk when it says so. No encryption, no history, no index: the floor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::data::Data;
use super::meter::{Lasting, Meter, Run};

/// A daemon and the directory it fills.
pub(super) struct Rsync {
    root: PathBuf,
    port: u16,
    daemon: Child,
}

impl Lasting for Rsync {
    fn name(&self) -> &str {
        "rsyncd"
    }
    fn pid(&self) -> u32 {
        self.daemon.id()
    }
}

/// Whether it is installed.
pub(super) fn is_installed() -> bool {
    super::installed("rsync", "--version")
}

impl Rsync {
    /// Starts the daemon below `place`.
    pub(super) fn start(place: &Path) -> Result<Self> {
        let root = place.join("rsync");
        let to = root.join("to");
        fs::create_dir_all(&to)?;
        let port = super::free_port()?;
        let config = root.join("rsyncd.conf");
        let owner = if super::is_root() { "uid = 0\ngid = 0\n" } else { "" };
        let text = format!(
            "use chroot = no\n{owner}lock file = {0}/lock\npid file = {0}/pid\n[to]\npath = {0}/to\nread only = no\n",
            root.display()
        );
        fs::write(&config, text)?;
        let mut command = Command::new("rsync");
        command.args(["--daemon", "--no-detach", "--address=127.0.0.1", &format!("--port={port}")]);
        command.arg(format!("--config={}", config.display()));
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let rsync = Self { root, port, daemon };
        super::until("rsync's daemon listens", Duration::from_secs(20), || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        Ok(rsync)
    }

    /// Copies, and waits until it is on the disk.
    pub(super) fn sync(&self, data: &Data, op: &'static str) -> Result<Run> {
        self.sync_from(&data.root, data, op)
    }

    /// Copies from another directory to the same place.
    pub(super) fn sync_from(&self, from: &Path, data: &Data, op: &'static str) -> Result<Run> {
        let mut meter = Meter::begin(&[self])?;
        let mut command = Command::new("rsync");
        command.args(["--archive", "--no-whole-file", "--delete", &format!("{}/", from.display())]);
        meter.command("rsync", command.arg(format!("rsync://127.0.0.1:{}/to/", self.port)))?;
        meter.command("sync", Command::new("sync").arg("--file-system").arg(&self.root))?;
        meter.end("rsync", data.workload, op, &[self])
    }

    /// Whether what arrived is the same.
    pub(super) fn check(&self, data: &Data) -> Result<()> {
        data.same(&self.root.join("to")).context("what rsync copied is not the same")
    }
}

impl Drop for Rsync {
    fn drop(&mut self) {
        let _already_gone = self.daemon.kill();
        let _reaped = self.daemon.wait();
    }
}
