//! A sealed place to run `cobox` in. Whatever service was started in it ends with it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cobox_daemon::{ApiFile, Lock};
use rustix::process::{Pid, Signal, kill_process};

/// A temporary directory that is HOME, with the cobox home in its usual place.
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
    pub(crate) fn home(&self) -> PathBuf {
        if cfg!(target_os = "macos") {
            self.path().join("Library/Application Support/cobox")
        } else {
            self.path().join(".local/share/cobox")
        }
    }

    pub(crate) fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cobox"));
        command.args(args).env_clear().env("HOME", self.path()).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    /// With this on standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        finished(child.wait_with_output().unwrap())
    }

    pub(crate) fn api_file(&self) -> PathBuf {
        self.home().join("api.json")
    }

    /// The process id of the service that holds the lock.
    pub(crate) fn service(&self) -> Option<Pid> {
        let holder = Lock::holder(&self.home().join("lock")).ok()??;
        holder.pid.and_then(|pid| Pid::from_raw(pid as i32))
    }

    /// Kills the service as a crash would and waits until it is gone.
    pub(crate) fn crash(&self) {
        if let Some(pid) = self.service() {
            kill_process(pid, Signal::KILL).unwrap();
        }
        while self.service().is_some() {
            std::thread::yield_now();
        }
    }

    pub(crate) fn api(&self) -> ApiFile {
        ApiFile::read(&self.api_file()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that serves a scripted service holds the lock itself.
        if let Some(pid) = self.service().filter(|pid| *pid != rustix::process::getpid()) {
            let _already_gone = kill_process(pid, Signal::KILL);
        }
    }
}

pub(crate) fn ran(command: &mut Command) -> Ran {
    finished(command.output().unwrap())
}

pub(crate) fn finished(output: std::process::Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
