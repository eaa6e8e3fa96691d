//! A disk in memory that misbehaves as it is told: for tests, and for the simulator's seeders, whose blocks lie in a [`crate::DiskStore`]
//! as they do elsewhere. A step may fail, or fail after it was done, or be the last before the machine stops. When the power goes, what
//! was not synced is gone, or there in parts; the index, whose changes are whole and synced, is as the last of them left it.
//!
//! Knows no chance of its own: [`Weather`] says what happens.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cobox_proto::id::Cid;

use crate::block_store::Entry;
use crate::disk::{Change, Disk, DiskFile, Index, Indexed, Place, Segment, record_len, segment_name};
use crate::error::StoreError;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It fails, and nothing was done.
    Fails(ErrorKind),
    /// It fails, and was done.
    FailsDone(ErrorKind),
    /// The machine has stopped: nothing is done any more, and nobody learns of it.
    Off,
}

/// Decides what a disk does.
pub trait Weather: std::fmt::Debug + Send {
    /// Something is to be changed or synced.
    fn step(&mut self) -> Outcome;
    /// Whether something can not be read just now.
    fn hides(&mut self) -> bool;
    /// A number below `n`: what is left of what was not synced, when the power goes.
    fn below(&mut self, n: usize) -> usize;
}

/// A disk that works.
#[derive(Debug, Default)]
pub struct Fair;

impl Weather for Fair {
    fn step(&mut self) -> Outcome {
        Outcome::Done
    }
    fn hides(&mut self) -> bool {
        false
    }
    fn below(&mut self, _: usize) -> usize {
        0
    }
}

/// See the module. A clone is the same disk.
#[derive(Debug)]
pub struct MemDisk<W: Weather>(Arc<Mutex<State<W>>>);

/// An open file of a [`MemDisk`].
#[derive(Debug)]
pub struct MemFile<W: Weather> {
    disk: MemDisk<W>,
    number: u64,
}

/// The index on a [`MemDisk`].
#[derive(Debug)]
pub struct MemIndex<W: Weather>(MemDisk<W>);

#[derive(Debug)]
struct State<W> {
    weather: W,
    names: BTreeMap<String, u64>,
    /// What these names were before the last sync, the newest change last.
    unsynced_names: Vec<(String, Option<u64>)>,
    files: BTreeMap<u64, Bytes>,
    next_number: u64,
    index: Option<Rows>,
    /// The index with a change of which it was said that it failed: whoever opens it anew may find it, until another change is made.
    maybe: Option<Rows>,
}

/// A file's bytes. What is synced is those before `from`, and `tail` behind them; if there is nothing to sync, all.
#[derive(Debug, Default)]
struct Bytes {
    now: Vec<u8>,
    unsynced: Option<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone, Default)]
struct Rows {
    blocks: BTreeMap<Cid, Indexed>,
    places: BTreeMap<(u32, u64), Cid>,
    segments: BTreeMap<u32, Segment>,
    last_id: u32,
}

impl<W: Weather> Clone for MemDisk<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: Weather> MemDisk<W> {
    /// An empty disk.
    pub fn new(weather: W) -> Self {
        let (names, unsynced_names, files, next_number) = Default::default();
        let (index, maybe) = Default::default();
        Self(Arc::new(Mutex::new(State { weather, names, unsynced_names, files, next_number, index, maybe })))
    }

    /// Lets the owner look at the weather, or change it.
    pub fn weather<T>(&self, look: impl FnOnce(&mut W) -> T) -> T {
        look(&mut self.lock().weather)
    }

    /// The power goes, and comes again: what was not synced is drawn. No store may have the disk open.
    pub fn cut_power(&self) {
        let State { weather, names, unsynced_names, files, .. } = &mut *self.lock();
        // Whatever became of a name last decides, so the oldest change is undone last.
        for (name, before) in std::mem::take(unsynced_names).into_iter().rev() {
            if weather.below(2) == 0 {
                match before {
                    Some(number) => drop(names.insert(name, number)),
                    None => drop(names.remove(&name)),
                }
            }
        }
        for file in files.values_mut() {
            file.cut_power(weather);
        }
        let named: HashSet<u64> = names.values().copied().collect();
        files.retain(|number, _| named.contains(number));
    }

    /// Bits go bad in the middle of a block. False if it is not here.
    pub fn spoil(&self, cid: &Cid) -> bool {
        let state = &mut *self.lock();
        let Some(Place { segment, at, len }) =
            state.index.as_ref().and_then(|index| index.blocks.get(cid)).map(|row| row.place)
        else {
            return false;
        };
        let middle = at + record_len(len) - u64::from(len).div_ceil(2);
        let file = state.names.get(&segment_name(segment)).and_then(|number| state.files.get_mut(number));
        let byte = file.and_then(|file| file.now.get_mut(middle as usize));
        byte.map(|byte| *byte ^= 4).is_some()
    }

    /// The blocks that the index names.
    pub fn blocks(&self) -> Vec<Cid> {
        self.lock().index.as_ref().map_or_else(Vec::new, |index| index.blocks.keys().copied().collect())
    }

    /// Whether the index names a block.
    pub fn has(&self, cid: &Cid) -> bool {
        self.lock().index.as_ref().is_some_and(|index| index.blocks.contains_key(cid))
    }

    /// Somebody removes the index, or a file system loses it.
    pub fn lose_index(&self) {
        let mut state = self.lock();
        (state.index, state.maybe) = (None, None);
    }

    /// Each change is one step, so a panic elsewhere leaves it whole.
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something, or not, or says so.
    fn step<T>(&self, action: impl FnOnce(&mut State<W>) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        match state.weather.step() {
            Outcome::Done => action(&mut state),
            Outcome::Fails(kind) => Err(failed(kind)),
            Outcome::FailsDone(kind) => action(&mut state).and(Err(failed(kind))),
            Outcome::Off => Err(failed(ErrorKind::Other)),
        }
    }

    fn read<T>(&self, action: impl FnOnce(&State<W>) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        if state.weather.hides() { Err(failed(ErrorKind::Other)) } else { action(&state) }
    }
}

/// As the system says it.
fn failed(kind: ErrorKind) -> io::Error {
    match kind {
        ErrorKind::Other => rustix::io::Errno::IO.into(),
        kind => kind.into(),
    }
}

fn gone() -> io::Error {
    ErrorKind::NotFound.into()
}

impl Bytes {
    /// From `from` on it will not be what is synced.
    fn touch(&mut self, from: usize) {
        match &mut self.unsynced {
            Some((first, _)) if *first <= from => {}
            Some((first, tail)) => {
                tail.splice(0..0, self.now[from..*first].iter().copied());
                *first = from;
            }
            None => self.unsynced = Some((from, self.now[from..].to_vec())),
        }
    }

    fn write(&mut self, bytes: &[u8], at: usize) {
        self.touch(at.min(self.now.len()));
        self.now.resize(self.now.len().max(at + bytes.len()), 0);
        self.now[at..][..bytes.len()].copy_from_slice(bytes);
    }

    fn set_length(&mut self, length: usize) {
        self.touch(length.min(self.now.len()));
        self.now.resize(length, 0);
    }

    /// What was not synced is gone.
    fn forget_unsynced(&mut self) {
        if let Some((from, tail)) = self.unsynced.take() {
            self.now.truncate(from);
            self.now.extend(tail);
        }
    }

    /// What was not synced is gone, or there, or there in parts.
    fn cut_power(&mut self, weather: &mut impl Weather) {
        let Some((from, tail)) = &self.unsynced else { return };
        match weather.below(3) {
            0 => return self.forget_unsynced(),
            1 => {}
            _ => {
                let (old, new) = (from + tail.len(), self.now.len());
                let length = old.min(new) + weather.below(old.abs_diff(new) + 1);
                self.now.resize(length, 0);
                for start in (*from..length).step_by(SECTOR_BYTES) {
                    let end = length.min(start + SECTOR_BYTES);
                    if weather.below(3) == 0 {
                        let was = tail.get(start - from..).unwrap_or_default();
                        let was = was.iter().copied().chain(std::iter::repeat(0));
                        self.now[start..end].iter_mut().zip(was).for_each(|(now, was)| *now = was);
                    }
                }
            }
        }
        self.unsynced = None;
    }
}

impl<W: Weather> Disk for MemDisk<W> {
    type File = MemFile<W>;
    type Index = MemIndex<W>;

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory").join(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.read(|state| Ok(state.names.keys().cloned().collect()))
    }

    fn length_of(&self, name: &str) -> io::Result<u64> {
        self.read(|state| {
            let number = state.names.get(name).ok_or_else(gone)?;
            Ok(state.files[number].now.len() as u64)
        })
    }

    fn create(&self, name: &str) -> io::Result<MemFile<W>> {
        let number = self.step(|state| {
            if state.names.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            state.next_number += 1;
            let number = state.next_number;
            state.unsynced_names.push((name.to_owned(), None));
            state.names.insert(name.to_owned(), number);
            state.files.insert(number, Bytes::default());
            Ok(number)
        })?;
        Ok(MemFile { disk: self.clone(), number })
    }

    fn open(&self, name: &str) -> io::Result<MemFile<W>> {
        let number = self.read(|state| state.names.get(name).copied().ok_or_else(gone))?;
        Ok(MemFile { disk: self.clone(), number })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step(|state| {
            let number = state.names.remove(name).ok_or_else(gone)?;
            state.unsynced_names.push((name.to_owned(), Some(number)));
            Ok(())
        })
    }

    fn sync_names(&self) -> Result<(), StoreError> {
        let synced = self.step(|state| {
            for (_, before) in std::mem::take(&mut state.unsynced_names) {
                // The one who writes here reads no file on that it has removed.
                before.map(|number| state.files.remove(&number));
            }
            Ok(())
        });
        synced.map_err(|e| StoreError::io("sync", &self.path(""), e))
    }

    fn has_index(&self) -> bool {
        self.lock().index.is_some()
    }

    fn open_index(&self) -> Result<MemIndex<W>, StoreError> {
        let state = &mut *self.lock();
        if let Some(maybe) = state.maybe.take().filter(|_| state.weather.below(2) == 0) {
            state.index = Some(maybe);
        }
        state.index.get_or_insert_default();
        Ok(MemIndex(self.clone()))
    }

    fn set_index_aside(&self) -> Result<(), StoreError> {
        self.lose_index();
        Ok(())
    }
}

impl<W: Weather> DiskFile for MemFile<W> {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.disk.read(|state| {
            let file = state.files.get(&self.number).ok_or_else(gone)?;
            let found = file.now.get(at as usize..).and_then(|rest| rest.get(..bytes.len()));
            bytes.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.step(|state| {
            state.files.get_mut(&self.number).ok_or_else(gone)?.write(bytes, at as usize);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let state = &mut *self.disk.lock();
        let outcome = state.weather.step();
        let file = state.files.get_mut(&self.number).ok_or_else(gone)?;
        match outcome {
            Outcome::Done | Outcome::FailsDone(_) => file.unsynced = None,
            // A system that could not write a page takes it for written all the same, and the next sync says nothing.
            Outcome::Fails(_) => file.forget_unsynced(),
            Outcome::Off => {}
        }
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::Fails(kind) | Outcome::FailsDone(kind) => Err(failed(kind)),
            Outcome::Off => Err(failed(ErrorKind::Other)),
        }
    }

    fn length(&self) -> io::Result<u64> {
        self.disk.read(|state| Ok(state.files.get(&self.number).ok_or_else(gone)?.now.len() as u64))
    }

    fn cut_off(&self, length: u64) -> io::Result<()> {
        self.disk.step(|state| {
            state.files.get_mut(&self.number).ok_or_else(gone)?.set_length(length as usize);
            Ok(())
        })?;
        self.sync()
    }
}

impl Rows {
    fn count(&mut self, place: Place, coming: bool) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            let bytes = record_len(place.len);
            let (blocks_after, bytes_after) = match coming {
                true => (segment.live_blocks + 1, segment.live_bytes + bytes),
                false => (segment.live_blocks - 1, segment.live_bytes - bytes),
            };
            (segment.live_blocks, segment.live_bytes) = (blocks_after, bytes_after);
        }
    }

    fn remove(&mut self, cid: &Cid) -> u64 {
        let Some(row) = self.blocks.remove(cid) else { return 0 };
        self.places.remove(&(row.place.segment, row.place.at));
        self.count(row.place, false);
        1
    }

    fn of_segment(&self, id: u32) -> impl Iterator<Item = &Indexed> {
        self.places.range((id, 0)..=(id, u64::MAX)).map(|(_, cid)| &self.blocks[cid])
    }

    fn empty(&mut self, id: u32) -> u64 {
        let cids: Vec<Cid> = self.of_segment(id).map(|row| row.cid).collect();
        cids.iter().map(|cid| self.remove(cid)).sum()
    }

    /// Returns how many blocks came or went.
    fn apply(&mut self, change: Change<'_>) -> u64 {
        match change {
            Change::End(id, end) => {
                self.segments.entry(id).or_insert(Segment { id, ..Segment::default() }).end = end;
                self.last_id = self.last_id.max(id);
                0
            }
            Change::Add(row) if self.blocks.contains_key(&row.cid) => 0,
            Change::Add(row) => {
                self.blocks.insert(row.cid, *row);
                self.places.insert((row.place.segment, row.place.at), row.cid);
                self.count(row.place, true);
                1
            }
            Change::Remove(cid) => self.remove(cid),
            Change::Mark(cid, complete) => {
                if let Some(row) = self.blocks.get_mut(cid) {
                    row.complete = complete;
                }
                0
            }
            Change::Drop(id) => {
                let gone = self.empty(id);
                if let Some(segment) = self.segments.get_mut(&id) {
                    *segment = Segment { id, dropped: true, ..Segment::default() };
                }
                gone
            }
            Change::Forget(id) => {
                let gone = self.empty(id);
                self.segments.remove(&id);
                gone
            }
        }
    }
}

impl<W: Weather> MemIndex<W> {
    fn ask<T>(&self, question: impl FnOnce(&Rows) -> T) -> Result<T, StoreError> {
        let lost = || StoreError::io("read", &self.0.path("index"), gone());
        self.0.lock().index.as_ref().map(question).ok_or_else(lost)
    }
}

impl<W: Weather> Index for MemIndex<W> {
    fn reader(&self) -> Result<Self, StoreError> {
        Ok(Self(self.0.clone()))
    }

    fn change<'c>(&mut self, changes: impl IntoIterator<Item = Change<'c>>) -> Result<u64, StoreError> {
        let state = &mut *self.0.lock();
        let failed = |kind| StoreError::io("change", &self.0.path("index"), failed(kind));
        let rows = state.index.as_mut().ok_or_else(|| failed(ErrorKind::NotFound))?;
        match state.weather.step() {
            Outcome::Done => {
                state.maybe = None;
                Ok(changes.into_iter().map(|change| rows.apply(change)).sum())
            }
            Outcome::Fails(kind) => Err(failed(kind)),
            Outcome::FailsDone(kind) => {
                // As with a log that was written and could not be synced.
                let maybe = state.maybe.insert(rows.clone());
                for change in changes {
                    maybe.apply(change);
                }
                Err(failed(kind))
            }
            Outcome::Off => Err(failed(ErrorKind::Other)),
        }
    }

    fn find(&self, cid: &Cid) -> Result<Option<Indexed>, StoreError> {
        self.ask(|rows| rows.blocks.get(cid).copied())
    }

    fn list(&self, after: Option<&Cid>, max: usize) -> Result<Vec<Entry>, StoreError> {
        let from = after.map_or(Bound::Unbounded, |cid| Bound::Excluded(*cid));
        let entry = |row: &Indexed| Entry { cid: row.cid, len: row.place.len, complete: row.complete };
        self.ask(|rows| rows.blocks.range((from, Bound::Unbounded)).take(max).map(|(_, row)| entry(row)).collect())
    }

    fn by_place(&self, from: (u32, u64), max: u32) -> Result<Vec<Indexed>, StoreError> {
        self.ask(|rows| rows.places.range(from..).take(max as usize).map(|(_, cid)| rows.blocks[cid]).collect())
    }

    fn of_segment(&self, id: u32) -> Result<Vec<Indexed>, StoreError> {
        self.ask(|rows| rows.of_segment(id).copied().collect())
    }

    fn segments(&self) -> Result<Vec<Segment>, StoreError> {
        self.ask(|rows| rows.segments.values().copied().collect())
    }

    fn last_segment_id(&self) -> Result<u32, StoreError> {
        self.ask(|rows| rows.last_id)
    }
}
