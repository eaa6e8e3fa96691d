//! A sealed place to run the program in. Whatever service was started in it ends with it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cobox_seeder::{ApiFile, Home};
use rustix::process::{Pid, Signal, kill_process};

/// A temporary directory that is HOME, with the seeder's home in its usual place.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// stdout, which must be one JSON document; the command must have succeeded.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Exit code and the `code` of the JSON error on stderr, which must be all there is.
    pub(crate) fn json_error(&self) -> (i32, String) {
        let json: serde_json::Value = serde_json::from_str(&self.err).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        let error = json["error"].as_object().unwrap();
        assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "hint", "message"], "{self:?}");
        (self.code.unwrap(), error["code"].as_str().unwrap().into())
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The usual state directory.
    pub(crate) fn home(&self) -> Home {
        let home = self.path().to_owned();
        Home::resolve(None, move |name| (name == "HOME").then(|| home.clone().into())).unwrap()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.home().root().to_owned()
    }

    pub(crate) fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cobox-seeder"));
        command.args(args).env_clear().env("HOME", self.path()).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        finished(self.command(args).output().unwrap())
    }

    /// `up` on loopback.
    pub(crate) fn up(&self) -> serde_json::Value {
        self.run(&["up", "--json", "--listen", "127.0.0.1:0"]).json()
    }

    /// The process id of the service that holds the lock.
    pub(crate) fn service(&self) -> Option<Pid> {
        let holder = self.home().holder().ok()??;
        holder.pid.and_then(|pid| Pid::from_raw(pid as i32))
    }

    /// Kills the service as a crash would and waits until it is gone.
    pub(crate) fn crash(&self) {
        kill_process(self.service().unwrap(), Signal::KILL).unwrap();
        while self.service().is_some() {
            std::thread::yield_now();
        }
    }

    pub(crate) fn api(&self) -> ApiFile {
        ApiFile::read(&self.home().api_file()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pid) = self.service() {
            let _already_gone = kill_process(pid, Signal::KILL);
        }
    }
}

pub(crate) fn finished(output: std::process::Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
