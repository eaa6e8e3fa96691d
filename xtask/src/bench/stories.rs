//! What is measured of cobox: a folder that a second member receives, that a seeder keeps and gives back, and what happens in it
//! day by day. What must hold is asserted here, at full size; the tests assert the same at smaller ones.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::data::{Data, Workload};
use super::meter::{Lasting, Meter, Run, cpu_s, peak_mb, resident_mb};
use super::place::{Computer, Place};
use super::{Bench, fill, settle};

/// What the large file is called.
const BIG: &str = "big.bin";
/// Small files saved one after the other.
const SAVES: usize = 50;
/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(60);
/// The most memory of a service, whatever goes through it.
const RESIDENT_MB_MAX: f64 = 300.0;
/// What one changed byte of a large file may send.
const EDIT_MB_MAX: f64 = 8.0 * 1.048_576;
/// What a move or a copy within the folder may send, whatever its size: names and lists.
const NAMES_MB_MAX: f64 = 4.0;

/// Ana has the folder and Ben has joined it; measured from Ana's `create` until Ben is in step.
pub(super) fn joined(place: &Place, data: &Data) -> Result<(Computer, Computer, Run)> {
    let (ana, ben) = (place.member("ana")?, place.member("ben")?);
    fill(data, &ana.folder())?;
    let meter = Meter::begin(&[&ana, &ben])?;
    ana.create(&ana.folder())?;
    ben.join(&ana.invite(&ben.key()?)?)?;
    ben.until_files(data.files)?;
    ben.until_in_step()?;
    let mut run = meter.end("cobox", data.workload, "sync", &[&ana, &ben])?;
    for one in [&ana, &ben] {
        run.state_mb_by.insert(one.name.clone(), one.state_mb()?);
    }
    data.same(&ben.folder()).context("what arrived at the other member is not the same")?;
    Ok((ana, ben, run))
}

/// From one member's full directory to another member's empty one.
pub(super) fn sync(bench: &Bench, data: &Data) -> Result<Run> {
    let place = bench.place(data)?;
    joined(&place, data).map(|(_, _, run)| run)
}

/// From a member's full directory to a blind seeder, complete and signed for; and back from it alone, on a new computer.
pub(super) fn there_and_back(bench: &Bench, data: &Data) -> Result<Vec<Run>> {
    let place = bench.place(data)?;
    let (ana, seeder) = (place.member("ana")?, place.seeder("box")?);
    fill(data, &ana.folder())?;
    let offer = seeder.offer()?;
    let meter = Meter::begin(&[&ana, &seeder])?;
    ana.create(&ana.folder())?;
    ana.back_up(&offer)?;
    let mut backup = meter.end("cobox", data.workload, "backup", &[&ana, &seeder])?;
    ana.until_files(data.files)?;
    for one in [&ana, &seeder] {
        backup.state_mb_by.insert(one.name.clone(), one.state_mb()?);
    }
    let (words, tickets) = ana.kit()?;
    drop(ana);
    let new = place.member("new")?;
    let meter = Meter::begin(&[&new, &seeder])?;
    new.recover(&words, &tickets)?;
    new.until_files(data.files)?;
    new.until_in_step()?;
    let mut restore = meter.end("cobox", data.workload, "restore", &[&new, &seeder])?;
    restore.state_mb_by.insert("new".into(), new.state_mb()?);
    data.same(&new.folder()).context("what came back from the seeder is not the same")?;
    Ok(vec![backup, restore])
}

/// What happens in a folder that two members have.
pub(super) fn daily(bench: &Bench, data: &Data) -> Result<Vec<Run>> {
    let place = bench.place(data)?;
    let (mut ana, ben, _) = joined(&place, data)?;
    let mut runs = match data.workload {
        Workload::Big => {
            let mut runs = edits(place.root(), data, &ana, &ben)?;
            let seeder = place.seeder("box")?;
            ana.back_up(&seeder.offer()?)?;
            runs.push(edit_backed_up(place.root(), data, &ana, &seeder)?);
            runs
        }
        Workload::Tree100k => vec![saved(data, &ana, &ben)?, idle(data, &ana, &ben)?],
        _ => vec![moved(data, &ana, &ben)?, saved(data, &ana, &ben)?, idle(data, &ana, &ben)?],
    };
    runs.push(started(data, &mut ana, &ben)?);
    Ok(runs)
}

/// Changes something at Ana's and waits until Ben has it.
pub(super) fn change(
    data: &Data,
    op: &'static str,
    ana: &Computer,
    ben: &Computer,
    act: impl FnOnce(&Path) -> Result<()>,
    is_there: impl Fn(&Path) -> bool,
) -> Result<Run> {
    ana.wait()?;
    let blocks = ana.sent_blocks()?;
    let meter = Meter::begin(&[ana, ben])?;
    act(&ana.folder())?;
    super::until(op, Duration::from_secs(600), || Ok(is_there(&ben.folder())))?;
    let mut run = meter.end("cobox", data.workload, op, &[ana, ben])?;
    ana.wait()?;
    run.more.insert("blocks", (ana.sent_blocks()? - blocks) as f64);
    Ok(run)
}

/// One byte overwritten; then one inserted and 4 KiB overwritten; then a copy beside it.
fn edits(place: &Path, data: &Data, ana: &Computer, ben: &Computer) -> Result<Vec<Run>> {
    let size = data.bytes;
    let name = BIG;
    let same = |to: &Path, name: &str, size: u64| fs::metadata(to.join(name)).is_ok_and(|about| about.len() == size);
    let byte = change(
        data,
        "one byte",
        ana,
        ben,
        |folder| {
            let file = fs::File::options().write(true).open(folder.join(name))?;
            Ok(file.write_all_at(b"!", size / 3)?)
        },
        |folder| fs::File::open(folder.join(name)).is_ok_and(|f| byte_at(&f, size / 3) == Some(b'!')),
    )?;
    ensure!(byte.wire_mb.is_none_or(|mb| mb < EDIT_MB_MAX), "one byte sent {:?} MB", byte.wire_mb);
    // Of what stands there now, or the edit would take the one byte back, too.
    let expected = edited(&ana.folder(), place)?;
    let edited =
        change(data, "edit", ana, ben, |folder| put_edited(&expected, folder), |folder| same(folder, name, size + 1))?;
    ensure!(edited.wire_mb.is_none_or(|mb| mb < 2.0 * EDIT_MB_MAX), "the edit sent {:?} MB", edited.wire_mb);
    let copied = change(
        data,
        "copy",
        ana,
        ben,
        |folder| fs::copy(folder.join(name), folder.join("copy.bin")).map(drop).map_err(Into::into),
        |folder| same(folder, "copy.bin", size + 1),
    )?;
    ensure!(copied.wire_mb.is_none_or(|mb| mb < NAMES_MB_MAX), "a copy sent {:?} MB", copied.wire_mb);
    Ok(vec![byte, edited, copied])
}

/// The edit once more, until the seeder has signed for it.
fn edit_backed_up(place: &Path, data: &Data, ana: &Computer, seeder: &Computer) -> Result<Run> {
    let edited = edited(&ana.folder(), place)?;
    ana.wait()?;
    let meter = Meter::begin(&[ana, seeder])?;
    put_edited(&edited, &ana.folder())?;
    ana.wait()?;
    meter.end("cobox", data.workload, "backup edit", &[ana, seeder])
}

/// A directory below `place` that holds the large file of another after the edit.
pub(super) fn edited(from: &Path, place: &Path) -> Result<PathBuf> {
    let (from, to) = (from.join(BIG), place.join("edited"));
    fs::create_dir_all(&to)?;
    edit(&from, &to.join(BIG), fs::metadata(&from)?.len())?;
    Ok(to)
}

/// The large file after the edit comes into the place of the one before.
pub(super) fn put_edited(edited: &Path, folder: &Path) -> Result<()> {
    Ok(fs::rename(edited.join(BIG), folder.join(BIG))?)
}

/// A copy with one byte inserted in the middle and 4 KiB overwritten at a tenth.
fn edit(from: &Path, to: &Path, size: u64) -> Result<()> {
    use std::io::{Read, Write};
    let (from, mut to) = (fs::File::open(from)?, fs::File::create(to)?);
    std::io::copy(&mut (&from).take(size / 2), &mut to)?;
    to.write_all(b"!")?;
    std::io::copy(&mut &from, &mut to)?;
    to.write_all_at(&[0x5a; 4096], size / 10)?;
    Ok(to.sync_all()?)
}

fn byte_at(file: &fs::File, at: u64) -> Option<u8> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).ok().map(|()| byte[0])
}

/// All directories move into a new one, each with its files.
fn moved(data: &Data, ana: &Computer, ben: &Computer) -> Result<Run> {
    let (from, to) = ("all", "moved");
    change(
        data,
        "gather",
        ana,
        ben,
        |folder| {
            let dirs: Vec<_> = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
            fs::create_dir(folder.join(from))?;
            dirs.iter().filter(|dir| *dir != ".cobox").try_for_each(|dir| {
                let there = folder.join(from).join(dir);
                fs::rename(folder.join(dir), there)
            })?;
            Ok(())
        },
        |folder| fs::read_dir(folder.join(from)).is_ok_and(|dirs| dirs.count() == 100),
    )?;
    let run = change(
        data,
        "move",
        ana,
        ben,
        |folder| Ok(fs::rename(folder.join(from), folder.join(to))?),
        |folder| folder.join(to).is_dir() && !folder.join(from).exists(),
    )?;
    let there = fs::read_dir(ben.folder().join(to))?.count();
    ensure!(there == 100, "{there} directories instead of 100 moved");
    ensure!(run.wire_mb.is_none_or(|mb| mb < NAMES_MB_MAX), "a move sent {:?} MB", run.wire_mb);
    Ok(run)
}

/// Files of 100 bytes, one after the other; how long until each is at the other side.
fn saved(data: &Data, ana: &Computer, ben: &Computer) -> Result<Run> {
    ana.wait()?;
    let meter = Meter::begin(&[ana, ben])?;
    let mut took = Vec::new();
    for n in 0..SAVES {
        let name = format!("note {n}.txt");
        let begun = Instant::now();
        fs::write(ana.folder().join(&name), [b'a' + (n % 26) as u8; 100])?;
        let there = ben.folder().join(&name);
        while fs::metadata(&there).is_err() {
            ensure!(begun.elapsed() < Duration::from_secs(60), "{name} does not arrive");
            std::thread::sleep(Duration::from_millis(1));
        }
        took.push(begun.elapsed().as_secs_f64());
        // Neither in step with a timer of ours, nor while the last one is still being told of.
        std::thread::sleep(Duration::from_millis(300 + 7 * (n as u64 % 40)));
    }
    took.sort_by(f64::total_cmp);
    let mut run = meter.end("cobox", data.workload, "saves", &[ana, ben])?;
    for (what, at) in [("median_s", SAVES / 2), ("p95_s", SAVES * 95 / 100), ("max_s", SAVES - 1)] {
        run.more.insert(what, took[at]);
    }
    Ok(run)
}

/// A minute in which nothing happens.
fn idle(data: &Data, ana: &Computer, ben: &Computer) -> Result<Run> {
    ana.wait()?;
    ben.wait()?;
    std::thread::sleep(Duration::from_secs(5));
    let meter = Meter::begin(&[ana, ben])?;
    std::thread::sleep(IDLE);
    let mut run = meter.end("cobox", data.workload, "idle", &[ana, ben])?;
    run.more.insert("resident_mb", resident_mb(ana.pid())?.max(resident_mb(ben.pid())?));
    Ok(run)
}

/// A new start with the folder as it was: how long until the API answers, and until in step with the other.
pub(super) fn started(data: &Data, ana: &mut Computer, ben: &Computer) -> Result<Run> {
    ana.wait()?;
    ana.down()?;
    let begun = Instant::now();
    let answered = ana.up_again()?;
    ana.wait()?;
    let wall_s = begun.elapsed().as_secs_f64();
    let meter = Meter::begin(&[&*ana, ben])?;
    let mut run = meter.end("cobox", data.workload, "start", &[&*ana, ben])?;
    run.wall_s = wall_s;
    run.cpu_by = [(ana.name.clone(), cpu_s(ana.pid())?)].into();
    run.peak_mb_by = [(ana.name.clone(), peak_mb(ana.pid())?)].into();
    run.more.insert("answered_s", answered.as_secs_f64());
    Ok(run)
}

/// A receiver killed at half of the large file and started again.
pub(super) fn resume(bench: &Bench, data: &Data) -> Result<Vec<Run>> {
    let place = bench.place(data)?;
    let (ana, mut ben) = (place.member("ana")?, place.member("ben")?);
    fill(data, &ana.folder())?;
    let meter = Meter::begin(&[&ana])?;
    ana.create(&ana.folder())?;
    ben.join(&ana.invite(&ben.key()?)?)?;
    // Of a file on its way the status names the whole until it is done; what came over the wire tells how far it is.
    super::until("half of it is there", Duration::from_secs(600), || {
        ensure!(!ben.folder().join(BIG).exists(), "it was there before it could be killed");
        Ok(ben.received_bytes()? >= data.bytes / 2)
    })?;
    ben.crash()?;
    let before_mb = meter.wire_so_far().map(|bytes| bytes as f64 / 1e6);
    ben.up_again()?;
    ben.until_files(data.files)?;
    ben.until_in_step()?;
    let mut run = meter.end("cobox", data.workload, "resume", &[&ana])?;
    run.more.extend(before_mb.map(|mb| ("before_mb", mb)));
    data.same(&ben.folder())?;
    let most = data.bytes as f64 * 1.1 / 1e6;
    ensure!(run.wire_mb.is_none_or(|mb| mb < most), "{:?} MB went over the wire, {most:.0} may", run.wire_mb);
    Ok(vec![run])
}

/// A folder goes from one member through a seeder to another member, who never meets the first.
pub(super) fn memory(bench: &Bench, data: &Data) -> Result<Vec<Run>> {
    let place = bench.place(data)?;
    let (ana, ben, seeder) = (place.member("ana")?, place.member("ben")?, place.seeder("box")?);
    fill(data, &ana.folder())?;
    let meter = Meter::begin(&[&ana, &ben, &seeder])?;
    ana.create(&ana.folder())?;
    ana.until_files(data.files)?;
    ana.back_up(&seeder.offer()?)?;
    let code = ana.invite(&ben.key()?)?;
    ana.wait()?;
    let ana_peak = peak_mb(ana.pid())?;
    let ana_cpu = cpu_s(ana.pid())?;
    drop(ana);
    ben.join(&code)?;
    ben.until_files(data.files)?;
    ben.until_in_step()?;
    settle(place.root())?;
    let mut run = meter.end("cobox", data.workload, "through", &[&ben, &seeder])?;
    run.cpu_by.insert("ana".into(), ana_cpu);
    run.peak_mb_by.insert("ana".into(), ana_peak);
    for one in [&ben, &seeder] {
        run.state_mb_by.insert(one.name.clone(), one.state_mb()?);
    }
    data.same(&ben.folder())?;
    for (name, peak) in &run.peak_mb_by {
        ensure!(
            *peak < RESIDENT_MB_MAX || bench.scale > 1,
            "{name} took {peak:.0} MB, {RESIDENT_MB_MAX:.0} may be taken"
        );
    }
    Ok(vec![run])
}
