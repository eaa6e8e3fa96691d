//! Looking back in a large folder with a long past: the first page of history, one file's history, one file as it was at any moment, and
//! what the past costs a seeder. The past is a real one: one save after another, each a state of its own that the seeder signed for.
//! What must hold is asserted at full size.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::data::Data;
use super::meter::{Meter, Run};
use super::place::{Computer, FOLDER};
use super::{Bench, fill};

/// States that are made before it is looked back: fewer when scaled down.
const STATES: u64 = 10_000;
/// Files that are saved in turns.
const SAVED: usize = 97;
/// Saves follow each other so that each becomes a state of its own: looks begin ten times a second.
const PAUSE: Duration = Duration::from_millis(110);
/// After so many saves the seeder is waited for: what it has not signed for by the next state it need not keep.
const TOGETHER: u64 = 50;
/// The first page of history takes no longer, seconds.
const PAGE_S_MAX: f64 = 0.2;
/// One file as it was is there within this, seconds.
const RESTORE_S_MAX: f64 = 1.0;
/// Moments for which a file is had again: the oldest and the newest state, and some between.
const MOMENTS: usize = 9;

pub(super) fn time(bench: &Bench, data: &Data) -> Result<Vec<Run>> {
    let place = bench.place(data)?;
    let (mut ana, seeder) = (place.member("ana")?, place.seeder("box")?);
    fill(data, &ana.folder())?;
    ana.create(&ana.folder())?;
    ana.until_files(data.files)?;
    ana.back_up(&seeder.offer()?)?;
    let (before_mb, before_own_mb) = (seeder.state_mb()?, ana.state_mb()?);
    let states = (STATES / bench.scale).max(10);
    let files = some_files(&ana.folder())?;
    let begun = Instant::now();
    let kept = live_through(&ana, &seeder, &files, states)?;
    println!("{kept} states at the seeder after {:.0} s", begun.elapsed().as_secs_f64());
    let per_state_kb = |mb: f64| mb * 1000.0 / kept as f64;
    let (history_mb, own_mb) = (seeder.state_mb()? - before_mb, ana.state_mb()? - before_own_mb);
    let whole = bench.scale == 1;
    let mut runs = Vec::new();

    let page = |ana: &Computer, op, path: &[&str]| -> Result<(Run, Value)> {
        let meter = Meter::begin(&[ana])?;
        let page = ana.type_in(&[&["history", FOLDER][..], path, &["--limit", "50"]].concat())?;
        Ok((meter.end("cobox", data.workload, op, &[ana])?, page))
    };
    let (mut run, first) = page(&ana, "history page", &[])?;
    ensure!(first["entries"].as_array().is_some_and(|entries| entries.len() == 50.min(states as usize)), "{first}");
    ensure!(!whole || run.wall_s < PAGE_S_MAX, "a page of history took {:.3} s", run.wall_s);
    run.more.insert("states", kept as f64);
    run.more.insert("seeder_history_mb", history_mb);
    run.more.insert("seeder_kb_per_state", per_state_kb(history_mb));
    run.more.insert("own_history_mb", own_mb);
    runs.push(run);
    let one = files[0].strip_prefix(ana.folder())?.to_string_lossy().into_owned();
    let (run, of_one) = page(&ana, "history of one file", &[one.as_str()])?;
    let saves = of_one["entries"].as_array().context("entries")?.len() as u64;
    ensure!(saves >= (states / SAVED as u64).min(50), "{saves} changes of {one}");
    runs.push(run);
    ana.down()?;
    ana.up_again()?;
    ana.until_in_step()?;
    let (run, _) = page(&ana, "history page, just started", &[])?;
    ensure!(!whole || run.wall_s < PAGE_S_MAX, "just started, a page of history took {:.3} s", run.wall_s);
    runs.push(run);

    // All of what happened, to have moments from the first to the last.
    let all = ana.type_in(&["history", FOLDER, "--limit", "1000000"])?;
    let entries: Vec<&Value> = all["entries"].as_array().context("entries")?.iter().filter(is_save).collect();
    ensure!(entries.len() as u64 >= kept / 2, "{} saves of {kept} states are told", entries.len());
    let mut slowest: Option<Run> = None;
    for moment in 0..MOMENTS {
        let entry = entries[(entries.len() - 1) * moment / (MOMENTS - 1)];
        let text = |key: &str| entry[key].as_str().with_context(|| format!("{key} of {entry}"));
        let (path, state) = (text("path")?, text("state")?);
        let to = place.root().join(format!("as it was {moment}"));
        let meter = Meter::begin(&[&ana])?;
        ana.type_in(&["restore", FOLDER, path, "--state", state, "--to", &to.to_string_lossy()])?;
        let run = meter.end("cobox", data.workload, "restore one, slowest", &[&ana])?;
        ensure!(fs::read_to_string(to.join(path)).is_ok_and(|text| text.starts_with("save ")), "{path} is no save's");
        ensure!(!whole || run.wall_s < RESTORE_S_MAX, "{path} of moment {moment} took {:.3} s", run.wall_s);
        if slowest.as_ref().is_none_or(|slowest| slowest.wall_s < run.wall_s) {
            slowest = Some(run);
        }
    }
    runs.extend(slowest);
    Ok(runs)
}

fn is_save(entry: &&Value) -> bool {
    entry["change"] == "edited" && entry["kind"] == "file"
}

/// Some of the folder's files, from all over it.
fn some_files(folder: &std::path::Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut dirs) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            match path.is_dir() {
                true if path.ends_with(".cobox") => {}
                true => dirs.push(path),
                false => files.push(path),
            }
        }
    }
    ensure!(files.len() >= SAVED, "{} files are too few", files.len());
    files.sort();
    let step = files.len() / SAVED;
    Ok(files.into_iter().step_by(step).take(SAVED).collect())
}

/// One save after another until the seeder keeps so many states more than before. How many it keeps.
fn live_through(ana: &Computer, seeder: &Computer, files: &[PathBuf], states: u64) -> Result<u64> {
    let id = seeder.folder_id()?;
    let before = seeder.states(&id)?;
    let mut saves = 0;
    loop {
        for _ in 0..TOGETHER.min(states) {
            let file = &files[saves as usize % files.len()];
            // Longer than what stands in a record itself: each save has a block of its own.
            fs::write(file, format!("save {saves}: {}", "words of a day ".repeat(50))).context("a save")?;
            saves += 1;
            std::thread::sleep(PAUSE);
        }
        ana.until_in_step()?;
        let kept = seeder.states(&id)?.saturating_sub(before);
        if kept >= states {
            return Ok(kept);
        }
        ensure!(saves < states * 3, "after {saves} saves the seeder keeps {kept} states of them");
    }
}
