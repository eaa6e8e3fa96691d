//! A real seeder in a process of its own, for which the time is what a test says: the test's own program once more, which runs the
//! seeder's service with a clock that is as far ahead of the machine's as a file says.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cobox_seeder::{Clock, Home, UpOptions};

const HOME: &str = "COBOX_E2E_SEEDER_HOME";
const NAME: &str = "COBOX_E2E_SEEDER_NAME";
const LISTEN: &str = "COBOX_E2E_SEEDER_LISTEN";
const AHEAD: &str = "COBOX_E2E_SEEDER_AHEAD";
/// How soon a seeder sees that its clock was set.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How far a seeder's clock is ahead, in a file, milliseconds.
pub(crate) struct SetClock {
    file: PathBuf,
}

impl SetClock {
    pub(crate) fn new(file: PathBuf) -> Self {
        fs::write(&file, "0").unwrap();
        Self { file }
    }

    /// The seeder's service with this clock, in place of `command`, whose environment it keeps.
    pub(crate) fn service(&self, command: Command, home: &Path, name: &str, listen: Option<SocketAddr>) -> Command {
        let mut service = Command::new(std::env::current_exe().unwrap());
        service.args(["--exact", "seeder_with_a_clock_of_its_own", "--ignored", "--nocapture"]).env_clear();
        service.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        service.env(HOME, home).env(NAME, name).env(AHEAD, &self.file);
        if let Some(listen) = listen {
            service.env(LISTEN, listen.to_string());
        }
        std::os::unix::process::CommandExt::process_group(&mut service, 0);
        service
    }

    /// Lets time pass, and returns when the seeder knows.
    pub(crate) fn pass(&self, time: Duration) {
        let ahead_ms = ahead_ms(&self.file) + time.as_millis() as u64;
        let draft = self.file.with_extension("draft");
        fs::write(&draft, ahead_ms.to_string()).unwrap();
        fs::rename(&draft, &self.file).unwrap();
        std::thread::sleep(LOOK_AGAIN * 4);
    }
}

fn ahead_ms(file: &Path) -> u64 {
    fs::read_to_string(file).unwrap().parse().unwrap()
}

/// What the process does: serves until it is asked to stop.
pub(crate) fn serve() {
    let word = |name: &str| std::env::var(name).ok();
    let (Some(home), Some(file)) = (word(HOME), word(AHEAD).map(PathBuf::from)) else { return };
    let home = Home::resolve(Some(Path::new(&home)), |_| None).unwrap();
    let ahead = Arc::new(AtomicU64::new(ahead_ms(&file)));
    let set = ahead.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK_AGAIN);
            // The test's directory goes before its processes do.
            let Ok(text) = fs::read_to_string(&file) else { return };
            set.store(text.parse().unwrap(), Ordering::SeqCst);
        }
    });
    let system = Clock::system();
    let clock = Clock::of(move || system.now_ms() + ahead.load(Ordering::SeqCst));
    // A name at a later start would rename it.
    let name = word(NAME).filter(|_| !home.root().join("keys").exists());
    let listen = word(LISTEN).map(|text| text.parse().unwrap());
    let began = Instant::now();
    let options = UpOptions { name, listen, clock, log_to_stderr: false, ..UpOptions::default() };
    cobox_seeder::run(&home, options, |_| eprintln!("it answers after {:?}", began.elapsed())).unwrap();
}
