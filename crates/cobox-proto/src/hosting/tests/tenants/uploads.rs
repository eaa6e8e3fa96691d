//! A1: an upload that sleeps, while what it rests on grows old and is swept up.
//!
//! The host deletes as the seeder does: what was garbage an hour ago and is garbage still. One that does not look again is shown to tear
//! what was just promised, so that the stories could fail.

use super::*;

/// A host that deletes late.
struct Sweeper {
    host: Host,
    found: BTreeMap<Cid, u64>,
    /// Whether it asks once more before it deletes.
    looks_again: bool,
}

impl Sweeper {
    fn of(looks_again: bool) -> Self {
        Self { host: host(), found: BTreeMap::new(), looks_again }
    }

    fn sweep(&mut self) {
        let now_ms = self.host.now_ms;
        let garbage = self.host.tenant.sweep(now_ms, &mut self.host.shelf);
        if self.looks_again {
            self.found.retain(|cid, _| garbage.contains(cid));
        }
        for cid in garbage {
            self.found.entry(cid).or_insert(now_ms);
        }
        let due: Vec<Cid> =
            self.found.extract_if(.., |_, since| now_ms - *since >= HOUR_MS).map(|(cid, _)| cid).collect();
        due.iter().for_each(|cid| self.host.shelf.remove(cid));
    }

    /// The only peer goes, in the middle of whatever it was sending.
    fn falls_asleep(&mut self) {
        let peer = PeerId(self.host.peers);
        self.host.replica(Input::PeerClosed { peer });
    }

    fn wakes_up(&mut self, heads: &[SignedHead]) {
        self.host.meet();
        heads.iter().for_each(|head| self.host.bring(head));
    }

    /// A head that is called complete and is not, by what truly lies beneath it: a deleted block leaves no trace on the shelf.
    fn torn(&self) -> Option<HeadId> {
        let (heads, world) = (self.host.tenant.replica().heads(), &self.host.world);
        let is_torn = |id: &&HeadId| {
            let mut beneath: Vec<Cid> = heads.get(id).map(|head| head.head().root).into_iter().collect();
            while let Some(cid) = beneath.pop() {
                if self.host.shelf.status(&cid) != Status::Complete {
                    return true;
                }
                beneath.extend(world.get(&cid).into_iter().flatten());
            }
            false
        };
        self.host.tenant.complete().keys().find(is_torn).copied()
    }
}

/// Alice writes, writes something else, and goes back to half of what she wrote first.
fn comes_back_to_what_is_old(looks_again: bool) -> Option<HeadId> {
    let mut seeder = Sweeper::of(looks_again);
    let host = &mut seeder.host;
    let (old, new) = (host.tree(1000, 0..10), host.tree(1001, 20..30));
    let first = host.publish(1, None, old, 11);
    let second = host.publish(1, Some(&first), new, 11);
    host.now_ms += 100 * DAY_MS;
    seeder.sweep();
    assert_eq!(seeder.found.len(), 11, "the old state is garbage now, and deleted later");
    let host = &mut seeder.host;
    let mixed = host.tree(1002, 5..15);
    let third = Host::announce(
        Head { skip: Some(second.id()), ..host.folder.unsigned_head(1, Some(&second), &[], mixed) },
        1,
        6,
    );
    host.fetched.clear();
    host.bring(&third);
    assert_eq!(host.holding(&third), Some(Holding::Complete));
    assert_eq!(host.fetched.len(), 6, "five of its blocks were here, as garbage");
    host.now_ms += 2 * HOUR_MS;
    seeder.sweep();
    seeder.torn()
}

#[test]
fn a1_what_a_new_state_rests_on_is_not_deleted_although_it_was_garbage() {
    assert_eq!(comes_back_to_what_is_old(true), None);
    assert!(comes_back_to_what_is_old(false).is_some(), "who does not look again tears it");
}

#[test]
fn a1_an_upload_that_sleeps_for_a_year_keeps_what_it_has_and_ends_whole() {
    let mut seeder = Sweeper::of(true);
    let host = &mut seeder.host;
    let (old, new, mixed) = (host.tree(1000, 0..10), host.tree(1001, 20..30), host.tree(1002, 5..15));
    let first = host.publish(1, None, old, 11);
    let second = host.publish(1, Some(&first), new, 11);
    host.withheld.extend((10..15).map(cid));
    let third = Host::announce(
        Head { skip: Some(second.id()), ..host.folder.unsigned_head(1, Some(&second), &[], mixed) },
        1,
        6,
    );
    host.bring(&third);
    assert_eq!(host.holding(&third), None);
    seeder.falls_asleep();
    for _ in 0..365 {
        seeder.host.now_ms += DAY_MS;
        seeder.sweep();
    }
    let here = |seeder: &Sweeper, n: u16| seeder.host.shelf.status(&cid(n)) != Status::Missing;
    assert!((5..10).all(|n| here(&seeder, n)), "it rests on these of the old state");
    assert!((0..5).all(|n| !here(&seeder, n)), "the rest of that is gone");
    seeder.host.withheld.clear();
    seeder.host.fetched.clear();
    seeder.wakes_up(&[]);
    assert_eq!(seeder.host.holding(&third), Some(Holding::Complete));
    assert_eq!(seeder.host.fetched.len(), 5, "nothing is sent twice");
    assert_eq!(seeder.torn(), None);
}

#[test]
fn a1_what_slept_before_it_was_announced_finds_less_and_brings_the_rest() {
    let mut seeder = Sweeper::of(true);
    let host = &mut seeder.host;
    let (old, new, mixed) = (host.tree(1000, 0..10), host.tree(1001, 20..30), host.tree(1002, 5..15));
    let first = host.publish(1, None, old, 11);
    let second = host.publish(1, Some(&first), new, 11);
    // Alice's machine was suspended with the head in its hand: she counts on blocks that were here when she last looked.
    let third = Host::announce(
        Head { skip: Some(second.id()), ..host.folder.unsigned_head(1, Some(&second), &[], mixed) },
        1,
        6,
    );
    seeder.falls_asleep();
    for _ in 0..100 {
        seeder.host.now_ms += DAY_MS;
        seeder.sweep();
    }
    seeder.host.fetched.clear();
    seeder.wakes_up(std::slice::from_ref(&third));
    assert_eq!(seeder.host.holding(&third), Some(Holding::Complete));
    assert_eq!(seeder.host.fetched.len(), 11, "all of it, though she announced what was new to her");
    assert_eq!(seeder.torn(), None);
}

/// What may happen to an upload.
#[derive(Debug, Clone)]
enum Turn {
    /// A state that keeps some blocks of those before; of these blocks, so many do not come before she wakes up.
    Publish { withheld: u16 },
    /// She goes.
    Sleep,
    /// She comes, with all blocks.
    Wake,
    /// Time passes.
    Pause(u64),
    /// The seeder starts again.
    Restart,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let pause = prop_oneof![1..HOUR_MS, HOUR_MS..3 * HOUR_MS, DAY_MS..200 * DAY_MS];
    let turn = prop_oneof![
        4 => (0u16..9).prop_map(|withheld| Turn::Publish { withheld }),
        2 => Just(Turn::Sleep),
        2 => Just(Turn::Wake),
        4 => pause.prop_map(Turn::Pause),
        1 => Just(Turn::Restart),
    ];
    prop::collection::vec(turn, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// After whatever happens, what is called complete is whole; and once she is awake, so is what she wrote last.
    #[test]
    fn a1_no_order_of_uploads_sleep_and_sweeps_tears_what_is_complete(turns in turns()) {
        let mut seeder = Sweeper::of(true);
        let mut chain: Vec<SignedHead> = Vec::new();
        let mut awake = true;
        for turn in turns {
            match turn {
                Turn::Publish { withheld } => {
                    let n = chain.len() as u16;
                    let host = &mut seeder.host;
                    // Now and then it is the blocks of long ago again.
                    let first = if n % 5 == 4 { 0 } else { n * 3 };
                    let root = host.tree(1000 + n, first..first + 9);
                    host.withheld.extend((first + 9 - withheld..first + 9).map(cid));
                    let seq = u64::from(n) + 1;
                    let mut head = host.folder.unsigned_head(1, chain.last(), &[], root);
                    head.skip = (seq & (seq - 1) > 0).then(|| chain[(seq & (seq - 1)) as usize - 1].id());
                    let head = Host::announce(head, 1, 10);
                    if awake {
                        host.bring(&head);
                    }
                    chain.push(head);
                }
                Turn::Sleep if awake => {
                    seeder.falls_asleep();
                    awake = false;
                }
                Turn::Wake => {
                    if awake {
                        seeder.falls_asleep();
                    }
                    awake = true;
                    seeder.host.withheld.clear();
                    seeder.wakes_up(&chain);
                    if let Some(last) = chain.last() {
                        prop_assert!(seeder.host.tenant.complete().contains_key(&last.id()));
                    }
                }
                Turn::Pause(pause_ms) => seeder.host.now_ms += pause_ms,
                Turn::Restart => {
                    if awake {
                        seeder.falls_asleep();
                    }
                    awake = true;
                    seeder.host.restart();
                    seeder.found.clear();
                }
                Turn::Sleep => {}
            }
            seeder.sweep();
            prop_assert_eq!(seeder.torn(), None);
        }
    }
}
