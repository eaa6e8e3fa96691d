//! Ana and Ben share a folder, with a copy at a seeder; all three run. Mallory was let in, and has left with her keys; another seeder was
//! hired, and Mallory has its disk. After each script nobody may be worse off.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cobox_net::EndpointAddrs;
use cobox_proto::hosting::Offer;
use cobox_proto::id::{FolderId, SigKey};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::KeyKind;
use cobox_storm::{FOLDER, Machine, Programs, Role as MachineRole};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::call::{Call, Line, until};
use super::keys::{Loot, Mallory};

/// Who is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Ana,
    Ben,
    Box,
}

/// What lies somewhere: files by content, links by target.
type Sight = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// See the module's text.
pub struct Scene {
    pub(crate) runtime: Runtime,
    pub(crate) ana: Machine,
    pub(crate) ben: Machine,
    the_box: Machine,
    pub(crate) mallory: Mallory,
    pub(crate) evil: Loot,
    /// A hosting offer that was used for this folder.
    pub(crate) used_offer: Offer,
    pub(crate) folder: FolderId,
    outside: [Sight; 2],
    /// Files of the honest, which nobody else may change.
    honest: BTreeMap<&'static str, Vec<u8>>,
    beats: u32,
    // The last to go.
    _dir: tempfile::TempDir,
}

impl Scene {
    /// Everybody has the folder, both seeders have signed for it; then Mallory and the second seeder are switched off.
    pub fn set_up(programs: &Programs) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let machine = |name: &str, role| -> Result<Machine> {
            let mut machine =
                Machine::new(dir.path().join(name), dir.path().join(format!("{name}.said")), name, role, programs)?;
            machine.start()?;
            Ok(machine)
        };
        let [mut ana, mut ben, mut mal] = [("Ana"), ("Ben"), ("Mal")].map(|name| machine(name, MachineRole::Member));
        let [mut the_box, mut evil] = ["box", "evil"].map(|name| machine(name, MachineRole::Seeder));
        for machine in [&mut ana, &mut ben, &mut mal, &mut the_box, &mut evil] {
            machine.as_mut().map_err(|why| anyhow::anyhow!("{why:#}"))?.answers()?;
        }
        let (ana, ben, mut mal, the_box, mut evil) = (ana?, ben?, mal?, the_box?, evil?);
        let honest = BTreeMap::from([
            ("song.txt", b"la la la".to_vec()),
            ("band.bin", crate::noise(8, 300_000)),
            ("sub/notes.txt", b"do re mi".to_vec()),
        ]);
        fs::create_dir_all(ana.root().join("sub"))?;
        for (path, content) in &honest {
            fs::write(ana.root().join(path), content)?;
        }
        ana.json(&["create", text_of(&ana.root())?])?;
        for machine in [&ben, &mal] {
            let key = text(&machine.json(&["whoami"])?, "cobox_key")?;
            let code = text(&ana.json(&["invite", FOLDER, "--to", &key])?, "code")?;
            machine.json(&["join", &code, text_of(&machine.root())?])?;
        }
        fs::write(mal.root().join("hello.txt"), "hello")?;
        until("Mallory's file is everywhere", || {
            Ok([&ana, &ben].iter().all(|machine| machine.root().join("hello.txt").exists()))
        })?;
        let mut offers = Vec::new();
        for machine in [&the_box, &evil] {
            let offer = text(&machine.json(&["offer", "--space", "1GB"])?, "offer")?;
            ana.json(&["backup", "add", FOLDER, &offer])?;
            offers.push(offer);
        }
        until("both seeders have signed", || {
            let signed = |row: &Value| row["complete"] == true && row["receipt_at"].is_string();
            let status = ana.json(&["status", FOLDER])?["folders"][0].take();
            Ok(status["backups"].as_array().is_some_and(|rows| rows.len() == 2 && rows.iter().all(signed)))
        })?;
        mal.stop()?;
        evil.stop()?;
        let mallory = Mallory::of(&mal)?;
        let folder = mallory.folder;
        let loot = Loot::of(&evil, folder)?;
        for machine in [&ana, &ben] {
            fs::create_dir_all(machine.dir().join("outside"))?;
            fs::write(machine.dir().join("outside/victim.txt"), "untouched")?;
        }
        let outside = [around(&ana)?, around(&ben)?];
        let mut scene = Self {
            runtime: Runtime::new()?,
            ana,
            ben,
            the_box,
            mallory,
            evil: loot,
            used_offer: Offer::from_text(&offers[0])?,
            folder,
            outside,
            honest,
            beats: 0,
            _dir: dir,
        };
        scene.judge()?;
        Ok(scene)
    }

    pub(crate) fn machine(&self, at: At) -> &Machine {
        match at {
            At::Ana => &self.ana,
            At::Ben => &self.ben,
            At::Box => &self.the_box,
        }
    }

    /// Where somebody is.
    pub(crate) fn address(&self, at: At) -> Result<EndpointAddrs> {
        let addrs: Vec<SocketAddr> = vec![self.machine(at).listen()];
        let key = match at {
            At::Box => SigKey(self.used_offer.ticket.endpoint.0),
            _ => text(&self.machine(at).json(&["whoami"])?, "device_key")?.parse()?,
        };
        Ok(EndpointAddrs { key, addrs, relays: vec![] })
    }

    /// Calls somebody's machine from a machine with this key.
    pub(crate) fn line(&self, at: At, machine: &[u8; 32]) -> Result<Line> {
        Line::to(self.runtime.handle(), &self.address(at)?, machine)
    }

    /// Calls as the member she is.
    pub(crate) fn as_member(&self, at: At) -> Result<Call> {
        let line = self.line(at, &self.mallory.machine)?;
        let call = line.enter(self.folder, KeyKind::Device, self.mallory.device.sig.clone())?;
        call.context("she is a member, and was not let in")
    }

    /// Calls as the seeder that was hired.
    pub(crate) fn as_seeder(&self, at: At) -> Result<Call> {
        let line = self.line(at, &self.evil.machine)?;
        let call = line.enter(self.folder, KeyKind::Seeder, self.evil.seeder.clone())?;
        call.context("it is a seeder of this folder, and was not let in")
    }

    /// Whether the log of somebody has a line with all of these.
    pub(crate) fn logged(&self, at: At, words: &[&str]) -> bool {
        self.machine(at).logged().lines().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// Waits until the log of somebody has a line with all of these.
    pub(crate) fn is_told(&self, at: At, words: &[&str]) -> Result<()> {
        until(&format!("{at:?} is told {words:?}"), || Ok(self.logged(at, words)))
    }

    pub(crate) fn status(&self, at: At) -> Result<Value> {
        Ok(self.machine(at).json(&["status", FOLDER])?["folders"][0].take())
    }

    /// The short name of Mallory's device, as logs have it.
    pub(crate) fn mallorys_name(&self) -> String {
        self.mallory.device.sig.public().short()
    }

    /// The short name of the evil seeder.
    pub(crate) fn seeders_name(&self) -> String {
        self.evil.seeder.public().short()
    }

    /// Nobody is worse off: no program ended, none broke, nothing beside the folders changed, the honest files are as they were, and what
    /// one of the honest writes reaches the other and the seeder.
    pub(crate) fn judge(&mut self) -> Result<()> {
        for machine in [&mut self.ana, &mut self.ben, &mut self.the_box] {
            machine.still_runs()?;
            let panics = machine.panics()?;
            ensure!(panics.is_empty(), "o7: {panics:?}");
        }
        for (machine, before) in [&self.ana, &self.ben].into_iter().zip(&self.outside) {
            let now = around(machine)?;
            let changed: Vec<&PathBuf> =
                now.keys().chain(before.keys()).filter(|path| now.get(*path) != before.get(*path)).collect();
            ensure!(changed.is_empty(), "{}: outside of the folder changed {changed:?}", machine.name);
        }
        self.beats += 1;
        let (from, to) = if self.beats.is_multiple_of(2) { (&self.ana, &self.ben) } else { (&self.ben, &self.ana) };
        let beat = format!("beat {}", self.beats);
        fs::write(from.root().join("beat.txt"), &beat)?;
        until("an honest edit arrives", || {
            Ok(fs::read_to_string(to.root().join("beat.txt")).is_ok_and(|text| text == beat))
        })?;
        until("the honest seeder signs for it", || {
            let status = self.status(At::Ana)?;
            let rows = status["backups"].as_array().cloned().unwrap_or_default();
            Ok(rows.iter().any(|row| row["complete"] == true && row["online"] == true))
        })?;
        for machine in [&self.ana, &self.ben] {
            for (path, content) in &self.honest {
                let there = fs::read(machine.root().join(path)).with_context(|| format!("{}: {path}", machine.name))?;
                ensure!(there == *content, "o1, o3: {}: {path} has changed", machine.name);
            }
        }
        Ok(())
    }

    /// A key that is nothing to anybody.
    pub(crate) fn strange_key(n: u8) -> SecretKey {
        SecretKey::from_seed(&[n; 32])
    }
}

/// All that lies beside somebody's home and folder.
fn around(machine: &Machine) -> Result<Sight> {
    let (mut sight, mut todo) = (Sight::new(), vec![machine.dir().to_owned()]);
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path == machine.home() || path == machine.root() {
                continue;
            }
            let meta = fs::symlink_metadata(&path)?;
            let content = if meta.is_dir() {
                todo.push(path.clone());
                None
            } else if meta.is_symlink() {
                Some(fs::read_link(&path)?.into_os_string().into_encoded_bytes())
            } else {
                Some(fs::read(&path)?)
            };
            sight.insert(path, content);
        }
    }
    Ok(sight)
}

pub(crate) fn text(value: &Value, field: &str) -> Result<String> {
    Ok(value[field].as_str().with_context(|| format!("no {field} in {value}"))?.to_owned())
}

fn text_of(path: &Path) -> Result<&str> {
    path.to_str().context("a temporary directory has a plain name")
}
