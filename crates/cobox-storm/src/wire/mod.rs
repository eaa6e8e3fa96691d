//! A wire between machines, made of bad weather. Each machine has a network of its own, whose only interface ends here; everything it
//! sends comes by, addressed as on any network, and goes on as the weather between the two allows, which may change at any time.
//!
//! Why packets and not a proxy for datagrams: addresses stay what they are, so that a program meets a network and not a stranger who
//! speaks for everybody; the size of packets, IPv6, multicast, a new address and a pulled plug are real; and what leaves a machine for
//! anybody at all is seen. A few hundred thousand packets a second fit through, more than the programs fill.
//!
//! Needs Linux, root, `ip` and `nsenter`. Nothing is left behind, however the process ends.

mod hello;
mod line;
mod packet;
mod place;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::dice::Dice;
pub use hello::Hello;
use line::Line;
pub use line::{Passed, Weather};
use place::Place;

/// Bytes that are kept of what passes, if it is kept. What comes later is not.
const KEPT_BYTES_MAX: usize = 256 << 20;
/// Between two looks for packets at an interface that is down.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Machines, and the ways between them.
pub struct Wire {
    places: Vec<Arc<Place>>,
    sky: Arc<Sky>,
    inbox: Option<mpsc::Sender<(usize, Vec<u8>)>>,
    threads: Vec<JoinHandle<()>>,
}

/// A packet that somebody sent, whether or not it arrived.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Whose interface it left.
    pub from: usize,
    /// The machine that has the address it went to, if any has.
    pub to: Option<usize>,
    /// All of it, from the IP header on.
    pub packet: Vec<u8>,
}

impl Sent {
    /// The port that it goes to and what it carries, if it is UDP.
    pub fn udp(&self) -> Option<(u16, &[u8])> {
        packet::udp(&self.packet)
    }

    /// The address that it goes to.
    pub fn destination(&self) -> Option<IpAddr> {
        packet::ends(&self.packet).map(|(_, to)| to)
    }
}

/// What all threads of a wire share.
struct Sky {
    state: Mutex<State>,
    over: AtomicBool,
}

struct State {
    /// Which machine has which address.
    homes: BTreeMap<IpAddr, usize>,
    /// One for each ordered pair of machines: that from `a` to `b` is `a * machines + b`.
    lines: Vec<Line>,
    machines: usize,
    kept: Option<Vec<Sent>>,
    kept_bytes: usize,
}

impl Sky {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds this lock")
    }
}

impl Wire {
    /// Why there can be none here, if so.
    pub fn missing() -> Option<String> {
        place::missing()
    }

    /// So many machines, each with an IPv4 and, where there is IPv6, an IPv6 address; a clear day.
    pub fn new(machines: usize, seed: u64) -> Result<Self> {
        let places = (0..machines).map(|_| Place::new().map(Arc::new)).collect::<Result<Vec<_>>>()?;
        let (mut dice, now) = (Dice::new(seed), Instant::now());
        let lines = (0..machines * machines).map(|_| Line::new(dice.split(), now)).collect();
        let state = State { homes: BTreeMap::new(), lines, machines, kept: None, kept_bytes: 0 };
        let sky = Arc::new(Sky { state: Mutex::new(state), over: AtomicBool::new(false) });
        let (inbox, packets) = mpsc::channel();
        let mut threads = Vec::new();
        for (machine, place) in places.iter().enumerate() {
            let (place, sky, inbox) = (place.clone(), sky.clone(), inbox.clone());
            threads.push(thread::spawn(move || read(machine, &place, &sky, &inbox)));
        }
        let (to, above) = (places.clone(), sky.clone());
        threads.push(thread::spawn(move || carry(&packets, &to, &above)));
        let wire = Self { places, sky, inbox: Some(inbox), threads };
        for machine in 0..machines {
            let (v4, v6) = (wire.v4(machine), wire.v6(machine));
            wire.move_to(machine, &[v4, v6]).or_else(|_no_ipv6| wire.move_to(machine, &[v4]))?;
        }
        Ok(wire)
    }

    /// The first IPv4 address of a machine.
    pub fn v4(&self, machine: usize) -> IpAddr {
        Ipv4Addr::new(10, 77, 0, machine as u8 + 1).into()
    }

    /// The first IPv6 address of a machine, a global one.
    pub fn v6(&self, machine: usize) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, machine as u16 + 1).into()
    }

    /// Words to put before a program so that it runs on this machine.
    pub fn prefix(&self, machine: usize) -> Vec<String> {
        self.places[machine].prefix()
    }

    /// The machine has these addresses from now on, and no others.
    pub fn move_to(&self, machine: usize, addresses: &[IpAddr]) -> Result<()> {
        let with_net = |ip: &IpAddr| format!("{ip}/{}", if ip.is_ipv4() { 16 } else { 64 });
        let texts: Vec<String> = addresses.iter().map(with_net).collect();
        self.places[machine].addresses(&texts).with_context(|| format!("machine {machine} moves to {addresses:?}"))?;
        let mut state = self.sky.state();
        state.homes.retain(|_, home| *home != machine);
        state.homes.extend(addresses.iter().map(|address| (*address, machine)));
        Ok(())
    }

    /// Pulls the plug of a machine, or puts it back in with the addresses it had. It notices.
    pub fn plug(&self, machine: usize, there: bool) -> Result<()> {
        self.places[machine].plug(there)?;
        if !there {
            return Ok(());
        }
        let state = self.sky.state();
        let had: Vec<IpAddr> = state.homes.iter().filter(|(_, home)| **home == machine).map(|(ip, _)| *ip).collect();
        drop(state);
        self.move_to(machine, &had)
    }

    /// The weather one way, from now on. What is on its way already arrives.
    pub fn set(&self, from: usize, to: usize, weather: Weather) {
        let mut state = self.sky.state();
        let at = from * state.machines + to;
        state.lines[at].weather = weather;
    }

    /// The weather both ways.
    pub fn between(&self, one: usize, other: usize, weather: Weather) {
        self.set(one, other, weather);
        self.set(other, one, weather);
    }

    /// The weather everywhere.
    pub fn everywhere(&self, weather: Weather) {
        self.sky.state().lines.iter_mut().for_each(|line| line.weather = weather);
    }

    /// What went one way so far.
    pub fn passed(&self, from: usize, to: usize) -> Passed {
        let state = self.sky.state();
        state.lines[from * state.machines + to].passed
    }

    /// Keeps everything that is sent from now on.
    pub fn listen(&self) {
        let mut state = self.sky.state();
        (state.kept, state.kept_bytes) = (Some(Vec::new()), 0);
    }

    /// What was kept since [`Self::listen`], which ends.
    pub fn heard(&self) -> Vec<Sent> {
        self.sky.state().kept.take().unwrap_or_default()
    }

    /// Gives a machine this packet as if `sender` had sent it. IPv4 alone.
    pub fn forge(&self, sent: &Sent, sender: Ipv4Addr) -> Result<()> {
        let forged = packet::forged(&sent.packet, sender).context("only datagrams over IPv4 are forged")?;
        let to = sent.to.context("it goes to nobody")?;
        // Handed over at once: what a forger sends meets no weather.
        (&self.places[to].tunnel).write_all(&forged).context("hand over a forged packet")
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.sky.over.store(true, Ordering::Relaxed);
        self.inbox = None;
        self.places.iter().for_each(|place| place.close());
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

/// Takes what a machine sends until the wire is gone.
fn read(machine: usize, place: &Place, sky: &Sky, inbox: &mpsc::Sender<(usize, Vec<u8>)>) {
    let mut packet = vec![0; 1 << 16];
    while !sky.over.load(Ordering::Relaxed) {
        match (&place.tunnel).read(&mut packet) {
            Ok(bytes) => {
                if inbox.send((machine, packet[..bytes].to_vec())).is_err() {
                    return;
                }
            }
            Err(_down) => thread::sleep(LOOK_AGAIN),
        }
    }
}

/// A packet on its way: when it arrives, the how many-th it is, at which machine, and what it is.
type Due = (Instant, u64, usize, Vec<u8>);

/// Carries packets when they are due until nobody sends any more.
fn carry(packets: &mpsc::Receiver<(usize, Vec<u8>)>, places: &[Arc<Place>], sky: &Sky) {
    let mut due: BinaryHeap<Reverse<Due>> = BinaryHeap::new();
    let mut count = 0;
    loop {
        let next =
            due.peek().map_or(Duration::from_secs(1), |Reverse((at, ..))| at.saturating_duration_since(Instant::now()));
        match packets.recv_timeout(next) {
            Ok((from, packet)) => {
                for (at, to) in sky.state().fates(from, &packet) {
                    count += 1;
                    due.push(Reverse((at, count, to, packet.clone())));
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        while due.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            if let Some(Reverse((_, _, to, packet))) = due.pop() {
                // Fails while the interface is down: then it is lost, as it would be.
                let _lost = (&places[to].tunnel).write(&packet);
            }
        }
    }
}

impl State {
    /// When and where a packet arrives that a machine sends now.
    fn fates(&mut self, from: usize, packet: &[u8]) -> Vec<(Instant, usize)> {
        let Some((_, destination)) = packet::ends(packet) else { return Vec::new() };
        let home = self.homes.get(&destination).copied();
        if let Some(kept) = &mut self.kept
            && self.kept_bytes < KEPT_BYTES_MAX
        {
            self.kept_bytes += packet.len();
            kept.push(Sent { from, to: home, packet: packet.to_vec() });
        }
        let to: Vec<usize> = match home {
            Some(home) => vec![home],
            None if destination.is_multicast() => (0..self.machines).filter(|machine| *machine != from).collect(),
            None => Vec::new(),
        };
        let now = Instant::now();
        let mut fates = Vec::new();
        for to in to {
            let line = &mut self.lines[from * self.machines + to];
            fates.extend(line.carry(now, packet.len()).into_iter().map(|at| (at, to)));
        }
        fates
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Says something from a machine to an address.
    fn say(wire: &Wire, machine: usize, to: &str) {
        let prefix = wire.prefix(machine);
        let words = ["bash", "-c", &format!("echo hello > /dev/udp/{to}/4242")].map(String::from);
        let said = Command::new(&prefix[0]).args(&prefix[1..]).args(words).output().unwrap();
        assert!(said.status.success(), "{said:?}");
    }

    /// Who said hello to whom so far. The systems' own greetings over IPv6 are on the wire, too.
    fn hellos(wire: &Wire) -> Vec<(usize, Option<usize>)> {
        let state = wire.sky.state();
        let kept = state.kept.iter().flatten().filter(|sent| sent.udp() == Some((4242, b"hello\n")));
        kept.map(|sent| (sent.from, sent.to)).collect()
    }

    fn wait_for(wire: &Wire, count: usize) {
        let until = Instant::now() + Duration::from_secs(20);
        while hellos(wire).len() < count {
            assert!(Instant::now() < until, "{:?}", hellos(wire));
            thread::sleep(LOOK_AGAIN);
        }
    }

    #[test]
    fn what_machines_say_goes_over_the_wire_in_its_weather_and_nothing_stays_behind() {
        if let Some(why) = Wire::missing() {
            return eprintln!("skipped: {why}");
        }
        let wire = Wire::new(3, 1).unwrap();
        wire.listen();
        say(&wire, 0, "10.77.0.2");
        wait_for(&wire, 1);
        assert_eq!(wire.passed(0, 1).dropped, 0);
        wire.set(0, 1, Weather::CUT);
        say(&wire, 0, "10.77.0.2");
        wait_for(&wire, 2);
        assert!(wire.passed(0, 1).dropped >= 1);
        wire.everywhere(Weather::default());
        wire.move_to(1, &["10.77.1.7".parse().unwrap()]).unwrap();
        for (count, to) in ["10.77.1.7", "198.51.100.9", "10.77.0.1"].into_iter().enumerate() {
            say(&wire, 2, to);
            wait_for(&wire, 3 + count);
        }
        assert_eq!(hellos(&wire), [(0, Some(1)), (0, Some(1)), (2, Some(1)), (2, None), (2, Some(0))]);
        assert_eq!(wire.passed(2, 1).dropped, 0);
    }
}
