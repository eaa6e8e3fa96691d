//! What an owner has forgotten goes after the delay, and nothing else; what is needed anew comes again.

use super::*;
use crate::hosting::SHORTER_AFTER_MS;
use crate::id::{HeadTag, OpId};
use crate::members::{Op, SignedOp, Signer};

/// Chunks of the file that is to be forgotten.
const SECRET: std::ops::Range<u16> = 5..10;

/// A host with two states of person 1: in the second a file is gone whose pieces are [`SECRET`], beneath a node of its own.
struct Case {
    host: Host,
    with: SignedHead,
    without: SignedHead,
}

impl Case {
    fn new() -> Self {
        let mut host = host();
        host.tree(900, SECRET);
        host.tree(901, 0..5);
        let root = |host: &mut Host, n: u16, nodes: &[u16]| {
            host.world.insert(cid(n), nodes.iter().map(|n| cid(*n)).collect());
            cid(n)
        };
        let first = root(&mut host, 1000, &[900, 901]);
        let with = host.publish(1, None, first, 13);
        host.now_ms += 60_000;
        let second = root(&mut host, 1001, &[901]);
        let without = host.publish(1, Some(&with), second, 1);
        assert_eq!((host.shelf.cids().len(), host.tenant.complete().len()), (14, 2));
        Self { host, with, without }
    }

    fn deliver(&mut self, op: &SignedOp) {
        let peer = PeerId(self.host.peers);
        self.host.replica(Input::Received { peer, message: Message::Ops { ops: vec![op.bytes().to_vec()] } });
    }

    /// The owner's word on these states.
    fn forget(&mut self, states: &[&SignedHead], blocks: impl IntoIterator<Item = u16>) -> OpId {
        let states: BTreeSet<HeadTag> = states.iter().map(|head| head.id().tag()).collect();
        let blocks: BTreeSet<Cid> = blocks.into_iter().map(cid).collect();
        let (states, blocks) = (states.into_iter().collect(), blocks.into_iter().collect());
        let grant = self.host.folder.genesis().op_id();
        let body = OpBody::Forget { at_ms: self.host.now_ms, states, blocks };
        let op = self.host.folder.write(grant, &key(1), body);
        self.deliver(&op);
        op.id()
    }

    fn take_back(&mut self, forget: OpId) {
        let grant = self.host.folder.genesis().op_id();
        let op = self.host.folder.write(grant, &key(1), OpBody::ForgetEnd { forgets: vec![forget] });
        self.deliver(&op);
    }

    /// Looks, deletes what is garbage at once, and looks again at what stands above it, as a host does. Returns what went.
    fn sweep(&mut self) -> BTreeSet<Cid> {
        let now_ms = self.host.now_ms;
        let garbage = self.host.tenant.sweep(now_ms, &mut self.host.shelf);
        garbage.iter().for_each(|cid| self.host.shelf.remove(cid));
        if garbage.iter().any(|cid| self.host.tenant.lets_go(cid)) {
            self.host.tell(TenantInput::BlockLost(Cid::ZERO));
        }
        garbage.into_iter().collect()
    }

    fn sweep_after(&mut self, ms: u64) -> BTreeSet<Cid> {
        self.host.now_ms += ms;
        self.sweep()
    }

    fn is_complete(&self, head: &SignedHead) -> bool {
        self.host.tenant.complete().contains_key(&head.id())
    }
}

fn cids(of: impl IntoIterator<Item = u16>) -> BTreeSet<Cid> {
    of.into_iter().map(cid).collect()
}

#[test]
fn what_an_owner_forgets_goes_after_a_week_in_sight_and_all_else_stays() {
    let mut case = Case::new();
    // One of the pieces is needed by the newest state too: whoever signed that was mistaken, or lies.
    case.forget(&[&case.with.clone()], SECRET.chain([2]));
    let fetched = case.host.fetched.len();
    assert_eq!(case.sweep_after(0), cids([]), "it is heard now");
    assert_eq!(case.sweep_after(SHORTER_AFTER_MS - 1), cids([]));
    assert_eq!(case.sweep_after(1), cids(SECRET));
    for _ in 0..2 {
        assert!(case.is_complete(&case.with) && case.is_complete(&case.without), "both states stay");
        assert!(case.host.whole(&cid(1001)), "the newest is whole");
        assert_eq!(case.host.shelf.status(&cid(900)), Status::Held, "and nobody says that of the other");
        assert_eq!(case.sweep_after(HOUR_MS), cids([]));
        assert_eq!(case.host.fetched.len(), fetched, "nothing is fetched again");
        assert!(!case.host.tenant.is_fetching());
        assert_eq!(case.host.tenant.quota().used(), 9 * BLOCK_BYTES);
        case.host.restart();
    }
    assert!(case.host.holding(&case.with) == Some(Holding::Complete), "its author was told nothing else");
}

#[test]
fn what_is_taken_back_in_time_stays_and_what_is_said_again_waits_anew() {
    let mut case = Case::new();
    let forget = case.forget(&[&case.with.clone()], SECRET);
    case.sweep();
    case.host.now_ms += SHORTER_AFTER_MS - 1;
    case.take_back(forget);
    assert_eq!(case.sweep_after(10 * DAY_MS), cids([]));
    let again = case.forget(&[&case.with.clone()], SECRET);
    assert_eq!(case.sweep_after(0), cids([]));
    assert_eq!(case.sweep_after(SHORTER_AFTER_MS), cids(SECRET));
    // Too late: nobody looks for what is nowhere any more.
    case.take_back(again);
    case.host.restart();
    assert_eq!(case.sweep_after(DAY_MS), cids([]));
    assert!(case.is_complete(&case.with) && !case.host.tenant.is_fetching());
}

#[test]
fn s5_an_editors_word_counts_for_nothing_and_an_owners_for_nothing_of_the_newest_states() {
    let mut case = Case::new();
    let grant = case.host.tenant.replica().membership().roster().device(&key(2).public()).unwrap().1.grant;
    let op = Op {
        folder: case.host.folder.id(),
        signers: vec![Signer { grant, key: key(2).public() }],
        deps: case.host.folder.log.frontier(),
        body: OpBody::Forget { at_ms: 1, states: vec![case.with.id().tag()], blocks: vec![cid(5)] },
        sealed: vec![],
    };
    case.deliver(&SignedOp::sign(op, &[&key(2)]).unwrap());
    case.sweep();
    assert_eq!(case.sweep_after(30 * DAY_MS), cids([]));
    case.forget(&[&case.without.clone()], 0..5);
    case.sweep();
    assert_eq!(case.sweep_after(30 * DAY_MS), cids([]));
    // Not even when a newer state is announced, as long as that does not come.
    case.host.withheld.insert(cid(1002));
    case.host.world.insert(cid(1002), vec![]);
    case.host.publish(1, Some(&case.without.clone()), cid(1002), 1);
    assert_eq!(case.sweep_after(DAY_MS), cids([]));
    assert!(case.host.whole(&cid(1001)));
}

#[test]
fn a_state_that_nobody_named_keeps_all_it_has_and_fetches_what_is_gone() {
    let mut case = Case::new();
    case.forget(&[&case.with.clone()], SECRET);
    case.sweep();
    assert_eq!(case.sweep_after(SHORTER_AFTER_MS), cids(SECRET));
    let fetched = case.host.fetched.len();
    // Somebody was away and still had the file, beneath the very same node.
    case.host.world.insert(cid(1005), vec![cid(900), cid(901)]);
    let late = case.host.publish(2, None, cid(1005), 13);
    assert_eq!(case.host.holding(&late), Some(Holding::Complete));
    assert_eq!(case.host.fetched[fetched..].iter().copied().collect::<BTreeSet<_>>(), cids(SECRET.chain([1005])));
    assert!(case.host.whole(&cid(1005)));
    assert_eq!(case.sweep_after(HOUR_MS), cids([]));
    // Newer ones of that device take its place in time, and then it goes as all history does.
    case.host.world.insert(cid(1006), vec![cid(901)]);
    let prev = late.clone();
    let mut head = case.host.folder.unsigned_head(2, Some(&prev), &[&case.without.clone()], cid(1006));
    head.seq = 2;
    let merged = Host::announce(head, 2, 1);
    case.host.bring(&merged);
    assert_eq!(case.host.holding(&merged), Some(Holding::Complete));
    assert_eq!(case.sweep_after(30 * DAY_MS), cids([]), "it is history, and nobody named it");
}

#[test]
fn a_damaged_block_beneath_such_a_state_is_fetched_again_and_what_was_let_go_is_not() {
    // The node of the file has one piece more, which nobody named.
    let mut case = Case { host: host(), ..Case::new() };
    case.host.tree(900, 5..11);
    case.host.tree(901, 0..5);
    case.host.world.insert(cid(1000), vec![cid(900), cid(901)]);
    case.host.world.insert(cid(1001), vec![cid(901)]);
    case.with = case.host.publish(1, None, cid(1000), 14);
    case.host.now_ms += 60_000;
    let with = case.with.clone();
    case.without = case.host.publish(1, Some(&with), cid(1001), 1);
    case.forget(&[&with], SECRET);
    case.sweep();
    assert_eq!(case.sweep_after(SHORTER_AFTER_MS), cids(SECRET));
    for lost in [vec![10], vec![900, 10], vec![1000], vec![1000, 900, 901, 10], vec![1001, 901, 900]] {
        case.host.fetched.clear();
        for n in &lost {
            case.host.shelf.remove(&cid(*n));
        }
        case.host.tell(TenantInput::BlockLost(Cid::ZERO));
        let mut fetched = case.host.fetched.clone();
        fetched.sort();
        assert_eq!(fetched.iter().copied().collect::<BTreeSet<_>>(), cids(lost.clone()), "{lost:?}");
        assert!(case.is_complete(&case.with) && case.is_complete(&case.without), "{lost:?}");
        assert_eq!(case.sweep_after(HOUR_MS), cids([]), "{lost:?}");
    }
}

#[test]
fn statements_on_different_states_let_go_of_what_both_name_and_of_nothing_between() {
    let mut case = Case::new();
    // A third state has the pieces once more, and one of its own.
    case.host.tree(910, 60..62);
    case.host.world.insert(cid(1003), vec![cid(900), cid(910), cid(901)]);
    let mut head = case.host.folder.unsigned_head(1, Some(&case.without.clone()), &[], cid(1003));
    head.skip = Some(case.without.id());
    let third = Host::announce(head, 1, 10);
    case.host.now_ms += DAY_MS;
    case.host.bring(&third);
    case.host.now_ms += DAY_MS;
    case.host.world.insert(cid(1004), vec![cid(901)]);
    let head = case.host.folder.unsigned_head(1, Some(&third), &[], cid(1004));
    let fourth = Host::announce(head, 1, 1);
    case.host.bring(&fourth);
    assert_eq!(case.host.holding(&fourth), Some(Holding::Complete));
    case.forget(&[&case.with.clone()], [5, 6, 7]);
    case.forget(&[&third], [6, 7, 60]);
    case.sweep();
    assert_eq!(case.sweep_after(SHORTER_AFTER_MS), cids([6, 7, 60]), "the third state needs 5 still");
    assert_eq!(case.host.tenant.complete().len(), 4);
}

proptest! {
    /// Whatever is said by whom and lost when: what states that count need, less what was named of them, is here or wanted.
    #[test]
    fn nothing_but_what_was_named_is_ever_missed(
        deeds in prop::collection::vec((0u8..7, any::<u16>(), any::<u16>()), 1..40),
    ) {
        let mut case = Case::new();
        let mut heads: Vec<(SignedHead, Cid)> = vec![(case.with.clone(), cid(1000)), (case.without.clone(), cid(1001))];
        let mut named: BTreeMap<HeadId, BTreeSet<Cid>> = BTreeMap::new();
        for (deed, a, b) in deeds {
            match deed {
                0 => {
                    let root = 1010 + heads.len() as u16;
                    let nodes = [a % 3 > 0, b % 2 > 0, (a ^ b) % 5 > 2];
                    case.host.tree(920, SECRET.start..8);
                    let links: Vec<Cid> =
                        [900, 901, 920].iter().zip(nodes).filter(|(_, is)| *is).map(|(n, _)| cid(*n)).collect();
                    case.host.world.insert(cid(root), links);
                    let prev = heads.last().unwrap().0.clone();
                    let seq = prev.head().seq + 1;
                    let skip = seq & (seq - 1);
                    let mut head = case.host.folder.unsigned_head(1, Some(&prev), &[], cid(root));
                    head.skip = (skip > 0).then(|| heads[skip as usize - 1].0.id());
                    let head = Host::announce(head, 1, 20);
                    case.host.bring(&head);
                    heads.push((head, cid(root)));
                }
                1 => {
                    let states: Vec<SignedHead> =
                        heads.iter().enumerate().filter(|(n, _)| a >> (n % 16) & 1 == 1).map(|(_, h)| h.0.clone()).collect();
                    let blocks: Vec<u16> = (0..10).filter(|n| b >> n & 1 == 1).chain([900].into_iter().filter(|_| b > 60_000)).collect();
                    if !states.is_empty() && !blocks.is_empty() {
                        case.forget(&states.iter().collect::<Vec<_>>(), blocks.iter().copied());
                        for state in &states {
                            named.entry(state.id()).or_default().extend(blocks.iter().map(|n| cid(*n)));
                        }
                    }
                }
                2 => {
                    let all = case.host.shelf.cids();
                    let lost = all[usize::from(a) % all.len()];
                    case.host.shelf.remove(&lost);
                    case.host.tell(TenantInput::BlockLost(lost));
                }
                3 => case.host.restart(),
                4 => case.host.now_ms += u64::from(a) * HOUR_MS / 100,
                _ => drop(case.sweep_after(HOUR_MS)),
            }
            case.host.tell(TenantInput::Replica(Input::Tick));
            let (nothing, newest) = (BTreeSet::new(), heads.last().unwrap().0.id());
            for (head, root) in heads.iter().filter(|(head, _)| case.is_complete(head)) {
                let without = if head.id() == newest { &nothing } else { named.get(&head.id()).unwrap_or(&nothing) };
                let (mut stack, mut seen) = (vec![*root], BTreeSet::new());
                while let Some(cid) = stack.pop().filter(|cid| !without.contains(cid)) {
                    prop_assert!(case.host.shelf.status(&cid) != Status::Missing, "{} lacks {cid:?}", head.id().short());
                    if seen.insert(cid) {
                        stack.extend(case.host.world[&cid].iter().filter(|cid| !without.contains(*cid)));
                    }
                }
            }
            for cid in case.host.shelf.cids() {
                let links = case.host.shelf.links(&cid);
                let is_so = links.iter().all(|link| case.host.shelf.status(link) == Status::Complete);
                prop_assert!(case.host.shelf.status(&cid) != Status::Complete || is_so, "{cid:?} is no more complete");
            }
        }
        prop_assert!(case.host.tenant.complete().contains_key(&heads.last().unwrap().0.id()));
        case.sweep_after(HOUR_MS);
        prop_assert!(!case.host.tenant.is_fetching(), "all that is wanted is to be had");
    }
}
