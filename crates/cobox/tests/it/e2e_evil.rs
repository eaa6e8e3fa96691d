//! A seeder that has turned evil: it has the true keys and all that the true seeder was given, calls a member's running service, and
//! gives it everything but what was asked for. What it can do is keep things back; what it can not do is change a byte in anybody's
//! folder.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cobox_net::{
    Admitted, Config, Endpoint, EndpointAddrs, FolderEvent, Host, INBOX_MAX, Inbox, Opener, Pass, Peer, drive,
};
use cobox_proto::head::SignedHead;
use cobox_proto::id::{Cid, FolderId, OfferId, SigKey};
use cobox_proto::limits::BLOCK_BYTES_MAX;
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::KeyKind;
use cobox_proto::wire::{FoundFolder, Message, Party, Tip};
use cobox_store::{BlockStore, DiskStore, FolderStore};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, becomes, noise, same, until};

/// What the true seeder left on its disk.
struct Loot {
    folder: FolderId,
    machine: [u8; 32],
    seeder: SecretKey,
    ops: Vec<Vec<u8>>,
    heads: Vec<SignedHead>,
    blocks: DiskStore,
    /// A block of somebody's vault.
    foreign: Vec<u8>,
}

impl Loot {
    /// Takes what lies in the home of a seeder that is switched off.
    fn of(the_box: &Computer, folder: FolderId) -> Self {
        let state = the_box.home().join("state");
        let seed = |name: &str| fs::read(the_box.home().join("keys").join(name)).unwrap().try_into().unwrap();
        let records = FolderStore::open(&state.join("folders.db")).unwrap();
        let mut heads: Vec<SignedHead> =
            records.heads(&folder).unwrap().iter().map(|head| SignedHead::from_bytes(&head.bytes).unwrap()).collect();
        heads.sort_by_key(|head| head.head().seq);
        let vault = records.folders().unwrap().into_iter().find(|other| *other != folder).unwrap();
        let vaults = DiskStore::open(&state.join(vault.to_string())).unwrap();
        let roots = records.heads(&vault).unwrap();
        let roots = roots.iter().map(|head| SignedHead::from_bytes(&head.bytes).unwrap().head().root);
        let foreign = roots.into_iter().find_map(|root| vaults.get(&root).unwrap()).unwrap();
        Self {
            foreign,
            folder,
            machine: seed("machine"),
            seeder: SecretKey::from_seed(&seed("seeder")),
            ops: records.ops(&folder).unwrap().into_iter().map(|(_, bytes)| bytes).collect(),
            heads,
            blocks: DiskStore::open(&state.join(folder.to_string())).unwrap(),
        }
    }

    /// The newest head of each writer, among those up to a place in the list.
    fn tips(&self, heads: usize) -> Vec<Tip> {
        let mut tips: Vec<Tip> = Vec::new();
        for signed in &self.heads[..heads] {
            let head = signed.head();
            tips.retain(|tip| tip.actor != head.actor);
            tips.push(Tip { actor: head.actor, seq: head.seq, head: signed.id() });
        }
        tips
    }
}

/// Gives every folder the same inbox and lets nobody in.
struct Calling(Inbox);

impl Host for Calling {
    fn party(&self) -> Party {
        Party::Seeder
    }
    fn folder_called(&self, _: &dyn Fn(&FolderId) -> bool) -> Option<FolderId> {
        None
    }
    fn inbox(&self, _: &FolderId) -> Option<Inbox> {
        Some(self.0.clone())
    }
    fn offer_secret(&self, _: OfferId) -> BoxFuture<'_, Option<[u8; 16]>> {
        async { None }.boxed()
    }
    fn claimed(&self, _: OfferId, _: FolderId) -> BoxFuture<'_, Option<Admitted>> {
        async { None }.boxed()
    }
    fn find(&self, _: Vec<SigKey>) -> BoxFuture<'_, Vec<FoundFolder>> {
        async { vec![] }.boxed()
    }
    fn greet(&self, _: SigKey, _: Opener) {}
    fn parted(&self, _: SigKey) {}
}

/// One call to a member's service, inside its folder.
pub(crate) struct Call {
    pub(crate) endpoint: Endpoint,
    _opener: Opener,
    events: mpsc::Receiver<FolderEvent>,
    pub(crate) peer: Peer,
}

impl Call {
    /// `None`: the member did not let this key in.
    pub(crate) async fn open(
        folder: FolderId,
        victim: &EndpointAddrs,
        machine: &[u8; 32],
        (kind, key): (KeyKind, SecretKey),
    ) -> Option<Self> {
        let endpoint = Endpoint::bind(Config::loopback(), machine).await.unwrap();
        let (inbox, mut events) = mpsc::channel(INBOX_MAX);
        let connection = soon(endpoint.dial(victim)).await.unwrap();
        let opener = drive(connection, endpoint.id(), Arc::new(Calling(inbox)));
        if !soon(opener.open_and_wait(folder, Pass { kind, key, introduction: Vec::new() })).await {
            endpoint.close().await;
            return None;
        }
        let peer = loop {
            if let FolderEvent::Opened { peer, .. } = soon(events.recv()).await.unwrap() {
                break peer;
            }
        };
        Some(Self { endpoint, _opener: opener, events, peer })
    }

    async fn to(loot: &Loot, victim: &EndpointAddrs, machine: &[u8; 32], key: SecretKey) -> Option<Self> {
        Self::open(loot.folder, victim, machine, (KeyKind::Seeder, key)).await
    }

    async fn evil(loot: &Loot, victim: &EndpointAddrs) -> Self {
        let call = Self::to(loot, victim, &loot.machine, loot.seeder.clone()).await;
        call.expect("it is the seeder of this folder, by its keys")
    }

    async fn next(&mut self) -> FolderEvent {
        soon(self.events.recv()).await.expect("the inbox lives as long as the call")
    }

    /// The next thing that is said.
    pub(crate) async fn message(&mut self) -> Message {
        loop {
            if let FolderEvent::Message { message, .. } = self.next().await {
                return message;
            }
        }
    }

    /// Until the member ends the folder on this connection.
    pub(crate) async fn closed(mut self) {
        while !matches!(self.next().await, FolderEvent::Closed { .. }) {}
        self.endpoint.close().await;
    }

    /// Names these heads, gives their chains truly, and waits for what blocks are asked for.
    async fn until_asked(&mut self, loot: &Loot) -> Vec<Cid> {
        self.peer.send(Message::HeadsHave { tips: loot.tips(loot.heads.len()), last: true });
        loop {
            match self.message().await {
                Message::HeadsWanted { .. } => {
                    let heads = loot.heads.iter().map(|head| head.bytes().to_vec()).collect();
                    self.peer.send(Message::Heads { heads });
                }
                Message::Want { cids } => return cids,
                _ => {}
            }
        }
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("this should not take so long")
}

/// Every lie about a block: a flipped bit, cut, with something added, another block of the folder, one of another folder, invented,
/// one byte.
fn lies(truth: &[u8], other: &[u8], foreign: &[u8]) -> Vec<Vec<u8>> {
    let mut flipped = truth.to_vec();
    flipped[truth.len() / 2] ^= 1;
    let cut = truth[..truth.len() - 1].to_vec();
    let added = [truth, &[0]].concat();
    let added = if added.len() > BLOCK_BYTES_MAX { cut.clone() } else { added };
    vec![flipped, cut, added, other.to_vec(), foreign.to_vec(), noise(99, BLOCK_BYTES_MAX), vec![0]]
}

pub(crate) fn addrs(computer: &Computer) -> EndpointAddrs {
    let whoami = computer.json(&["whoami"]);
    let addrs: Vec<SocketAddr> =
        whoami["addresses"].as_array().unwrap().iter().filter_map(|a| a.as_str()?.parse().ok()).collect();
    EndpointAddrs { key: whoami["device_key"].as_str().unwrap().parse().unwrap(), addrs, relays: vec![] }
}

/// All that lies beside the home, so that a file written outside of the folder is seen.
pub(crate) fn around(computer: &Computer) -> Tree {
    Tree::read(computer.folder("docs").parent().unwrap()).unwrap()
}

/// All that the service has written to its log.
pub(crate) fn logged(computer: &Computer) -> String {
    let files = fs::read_dir(computer.home().join("log")).unwrap();
    files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap_or_default()).collect()
}

pub(crate) fn unharmed(computer: &Computer, before: &Tree) {
    assert_eq!(before.difference(&around(computer)), None, "o3, o6: not a byte has changed");
    assert_eq!(computer.run(&["status", "docs", "--json"]).code, Some(0), "o7: it answers");
}

#[test]
fn s1_to_s5_s12_an_evil_seeder_changes_nothing_at_a_running_member_and_is_named() {
    let world = World::new();
    let (ana, mut ben, mut the_box) = (world.person("Ana"), world.person("Ben"), world.seeder("box"));
    let mine = ana.create("docs");
    fs::write(mine.join("song.txt"), "first verse").unwrap();
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    ana.back_up("docs", &the_box);
    same(&[&mine, &theirs]);
    ben.wait("docs");
    ben.down();
    fs::write(mine.join("song.txt"), "first verse, second verse").unwrap();
    fs::write(mine.join("band.bin"), noise(5, 3 << 20)).unwrap();
    fs::create_dir(mine.join("sub")).unwrap();
    fs::write(mine.join("sub/notes.txt"), "do re mi").unwrap();
    ana.wait_for_receipt("docs");
    let folder = the_box.shown()["folder"]["id"].as_str().unwrap().parse().unwrap();
    the_box.down();
    let (loot, whole) = (Loot::of(&the_box, folder), Tree::read(&mine).unwrap());
    let runtime = Runtime::new().unwrap();

    // S5: to Ana, for whom it has signed the newest state, it shows an older one.
    let before = around(&ana);
    runtime.block_on(async {
        let named = format!("seeder {} has lost a state it signed for", loot.seeder.public().short());
        let end = Instant::now() + PATIENCE;
        // A young receipt convicts nobody: it comes again until Ana is told.
        while !logged(&ana).contains(&named) {
            assert!(Instant::now() < end, "Ana is not told");
            let call = Call::evil(&loot, &addrs(&ana)).await;
            call.peer.send(Message::HeadsHave { tips: loot.tips(1), last: true });
            tokio::time::sleep(Duration::from_millis(200)).await;
            call.endpoint.close().await;
        }
    });
    unharmed(&ana, &before);
    drop(ana);
    ben.up();
    let (victim, before) = (addrs(&ben), around(&ben));
    runtime.block_on(async {
        // S4: a seeder that nobody hired is let in nowhere, nor is the machine of the true one with another key.
        for machine in [[7; 32], loot.machine] {
            assert!(Call::to(&loot, &victim, &machine, SecretKey::from_seed(&[8; 32])).await.is_none());
        }

        // S3, S4: ops and heads that nobody signed so.
        let call = Call::evil(&loot, &victim).await;
        let mut forged: Vec<Vec<u8>> = loot.ops.clone();
        forged.iter_mut().for_each(|op| *op.last_mut().unwrap() ^= 1);
        call.peer.send(Message::Ops { ops: forged });
        call.closed().await;
        unharmed(&ben, &before);
        let call = Call::evil(&loot, &victim).await;
        let mut forged = loot.heads.last().unwrap().head().clone();
        forged.device = loot.seeder.public();
        forged.seq += 1;
        let forged = forged.sign(&loot.seeder);
        let mut broken = loot.heads.last().unwrap().bytes().to_vec();
        *broken.last_mut().unwrap() ^= 1;
        let heads = forged.iter().map(|head| head.bytes().to_vec()).chain([broken]).collect();
        call.peer.send(Message::Heads { heads });
        call.closed().await;
        unharmed(&ben, &before);

        // S1, S2: the true heads, and then lies about each block that is asked for, other blocks' bytes among them.
        let mut call = Call::evil(&loot, &victim).await;
        let asked = call.until_asked(&loot).await;
        let before_lies = ben.status("docs")["received_blocks"].as_u64().unwrap();
        let other = loot.blocks.get(&loot.heads[0].head().root).unwrap().unwrap();
        let mut told = 0;
        for cid in &asked {
            let truth = loot.blocks.get(cid).unwrap().unwrap();
            for lie in lies(&truth, &other, &loot.foreign) {
                assert_ne!(lie, truth);
                soon(call.peer.send_block(lie.into())).await.unwrap();
                told += 1;
            }
        }
        assert!(told >= 6, "it was asked for something: {asked:?}");
        until("all lies have arrived", PATIENCE, || {
            let status = ben.status("docs");
            if status["received_blocks"].as_u64().unwrap() >= before_lies + told { Ok(()) } else { Err(status) }
        });
        unharmed(&ben, &before);
        call.endpoint.close().await;

        // S12: more wishes than anybody may have.
        let call = Call::evil(&loot, &victim).await;
        for part in 0..9u8 {
            let cid = |n: u16| Cid([&[part; 30][..], &n.to_le_bytes()].concat().try_into().unwrap());
            call.peer.send(Message::Want { cids: (0..1024).map(cid).collect() });
        }
        call.closed().await;
        unharmed(&ben, &before);
    });
    let status = ben.run(&["status", "docs", "--wait", "--timeout", "1", "--json"]);
    assert_eq!(status.code, Some(1), "o8: it knows of something newer that it has not: {status:?}");
    let liar = loot.seeder.public().short().to_string();
    let dropped = |line: &&str| line.contains("not asked for") && line.contains(&liar);
    assert!(logged(&ben).lines().any(|line| dropped(&line)), "s1: it is named");

    // An honest seeder has the same heads and blocks: now they are taken.
    drop(loot);
    the_box.up();
    becomes(&theirs, &whole);
}

#[test]
fn a5_a_seeder_that_gives_other_bytes_fails_the_rehearsal_and_is_named() {
    let world = World::new();
    let (ana, mut the_box) = (world.person("Ana"), world.seeder("box"));
    let mine = ana.create("docs");
    fs::write(mine.join("song.bin"), noise(5, 30_000)).unwrap();
    ana.back_up("docs", &the_box);
    let folder = the_box.shown()["folder"]["id"].as_str().unwrap().parse().unwrap();
    the_box.down();
    let loot = Loot::of(&the_box, folder);
    let before = around(&ana);
    let runtime = Runtime::new().unwrap();
    let mut call = runtime.block_on(Call::evil(&loot, &addrs(&ana)));
    let ran = std::thread::scope(|scope| {
        let drill = scope.spawn(|| ana.run(&["drill", "docs", "--json"]));
        runtime.block_on(async {
            // The records are true, the contents are not.
            while !drill.is_finished() {
                let event = tokio::time::timeout(Duration::from_millis(50), call.next()).await;
                let Ok(FolderEvent::Message { message: Message::Want { cids }, .. }) = event else { continue };
                for cid in cids {
                    let truth = loot.blocks.get(&cid).unwrap().unwrap();
                    let mut lie = truth.clone();
                    lie[truth.len() / 2] ^= 1;
                    let given = if truth.len() > 20_000 { lie } else { truth };
                    call.peer.send_block(given.into()).await.unwrap();
                }
            }
        });
        drill.join().unwrap()
    });
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let drill = &report["seeders"][0];
    assert_eq!((&drill["outcome"], &drill["files"]), (&"failed".into(), &0.into()), "{report}");
    assert_eq!(drill["failed"][0]["path"], "song.bin");
    assert!(drill["failed"][0]["message"].as_str().unwrap().contains("other bytes"), "{report}");
    assert!(drill["other_blocks"].as_u64().unwrap() > 0, "{report}");
    let liar = loot.seeder.public().short().to_string();
    assert!(drill["seeder"] == *liar && ran.err.contains(&liar), "it is named: {ran:?}");
    unharmed(&ana, &before);
}
