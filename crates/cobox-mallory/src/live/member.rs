//! X1-X4, X6, X7, X10, X13, M10, S12, N6, T3: a member who was let in, at running members and at a running seeder.

use std::fs;

use anyhow::{Result, ensure};
use cobox_core::content::symlink_body;
use cobox_core::path::Name;
use cobox_core::seal::{BlockKind, SealedBlock};
use cobox_core::state::{Body, Content, Kind};
use cobox_proto::head::SignedHead;
use cobox_proto::id::{FolderId, Inode};
use cobox_proto::limits::COUNTER_JUMP_MAX;
use cobox_proto::wire::proof::KeyKind;
use cobox_proto::wire::{AddressNote, Message};

use super::call::{Answer, Call, names, until};
use super::keys::{Hand, Shown, tip};
use super::scene::{At, Scene};
use crate::pure::{Forge, Inside, replaced};
use crate::{Against, Role, Script, Verdict, live};

pub(crate) const SCRIPTS: &[Script] = &[
    shown("x1", "live: a name is the upper directory", Verdict::Named, upwards),
    shown("x1", "live: a name is an absolute path", Verdict::Named, absolute),
    shown("x1", "live: a name has a nul byte inside", Verdict::Named, nul),
    shown("x3", "live: a name is the control directory, plain and disguised", Verdict::Named, control),
    shown("x2", "live: a file lies in a link that leads outside", Verdict::Contained, through_a_link),
    shown(
        "x2",
        "live: a directory becomes a link that leads outside, and what is in it is deleted",
        Verdict::Contained,
        directory_to_link,
    ),
    shown("x2", "live: a link into the control directory", Verdict::Contained, link_to_control),
    shown("x2", "live: a directory moves up and its link with it", Verdict::Contained, link_moved_up),
    shown("x4", "live: ana and ben are shown different histories and compare", Verdict::Named, equivocation),
    shown("x5", "live: directories are each inside the other", Verdict::Contained, ring),
    shown("x6", "live: a counter jumps to the end of numbers", Verdict::Named, last_counter),
    shown("t3", "live: a version of the last day there is stands beside an honest file", Verdict::Contained, last_day),
    shown("x7", "live: a file of a tebibyte has three bytes", Verdict::Contained, tebibyte),
    shown("x9", "live: three hundred files want one name", Verdict::Contained, one_name),
    shown("x10", "live: a root opens to two contents", Verdict::Named, two_contents),
    live("x13", "live: a head of another folder", Role::Member, Against::Both, Verdict::Closed, other_folder),
    live("x13", "live: ben's head with a flipped bit", Role::Member, Against::Both, Verdict::Closed, flipped_head),
    live(
        "x13",
        "live: ana's addresses signed by mallory",
        Role::Member,
        Against::Both,
        Verdict::Closed,
        forged_addresses,
    ),
    live("x7", "live: bytes that are no message", Role::Member, Against::Both, Verdict::Closed, endless_wishes),
    live(
        "m10",
        "live: the device's key as another sort of key",
        Role::Member,
        Against::Both,
        Verdict::LikeAbsent,
        other_sort,
    ),
    live("m10", "live: the key of one folder at another", Role::Member, Against::Both, Verdict::LikeAbsent, other_key),
    live(
        "n6",
        "live: everything is asked for and nothing is read",
        Role::Member,
        Against::Both,
        Verdict::Capped,
        reads_nothing,
    ),
    live(
        "x6",
        "live: a thousand heads wait for heads that never were",
        Role::Member,
        Against::Both,
        Verdict::Capped,
        orphans,
    ),
    live(
        "s1",
        "live: other bytes come for every block of her own head",
        Role::Member,
        Against::Seeder,
        Verdict::Ignored,
        other_bytes,
    ),
];

const fn shown(
    case: &'static str,
    name: &'static str,
    verdict: Verdict,
    play: fn(&mut Scene) -> Result<Verdict>,
) -> Script {
    live(case, name, Role::Member, Against::Member, verdict, play)
}

/// Memory that no script may drive a program beyond.
const RESIDENT_BYTES_MAX: u64 = 700 << 20;

/// Shows somebody heads and gives them every block they ask for, until `told` holds.
pub(crate) fn shows(scene: &Scene, at: At, all: &[&Shown], told: impl FnMut() -> Result<bool>) -> Result<()> {
    shows_with(scene, at, all, &[], told)
}

fn shows_with(
    scene: &Scene,
    at: At,
    all: &[&Shown],
    more: &[SealedBlock],
    told: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let mut call = scene.as_member(at)?;
    let last: &SignedHead = &all[all.len() - 1].0;
    call.says(Message::HeadsHave { tips: vec![tip(last)], last: true });
    let heads: Vec<Vec<u8>> = all.iter().map(|(head, _)| head.bytes().to_vec()).collect();
    let answer = |message: Message| match message {
        Message::HeadsWanted { .. } => vec![Answer::Says(Message::Heads { heads: heads.clone() })],
        Message::Want { cids } => {
            let blocks = all.iter().flat_map(|(_, blocks)| blocks).chain(more);
            blocks.filter(|block| cids.contains(&block.cid)).map(|block| Answer::Gives(block.bytes.clone())).collect()
        }
        _ => vec![],
    };
    call.answers_until("somebody says something of her head", answer, told)?;
    call.hang_up();
    Ok(())
}

/// Ana sees a head and refuses it, and says by name whose it is.
fn refused(scene: &Scene, shown: &Shown) -> Result<Verdict> {
    let (device, head) = (scene.mallorys_name(), shown.0.id().short());
    shows(scene, At::Ana, &[shown], || {
        Ok(scene.logged(At::Ana, &[&format!("a change of device {device} was refused"), &head]))
    })?;
    Ok(Verdict::Named)
}

/// A file gets each of these names, in a history of its own.
fn named(scene: &mut Scene, spellings: &[&str]) -> Result<Verdict> {
    for spelling in spellings {
        let mut hand = scene.mallory.hand();
        let body = scene.mallory.text(b"from Mallory");
        scene.mallory.writes(&mut hand, |commit| {
            commit.create(Inode::ZERO, &Name::new("QQQQQQ")?, Kind::File, body);
            Ok(())
        })?;
        let evil = [&[spelling.len() as u8], spelling.as_bytes()].concat();
        hand.last = None;
        let spoil = |payload: &[u8]| replaced(payload, b"\x06QQQQQQ", &evil);
        let shown = scene.mallory.publishes(&mut hand, 1, spoil, |_| {})?;
        ensure!(refused(scene, &shown)? == Verdict::Named, "{spelling:?}");
    }
    Ok(Verdict::Named)
}

fn upwards(scene: &mut Scene) -> Result<Verdict> {
    named(scene, &["..", ".", "../escaped", "a/../../x"])
}

fn absolute(scene: &mut Scene) -> Result<Verdict> {
    named(scene, &["/etc/passwd", "/"])
}

fn nul(scene: &mut Scene) -> Result<Verdict> {
    named(scene, &["a\0b", ""])
}

fn control(scene: &mut Scene) -> Result<Verdict> {
    named(scene, &[".cobox", ".CoBox", ".cob\u{200c}ox", ".cobox."])
}

/// What a script writes, as a head of a new history.
fn written(
    scene: &mut Scene,
    write: impl FnOnce(&mut cobox_core::state::Commit<'_>, &cobox_core::keys::FolderKeys) -> Result<()>,
) -> Result<(Hand, Shown)> {
    let mut hand = scene.mallory.hand();
    let mallory = &scene.mallory;
    let shown = mallory.writes(&mut hand, |commit| write(commit, &mallory.keys))?;
    Ok((hand, shown))
}

/// Ana says this of a path.
fn says(scene: &Scene, path: &str, code: &str) -> Result<bool> {
    let status = scene.status(At::Ana)?;
    let rows = status["problems"].as_array().cloned().unwrap_or_default();
    Ok(rows.iter().any(|row| row["path"] == path && row["code"] == code))
}

/// Ana says of this path that it is not written.
fn not_written(scene: &Scene, path: &str) -> Result<bool> {
    says(scene, path, "not_written")
}

/// Ana says of this link that it is not made.
fn not_made(scene: &Scene, path: &str) -> Result<bool> {
    says(scene, path, "skipped")
}

/// Takes back what a history wrote: everything in it is deleted.
fn tidied(scene: &mut Scene, mut hand: Hand, first: &Shown, gone: &str) -> Result<()> {
    let items: Vec<(Inode, Kind, Vec<_>)> = hand
        .state
        .iter()
        .map(|(key, item)| (key.inode, item.kind, item.body.iter().map(|(dot, _)| *dot).collect()))
        .collect();
    let shown = scene.mallory.writes(&mut hand, |commit| {
        for (inode, kind, seen) in &items {
            if *kind == Kind::Dir { commit.trash_dir(*inode) } else { commit.remove(*inode, seen) }
        }
        Ok(())
    })?;
    let place = scene.ana.root().join(gone);
    shows(scene, At::Ana, &[first, &shown], || Ok(fs::symlink_metadata(&place).is_err() && !not_written(scene, gone)?))
}

fn through_a_link(scene: &mut Scene) -> Result<Verdict> {
    let target = scene.ana.dir().join("outside").display().to_string();
    let (over, planted) = (scene.mallory.text(b"overwritten"), scene.mallory.text(b"planted"));
    let (hand, shown) = written(scene, |commit, keys| {
        let link = commit.create(Inode::ZERO, &Name::new("way out")?, Kind::Symlink, symlink_body(keys, &target, 0));
        commit.create(link, &Name::new("victim.txt")?, Kind::File, over);
        commit.create(link, &Name::new("planted.txt")?, Kind::File, planted);
        Ok(())
    })?;
    let root = scene.ana.root();
    shows(scene, At::Ana, &[&shown], || Ok(root.join("planted.txt").exists() && not_made(scene, "way out")?))?;
    ensure!(!root.join("way out").is_symlink(), "a link that leads outside is not made");
    tidied(scene, hand, &shown, "planted.txt")?;
    Ok(Verdict::Contained)
}

fn directory_to_link(scene: &mut Scene) -> Result<Verdict> {
    let body = scene.mallory.text(b"mine");
    let (mut hand, first) = written(scene, |commit, _| {
        let dir = commit.make_dir(Inode::ZERO, &Name::new("turns")?);
        commit.create(dir, &Name::new("victim.txt")?, Kind::File, body);
        Ok(())
    })?;
    let root = scene.ana.root();
    shows(scene, At::Ana, &[&first], || Ok(root.join("turns/victim.txt").exists()))?;
    let target = "../outside";
    let link = symlink_body(&scene.mallory.keys, target, 0);
    let items: Vec<_> = hand
        .state
        .iter()
        .map(|(key, item)| (key.inode, item.kind, item.body.iter().map(|(dot, _)| *dot).collect::<Vec<_>>()))
        .collect();
    let second = scene.mallory.writes(&mut hand, |commit| {
        for (inode, kind, seen) in &items {
            if *kind == Kind::Dir { commit.trash_dir(*inode) } else { commit.remove(*inode, seen) }
        }
        commit.create(Inode::ZERO, &Name::new("turns")?, Kind::Symlink, link);
        Ok(())
    })?;
    shows(scene, At::Ana, &[&first, &second], || not_made(scene, "turns"))?;
    ensure!(!root.join("turns").is_symlink(), "it is no link");
    Ok(Verdict::Contained)
}

fn link_to_control(scene: &mut Scene) -> Result<Verdict> {
    let (_, shown) = written(scene, |commit, keys| {
        for (n, target) in [".cobox/keep", ".Cobox", "./.cobox"].iter().enumerate() {
            let name = Name::new(&format!("control {n}"))?;
            commit.create(Inode::ZERO, &name, Kind::Symlink, symlink_body(keys, target, 0));
        }
        Ok(())
    })?;
    shows(scene, At::Ana, &[&shown], || {
        Ok(not_made(scene, "control 0")? && not_made(scene, "control 1")? && not_made(scene, "control 2")?)
    })?;
    ensure!((0..3).all(|n| !scene.ana.root().join(format!("control {n}")).is_symlink()), "none is made");
    Ok(Verdict::Contained)
}

fn link_moved_up(scene: &mut Scene) -> Result<Verdict> {
    let (mut deep, mut hand) = (Inode::ZERO, scene.mallory.hand());
    let (link, body) =
        (symlink_body(&scene.mallory.keys, "../../outside/victim.txt", 0), scene.mallory.text(b"beside"));
    let first = scene.mallory.writes(&mut hand, |commit| {
        let up = commit.make_dir(Inode::ZERO, &Name::new("up")?);
        deep = commit.make_dir(up, &Name::new("deep")?);
        commit.create(deep, &Name::new("link")?, Kind::Symlink, link);
        commit.create(deep, &Name::new("beside.txt")?, Kind::File, body);
        Ok(())
    })?;
    let root = scene.ana.root();
    shows(scene, At::Ana, &[&first], || Ok(root.join("up/deep/link").is_symlink()))?;
    let second =
        scene.mallory.writes(&mut hand, |commit| Ok(commit.rename(deep, Inode::ZERO, &Name::new("deep")?)?))?;
    shows(scene, At::Ana, &[&first, &second], || {
        Ok(root.join("deep/beside.txt").exists() && not_made(scene, "deep/link")?)
    })?;
    ensure!(fs::symlink_metadata(root.join("deep/link")).is_err(), "it did not come along");
    Ok(Verdict::Contained)
}

fn equivocation(scene: &mut Scene) -> Result<Verdict> {
    let (for_ana, for_ben) = (scene.mallory.text(b"for Ana"), scene.mallory.text(b"for Ben"));
    let mut hand = scene.mallory.hand();
    let (nonce_again, fresh) = (scene.mallory.hand_again(&hand), Inode::ZERO);
    let mut other = nonce_again;
    let one = scene.mallory.writes(&mut hand, |commit| {
        commit.create(fresh, &Name::new("to ana.txt")?, Kind::File, for_ana);
        Ok(())
    })?;
    let two = scene.mallory.writes(&mut other, |commit| {
        commit.create(fresh, &Name::new("to ben.txt")?, Kind::File, for_ben);
        Ok(())
    })?;
    ensure!(one.0.head().actor == two.0.head().actor && one.0.head().seq == two.0.head().seq, "one number, twice");
    let known = |scene: &Scene, at: At, name: &str| scene.machine(at).root().join(name).exists();
    shows(scene, At::Ana, &[&one], || Ok(known(scene, At::Ana, "to ana.txt")))?;
    shows(scene, At::Ben, &[&two], || Ok(known(scene, At::Ben, "to ben.txt")))?;
    let named = format!("device {} seems to be duplicated", scene.mallorys_name());
    scene.is_told(At::Ana, &[&named])?;
    scene.is_told(At::Ben, &[&named])?;
    for at in [At::Ana, At::Ben] {
        until("both are kept", || Ok(known(scene, at, "to ana.txt") && known(scene, at, "to ben.txt")))?;
    }
    Ok(Verdict::Named)
}

fn ring(scene: &mut Scene) -> Result<Verdict> {
    let body = scene.mallory.text(b"in a ring");
    let (mut one, mut two) = (Inode::ZERO, Inode::ZERO);
    let (mut hand, first) = written(scene, |commit, _| {
        one = commit.make_dir(Inode::ZERO, &Name::new("ring one")?);
        two = commit.make_dir(Inode::ZERO, &Name::new("ring two")?);
        commit.create(one, &Name::new("inside.txt")?, Kind::File, body);
        Ok(())
    })?;
    let second = scene.mallory.writes(&mut hand, |commit| {
        commit.rename(one, two, &Name::new("ring one")?)?;
        commit.rename(two, one, &Name::new("ring two")?)?;
        Ok(())
    })?;
    let root = scene.ana.root();
    let shown = |dir: &str| root.join(dir).join("inside.txt").exists();
    shows(scene, At::Ana, &[&first, &second], || Ok(shown("ring one") || shown("ring two/ring one")))?;
    Ok(Verdict::Contained)
}

fn last_counter(scene: &mut Scene) -> Result<Verdict> {
    for counter in [COUNTER_JUMP_MAX * 64, u64::MAX] {
        let mut hand = scene.mallory.hand();
        let body = scene.mallory.text(b"wins for ever");
        scene.mallory.writes(&mut hand, |commit| {
            commit.create(Inode::ZERO, &Name::new("wins.txt")?, Kind::File, body);
            Ok(())
        })?;
        hand.last = None;
        let actor = hand.actor;
        let row = hand.state.ctx.get(&actor).copied();
        hand.state.ctx.set(actor, row.map(|row| cobox_core::state::CtxRow { counter, ..row }));
        let shown = scene.mallory.publishes(&mut hand, counter, <[u8]>::to_vec, |_| {})?;
        refused(scene, &shown)?;
    }
    ensure!(!scene.ana.root().join("wins.txt").exists(), "nothing of it is written");
    Ok(Verdict::Named)
}

fn last_day(scene: &mut Scene) -> Result<Verdict> {
    let root = scene.ana.root();
    fs::write(root.join("days.txt"), "of today")?;
    let there = scene.ben.root().join("days.txt");
    until("Ben has it", || Ok(there.exists()))?;
    let body = Body { mtime_ns: i64::MAX, ..scene.mallory.text(b"from the future") };
    let mut hand = scene.mallory.hand();
    scene.mallory.writes(&mut hand, |commit| {
        commit.create(Inode::ZERO, &Name::new("days.txt")?, Kind::File, body);
        Ok(())
    })?;
    hand.last = None;
    let shown = scene.mallory.publishes(&mut hand, 1, <[u8]>::to_vec, |head| head.claimed_time_ms = u64::MAX)?;
    let found = || -> Result<Vec<Vec<u8>>> {
        let entries = fs::read_dir(&root)?.flatten();
        let days = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("days"));
        Ok(days.filter_map(|entry| fs::read(entry.path()).ok()).collect())
    };
    // Whichever has the name, both are kept.
    shows(scene, At::Ana, &[&shown], || {
        let found = found()?;
        Ok(found.contains(&b"from the future".to_vec()) && found.contains(&b"of today".to_vec()))
    })?;
    Ok(Verdict::Contained)
}

/// Ana gets a file whose content she can not put together, and says so; it is not there, and takes no room.
fn never_written(scene: &mut Scene, name: &str, body: Body, blocks: Vec<SealedBlock>) -> Result<Verdict> {
    let (hand, shown) = written(scene, |commit, _| {
        commit.create(Inode::ZERO, &Name::new(name)?, Kind::File, body);
        Ok(())
    })?;
    shows_with(scene, At::Ana, &[&shown], &blocks, || not_written(scene, name))?;
    ensure!(!scene.ana.root().join(name).exists(), "nothing is written");
    // As long as it stands there no copy of the folder is whole.
    tidied(scene, hand, &shown, name)?;
    Ok(Verdict::Contained)
}

fn tebibyte(scene: &mut Scene) -> Result<Verdict> {
    let (keys, epoch) = (&scene.mallory.keys, scene.mallory.epoch);
    let three = keys.seal_block(&epoch, BlockKind::Manifest, &[], b"abc")?;
    let manifest =
        cobox_core::state::Manifest { cid: three.cid, refs: 1 << 30, oldest_epoch: epoch, refs_digest: [0; 32] };
    let content = Content::Manifest(Box::new(manifest));
    let body = Body { size: 1 << 40, mtime_ns: 1, executable: false, plain_digest: [3; 32], content };
    never_written(scene, "tebibyte.bin", body, vec![three])
}

fn one_name(scene: &mut Scene) -> Result<Verdict> {
    let bodies: Vec<Body> = (0..300u32).map(|n| scene.mallory.text(&n.to_be_bytes())).collect();
    let mut hand = scene.mallory.hand();
    let (_, first) = written(scene, |commit, _| {
        for (n, body) in bodies.iter().enumerate() {
            let dir = commit.make_dir(Inode::ZERO, &Name::new(&format!("n{n}"))?);
            commit.create(dir, &Name::new("same.txt")?, Kind::File, body.clone());
        }
        Ok(())
    })?;
    hand.last = None;
    let root = scene.ana.root();
    shows(scene, At::Ana, &[&first], || Ok((0..300).all(|n| root.join(format!("n{n}/same.txt")).exists())))?;
    Ok(Verdict::Contained)
}

fn two_contents(scene: &mut Scene) -> Result<Verdict> {
    let body = scene.mallory.text(b"for Bob");
    let mut hand = scene.mallory.hand();
    let mallory = &scene.mallory;
    let honest = mallory.writes(&mut hand, |commit| {
        commit.create(Inode::ZERO, &Name::new("letter.txt")?, Kind::File, body);
        Ok(())
    })?;
    let (root, others): (Vec<_>, Vec<_>) = honest.1.into_iter().partition(|block| block.cid == honest.0.head().root);
    let open = mallory.keys.open_block(&root[0].bytes)?;
    let inside = Inside { links: open.links, total: root[0].bytes.len(), ..Inside::of(BlockKind::Root, &open.payload) };
    let evil = Forge::at(&mallory.keys, mallory.epoch)?.seal(&inside, [5; 32])?;
    hand.last = None;
    let (head, _) = mallory.publishes(&mut hand, 1, <[u8]>::to_vec, |head| head.root = evil.cid)?;
    refused(scene, &(head, others.into_iter().chain([evil]).collect()))
}

/// Says one thing to everybody; each closes, and names her.
fn closed_by_all(scene: &Scene, why: &str, message: impl Fn() -> Result<Vec<Message>>) -> Result<Verdict> {
    for at in [At::Ana, At::Box] {
        let call = scene.as_member(at)?;
        message()?.into_iter().for_each(|message| call.says(message));
        call.until_closed()?;
        scene.is_told(at, &["a peer is closed", &scene.mallorys_name(), why])?;
    }
    Ok(Verdict::Closed)
}

fn other_folder(scene: &mut Scene) -> Result<Verdict> {
    let mut head = scene.mallory.heads[0].head().clone();
    head.folder = FolderId([8; 32]);
    head.device = scene.mallory.device.sig.public();
    head.actor = cobox_proto::id::ActorId::of(&head.folder, &head.device, &[1; 16]);
    (head.actor_nonce, head.seq, head.prev, head.skip) = (Some([1; 16]), 1, None, None);
    let bytes = head.sign(&scene.mallory.device.sig)?.bytes().to_vec();
    closed_by_all(scene, "another folder", || Ok(vec![Message::Heads { heads: vec![bytes.clone()] }]))
}

fn flipped_head(scene: &mut Scene) -> Result<Verdict> {
    let mut bytes = scene.mallory.heads[0].bytes().to_vec();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    closed_by_all(scene, "broke the protocol", || Ok(vec![Message::Heads { heads: vec![bytes.clone()] }]))
}

fn forged_addresses(scene: &mut Scene) -> Result<Verdict> {
    let mine = scene.mallory.device.sig.public();
    let others = scene.mallory.heads.iter().map(|head| head.head().device).find(|device| *device != mine);
    let mut note = AddressNote::sign(&scene.mallory.device.sig, &scene.folder, u64::MAX, vec![1; 40]);
    note.device = anyhow::Context::context(others, "somebody else has written")?;
    closed_by_all(scene, "forged addresses", || Ok(vec![Message::Addresses(note.clone())]))
}

fn endless_wishes(scene: &mut Scene) -> Result<Verdict> {
    for at in [At::Ana, At::Box] {
        let call = scene.as_member(at)?;
        call.says_until_closed(|| (0..9).map(|part| Message::Want { cids: names(part * 1024, 1024) }).collect())?;
        scene.is_told(at, &["a peer is closed", &scene.mallorys_name(), "too many blocks"])?;
    }
    Ok(Verdict::Closed)
}

fn other_sort(scene: &mut Scene) -> Result<Verdict> {
    for at in [At::Ana, At::Box] {
        for kind in [KeyKind::Member, KeyKind::Invite, KeyKind::Seeder] {
            let line = scene.line(at, &scene.mallory.machine)?;
            ensure!(!line.is_let_in(scene.folder, kind, scene.mallory.device.sig.clone())?, "{at:?}: {kind:?}");
            line.hang_up();
        }
    }
    Ok(Verdict::LikeAbsent)
}

fn other_key(scene: &mut Scene) -> Result<Verdict> {
    for at in [At::Ana, At::Box] {
        let line = scene.line(at, &scene.mallory.machine)?;
        ensure!(!line.is_let_in(FolderId([8; 32]), KeyKind::Device, scene.mallory.device.sig.clone())?, "{at:?}");
        ensure!(!line.is_let_in(scene.folder, KeyKind::Device, Scene::strange_key(9))?, "{at:?}: another's key");
        line.hang_up();
    }
    Ok(Verdict::LikeAbsent)
}

fn bounded(scene: &Scene) -> Result<Verdict> {
    for at in [At::Ana, At::Ben, At::Box] {
        let bytes = scene.machine(at).resident_bytes_max().unwrap_or(0);
        ensure!(bytes < RESIDENT_BYTES_MAX, "{at:?} had {bytes} bytes");
    }
    Ok(Verdict::Capped)
}

fn reads_nothing(scene: &mut Scene) -> Result<Verdict> {
    let mut calls: Vec<Call> = Vec::new();
    for at in [At::Ana, At::Box] {
        let call = scene.as_member(at)?;
        let roots = scene.mallory.heads.iter().map(|head| head.head().root).collect();
        call.says(Message::Want { cids: roots });
        call.says(Message::Want { cids: names(0, 1024) });
        for _ in 0..200 {
            call.says(Message::GenesisWanted);
        }
        calls.push(call);
    }
    // While she reads nothing, the others go on.
    scene.judge()?;
    let verdict = bounded(scene)?;
    calls.into_iter().for_each(Call::hang_up);
    Ok(verdict)
}

fn orphans(scene: &mut Scene) -> Result<Verdict> {
    let mut hand = scene.mallory.hand();
    let body = scene.mallory.text(b"first");
    let (first, _) = scene.mallory.writes(&mut hand, |commit| {
        commit.create(Inode::ZERO, &Name::new("orphan.txt")?, Kind::File, body);
        Ok(())
    })?;
    let mut heads = Vec::new();
    for n in 0..1200u32 {
        hand.last = Some(first.clone());
        let prev = cobox_proto::id::HeadId(*blake3::hash(&n.to_le_bytes()).as_bytes());
        let (head, _) = scene.mallory.publishes(&mut hand, 2, <[u8]>::to_vec, |head| head.prev = Some(prev))?;
        heads.push(head.bytes().to_vec());
    }
    for at in [At::Ana, At::Box] {
        let mut call = scene.as_member(at)?;
        for heads in heads.chunks(300) {
            call.says(Message::Heads { heads: heads.to_vec() });
        }
        call.was_heard()?;
        call.hang_up();
    }
    bounded(scene)
}

fn other_bytes(scene: &mut Scene) -> Result<Verdict> {
    let body = scene.mallory.text(b"never given");
    let (_, shown) = written(scene, |commit, _| {
        commit.create(Inode::ZERO, &Name::new("never.txt")?, Kind::File, body);
        Ok(())
    })?;
    let mut call = scene.as_member(At::Box)?;
    call.says(Message::Heads { heads: vec![shown.0.bytes().to_vec()] });
    let mut given = 0;
    while given == 0 {
        if let Some(Message::Want { cids }) = call.hears()? {
            for n in 0..cids.len() as u64 {
                call.gives(crate::noise(90 + n, 4096))?;
                given += 1;
            }
        }
    }
    call.was_heard()?;
    call.hang_up();
    // The head is true; its blocks come in the end, so that it does not stand there for ever as one that is not whole.
    let blocks = shown.1.clone();
    let mut call = scene.as_member(At::Box)?;
    let served = std::cell::Cell::new(0);
    call.answers_until(
        "it asks for them again",
        |message| match message {
            Message::Want { cids } => {
                let here = blocks.iter().filter(|block| cids.contains(&block.cid));
                here.map(|block| {
                    served.set(served.get() + 1);
                    Answer::Gives(block.bytes.clone())
                })
                .collect()
            }
            _ => vec![],
        },
        || Ok(served.get() >= blocks.len()),
    )?;
    call.was_heard()?;
    call.hang_up();
    Ok(Verdict::Ignored)
}
