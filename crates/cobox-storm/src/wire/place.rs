//! A network of its own for one machine: a namespace whose only way out is an interface that ends in this process. It has no name that
//! anybody else sees, and is gone with this process however that ends.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use rustix::ioctl;

/// What the interface is called inside.
const INTERFACE: &str = "wire";

/// One network.
pub(super) struct Place {
    /// Keeps the namespace.
    namespace: File,
    /// What the machine sends is read here, and what is written here the machine receives: IP packets.
    pub(super) tunnel: File,
}

impl Place {
    /// A network with its interface up and without an address. Needs Linux, root, `ip` and `nsenter`.
    pub(super) fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cobox-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(Command::new("ip").args(["netns", "add", &name]))?;
        // From here on the open file keeps it, not the name.
        let namespace =
            File::open(format!("/run/netns/{name}")).or_else(|_| File::open(format!("/var/run/netns/{name}")));
        let unnamed = run(Command::new("ip").args(["netns", "delete", &name]));
        let namespace = namespace.with_context(|| format!("open the network namespace {name}"))?;
        unnamed?;
        let tunnel = File::options().read(true).write(true).open("/dev/net/tun").context("open /dev/net/tun")?;
        let interface = attach(&tunnel).context("make a tunnel")?;
        let place = Self { namespace, tunnel };
        run(Command::new("ip").args(["link", "set", &interface, "netns", &place.path()]))?;
        place.ip(&["link", "set", &interface, "name", INTERFACE])?;
        place.ip(&["link", "set", "lo", "up"])?;
        place.ip(&["link", "set", INTERFACE, "mtu", "1500", "up"])?;
        Ok(place)
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// Words to put before a program so that it runs here.
    pub(super) fn prefix(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--net={}", self.path()), "--".into()]
    }

    /// Runs `ip` here.
    fn ip(&self, args: &[&str]) -> Result<()> {
        let words = self.prefix();
        run(Command::new(&words[0]).args(&words[1..]).arg("ip").args(args))
    }

    /// These addresses and no others; everything that is not this machine is out there.
    pub(super) fn addresses(&self, addresses: &[String]) -> Result<()> {
        self.ip(&["address", "flush", "dev", INTERFACE])?;
        for address in addresses {
            let family = if address.contains(':') { "-6" } else { "-4" };
            let tail: &[&str] = if family == "-6" { &["nodad"] } else { &[] };
            self.ip(&[&[family, "address", "add", address, "dev", INTERFACE], tail].concat())?;
            self.ip(&[family, "route", "replace", "default", "dev", INTERFACE])?;
        }
        Ok(())
    }

    /// Pulls the plug of the interface, or puts it back. The machine notices: its routes are gone.
    pub(super) fn plug(&self, there: bool) -> Result<()> {
        self.ip(&["link", "set", INTERFACE, if there { "up" } else { "down" }])
    }

    /// Takes the interface away. Whoever waits for a packet hears of it.
    pub(super) fn close(&self) {
        let _already_gone = self.ip(&["link", "delete", INTERFACE]);
    }
}

/// Why there can be no networks here, if so.
pub(super) fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() {
        return Some("networks of their own need Linux and root".into());
    }
    for program in ["ip", "nsenter"] {
        if !Command::new(program).arg("-V").output().is_ok_and(|ran| ran.status.success()) {
            return Some(format!("networks of their own need the program {program}"));
        }
    }
    if let Err(why) = fs::metadata("/dev/net/tun") {
        return Some(format!("networks of their own need /dev/net/tun: {why}"));
    }
    let tried = Place::new().and_then(|place| place.addresses(&["10.77.0.1/16".into()]));
    tried.err().map(|why| format!("no network can be made here: {why:#}"))
}

/// Makes a tunnel for IP packets, of which this file is one end; the name of the interface that is the other.
#[allow(unsafe_code, reason = "no crate wraps this call, and no program can make it for us")]
fn attach(tunnel: &File) -> Result<String> {
    /// `struct ifreq`.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: u16,
        _rest: [u8; 22],
    }
    const SET: ioctl::Opcode = ioctl::opcode::write::<u32>(b'T', 202);
    const TUN: u16 = 0x0001;
    const NO_HEADER: u16 = 0x1000;
    let mut request = Request { name: [0; 16], flags: TUN | NO_HEADER, _rest: [0; 22] };
    // The kernel counts.
    request.name[..7].copy_from_slice(b"cobox%d");
    // SAFETY: the kernel reads and writes one `ifreq` of 40 bytes, which is what it is lent, and keeps nothing.
    unsafe { ioctl::ioctl(tunnel, ioctl::Updater::<SET, Request>::new(&mut request)) }.map_err(io::Error::from)?;
    let name = request.name.split(|byte| *byte == 0).next().unwrap_or_default();
    ensure!(!name.is_empty(), "the interface has no name");
    Ok(String::from_utf8(name.to_vec())?)
}

fn run(command: &mut Command) -> Result<()> {
    let Output { status, stderr, .. } = command.output().with_context(|| format!("{command:?}"))?;
    if status.success() {
        return Ok(());
    }
    bail!("{command:?}: {}", String::from_utf8_lossy(&stderr).trim())
}
