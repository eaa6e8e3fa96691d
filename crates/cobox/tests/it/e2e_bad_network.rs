//! Real services in networks of their own, with a wire of bad weather between them (N1): what people save arrives at everybody, once,
//! and at a bounded price.
//!
//! Needs Linux, root, `ip` and `nsenter`. Where they are missing the tests say so and are skipped.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use cobox_storm::{Weather, Wire};

use crate::e2e_world::{Computer, World, noise, same_and};

/// A wire, and a world whose programs listen in all their networks. `None`, with the reason told, where there can be none.
fn wired(machines: usize, seed: u64) -> Option<(Wire, World)> {
    if let Some(why) = Wire::missing() {
        eprintln!("skipped: {why}");
        return None;
    }
    Some((Wire::new(machines, seed).unwrap(), World::new().everywhere()))
}

/// A person whose computer is this machine of the wire.
fn person(world: &mut World, wire: &Wire, machine: usize, name: &str) -> Computer {
    world.behind(wire.prefix(machine));
    world.person(name)
}

/// Ana at machine 0 and Ben at machine 1, with one folder, "docs", that holds one note.
fn ana_and_ben(world: &mut World, wire: &Wire) -> (Computer, Computer, PathBuf, PathBuf) {
    let (ana, ben) = (person(world, wire, 0, "Ana"), person(world, wire, 1, "Ben"));
    let mine = ana.create("docs");
    fs::write(mine.join("note"), "hello").unwrap();
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    same_and(&[&mine, &theirs], "the note", |tree| tree.files() == 1);
    (ana, ben, mine, theirs)
}

/// A fifth is lost, it takes 150 ms each way and now and then longer, some are overtaken or come twice, and what is larger than 1280
/// bytes disappears.
const STORM: Weather = Weather {
    cut: false,
    loss: 200,
    twice: 20,
    overtaken: 50,
    delay: Duration::from_millis(150),
    jitter: Duration::from_millis(40),
    rate: None,
    bytes_max: Some(1280),
};

#[test]
fn n1_a_line_that_loses_a_fifth_delays_doubles_and_swallows_big_packets_carries_everything() {
    let Some((wire, mut world)) = wired(2, 1) else { return };
    let (ana, mut ben, mine, theirs) = ana_and_ben(&mut world, &wire);
    // Connections that never knew a better line.
    ben.crash();
    wire.everywhere(STORM);
    ben.up();
    fs::write(mine.join("big"), noise(1, 96 << 10)).unwrap();
    for n in 0..20 {
        fs::write(theirs.join(format!("small {n}")), noise(n, 2000)).unwrap();
    }
    same_and(&[&mine, &theirs], "all 22 files", |tree| tree.files() == 22);
    let (there, back) = (wire.passed(0, 1), wire.passed(1, 0));
    assert!(there.dropped > 10 && back.dropped > 10, "it was no storm: {there:?} {back:?}");
    assert!(ana.status("docs")["conflicts"] == 0);
    ben.down();
}
