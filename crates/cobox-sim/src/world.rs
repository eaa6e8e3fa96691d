//! One run: a storm of edits, delays, broken links, stops and restored backups; a quiet phase; the oracles; and once more.

use std::collections::{BTreeMap, VecDeque};

use crate::cast::{CROWD_MAX, Cast, HOSTS_MAX, PEOPLE_MAX};
use crate::dice::Dice;
use crate::disk::Bytes;
use crate::faults::{Faults, Machine};
use crate::host::Host;
use crate::ledger::Ledger;
use crate::links::{End, HOSTS_FROM};
use crate::member::{Durable, Live, Member, Packet};
use crate::{people, witness};

/// What a run is made of; which faults happen at all is drawn from the seed (a storm that does everything at once hides much).
#[derive(Debug, Clone)]
pub struct Options {
    /// Things that happen in each storm.
    pub storm_steps: usize,
    /// Storms, each with its quiet phase.
    pub storms: usize,
    /// Print the story as it goes.
    pub verbose: bool,
    /// Tell where contents are that have this text in them.
    pub follow: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { storm_steps: 400, storms: 2, verbose: false, follow: None }
    }
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Over all that happened, in order (O10).
    pub trace: [u8; 32],
    /// The first promise that was broken.
    pub failure: Option<String>,
    /// Heads published.
    pub heads: u64,
    /// Contents written.
    pub contents: u64,
}

/// Runs one seed.
pub fn run(cast: &Cast, seed: u64, options: &Options) -> Report {
    #[cfg(debug_assertions)]
    {
        cobox_proto::id::remember_names();
        cobox_proto::sign::remember_verified();
        cobox_core::keys::remember_envelopes();
        cobox_core::seal::remember_sealed();
    }
    let world = || World::new(cast, seed, options.clone()).run();
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(world)) {
        Ok(report) => report,
        Err(_) => Report { trace: [0; 32], failure: Some("O7: it panics".into()), heads: 0, contents: 0 },
    }
}

/// See the module.
#[derive(Debug)]
pub struct World<'c> {
    pub(crate) cast: &'c Cast,
    pub(crate) options: Options,
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    pub(crate) now_ms: u64,
    /// When the program last changed somebody's disk.
    pub(crate) changed_ms: u64,
    pub(crate) members: Vec<Member<'c>>,
    pub(crate) hosts: Vec<Host<'c>>,
    /// How many members there are without twins.
    pub(crate) people: usize,
    backups: Vec<Option<(Durable, u64)>>,
    pub(crate) other: BTreeMap<End, End>,
    pub(crate) queues: BTreeMap<End, VecDeque<Packet>>,
    /// Those of them in which something is on its way, in their order.
    pub(crate) ready: Vec<End>,
    pub(crate) next_peer: u64,
    pub(crate) ledger: Ledger,
    /// A backup was restored, or a deletion refused: what was published and fetched by nobody may be gone for good, and is
    /// waited for.
    pub(crate) may_lack: bool,
    trace: blake3::Hasher,
}

impl<'c> World<'c> {
    pub(crate) fn new(cast: &'c Cast, seed: u64, options: Options) -> Self {
        let mut dice = Dice::new(seed);
        let mut count = 2 + dice.below(PEOPLE_MAX - 1);
        let faults = Faults::draw(seed, &mut dice);
        let mut luck = Dice::new(seed ^ 0x6c75_636b);
        let ops = if faults.hosts > 0 { &cast.hosted_ops } else { &cast.ops };
        if faults.crowd {
            count = CROWD_MAX;
        }
        let mut grains = Dice::new(seed ^ 0x6772_6169);
        let mut machine = || {
            let grain_s = if faults.coarse_times { grains.below(3) as i64 } else { 0 };
            let (luck, faults) = (Dice::new(luck.next()), faults.clone());
            Machine { luck, faults, grain_ns: grain_s * 1_000_000_000, ..Machine::healthy() }
        };
        let members: Vec<Member<'_>> = (0..count)
            .map(|n| Member::at(cast, ops, n).on(machine()).with_a_log(faults.membership).taking_older(faults.older))
            .collect();
        let hosts = (0..faults.hosts.min(HOSTS_MAX))
            .map(|n| Host::at(cast, n, machine(), Dice::new(seed ^ 0x7365_676d ^ n as u64)))
            .collect();
        Self {
            cast,
            options,
            dice,
            faults,
            now_ms: 1_700_000_000_000,
            changed_ms: 0,
            backups: vec![None; members.len()],
            people: members.len(),
            members,
            hosts,
            other: BTreeMap::new(),
            queues: BTreeMap::new(),
            ready: Vec::new(),
            next_peer: 0,
            ledger: Ledger::default(),
            may_lack: false,
            trace: blake3::Hasher::new(),
        }
    }

    fn run(mut self) -> Report {
        let mut failure = None;
        for storm in 0..self.options.storms {
            self.storm();
            if let Err(why) = self.quiet() {
                self.note(&format!("storm {storm}: {why}"));
                failure = Some(why);
                break;
            }
        }
        Report {
            trace: *self.trace.finalize().as_bytes(),
            failure,
            heads: self.members.iter().map(|member| member.published).sum(),
            contents: self.ledger.count,
        }
    }

    pub(crate) fn note(&mut self, what: &str) {
        self.trace.update(what.as_bytes()).update(b"\n");
        if self.options.verbose {
            println!("{:>9} {what}", self.now_ms - 1_700_000_000_000);
        }
    }

    // ---- what happens ----

    fn storm(&mut self) {
        for member in &mut self.members {
            member.machine.faults = self.faults.clone();
        }
        for host in self.hosts.iter_mut().filter(|_| self.faults.segments) {
            host.suffer(self.faults.clone());
        }
        for _ in 0..self.options.storm_steps {
            let member = self.dice.below(self.members.len());
            if !self.hosts.is_empty() && self.dice.one_in(5) {
                self.host();
                self.tidy();
                continue;
            }
            if self.faults.weather && self.dice.one_in(60) {
                self.weather(member);
                self.tidy();
            }
            if self.faults.unmounts && self.dice.one_in(30) {
                self.mount(member);
                self.tidy();
            }
            if self.faults.membership && self.dice.one_in(40) {
                self.change_people(member);
                self.tidy();
            }
            match self.dice.below(100) {
                0..=34 => self.deliver(),
                35..=69 => self.work(member),
                70..=79 => self.edit(member),
                80..=83 => self.look(member),
                84..=92 => {
                    let ms = 1 + self.dice.below(3_000) as u64;
                    self.pass(ms);
                }
                93 | 94 => self.connect_some(),
                95 if self.faults.cuts => self.cut_some(),
                96 if self.faults.stops => {
                    self.members[member].stop_after = Some(self.dice.below(12) as u32);
                }
                97 if self.faults.backups => self.back_up_or_restore(member),
                98 if self.faults.twins && self.dice.one_in(4) => self.wake_twice(member),
                _ => self.start_if_stopped(member),
            }
            self.tidy();
        }
    }

    /// Somebody's folder is not mounted any more, or again.
    fn mount(&mut self, member: usize) {
        let here = &mut self.members[member];
        let (name, is) = (here.name, if here.mount() { "is mounted again" } else { "is not mounted" });
        self.note(&format!("{name}'s folder {is}"));
    }

    /// Something happens at a seeder.
    fn host(&mut self) {
        let n = self.dice.below(self.hosts.len());
        let chance = self.dice.below(100);
        let name = self.hosts[n].name;
        match chance {
            0..=49 => self.hosts[n].work(self.now_ms),
            50..=79 => {
                let member = self.dice.below(self.members.len());
                self.connect(member, HOSTS_FROM + n);
            }
            80..=84 if self.faults.stops => self.hosts[n].stop_after(self.dice.below(12) as u32),
            85 | 86 if self.faults.rot => {
                if let Some(cid) = self.hosts[n].rot() {
                    self.note(&format!("{name}'s block {} rots", cid.short()));
                }
            }
            87 if self.faults.clocks => self.hosts[n].machine.set_clock(),
            88 if self.faults.nights => {
                let days = 1 + self.dice.below(20) as u64;
                self.note(&format!("{days} days pass"));
                self.pass(days * 86_400_000);
            }
            _ => self.start_host_if_stopped(n),
        }
    }

    pub(crate) fn start_host_if_stopped(&mut self, n: usize) {
        if !self.hosts[n].is_live() {
            self.hosts[n].start(self.now_ms);
            let name = self.hosts[n].name;
            self.note(&format!("{name} starts"));
        }
    }

    pub(crate) fn work(&mut self, member: usize) {
        let choice = self.dice.below(1_000);
        let before = self.members[member].durable.disk.ticks();
        self.members[member].work(self.now_ms, choice);
        if self.members[member].durable.disk.ticks() != before {
            self.changed_ms = self.now_ms;
        }
    }

    fn edit(&mut self, member: usize) {
        if self.faults.hasty {
            if self.dice.one_in(2) {
                if let Some(what) = self.hurry(member) {
                    let name = self.members[member].name;
                    self.note(&format!("{name} {what}"));
                }
                return;
            }
            self.ledger.unseen = self.members[member].just_adopted().into_iter().collect();
        }
        let Self { dice, members, ledger, now_ms, .. } = self;
        let here = &mut members[member];
        if here.machine.unmounted {
            return;
        }
        if self.faults.ignores && dice.one_in(12) {
            let (name, own) = (here.name, self.faults.own_rules);
            let what = people::change_rules(dice, &mut here.durable.disk, ledger, (name, *now_ms), own);
            return self.note(&format!("{name} {what}"));
        }
        let Faults { calm, kinds, .. } = self.faults;
        let is_at_rest = |live: &Live| live.steps.is_empty() && live.reports.is_empty() && live.scan.is_none();
        // What the program writes into a directory just then is the person's move's, which the oracle would have to excuse.
        let waited = kinds && here.live.as_ref().is_none_or(is_at_rest);
        let ways = people::Ways { moves_dirs: !calm || waited, kinds };
        if let Some(what) = people::act(dice, &mut here.durable.disk, ledger, (here.name, *now_ms), ways) {
            let name = here.name;
            self.note(&format!("{name} {what}"));
        }
    }

    fn look(&mut self, member: usize) {
        let disk = &self.members[member].durable.disk;
        let some = self.dice.below(disk.tree.len() + 1);
        let under = if self.dice.one_in(2) { disk.tree.keys().nth(some).cloned() } else { None };
        self.members[member].look_at(under.into_iter().collect());
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        for host in 0..self.hosts.len() {
            if self.hosts[host].due_ms().is_some_and(|due| due <= self.now_ms) {
                self.hosts[host].time_passed(self.now_ms);
                self.tidy();
            }
        }
        for member in 0..self.members.len() {
            if self.members[member].due_ms().is_some_and(|due| due <= self.now_ms) {
                self.members[member].time_passed(self.now_ms);
                self.tidy();
            }
        }
    }

    pub(crate) fn wake_twice(&mut self, member: usize) {
        let index = self.members[member].index;
        if self.members.iter().filter(|other| other.index == index).count() > 1 {
            return;
        }
        if let Some(twin) = self.members[member].twin(self.now_ms) {
            let (one, two) = (self.members[member].name, twin.name);
            self.members.push(twin);
            self.backups.push(None);
            self.note(&format!("{one} wakes up a second time, as {two}"));
        }
    }

    fn back_up_or_restore(&mut self, member: usize) {
        let name = self.members[member].name;
        match self.backups[member].take() {
            Some((old, at_ms)) => {
                self.members[member].stop();
                let looked_gone = self.faults.listings_lie || self.faults.unmounts;
                if looked_gone {
                    // Others were told of deletions that were none; who goes back to before that believes them. What a listing left
                    // out and was found again is as good as new, and perhaps nobody heard of it.
                    let mut known: Vec<Bytes> = self.members[member].remembered();
                    known.retain(|content| !self.members[member].witness.once_left_out.contains(&content.hash));
                    self.ledger.let_go_unless(&self.members[member].durable.disk, &known);
                }
                let with_disk = self.dice.one_in(2);
                self.may_lack = true;
                let newer = std::mem::replace(&mut self.members[member].durable, old);
                if with_disk {
                    self.ledger.set_back(&newer.disk, &self.members[member].durable.disk);
                    self.ledger.may_be_aside(witness::gone_elsewhere(&self.members, member));
                } else {
                    // A file on its way from one name to another may be in what was set aside alone.
                    self.ledger.let_go_kept(&newer.disk);
                    self.members[member].durable.disk = newer.disk;
                }
                self.ledger.may_be_new(&self.members[member].durable.disk);
                if self.faults.ignores || looked_gone {
                    // What is ignored there now is not found to be missing. And what came back from that memory, was left out by a
                    // listing, and so told to be gone, is as good as written anew when the next one has it: with a new name for what
                    // nobody can know to be the old.
                    self.ledger.may_live(self.members[member].remembered());
                }
                self.ledger.may_live(witness::forgotten_deletions(&self.members));
                self.note(&format!("{name} is set back to {at_ms}{}", if with_disk { " with its disk" } else { "" }));
            }
            None if self.members[member].live.is_some() => {
                self.backups[member] = Some((self.members[member].durable.clone(), self.now_ms));
                self.note(&format!("{name} is backed up"));
            }
            None => {}
        }
    }

    /// A clock is set, or a machine loses what it had.
    fn weather(&mut self, member: usize) {
        let name = self.members[member].name;
        if self.faults.clocks && self.dice.one_in(2) {
            self.members[member].machine.set_clock();
            let skew_ms = self.members[member].machine.skew_ms;
            self.note(&format!("{name}'s clock is off by {skew_ms} ms"));
        } else if self.faults.losses && self.dice.one_in(4) {
            let here = &mut self.members[member];
            here.stop();
            let mut lost = std::mem::take(&mut here.durable);
            let keeps_disk = self.dice.one_in(2);
            if keeps_disk {
                // What only the program had set aside is not known to it any more, and stays where it is.
                here.durable.disk = std::mem::take(&mut lost.disk);
                self.ledger.let_go_kept(&here.durable.disk);
                self.ledger.may_be_new(&here.durable.disk);
            } else {
                self.ledger.set_back(&lost.disk, &here.durable.disk);
            }
            self.may_lack = true;
            self.ledger.may_live(witness::forgotten_deletions(&self.members));
            self.note(&format!("{name} loses {}", if keeps_disk { "its memory" } else { "everything" }));
        }
    }

    pub(crate) fn start_if_stopped(&mut self, member: usize) {
        if self.members[member].live.is_none() {
            let entropy = self.dice.bytes32();
            self.members[member].start(self.now_ms, entropy);
            let name = self.members[member].name;
            self.note(&format!("{name} starts"));
        }
    }
}
