//! What a `.cobox-ignore` names is nobody's loss: it stays where it is, for everybody, whoever does what meanwhile.

use std::fs;
use std::path::Path;

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, same, until};

/// Waits until a file stands in a folder as it was written elsewhere.
fn arrives(root: &Path, file: &str, text: &str) {
    until(&format!("{file} arrives"), PATIENCE, || match fs::read_to_string(root.join(file)) {
        Ok(found) if found == text => Ok(()),
        found => Err(found.map_err(|why| why.to_string())),
    });
}

fn texts(root: &Path) -> Vec<String> {
    let files = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut texts: Vec<String> = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    texts.sort_unstable();
    texts
}

fn problems(of: &Computer) -> Vec<String> {
    let status = of.status("docs");
    let all = status["problems"].as_array().unwrap();
    all.iter().map(|problem| problem["code"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn l15_ignored_files_stay_with_everybody_and_come_back_as_conflicts() {
    let world = World::new();
    let (mut ana, mut ben) = ana_and_ben(&world, |root| {
        fs::create_dir_all(root.join("build/deep")).unwrap();
        fs::write(root.join("build/deep/out"), "built").unwrap();
        for name in ["app.log", "same.log", "theirs.log"] {
            fs::write(root.join(name), format!("first {name}")).unwrap();
        }
        fs::write(root.join("poem.txt"), "a poem").unwrap();
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));

    // From now on ignored: with a newly written file, nothing of it is taken for deleted.
    fs::write(mine.join("new.log"), "Ana's alone").unwrap();
    fs::write(mine.join(".cobox-ignore"), "*.log\nbuild/\n").unwrap();
    arrives(&theirs, ".cobox-ignore", "*.log\nbuild/\n");
    fs::write(theirs.join("after.txt"), "after").unwrap();
    arrives(&mine, "after.txt", "after");
    for root in [&mine, &theirs] {
        assert_eq!(fs::read_to_string(root.join("build/deep/out")).unwrap(), "built");
        assert_eq!(fs::read_to_string(root.join("app.log")).unwrap(), "first app.log");
    }

    // Nobody hears of what becomes of it, neither at once nor after a restart.
    fs::write(mine.join("app.log"), "Ana's own").unwrap();
    fs::remove_file(mine.join("theirs.log")).unwrap();
    fs::remove_dir_all(theirs.join("build")).unwrap();
    for computer in [&mut ana, &mut ben] {
        computer.restart();
    }
    fs::write(theirs.join("poem.txt"), "a longer poem").unwrap();
    arrives(&mine, "poem.txt", "a longer poem");
    fs::write(mine.join("poem.txt"), "the longest poem").unwrap();
    arrives(&theirs, "poem.txt", "the longest poem");
    assert_eq!(fs::read_to_string(mine.join("build/deep/out")).unwrap(), "built");
    assert_eq!(fs::read_to_string(mine.join("app.log")).unwrap(), "Ana's own");
    assert_eq!(fs::read_to_string(theirs.join("app.log")).unwrap(), "first app.log");
    assert_eq!(fs::read_to_string(theirs.join("theirs.log")).unwrap(), "first theirs.log");
    assert!(!mine.join("theirs.log").exists() && !theirs.join("new.log").exists() && !theirs.join("build").exists());

    // Content again: what is equal is one, what differs stands side by side, what was not deleted comes back.
    fs::remove_file(theirs.join(".cobox-ignore")).unwrap();
    let all = ["Ana's alone", "Ana's own", "after", "first app.log", "first same.log", "first theirs.log"];
    until("all logs are content again", PATIENCE * 2, || {
        let (at_ana, at_ben) = (texts(&mine), texts(&theirs));
        let whole = all.iter().copied().chain(["the longest poem"]).collect::<Vec<_>>();
        if at_ana == whole && at_ben == whole { Ok(()) } else { Err((at_ana, at_ben)) }
    });
    let tree: Tree = same(&[&mine, &theirs]);
    assert!(tree.0.contains_key(Path::new("build/deep/out")));
}

#[test]
fn l16_a_directory_deleted_by_others_stays_with_what_is_ignored_in_it() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| {
        fs::create_dir(root.join("project")).unwrap();
        fs::write(root.join("project/plan.txt"), "the plan").unwrap();
        fs::write(root.join(".cobox-ignore"), "*.local\n").unwrap();
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    fs::write(mine.join("project/notes.local"), "for my eyes").unwrap();
    ana.wait("docs");
    fs::remove_dir_all(theirs.join("project")).unwrap();
    until("the plan is gone, the notes stay", PATIENCE, || {
        match (mine.join("project/plan.txt").exists(), problems(&ana)) {
            (false, problems) if problems.contains(&"not_empty".to_owned()) => Ok(()),
            seen => Err(seen),
        }
    });
    assert_eq!(fs::read_to_string(mine.join("project/notes.local")).unwrap(), "for my eyes");
    assert!(!theirs.join("project").exists());
    // Nothing of it comes back to the others.
    fs::write(mine.join("after.txt"), "after").unwrap();
    arrives(&theirs, "after.txt", "after");
    assert!(!theirs.join("project").exists());
}
