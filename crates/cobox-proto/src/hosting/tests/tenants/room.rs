//! Room that is granted, shared, reserved or used up, and disks that are full.

use super::*;

/// A host whose room is a hundred blocks.
fn small_host() -> Host {
    let mut folder = Folder::of(&[]);
    folder.hire(51, 100 * BLOCK_BYTES);
    let mut shelf = MemShelf::default();
    let now_ms = 20_000 * DAY_MS;
    let tenant =
        Tenant::restore(now_ms, folder.genesis(), folder.kept(), BTreeMap::new(), key(51), promise(), &mut shelf);
    let mut host = Host { tenant, shelf, folder, ..host() };
    host.said.clear();
    host.meet();
    host
}

/// A head that is kept, with these chunks, and after it one that there is no room for.
fn kept_and_refused(host: &mut Host, chunks: std::ops::Range<u16>) -> SignedHead {
    let blocks = chunks.len() as u64 + 1;
    let small = host.tree(1000, chunks);
    let first = host.publish(1, None, small, blocks);
    let large = host.tree(2000, 100..300);
    let second = host.publish(1, Some(&first), large, 201);
    assert_eq!(host.holding(&second), Some(Holding::NoRoom));
    second
}

/// The same person goes on from a head that was refused.
fn goes_on(host: &mut Host, refused: &SignedHead, root: Cid, blocks: u64) -> SignedHead {
    let mut head = host.folder.unsigned_head(1, Some(refused), &[], root);
    head.skip = Some(refused.id());
    let head = Host::announce(head, 1, blocks);
    host.now_ms += 1;
    host.bring(&head);
    head
}

#[test]
fn without_room_the_new_is_refused_in_words_and_the_old_stays() {
    let mut host = small_host();
    let old = host.tree(1000, 0..20);
    let first = host.publish(1, None, old, 21);
    assert_eq!(host.holding(&first), Some(Holding::Complete));
    let big = host.tree(2000, 100..300);
    let second = host.publish(1, Some(&first), big, 201);
    assert_eq!(host.holding(&second), Some(Holding::NoRoom));
    assert_eq!(host.fetched.len(), 21, "nothing of it was pulled");
    host.now_ms += 200 * DAY_MS;
    assert_eq!(host.sweep(), 0, "the last complete head of an actor stays, however old");
    assert!(host.whole(&old));
    // An admin grants more: the head comes in without being published again.
    let count = host.folder.ops.len();
    host.folder.hire(51, 1 << 30);
    let ops = host.folder.ops[count..].iter().map(|op| op.bytes().to_vec()).collect();
    host.replica(Input::Received { peer: PeerId(host.peers), message: Message::Ops { ops } });
    assert_eq!(host.holding(&second), Some(Holding::Complete));
}

#[test]
fn d4_a_full_disk_is_told_once_and_the_receipt_follows_when_there_is_room() {
    let mut host = host();
    let root = host.tree(1000, 0..20);
    host.withheld.insert(cid(7));
    let head = host.publish(1, None, root, 21);
    let told = |host: &mut Host| {
        host.now_ms += 1;
        host.tenant.disk_full(host.now_ms);
        host.tell(TenantInput::Replica(Input::Tick));
        host.receipts().into_iter().map(|receipt| receipt.holding).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut host), [Holding::NoRoom]);
    assert_eq!(told(&mut host), [Holding::NoRoom], "once");
    host.withheld.clear();
    host.now_ms += 1;
    host.replica(Input::PeerClosed { peer: PeerId(host.peers) });
    host.meet();
    assert_eq!(host.holding(&head), Some(Holding::Complete));
    assert_eq!(told(&mut host).last(), Some(&Holding::Complete), "nobody waits any more");
}

#[test]
fn what_lies_in_vaults_beside_the_folder_counts_against_its_room() {
    let mut host = small_host();
    host.tenant.charge_beside(90 * BLOCK_BYTES);
    let root = host.tree(1000, 0..20);
    let head = host.publish(1, None, root, 21);
    assert_eq!(host.holding(&head), Some(Holding::NoRoom));
    assert_eq!(host.receipts()[0].free_bytes, 10 * BLOCK_BYTES);
    host.tenant.charge_beside(10 * BLOCK_BYTES);
    host.now_ms += 1;
    let (now_ms, again) = (host.now_ms, promise());
    host.tenant.promise(now_ms, again, &mut host.shelf);
    host.tell(TenantInput::Replica(Input::Tick));
    assert_eq!(host.holding(&head), Some(Holding::Complete));
    assert_eq!(host.receipts().last().unwrap().free_bytes, (100 - 10 - 21) * BLOCK_BYTES);
}

#[test]
fn d4_what_was_too_large_and_is_deleted_again_does_not_stand_in_the_way() {
    let mut host = small_host();
    let second = kept_and_refused(&mut host, 0..20);
    let again = host.tree(1001, 0..22);
    let third = goes_on(&mut host, &second, again, 3);
    assert_eq!(host.holding(&third), Some(Holding::Complete));
    assert_eq!(host.fetched.len(), 21 + 3, "nothing of what was deleted");
    assert!(host.whole(&again));
}

/// What is reserved is for a removal or the like, whatever was refused before it.
#[test]
fn d4_a_small_head_after_refused_ones_has_the_reserve() {
    let mut host = small_host();
    let second = kept_and_refused(&mut host, 0..97);
    let less = host.tree(1001, 0..60);
    let third = goes_on(&mut host, &second, less, 1);
    assert_eq!(host.holding(&third), Some(Holding::Complete));
    assert!(host.whole(&less) && host.tenant.quota().used() <= 100 * BLOCK_BYTES);
}

#[test]
fn a_long_history_that_announced_more_than_there_is_room_comes_to_a_new_seeder() {
    let mut host = small_host();
    let mut chain: Vec<SignedHead> = Vec::new();
    for n in 0..20u16 {
        let root = host.tree(1000 + n, n..n + 40);
        let mut head = host.folder.unsigned_head(1, chain.last(), &[], root);
        let seq = u64::from(n) + 1;
        head.skip = (seq & (seq - 1) > 0).then(|| chain[(seq & (seq - 1)) as usize - 1].id());
        chain.push(Host::announce(head, 1, 41));
    }
    let heads = chain.iter().map(|head| head.bytes().to_vec()).collect();
    host.replica(Input::Received { peer: PeerId(host.peers), message: Message::Heads { heads } });
    assert_eq!(host.holding(&chain[19]), Some(Holding::Complete));
    assert_eq!(host.fetched.len(), 41, "820 blocks were announced over time; these are needed");
    // Nor is what was announced once a way around the room.
    let hidden = host.tree(3000, 2000..2300);
    let mut liar = host.folder.unsigned_head(1, chain.last(), &[], hidden);
    liar.skip = Some(chain[19].id());
    let liar = Host::announce(Head { skip: Some(chain[19].id()), ..liar }, 1, 3);
    host.now_ms += 1;
    host.bring(&liar);
    assert_eq!(host.holding(&liar), Some(Holding::NoRoom));
    host.sweep();
    assert!(host.tenant.quota().used() <= 100 * BLOCK_BYTES, "{:?}", host.tenant.quota());
}

#[test]
fn x7_a_head_that_hides_behind_old_announcements_comes_as_far_as_there_is_room_and_once() {
    let mut host = small_host();
    let (small, moon) = (host.tree(1000, 0..20), host.tree(2000, 1000..1300));
    let first = host.publish(1, None, small, 21);
    let second = host.publish(1, Some(&first), moon, 100_000);
    let hidden = host.tree(3000, 2000..2300);
    let third = goes_on(&mut host, &second, hidden, 5);
    assert_eq!(host.holding(&third), Some(Holding::NoRoom));
    let fetched = host.fetched.len();
    assert!(fetched <= 21 + 301, "at most what a message may ask for at once beyond the room");
    for _ in 0..5 {
        host.now_ms += HOUR_MS;
        host.sweep();
        host.tell(TenantInput::Replica(Input::Tick));
    }
    assert_eq!(host.fetched.len(), fetched, "it is not tried again and again");
    assert!(host.whole(&small) && host.tenant.complete().contains_key(&first.id()), "what was kept stays");
    // The next honest head is not hindered.
    let better = host.tree(1001, 0..21);
    let mut fourth = host.folder.unsigned_head(1, Some(&third), &[], better);
    fourth.skip = None;
    let fourth = Host::announce(fourth, 1, 2);
    host.bring(&fourth);
    assert_eq!(host.holding(&fourth), Some(Holding::Complete));
}

#[test]
fn x7_a_head_that_announces_the_moon_takes_no_ones_place() {
    let mut host = host();
    let moon = host.tree(2000, 100..110);
    let head = host.publish(2, None, moon, u64::MAX / BLOCK_BYTES);
    assert_eq!(host.holding(&head), Some(Holding::NoRoom));
    assert_eq!(host.fetched, []);
    let root = host.tree(1000, 0..10);
    let honest = host.publish(1, None, root, 11);
    assert_eq!(host.holding(&honest), Some(Holding::Complete));
}
