//! The connections that stand, by machine. Two machines that call each other at the same time end up with two: one is enough, and both
//! sides have to end the same one, or each would end the other's choice.
//!
//! What must hold: of two that were dialed from both sides, that of the lower key stays, and its other end, which dialed in vain, says
//! goodbye; of two that this side dialed, the first stays; what the other side dials is never refused, since it may have lost the first.

use std::collections::BTreeMap;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use cobox_net::Opener;
use cobox_proto::id::SigKey;

/// See the module.
pub(super) struct Links {
    us: SigKey,
    by_machine: RwLock<BTreeMap<SigKey, Vec<Link>>>,
}

struct Link {
    opener: Opener,
    /// It was told goodbye and is not used any more.
    leaving: bool,
}

impl Links {
    pub(super) fn new(us: SigKey) -> Self {
        Self { us, by_machine: RwLock::default() }
    }

    /// The connection to use to a machine.
    pub(super) fn get(&self, remote: &SigKey) -> Option<Opener> {
        let stays = |link: &&Link| !link.leaving && !link.opener.is_over();
        self.read().get(remote)?.iter().rfind(stays).map(|link| link.opener.clone())
    }

    /// The machines to which one stands.
    pub(super) fn machines(&self) -> Vec<SigKey> {
        let by_machine = self.read();
        let stands = |links: &Vec<Link>| links.iter().any(|link| !link.leaving && !link.opener.is_over());
        by_machine.iter().filter(|(_, links)| stands(links)).map(|(machine, _)| *machine).collect()
    }

    /// How many stand, with all machines together.
    pub(super) fn count(&self) -> usize {
        self.read().values().flatten().filter(|link| !link.opener.is_over()).count()
    }

    /// One more stands. Those that are too many now are ended.
    pub(super) fn add(&self, remote: SigKey, opener: Opener) {
        let mut by_machine = self.write();
        let links = by_machine.entry(remote).or_default();
        links.push(Link { opener, leaving: false });
        links.retain(|link| !link.opener.is_over());
        let mut staying: Vec<&mut Link> = links.iter_mut().filter(|link| !link.leaving).collect();
        let dialed: Vec<bool> = staying.iter().map(|link| link.opener.is_dialer()).collect();
        for at in superfluous(self.us < remote, &dialed) {
            tracing::debug!(peer = %remote.short(), "one connection is enough: a second one ends");
            staying[at].leaving = true;
            staying[at].opener.goodbye();
        }
    }

    /// Forgets those to this machine that are over.
    pub(super) fn forget(&self, remote: &SigKey) {
        let mut by_machine = self.write();
        if let Some(links) = by_machine.get_mut(remote) {
            links.retain(|link| !link.opener.is_over());
            if links.is_empty() {
                by_machine.remove(remote);
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<SigKey, Vec<Link>>> {
        self.by_machine.read().expect("no thread panics while it holds this lock")
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<SigKey, Vec<Link>>> {
        self.by_machine.write().expect("no thread panics while it holds this lock")
    }
}

/// Which of the connections to one machine this side has to end, now that the last of them was added; each tells whether this side
/// dialed it. `lower`: whether our key is lower than the other's.
fn superfluous(lower: bool, dialed: &[bool]) -> Vec<usize> {
    let Some((newest, before)) = dialed.split_last() else { return Vec::new() };
    if *newest {
        // We dial while none stands: what stands now came meanwhile, and is alive.
        let enough = before.iter().any(|dialed| *dialed || !lower);
        return if enough { vec![before.len()] } else { Vec::new() };
    }
    let in_vain = before.iter().enumerate().filter(|(_, dialed)| **dialed && !lower);
    in_vain.map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left on one side after connections came in this order.
    fn left(lower: bool, order: &[bool]) -> Vec<bool> {
        let mut links: Vec<bool> = Vec::new();
        for dialed in order {
            links.push(*dialed);
            for at in superfluous(lower, &links).into_iter().rev() {
                links.remove(at);
            }
        }
        links
    }

    #[test]
    fn n7_of_two_that_call_each_other_at_once_both_keep_that_of_the_lower_key() {
        for order in [[true, false], [false, true]] {
            assert_eq!(left(false, &order), [false], "the higher key ends its own, whichever comes first");
            // The lower one ends nothing: it hears the goodbye.
            assert_eq!(left(true, &order), order);
        }
    }

    #[test]
    fn n7_a_second_call_of_our_own_gives_way_to_the_first() {
        assert_eq!(left(true, &[true, true]), [true]);
        assert_eq!(left(false, &[true, true]), [true]);
    }

    #[test]
    fn n7_who_calls_again_may_have_lost_the_first_and_is_let_in() {
        assert_eq!(left(true, &[false, false]), [false, false]);
        assert_eq!(left(false, &[false, false]), [false, false]);
    }
}
