//! Epochs: which were started, who can open them, which may be written under (formats F2).
//!
//! Who knows an epoch's secret knows, through the sealed history, those of all its ancestors. So an epoch is *usable* only
//! if nobody who is removed was ever given it **or any epoch that descends from it**: else a member removed after a rotation
//! would still read what is written when the log falls back to the epoch before. Secrets given away by bundles and
//! grants that do not stand are given away all the same; they count too, if their author had authority in its own past.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{EpochId, EpochTag, Hash};
use crate::members::log::{At, Log};
use crate::members::op::OpBody;
use crate::members::standing::Standing;

/// The epochs of a resolved set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Epochs {
    /// Every bundle whose author had authority in its own past, with the keys that were given it directly.
    pub(super) known: BTreeMap<At, BTreeSet<Hash>>,
    /// Those that stand. Of two with one tag the first in (author's seniority, lam, id) stands.
    pub(super) standing: BTreeMap<EpochTag, At>,
    by_id: BTreeMap<EpochId, BTreeSet<At>>,
    /// Whom grants gave an epoch to, whichever of its bundles they had seen.
    granted: BTreeMap<EpochId, BTreeSet<Hash>>,
}

impl Epochs {
    /// Applies a bundle or grant.
    pub(super) fn apply(&mut self, log: &Log, at: At, stands: bool) {
        match log.node(at).body() {
            Some(OpBody::EpochBundle { id, recipients, .. }) => {
                let granted = self.granted.get(id).into_iter().flatten();
                self.known.insert(at, recipients.iter().chain(granted).copied().collect());
                self.by_id.entry(*id).or_default().insert(at);
                if stands {
                    let first = self.standing.entry(id.tag()).or_insert(at);
                    if seniority(log, at) < seniority(log, *first) {
                        *first = at;
                    }
                }
            }
            Some(OpBody::EpochGrant { epochs, recipient, .. }) => {
                for id in epochs {
                    self.granted.entry(*id).or_default().insert(*recipient);
                    for at in self.by_id.get(id).into_iter().flatten() {
                        if let Some(knowers) = self.known.get_mut(at) {
                            knowers.insert(*recipient);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// All bundles with this id.
    pub(super) fn with_id(&self, id: &EpochId) -> impl Iterator<Item = At> + '_ {
        self.by_id.get(id).into_iter().flatten().copied()
    }

    /// Whether some bundle has this tag.
    pub(super) fn has_tag(&self, tag: EpochTag) -> bool {
        let mut low = [0; 32];
        low[..16].copy_from_slice(&tag.0);
        self.by_id.range(EpochId(low)..).next().is_some_and(|(id, _)| id.tag() == tag)
    }

    fn parents<'a>(&'a self, log: &'a Log, at: At) -> impl Iterator<Item = At> + 'a {
        let parents = match log.node(at).body() {
            Some(OpBody::EpochBundle { parents, .. }) => parents.as_slice(),
            _ => &[],
        };
        // Only those it has seen: another bundle may carry the same id.
        parents.iter().flat_map(|id| self.with_id(id)).filter(move |p| log.node(at).past.contains(*p))
    }

    /// The bundle and all its ancestors.
    pub(super) fn closure(&self, log: &Log, at: At) -> BTreeSet<At> {
        let (mut found, mut todo) = (BTreeSet::from([at]), vec![at]);
        while let Some(at) = todo.pop() {
            todo.extend(self.parents(log, at).filter(|parent| found.insert(*parent)));
        }
        found
    }
}

impl Standing {
    /// Bundles whose secret, by itself or through a descendant's history, somebody out of force was given.
    fn leaked_epochs(&self, log: &Log) -> BTreeSet<At> {
        let mut leaked = BTreeSet::new();
        let gone: BTreeSet<&Hash> = self.epochs.known.values().flatten().filter(|k| !self.key_live(log, k)).collect();
        // Descendants stand after their ancestors in every log.
        for (at, knowers) in self.epochs.known.iter().rev() {
            if leaked.contains(at) || knowers.iter().any(|k| gone.contains(k)) {
                leaked.insert(*at);
                leaked.extend(self.epochs.parents(log, *at));
            }
        }
        leaked
    }

    /// Whether some holder of the key is in force.
    pub(super) fn key_live(&self, log: &Log, key: &Hash) -> bool {
        self.holders.get(key).is_some_and(|holders| holders.iter().any(|h| self.holder_live(log, h)))
    }

    /// The bundles that may be written under.
    pub(super) fn usable_epochs(&self, log: &Log) -> BTreeSet<At> {
        let leaked = self.leaked_epochs(log);
        self.epochs.standing.values().copied().filter(|at| !leaked.contains(at)).collect()
    }

    /// The one to write under: the greatest (depth, id).
    pub(super) fn writable_epoch(&self, log: &Log) -> Option<At> {
        self.usable_epochs(log).into_iter().max_by_key(|at| (epoch_depth(log, *at), epoch_id(log, *at)))
    }
}

/// How many epochs lie before it on the longest path.
pub(super) fn epoch_depth(log: &Log, at: At) -> u32 {
    log.node(at).verdict.as_ref().map_or(0, |valid| valid.depth)
}

pub(super) fn epoch_id(log: &Log, at: At) -> Option<EpochId> {
    match log.node(at).body() {
        Some(OpBody::EpochBundle { id, .. }) => Some(*id),
        _ => None,
    }
}

type Seniority<'l> = (Option<&'l [(u64, crate::id::OpId)]>, (u64, crate::id::OpId));

fn seniority(log: &Log, at: At) -> Seniority<'_> {
    let author = log.node(at).op().and_then(|op| log.at(&op.signers[0].grant));
    (author.map(|grant| log.node(grant).rank.as_slice()), log.node(at).order())
}
