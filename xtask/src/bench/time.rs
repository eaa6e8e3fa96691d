//! Looking back in a large folder with a long past: the first page of history, one file's history, one file as it was, and what the past
//! costs a seeder. What must hold is asserted at full size.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::data::Data;
use super::meter::{Meter, Run};
use super::place::FOLDER;
use super::{Bench, fill};

/// States that are made before it is looked back: fewer when scaled down.
const STATES: u64 = 1000;
/// The first page of history takes no longer, seconds.
const PAGE_S_MAX: f64 = 0.2;
/// One file as it was is there within this, seconds.
const RESTORE_S_MAX: f64 = 1.0;

pub(super) fn time(bench: &Bench, data: &Data) -> Result<Vec<Run>> {
    let place = bench.place(data)?;
    let (ana, seeder) = (place.member("ana")?, place.seeder("box")?);
    fill(data, &ana.folder())?;
    ana.create(&ana.folder())?;
    ana.until_files(data.files)?;
    ana.back_up(&seeder.offer()?)?;
    let before_mb = seeder.state_mb()?;
    let states = (STATES / bench.scale).max(10);
    let diary = ana.folder().join("diary.txt");
    for n in 0..states {
        fs::write(&diary, format!("day {n}: {}", "words of a day ".repeat(50))).context("the diary")?;
        ana.wait()?;
    }
    let history_mb = seeder.state_mb()? - before_mb;
    let whole = bench.scale == 1;
    let mut runs = Vec::new();

    let meter = Meter::begin(&[&ana])?;
    let page = ana.type_in(&["history", FOLDER, "--limit", "50"])?;
    let mut run = meter.end("cobox", data.workload, "history page", &[&ana])?;
    ensure!(page["entries"].as_array().is_some_and(|entries| entries.len() == 50.min(states as usize)), "{page}");
    ensure!(!whole || run.wall_s < PAGE_S_MAX, "a page of history took {:.3} s", run.wall_s);
    run.more.insert("seeder_history_mb", history_mb);
    run.more.insert("states", states as f64);
    runs.push(run);

    let all = ana.type_in(&["history", FOLDER, "diary.txt", "--limit", "100000"])?;
    let entries = all["entries"].as_array().context("entries")?;
    ensure!(entries.len() as u64 >= states.min(10), "{} entries of {states}", entries.len());
    let at = entries[entries.len() / 2]["at"].as_str().context("a time")?;

    let to = place.root().join("as it was");
    let meter = Meter::begin(&[&ana])?;
    ana.type_in(&["restore", FOLDER, "diary.txt", "--at", at, "--to", &to.to_string_lossy()])?;
    let run = meter.end("cobox", data.workload, "restore one", &[&ana])?;
    ensure!(fs::read_to_string(to.join("diary.txt")).is_ok_and(|text| text.starts_with("day ")), "it is not a day's");
    ensure!(!whole || run.wall_s < RESTORE_S_MAX, "one file took {:.3} s", run.wall_s);
    runs.push(run);
    Ok(runs)
}
