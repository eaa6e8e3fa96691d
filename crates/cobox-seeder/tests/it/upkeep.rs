//! What happens while nobody looks: damage, old age, dropping.

use std::fs;
use std::path::{Path, PathBuf};

use cobox_net::FolderEvent;
use cobox_proto::hosting::Holding;
use cobox_proto::id::Cid;
use cobox_proto::wire::Message;
use cobox_proto::wire::proof::KeyKind;
use cobox_seeder::SeederError;

use crate::device::{Device, Line};
use crate::folder::{Folder, Tree, key};
use crate::hosting::hosted;
use crate::{Host, soon};

const SPACE: u64 = 1 << 30;
const HOUR_MS: u64 = 3_600_000;

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Flips a bit of a block where it lies on disk.
pub(crate) fn damage(home: &Path, tree: &Tree, cid: &Cid) {
    let block = &tree.blocks[cid];
    let mut damaged = 0;
    for path in files(&home.join("state")) {
        let mut bytes = fs::read(&path).unwrap();
        let found = bytes.windows(block.len()).position(|window| window == &block[..]);
        if let Some(at) = found {
            bytes[at + block.len() / 2] ^= 1;
            fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1, "a block lies in one place");
}

async fn filled(host: &Host) -> (Folder, Tree, Device) {
    let (folder, _) = hosted(host, &[], SPACE).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let tree = folder.tree(1, 5000);
    let head = folder.head(None, &tree);
    ana.publish(&tree, &head);
    ana.until_held(&head.id(), Holding::Complete).await;
    (folder, tree, ana)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_check_finds_a_damaged_block_and_a_repair_has_it_brought_again() {
    let host = Host::new().await;
    let (folder, tree, mut ana) = filled(&host).await;
    assert!(host.seeder.check(false).await.unwrap().damaged.is_empty());
    for cid in [tree.chunk(), tree.nodes[1]] {
        damage(host.dir.path(), &tree, &cid);
        let report = host.seeder.check(false).await.unwrap();
        assert_eq!(report.blocks, tree.blocks.len() as u64);
        assert_eq!(report.damaged.len(), 1);
        assert_eq!(
            (&report.damaged[0].folder, &report.damaged[0].block),
            (&folder.id().to_string(), &Some(cid.to_string()))
        );
        assert!(host.seeder.folders().await[0].complete, "a look changes nothing");

        (ana.receipts, ana.asked) = Default::default();
        assert_eq!(host.seeder.check(true).await.unwrap().damaged.len(), 1);
        ana.until(|ana| ana.receipts.iter().any(|receipt| receipt.holding == Holding::Complete)).await;
        assert_eq!(ana.asked, [cid].into(), "that block and no other");
        assert!(host.seeder.check(false).await.unwrap().damaged.is_empty());
        let row = &host.seeder.folders().await[0];
        assert_eq!((row.complete, row.blocks), (true, tree.blocks.len() as u64));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_damage_repaired_with_nobody_there_is_incomplete_until_somebody_comes() {
    let host = Host::new().await;
    let (folder, tree, ana) = filled(&host).await;
    drop(ana);
    damage(host.dir.path(), &tree, &tree.nodes[0]);
    host.seeder.check(true).await.unwrap();
    assert!(!host.seeder.folders().await[0].complete);
    let host = host.restart().await;
    assert!(!host.seeder.folders().await[0].complete, "nor after a restart");
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let head = folder.head(None, &tree);
    ana.publish(&tree, &head);
    let seen_ms = crate::device::now_ms();
    // The first receipt is still passed on, as it was signed; the new one says when it became whole again.
    ana.until(|ana| ana.receipts.iter().any(|receipt| receipt.received_ms >= seen_ms)).await;
    assert_eq!(ana.asked, [tree.nodes[0]].into());
    assert!(host.seeder.folders().await[0].complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d9_a_block_found_damaged_as_it_is_served_is_never_sent_and_is_brought_again() {
    let host = Host::new().await;
    let (folder, tree, mut ana) = filled(&host).await;
    let cid = tree.chunk();
    damage(host.dir.path(), &tree, &cid);
    (ana.receipts, ana.asked) = Default::default();
    let mut line = Line::to(&host.seeder.addrs()).await;
    assert!(line.open(folder.id(), KeyKind::Device, key(1)).await);
    let peer = line.opened().await;
    peer.send(Message::Want { cids: vec![cid] });
    loop {
        match line.next().await {
            FolderEvent::Message { message: Message::Gone { cids }, .. } => break assert_eq!(cids, [cid]),
            FolderEvent::Block { .. } => panic!("a damaged block was sent"),
            _ => {}
        }
    }
    peer.close(); // Or it would be asked for the block too.
    ana.until(|ana| ana.receipts.iter().any(|receipt| receipt.holding == Holding::Complete)).await;
    assert_eq!(ana.asked, [cid].into());
    assert!(host.seeder.check(false).await.unwrap().damaged.is_empty());
    let mut again = Device::open(&folder, 1, &host.seeder.addrs()).await;
    again.want(vec![cid]);
    again.until(|again| !again.got.is_empty()).await;
    assert_eq!(again.got[&cid], tree.blocks[&cid]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_and_superseded_goes_after_a_pause_and_what_is_promised_stays() {
    let host = Host::new().await;
    let (folder, old, mut ana) = filled(&host).await;
    let first = folder.head(None, &old);
    let new = folder.tree(2, 5000);
    let second = folder.head(Some(&first), &new);
    ana.publish(&new, &second);
    ana.until_held(&second.id(), Holding::Complete).await;
    let both = (old.blocks.len() + new.blocks.len()) as u64;

    host.pass_ms(HOUR_MS / 2);
    assert_eq!(host.seeder.sweep().await, 0);
    host.pass_ms(HOUR_MS);
    assert_eq!(host.seeder.sweep().await, 0, "garbage now, and deleted later");
    assert_eq!(host.seeder.folders().await[0].blocks, both);
    host.pass_ms(HOUR_MS + 1);
    assert_eq!(host.seeder.sweep().await, old.blocks.len());
    let row = &host.seeder.folders().await[0];
    assert_eq!((row.complete, row.blocks, row.used_bytes), (true, new.blocks.len() as u64, new.bytes()));
    assert_eq!(host.seeder.sweep().await, 0);
    let host = host.restart().await;
    assert!(host.seeder.folders().await[0].complete);
    assert!(host.seeder.check(false).await.unwrap().damaged.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_folder_is_gone_with_its_offer() {
    let host = Host::new().await;
    let (folder, offer) = hosted(&host, &[], SPACE).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let dir = host.dir.path().join("state").join(folder.id().to_string());
    assert!(dir.is_dir());
    let id = folder.id().to_string();
    assert!(matches!(host.seeder.drop_folder(&id[..5]).await, Err(SeederError::ShortId(_))));
    assert!(matches!(host.seeder.drop_folder("0123456789").await, Err(SeederError::NoSuchFolder(_))));
    host.seeder.drop_folder(&id[..8]).await.unwrap();
    ana.until(|ana| !ana.is_inside()).await;
    assert!(!dir.exists() && host.seeder.folders().await.is_empty());
    let mut line = Line::to(&host.seeder.addrs()).await;
    assert!(!line.open(folder.id(), KeyKind::Device, key(1)).await);
    assert_eq!(line.claim(folder.id(), &offer, &folder.parts()).await, None, "like an offer that never was");
    let again = host.offer(SPACE);
    let mut folder = folder;
    folder.hire(&again);
    assert_eq!(line.claim(folder.id(), &again, &folder.parts()).await, Some(Ok(())), "a new one is another matter");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_whose_members_ended_it_is_kept_until_the_operator_drops_it() {
    let host = Host::new().await;
    let (mut folder, tree, ana) = filled(&host).await;
    let known = folder.ops().len();
    let seeder = cobox_proto::members::resolve(&folder.log).seeders()[0].grant;
    folder.end_seeder(seeder);
    let ops = folder.ops()[known..].iter().map(|op| op.bytes().to_vec()).collect();
    ana.peer().send(Message::Ops { ops });
    soon(async {
        while host.seeder.folders().await[0].hired {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let host = host.restart().await;
    host.pass_ms(1000 * HOUR_MS);
    assert_eq!(host.seeder.sweep().await, 0);
    let row = &host.seeder.folders().await[0];
    assert_eq!((row.hired, row.complete, row.blocks), (false, true, tree.blocks.len() as u64));
}
