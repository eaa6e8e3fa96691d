//! A few people with one folder and its seeders, who work; and the quiet at the end, in which the oracles judge.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::claims::Claims;
use crate::dice::Dice;
use crate::machine::{FOLDER, LOOK_AGAIN, Machine, PATIENCE, Programs, Role};
use crate::person::Person;
use crate::sight::Sight;
use crate::tale::TALE;

const NAMES: [&str; 4] = ["Ana", "Ben", "Cem", "Dana"];
/// The longest that everything may take to come to rest.
const REST: Duration = Duration::from_secs(150);
/// More files than this do not come back by accident.
const RETURNED_MAX: usize = 10;

/// All computers, and everybody's work. Member `n` is at machine `n`; the seeders come behind the members.
pub(crate) struct World {
    pub(crate) machines: Vec<Machine>,
    pub(crate) people: Vec<Person>,
    pub(crate) claims: Claims,
    pub(crate) dice: Dice,
    /// How many things were done.
    pub(crate) deeds: u64,
    /// Files that came back (O4). Their owners tidy them up and go on.
    pub(crate) returned: usize,
    /// How often somebody was asked about what the brake held.
    pub(crate) asked: usize,
}

/// Who takes part, and where.
pub(crate) struct Cast<'a> {
    pub(crate) members: usize,
    pub(crate) seeders: usize,
    pub(crate) programs: &'a Programs,
    /// What is printed and told lies here, and every machine that no place is named for.
    pub(crate) dir: &'a Path,
    /// Where a machine lies that has a disk of its own.
    pub(crate) place: &'a dyn Fn(&str) -> Option<PathBuf>,
    /// Whether what people save is safe from a power cut before they do anything else.
    pub(crate) durable: bool,
}

impl World {
    /// Everybody has the folder, and every seeder has signed for it.
    pub(crate) fn set_up(cast: &Cast, seed: u64) -> Result<Self> {
        let mut dice = Dice::new(seed);
        let (mut machines, mut people) = (Vec::new(), Vec::new());
        for (n, name) in Self::names(cast.members, cast.seeders).iter().enumerate() {
            let role = if n < cast.members { Role::Member } else { Role::Seeder };
            let place = (cast.place)(name).unwrap_or_else(|| cast.dir.join(name));
            let mut machine = Machine::new(place, cast.dir.join(format!("{name}.said")), name, role, cast.programs)?;
            machine.start()?;
            machine.answers()?;
            machines.push(machine);
        }
        let tale = cast.dir.join(TALE);
        // Who looks at a world that failed starts its services where the others know them.
        let at = machines.iter().map(|machine| format!("{} {}\n", machine.listen(), machine.name));
        fs::write(cast.dir.join("addresses"), at.collect::<String>())?;
        fs::write(
            machines[0].root().join("first"),
            crate::content::Version { writer: 200, number: 0, base: seed, bytes: 5000 }.content(),
        )?;
        machines[0].json(&["create", path(&machines[0].root())?])?;
        for n in 1..cast.members {
            let key = text(&machines[n].json(&["whoami"])?, "cobox_key")?;
            let code = text(&machines[0].json(&["invite", FOLDER, "--to", &key])?, "code")?;
            machines[n].json(&["join", &code, path(&machines[n].root())?])?;
        }
        for n in cast.members..machines.len() {
            let offer = text(&machines[n].json(&["offer", "--space", "4GB"])?, "offer")?;
            machines[0].json(&["backup", "add", FOLDER, &offer])?;
        }
        for (n, machine) in machines.iter().enumerate().take(cast.members) {
            people.push(Person::new(&machine.name, n as u8, machine.root(), dice.split(), cast.durable, &tale)?);
        }
        let mut world = Self { machines, people, claims: Claims::default(), dice, deeds: 0, returned: 0, asked: 0 };
        world.come_to_rest()?;
        Ok(world)
    }

    /// What the machines are called.
    pub(crate) fn names(members: usize, seeders: usize) -> Vec<String> {
        let boxes = (1..=seeders).map(|n| format!("box {n}"));
        NAMES.iter().take(members).map(ToString::to_string).chain(boxes).collect()
    }

    pub(crate) fn members(&self) -> usize {
        self.people.len()
    }

    /// Somebody does one thing, whose machine is not dead to the disk.
    pub(crate) fn work(&mut self, who: usize) -> Result<()> {
        self.deeds += 1;
        self.people[who].work(&mut self.claims)
    }

    /// Somebody other than `resting` does something, if there is anybody.
    fn work_but(&mut self, resting: Option<usize>) -> Result<()> {
        let awake: Vec<usize> = (0..self.people.len()).filter(|who| Some(*who) != resting).collect();
        self.dice.pick(&awake).map_or(Ok(()), |who| self.work(*who))
    }

    /// Everybody does something or other, `times`.
    pub(crate) fn work_a_while(&mut self, times: usize) -> Result<()> {
        self.work_a_while_but(times, None)
    }

    pub(crate) fn work_a_while_but(&mut self, times: usize, resting: Option<usize>) -> Result<()> {
        (0..times).try_for_each(|_| self.work_but(resting))
    }

    /// Everybody works until a moment has come that the dice chose.
    pub(crate) fn work_until(&mut self, moment: Instant) -> Result<()> {
        self.work_until_but(moment, None)
    }

    pub(crate) fn work_until_but(&mut self, moment: Instant, resting: Option<usize>) -> Result<()> {
        while Instant::now() < moment {
            self.work_but(resting)?;
            let pause = self.dice.within(Duration::from_millis(60));
            std::thread::sleep(pause.min(moment.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Starts what does not run.
    pub(crate) fn start_all(&mut self) -> Result<()> {
        for machine in self.machines.iter_mut().filter(|machine| !machine.runs()) {
            machine.start()?;
        }
        self.machines.iter_mut().try_for_each(Machine::answers)
    }

    /// The quiet phase: nobody works, everything runs, all say that they are in step; and so it must be.
    pub(crate) fn come_to_rest(&mut self) -> Result<Sight> {
        self.start_all()?;
        let until = Instant::now() + REST;
        loop {
            match self.at_rest()? {
                None => break,
                Some(why) => {
                    self.machines.iter_mut().try_for_each(Machine::still_runs)?;
                    self.answer_what_is_held()?;
                    if Instant::now() > until {
                        bail!("o2, o7: not at rest after {REST:?}: {why}; {}", self.differences()?);
                    }
                }
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        let sight = self.judge()?;
        let returned = self.returned(&sight);
        if returned.is_empty() {
            return Ok(sight);
        }
        self.returned += returned.len();
        self.tell_of_returned(&returned, &sight)?;
        ensure!(self.returned <= RETURNED_MAX, "o4: {} files came back", self.returned);
        for (who, path) in returned {
            fs::remove_file(self.machines[who].root().join(path))?;
        }
        self.come_to_rest()
    }

    /// Why it is not yet quiet, if it is not. All are asked to look at their disks again.
    fn at_rest(&self) -> Result<Option<String>> {
        for _ in 0..2 {
            for machine in &self.machines[..self.members()] {
                let args = ["status", FOLDER, "--wait", "--timeout", "20"];
                let status = match machine.json_within(&args, PATIENCE) {
                    Ok(mut status) => status["folders"][0].take(),
                    Err(why) => return Ok(Some(why.to_string())),
                };
                if let Some(why) = unfinished(&status) {
                    return Ok(Some(format!("{}: {why}: {status}", machine.name)));
                }
            }
        }
        Ok(None)
    }

    /// People who tidy up in a hurry are asked whether they meant it, and so are the others. They did; what a service wrongly holds for
    /// deleted is missed by its owner after that.
    fn answer_what_is_held(&mut self) -> Result<()> {
        for machine in &self.machines[..self.people.len()] {
            let Ok(held) = machine.json_within(&["held", "list", FOLDER], PATIENCE) else { continue };
            if held["held"].as_array().is_some_and(|held| !held.is_empty()) {
                println!("{} is asked about {}", machine.name, held["held"]);
                self.asked += 1;
                machine.json(&["held", "approve", FOLDER])?;
            }
        }
        Ok(())
    }

    /// What differs between the members' folders.
    fn differences(&self) -> Result<String> {
        let first = Sight::of(&self.machines[0].root())?;
        let mut told = Vec::new();
        for machine in &self.machines[1..self.members()] {
            let other = Sight::of(&machine.root())?;
            told.extend(
                first
                    .differences(&other)
                    .into_iter()
                    .map(|difference| format!("{} and {}: {difference}", NAMES[0], machine.name)),
            );
        }
        Ok(told.join("; "))
    }

    /// What came back, and what was told of its place, its content, and its owner's service: the world goes on, and is gone in the end.
    fn tell_of_returned(&self, returned: &[(usize, PathBuf)], sight: &Sight) -> Result<()> {
        for (who, path) in returned {
            let version = sight.versions().find(|(there, _)| *there == path).map(|(_, version)| version);
            println!("o4: came back: {} with {version:?}", path.display());
            let owner = &self.people[*who];
            println!("  {}", self.machines[*who].json(&["history", FOLDER, &path.to_string_lossy()])?);
            let number = version.map(|version| format!("number: {},", version.number));
            let service = format!("{}'s service", owner.name);
            for line in fs::read_to_string(&owner.tale)?.lines() {
                let is_of_it =
                    line.contains(&*path.to_string_lossy()) || number.as_ref().is_some_and(|n| line.contains(n));
                if is_of_it || line.contains(&service) {
                    println!("  {line}");
                }
            }
        }
        Ok(())
    }

    /// Files that are where their owner did not leave them (O4).
    fn returned(&self, sight: &Sight) -> Vec<(usize, PathBuf)> {
        let of = |(who, person): (usize, &Person)| {
            let own = sight.versions().filter(|(path, _)| path.starts_with(&person.name));
            let extra = own.filter(|(path, _)| !person.files.contains_key(*path));
            extra.map(|(path, _)| (who, path.clone())).collect::<Vec<_>>()
        };
        self.people.iter().enumerate().flat_map(of).collect()
    }

    /// All say that they are in step. Then everybody has the same (O2, O8), whole (O3), with everything that somebody counts on, and with
    /// each person's own files as they left them (O1).
    fn judge(&self) -> Result<Sight> {
        let differences = self.differences()?;
        ensure!(differences.is_empty(), "o2, o8: all say that they are in step, but {differences}");
        let sight = Sight::of(&self.machines[0].root())?;
        let odd: Vec<String> = sight.odd().take(5).map(|(path, why)| format!("{}: {why}", path.display())).collect();
        ensure!(odd.is_empty(), "o3: nobody wrote this: {odd:?}");
        for person in &self.people {
            for (path, version) in &person.files {
                let there = sight.0.get(path);
                ensure!(
                    there == Some(&crate::sight::Found::Whole(*version)),
                    "o1: {} left {version:?} at {}, where now is {there:?}",
                    person.name,
                    path.display()
                );
            }
        }
        let shown: std::collections::BTreeSet<_> = sight.versions().map(|(_, version)| version).collect();
        let lost: Vec<_> = self.claims.standing().filter(|version| !shown.contains(version)).take(5).collect();
        ensure!(lost.is_empty(), "o1: nobody let this go, and it is nowhere: {lost:?}");
        Ok(sight)
    }

    /// At the very end: everything is read again from every disk, all stop as they should, and nothing ever broke.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.machines.iter().try_for_each(Machine::check)?;
        self.machines.iter_mut().try_for_each(Machine::stop)?;
        self.no_panics()
    }

    /// No service ever said that it broke.
    pub(crate) fn no_panics(&self) -> Result<()> {
        let mut found = Vec::new();
        for machine in &self.machines {
            found.extend(machine.panics()?);
        }
        ensure!(found.is_empty(), "o7: {found:?}");
        Ok(())
    }
}

/// Why a folder that says it is in step is not at rest yet: who is away, what is not signed for.
fn unfinished(status: &Value) -> Option<String> {
    let all = |list: &Value, good: &dyn Fn(&Value) -> bool| list.as_array().is_some_and(|list| list.iter().all(good));
    if status["held_changes"] != 0 {
        return Some("changes are held".into());
    }
    if !all(&status["problems"], &|_| false) {
        return Some("there are problems".into());
    }
    if !all(&status["members"], &|member| member["online"] == true && member["in_step"] == true) {
        return Some("not everybody is in step".into());
    }
    let signed = |backup: &Value| backup["complete"] == true && backup["receipt_at"].is_string();
    (!all(&status["backups"], &signed)).then(|| "a seeder has not signed".into())
}

fn text(value: &Value, field: &str) -> Result<String> {
    Ok(value[field].as_str().with_context(|| format!("no {field} in {value}"))?.to_owned())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a temporary directory has a plain name")
}
