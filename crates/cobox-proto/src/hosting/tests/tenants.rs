//! A tenant with one peer that brings heads and blocks.

mod forgets;
mod room;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::MemShelf;
use crate::head::{Head, SignedHead};
use crate::hosting::{
    Before, Holding, Promise, Receipt, Shelf, SignedReceipt, Status, Tenant, TenantInput, TenantOutput,
};
use crate::id::{Cid, Hash, HeadId};
use crate::members::OpBody;
use crate::replicate::tests::{Folder, cid, device, key};
use crate::replicate::{Input, Kept, Output, PeerId};
use crate::wire::Message;
use crate::wire::proof::KeyKind;

const SEEDER: u8 = 50;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A seeder's tenant, and the world of blocks that its peer can serve.
struct Host {
    folder: Folder,
    tenant: Tenant,
    shelf: MemShelf,
    world: BTreeMap<Cid, Vec<Cid>>,
    /// Blocks the peer does not send.
    withheld: BTreeSet<Cid>,
    said: Vec<TenantOutput>,
    fetched: Vec<Cid>,
    now_ms: u64,
    peers: u64,
}

const BLOCK_BYTES: u64 = 1000;

/// Of as much as an admin grants, up to 1 GiB.
fn promise() -> Promise {
    Promise::Offers([(Hash([0; 32]), 1 << 30)].into())
}

impl Host {
    fn of(folder: Folder) -> Self {
        let mut shelf = MemShelf::default();
        let now_ms = 20_000 * DAY_MS;
        let tenant = Tenant::restore(
            now_ms,
            folder.genesis(),
            folder.kept(),
            BTreeMap::new(),
            key(SEEDER),
            promise(),
            &mut shelf,
        );
        let (world, withheld) = (BTreeMap::new(), BTreeSet::new());
        let mut host = Self { folder, tenant, shelf, world, withheld, said: vec![], fetched: vec![], now_ms, peers: 0 };
        host.meet();
        host
    }

    fn meet(&mut self) {
        self.peers += 1;
        let peer = PeerId(self.peers);
        self.replica(Input::PeerOpened { peer, who: device(1), ours: KeyKind::Seeder });
    }

    fn replica(&mut self, input: Input) {
        self.tell(TenantInput::Replica(input));
    }

    fn tell(&mut self, input: TenantInput) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.tenant.handle(self.now_ms, input, &mut self.shelf);
            while let Some(output) = self.tenant.poll_output() {
                match &output {
                    TenantOutput::Replica(Output::Send { peer, message: Message::Want { cids } }) => {
                        for cid in
                            cids.iter().filter(|cid| self.world.contains_key(cid) && !self.withheld.contains(cid))
                        {
                            self.fetched.push(*cid);
                            let arrived = Input::BlockArrived { peer: *peer, cid: *cid, bytes: BLOCK_BYTES };
                            inputs.push(TenantInput::Replica(arrived));
                        }
                    }
                    TenantOutput::Replica(Output::BlockTaken { cid, .. }) => {
                        self.shelf.put(*cid, self.world[cid].clone(), BLOCK_BYTES);
                        inputs.push(TenantInput::BlockStored(*cid));
                    }
                    _ => {}
                }
                self.said.push(output);
            }
        }
    }

    /// A root over `chunks`, in the world.
    fn tree(&mut self, root: u16, chunks: std::ops::Range<u16>) -> Cid {
        for chunk in chunks.clone() {
            self.world.insert(cid(chunk), vec![]);
        }
        let root = cid(root);
        self.world.insert(root, chunks.map(cid).collect());
        root
    }

    fn announce(head: Head, n: u8, blocks: u64) -> SignedHead {
        Head { new_blocks: blocks, new_bytes: blocks * BLOCK_BYTES, ..head }.sign(&key(n)).unwrap()
    }

    /// Person `n` publishes.
    fn publish(&mut self, n: u8, prev: Option<&SignedHead>, root: Cid, blocks: u64) -> SignedHead {
        let head = Self::announce(self.folder.unsigned_head(n, prev, &[], root), n, blocks);
        self.bring(&head);
        head
    }

    fn bring(&mut self, head: &SignedHead) {
        let message = Message::Heads { heads: vec![head.bytes().to_vec()] };
        self.replica(Input::Received { peer: PeerId(self.peers), message });
    }

    fn receipts(&self) -> Vec<Receipt> {
        let bytes = self.said.iter().filter_map(|output| match output {
            TenantOutput::Replica(Output::Send { message: Message::Receipt { bytes }, .. }) => Some(bytes),
            _ => None,
        });
        bytes.map(|bytes| SignedReceipt::from_bytes(bytes).unwrap().receipt().clone()).collect()
    }

    fn holding(&self, head: &SignedHead) -> Option<Holding> {
        self.receipts().into_iter().rfind(|receipt| receipt.head == head.id()).map(|receipt| receipt.holding)
    }

    fn restart(&mut self) {
        self.restart_with(self.tenant.complete().clone());
    }

    /// As if this were what the host kept as complete.
    fn restart_with(&mut self, complete: BTreeMap<HeadId, u64>) {
        let replica = self.tenant.replica();
        let kept = Kept {
            heads: replica.heads().iter().cloned().collect(),
            ops: replica.membership().log().ops().cloned().collect(),
            ..Kept::default()
        };
        let forgetting = self.tenant.forgetting().clone();
        self.tenant = Tenant::restore(
            self.now_ms,
            self.folder.genesis(),
            kept,
            Before { complete, forgetting },
            key(SEEDER),
            promise(),
            &mut self.shelf,
        );
        self.meet();
    }

    fn sweep(&mut self) -> usize {
        let garbage = self.tenant.sweep(self.now_ms, &mut self.shelf);
        garbage.iter().for_each(|cid| self.shelf.remove(cid));
        garbage.len()
    }

    fn whole(&self, root: &Cid) -> bool {
        let mut seen = BTreeSet::new();
        super::super::reach(&self.shelf, root, &mut seen, |_| {});
        seen.iter().chain([root]).all(|cid| self.shelf.status(cid) == Status::Complete)
    }
}

fn host() -> Host {
    Host::of(Folder::of(&[2]))
}

#[test]
fn s10_a_receipt_is_given_when_the_last_block_is_here_and_not_before() {
    let mut host = host();
    let root = host.tree(1000, 0..20);
    host.withheld.insert(cid(7));
    let head = host.publish(1, None, root, 21);
    assert_eq!(host.receipts(), []);
    assert!(host.tenant.complete().is_empty());
    host.withheld.clear();
    host.replica(Input::PeerClosed { peer: PeerId(1) });
    host.meet();
    let receipt = host.receipts().pop().unwrap();
    assert_eq!((receipt.head, receipt.holding), (head.id(), Holding::Complete));
    assert_eq!(receipt.keep_until_ms, host.now_ms + HOUR_MS);
    assert_eq!(receipt.free_bytes, (1 << 30) - 21 * BLOCK_BYTES);
    assert_eq!(host.fetched.len(), 21, "each block once");
    assert!(host.whole(&root));
}

#[test]
fn an_idle_folder_is_looked_through_once() {
    let mut host = host();
    let root = host.tree(1000, 0..20);
    host.publish(1, None, root, 21);
    assert_eq!(host.sweep(), 0);
    // Put there behind the tenant's back, to see whether it looks.
    host.shelf.put(cid(999), vec![], BLOCK_BYTES);
    host.now_ms += HOUR_MS;
    assert_eq!(host.sweep(), 0, "nothing has happened since");
    host.meet();
    assert_eq!(host.sweep(), 1, "somebody came");
}

#[test]
fn only_the_newest_head_of_an_actor_is_fetched() {
    let mut host = host();
    let roots = [host.tree(1000, 0..10), host.tree(1001, 5..15), host.tree(1002, 10..20)];
    let first = Host::announce(host.folder.unsigned_head(1, None, &[], roots[0]), 1, 11);
    let second = Host::announce(host.folder.unsigned_head(1, Some(&first), &[], roots[1]), 1, 6);
    let mut third = host.folder.unsigned_head(1, Some(&second), &[], roots[2]);
    third.skip = Some(second.id());
    let third = Host::announce(third, 1, 6);
    let heads = [&first, &second, &third].map(|head| head.bytes().to_vec()).to_vec();
    host.replica(Input::Received { peer: PeerId(1), message: Message::Heads { heads } });
    assert_eq!(host.holding(&third), Some(Holding::Complete));
    assert_eq!(host.receipts().len(), 1);
    assert_eq!(host.fetched.len(), 11, "chunks 10..20 and the root, though its chain announced more");
}

#[test]
fn a_restart_in_the_middle_fetches_only_what_is_missing() {
    let mut host = host();
    let root = host.tree(1000, 0..20);
    host.withheld.extend((0..5).map(cid));
    let head = host.publish(1, None, root, 21);
    assert_eq!(host.fetched.len(), 16);
    host.withheld.clear();
    host.fetched.clear();
    host.restart();
    assert_eq!(host.fetched.len(), 5);
    assert_eq!(host.holding(&head), Some(Holding::Complete));
    let before = host.tenant.quota().clone();
    host.restart();
    assert_eq!(host.fetched.len(), 5, "what is complete stays complete");
    assert_eq!(host.tenant.quota(), &before, "use counted anew is the same");
    assert_eq!(host.tenant.complete().len(), 1);
}

#[test]
fn t2_a_seeder_whose_clock_was_set_back_is_believed_when_it_has_room_again() {
    let mut host = host();
    let root = host.tree(1000, 0..20);
    host.withheld.insert(cid(7));
    let head = host.publish(1, None, root, 21);
    host.tenant.disk_full(host.now_ms);
    host.tell(TenantInput::Replica(Input::Tick));
    host.withheld.clear();
    host.now_ms -= 30 * DAY_MS;
    host.replica(Input::PeerClosed { peer: PeerId(host.peers) });
    host.meet();
    assert_eq!(host.holding(&head), Some(Holding::Complete));
    let said = host.receipts();
    let (newest, older) = said.split_last().unwrap();
    assert_eq!((older[0].holding, newest.holding), (Holding::NoRoom, Holding::Complete));
    assert!(older.iter().all(|receipt| receipt.received_ms < newest.received_ms));
    assert!(newest.keep_until_ms < older[0].received_ms, "what it promises is by the clock it has now");
}

#[test]
fn x7_a_head_that_brings_more_than_it_announced_is_refused_and_leaves_nothing() {
    let mut host = host();
    let good = host.tree(1000, 0..10);
    let first = host.publish(1, None, good, 11);
    let bad = host.tree(2000, 100..300);
    let liar = host.publish(2, None, bad, 5);
    assert_eq!(host.holding(&liar), Some(Holding::MoreThanAnnounced));
    assert!(host.fetched.len() <= 11 + 201);
    assert!(!host.tenant.complete().contains_key(&liar.id()));
    host.sweep();
    assert_eq!(host.shelf.cids().len(), 11, "what it brought is garbage");
    assert_eq!(host.tenant.quota().used(), 11 * BLOCK_BYTES);
    assert_eq!(host.holding(&first), Some(Holding::Complete));
    let better = host.tree(1001, 0..12);
    let next = host.publish(1, Some(&first), better, 3);
    assert_eq!(host.holding(&next), Some(Holding::Complete), "others are not hindered");
}

#[test]
fn old_states_become_garbage_but_never_before_their_receipt_allows() {
    let mut host = host();
    let roots: Vec<Cid> = (0..4).map(|n| host.tree(1000 + n, n * 10..n * 10 + 10)).collect();
    let mut heads: Vec<SignedHead> = Vec::new();
    for (n, root) in roots.iter().enumerate() {
        let seq = n as u64 + 1;
        let mut head = host.folder.unsigned_head(1, heads.last(), &[], *root);
        head.skip = (seq & (seq - 1) > 0).then(|| heads[(seq & (seq - 1)) as usize - 1].id());
        let head = Host::announce(head, 1, 11);
        host.bring(&head);
        heads.push(head);
        host.now_ms += 60_000;
    }
    assert_eq!(host.receipts().len(), 4);
    assert_eq!(host.sweep(), 0, "all are younger than an hour");
    host.now_ms += HOUR_MS;
    assert_eq!(host.sweep(), 22, "first and last of the hour stay");
    assert!(host.whole(&roots[0]) && host.whole(&roots[3]));
    host.now_ms += 100 * DAY_MS;
    assert_eq!(host.sweep(), 11, "after its term only the newest is left");
    assert!(host.whole(&roots[3]));
    // An old state is restored by a member: its blocks were announced long ago, and are fetched again.
    let again = Head { skip: None, ..host.folder.unsigned_head(1, Some(&heads[3]), &[], roots[0]) };
    let again = Host::announce(Head { skip: Some(heads[3].id()), ..again }, 1, 0);
    host.bring(&again);
    assert_eq!(host.holding(&again), Some(Holding::Complete));
    assert_eq!(
        host.tenant.complete().keys().copied().collect::<BTreeSet<HeadId>>(),
        [heads[3].id(), again.id()].into()
    );
}

/// Person `n` publishes once more, after the heads in `own`; the first of them rests on `before`.
fn goes_on(host: &mut Host, n: u8, own: &mut Vec<SignedHead>, before: &SignedHead, root: Cid, blocks: u64) {
    let merged: Vec<&SignedHead> = if own.is_empty() { vec![before] } else { vec![] };
    let seq = own.len() as u64 + 1;
    let mut head = host.folder.unsigned_head(n, own.last(), &merged, root);
    head.skip = (seq & (seq - 1) > 0).then(|| own[(seq & (seq - 1)) as usize - 1].id());
    let head = Host::announce(head, n, blocks);
    host.bring(&head);
    own.push(head);
}

#[test]
fn h2_s10_an_editor_with_all_rights_and_a_day_can_not_remove_yesterday() {
    let mut host = host();
    let roots: Vec<Cid> = (0..3).map(|n| host.tree(1000 + n, n * 10..n * 10 + 10)).collect();
    let mut good: Vec<SignedHead> = vec![host.publish(1, None, roots[0], 11)];
    for root in &roots[1..] {
        host.now_ms += 5 * HOUR_MS;
        let first = good[0].clone();
        goes_on(&mut host, 1, &mut good, &first, *root, 11);
    }
    host.now_ms += DAY_MS;
    host.sweep();
    // From now on somebody else has the editor's computer: deletes all, writes noise, and fills the room, every ten minutes.
    let mut evil = Vec::new();
    for n in 0..144u16 {
        host.now_ms += 10 * 60_000;
        let root = host.tree(2000 + n, 10_000 + n * 20..10_000 + n * 20 + 20);
        let blocks = if n % 10 == 9 { 1 << 40 } else { 21 };
        goes_on(&mut host, 2, &mut evil, &good[2], root, blocks);
        if n % 6 == 0 {
            host.sweep();
        }
        if n == 70 {
            host.restart();
        }
    }
    host.sweep();
    for (root, head) in roots.iter().zip(&good) {
        assert!(host.whole(root), "a state of yesterday is gone");
        assert!(host.tenant.complete().contains_key(&head.id()));
    }
}

/// One of two people publishes after a pause, perhaps merging what the other wrote last.
#[derive(Debug, Clone)]
struct Turn {
    by: usize,
    merges: bool,
    pause_ms: u64,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let pause = prop_oneof![3 => 0..20 * 60_000u64, 2 => 0..8 * HOUR_MS, 1 => 0..40 * DAY_MS];
    let turn = (0usize..2, any::<bool>(), pause).prop_map(|(by, merges, pause_ms)| Turn { by, merges, pause_ms });
    prop::collection::vec(turn, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// G6: what must stay is whole after every sweep, and what a sweep names as garbage is reached from nothing that stays.
    #[test]
    fn g6_thinning_takes_no_block_from_what_stays_and_leaves_none_of_what_goes(turns in turns()) {
        let mut host = host();
        let mut chains: [Vec<SignedHead>; 2] = Default::default();
        // Head, its author, its root, when it became complete.
        let mut all: Vec<(HeadId, usize, Cid, u64)> = Vec::new();
        for (n, turn) in turns.iter().enumerate() {
            host.now_ms += turn.pause_ms;
            let n = n as u16;
            // Each state keeps some blocks of those before it.
            let root = host.tree(1000 + n, n * 3..n * 3 + 9);
            let (own, other) = (&chains[turn.by], &chains[1 - turn.by]);
            let merged: Vec<&SignedHead> = other.last().filter(|head| turn.merges && !all.iter().any(|(id, by, ..)| {
                *by == turn.by && host.tenant.replica().heads().is_past_or_same(&head.id(), id)
            })).into_iter().collect();
            let seq = own.len() as u64 + 1;
            let mut head = host.folder.unsigned_head(turn.by as u8 + 1, own.last(), &merged, root);
            head.skip = (seq & (seq - 1) > 0).then(|| own[(seq & (seq - 1)) as usize - 1].id());
            let head = Host::announce(head, turn.by as u8 + 1, 10);
            host.bring(&head);
            prop_assert_eq!(host.holding(&head), Some(Holding::Complete));
            all.push((head.id(), turn.by, root, host.now_ms));
            chains[turn.by].push(head);

            let unmerged: BTreeSet<HeadId> = host.tenant.replica().heads().maximal().map(SignedHead::id).collect();
            let now_ms = host.now_ms;
            let stays = |of: &(HeadId, usize, Cid, u64)| {
                let (id, by, _, at) = *of;
                let end_of = |width_ms: u64, term_ms: u64| {
                    let inside = |other: &&(HeadId, usize, Cid, u64)| other.1 == by && other.3 / width_ms == at / width_ms;
                    let ends = [all.iter().filter(inside).map(|o| (o.3, o.0)).min(), all.iter().filter(inside).map(|o| (o.3, o.0)).max()];
                    now_ms < (at / width_ms + 1) * width_ms + term_ms && ends.contains(&Some((at, id)))
                };
                now_ms < at + HOUR_MS || unmerged.contains(&id) || end_of(HOUR_MS, 7 * DAY_MS) || end_of(DAY_MS, 90 * DAY_MS)
            };
            host.sweep();
            let (staying, going): (Vec<_>, Vec<_>) = all.iter().partition(|of| stays(of));
            let mut reached = BTreeSet::new();
            for (id, _, root, _) in &staying {
                prop_assert!(host.whole(root), "head {} lost something", id.short());
                prop_assert!(host.tenant.complete().contains_key(id));
                super::super::reach(&host.shelf, root, &mut reached, |_| {});
            }
            for (id, ..) in &going {
                prop_assert!(!host.tenant.complete().contains_key(id), "head {} should be gone", id.short());
            }
            let held: BTreeSet<Cid> = host.shelf.cids().into_iter().collect();
            prop_assert_eq!(held, reached, "nothing lies here that is reached from nothing");
        }
        // Nor does a restart change anything, or fetch what was let go.
        let (before, fetched) = (host.tenant.complete().clone(), host.fetched.len());
        host.restart();
        prop_assert_eq!(host.tenant.complete(), &before);
        prop_assert_eq!((host.sweep(), host.fetched.len()), (0, fetched));
    }
}

#[test]
fn a_lost_block_is_fetched_again_and_its_head_is_not_called_complete_meanwhile() {
    let mut host = host();
    let root = host.tree(1000, 0..10);
    let head = host.publish(1, None, root, 11);
    host.withheld.insert(cid(3));
    host.shelf.remove(&cid(3));
    host.tell(TenantInput::BlockLost(cid(3)));
    assert!(host.said.contains(&TenantOutput::Lost(head.id())));
    assert!(host.tenant.complete().is_empty());
    assert_eq!(host.sweep(), 0, "what is being repaired is no garbage");
    host.withheld.clear();
    host.restart();
    assert_eq!(host.tenant.complete().len(), 1);
    assert!(host.whole(&root));
}

/// A head over three layers: 2000, 1000, and chunks.
fn deep(host: &mut Host) -> (Cid, SignedHead) {
    let below = host.tree(1000, 0..10);
    let root = cid(2000);
    host.world.insert(root, vec![below]);
    let head = host.publish(1, None, root, 12);
    assert!(host.whole(&root));
    (root, head)
}

#[test]
fn d9_a_block_lost_beneath_a_lost_block_is_noticed() {
    let mut host = host();
    let (root, head) = deep(&mut host);
    // With two layers lost, nothing between the root and the chunk can be looked at.
    for lost in [cid(2000), cid(3)] {
        host.shelf.remove(&lost);
        host.withheld.insert(lost);
    }
    host.tell(TenantInput::BlockLost(cid(3)));
    host.withheld.remove(&cid(2000));
    host.restart();
    assert!(!host.tenant.complete().contains_key(&head.id()), "the chunk is still nowhere");
    host.withheld.clear();
    host.replica(Input::PeerClosed { peer: PeerId(host.peers) });
    host.meet();
    assert!(host.whole(&root) && host.tenant.complete().contains_key(&head.id()));
}

#[test]
fn a2_what_lies_beneath_a_lost_block_is_no_garbage() {
    let mut host = host();
    let (root, head) = deep(&mut host);
    host.shelf.remove(&cid(1000));
    host.withheld.insert(cid(1000));
    host.tell(TenantInput::BlockLost(cid(1000)));
    assert_eq!(host.sweep(), 0, "ten chunks are reached from nothing, and may be nowhere else");
    host.withheld.clear();
    host.fetched.clear();
    host.restart();
    assert!(host.whole(&root) && host.tenant.complete().contains_key(&head.id()));
    assert_eq!(host.fetched, [cid(1000)]);
    assert_eq!(host.sweep(), 0);
}

#[test]
fn history_is_repaired_too() {
    let mut host = host();
    let (roots, heads) = two_states(&mut host);
    host.shelf.remove(&cid(3));
    host.tell(TenantInput::BlockLost(cid(3)));
    assert_eq!(host.fetched, [cid(3)], "the same peer has it still");
    assert!(roots.iter().all(|root| host.whole(root)));
    assert_eq!(host.tenant.complete().keys().copied().collect::<BTreeSet<_>>(), heads.into());
}

/// Two states of one folder that share no block, the second instead of the first.
fn two_states(host: &mut Host) -> ([Cid; 2], [HeadId; 2]) {
    let (old, new) = (host.tree(1000, 0..10), host.tree(1001, 20..30));
    let first = host.publish(1, None, old, 11);
    let second = host.publish(1, Some(&first), new, 11);
    host.fetched.clear();
    ([old, new], [first.id(), second.id()])
}

#[test]
fn d9_a_start_without_its_marks_looks_for_itself_and_keeps_history() {
    let mut host = host();
    let (roots, _) = two_states(&mut host);
    let before = host.tenant.complete().clone();
    for lost in [None, Some(cid(3))] {
        // An index that was made anew knows the blocks, and not what was complete.
        host.shelf.cids().iter().for_each(|cid| host.shelf.set_complete(cid, false));
        lost.iter().for_each(|cid| host.shelf.remove(cid));
        host.restart();
        assert_eq!(host.fetched, Vec::from_iter(lost));
        assert!(host.tenant.complete().keys().eq(before.keys()) && roots.iter().all(|root| host.whole(root)));
        assert_eq!(host.sweep(), 0);
    }
}

#[test]
fn d9_a_repair_outlives_a_restart_and_ends_when_the_state_grows_old() {
    let mut host = host();
    let (roots, [first, second]) = two_states(&mut host);
    host.shelf.remove(&cid(3));
    host.withheld.insert(cid(3));
    host.tell(TenantInput::BlockLost(cid(3)));
    assert!(host.tenant.complete().keys().eq([&second]) && host.said.contains(&TenantOutput::Lost(first)));
    assert!(!host.said.contains(&TenantOutput::Released(first)), "a host keeps it as complete");
    host.restart_with([first, second].map(|head| (head, host.now_ms)).into());
    assert!(host.tenant.complete().keys().eq([&second]));
    assert_eq!(host.sweep(), 0, "whoever has the block may come tomorrow");
    host.now_ms += 3 * 365 * DAY_MS;
    host.restart_with([first, second].map(|head| (head, host.now_ms - 3 * 365 * DAY_MS)).into());
    assert_eq!(host.sweep(), 10, "nobody came with it, and the state is too old to be kept");
    host.meet();
    assert!(host.said.contains(&TenantOutput::Released(first)) && host.whole(&roots[1]));
}

#[test]
fn r13_a_seeder_witnesses_as_many_joins_as_the_invite_allows_and_none_after_its_date() {
    let mut host = host();
    let count = host.folder.ops.len();
    let invite = host.folder.invite(60, 2, host.now_ms + 10);
    let joins = [70, 71, 72].map(|n| host.folder.join(invite, 60, n).id());
    let late = host.folder.invite(61, 2, host.now_ms - 1);
    host.folder.join(late, 61, 73);
    let ops = host.folder.ops[count..].iter().map(|op| op.bytes().to_vec()).collect();
    host.replica(Input::Received { peer: PeerId(1), message: Message::Ops { ops } });
    let membership = host.tenant.replica().membership();
    let witnessed: BTreeSet<_> = membership
        .log()
        .ops()
        .filter_map(|op| match op.op().body {
            OpBody::Witness { join, .. } => Some(join),
            _ => None,
        })
        .collect();
    assert_eq!(witnessed, joins[..2].iter().copied().collect());
    for (n, is_in) in [(70, true), (71, true), (72, false), (73, false)] {
        assert_eq!(membership.is_device(&key(n).public()), is_in, "{n}");
    }
    let told = |o: &TenantOutput| matches!(o, TenantOutput::Replica(Output::Send { message: Message::Ops { .. }, .. }));
    assert!(host.said.iter().any(told), "and says so to all");
}

#[test]
fn g5_a_grant_beyond_what_was_offered_is_none() {
    let mut folder = Folder::of(&[]);
    folder.hire(51, 100 * BLOCK_BYTES);
    let mut shelf = MemShelf::default();
    let offered = Promise::Offers([(Hash([0; 32]), 200 * BLOCK_BYTES)].into());
    let (now_ms, kept) = (20_000 * DAY_MS, folder.kept());
    let tenant = Tenant::restore(now_ms, folder.genesis(), kept, BTreeMap::new(), key(51), offered, &mut shelf);
    let mut host = Host { tenant, shelf, folder, ..host() };
    let quota = |host: &Host| host.tenant.terms().unwrap().quota_bytes;
    let grant = |host: &mut Host, bytes: u64| {
        let count = host.folder.ops.len();
        host.folder.hire(51, bytes);
        host.meet();
        let ops = host.folder.ops[count..].iter().map(|op| op.bytes().to_vec()).collect();
        host.replica(Input::Received { peer: PeerId(host.peers), message: Message::Ops { ops } });
    };
    grant(&mut host, 1 << 40);
    assert_eq!(quota(&host), 100 * BLOCK_BYTES);
    grant(&mut host, 150 * BLOCK_BYTES);
    assert_eq!(quota(&host), 150 * BLOCK_BYTES);
    let now_ms = host.now_ms;
    host.tenant.promise(now_ms, Promise::Offers(BTreeMap::new()), &mut host.shelf);
    assert!(host.tenant.terms().is_none());
}
