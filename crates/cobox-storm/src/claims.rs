//! What was written and not let go by who wrote: every such version must be somewhere in the end (O1).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};

use crate::content::Version;
use crate::sight::{Found, Sight, found};

/// How many copies of each version somebody counts on. Two who remove the same copy at once are counted twice, so that this may be too
/// low, but never too high.
#[derive(Debug, Default)]
pub(crate) struct Claims(BTreeMap<Version, i64>);

impl Claims {
    /// Somebody wrote it.
    pub(crate) fn made(&mut self, version: Version) {
        *self.0.entry(version).or_default() += 1;
    }

    /// Somebody replaced or deleted it, and knew.
    pub(crate) fn let_go(&mut self, version: Version) {
        *self.0.entry(version).or_default() -= 1;
    }

    /// Lets go what lies here, outside of the folder, since somebody took it out of it.
    pub(crate) fn let_go_all(&mut self, taken: &Path) -> Result<()> {
        match found(taken)? {
            Found::Whole(version) => self.let_go(version),
            Found::Odd(why) => bail!("o3: a file was seen that nobody wrote: {why}"),
            Found::Dir => {
                let sight = Sight::of(taken)?;
                if let Some((path, why)) = sight.odd().next() {
                    bail!("o3: a file was seen that nobody wrote: {}: {why}", path.display());
                }
                sight.versions().for_each(|(_, version)| self.let_go(version));
            }
        }
        Ok(())
    }

    /// What somebody counts on.
    pub(crate) fn standing(&self) -> impl Iterator<Item = Version> {
        self.0.iter().filter(|(_, count)| **count > 0).map(|(version, _)| *version)
    }
}
