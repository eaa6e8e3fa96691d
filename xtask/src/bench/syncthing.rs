//! Syncthing beside us, where it is installed: two instances on loopback, told of each other by hand, no discovery, no relays.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::place::Process;

const PATIENCE: Duration = Duration::from_secs(3600);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const API_KEY: &str = "benchmark";

/// Whether it can be run here.
pub(crate) fn is_installed() -> bool {
    Command::new("syncthing").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// One instance.
struct Instance {
    home: PathBuf,
    root: PathBuf,
    id: String,
    listen_port: u16,
    api_port: u16,
    service: Option<Child>,
}

/// Two instances that share one folder: the first has files, the second none. The folder of the first is paused.
pub(crate) struct Pair {
    full: Instance,
    empty: Instance,
}

impl Pair {
    /// Starts both. `full` is the first one's folder; the second one's is made beside it.
    pub(crate) fn start(below: &Path, full: &Path) -> Result<Self> {
        let mut full = Instance::new(&below.join("syncthing-full"), full)?;
        let mut empty = Instance::new(&below.join("syncthing-empty"), &below.join("syncthing-received"))?;
        for (one, other, paused) in [(&full, &empty, true), (&empty, &full, false)] {
            fs::write(one.home.join("config.xml"), one.config(other, paused))?;
        }
        full.serve()?;
        empty.serve()?;
        let mut pair = Self { full, empty };
        let connected = |pair: &mut Self| {
            let connections = pair.empty.get("/rest/system/connections")?;
            Ok(connections["connections"][&pair.full.id]["connected"] == true)
        };
        pair.until("they meet", connected)?;
        Ok(pair)
    }

    /// Lets the first one look at its folder, and waits until the second has all of it.
    pub(crate) fn sync(&mut self, files: u64) -> Result<()> {
        self.full.call("PATCH", "/rest/config/folders/data", r#"{"paused":false}"#)?;
        self.until("all is there", |pair| {
            let status = pair.empty.get("/rest/db/status?folder=data")?;
            Ok(status["localFiles"] == files && status["needFiles"] == 0 && status["state"] == "idle")
        })
    }

    /// Where the second one's files are.
    pub(crate) fn received(&self) -> &Path {
        &self.empty.root
    }

    /// Both processes.
    pub(crate) fn processes(&self) -> [Process; 2] {
        let of =
            |name: &str, one: &Instance| Process { name: name.into(), id: one.service.as_ref().map_or(0, Child::id) };
        [of("full", &self.full), of("empty", &self.empty)]
    }

    fn until(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !look(self).unwrap_or(false) {
            ensure!(Instant::now() < until, "syncthing: not within {PATIENCE:?}: {what}");
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Instance {
    fn new(home: &Path, root: &Path) -> Result<Self> {
        fs::create_dir_all(home)?;
        fs::create_dir_all(root.join(".stfolder"))?;
        let mut generate = Command::new("syncthing");
        generate.args(["generate", "--no-default-folder", "--skip-port-probing"]).arg("--home").arg(home);
        ensure!(generate.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success(), "syncthing made no keys");
        let told = Command::new("syncthing").arg("--device-id").arg("--home").arg(home).output()?;
        let id = String::from_utf8(told.stdout)?.trim().to_owned();
        ensure!(!id.is_empty(), "syncthing has no id");
        let free = || Ok::<u16, std::io::Error>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (home, root) = (home.to_path_buf(), root.to_path_buf());
        Ok(Self { home, root, id, listen_port: free()?, api_port: free()?, service: None })
    }

    fn config(&self, other: &Self, paused: bool) -> String {
        let device = |one: &Self| {
            format!(
                r#"<device id="{}" name="{1}" compression="metadata"><address>tcp://127.0.0.1:{1}</address></device>"#,
                one.id, one.listen_port
            )
        };
        format!(
            r#"<configuration version="36">
  <folder id="data" label="data" path="{root}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="true"
          fsWatcherDelayS="1" paused="{paused}"><device id="{own}"></device><device id="{theirs}"></device></folder>
  {one}{two}
  <gui enabled="true"><address>127.0.0.1:{api}</address><apikey>{API_KEY}</apikey></gui>
  <options><listenAddress>tcp://127.0.0.1:{listen}</listenAddress><globalAnnounceEnabled>false</globalAnnounceEnabled>
    <localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled>
    <reconnectionIntervalS>1</reconnectionIntervalS><startBrowser>false</startBrowser><urAccepted>-1</urAccepted>
    <crashReportingEnabled>false</crashReportingEnabled><autoUpgradeIntervalH>0</autoUpgradeIntervalH></options>
</configuration>
"#,
            root = self.root.display(),
            own = self.id,
            theirs = other.id,
            one = device(self),
            two = device(other),
            api = self.api_port,
            listen = self.listen_port,
        )
    }

    fn serve(&mut self) -> Result<()> {
        let log = File::create(self.home.join("said"))?;
        let mut command = Command::new("syncthing");
        command.args(["serve", "--no-browser", "--no-restart", "--no-upgrade"]).arg("--home").arg(&self.home);
        command.env("STNORESTART", "1").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.service = Some(command.spawn().context("syncthing can not be started")?);
        Ok(())
    }

    fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.call("GET", path, "")?)?)
    }

    /// One question to its API.
    fn call(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.api_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        // Version 1.0, so that the answer comes in one piece.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nX-API-Key: {API_KEY}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        if !head.contains(" 200 ") {
            bail!("{method} {path}: {head}");
        }
        Ok(body.to_owned())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            let _already_gone = service.kill();
            let _reaped = service.wait();
        }
    }
}
