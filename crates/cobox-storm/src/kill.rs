//! The kill storm: real services are killed at any moment of a busy time, while they start, and while they recover from the last kill
//! (K2, K6); halted and let go on (K9, T5); and in the quiet that follows nothing is lost.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::machine::Programs;
use crate::world::{Cast, World};

/// Kills "while it starts" come within so long.
const START: Duration = Duration::from_millis(200);
/// The longest busy time between two faults.
const BUSY: Duration = Duration::from_millis(600);
/// Faults between two quiet phases.
const SPELL: usize = 25;

/// One kill storm in one world.
pub struct KillStorm<'a> {
    /// Decides everything but the machine's own speed.
    pub seed: u64,
    /// At least so many kills.
    pub kills: usize,
    /// Members.
    pub members: usize,
    /// Seeders.
    pub seeders: usize,
    /// The longest that a service is halted.
    pub halt_max: Duration,
    /// The programs under test.
    pub programs: &'a Programs,
    /// An empty directory.
    pub dir: &'a Path,
}

/// What a storm did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Services killed, or disks cut off.
    pub faults: usize,
    /// Of them, while a service started or recovered.
    pub early: usize,
    /// Services halted and let go on.
    pub halts: usize,
    /// Things people did.
    pub deeds: u64,
    /// Quiet phases, each judged.
    pub rests: usize,
    /// Files that came back, or a second time, where their owner had deleted or moved them (O4). Nothing is lost by that, but it is
    /// not right either.
    pub returned: usize,
    /// How often somebody was asked about what the brake held, and approved it.
    pub asked: usize,
}

impl KillStorm<'_> {
    /// Runs it. An error names the oracle it fails (`o1:` ...) and what was seen.
    pub fn run(&self) -> Result<Tally> {
        let place = |_: &str| None;
        let cast = Cast {
            members: self.members,
            seeders: self.seeders,
            programs: self.programs,
            dir: self.dir,
            place: &place,
            durable: false,
        };
        let mut world = World::set_up(&cast, self.seed).context("before the storm")?;
        let mut tally = Tally::default();
        let mut spell = 0;
        while tally.faults < self.kills {
            spell += 1;
            let (from, end) = (tally.faults, spell * SPELL);
            while tally.faults < self.kills.min(end) {
                self.fault(&mut world, &mut tally)?;
            }
            world.come_to_rest().with_context(|| format!("in the quiet after kills {from} to {}", tally.faults))?;
            tally.rests += 1;
        }
        world.finish().context("at the end")?;
        (tally.deeds, tally.returned, tally.asked) = (world.deeds, world.returned, world.asked);
        Ok(tally)
    }

    fn fault(&self, world: &mut World, tally: &mut Tally) -> Result<()> {
        let moment = Instant::now() + world.dice.within(BUSY);
        world.work_until(moment)?;
        let victim = self.victim(world);
        match world.dice.below(12) {
            0..=1 => {
                world.machines[victim].kill()?;
                tally.faults += 1;
                let while_dead = world.dice.below(3) * 3;
                world.work_a_while(while_dead)?;
                world.machines[victim].start()
            }
            2..=6 => kill_while_starting(world, victim, 1, tally),
            7..=8 => kill_while_starting(world, victim, 3, tally),
            9 => {
                for machine in &mut world.machines {
                    machine.kill()?;
                    tally.faults += 1;
                }
                world.work_a_while(4)?;
                world.machines.iter_mut().try_for_each(crate::machine::Machine::start)
            }
            10 => {
                world.machines[victim].halt()?;
                tally.halts += 1;
                let until = Instant::now() + world.dice.within(self.halt_max);
                world.work_until(until)?;
                world.machines[victim].go_on()
            }
            _ => {
                world.machines[victim].ask_to_stop()?;
                let pause = world.dice.within(START);
                std::thread::sleep(pause);
                world.machines[victim].kill_stopping()?;
                tally.faults += 1;
                world.machines[victim].start()
            }
        }
    }

    /// Mostly a member.
    fn victim(&self, world: &mut World) -> usize {
        let n = if world.dice.one_in(5) { self.members + self.seeders } else { self.members };
        world.dice.below(n)
    }
}

/// Kills it, and then so many times within moments of its start.
fn kill_while_starting(world: &mut World, victim: usize, times: usize, tally: &mut Tally) -> Result<()> {
    world.machines[victim].kill()?;
    tally.faults += 1;
    for _ in 0..times {
        world.machines[victim].start()?;
        let moment = world.machines[victim].started + world.dice.within(START);
        if world.dice.one_in(2) {
            world.work_a_while(1)?;
        }
        std::thread::sleep(moment.saturating_duration_since(Instant::now()));
        world.machines[victim].kill()?;
        tally.faults += 1;
        tally.early += 1;
    }
    world.machines[victim].start()
}
