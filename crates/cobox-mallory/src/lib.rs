//! Mallory: scripts of members, seeders and strangers who mean harm. Each does one evil thing to the shipped code and says what came of
//! it; what must come of it stands beside it. Pure scripts speak to the shipped brain of a folder, a connection or a seeder, without a
//! network; live ones call running programs over QUIC, with the keys that somebody in that role would truly have.
//!
//! Owns the list of scripts. Never a dependency of a program that is shipped. `docs/storm.md` tells how to add a script.

mod home;
pub mod live;
mod pure;

use anyhow::{Result, ensure};

pub use live::Scene;

/// Who is evil.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Somebody who was let into the folder: all its keys, their own device.
    Member,
    /// A seeder that was hired: its own keys, all sealed blocks, heads and ops.
    Seeder,
    /// Anybody: an address, perhaps a folder's id.
    Stranger,
}

/// At whom it is aimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// A member's device.
    Member,
    /// A seeder.
    Seeder,
    /// Both run the code that is tried.
    Both,
}

/// What a script came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes are no message, block, head, op, name or tree: nothing else ever saw them.
    RefusedAtDecode,
    /// What was said ended the channel or the connection. A peer that had proved a key is named.
    Closed,
    /// It was refused for ever, and its author is named.
    Named,
    /// It is kept, and does not count.
    Quarantined,
    /// Nothing came of it, and nothing was said.
    Ignored,
    /// The answer is the one that somebody gets who asks for what is not there.
    LikeAbsent,
    /// It had an effect, up to a bound.
    Capped,
    /// It was taken for what it is worth: nobody else's content changed, and what it would have replaced is there.
    Contained,
}

/// How a script is played. It says what came of it; an error is something that must never come.
#[derive(Debug, Clone, Copy)]
pub enum Play {
    /// Without a network.
    Pure(fn() -> Result<Verdict>),
    /// At running programs.
    Live(fn(&mut Scene) -> Result<Verdict>),
}

/// One evil deed.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// Of the catalogue of failures.
    pub case: &'static str,
    /// What is done, as a sentence.
    pub name: &'static str,
    /// By whom.
    pub role: Role,
    /// To whom.
    pub against: Against,
    /// What must come of it.
    pub verdict: Verdict,
    /// The deed.
    pub play: Play,
}

impl Script {
    /// Whether it needs running programs.
    pub fn is_live(&self) -> bool {
        matches!(self.play, Play::Live(_))
    }

    /// Plays a script that needs no programs.
    pub fn play_pure(&self) -> Option<Result<()>> {
        match self.play {
            Play::Pure(play) => Some(play().and_then(|verdict| self.judge(verdict))),
            Play::Live(_) => None,
        }
    }

    /// Plays a script at running programs; then nobody may be worse off than before.
    pub fn play_live(&self, scene: &mut Scene) -> Option<Result<()>> {
        match self.play {
            Play::Pure(_) => None,
            Play::Live(play) => Some(play(scene).and_then(|verdict| {
                self.judge(verdict)?;
                scene.judge()
            })),
        }
    }

    fn judge(&self, came_to: Verdict) -> Result<()> {
        ensure!(came_to == self.verdict, "it must come to {:?}, and came to {came_to:?}", self.verdict);
        Ok(())
    }
}

/// Reproducible bytes that nothing compresses.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// All scripts.
pub fn scripts() -> Vec<Script> {
    pure::tables().into_iter().chain(live::tables()).flatten().copied().collect()
}

/// A row of a table.
const fn pure(
    case: &'static str,
    name: &'static str,
    role: Role,
    against: Against,
    verdict: Verdict,
    play: fn() -> Result<Verdict>,
) -> Script {
    Script { case, name, role, against, verdict, play: Play::Pure(play) }
}

/// A row of a table.
const fn live(
    case: &'static str,
    name: &'static str,
    role: Role,
    against: Against,
    verdict: Verdict,
    play: fn(&mut Scene) -> Result<Verdict>,
) -> Script {
    Script { case, name, role, against, verdict, play: Play::Live(play) }
}
