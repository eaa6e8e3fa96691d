//! A seeder's disk: the shipped store of blocks over a disk in memory, and the dice that say what that disk does. They are its own, so
//! that the stories of worlds in which it does nothing are what they were.

use std::io::ErrorKind;
use std::sync::Arc;

use cobox_proto::id::Cid;
use cobox_store::{DiskShelf, DiskStore, MemDisk, Outcome, StoreError, Weather};

use crate::dice::Dice;
use crate::faults::{Faults, counts_down};

/// Small, so that a world has several of them, and room is given back.
const SEGMENT_BYTES_MAX: u64 = 16 << 10;

/// The blocks.
pub(crate) type Store = DiskStore<MemDisk<Chance>>;
/// What a tenant sees of them.
pub(crate) type Shelf = DiskShelf<MemDisk<Chance>>;

/// What becomes of the next step.
#[derive(Debug)]
pub(crate) struct Chance {
    dice: Dice,
    faults: Faults,
    /// After so many durable things the machine stops.
    stop_after: Option<u32>,
    off: bool,
}

impl Chance {
    fn is_sick(&self) -> bool {
        self.faults.segments && self.faults.sick_disks
    }
}

impl Weather for Chance {
    fn step(&mut self) -> Outcome {
        self.off |= self.faults.segments && counts_down(&mut self.stop_after);
        if self.off {
            return Outcome::Off;
        }
        if !self.is_sick() || !self.dice.one_in(12) {
            return Outcome::Done;
        }
        match self.dice.below(3) {
            0 => Outcome::Fails(ErrorKind::StorageFull),
            1 => Outcome::Fails(ErrorKind::Other),
            _ => Outcome::FailsDone(ErrorKind::Other),
        }
    }

    fn hides(&mut self) -> bool {
        self.off || self.is_sick() && self.dice.one_in(20)
    }

    fn below(&mut self, n: usize) -> usize {
        self.dice.below(n)
    }
}

/// Once in `n` times the machine stops within a few steps.
fn soon(dice: &mut Dice, faults: &Faults, stop_after: &mut Option<u32>, n: usize) {
    if faults.segments && faults.stops && dice.one_in(n) {
        *stop_after = Some(dice.below(6) as u32);
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Segments(MemDisk<Chance>);

impl Segments {
    pub(crate) fn new(dice: Dice, faults: Faults) -> Self {
        Self(MemDisk::new(Chance { dice, faults, stop_after: None, off: false }))
    }

    /// The machine starts.
    pub(crate) fn open(&self) -> Result<Arc<Store>, StoreError> {
        self.0.weather(|Chance { dice, faults, stop_after, off }| {
            *off = false;
            *stop_after = None;
            // K6: often it stops again while it puts right what the last stop left.
            soon(dice, faults, stop_after, 2);
        });
        DiskStore::open_on(self.0.clone(), SEGMENT_BYTES_MAX).map(Arc::new)
    }

    /// Blocks are to be written, or room given back: what a stop comes in the middle of most often.
    pub(crate) fn is_busy(&self) {
        self.0.weather(|Chance { dice, faults, stop_after, .. }| soon(dice, faults, stop_after, 15));
    }

    /// The machine has stopped, and no store has the disk open any more. Says so if the index went, too.
    pub(crate) fn stopped(&self) -> bool {
        let (power_goes, loses_index) = self.0.weather(|Chance { dice, faults, stop_after, .. }| {
            *stop_after = None;
            let goes = faults.segments && faults.power_cuts && dice.one_in(2);
            (goes, goes && faults.rot && dice.one_in(4))
        });
        if power_goes {
            self.0.cut_power();
        }
        if loses_index {
            self.0.lose_index();
        }
        loses_index
    }

    pub(crate) fn suffers(&self, faults: Faults) {
        self.0.weather(|chance| chance.faults = faults);
    }

    pub(crate) fn stop_after(&self, durable: Option<u32>) {
        self.0.weather(|chance| chance.stop_after = durable);
    }

    /// Whether the machine stops before this durable thing, or stopped before an earlier one.
    pub(crate) fn stops_now(&self) -> bool {
        self.0.weather(|chance| {
            chance.off |= counts_down(&mut chance.stop_after);
            chance.off
        })
    }

    pub(crate) fn is_off(&self) -> bool {
        self.0.weather(|chance| chance.off)
    }

    /// All blocks, by name.
    pub(crate) fn cids(&self) -> Vec<Cid> {
        self.0.blocks()
    }

    pub(crate) fn has(&self, cid: &Cid) -> bool {
        self.0.has(cid)
    }

    pub(crate) fn spoil(&self, cid: &Cid) {
        self.0.spoil(cid);
    }
}
