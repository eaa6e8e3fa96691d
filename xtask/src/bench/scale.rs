//! How time, memory and disk grow: with the files of a folder, and with the folders at one seeder. Tables, and the same as curves in
//! `docs/performance`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use plotters::prelude::*;

use super::Bench;
use super::data::{Data, Workload};
use super::meter::{Lasting, Meter, cpu_s, peak_mb, resident_mb};
use super::place::{Computer, FOLDER, Place};
use super::report;
use super::stories;
use crate::run::root;

/// Files of one folder; the last one with `--million` alone.
const FILES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Folders at one seeder; the last one with `--million` alone.
const FOLDERS: [u64; 4] = [1, 10, 100, 1_000];
/// Files of each of them.
const FILES_PER_FOLDER: u64 = 20;
/// Twelve words hold keys for 255 folders.
const FOLDERS_PER_MEMBER: u64 = 250;
/// What is looked at is this long at rest.
const REST: Duration = Duration::from_secs(30);
/// The steady trickle of edits: folders, and members who are connected; each has one folder in so many.
const TRICKLE_FOLDERS: u64 = 200;
const TRICKLE_MEMBERS: u64 = 50;
/// How long it trickles, an edit of 1 KiB a second in all.
const TRICKLE: Duration = Duration::from_secs(60);
/// What the seeder may take meanwhile: a part of one core, and memory.
const TRICKLE_CORE_MAX: f64 = 0.1;
const TRICKLE_MB_MAX: f64 = 200.0;
const CORE: &str = "part of a core";
const PEAK: &str = "seeder's peak MB";
/// Where the curves are drawn.
const CURVES: &str = "docs/performance";

/// What was measured at one size.
type Figures = BTreeMap<&'static str, f64>;

/// Measures, prints and, with `record`, keeps tables and curves. `largest`: the size that takes a long time, too.
pub(super) fn scale(bench: &Bench, args: &[&str], largest: bool, record: bool) -> Result<()> {
    let sizes =
        |all: [u64; 4]| all[..if largest { 4 } else { 3 }].iter().map(|n| (n / bench.scale).max(1)).collect::<Vec<_>>();
    let load_before = report::load()?;
    let mut files = Vec::new();
    for count in sizes(FILES) {
        let figures = of_files(bench, count)?;
        println!("{count} files: {figures:?}");
        files.push((count, figures));
    }
    let mut folders = Vec::new();
    for count in sizes(FOLDERS) {
        let figures = of_folders(bench, count)?;
        println!("{count} folders: {figures:?}");
        folders.push((count, figures));
    }
    println!("a steady trickle");
    let trickle = trickle(bench)?;
    let mut text = report::heading(&report::command(args), &load_before)?;
    write!(text, "\n{}\n{}\n", table("files", &files), table("folders at one seeder", &folders))?;
    let told = trickle.iter().map(|(what, figure)| format!("{what} {}", report::figure(*figure)));
    writeln!(text, "A steady trickle: {}.", told.collect::<Vec<_>>().join(", "))?;
    println!("{text}");
    if record {
        fs::create_dir_all(root().join(CURVES))?;
        curves("files", "files of a folder", &files)?;
        curves("folders", "folders at one seeder", &folders)?;
        report::record(&text)?;
    }
    // Judged when all is told.
    let (core, peak) = (trickle[CORE], trickle[PEAK]);
    ensure!(bench.scale > 1 || core <= TRICKLE_CORE_MAX, "the seeder took {core:.3} of a core");
    ensure!(bench.scale > 1 || peak <= TRICKLE_MB_MAX, "the seeder took {peak:.0} MB");
    Ok(())
}

/// One folder of so many files of 200 bytes in directories of a hundred, all below one directory.
fn of_files(bench: &Bench, count: u64) -> Result<Figures> {
    let data = Data::broad(count, &super::data_place(bench.scale))?;
    let place = bench.place(&data)?;
    let (mut ana, ben, sync) = stories::joined(&place, &data)?;
    let mut figures = Figures::from([("sync s", sync.wall_s), ("sync CPU s", sync.cpu_s())]);
    figures.extend(sync.wire_mb.map(|mb| ("wire MB", mb)));
    for (who, what) in [("ana", "peak MB, sender"), ("ben", "peak MB, receiver")] {
        figures.insert(what, sync.peak_mb_by.get(who).copied().unwrap_or_default());
    }
    figures.insert("state MB", ben.state_mb()?);
    ana.wait()?;
    let begun = Instant::now();
    ana.wait()?;
    figures.insert("look at all s", begun.elapsed().as_secs_f64());
    let renamed = stories::change(
        &data,
        "rename",
        &ana,
        &ben,
        |folder| Ok(fs::rename(folder.join(Data::TOP), folder.join("renamed"))?),
        |folder| folder.join("renamed").is_dir() && !folder.join(Data::TOP).exists(),
    )?;
    figures.insert("rename s", renamed.wall_s);
    figures.insert("start s", stories::started(&data, &mut ana, &ben)?.wall_s);
    let cpu = || Ok::<f64, anyhow::Error>(cpu_s(ana.pid())? + cpu_s(ben.pid())?);
    std::thread::sleep(Duration::from_secs(5));
    let before = cpu()?;
    std::thread::sleep(REST);
    figures.insert("CPU s in a minute of rest", (cpu()? - before) * 60.0 / REST.as_secs_f64());
    figures.insert("resident MB at rest", resident_mb(ben.pid())?);
    Ok(figures)
}

/// So many folders at one seeder, of one member; of several where one may not have as many.
fn of_folders(bench: &Bench, count: u64) -> Result<Figures> {
    let place = bench.empty_place()?;
    let (people, seeder) = (members(&place, count.div_ceil(FOLDERS_PER_MEMBER))?, place.seeder("box")?);
    let one = &people[0];
    let computers: Vec<&dyn Lasting> =
        people.iter().chain([&seeder]).map(|computer| computer as &dyn Lasting).collect();
    let meter = Meter::begin(&computers)?;
    spread(&place, &people, &seeder, count)?;
    let run = meter.end("cobox", Workload::Small, "folders", &computers)?;
    let mut figures = Figures::from([
        ("placed s", run.wall_s),
        ("placed CPU s", run.cpu_s()),
        ("peak MB, member", peak_mb(one.pid())?),
        ("peak MB, seeder", peak_mb(seeder.pid())?),
        ("state MB, seeder", seeder.state_mb()?),
    ]);
    std::thread::sleep(Duration::from_secs(5));
    let before = (cpu_s(one.pid())?, cpu_s(seeder.pid())?);
    std::thread::sleep(REST);
    let minute = 60.0 / REST.as_secs_f64();
    figures.insert("member's CPU s in a minute of rest", (cpu_s(one.pid())? - before.0) * minute);
    figures.insert("seeder's CPU s in a minute of rest", (cpu_s(seeder.pid())? - before.1) * minute);
    Ok(figures)
}

fn members(place: &Place, count: u64) -> Result<Vec<Computer>> {
    (0..count).map(|n| place.member(&format!("m{n}"))).collect()
}

fn name_of(folder: u64) -> String {
    format!("{FOLDER} {folder}")
}

/// Whose folder it is.
fn owner_of(people: &[Computer], folder: u64) -> &Computer {
    &people[folder as usize % people.len()]
}

/// So many folders of these people in turn; waits until the seeder has all of them.
fn spread(place: &Place, people: &[Computer], seeder: &Computer, count: u64) -> Result<()> {
    for folder in 0..count {
        placed(place, owner_of(people, folder), seeder, &name_of(folder))?;
    }
    for (n, person) in people.iter().enumerate() {
        until_signed(person, (0..count).skip(n).step_by(people.len()).count() as u64)?;
    }
    Ok(())
}

/// A folder of some files, with its backup.
fn placed(place: &Place, ana: &Computer, seeder: &Computer, name: &str) -> Result<()> {
    let folder = ana.folder().with_file_name(name);
    fs::create_dir_all(&folder).with_context(|| format!("in {}", place.root().display()))?;
    for n in 0..FILES_PER_FOLDER {
        fs::write(folder.join(format!("{n}.txt")), format!("{name}, {n}: ").repeat(12))?;
    }
    ana.create(&folder)?;
    ana.type_in(&["backup", "add", name, &seeder.offer_of("100MB")?]).map(drop)
}

/// Waits until the seeder has signed for the newest state of so many folders.
fn until_signed(ana: &Computer, count: u64) -> Result<()> {
    super::until("the seeder has signed for all", Duration::from_secs(1800), || {
        let folders = ana.folders()?;
        let signed = |folder: &&serde_json::Value| {
            let backup = &folder["backups"][0];
            folder["files"] == FILES_PER_FOLDER && backup["complete"] == true && backup["receipt_at"].is_string()
        };
        Ok(folders.iter().filter(signed).count() as u64 == count)
    })
}

/// Many folders of many members at one seeder, and now and then an edit somewhere.
fn trickle(bench: &Bench) -> Result<Figures> {
    let (members, folders) = ((TRICKLE_MEMBERS / bench.scale).max(1), (TRICKLE_FOLDERS / bench.scale).max(1));
    let place = bench.empty_place()?;
    let (people, seeder) = (self::members(&place, members)?, place.seeder("box")?);
    spread(&place, &people, &seeder, folders)?;
    std::thread::sleep(Duration::from_secs(5));
    let meter = Meter::begin(&[&seeder])?;
    let begun = Instant::now();
    let mut edit = 0;
    while begun.elapsed() < TRICKLE {
        let n = edit % folders;
        let folder = owner_of(&people, n).folder().with_file_name(name_of(n));
        fs::write(folder.join("0.txt"), format!("{edit:01024}"))?;
        edit += 1;
        std::thread::sleep(Duration::from_secs(edit).saturating_sub(begun.elapsed()));
    }
    let run = meter.end("cobox", Workload::Small, "trickle", &[&seeder])?;
    Ok(Figures::from([
        ("folders", folders as f64),
        ("members", members as f64),
        ("edits", edit as f64),
        (CORE, run.cpu_by["box"] / run.wall_s),
        (PEAK, run.peak_mb_by["box"]),
    ]))
}

/// A row for each figure, a column for each size.
fn table(what: &str, points: &[(u64, Figures)]) -> String {
    let sizes: Vec<String> = points.iter().map(|(size, _)| size.to_string()).collect();
    let mut text = format!("| {what} | {} |\n|---|{}\n", sizes.join(" | "), "---|".repeat(points.len()));
    for name in points.first().map(|(_, figures)| figures.keys()).into_iter().flatten() {
        let row: Vec<String> = points.iter().map(|(_, figures)| report::figure(figures[name])).collect();
        let _infallible = writeln!(text, "| {name} | {} |", row.join(" | "));
    }
    text
}

/// Every figure over the size, both in powers of ten.
fn curves(name: &str, what: &str, points: &[(u64, Figures)]) -> Result<()> {
    let path = root().join(CURVES).join(format!("{name}.svg"));
    draw(&path, what, points).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))
}

fn draw(path: &Path, what: &str, points: &[(u64, Figures)]) -> Result<(), Box<dyn std::error::Error>> {
    let page = SVGBackend::new(path, (900, 560)).into_drawing_area();
    page.fill(&WHITE)?;
    let sizes = points.iter().map(|(size, _)| *size as f64);
    let (least, most) = (sizes.clone().fold(f64::MAX, f64::min), sizes.fold(1.0, f64::max));
    let values = || points.iter().flat_map(|(_, figures)| figures.values().copied()).filter(|value| *value > 0.0);
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    // A third of the width is for the names, beside the lines.
    let beside = (most / least).max(1.0).sqrt();
    let mut chart = ChartBuilder::on(&page)
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((least..most * beside).log_scale(), (low * 0.8..high * 1.5).log_scale())?;
    let label = |figure: &f64| report::figure(*figure);
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(what).light_line_style(WHITE.mix(0.0)).x_label_formatter(&label).y_label_formatter(&label).draw()?;
    let names: Vec<&str> = points.first().map(|(_, figures)| figures.keys().copied().collect()).unwrap_or_default();
    for (at, name) in names.iter().enumerate() {
        let colour = Palette99::pick(at).to_rgba();
        let line: Vec<(f64, f64)> =
            points.iter().map(|(size, figures)| (*size as f64, figures[name])).filter(|(_, y)| *y > 0.0).collect();
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    Ok(page.present()?)
}
