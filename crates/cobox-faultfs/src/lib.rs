//! A disk that fails on command, for tests. It lies in memory and is mounted through FUSE, so that whoever uses it, the shipped
//! programs and SQLite included, meets it through the system's own calls and needs no hook for it.
//!
//! Owns one mounted directory, and the process that serves it: a process that maps a file of a disk which it serves itself waits for
//! itself for ever. The n-th operation can fail, once or from then on; or the power goes at it, or whoever asked for it is killed. What
//! is left then is decided by what was synced ([`Left`]).
//!
//! What it holds to: names (creations, renames, removals, modes) reach the disk in their order, as a journal brings them there, and a sync
//! of any file or directory brings all names so far; bytes of a file are sure after a sync of that file and not before.

mod control;
mod plan;
mod serve;
mod tree;
pub mod trial;

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

use control::{Answer, Order, Wire};

pub use control::serve;
pub use plan::{Counts, Fault, Plan};
pub use tree::Left;

/// The test of a binary that calls [`serve`]: it is run again, with this test alone, to serve a disk.
const SERVER: &str = "fault_disk_server";

/// A disk.
#[derive(Debug)]
pub struct FaultDisk {
    wire: Rc<RefCell<Wire>>,
    server: Child,
    place: TempDir,
}

/// What lies on a disk at a moment.
#[derive(Debug)]
pub struct Image {
    number: u64,
    /// Of names, modes and bytes: the same in images that differ in times only.
    pub digest: u64,
    wire: Rc<RefCell<Wire>>,
}

impl FaultDisk {
    /// Why there can be none here, if so.
    pub fn missing() -> Option<String> {
        if !Path::new("/dev/fuse").exists() {
            return Some("there is no /dev/fuse here".into());
        }
        if !rustix::process::geteuid().is_root() {
            return Some("only root may mount a disk of its own".into());
        }
        None
    }

    /// An empty one. The binary that asks must have an ignored test named `fault_disk_server`, at its root, that calls [`serve`].
    pub fn new() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", SERVER, "--ignored", "--nocapture"]);
        Self::served_by(command)
    }

    /// An empty one, served by a process that calls [`serve`].
    pub fn served_by(mut command: Command) -> io::Result<Self> {
        let place = tempfile::tempdir()?;
        let (ours, theirs) = UnixStream::pair()?;
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        let server = command.spawn()?;
        // With it goes our copy of the other end: if the server ends, we are told.
        drop(command);
        let wire = Rc::new(RefCell::new(Wire::new(ours)?));
        let disk = Self { wire, server, place };
        disk.ask(&Order::Mount(disk.path()));
        Ok(disk)
    }

    /// An empty one that keeps names as they are written and finds them in any case, as those of most Macs and of sticks do. Made as
    /// [`Self::new`].
    pub fn folding() -> io::Result<Self> {
        let disk = Self::new()?;
        disk.ask(&Order::FoldCase);
        Ok(disk)
    }

    /// Its top directory.
    pub fn path(&self) -> PathBuf {
        self.place.path().to_owned()
    }

    /// From now on operations are counted, and one of them fails.
    pub fn arm(&self, plan: Plan) {
        self.ask(&Order::Arm(plan));
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        self.ask(&Order::Heal);
    }

    /// The operation at which the plan came true, in words.
    pub fn fired(&self) -> Option<String> {
        match self.ask(&Order::Fired) {
            Answer::Fired(at) => at,
            other => unreachable!("the server answers as it is asked: {other:?}"),
        }
    }

    /// Operations that the plan counted so far.
    pub fn count(&self) -> u64 {
        match self.ask(&Order::Count) {
            Answer::Count(count) => count,
            other => unreachable!("the server answers as it is asked: {other:?}"),
        }
    }

    /// What a machine would find that starts again after this moment.
    pub fn image(&self, left: Left) -> Image {
        match self.ask(&Order::Image(left)) {
            Answer::Image(number, digest) => Image { number, digest, wire: self.wire.clone() },
            other => unreachable!("the server answers as it is asked: {other:?}"),
        }
    }

    /// Replaces all it holds; nothing fails from now on. Everybody must have closed what they had open.
    pub fn load(&self, image: &Image) {
        self.ask(&Order::Load(image.number));
    }

    fn ask(&self, order: &Order) -> Answer {
        // Tests have no use for a disk whose server is gone.
        self.wire.borrow_mut().ask(order).unwrap_or_else(|error| panic!("the disk's server is gone: {error}"))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _server_is_gone = self.wire.borrow_mut().ask(&Order::Forget(self.number));
    }
}

impl Drop for FaultDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has something open keeps it, and nobody waits.
        let _not_mounted = unmount(self.place.path(), UnmountFlags::DETACH);
        let _is_gone = self.server.kill();
        let _is_gone = self.server.wait();
    }
}
