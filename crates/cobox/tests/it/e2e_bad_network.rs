//! Real services in networks of their own, with a wire of bad weather between them (N1 to N4, N7): what people save arrives at everybody,
//! once, and at a bounded price. And who stands beside the wire learns who talks (G8), and can not turn a service against others (G9).
//!
//! Needs Linux, root, `ip` and `nsenter`. Where they are missing the tests say so and are skipped.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use cobox_storm::wire::{Hello, Sent};
use cobox_storm::{Weather, Wire};

use crate::e2e_world::{Computer, PATIENCE, World, noise, same, same_and, until};

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

/// Waits until this machine has sent something that was lost.
fn until_lost(wire: &Wire, from: usize, to: usize) {
    let before = wire.passed(from, to).dropped;
    until("something is sent in vain", PATIENCE, || match wire.passed(from, to).dropped {
        now if now > before => Ok(()),
        now => Err(now),
    });
}

#[test]
fn n2_a_line_cut_at_any_moment_of_a_transfer_resumes_and_nothing_comes_twice() {
    let Some((wire, mut world)) = wired(2, 2) else { return };
    let (mut ana, mut ben, mine, theirs) = ana_and_ben(&mut world, &wire);
    let (big, small) = (noise(7, 1 << 20), noise(8, 3000));
    wire.everywhere(Weather::rate(400_000));
    fs::write(mine.join("big"), &big).unwrap();
    fs::write(theirs.join("small"), &small).unwrap();
    let begun = wire.passed(0, 1).sent_bytes;
    // From the first packets of a handshake to the middle of the blocks.
    for (stage, packets) in [1, 3, 6, 12, 30, 90, 250].into_iter().enumerate() {
        let before = wire.passed(0, 1).sent;
        until("so much is on its way, or all is there", PATIENCE, || {
            let sent = wire.passed(0, 1).sent - before;
            if sent >= packets || fs::read(theirs.join("big")).is_ok() { Ok(()) } else { Err(sent) }
        });
        wire.everywhere(Weather::CUT);
        // The other end notices nothing, and keeps its half of the connection.
        let victim = if stage % 2 == 0 { &mut ben } else { &mut ana };
        victim.crash();
        wire.everywhere(Weather::rate(400_000));
        victim.up();
    }
    wire.everywhere(Weather::default());
    let tree = same_and(&[&mine, &theirs], "three files", |tree| tree.files() == 3);
    assert!(tree.difference(&same(&[&mine, &theirs])).is_none());
    assert!(fs::read(theirs.join("big")).unwrap() == big && fs::read(mine.join("small")).unwrap() == small);
    assert_eq!(ana.status("docs")["conflicts"], 0);
    let sent = wire.passed(0, 1).sent_bytes - begun;
    assert!(sent < 3 << 20, "{sent} bytes were sent for 1 MiB: what had arrived was sent again");
}

#[test]
fn n3_who_can_not_reach_each_other_meet_at_a_seeder_and_a_split_heals() {
    let Some((wire, mut world)) = wired(3, 3) else { return };
    let (ana, ben, mine, theirs) = ana_and_ben(&mut world, &wire);
    world.behind(wire.prefix(2));
    let the_box = world.seeder("box");
    ana.back_up("docs", &the_box);
    // Ben must know where the seeder is before he needs it.
    until("Ben reaches the seeder", PATIENCE, || {
        let status = ben.status("docs");
        if status["backups"][0]["complete"] == true { Ok(()) } else { Err(status) }
    });
    wire.between(0, 1, Weather::CUT);
    fs::write(mine.join("around"), noise(1, 50_000)).unwrap();
    fs::write(theirs.join("around, too"), noise(2, 50_000)).unwrap();
    same_and(&[&mine, &theirs], "both go around by the seeder", |tree| tree.files() == 3);

    // Ana is heard and hears nobody.
    wire.everywhere(Weather::default());
    wire.set(1, 0, Weather::CUT);
    wire.set(2, 0, Weather::CUT);
    fs::write(mine.join("spoken"), "into the dark").unwrap();
    until_lost(&wire, 1, 0);

    // Everybody alone, with edits of the same file.
    wire.everywhere(Weather::CUT);
    fs::write(mine.join("note"), "Ana was here").unwrap();
    fs::write(theirs.join("note"), "and Ben was here").unwrap();
    until_lost(&wire, 0, 2);
    until_lost(&wire, 1, 2);
    wire.everywhere(Weather::default());
    let tree = same_and(&[&mine, &theirs], "five files: both notes are there", |tree| tree.files() == 5);
    let texts: Vec<String> = fs::read_dir(&mine)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())
        .collect();
    for text in ["Ana was here", "and Ben was here", "into the dark"] {
        assert!(texts.iter().any(|found| found == text), "{text:?} is lost: {tree:?}");
    }
    ana.wait_for_receipt("docs");
}

#[test]
fn n4_started_without_a_network_moved_and_with_ipv6_alone_it_finds_its_way_back() {
    let Some((wire, mut world)) = wired(2, 4) else { return };
    let (mut ana, mut ben, mine, theirs) = ana_and_ben(&mut world, &wire);
    // Nothing but the machine itself: it works, and starts, and tells what it does not know.
    wire.plug(1, false).unwrap();
    ben.crash();
    fs::write(theirs.join("written offline"), "on a train").unwrap();
    ben.up();
    until("it was seen", PATIENCE, || {
        let status = ben.status("docs");
        if status["files"] == 2 { Ok(()) } else { Err(status) }
    });
    fs::write(mine.join("meanwhile"), "at home").unwrap();
    wire.plug(1, true).unwrap();
    same_and(&[&mine, &theirs], "back in the network", |tree| tree.files() == 3);

    // Another network, in the middle of a connection.
    wire.move_to(1, &["10.77.9.9".parse().unwrap()]).unwrap();
    fs::write(theirs.join("moved"), "from a café").unwrap();
    fs::write(mine.join("to the moved"), "hello there").unwrap();
    same_and(&[&mine, &theirs], "from the new place", |tree| tree.files() == 5);

    // Only where the machine that tests has IPv6 at all.
    if wire.move_to(1, &[wire.v6(1)]).is_err() {
        return eprintln!("IPv6 alone is not tried: there is none here");
    }
    wire.move_to(0, &[wire.v6(0)]).unwrap();
    ana.restart();
    ben.restart();
    fs::write(theirs.join("six"), "::").unwrap();
    same_and(&[&mine, &theirs], "over IPv6 alone", |tree| tree.files() == 6);
}

/// Ana keeps an IPv4 address, and Ben nothing but a local IPv6 one: she has to have told hers, although she had better ones.
#[test]
fn n4_who_has_only_a_local_ipv6_address_left_finds_the_others() {
    let Some((wire, mut world)) = wired(2, 5) else { return };
    let (mut ana, mut ben, mine, theirs) = ana_and_ben(&mut world, &wire);
    let local: Vec<IpAddr> = vec!["fd77::1".parse().unwrap(), "fd77::2".parse().unwrap()];
    for machine in [0, 1] {
        if wire.move_to(machine, &[wire.v4(machine), local[machine]]).is_err() {
            return eprintln!("skipped: there is no IPv6 here");
        }
    }
    ana.restart();
    ben.restart();
    let told = ana.json(&["whoami"])["addresses"].to_string();
    assert!(told.contains("[fd77::1]") && told.contains("10.77.0.1"), "{told}");
    // Who opens a folder says where it is, before anything else.
    fs::write(mine.join("before"), "told").unwrap();
    same_and(&[&mine, &theirs], "they have met", |tree| tree.files() == 2);

    wire.move_to(1, &[local[1]]).unwrap();
    ben.restart();
    fs::write(theirs.join("after"), "::").unwrap();
    same_and(&[&mine, &theirs], "over the local addresses", |tree| tree.files() == 3);
}

#[test]
fn n4_both_ends_move_at_once_and_meet_again_through_the_seeder() {
    let Some((wire, mut world)) = wired(3, 6) else { return };
    let (ana, ben, mine, theirs) = ana_and_ben(&mut world, &wire);
    world.behind(wire.prefix(2));
    let mut the_box = world.seeder("box");
    ana.back_up("docs", &the_box);
    let connected = |computer: &Computer, count: u64| {
        until(&format!("{} has {count} connections", computer.name), PATIENCE * 2, || {
            let connections = computer.json(&["status", "docs"])["device"]["connections"].take();
            if connections == count { Ok(()) } else { Err(connections) }
        });
    };
    connected(&ana, 2);
    connected(&ben, 2);
    // Neither can follow the other: what each knows of the other's place is over.
    wire.plug(0, false).unwrap();
    wire.plug(1, false).unwrap();
    let news: Vec<IpAddr> = vec!["10.77.5.1".parse().unwrap(), "10.77.6.2".parse().unwrap()];
    for machine in [0, 1] {
        wire.plug(machine, true).unwrap();
        wire.move_to(machine, &news[machine..=machine]).unwrap();
    }
    fs::write(mine.join("from the new place"), "here I am").unwrap();
    same_and(&[&mine, &theirs], "at least around by the seeder", |tree| tree.files() == 2);
    connected(&ana, 2);
    connected(&ben, 2);
    // And not only through it.
    the_box.crash();
    fs::write(theirs.join("directly"), "and here I am").unwrap();
    same_and(&[&mine, &theirs], "from one new place to the other", |tree| tree.files() == 3);
}

/// Files and sockets that a service has open. Linux alone tells.
fn open_files(computer: &Computer) -> usize {
    fs::read_dir(format!("/proc/{}/fd", computer.pid())).unwrap().count()
}

#[test]
fn n7_a_line_that_comes_and_goes_leaves_one_connection_and_nothing_open() {
    let Some((wire, mut world)) = wired(2, 7) else { return };
    let (mut ana, mut ben, mine, theirs) = ana_and_ben(&mut world, &wire);
    let (files_ana, files_ben) = (open_files(&ana), open_files(&ben));
    wire.listen();
    for round in 0..3 {
        // Both forget their connection, and call each other into a line that is slow to come back: both calls are heard.
        wire.everywhere(Weather::CUT);
        ana.crash();
        ben.crash();
        ana.up();
        ben.up();
        until_lost(&wire, 0, 1);
        until_lost(&wire, 1, 0);
        wire.everywhere(Weather { delay: Duration::from_millis(120), ..Weather::default() });
        fs::write(mine.join(format!("mine {round}")), noise(round, 3000)).unwrap();
        fs::write(theirs.join(format!("theirs {round}")), noise(round + 50, 3000)).unwrap();
        let files = 1 + 2 * (round as usize + 1);
        same_and(&[&mine, &theirs], "what was saved in this round", |tree| tree.files() == files);
        for computer in [&ana, &ben] {
            until(&format!("{} has one connection", computer.name), PATIENCE, || {
                let connections = computer.json(&["status", "docs"])["device"]["connections"].take();
                if connections == 1 { Ok(()) } else { Err(connections) }
            });
        }
    }
    for _ in 0..3 {
        wire.everywhere(Weather::CUT);
        until_lost(&wire, 0, 1);
        wire.everywhere(Weather::default());
        until_arrived(&wire, 0, 1);
    }
    fs::write(mine.join("last"), "last").unwrap();
    same_and(&[&mine, &theirs], "the last", |tree| tree.files() == 8);
    let grown = |now: usize, before: usize| now > before + 16;
    assert!(!grown(open_files(&ana), files_ana) && !grown(open_files(&ben), files_ben), "files stay open");
    let heard = wire.heard();
    let hellos = Hello::all(heard.iter().filter_map(Sent::udp).map(|(_, bytes)| bytes)).len();
    assert!((3..=30).contains(&hellos), "{hellos} calls for three restarts: nobody waits between them");
}

/// Waits until something that this machine sent has arrived.
fn until_arrived(wire: &Wire, from: usize, to: usize) {
    let arrived = || wire.passed(from, to).sent - wire.passed(from, to).dropped;
    let before = arrived();
    until("something arrives", PATIENCE, || if arrived() > before { Ok(()) } else { Err(before) });
}

/// The forms in which a secret could lie in the open.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let wide: Vec<u8> = secret.iter().flat_map(|byte| [*byte, 0]).collect();
    let mut forms = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes(), wide];
    // Base64 and base32 of any text that has it inside: by where it begins in a group, without the ends that depend on neighbours.
    forms.extend((0..3).map(|lead| inner(64, &[&vec![0; lead], secret].concat(), lead)));
    forms.extend((0..5).map(|lead| inner(32, &[&vec![0; lead], secret].concat(), lead)));
    forms
}

/// What of this text in base 64 or 32 depends on nothing but the bytes behind `lead`.
fn inner(base: usize, bytes: &[u8], lead: usize) -> Vec<u8> {
    let (bits, letters): (usize, &[u8]) = match base {
        64 => (6, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
        _ => (5, b"abcdefghijklmnopqrstuvwxyz234567"),
    };
    let bit = |at: usize| usize::from(bytes[at / 8] >> (7 - at % 8) & 1);
    let whole = (lead * 8).div_ceil(bits)..bytes.len() * 8 / bits;
    whole.map(|at| letters[(at * bits..(at + 1) * bits).fold(0, |value, at| value << 1 | bit(at))]).collect()
}

/// The secrets that lie in the open somewhere in these bytes.
fn shown(bytes: &[u8], secrets: &[(&'static str, Vec<u8>)]) -> Vec<&'static str> {
    let holds = |form: &Vec<u8>| bytes.windows(form.len()).any(|window| window.eq_ignore_ascii_case(form));
    secrets.iter().filter(|(_, secret)| forms(secret).iter().any(holds)).map(|(what, _)| *what).collect()
}

#[test]
fn g8_who_watches_the_wire_learns_who_talks_and_neither_what_nor_about_which_folder() {
    let Some((wire, mut world)) = wired(3, 8) else { return };
    wire.listen();
    let (ana, ben) = (person(&mut world, &wire, 0, "Plantagenet-Ana"), person(&mut world, &wire, 1, "Plantagenet-Ben"));
    let mine = ana.create("planted-folder");
    fs::write(mine.join("planted-file-name"), b"planted-content ".repeat(500)).unwrap();
    let theirs = ben.join("planted-folder", &ana.invite("planted-folder", &ben));
    same_and(&[&mine, &theirs], "the file", |tree| tree.files() == 1);
    world.behind(wire.prefix(2));
    let the_box = world.seeder("box");
    ana.back_up("planted-folder", &the_box);
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    let id = unhex(ana.status("planted-folder")["id"].as_str().unwrap());
    assert_eq!(id.len(), 32);
    let mut secrets = vec![("the folder's id", id)];
    for word in ["Plantagenet", "planted-folder", "planted-file-name", "planted-content"] {
        secrets.push((word, word.as_bytes().to_vec()));
    }
    for (what, computer) in [("Ana's key", &ana), ("Ben's key", &ben)] {
        secrets.push((what, computer.key().into_bytes()));
        let device = computer.json(&["status"])["device"]["key"].as_str().unwrap().to_owned();
        assert_eq!(device.len(), 64);
        secrets.push(("a device's key", unhex(&device)));
    }

    let heard = wire.heard();
    let datagrams: Vec<(u16, &[u8])> = heard.iter().filter_map(Sent::udp).collect();
    assert!(datagrams.len() > 50, "{} datagrams: nothing was overheard", datagrams.len());
    for (_, bytes) in &datagrams {
        assert_eq!(shown(bytes, &secrets), [""; 0]);
    }
    // Nobody else is told anything, by whatever protocol: no names are looked up, and no stranger is called.
    let to_others = heard.iter().filter(|sent| sent.to.is_none());
    let strangers: Vec<IpAddr> = to_others.filter_map(Sent::destination).filter(|ip| !ip.is_multicast()).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    assert!(datagrams.iter().all(|(port, _)| ![53, 5353, 443, 853].contains(port)), "names are looked up");

    // The first packets are sealed under a key that everybody can compute.
    let hellos = Hello::all(datagrams.iter().map(|(_, bytes)| *bytes));
    assert!(hellos.len() >= 2, "{} calls were overheard", hellos.len());
    for hello in &hellos {
        assert_eq!(hello.protocols, [b"cobox/1".to_vec()]);
        assert_eq!(hello.server_name, "", "a name of whom is called is in the open");
        assert_eq!(shown(&hello.whole, &secrets), [""; 0]);
    }

    // The search finds what is there to be found.
    let found = |form: &[u8]| shown(&[b"...", form, b"..."].concat(), &secrets);
    for form in ["planted-content", "PLANTED-CONTENT", "706c616e7465642d636f6e74656e74", "xwcGxhbnRlZC1jb250ZW50"] {
        assert_eq!(found(form.as_bytes()), ["planted-content"], "{form}");
    }
    wire.listen();
    let prefix = wire.prefix(0);
    let tell = format!("echo planted-file-name > /dev/udp/{}/9", wire.v4(1));
    assert!(Command::new(&prefix[0]).args(&prefix[1..]).args(["bash", "-c", &tell]).status().unwrap().success());
    let told = until("it is overheard", PATIENCE, || {
        let heard = wire.heard();
        wire.listen();
        let found: Vec<_> = heard.iter().filter_map(Sent::udp).flat_map(|(_, bytes)| shown(bytes, &secrets)).collect();
        if found.is_empty() { Err(heard.len()) } else { Ok(found) }
    });
    assert_eq!(told, ["planted-file-name"]);
}

/// The longest datagram before a path's real size is known.
const DATAGRAM_BYTES: usize = 1200;

#[test]
fn g9_who_forges_a_sender_makes_a_service_send_him_about_thrice_as_much_at_most() {
    let Some((wire, mut world)) = wired(3, 9) else { return };
    let (_ana, mut ben, mine, theirs) = ana_and_ben(&mut world, &wire);
    // Calls that never arrive: a forger has them, and Ana does not know them yet.
    ben.crash();
    wire.set(1, 0, Weather::CUT);
    wire.listen();
    let IpAddr::V4(victim) = wire.v4(2) else { unreachable!("it is one of IPv4") };
    // The victim's own machine says nothing.
    wire.set(2, 0, Weather::CUT);
    ben.up();
    let mut calls: Vec<Sent> = Vec::new();
    until("a few calls", PATIENCE, || {
        let heard = wire.heard();
        wire.listen();
        calls.extend(heard.into_iter().filter(|sent| {
            let first = sent.udp().and_then(|(_, bytes)| bytes.first().copied());
            // An Initial packet, over IPv4.
            sent.packet[0] >> 4 == 4
                && sent.to == Some(0)
                && sent.from == 1
                && first.is_some_and(|byte| byte >> 4 == 12)
        }));
        if calls.len() >= 3 { Ok(()) } else { Err(calls.len()) }
    });
    let carried = |sent: &[Sent]| -> usize { sent.iter().filter_map(Sent::udp).map(|(_, bytes)| bytes.len()).sum() };
    let before = wire.passed(0, 2);
    wire.listen();
    for call in &calls {
        wire.forge(call, victim).unwrap();
    }
    // Answers are repeated for a while, at growing distances; the last comes when the handshake is given up.
    let (mut quiet_since, mut last) = (Instant::now(), before);
    until("Ana has said all she says to the victim", PATIENCE, || {
        let now = wire.passed(0, 2);
        if now != last {
            (quiet_since, last) = (Instant::now(), now);
        }
        if now.sent > before.sent && quiet_since.elapsed() > Duration::from_secs(4) { Ok(()) } else { Err(now) }
    });
    let mut answers = wire.heard();
    answers.retain(|sent| sent.from == 0 && sent.to == Some(2));
    let (forged_bytes, answer_bytes) = (carried(&calls), carried(&answers));
    let sizes: Vec<_> = answers.iter().map(|sent| sent.udp().map(|(_, bytes)| (bytes[0], bytes.len()))).collect();
    // The transport asks whether the limit is reached before a datagram, not whether that one still fits.
    let bound = 3 * forged_bytes + DATAGRAM_BYTES;
    assert!(answer_bytes > 0 && answer_bytes <= bound, "{forged_bytes} bytes are answered with {sizes:?}");
    // All that harmed nobody: Ben is let in.
    wire.everywhere(Weather::default());
    fs::write(mine.join("after"), "all is well").unwrap();
    same_and(&[&mine, &theirs], "after the forgeries", |tree| tree.files() == 2);
}
