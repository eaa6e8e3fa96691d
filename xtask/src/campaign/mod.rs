//! `cargo xtask campaign KIND --minutes M`: the long forms of what `cargo xtask check` tries for seconds. Each kind runs for about as
//! long as it is given, keeps what it finds, and adds a row to `docs/campaigns.md`.

mod flaky;
pub(crate) mod fuzz;
mod ledger;
mod members;
pub(crate) mod sim;
mod storm;

use std::time::Duration;

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
cargo xtask campaign KIND --minutes M

  fuzz      every target of fuzz/, two at a time; what goes new ways is kept in fuzz/corpus
  sim       worlds of the simulator, one seed after the other
  model     small cases of the state against its naive twin, one after the other
  plans     small cases of a disk that is brought to what the state shows, likewise
  kill      services are killed at any moment; also --faults N, --seed N
  power     disks lose their power at any moment; needs root; also --faults N, --seed N
  members   every history of five membership ops among three people, to its end, without --minutes
  flaky     every test, --runs N times instead of --minutes; with --loaded all cores are kept busy beside them

  ... and a row in docs/campaigns.md";

pub(crate) fn campaign(args: &[&str]) -> Result<()> {
    let (kind, rest) = args.split_first().context(USAGE)?;
    match *kind {
        "fuzz" => fuzz::campaign(minutes(rest)?),
        "sim" => sim::campaign(minutes(rest)?),
        "model" => sim::model(minutes(rest)?),
        "plans" => sim::plans(minutes(rest)?),
        "members" => match rest {
            [] => members::campaign(),
            _ => bail!("{USAGE}"),
        },
        "kill" => storm::run_worlds("kill", rest),
        "flaky" => flaky::campaign(rest, USAGE),
        "power" => storm::run_worlds("power", rest),
        other => bail!("no campaign {other:?}\n\n{USAGE}"),
    }
}

fn minutes(args: &[&str]) -> Result<Duration> {
    let ["--minutes", minutes] = args else { bail!("{USAGE}") };
    let minutes: f64 = minutes.parse().with_context(|| format!("{minutes:?} is not a number of minutes"))?;
    Duration::try_from_secs_f64(minutes * 60.0).with_context(|| format!("{minutes} is not a number of minutes"))
}
