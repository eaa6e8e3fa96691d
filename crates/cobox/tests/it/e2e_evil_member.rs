//! A member who has turned evil: Mallory was let into the folder, so her heads are read by all. With her true keys she calls Ana's
//! running service, or the seeder's, and shows it trees that no honest program writes. Not a byte outside of Ana's folder may change, nothing of it
//! may be written inside under a forbidden name, and Ana goes on with the honest.

use std::fs;

use cobox_core::content::{inline_digest, symlink_body};
use cobox_core::engine::HeadNote;
use cobox_core::keys::{DeviceSecret, FolderKeys};
use cobox_core::path::Name;
use cobox_core::seal::{BlockKind, SealedBlock};
use cobox_core::state::{Body, Commit, Content, Kind, Ref, State};
use cobox_core::tree::Tree as SealedTree;
use cobox_daemon::keystore::Keystore;
use cobox_net::EndpointAddrs;
use cobox_proto::codec::Canonical;
use cobox_proto::head::{Head, SignedHead};
use cobox_proto::hosting::{Address, Ticket};
use cobox_proto::id::{ActorId, Cid, EpochTag, FolderId, Inode, OpId, SigKey};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::KeyKind;
use cobox_proto::wire::{Message, Tip};
use cobox_store::FolderStore;
use tokio::runtime::Runtime;

use crate::e2e_evil::{Call, addrs, around, logged, unharmed};
use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, becomes, gone, noise, same_and, until};

/// Mallory's keys, out of her own home.
struct Mallory {
    folder: FolderId,
    machine: [u8; 32],
    device: DeviceSecret,
    keys: FolderKeys,
    auth: Vec<OpId>,
    epoch: EpochTag,
    chains: u8,
}

impl Mallory {
    fn of(computer: &Computer) -> Self {
        let keystore = Keystore::open(&computer.home().join("keys")).unwrap();
        let records = FolderStore::open(&computer.home().join("state/folders.db")).unwrap();
        let is_folder = |name: &String| name.starts_with("folder-");
        let secret = |name: &str| keystore.get(name).unwrap().unwrap();
        // One is her vault; Ana's folder is the one with a head of somebody else.
        let heads_of = |folder: &FolderId| -> Vec<SignedHead> {
            let heads = records.heads(folder).unwrap();
            heads.iter().map(|head| SignedHead::from_bytes(&head.bytes).unwrap()).collect()
        };
        let names: Vec<String> = keystore.list().unwrap().into_iter().filter(is_folder).collect();
        for name in names {
            let folder: FolderId = name.trim_start_matches("folder-").parse().unwrap();
            let Some(seed) = keystore.get(&format!("device-{folder}")).unwrap() else { continue };
            let seed: [u8; 32] = seed.as_slice().try_into().unwrap();
            let device = DeviceSecret::from_seed(&seed);
            let heads = heads_of(&folder);
            let own = heads.iter().find(|head| head.head().device == device.sig.public());
            if let Some(own) = own
                && heads.iter().any(|head| head.head().device != device.sig.public())
            {
                return Self {
                    folder,
                    machine: secret("endpoint").as_slice().try_into().unwrap(),
                    keys: FolderKeys::from_storage(&secret(&name)).unwrap(),
                    auth: own.head().auth.clone(),
                    epoch: own.head().epoch,
                    device,
                    chains: 0,
                };
            }
        }
        panic!("Mallory is in no folder with somebody else");
    }

    fn file(&self, text: &[u8]) -> Body {
        Body {
            size: text.len() as u64,
            mtime_ns: 0,
            executable: false,
            plain_digest: inline_digest(&self.keys, text),
            content: Content::Inline(text.into()),
        }
    }

    /// A head of a new chain, over a state that `write` makes; its blocks are spoilt by `spoil`.
    fn head(
        &mut self,
        write: impl FnOnce(&Self, &mut Commit<'_>),
        spoil: impl Fn(&[u8]) -> Vec<u8>,
    ) -> (SignedHead, Vec<SealedBlock>) {
        self.chains += 1;
        let nonce = [self.chains; 16];
        let device = self.device.sig.public();
        let actor = ActorId::of(&self.folder, &device, &nonce);
        let mut state = State::new();
        let mut commit = Commit::new(&mut state, actor, device, self.keys.shape());
        write(self, &mut commit);
        let counter = commit.finish().unwrap().0.counter;
        let epoch = self.epoch;
        let (tree, blocks) = SealedTree::build(&state, &self.keys, epoch).unwrap();
        // Children come before those that name them.
        let (mut now, mut spoilt): (Vec<(Cid, Cid)>, Vec<SealedBlock>) = (Vec::new(), Vec::new());
        let rename =
            |cid: &Cid, now: &[(Cid, Cid)]| now.iter().find(|(old, _)| old == cid).map_or(*cid, |(_, new)| *new);
        for block in blocks {
            let open = self.keys.open_block(&block.bytes).unwrap();
            let links: Vec<Cid> = open.links.iter().map(|link| rename(link, &now)).collect();
            let again = self.keys.seal_block(&epoch, open.kind, &links, &spoil(&open.payload)).unwrap();
            now.push((block.cid, again.cid));
            spoilt.push(again);
        }
        let mut head = Head {
            folder: self.folder,
            device,
            actor,
            actor_nonce: Some(nonce),
            seq: 1,
            prev: None,
            skip: None,
            root: rename(&tree.root(), &now),
            epoch,
            auth: self.auth.clone(),
            merged: vec![],
            new_blocks: 10,
            new_bytes: 1 << 20,
            claimed_time_ms: 1,
            delta: None,
            sealed: vec![],
        };
        let note = HeadNote { counter, vault: None }.to_bytes();
        head.sealed = self.keys.seal_note(&epoch, "head", &head.clear_bytes(), &note).unwrap();
        (head.sign(&self.device.sig).unwrap(), spoilt)
    }

    /// Shows a head to a running service and gives it every block it asks for, until `told` holds.
    async fn shows(&self, victim: &Computer, (head, blocks): &(SignedHead, Vec<SealedBlock>), told: impl Fn() -> bool) {
        let pass = (KeyKind::Device, self.device.sig.clone());
        let mut call = Call::open(self.folder, &addrs(victim), &self.machine, pass).await.expect("she is a member");
        let (actor, id) = (head.head().actor, head.id());
        call.peer.send(Message::HeadsHave { tips: vec![Tip { actor, seq: 1, head: id }], last: true });
        let serve = async {
            loop {
                match call.message().await {
                    Message::HeadsWanted { .. } => {
                        call.peer.send(Message::Heads { heads: vec![head.bytes().to_vec()] })
                    }
                    Message::Want { cids } => {
                        for block in blocks.iter().filter(|block| cids.contains(&block.cid)) {
                            let _closed = call.peer.send_block(block.bytes.clone().into()).await;
                        }
                    }
                    _ => {}
                }
            }
        };
        let told = async {
            let end = std::time::Instant::now() + PATIENCE;
            while !told() {
                assert!(std::time::Instant::now() < end, "nothing was said about head {}", id.short());
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = told => {}
            () = serve => {}
        }
        call.endpoint.close().await;
    }
}

/// Replaces a name, as it stands in a record, by other bytes of the same length.
fn instead(old: &str, new: &str) -> impl Fn(&[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let record = |name: &str| [&[name.len() as u8], name.as_bytes()].concat();
    let (old, new) = (record(old), record(new));
    move |payload: &[u8]| {
        let mut payload = payload.to_vec();
        for at in 0..payload.len().saturating_sub(old.len() - 1) {
            if payload[at..].starts_with(&old) {
                payload[at..at + new.len()].copy_from_slice(&new);
            }
        }
        payload
    }
}

#[test]
fn x1_x2_x3_an_evil_member_reaches_nothing_outside_of_anas_folder() {
    let world = World::new();
    let (ana, mut mal, ben) = (world.person("Ana"), world.person("Mal"), world.person("Ben"));
    let mine = ana.create("docs");
    fs::write(mine.join("song.txt"), "la la la").unwrap();
    let hers = mal.join("docs", &ana.invite("docs", &mal));
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    fs::write(hers.join("hello.txt"), "hello").unwrap();
    same_and(&[&mine, &hers, &theirs], "all three", |tree| tree.files() == 2);
    mal.wait("docs");
    mal.down();
    let outside = mine.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim.txt"), "untouched").unwrap();
    let before = around(&ana);
    let mut mallory = Mallory::of(&mal);
    let runtime = Runtime::new().unwrap();

    // X1, X3: names that no honest program lets through. The tree is refused, and she is named.
    let forbidden = [
        ("QQ", ".."),
        ("Q", "."),
        ("QQQQQQQQQQQQ", "../escaped.t"),
        ("QQQQQQQQQQ", "/etc/passw"),
        ("QQQQQQQ", "a\0b.txt"),
        ("QQQQQQ", ".cobox"),
        ("QQQQQQ", ".CoBox"),
        ("QQQQQQQQQ", ".cob\u{200c}ox"),
        ("QQQQQQQ", ".cobox."),
    ];
    for (honest, evil) in forbidden {
        let spoilt = mallory.head(
            |m, commit| {
                let name: Name = honest.parse().unwrap();
                commit.create(Inode::ZERO, &name, Kind::File, m.file(b"from Mallory"));
            },
            instead(honest, evil),
        );
        let (head, device) = (spoilt.0.id().short(), spoilt.0.head().device.short());
        let refused = || {
            let named = format!("a change of device {device} was refused");
            logged(&ana).lines().any(|line| line.contains(&named) && line.contains(&head))
        };
        runtime.block_on(mallory.shows(&ana, &spoilt, refused));
        unharmed(&ana, &before);
    }

    // X2: a link out of the folder, and a file that says it lies in the link.
    let target = outside.to_str().unwrap().to_owned();
    let through = mallory.head(
        |m, commit| {
            let link = commit.create(
                Inode::ZERO,
                &"way out".parse().unwrap(),
                Kind::Symlink,
                symlink_body(&m.keys, &target, 0),
            );
            commit.create(link, &"victim.txt".parse().unwrap(), Kind::File, m.file(b"overwritten"));
            commit.create(link, &"planted.txt".parse().unwrap(), Kind::File, m.file(b"planted"));
        },
        <[u8]>::to_vec,
    );
    let arrived = || mine.join("planted.txt").exists() && mine.join("victim.txt").exists();
    runtime.block_on(mallory.shows(&ana, &through, arrived));
    until("Ana is told of the link", PATIENCE, || {
        let status = ana.status("docs");
        let is_told = |problem: &serde_json::Value| problem["path"] == "way out" && problem["code"] == "skipped";
        if status["problems"].as_array().unwrap().iter().any(is_told) { Ok(()) } else { Err(status) }
    });
    assert!(!mine.join("way out").is_symlink(), "x2: a link that leads outside is not made");

    // The honest go on.
    fs::write(theirs.join("song.txt"), "la la la la").unwrap();
    until("Ana has what Ben wrote", PATIENCE, || {
        let text = fs::read_to_string(mine.join("song.txt")).unwrap_or_default();
        if text == "la la la la" { Ok(()) } else { Err(text) }
    });
    let there: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["victim.txt"], "x2: nothing is written through a link");
    assert_eq!(fs::read_to_string(outside.join("victim.txt")).unwrap(), "untouched", "x2");
}

/// X7, X10: a record that names a piece which nobody has. No seeder can hold all of a folder with such a file in it, so Ana is told whose it is
/// and what to type; after that her backup is complete, with everything honest in it.
#[test]
fn x7_x10_a_file_that_nobody_has_blocks_no_backup_for_ever() {
    let world = World::new();
    let (ana, mut mal, the_box) = (world.person("Ana"), world.person("Mal"), world.seeder("the box"));
    let mine = ana.create("docs");
    fs::write(mine.join("song.txt"), "la la la").unwrap();
    ana.back_up("docs", &the_box);
    let hers = mal.join("docs", &ana.invite("docs", &mal));
    fs::write(hers.join("hello.txt"), "hello").unwrap();
    same_and(&[&mine, &hers], "both", |tree| tree.files() == 2);
    mal.wait("docs");
    mal.down();
    ana.wait("docs");
    let mut mallory = Mallory::of(&mal);
    let runtime = Runtime::new().unwrap();
    let evil = mallory.head(
        |m, commit| {
            let chunk = m.keys.seal_block(&m.epoch, BlockKind::Chunk, &[], b"this was never given to anybody").unwrap();
            let piece = Ref { cid: chunk.cid, len: 31, epoch: m.epoch };
            let content = Content::Refs([piece].into());
            let body = Body { size: 31, mtime_ns: 0, executable: false, plain_digest: [3; 32], content };
            commit.create(Inode::ZERO, &"lost.bin".parse().unwrap(), Kind::File, body);
        },
        <[u8]>::to_vec,
    );
    let missing = || ana.json(&["missing", "list", "docs"])["missing"].clone();
    runtime.block_on(mallory.shows(&ana, &evil, || missing()[0]["path"] == "lost.bin"));
    let complete = || ana.status("docs")["backups"][0]["complete"].clone();
    let told = until("Ana is told what stands in the way", PATIENCE, || {
        let status = ana.status("docs");
        let rows = status["problems"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["code"] == "waiting" && row["path"] == "lost.bin").ok_or(status)
    });
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("written by Mal"), "{message}");
    assert!(told["hint"].as_str().unwrap().contains("cobox missing drop"), "{told}");
    // The honest go on, and nobody calls complete what is not.
    fs::write(mine.join("song.txt"), "la la la la").unwrap();
    assert!(ana.refused(&["status", "docs", "--wait", "--timeout", "4"]).0 == 1);
    assert_eq!(complete(), false);
    assert_eq!(missing()[0]["by"], "Mal");

    let dropped = ana.json(&["missing", "drop", "docs", "lost.bin"]);
    assert_eq!(dropped["missing"][0]["path"], "lost.bin");
    ana.wait("docs");
    ana.wait_for_receipt("docs");
    assert_eq!(complete(), true);
    assert_eq!(ana.status("docs")["problems"].as_array().map(Vec::len), Some(0));
    assert!(!mine.join("lost.bin").exists() && mine.join("hello.txt").exists());
}

/// The same Mallory, and a stranger, at the seeder: what is not signed as it should be ends the call, what is not what it is called is
/// dropped, and whoever joins afterwards gets everything from the seeder alone.
#[test]
fn s4_s12_an_evil_member_and_a_stranger_leave_a_seeder_as_it_was() {
    let world = World::new();
    let (ana, mut mal, ben) = (world.person("Ana"), world.person("Mal"), world.person("Ben"));
    let the_box = world.seeder("box");
    let mine = ana.create("docs");
    fs::write(mine.join("song.txt"), "la la la").unwrap();
    fs::write(mine.join("band.bin"), noise(8, 1 << 20)).unwrap();
    let hers = mal.join("docs", &ana.invite("docs", &mal));
    fs::write(hers.join("hello.txt"), "hello").unwrap();
    same_and(&[&mine, &hers], "both", |tree| tree.files() == 3);
    mal.wait("docs");
    mal.down();
    ana.back_up("docs", &the_box);
    let whole = Tree::read(&mine).unwrap();
    let code = ana.invite("docs", &ben);
    ana.wait_for_receipt("docs");
    let (_, _, tickets) = ana.kit();
    let ticket = Ticket::from_text(&tickets[0]).unwrap();
    gone([ana]);
    let at = ticket.addresses.iter().filter_map(Address::socket).collect();
    let addrs = EndpointAddrs { key: SigKey(ticket.endpoint.0), addrs: at, relays: vec![] };
    let (mut mallory, before) = (Mallory::of(&mal), the_box.blocks());
    let garbage = mallory.head(
        |m, commit| {
            commit.create(Inode::ZERO, &"QQ".parse().unwrap(), Kind::File, m.file(b"from Mallory"));
        },
        instead("QQ", ".."),
    );
    let ops: Vec<Vec<u8>> = FolderStore::open(&mal.home().join("state/folders.db"))
        .unwrap()
        .ops(&mallory.folder)
        .unwrap()
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();

    Runtime::new().unwrap().block_on(async {
        let device = || (KeyKind::Device, mallory.device.sig.clone());
        let strange = (KeyKind::Device, SecretKey::from_seed(&[8; 32]));
        assert!(Call::open(mallory.folder, &addrs, &[7; 32], strange).await.is_none(), "s4: a stranger stays outside");
        let call = async || Call::open(mallory.folder, &addrs, &mallory.machine, device()).await.expect("a member");

        // Ops and heads that nobody signed so.
        let spoilt = |bytes: &Vec<u8>| {
            let mut bytes = bytes.clone();
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        };
        let forged = call().await;
        forged.peer.send(Message::Ops { ops: ops.iter().map(spoilt).collect() });
        forged.closed().await;
        let forged = call().await;
        forged.peer.send(Message::Heads { heads: vec![spoilt(&garbage.0.bytes().to_vec())] });
        forged.closed().await;

        // A head of hers, and other bytes for every block of it.
        let mut lying = call().await;
        let (actor, head) = (garbage.0.head().actor, garbage.0.id());
        lying.peer.send(Message::HeadsHave { tips: vec![Tip { actor, seq: 1, head }], last: true });
        loop {
            match lying.message().await {
                Message::HeadsWanted { .. } => {
                    lying.peer.send(Message::Heads { heads: vec![garbage.0.bytes().to_vec()] });
                }
                Message::Want { cids } => {
                    for n in 0..cids.len() {
                        lying.peer.send_block(noise(90 + n as u64, 4096).into()).await.unwrap();
                    }
                    break;
                }
                _ => {}
            }
        }
        lying.endpoint.close().await;

        // More wishes than anybody may have.
        let greedy = call().await;
        for part in 0..9u8 {
            let cid = |n: u16| Cid([&[part; 30][..], &n.to_le_bytes()].concat().try_into().unwrap());
            greedy.peer.send(Message::Want { cids: (0..1024).map(cid).collect() });
        }
        greedy.closed().await;
    });
    assert_eq!(the_box.blocks(), before, "nothing of it is kept");

    let theirs = ben.join("docs", &code);
    becomes(&theirs, &whole);
}
