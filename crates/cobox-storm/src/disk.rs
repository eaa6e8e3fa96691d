//! Disks of their own for machines: ext4 in a file, whose power can be cut. What was not synced is gone then, as it is when a plug is
//! pulled: the ioctl makes ext4 forget everything that its journal has not yet on the disk, data and names.
//!
//! Needs Linux, root, and loop devices. Limits: the file beneath is whole, so a disk that lies about its own cache is not tried.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Room for a home and a folder. Only what is written takes any.
const BYTES: u64 = 512 << 20;
/// The journal is written when somebody asks for it, and otherwise hardly ever; and a rename brings no data along by itself. So a
/// missing sync shows.
const OPTIONS: &str = "loop,noatime,commit=300,noauto_da_alloc";
/// How long a disk may be in use by a process that is ending.
const UNMOUNT: Duration = Duration::from_secs(20);

/// A mounted disk. Dropped, it is unmounted.
pub(crate) struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// A new, empty disk at this place.
    pub(crate) fn new(mount: &Path) -> Result<Self> {
        let image = mount.with_extension("image");
        fs::create_dir_all(mount)?;
        File::create_new(&image)?.set_len(BYTES)?;
        let disk = Self { image, mount: mount.into() };
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-J", "size=16"]).arg(&disk.image))?;
        disk.mounted()?;
        Ok(disk)
    }

    /// Why power can not be cut here, if it can not.
    pub(crate) fn missing(dir: &Path) -> Option<String> {
        if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() {
            return Some("mounting a disk needs Linux and root".into());
        }
        let tried = (|| {
            let mount = dir.join("tried");
            let disk = Self::new(&mount)?;
            fs::write(mount.join("lost"), "lost")?;
            disk.cut()?;
            disk.again()?;
            let lost = !mount.join("lost").exists();
            drop(disk);
            fs::remove_file(mount.with_extension("image"))?;
            if lost { Ok(()) } else { bail!("a file that was not synced survived") }
        })();
        tried.err().map(|why| format!("no disk can be cut off here: {why:#}"))
    }

    fn mounted(&self) -> Result<()> {
        run(Command::new("mount").args(["-t", "ext4", "-o", OPTIONS]).arg(&self.image).arg(&self.mount))
    }

    /// Cuts the power. Whoever still uses it sees errors.
    pub(crate) fn cut(&self) -> Result<()> {
        let dir = File::open(&self.mount)?;
        shut_down(&dir).with_context(|| format!("cut off {}", self.mount.display()))
    }

    /// Mounts it again after a cut, once nobody uses it.
    pub(crate) fn again(&self) -> Result<()> {
        let until = Instant::now() + UNMOUNT;
        while let Err(why) = run(Command::new("umount").arg(&self.mount)) {
            if Instant::now() > until {
                return Err(why);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.mounted()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _already_gone = Command::new("umount").arg("-l").arg(&self.mount).output();
    }
}

/// ext4 stops where it stands and does not write its journal: `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`.
#[allow(unsafe_code, reason = "no crate wraps this call, and no program that makes it is everywhere")]
fn shut_down(on_the_disk: impl AsFd) -> io::Result<()> {
    const SHUTDOWN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(b'X', 125);
    const NO_LOG_FLUSH: u32 = 2;
    // SAFETY: ext4 reads one u32 through the pointer, for which the setter lends its own, and keeps nothing; another file system
    // answers ENOTTY.
    unsafe { rustix::ioctl::ioctl(on_the_disk, rustix::ioctl::Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }?;
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())
}
