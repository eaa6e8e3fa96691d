//! Which faults a world knows, drawn from its seed: each world leaves out a random part of them, since a storm that does everything
//! at once hides much. And what each machine of such a world suffers from.
//!
//! What must hold: older seeds go on telling the stories they were kept for, so a new fault draws from dice of its own and only
//! from some seed on.

use std::collections::BTreeSet;

use cobox_core::path::FolderPath;

use crate::dice::Dice;
use crate::disk::Disk;

const FIRST_WITH_RULES: u64 = 30_000;
const FIRST_WITH_TWINS: u64 = 60_000;
/// From here on some worlds are calm: no faults but broken links, and no directories that move. There, what a person deletes is gone.
const FIRST_WITH_CALM: u64 = 80_000;
const FIRST_WITH_WEATHER: u64 = 100_000;
/// From here on most worlds have seeders, and some of them crowds.
const FIRST_WITH_HOSTS: u64 = 200_000;
/// From here on some people keep what they ignore to themselves.
const FIRST_WITH_OWN_RULES: u64 = 300_000;
/// From here on some disks number their files anew at each start.
const FIRST_WITH_NEW_NUMBERS: u64 = 300_000;
/// From here on some disks keep times to a second or two.
const FIRST_WITH_COARSE_TIMES: u64 = 310_000;

/// From here on the log of some worlds goes on.
const FIRST_WITH_MEMBERSHIP: u64 = 400_000;
/// From here on older states are joined where the newest lie nowhere whole.
const FIRST_WITH_OLDER: u64 = 500_000;
/// From here on folders are not mounted for a while, and there are worlds in which nothing happens but that people ignore things.
const FIRST_WITH_UNMOUNTS: u64 = 2_000_000;

/// From here on the disks of seeders misbehave under their blocks.
const FIRST_WITH_SEGMENTS: u64 = 2_500_000;

/// From here on there are worlds in which people are in a hurry.
const FIRST_WITH_HASTE: u64 = 6_000_000;

/// From here on there are worlds in which files and directories take each other's names, and disks their numbers.
const FIRST_WITH_KINDS: u64 = 7_000_000;
/// From here on each of these two kinds of worlds is one in four, not one in two: half of the worlds have all the weather there is.
const FIRST_WITH_ALL_AGAIN: u64 = 7_100_000;

/// What may go wrong in a world.
#[derive(Debug, Default, Clone)]
pub(crate) struct Faults {
    /// Links break.
    pub(crate) cuts: bool,
    /// Machines stop between any two durable things, and start again.
    pub(crate) stops: bool,
    /// Machines are set back to a backup, with or without their folder.
    pub(crate) backups: bool,
    /// People change what is ignored.
    pub(crate) ignores: bool,
    /// ... and some of them keep the rules to themselves: the file that has them names itself.
    pub(crate) own_rules: bool,
    /// Nothing of all that, and people do not move directories.
    pub(crate) calm: bool,
    /// ... and people are in a hurry there.
    pub(crate) hasty: bool,
    /// ... or files and directories take each other's names there, and what is new has the number of what has just gone. Directories are
    /// moved there all the same, by people who wait until the program has come to rest.
    pub(crate) kinds: bool,
    /// Machines wake up twice from one image.
    pub(crate) twins: bool,
    /// Held deletions wait for the script instead of being decided by chance.
    pub(crate) scripted: bool,
    /// One of the below is possible.
    pub(crate) weather: bool,
    /// Steps fail, or fail after they were done; files can not be read (D6).
    pub(crate) sick_disks: bool,
    /// A listing leaves things out and says nothing about it (D7).
    pub(crate) listings_lie: bool,
    /// A folder is not mounted for a while: it looks empty however often it is looked at (H1).
    pub(crate) unmounts: bool,
    /// What was read is reported late, when the file may be another.
    pub(crate) late_reads: bool,
    /// What was done and not reported yet is undone by a stop (K3).
    pub(crate) power_cuts: bool,
    /// Clocks differ by up to decades and are set in the middle of everything (T1, T2).
    pub(crate) clocks: bool,
    /// Files and directories have other numbers after a start, those of others among them, as on FAT.
    pub(crate) new_numbers: bool,
    /// Some disks keep times to a second or, as FAT does, to two.
    pub(crate) coarse_times: bool,
    /// Blocks overtake messages and each other: each has a stream of its own.
    pub(crate) streams: bool,
    /// Each speaks to its neighbours in a row only (N3).
    pub(crate) row: bool,
    /// Machines lose their memory and keep their folder, or lose everything (I5, K10).
    pub(crate) losses: bool,
    /// How many seeders there are.
    pub(crate) hosts: usize,
    /// Blocks go bad at seeders.
    pub(crate) rot: bool,
    /// The disks of seeders do as they like under the shipped store of blocks, as far as the other faults go: machines stop between any
    /// two steps of it; what is not synced is lost or torn when the power goes; steps fail, or fail after they were done; reads fail;
    /// and a file system that loses blocks may lose their index.
    pub(crate) segments: bool,
    /// Days pass with nobody doing anything.
    pub(crate) nights: bool,
    /// There are eight people.
    pub(crate) crowd: bool,
    /// The log goes on: people are sent away and made admins, and keys change.
    pub(crate) membership: bool,
    /// Whoever waits for a state in vain takes an older one meanwhile. No fault: worlds before that was so stay as they were.
    pub(crate) older: bool,
}

impl Faults {
    /// Those of a seed; the first three have been drawn from the dice of the story itself since the first seed.
    pub(crate) fn draw(seed: u64, dice: &mut Dice) -> Self {
        let (cuts, stops, backups) = (!dice.one_in(4), dice.one_in(2), dice.one_in(3));
        let apart = |first: u64| (seed >= first).then(|| Dice::new(!seed ^ first));
        let calm = apart(FIRST_WITH_CALM).is_some_and(|mut dice| dice.one_in(4));
        let (mut hosts, mut rot, mut nights, mut crowd) = (0, false, false, false);
        if let Some(mut dice) = apart(FIRST_WITH_HOSTS) {
            hosts = dice.below(4);
            (rot, nights) = (hosts > 0 && dice.one_in(2), hosts > 0 && dice.one_in(2));
            crowd = hosts > 0 && dice.one_in(12);
        }
        let membership = apart(FIRST_WITH_MEMBERSHIP).is_some_and(|mut dice| dice.one_in(2));
        let older = seed >= FIRST_WITH_OLDER;
        let share = if seed < FIRST_WITH_ALL_AGAIN { 2 } else { 4 };
        if apart(FIRST_WITH_KINDS).is_some_and(|mut dice| dice.one_in(share)) {
            return Self { cuts, calm: true, kinds: true, hosts, crowd, older, ..Self::default() };
        }
        if apart(FIRST_WITH_HASTE).is_some_and(|mut dice| dice.one_in(share)) {
            return Self { cuts, calm: true, hasty: true, hosts, crowd, older, ..Self::default() };
        }
        if calm {
            return Self { cuts, calm, hosts, crowd, membership, older, ..Self::default() };
        }
        let ignores = seed >= FIRST_WITH_RULES && Dice::new(!seed).one_in(2);
        let twins = apart(FIRST_WITH_TWINS).is_some_and(|mut dice| dice.one_in(2));
        let own_rules = ignores && apart(FIRST_WITH_OWN_RULES).is_some_and(|mut dice| dice.one_in(2));
        let mut mounts = apart(FIRST_WITH_UNMOUNTS);
        if mounts.as_mut().is_some_and(|dice| dice.one_in(8)) {
            // What is taken from others here, nothing but the rules of somebody can have taken.
            return Self { cuts, ignores: true, own_rules: true, hosts, crowd, older, ..Self::default() };
        }
        let unmounts = mounts.is_some_and(|mut dice| dice.one_in(2));
        let known = Self { cuts, stops, backups, ignores, own_rules, twins, unmounts, ..Self::default() };
        let Some(mut dice) = apart(FIRST_WITH_WEATHER) else { return known };
        let mut half = || dice.one_in(2);
        Self {
            weather: true,
            sick_disks: half(),
            listings_lie: half(),
            late_reads: half(),
            power_cuts: half(),
            clocks: half(),
            coarse_times: apart(FIRST_WITH_COARSE_TIMES).is_some_and(|mut dice| dice.one_in(2)),
            new_numbers: apart(FIRST_WITH_NEW_NUMBERS).is_some_and(|mut dice| dice.one_in(3)),
            streams: half(),
            // What a neighbour ignores it does not pass on, and who is sent away passes on nothing.
            row: half() && !ignores && !membership,
            losses: half() && backups,
            hosts,
            rot,
            segments: seed >= FIRST_WITH_SEGMENTS && hosts > 0,
            nights,
            crowd,
            membership,
            older,
            ..known
        }
    }
}

/// Counts a durable thing of a machine that is to stop after some; true if it stops before this one.
pub(crate) fn counts_down(stop_after: &mut Option<u32>) -> bool {
    let left = stop_after.map(|left| left.checked_sub(1));
    *stop_after = left.flatten();
    left == Some(None)
}

/// What one machine suffers from, and its own dice for it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) luck: Dice,
    pub(crate) faults: Faults,
    /// How far its clock is off.
    pub(crate) skew_ms: i64,
    /// How coarsely its disk keeps times, nanoseconds; 0: as they are.
    pub(crate) grain_ns: i64,
    /// Its folder is not there: an empty directory stands in its place.
    pub(crate) unmounted: bool,
    /// What was known to stand in it when it went.
    pub(crate) stood_there: BTreeSet<FolderPath>,
    /// A story has the next listing say nothing.
    pub(crate) sees_nothing_once: bool,
}

impl Machine {
    /// One without faults.
    pub(crate) fn healthy() -> Self {
        Self {
            luck: Dice::new(0),
            faults: Faults::default(),
            skew_ms: 0,
            grain_ns: 0,
            unmounted: false,
            stood_there: BTreeSet::new(),
            sees_nothing_once: false,
        }
    }

    /// What its clock shows.
    pub(crate) fn clock_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.skew_ms)
    }

    /// When the world's time is what its clock is to show.
    pub(crate) fn world_ms(&self, clock_ms: u64) -> u64 {
        clock_ms.saturating_add_signed(-self.skew_ms)
    }

    /// Somebody or something sets the clock.
    pub(crate) fn set_clock(&mut self) {
        const DAY_MS: i64 = 86_400_000;
        const YEAR_MS: i64 = 365 * DAY_MS;
        let far = [0, 1_500, 3_600_000, DAY_MS, YEAR_MS, 30 * YEAR_MS];
        let by_ms = self.luck.pick(&far).copied().unwrap_or_default();
        self.skew_ms = if self.luck.one_in(2) { by_ms } else { -by_ms };
    }

    /// The storm is over: all works again, but the clock stays as it is.
    pub(crate) fn recover(&mut self) {
        self.faults = Faults::default();
        self.unmounted = false;
    }

    /// What the next listing says nothing about: now and then a few places, or all of them.
    pub(crate) fn left_out(&mut self, disk: &Disk) -> BTreeSet<FolderPath> {
        if std::mem::take(&mut self.sees_nothing_once) || self.unmounted {
            return BTreeSet::from([FolderPath::root()]);
        }
        if !self.faults.listings_lie || !self.luck.one_in(6) {
            return BTreeSet::new();
        }
        if self.luck.one_in(4) {
            return BTreeSet::from([FolderPath::root()]);
        }
        disk.tree.keys().filter(|_| self.luck.one_in(5)).cloned().collect()
    }

    /// Whether something that fails once in `n` times on a sick disk fails now.
    pub(crate) fn fails(&mut self, n: usize) -> bool {
        self.faults.sick_disks && self.luck.one_in(n)
    }
}
