//! What happens while nobody looks: damage, old age, dropping.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cobox_net::FolderEvent;
use cobox_proto::head::SignedHead;
use cobox_proto::hosting::Holding;
use cobox_proto::id::Cid;
use cobox_proto::members::Retention;
use cobox_proto::wire::Message;
use cobox_proto::wire::proof::KeyKind;
use cobox_seeder::SeederError;
use cobox_seeder::dto::FolderRow;

use crate::device::{Device, Line};
use crate::folder::{Folder, Tree, key};
use crate::hosting::hosted;
use crate::{Host, soon};

const SPACE: u64 = 1 << 30;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

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

/// What rotted is asked for of everybody who is there. One has an older state alone; one answers with other bytes, again and again.
/// Nothing of that gets in, and whoever has the true blocks makes it whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a4_a_repair_takes_nothing_from_a_liar_or_from_who_has_an_older_state_alone() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[2, 3], SPACE).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let (old, tree) = (folder.tree(1, 3000), folder.tree(2, 5000));
    let first = folder.head(None, &old);
    let head = folder.head(Some(&first), &tree);
    for (tree, head) in [(&old, &first), (&tree, &head)] {
        ana.publish(tree, head);
        ana.until_held(&head.id(), Holding::Complete).await;
    }
    let blocks = host.seeder.folders().await[0].blocks;
    drop(ana);
    let lost = [tree.chunk(), tree.nodes[1]];
    lost.iter().for_each(|cid| damage(host.dir.path(), &tree, cid));

    // Ben lies, and Cem was away since the first state.
    let mut ben = Line::to(&host.seeder.addrs()).await;
    assert!(ben.open(folder.id(), KeyKind::Device, key(2)).await);
    let liar = ben.opened().await;
    let truth: BTreeMap<Cid, Vec<u8>> = tree.blocks.iter().map(|(cid, bytes)| (*cid, bytes.to_vec())).collect();
    let other = old.blocks[&old.chunk()].to_vec();
    let lying = tokio::spawn(async move {
        let mut told = 0;
        loop {
            let Some(event) = ben.events.recv().await else { return told };
            let FolderEvent::Message { message: Message::Want { cids }, .. } = event else { continue };
            for cid in cids {
                let mut flipped = truth[&cid].clone();
                *flipped.last_mut().unwrap() ^= 1;
                let cut = truth[&cid][..truth[&cid].len() - 1].to_vec();
                for lie in [flipped, cut, other.clone()] {
                    told += 1;
                    if liar.send_block(lie.into()).await.is_err() {
                        return told;
                    }
                }
            }
        }
    });
    let mut cem = Device::open(&folder, 3, &host.seeder.addrs()).await;
    cem.publish(&old, &first);
    assert_eq!(host.seeder.check(true).await.unwrap().damaged.len(), lost.len());
    // Cem is asked too, sooner or later, and has none of it.
    tokio::select! {
        () = cem.until(|cem| lost.iter().any(|cid| cem.asked.contains(cid))) => {}
        () = tokio::time::sleep(std::time::Duration::from_secs(3)) => {}
    }
    let row = host.seeder.folders().await.remove(0);
    assert_eq!((row.complete, row.blocks), (false, blocks - lost.len() as u64), "lies are not kept");
    assert_eq!(row.damaged.len(), lost.len(), "what is missing stays named: {row:?}");

    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    ana.publish(&old, &first);
    ana.publish(&tree, &head);
    tokio::select! {
        row = until_row(&host, |row| row.complete && row.damaged.is_empty()) => assert_eq!(row.blocks, blocks),
        () = ana.until(|_| false) => unreachable!("lives on while the seeder takes its blocks"),
        () = cem.until(|_| false) => unreachable!("as long as that"),
    }
    assert_eq!(ana.asked, lost.into(), "these blocks and no others");
    assert!(host.seeder.check(false).await.unwrap().damaged.is_empty());
    let mut reader = Device::open(&folder, 1, &host.seeder.addrs()).await;
    reader.want(tree.blocks.keys().copied().collect());
    reader.until(|reader| reader.got.len() == tree.blocks.len()).await;
    assert!(tree.blocks.iter().all(|(cid, bytes)| reader.got[cid] == *bytes), "byte for byte");
    lying.abort();
}

/// Waits until a folder's row is as it should be. Asking wakes the folder, which then sees what time it is.
async fn until_row(host: &Host, holds: impl Fn(&FolderRow) -> bool) -> FolderRow {
    soon(async {
        loop {
            let row = host.seeder.folders().await.remove(0);
            host.seeder.sees(&row.id).await.unwrap();
            if holds(&row) {
                return row;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d9_what_rots_while_nobody_looks_is_found_named_and_healed() {
    let host = Host::new().await;
    let (folder, tree, ana) = filled(&host).await;
    drop(ana);
    let (chunk, node) = (tree.chunk(), tree.nodes[0]);
    host.pass_ms(31 * DAY_MS);
    let whole = until_row(&host, |row| row.checked_at.is_some()).await;
    assert_eq!((whole.complete, whole.damaged.len(), whole.problem), (true, 0, None), "all was read, and is well");

    damage(host.dir.path(), &tree, &chunk);
    damage(host.dir.path(), &tree, &node);
    host.pass_ms(29 * DAY_MS);
    host.seeder.sees(&folder.id().to_string()).await.unwrap();
    assert!(host.seeder.folders().await[0].complete, "it is not time yet");
    // What was read when is not forgotten over a restart, or a seeder that is off each night would never get there.
    let host = host.restart().await;
    host.pass_ms(2 * DAY_MS);
    // A damaged node is noticed by whoever walks past; a chunk is not.
    let row = until_row(&host, |row| row.damaged.len() == 2).await;
    assert!(!row.complete);
    let names: BTreeSet<String> = [chunk, node].iter().map(ToString::to_string).collect();
    assert_eq!(row.damaged.iter().cloned().collect::<BTreeSet<_>>(), names);
    assert!(row.checked_at > whole.checked_at);
    let status = host.seeder.status().await;
    assert!(status.problems[0].contains(&chunk.short()) && status.problems[0].contains(&node.short()), "{status:?}");
    let host = host.restart().await;
    assert_eq!(until_row(&host, |row| row.damaged.len() == 2).await.problem, row.problem, "nor is what is missing");

    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    ana.publish(&tree, &folder.head(None, &tree));
    ana.until(|ana| ana.asked.len() == 2).await;
    assert_eq!(ana.asked, [chunk, node].into(), "these blocks and no others");
    let row = tokio::select! {
        row = until_row(&host, |row| row.complete) => row,
        () = ana.until(|_| false) => unreachable!("lives on while the seeder takes its blocks"),
    };
    assert_eq!((row.damaged.len(), row.problem), (0, None));
    assert!(host.seeder.check(false).await.unwrap().damaged.is_empty());
    let host = host.restart().await;
    let row = until_row(&host, |_| true).await;
    assert_eq!((row.complete, row.damaged.len(), row.problem), (true, 0, None));
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
    let row = &host.seeder.folders().await[0];
    assert_eq!((row.blocks, row.trash_blocks, row.states), (both, old.blocks.len(), 1));
    // A restart does not begin the week anew, and a clock that is years ahead does not end it.
    let host = host.restart().await;
    for _ in 0..6 {
        host.pass_ms(DAY_MS);
        assert_eq!(host.seeder.sweep().await, 0);
    }
    host.pass_ms(DAY_MS);
    assert_eq!(host.seeder.sweep().await, old.blocks.len());
    let row = &host.seeder.folders().await[0];
    assert_eq!((row.complete, row.blocks, row.used_bytes), (true, new.blocks.len() as u64, new.bytes()));
    assert_eq!(host.seeder.sweep().await, 0);
    let host = host.restart().await;
    assert!(host.seeder.folders().await[0].complete);
    assert!(host.seeder.check(false).await.unwrap().damaged.is_empty());
}

/// The machine is suspended in the middle of an upload, and wakes up a week later with all its timers long over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t5_a_seeder_that_slept_for_a_week_goes_on_where_it_was_and_clears_nothing_away() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[], SPACE).await;
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    let tree = folder.tree(1, 5000);
    let head = folder.head(None, &tree);
    let last = tree.chunk();
    ana.withheld.insert(last);
    ana.publish(&tree, &head);
    let here = tree.blocks.len() as u64 - 1;
    tokio::select! {
        _ = until_row(&host, |row| row.blocks == here) => {}
        () = ana.until(|_| false) => unreachable!("lives on while the seeder takes its blocks"),
    }
    drop(ana);

    host.pass_ms(7 * DAY_MS);
    for _ in 0..3 {
        assert_eq!(host.seeder.sweep().await, 0, "what half a state rests on is no garbage");
        host.pass_ms(HOUR_MS + 1);
    }
    let row = until_row(&host, |_| true).await;
    assert_eq!((row.complete, row.blocks, row.damaged.len()), (false, here, 0));
    let mut ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
    ana.publish(&tree, &head);
    ana.until_held(&head.id(), Holding::Complete).await;
    assert_eq!(ana.asked, [last].into(), "nothing else is sent again");
}

/// A device that publishes one state after another.
struct Diary {
    folder: Folder,
    ana: Device,
    heads: Vec<SignedHead>,
    trees: Vec<Tree>,
}

impl Diary {
    async fn new(host: &Host) -> Self {
        let offer = host.offer(SPACE);
        let mut folder = Folder::new(1);
        folder.hire_keeping(&offer, SPACE, Retention { hourly_days: 20, ..Retention::default() });
        let mut line = Line::to(&host.seeder.addrs()).await;
        assert_eq!(line.claim(folder.id(), &offer, &folder.parts()).await, Some(Ok(())));
        let ana = Device::open(&folder, 1, &host.seeder.addrs()).await;
        Self { folder, ana, heads: vec![], trees: vec![] }
    }

    /// Publishes once more, and waits for the receipt.
    async fn write(&mut self) {
        let tree = self.folder.tree(self.trees.len() as u8, 200);
        let head = self.folder.head_after(&self.heads, &tree);
        self.ana.publish(&tree, &head);
        self.ana.until_held(&head.id(), Holding::Complete).await;
        self.heads.push(head);
        self.trees.push(tree);
    }

    /// Which of the states are at the seeder, wholly; the others must be gone, wholly.
    async fn kept(&self, host: &Host) -> Vec<usize> {
        let connected = host.seeder.folders().await[0].connected;
        let mut reader = Device::open(&self.folder, 1, &host.seeder.addrs()).await;
        let wanted: Vec<Cid> = self.trees.iter().flat_map(|tree| tree.blocks.keys().copied()).collect();
        let blocks = host.seeder.folders().await[0].blocks;
        reader.want(wanted);
        reader.until(|reader| reader.got.len() as u64 == blocks).await;
        reader.peer().close();
        // Or it would be asked for what is written next.
        soon(async {
            while host.seeder.folders().await[0].connected > connected {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let here = |tree: &Tree| tree.blocks.keys().filter(|cid| reader.got.contains_key(cid)).count();
        let kept: Vec<usize> = (0..self.trees.len()).filter(|n| here(&self.trees[*n]) > 0).collect();
        kept.iter().for_each(|n| assert_eq!(here(&self.trees[*n]), self.trees[*n].blocks.len(), "state {n} is torn"));
        kept
    }
}

/// Days go by, and the seeder looks for garbage on each.
async fn days_pass(host: &Host, days: u64) {
    for _ in 0..days {
        host.pass_ms(DAY_MS);
        host.seeder.sweep().await;
    }
}

/// Finds garbage, and deletes it after its time.
async fn swept(host: &Host) {
    host.seeder.sweep().await;
    days_pass(host, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t4_a_clock_that_jumps_by_years_deletes_nothing_at_once() {
    let host = Host::new().await;
    let mut diary = Diary::new(&host).await;
    for _ in 0..3 {
        diary.write().await;
        host.pass_ms(60_000);
    }
    host.seeder.sweep().await;
    host.pass_ms(3650 * DAY_MS);
    for _ in 0..10 {
        assert_eq!(host.seeder.sweep().await, 0, "however often it looks at that clock");
    }
    assert_eq!(diary.kept(&host).await, [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_thins_to_hours_to_days_to_the_newest_and_who_was_away_comes_in_all_the_same() {
    let host = Host::new().await;
    host.until_day_begins();
    let mut diary = Diary::new(&host).await;
    for _ in 0..6 {
        diary.write().await;
        host.pass_ms(9 * 60_000);
    }
    host.until_hour_begins();
    for _ in 0..3 {
        diary.write().await;
        host.pass_ms(60_000);
    }
    assert_eq!(host.seeder.sweep().await, 0);
    assert_eq!(diary.kept(&host).await, (0..9).collect::<Vec<_>>(), "a burst, and the hour before it, all of it");
    host.pass_ms(HOUR_MS);
    swept(&host).await;
    assert_eq!(diary.kept(&host).await, [0, 5, 6, 8], "first and last of each hour");
    days_pass(&host, 21).await;
    swept(&host).await;
    assert_eq!(diary.kept(&host).await, [0, 8], "first and last of the day");
    // Nothing of this rests on what a running program remembers.
    let host = host.restart().await;
    assert_eq!(diary.kept(&host).await, [0, 8]);
    diary.ana = Device::open(&diary.folder, 1, &host.seeder.addrs()).await;
    days_pass(&host, 92).await;
    swept(&host).await;
    assert_eq!(diary.kept(&host).await, [8], "the newest, however old");
    diary.ana.publish(&diary.trees[8], &diary.heads[8]);
    diary.write().await;
    assert_eq!(diary.kept(&host).await, [8, 9]);

    // Ben has slept since the first state. All that came since connects to it, and the newest state is there to be had.
    let mut ben = Device::open(&diary.folder, 1, &host.seeder.addrs()).await;
    ben.publish(&diary.trees[0], &diary.heads[0]);
    let newest = diary.heads[9].id();
    ben.until(|ben| ben.replica.heads().counts(&newest)).await;
    assert!(ben.replica.heads().is_past_or_same(&diary.heads[0].id(), &newest));
    ben.want(diary.trees[9].blocks.keys().copied().collect());
    ben.until(|ben| ben.got.len() == diary.trees[9].blocks.len()).await;
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
async fn whoever_comes_in_while_a_folder_is_dropped_is_sent_away() {
    let host = Host::new().await;
    let (folder, _) = hosted(&host, &[], SPACE).await;
    let mut lines = Vec::new();
    for _ in 0..24 {
        lines.push(Line::to(&host.seeder.addrs()).await);
    }
    let first_is_in = tokio::sync::Notify::new();
    let visits = lines.into_iter().map(async |mut line| {
        if line.open(folder.id(), KeyKind::Device, key(1)).await {
            first_is_in.notify_one();
            while !matches!(line.next().await, FolderEvent::Closed { .. }) {}
        }
    });
    let dropped = async {
        first_is_in.notified().await;
        host.seeder.drop_folder(&folder.id().to_string()).await.unwrap();
    };
    tokio::join!(futures_util::future::join_all(visits), dropped);
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
