//! Power cuts: every machine has a disk of its own, which is cut off under a busy service with all that was not synced (K3); again while
//! it recovers (K6); and what a seeder has signed for is all there afterwards, for somebody who has nothing else (K7).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::disk::Disk;
use crate::kill::Tally;
use crate::machine::{FOLDER, Machine, Programs, Role};
use crate::sight::Sight;
use crate::world::{Cast, World};

/// The longest busy time before a cut.
const BUSY: Duration = Duration::from_millis(900);
/// Cuts during recovery come within so long of a start.
const RECOVERY: Duration = Duration::from_millis(400);
/// Cuts between two quiet phases.
const SPELL: usize = 5;

/// Power cuts in one world.
pub struct PowerStorm<'a> {
    /// Decides everything but the machine's own speed.
    pub seed: u64,
    /// At least so many cuts.
    pub cuts: usize,
    /// Members. There is one seeder.
    pub members: usize,
    /// The programs under test.
    pub programs: &'a Programs,
    /// An empty directory.
    pub dir: &'a Path,
}

impl PowerStorm<'_> {
    /// Why power can not be cut here, if it can not.
    pub fn missing(&self) -> Option<String> {
        Disk::missing(self.dir)
    }

    /// Runs it. An error names the oracle it fails (`o1:` ...) and what was seen.
    pub fn run(&self) -> Result<Tally> {
        let place = |name: &str| self.dir.join(format!("{name}.disk"));
        let names: Vec<String> = World::names(self.members, 1);
        // Dropped last, after the machines that use them.
        let disks = names.iter().map(|name| Disk::new(&place(name))).collect::<Result<Vec<Disk>>>()?;
        let cast = Cast {
            members: self.members,
            seeders: 1,
            programs: self.programs,
            dir: self.dir,
            place: &|name| Some(place(name)),
            durable: true,
        };
        let mut world = World::set_up(&cast, self.seed).context("before the storm")?;
        let mut tally = Tally::default();
        while tally.faults < self.cuts {
            let from = tally.faults;
            while tally.faults < self.cuts.min(from + SPELL) {
                self.cut(&mut world, &disks, &mut tally)?;
            }
            world.come_to_rest().with_context(|| format!("in the quiet after cuts {from} to {}", tally.faults))?;
            tally.rests += 1;
        }
        self.signed_for_is_there(&mut world, &disks).context("k7: what the seeder signed for")?;
        world.come_to_rest().context("at the end")?;
        world.finish().context("at the end")?;
        tally.faults += 1;
        (tally.deeds, tally.returned, tally.asked) = (world.deeds, world.returned, world.asked);
        Ok(tally)
    }

    fn cut(&self, world: &mut World, disks: &[Disk], tally: &mut Tally) -> Result<()> {
        let victim = world.dice.below(disks.len());
        // A person who syncs syncs for the service, too: in half of the cases nobody works at the machine that is hit.
        let resting = (victim < self.members && world.dice.one_in(2)).then_some(victim);
        let moment = Instant::now() + world.dice.within(BUSY);
        world.work_until_but(moment, resting)?;
        cut_off(world, disks, victim)?;
        tally.faults += 1;
        if world.dice.one_in(3) {
            world.work_a_while_but(4, Some(victim))?;
        }
        bring_back(world, disks, victim)?;
        // Some, however the dice fall: how often they are thrown is a matter of time.
        while tally.early < tally.faults / 6 || world.dice.one_in(3) {
            let moment = world.machines[victim].started + world.dice.within(RECOVERY);
            std::thread::sleep(moment.saturating_duration_since(Instant::now()));
            cut_off(world, disks, victim)?;
            tally.faults += 1;
            tally.early += 1;
            bring_back(world, disks, victim)?;
        }
        Ok(())
    }

    /// The seeder signs for everything and loses power at once; and then the members are gone for good. Somebody with the recovery words
    /// has it all from the seeder alone.
    fn signed_for_is_there(&self, world: &mut World, disks: &[Disk]) -> Result<()> {
        let the_box = self.members;
        let kit = world.machines[0].json(&["recovery", "kit"])?;
        let (words, ticket) = (kit["words"].as_str(), kit["seeders"][0].as_str());
        let (words, ticket) = words.zip(ticket).with_context(|| format!("no words and ticket in {kit}"))?;
        world.work_a_while(10)?;
        let signed = world.come_to_rest()?;
        cut_off(world, disks, the_box)?;
        for member in &mut world.machines[..self.members] {
            member.put_out()?;
        }
        bring_back(world, disks, the_box)?;
        world.machines[the_box].answers()?;
        world.machines[the_box].check()?;
        let dir = self.dir.join("new");
        let mut new = Machine::new(dir.clone(), self.dir.join("new.said"), "new", Role::Member, self.programs)?;
        new.start()?;
        new.answers()?;
        let (file, to) = (dir.join("words"), dir.join("back"));
        fs::write(&file, words)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        let args = ["recover", "--words-file", text(&file)?, "--seeder", ticket, "--to", text(&to)?];
        new.json_within(&args, Duration::from_secs(120))?;
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let back = Sight::of(&to.join(FOLDER)).unwrap_or_default();
            let differences = signed.differences(&back);
            if differences.is_empty() {
                break;
            }
            ensure!(Instant::now() < until, "o1: {differences:?}");
            std::thread::sleep(crate::machine::LOOK_AGAIN);
        }
        new.stop()
    }
}

/// The plug is pulled: the disk first, since a service that has time to end could write something down.
fn cut_off(world: &mut World, disks: &[Disk], victim: usize) -> Result<()> {
    disks[victim].cut()?;
    world.machines[victim].put_out()
}

/// The machine is switched on again. What its person had synced is there, or this disk is no disk.
fn bring_back(world: &mut World, disks: &[Disk], victim: usize) -> Result<()> {
    disks[victim].again()?;
    if let Some(person) = world.people.get(victim) {
        person.still_has_own_files()?;
    }
    world.machines[victim].start()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a temporary directory has a plain name")
}
