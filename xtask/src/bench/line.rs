//! Two members with a bad line between them: `cobox-storm` makes it, with networks of their own and packets that are late, lost or too
//! many, and counts what passed.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::data::Data;
use super::meter::Run;
use super::{Bench, stories};
use crate::run::{root, run};

/// 50 Mbit/s, 50 ms there and back, and one packet in a hundred is lost.
const BYTES_PER_S: u64 = 6_250_000;
const DELAY_MS: u64 = 25;
const LOSS_PER_THOUSAND: u64 = 10;
/// The large file is so much smaller here.
pub(super) const BIG_SCALE: u64 = 16;

/// A place on the line.
#[derive(Clone)]
pub(crate) struct Machine {
    /// Words before a program that is to run there.
    pub(crate) prefix: Vec<String>,
    pub(crate) address: IpAddr,
}

/// It is there until this is dropped.
pub(crate) struct Line {
    helper: Child,
    said: BufReader<ChildStdout>,
    machines: Vec<Machine>,
    taken: Cell<usize>,
}

/// Builds what makes it.
pub(super) fn prepare() -> Result<()> {
    run("cargo", &["build", "--quiet", "--locked", "--package", "cobox-storm", "--bin", "cobox-storm"])
}

impl Line {
    fn new(seed: u64) -> Result<Self> {
        let mut command = Command::new(root().join("target/debug/cobox-storm"));
        let number = |name: &str, number: u64| [format!("--{name}"), number.to_string()];
        command.arg("line").args(number("seed", seed)).args(number("bytes-per-s", BYTES_PER_S));
        command.args(number("delay-ms", DELAY_MS)).args(number("loss", LOSS_PER_THOUSAND));
        let mut helper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(helper.stdout.take().context("its output")?);
        let told = told(&mut said).context("a line needs root, `ip`, `nsenter` and /dev/net/tun")?;
        let machine = |told: &Value| {
            let words = told["prefix"].as_array()?.iter().filter_map(Value::as_str).map(str::to_owned);
            Some(Machine { prefix: words.collect(), address: told["address"].as_str()?.parse().ok()? })
        };
        let machines = told["machines"].as_array().into_iter().flatten().filter_map(machine).collect();
        Ok(Self { helper, said, machines, taken: Cell::new(0) })
    }

    /// The next of its machines.
    pub(crate) fn next_machine(&self) -> Result<Machine> {
        let at = self.taken.replace(self.taken.get() + 1);
        self.machines.get(at).cloned().context("a line has two ends")
    }

    /// Ends it: megabytes that were sent both ways, and the part of the packets that was dropped.
    fn end(mut self) -> Result<(f64, f64)> {
        drop(self.helper.stdin.take());
        let told = told(&mut self.said)?;
        let number = |key: &str| told[key].as_f64().with_context(|| format!("{told} has no {key}"));
        Ok((number("sent_bytes")? / 1e6, number("dropped")? / number("sent")?))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _already_gone = self.helper.kill();
        let _reaped = self.helper.wait();
    }
}

fn told(said: &mut impl BufRead) -> Result<Value> {
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(!line.is_empty(), "it said nothing");
    Ok(serde_json::from_str(&line)?)
}

/// From one member's full directory to another member's empty one, over the line.
pub(super) fn over_it(bench: &Bench, data: &Data) -> Result<Vec<Run>> {
    let mut place = bench.place(data)?.on(Line::new(1)?);
    let (ana, ben, mut run) = stories::joined(&place, data)?;
    drop((ana, ben));
    let (sent_mb, dropped) = place.take_line().context("the line")?.end()?;
    run.op = "line";
    run.wire_mb = Some(sent_mb);
    run.more.insert("of_the_line", data.bytes as f64 / run.wall_s / BYTES_PER_S as f64);
    run.more.insert("dropped", dropped);
    Ok(vec![run])
}
