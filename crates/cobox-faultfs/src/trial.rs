//! Operations tried on a disk: with every call to it failing, and with the power going at every change and again in the recovery.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, available_parallelism};

use crate::{Counts, Fault, FaultDisk, Image, Left, Plan};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// More calls than any operation makes.
const CALLS_MAX: u64 = 2000;
/// Of the calls that a recovery makes, one of so many is the last before a second power cut.
const STRIDE: u64 = 11;

/// From now on the disk is well, for whoever tries again; `false`: it stays as it is.
pub type Mends<'a> = &'a dyn Fn() -> bool;

/// Makes an empty disk to try things on: [`FaultDisk::new`] or [`FaultDisk::folding`].
pub type Make = fn() -> io::Result<FaultDisk>;

/// Something that a program does in a directory.
pub struct Operation<E> {
    /// What it is called when it fails.
    pub name: &'static str,
    /// Makes what is there before it.
    pub before: fn(&Path),
    /// Does it.
    pub work: fn(&Path, Mends<'_>) -> Result<(), E>,
    /// What a program does first when it starts again.
    pub recover: fn(&Path),
    /// Panics unless what holds before, after and in the middle does.
    pub always: fn(&Path),
    /// Panics unless it has been done, for good.
    pub done: fn(&Path),
}

/// Does something and, if it fails, again once the disk is well: then it must succeed.
pub fn tried<S, E: std::fmt::Display>(on: &S, mends: Mends<'_>, work: impl Fn(&S) -> Result<(), E>) -> Result<(), E> {
    work(on).or_else(|first| {
        if !mends() {
            return Err(first);
        }
        work(on).unwrap_or_else(|second| panic!("after {first}, on a disk that is well: {second}"));
        Ok(())
    })
}

/// Tells what happened before a panic.
struct Story(String);

impl Drop for Story {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Tries each operation on a disk with what is there before it; as many at once as there are cores, each on a disk of its own. Says so
/// aloud where there can be none.
fn each<E>(make: Make, operations: &[Operation<E>], trial: impl Fn(&FaultDisk, &Operation<E>, &Image) + Sync) {
    if let Some(why) = FaultDisk::missing() {
        eprintln!("skipped: {why}");
        return;
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let disk = make().unwrap_or_else(|error| panic!("a disk that fails on command: {error}"));
        let empty = disk.image(Left::All);
        while let Some(operation) = operations.get(next.fetch_add(1, Ordering::Relaxed)) {
            disk.load(&empty);
            (operation.before)(&disk.path());
            trial(&disk, operation, &disk.image(Left::All));
        }
    };
    let cores = available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores.min(operations.len())).for_each(|_| drop(scope.spawn(work))));
}

/// The n-th call to the disk fails, once and for ever, as a broken and as a full one would; n = 1, 2, ... until it runs untouched. Whatever
/// came of it, what holds always holds; and what was called done is done, even if the power goes now.
pub fn every_call_fails<E: Debug>(make: Make, operations: &[Operation<E>]) {
    each(make, operations, |disk, operation, before| {
        for fault in [Fault::Once(EIO), Fault::ForEver(EIO), Fault::Once(ENOSPC), Fault::ForEver(ENOSPC)] {
            for at in 1.. {
                assert!(at < CALLS_MAX, "{}: no end of it", operation.name);
                disk.load(before);
                disk.arm(Plan { at, fault, counts: Counts::All });
                let mends = || {
                    disk.heal();
                    true
                };
                let result = (operation.work)(&disk.path(), &mends);
                let fired = disk.fired();
                disk.heal();
                let _story = Story(format!("{}, {fault:?} at {at}: {fired:?}, {result:?}", operation.name));
                (operation.always)(&disk.path());
                if result.is_ok() {
                    (operation.done)(&disk.path());
                    disk.load(&disk.image(Left::Synced));
                    (operation.done)(&disk.path());
                }
                if fired.is_none() {
                    assert!(result.is_ok(), "{}: fails on a disk that is well: {result:?}", operation.name);
                    break;
                }
            }
        }
    });
}

/// The power goes before the n-th change, for each n; and then before changes of the recovery from that. What holds always holds whatever
/// is left, and the recovery from the second cut is the last.
pub fn the_power_goes_everywhere<E>(make: Make, operations: &[Operation<E>]) {
    each(make, operations, |disk, operation, before| {
        let cut = |image: &Image, at: u64, work: &dyn Fn(&Path)| {
            assert!(at < CALLS_MAX, "{}: no end of it", operation.name);
            disk.load(image);
            disk.arm(Plan { at, fault: Fault::PowerCut, counts: Counts::Changes });
            work(&disk.path());
            (disk.fired(), Left::EVERY.map(|left| (left, disk.image(left))))
        };
        // What was recovered from, and what was judged.
        let (mut recovered, mut judged) = (BTreeSet::new(), BTreeSet::new());
        let mut judge = |story: String, image: &Image| {
            if judged.insert(image.digest) {
                let _story = Story(story);
                disk.load(image);
                (operation.always)(&disk.path());
            }
        };
        for at in 1.. {
            let (first, found) = cut(before, at, &|dir| drop((operation.work)(dir, &|| false)));
            for (left, found) in found.into_iter().filter(|(_, image)| recovered.insert(image.digest)) {
                judge(format!("{}, cut at {first:?}, {left:?}", operation.name), &found);
                // Each call of a recovery is the last one after some first cut, though not after all.
                for again in (1 + at % STRIDE..).step_by(STRIDE as usize) {
                    let (second, found) = cut(&found, again, &operation.recover);
                    for (then, image) in found {
                        judge(format!("{}, cut at {first:?}, {left:?}, {second:?}, {then:?}", operation.name), &image);
                    }
                    if second.is_none() {
                        break;
                    }
                }
            }
            if first.is_none() {
                break;
            }
        }
    });
}
