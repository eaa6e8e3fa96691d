//! Syncthing: two devices on loopback, discovery and relays off, each with its REST interface on a Unix socket. It syncs every
//! file to the disk by itself, one by one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::data::{Data, Workload};
use super::meter::{Lasting, Meter, Run, disk_mb};

const KEY: &str = "bench";
const PATIENCE: Duration = Duration::from_secs(3600);

/// One device.
pub(super) struct Device {
    name: &'static str,
    root: PathBuf,
    id: String,
    port: u16,
    service: Option<Child>,
}

impl Lasting for Device {
    fn name(&self) -> &str {
        self.name
    }
    fn pid(&self) -> u32 {
        self.service.as_ref().map_or(0, Child::id)
    }
}

/// Whether it is installed.
pub(super) fn is_installed() -> bool {
    super::installed("syncthing", "--version")
}

/// Two devices that know each other, running, with an empty folder each.
pub(super) fn pair(place: &Path) -> Result<[Device; 2]> {
    let mut devices = [Device::new("st-a", place)?, Device::new("st-b", place)?];
    let config = devices.each_ref().map(|device| config(device, &devices));
    for (device, config) in devices.iter_mut().zip(config) {
        fs::write(device.home().join("config.xml"), config)?;
    }
    Ok(devices)
}

fn config(own: &Device, all: &[Device; 2]) -> String {
    let each = |text: &dyn Fn(&Device) -> String| all.iter().map(text).collect::<String>();
    let shared = each(&|device| format!("<device id=\"{}\" introducedBy=\"\"></device>", device.id));
    let known = each(&|device| {
        format!(
            "<device id=\"{}\" name=\"{}\" compression=\"metadata\"><address>tcp://127.0.0.1:{}</address></device>",
            device.id, device.name, device.port
        )
    });
    format!(
        "<configuration version=\"35\">\
         <folder id=\"data\" label=\"data\" path=\"{}\" type=\"sendreceive\" rescanIntervalS=\"86400\" fsWatcherEnabled=\"true\" \
         fsWatcherDelayS=\"1\">{shared}<minDiskFree unit=\"%\">0</minDiskFree></folder>{known}\
         <gui enabled=\"true\" tls=\"false\"><address>{}</address><apikey>{KEY}</apikey></gui>\
         <options><listenAddress>tcp://127.0.0.1:{}</listenAddress><globalAnnounceEnabled>false</globalAnnounceEnabled>\
         <localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled>\
         <urAccepted>-1</urAccepted><autoUpgradeIntervalH>0</autoUpgradeIntervalH><startBrowser>false</startBrowser>\
         <crashReportingEnabled>false</crashReportingEnabled><reconnectionIntervalS>1</reconnectionIntervalS>\
         <setLowPriority>false</setLowPriority></options></configuration>",
        own.folder().display(),
        own.socket().display(),
        own.port
    )
}

impl Device {
    fn new(name: &'static str, place: &Path) -> Result<Self> {
        let mut device =
            Self { name, root: place.join(name), id: String::new(), port: super::free_port()?, service: None };
        fs::create_dir_all(device.folder().join(".stfolder"))?;
        fs::create_dir_all(device.home())?;
        let run = |args: &[&str]| -> Result<String> {
            let out = Command::new("syncthing").args(args).arg("--home").arg(device.home()).output()?;
            ensure!(out.status.success(), "syncthing {args:?}: {}", String::from_utf8_lossy(&out.stderr));
            Ok(String::from_utf8_lossy(&out.stdout).into_owned())
        };
        run(&["generate", "--no-default-folder", "--skip-port-probing"])?;
        let id = run(&["--device-id"])?;
        device.id = id.split_whitespace().last().context("syncthing named no device")?.to_owned();
        Ok(device)
    }

    fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    fn socket(&self) -> PathBuf {
        self.root.join("s")
    }

    /// Where its folder lies.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Starts it and waits until it answers.
    pub(super) fn start(&mut self) -> Result<()> {
        let mut command = Command::new("syncthing");
        command.args(["serve", "--no-browser", "--no-restart", "--logflags=0", "--home"]).arg(self.home());
        // It is its own monitor otherwise, and what it watches goes on when it is ended.
        command.env("STMONITORED", "yes");
        command.env("STNOUPGRADE", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.service = Some(command.spawn()?);
        super::until("syncthing answers", Duration::from_secs(60), || Ok(self.ask("GET", "/rest/system/ping").is_ok()))
    }

    fn ask(&self, method: &str, path: &str) -> Result<Value> {
        super::http::ask_unix(&self.socket(), method, path, &format!("X-API-Key: {KEY}"))
    }

    /// Looks at its folder now.
    pub(super) fn scan(&self) -> Result<()> {
        self.ask("POST", "/rest/db/scan?folder=data").map(drop)
    }

    /// Waits until it has so many files and bytes and lacks none.
    pub(super) fn until_has(&self, files: u64, bytes: u64) -> Result<()> {
        super::until("syncthing has everything", PATIENCE, || {
            let status = self.ask("GET", "/rest/db/status?folder=data")?;
            let number = |key: &str| status[key].as_u64().unwrap_or(0);
            Ok(status["state"] == "idle"
                && number("globalFiles") >= files
                && number("localFiles") >= files
                && number("localBytes") >= bytes
                && number("needTotalItems") == 0)
        })
    }

    fn state_mb(&self) -> Result<f64> {
        disk_mb(&self.home())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(mut service) = self.service.take() {
            let _already_gone = service.kill();
            let _reaped = service.wait();
        }
    }
}

/// Both are up and connected, the first one's folder is filled; from its look at the disk until the second has all. The large file also
/// after an edit.
pub(super) fn sync(place: &Path, data: &Data) -> Result<Vec<Run>> {
    let [mut a, mut b] = pair(place)?;
    a.start()?;
    b.start()?;
    super::until("the devices are connected", Duration::from_secs(60), || {
        let connections = a.ask("GET", "/rest/system/connections")?;
        Ok(connections["connections"][&b.id]["connected"] == true)
    })?;
    super::fill(data, &a.folder())?;
    let meter = Meter::begin(&[&a, &b])?;
    a.scan()?;
    b.until_has(data.files, data.bytes)?;
    let mut run = meter.end("syncthing", data.workload, "sync", &[&a, &b])?;
    for device in [&a, &b] {
        run.state_mb_by.insert(device.name.into(), device.state_mb()?);
    }
    data.same_but(&b.folder(), ".stfolder").context("what syncthing brought is not the same")?;
    let mut runs = vec![run];
    if data.workload == Workload::Big {
        let edited = super::stories::edited(&a.folder(), place)?;
        let meter = Meter::begin(&[&a, &b])?;
        super::stories::put_edited(&edited, &a.folder())?;
        a.scan()?;
        // One byte was inserted.
        b.until_has(data.files, data.bytes + 1)?;
        runs.push(meter.end("syncthing", data.workload, "edit", &[&a, &b])?);
    }
    Ok(runs)
}
