//! Nobody is called who was not asked for: in a network of its own, with a default route that leads into a counter, the core of the story
//! sends nothing out; with LAN discovery on, nothing but multicast.
//!
//! Needs Linux, root and iproute2. Where they are missing the test says so and is skipped.

use std::fs;
use std::process::{Command, Output};

use crate::e2e_world::{World, same_and};

/// A network namespace whose only way out is an interface that counts and drops.
struct Network {
    name: String,
}

fn ip(args: &[&str]) -> Output {
    Command::new("ip").args(args).output().unwrap_or_else(|e| panic!("ip {args:?}: {e}"))
}

impl Network {
    /// `None`, with the reason on stderr, where it can not be made.
    fn new(purpose: &str) -> Option<Self> {
        if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() {
            eprintln!("skipped: counting packets needs Linux and root");
            return None;
        }
        let name = format!("cobox-{purpose}-{}", std::process::id());
        let network = match Command::new("ip").args(["netns", "add", &name]).output() {
            Ok(made) if made.status.success() => Self { name },
            other => {
                eprintln!("skipped: no network namespace can be made: {other:?}");
                return None;
            }
        };
        network.ip(&["link", "set", "lo", "up"]);
        network.ip(&["link", "add", "out", "type", "veth", "peer", "name", "sink"]);
        // The kernel's own IPv6 greetings would be counted.
        network.inside("for i in out sink; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done");
        network.inside(
            "tc qdisc add dev out root handle 1: htb default 20 \
             && tc class add dev out parent 1: classid 1:10 htb rate 1gbit \
             && tc class add dev out parent 1: classid 1:20 htb rate 1gbit \
             && tc filter add dev out parent 1: protocol ip u32 match ip dst 224.0.0.0/4 flowid 1:10",
        );
        network.ip(&["address", "add", "192.0.2.10/24", "dev", "out"]);
        network.ip(&["link", "set", "out", "up"]);
        network.ip(&["link", "set", "sink", "up"]);
        network.ip(&["neighbour", "add", "192.0.2.1", "lladdr", "02:00:00:00:00:01", "dev", "out"]);
        network.ip(&["route", "add", "default", "via", "192.0.2.1", "dev", "out"]);
        Some(network)
    }

    fn ip(&self, args: &[&str]) {
        let done = ip(&[&["-n", &self.name], args].concat());
        assert!(done.status.success(), "{args:?}: {done:?}");
    }

    fn inside(&self, shell: &str) -> String {
        let done = ip(&["netns", "exec", &self.name, "bash", "-c", shell]);
        assert!(done.status.success(), "{shell}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// Packets that left: to groups, and to anything else.
    fn sent(&self) -> (u64, u64) {
        let told = self.inside("tc -s class show dev out");
        let packets = |class: &str| -> u64 {
            let of_class = told.split("class htb ").find(|part| part.starts_with(class)).unwrap();
            let mut words = of_class.split_whitespace().skip_while(|word| *word != "bytes");
            words.nth(1).unwrap().parse().unwrap()
        };
        (packets("1:10"), packets("1:20"))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _already_gone = ip(&["netns", "delete", &self.name]);
    }
}

/// Two people, a seeder, an edit, a restart, a member who joins late, a recovery.
fn core_of_the_story(network: &Network, config: &'static str) {
    let world = World::inside(&["ip", "netns", "exec", &network.name], config).everywhere();
    let (mut ana, ben, the_box) = (world.person("Ana"), world.person("Ben"), world.seeder("box"));
    let mine = ana.create("docs");
    fs::write(mine.join("note"), "hello").unwrap();
    ana.back_up("docs", &the_box);
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    fs::write(theirs.join("answer"), "hello, too").unwrap();
    same_and(&[&mine, &theirs], "both notes", |tree| tree.files() == 2);
    ana.restart();
    fs::write(mine.join("third"), "again").unwrap();
    same_and(&[&mine, &theirs], "all three", |tree| tree.files() == 3);
    ana.wait_for_receipt("docs");
    let (_, words, tickets) = ana.kit();
    drop((ana, ben));
    let new = world.person("new");
    let (file, to) = (new.words_file(&words), new.folder("back"));
    let args =
        ["recover", "--words-file", file.to_str().unwrap(), "--seeder", &tickets[0], "--to", to.to_str().unwrap()];
    new.json(&args);
    same_and(&[&to.join("docs"), &theirs], "all is back", |tree| tree.files() == 3);
}

#[test]
fn nothing_leaves_when_lan_discovery_is_off() {
    let Some(network) = Network::new("off") else { return };
    core_of_the_story(&network, "lan_discovery = false\n");
    assert_eq!(network.sent(), (0, 0), "packets left");
    network.inside("echo hello > /dev/udp/198.51.100.1/9; echo hello > /dev/udp/224.0.0.251/5353");
    assert_eq!(network.sent(), (1, 1), "what leaves is counted");
}

#[test]
fn nothing_but_multicast_leaves_when_lan_discovery_is_on() {
    let Some(network) = Network::new("on") else { return };
    core_of_the_story(&network, "lan_discovery = true\n");
    let (to_groups, to_others) = network.sent();
    assert_eq!(to_others, 0, "packets to single addresses left");
    assert!(to_groups > 0, "LAN discovery speaks");
}
