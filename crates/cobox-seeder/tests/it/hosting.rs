//! What a seeder does with a folder: takes it in whole, says so, and gives it back.

use cobox_proto::hosting::{Holding, Offer};
use cobox_proto::id::HeadId;
use cobox_proto::wire::Message;

use crate::Host;
use crate::device::{Device, Line};
use crate::folder::Folder;

const SPACE: u64 = 1 << 30;
const MIB: usize = 1 << 20;

/// A folder of `people` that is hosted.
pub(crate) async fn hosted(host: &Host, people: &[u8], space_bytes: u64) -> (Folder, Offer) {
    let offer = host.offer(space_bytes);
    let mut folder = Folder::new(1);
    for n in people {
        folder.grant(*n);
    }
    folder.hire(&offer);
    let mut line = Line::to(&host.seeder.addrs()).await;
    assert_eq!(line.claim(folder.id(), &offer, &folder.parts()).await, Some(Ok(())));
    (folder, offer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_comes_when_all_is_here_and_not_before() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[], SPACE).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let tree = folder.tree(1, 10_000);
    let head = folder.head(None, &tree);
    ana.withheld = [tree.chunk()].into();
    ana.publish(&tree, &head);
    ana.until(|ana| ana.asked.len() == tree.blocks.len()).await;
    assert_eq!(ana.holding(&head.id()), None);
    let row = &host.seeder.folders().await[0];
    assert_eq!((row.complete, row.head_at, row.connected), (false, None, 1));

    ana.release();
    ana.until_held(&head.id(), Holding::Complete).await;
    let receipt = ana.receipts.last().unwrap().clone();
    assert_eq!((receipt.seeder, receipt.folder), (host.seeder.key(), folder.id()));
    assert_eq!(receipt.free_bytes, SPACE - tree.bytes());
    assert_eq!(receipt.keep_until_ms, receipt.received_ms + 3_600_000);
    let row = &host.seeder.folders().await[0];
    assert_eq!((row.complete, row.blocks, row.used_bytes), (true, tree.blocks.len() as u64, tree.bytes()));
    assert!(row.head_at.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_after_a_restart_everything_is_there_receipts_too_and_is_given_to_another_device() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[2], SPACE).await;
    let tree = folder.tree(1, 10_000);
    let head = folder.head(None, &tree);
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    ana.publish(&tree, &head);
    ana.until_held(&head.id(), Holding::Complete).await;
    let receipt = ana.receipts.last().unwrap().clone();
    drop(ana);

    let host = host.restart().await;
    let row = &host.seeder.folders().await[0];
    assert_eq!((row.complete, row.used_bytes), (true, tree.bytes()));
    assert!(row.last_seen.is_some());
    let mut ben = Device::open(&folder, 2, &host.seeder.addrs()).await;
    ben.until(|ben| ben.replica.heads().get(&head.id()).is_some() && !ben.receipts.is_empty()).await;
    assert_eq!(ben.receipts, [receipt], "the very same receipt");
    ben.want(tree.blocks.keys().copied().collect());
    ben.until(|ben| ben.got.len() == tree.blocks.len()).await;
    assert_eq!(ben.got, tree.blocks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e8_a_fetch_cut_by_a_restart_goes_on_where_it_was() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[], SPACE).await;
    let tree = folder.tree(1, 10_000);
    let head = folder.head(None, &tree);
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    // All chunks below one node are missing, and the node too.
    ana.withheld = [tree.nodes[0]].into();
    ana.publish(&tree, &head);
    ana.until(|ana| ana.asked.len() == tree.blocks.len() - 4).await;
    drop(ana);
    let host = host.restart().await;
    let kept = host.seeder.folders().await[0].blocks;
    assert!(kept >= 3, "at least the root and the two other nodes: their children were asked for");
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    ana.publish(&tree, &head);
    ana.until_held(&head.id(), Holding::Complete).await;
    assert_eq!(ana.asked.len() as u64, tree.blocks.len() as u64 - kept, "nothing is fetched twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_a_head_that_does_not_fit_is_refused_and_the_old_one_kept() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[], 40 * MIB as u64).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let (small, large) = (folder.tree(1, MIB), folder.tree(2, 3 * MIB));
    let first = folder.head(None, &small);
    ana.publish(&small, &first);
    ana.until_held(&first.id(), Holding::Complete).await;
    ana.asked.clear();
    let second = folder.head(Some(&first), &large);
    ana.publish(&large, &second);
    ana.until_held(&second.id(), Holding::NoRoom).await;
    assert!(ana.asked.is_empty(), "not one block of it was pulled");
    let row = &host.seeder.folders().await[0];
    assert_eq!((row.complete, row.used_bytes, row.blocks), (false, small.bytes(), small.blocks.len() as u64));
    assert_eq!(ana.holding(&first.id()), Some(Holding::Complete));

    let fits = folder.tree(3, MIB);
    let third = folder.head(Some(&second), &fits);
    ana.publish(&fits, &third);
    // The one before announced more than fits, and this one does not need it any more.
    ana.until_held(&third.id(), Holding::Complete).await;
    assert!(large.blocks.keys().all(|cid| !ana.asked.contains(cid)), "nothing of it was pulled");
    let host = host.restart().await;
    let row = &host.seeder.folders().await[0];
    assert_eq!((row.complete, row.used_bytes), (true, small.bytes() + fits.bytes()), "the old is still kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x7_a_head_that_brings_more_than_it_announced_is_refused() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[], SPACE).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let (announced, brought) = (folder.tree(1, 10), folder.tree(2, 100_000));
    let mut lie = folder.head(None, &announced).head().clone();
    lie.root = brought.root;
    let lie = lie.sign(&crate::folder::key(1)).unwrap();
    ana.publish(&brought, &lie);
    ana.until_held(&lie.id(), Holding::MoreThanAnnounced).await;
    assert!(!host.seeder.folders().await[0].complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_blocks_are_taken_in_together() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[], SPACE).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let mut prev: Option<cobox_proto::head::SignedHead> = None;
    let mut last = HeadId::ZERO;
    for n in 1..=3 {
        let tree = folder.tree(n, 500);
        let head = folder.head(prev.as_ref(), &tree);
        if head.head().seq == 3 {
            assert!(head.head().skip.is_some());
        }
        last = head.id();
        ana.publish(&tree, &head);
        prev = Some(head);
    }
    ana.until_held(&last, Holding::Complete).await;
    assert!(host.seeder.folders().await[0].complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn talk_between_members_is_not_for_a_seeder_and_does_no_harm() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[], SPACE).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let tree = folder.tree(1, 100);
    ana.peer().send(Message::Progress { root: tree.root, missing_files: 3 });
    ana.peer().send(Message::Editing { sealed: vec![1; 300] });
    let head = folder.head(None, &tree);
    ana.publish(&tree, &head);
    ana.until_held(&head.id(), Holding::Complete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_an_admin_can_not_grant_the_folder_more_room_than_was_offered() {
    let host = Host::new().await;
    let (mut folder, offer) = hosted(&host, &[], 2 * MIB as u64).await;
    folder.hire_for(&offer, 1 << 40);
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let tree = folder.tree(1, MIB);
    let head = folder.head(None, &tree);
    ana.publish(&tree, &head);
    ana.until_held(&head.id(), Holding::NoRoom).await;
    let host = host.restart().await;
    assert_eq!(host.seeder.folders().await[0].quota_bytes, 2 * MIB as u64);
}
