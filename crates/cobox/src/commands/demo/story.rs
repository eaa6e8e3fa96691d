//! The story, step by step. Each step does what people would do, with the commands they would type, and then looks whether it is so.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::canary::Search;
use super::choir::{self, ANA, BEN, CLEO, FOLDER, LETTER, Line, ROTA};
use super::tree::{Entry, Tree};
use super::world::{Place, Program, Result, World, WorldError, tried};
use crate::units::show_bytes;

/// How long files may take to arrive.
const ARRIVE_TIMEOUT: Duration = Duration::from_secs(30);
/// Planted strings that stand nowhere in the folder at the end: three people's names, the letter's name and content, the first rota.
const IN_NO_FILE: usize = 6;
/// The seeder's name: its owner's choice, not a secret.
const BOX: &str = "Parish box";

/// One step: what happens, and how it is done. It returns a few words on what came of it.
pub(crate) struct Step {
    /// In one line.
    pub(crate) title: &'static str,
    /// Does it and sees whether it is so.
    pub(crate) act: fn(&World, &mut Cast) -> Result<String>,
}

/// All of it, in order.
pub(crate) const STEPS: [Step; 14] = [
    Step { title: "Ana starts cobox", act: ana_starts },
    Step { title: "Ana makes her choir's directory a folder", act: ana_makes_a_folder },
    Step { title: "The parish's little box starts, and offers space", act: the_box_offers },
    Step { title: "Ana places an encrypted copy on the box", act: ana_adds_a_backup },
    Step { title: "Ben starts cobox, is invited, and joins", act: ben_joins },
    Step { title: "Both edit, and both have everything", act: both_edit },
    Step { title: "Ben goes offline; both go on, also in the same file", act: both_edit_apart },
    Step { title: "Ben is back: nothing is lost, the two versions lie side by side", act: ben_is_back },
    Step { title: "Ana invites Cleo and writes down her recovery words", act: ana_prepares },
    Step { title: "Ana and Ben switch off", act: ana_and_ben_stop },
    Step { title: "Cleo joins while only the box runs, and gets every file", act: cleo_joins },
    Step { title: "Ana's laptop is lost, and Cleo switches off", act: the_laptop_is_lost },
    Step { title: "Twelve words and the box bring everything back", act: ana_recovers },
    Step { title: "The box never learned any of it", act: the_box_knows_nothing },
];

/// Who takes part, and what they have in hand.
pub(crate) struct Cast {
    ana: Place,
    ben: Place,
    cleo: Place,
    parish_box: Place,
    /// Ana's new computer.
    new_ana: Place,
    offer: String,
    code_for_cleo: String,
    words_file: PathBuf,
    tickets: Vec<String>,
    /// How the folder was when everything was well.
    whole: Tree,
    ana_key: String,
    /// What the box could see, and what was looked for in vain.
    pub(crate) seen: Option<Seen>,
}

/// What the seeder could see.
#[derive(Debug, Serialize)]
pub(crate) struct Seen {
    /// As `cobox-seeder show` tells of each folder it keeps.
    pub(crate) folders: Vec<Value>,
    /// Planted strings looked for.
    pub(crate) strings: usize,
    /// Shapes of them.
    pub(crate) forms: usize,
    /// Files of the seeder searched.
    pub(crate) files: u64,
    /// Their size.
    pub(crate) bytes: u64,
}

impl Cast {
    /// Everybody at a computer that is switched off.
    pub(crate) fn assemble(world: &World) -> Result<Self> {
        Ok(Self {
            ana: world.place("Ana", "ana", Program::Cobox)?,
            ben: world.place("Ben", "ben", Program::Cobox)?,
            cleo: world.place("Cleo", "cleo", Program::Cobox)?,
            parish_box: world.place("the parish", "box", Program::Seeder)?,
            new_ana: world.place("Ana", "ana-again", Program::Cobox)?,
            offer: String::new(),
            code_for_cleo: String::new(),
            words_file: world.root().join("words"),
            tickets: Vec::new(),
            whole: Tree::default(),
            ana_key: String::new(),
            seen: None,
        })
    }
}

fn ana_starts(world: &World, cast: &mut Cast) -> Result<String> {
    world.start(&mut cast.ana, ANA)?;
    let me = world.run(&cast.ana, &["whoami"])?;
    hold(me["name"] == ANA, "Ana has her name")?;
    cast.ana_key = text(&me, "cobox_key")?;
    Ok(format!("her CoBox key begins {}", cast.ana_key.chars().take(10).collect::<String>()))
}

fn ana_makes_a_folder(world: &World, cast: &mut Cast) -> Result<String> {
    let root = cast.ana.documents().join(FOLDER);
    tried("the choir's files", choir::plant(&root))?;
    let made = world.run(&cast.ana, &["create", &utf8(&root)?])?;
    hold(made["folder"]["name"] == FOLDER, "the folder has its directory's name")?;
    let whole = read(&root)?;
    let files = whole.files() as u64;
    world.until("all files are in the folder", ARRIVE_TIMEOUT, || {
        let seen = status(world, &cast.ana)?["files"].as_u64().unwrap_or(0);
        Ok(if seen == files { Ok(()) } else { Err(format!("{seen} of {files} files")) })
    })?;
    Ok(format!("{files} files, {}", show_bytes(whole.bytes())))
}

fn the_box_offers(world: &World, cast: &mut Cast) -> Result<String> {
    world.start(&mut cast.parish_box, BOX)?;
    let offer = world.run(&cast.parish_box, &["offer", "--space", "1GB", "--for", "a friend"])?;
    cast.offer = text(&offer, "offer")?;
    Ok("1 GB, for whoever has the offer".into())
}

fn ana_adds_a_backup(world: &World, cast: &mut Cast) -> Result<String> {
    world.run(&cast.ana, &["backup", "add", FOLDER, &cast.offer])?;
    let held = backed_up(world, &cast.ana)?;
    Ok(format!("complete and signed for, {}", show_bytes(held)))
}

fn ben_joins(world: &World, cast: &mut Cast) -> Result<String> {
    world.start(&mut cast.ben, BEN)?;
    let code = invite(world, &cast.ana, &cast.ben)?;
    join(world, &cast.ben, &code)?;
    let tree = same(world, &cast.ana, &cast.ben)?;
    Ok(format!("{} files, byte for byte", tree.files()))
}

fn both_edit(world: &World, cast: &mut Cast) -> Result<String> {
    write(&cast.ana, "concert.txt", Line::AnaOnTickets.text())?;
    write(&cast.ben, "scores/tour.txt", Line::BenOnTour.text())?;
    let both = |tree: &Tree| has(tree, "concert.txt") && has(tree, "scores/tour.txt");
    same_and(world, &cast.ana, &cast.ben, "both edits are on both sides", both)?;
    Ok("a concert and a tour".into())
}

fn both_edit_apart(world: &World, cast: &mut Cast) -> Result<String> {
    in_step(world, &cast.ben)?;
    world.stop(&mut cast.ben)?;
    write(&cast.ana, ROTA, Line::AnaOnRota.text())?;
    write(&cast.ben, ROTA, Line::BenOnRota.text())?;
    write(&cast.ben, "scores/on the train.txt", "written without any network\n")?;
    tried("Ben deletes a letter", fs::remove_file(folder(&cast.ben).join(LETTER)))?;
    backed_up(world, &cast.ana)?;
    Ok("Ben also deletes a letter".into())
}

fn ben_is_back(world: &World, cast: &mut Cast) -> Result<String> {
    world.start(&mut cast.ben, BEN)?;
    let tree = same_and(world, &cast.ana, &cast.ben, "Ben's work is on both sides", |tree| {
        has(tree, "scores/on the train.txt") && !has(tree, LETTER) && versions(tree).len() == 2
    })?;
    let versions = versions(&tree);
    hold(versions.iter().any(|path| *path == Path::new(ROTA)), "one version of the rota keeps the name")?;
    let listed = world.run(&cast.ana, &["conflicts", "list", FOLDER])?;
    let listed = listed["conflicts"].as_array().map_or(0, Vec::len);
    hold(listed == 1, "`cobox conflicts list` names the conflict")?;
    let copy = versions.iter().find(|path| **path != Path::new(ROTA));
    Ok(copy.map(|path| format!("\"{}\"", path.display())).unwrap_or_default())
}

fn ana_prepares(world: &World, cast: &mut Cast) -> Result<String> {
    world.start(&mut cast.cleo, CLEO)?;
    cast.code_for_cleo = invite(world, &cast.ana, &cast.cleo)?;
    let kit = world.run(&cast.ana, &["recovery", "kit", "--to", &utf8(&cast.ana.dir.join("kit"))?])?;
    let kit = text(&kit, "written_to")?;
    let kit: Value = tried("the kit", fs::read(kit).and_then(|kit| Ok(serde_json::from_slice(&kit)?)))?;
    let words = text(&kit, "words")?;
    let written = fs::File::options().write(true).create_new(true).mode(0o600).open(&cast.words_file);
    let written = written.and_then(|mut file| std::io::Write::write_all(&mut file, words.as_bytes()));
    tried("the words", written)?;
    cast.tickets =
        kit["seeders"].as_array().into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect();
    hold(words.split_whitespace().count() == 12, "there are twelve words")?;
    hold(!cast.tickets.is_empty(), "the kit holds the box's ticket")?;
    backed_up(world, &cast.ana)?;
    in_step(world, &cast.ben)?;
    cast.whole = same(world, &cast.ana, &cast.ben)?;
    Ok("on paper, with the box's address".into())
}

fn ana_and_ben_stop(world: &World, cast: &mut Cast) -> Result<String> {
    let ana = world.stop(&mut cast.ana)?;
    let ben = world.stop(&mut cast.ben)?;
    Ok(format!("processes {ana} and {ben} are gone"))
}

fn cleo_joins(world: &World, cast: &mut Cast) -> Result<String> {
    join(world, &cast.cleo, &cast.code_for_cleo)?;
    let tree = becomes(world, &cast.cleo, &cast.whole)?;
    hold(!has(&tree, LETTER), "the letter Ben deleted stays gone")?;
    Ok(format!("{} files; the letter Ben deleted stays gone", tree.files()))
}

fn the_laptop_is_lost(world: &World, cast: &mut Cast) -> Result<String> {
    in_step(world, &cast.cleo)?;
    world.stop(&mut cast.cleo)?;
    tried("Ana's laptop falls into the lake", fs::remove_dir_all(&cast.ana.dir))?;
    Ok("home and folder are gone; only the box runs".into())
}

fn ana_recovers(world: &World, cast: &mut Cast) -> Result<String> {
    let place = &mut cast.new_ana;
    world.start(place, "A new computer")?;
    let (words, to) = (utf8(&cast.words_file)?, utf8(&place.documents())?);
    let mut args = vec!["recover", "--words-file", &words, "--to", &to];
    for ticket in &cast.tickets {
        args.extend(["--seeder", ticket]);
    }
    let back = world.run(place, &args)?;
    hold(back["name"] == ANA, "she has her name again")?;
    hold(back["cobox_key"] == cast.ana_key.as_str(), "she has her CoBox key again")?;
    let names: Vec<&str> =
        back["folders"].as_array().into_iter().flatten().filter_map(|f| f["name"].as_str()).collect();
    hold(names == [FOLDER], "her folder has its name again")?;
    let tree = becomes(world, place, &cast.whole)?;
    Ok(format!("{}, \"{FOLDER}\", {} files, byte for byte", back["name"].as_str().unwrap_or_default(), tree.files()))
}

fn the_box_knows_nothing(world: &World, cast: &mut Cast) -> Result<String> {
    let list = world.run(&cast.parish_box, &["folders"])?;
    let ids = list["folders"].as_array().into_iter().flatten().filter_map(|folder| folder["id"].as_str());
    let folders: Vec<Value> = ids.map(|id| world.run(&cast.parish_box, &["show", id])).collect::<Result<_>>()?;
    hold(!folders.is_empty(), "the box keeps something")?;
    // Switched off, so that nothing is only in its memory.
    world.stop(&mut cast.parish_box)?;
    let planted = choir::planted();
    let search = Search::new(&planted);
    hold(search.finds_everything(), "the search finds what is there")?;
    let control = tried("the search of Ana's folder", search.below(&[&folder(&cast.new_ana)]))?;
    let there: BTreeSet<&str> = control.found.iter().map(|found| found.text.as_str()).collect();
    hold(there.len() + IN_NO_FILE == planted.len(), "the search finds the planted strings in Ana's own folder")?;
    let roots = [cast.parish_box.home(), cast.parish_box.said()];
    let searched = tried("the search of the box", search.below(&[&roots[0], &roots[1]]))?;
    if let Some(found) = searched.found.first() {
        let what = format!("the box has \"{}\" ({}) in {}", found.text, found.form, found.path.display());
        return Err(WorldError::NotSo(what));
    }
    hold(searched.files > 0, "the box has files to search")?;
    let (strings, forms) = (planted.len(), search.forms());
    cast.seen = Some(Seen { folders, strings, forms, files: searched.files, bytes: searched.bytes });
    Ok(format!("{strings} planted strings in {forms} shapes: none in its {} files, logs too", searched.files))
}

/// The folder's directory at a place.
fn folder(place: &Place) -> PathBuf {
    place.documents().join(FOLDER)
}

fn read(root: &Path) -> Result<Tree> {
    tried(format!("{} can not be read", root.display()), Tree::read(root))
}

fn write(place: &Place, path: &str, text: &str) -> Result<()> {
    tried(format!("{} writes {path}", place.who), fs::write(folder(place).join(path), format!("{text}\n")))
}

fn has(tree: &Tree, path: &str) -> bool {
    tree.0.contains_key(Path::new(path))
}

/// Where the two versions of the rota lie: those that exist with one of the two contents.
fn versions(tree: &Tree) -> Vec<&Path> {
    let wanted = [Line::AnaOnRota.text(), Line::BenOnRota.text()].map(|text| format!("{text}\n").into_bytes());
    let files = tree.0.iter().filter(|(_, entry)| matches!(entry, Entry::File { bytes, .. } if wanted.contains(bytes)));
    files.map(|(path, _)| path.as_path()).collect()
}

fn invite(world: &World, from: &Place, to: &Place) -> Result<String> {
    let key = text(&world.run(to, &["whoami"])?, "cobox_key")?;
    text(&world.run(from, &["invite", FOLDER, "--to", &key])?, "code")
}

fn join(world: &World, place: &Place, code: &str) -> Result<()> {
    let joined = world.run(place, &["join", code, &utf8(&folder(place))?])?;
    hold(joined["folder"]["name"] == FOLDER, "the folder has its name")
}

/// The one folder in a place's status.
fn status(world: &World, place: &Place) -> Result<Value> {
    Ok(world.run(place, &["status", FOLDER])?["folders"][0].take())
}

fn in_step(world: &World, place: &Place) -> Result<Value> {
    let timeout = ARRIVE_TIMEOUT.as_secs().to_string();
    Ok(world.run(place, &["status", FOLDER, "--wait", "--timeout", &timeout])?["folders"][0].take())
}

/// Waits until the box has signed for the newest state; how much it keeps.
fn backed_up(world: &World, place: &Place) -> Result<u64> {
    world.until("the box signs for the newest state", ARRIVE_TIMEOUT, || {
        let status = in_step(world, place)?;
        let backup = &status["backups"][0];
        let done = backup["complete"] == true && backup["receipt_at"].is_string();
        Ok(if done { Ok(backup["held_bytes"].as_u64().unwrap_or(0)) } else { Err(backup.to_string()) })
    })
}

/// Waits until two places have the same files.
fn same(world: &World, one: &Place, other: &Place) -> Result<Tree> {
    same_and(world, one, other, "both have the same files", |_| true)
}

fn same_and(world: &World, one: &Place, other: &Place, what: &str, and: impl Fn(&Tree) -> bool) -> Result<Tree> {
    world.until(what, ARRIVE_TIMEOUT, || {
        let (mine, theirs) = (read(&folder(one))?, read(&folder(other))?);
        Ok(match mine.difference(&theirs) {
            Some(difference) => Err(format!("at {}, {difference}", other.who)),
            None if !and(&mine) => Err("the same, but not yet this".into()),
            None => Ok(mine),
        })
    })
}

/// Waits until a place has exactly these files.
fn becomes(world: &World, place: &Place, whole: &Tree) -> Result<Tree> {
    world.until(&format!("{} has every file", place.who), ARRIVE_TIMEOUT, || {
        let tree = read(&folder(place))?;
        Ok(whole.difference(&tree).map_or(Ok(tree), Err))
    })
}

fn hold(so: bool, what: &str) -> Result<()> {
    if so { Ok(()) } else { Err(WorldError::NotSo(format!("this does not hold: {what}"))) }
}

fn text(json: &Value, key: &str) -> Result<String> {
    let found = json[key].as_str().map(str::to_owned);
    found.ok_or_else(|| WorldError::NotSo(format!("a command printed no \"{key}\"")))
}

fn utf8(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| WorldError::NotSo(format!("{} is not UTF-8", path.display())))
}
