//! S1, S3-S5, S7, S8, S10-S12, N9: a seeder with the true one's keys and disk, at running members.

use anyhow::{Context, Result, ensure};
use cobox_core::path::Name;
use cobox_core::state::Kind;
use cobox_proto::hosting::{Holding, Receipt};
use cobox_proto::id::{ActorId, Inode, OpId};
use cobox_proto::members::SignedOp;
use cobox_proto::wire::proof::KeyKind;
use cobox_proto::wire::{LogEntry, Message, Tip};

use super::call::{Answer, names, until};
use super::keys::tip;
use super::member::shows;
use super::scene::{At, Scene};
use crate::{Against, Role, Script, Verdict, live};

pub(crate) const SCRIPTS: &[Script] = &[
    seeder("s1", "live: blocks come that nobody asked for, changed and unchanged", Verdict::Named, unasked),
    seeder("s3", "live: ops with a flipped bit", Verdict::Closed, flipped_ops),
    seeder("s4", "live: a head signed by the seeder", Verdict::Named, own_head),
    seeder("s4", "live: a seeder that nobody hired", Verdict::LikeAbsent, not_hired),
    seeder("s5", "live: a seeder shows older heads than it signed for", Verdict::Named, rolled_back),
    seeder("s7", "live: the newest to ana, an older branch to ben", Verdict::Contained, fork),
    seeder("s8", "live: a history without the head that deletes", Verdict::Contained, hidden_deletion),
    seeder("s8", "live: what was deleted comes again from an old state", Verdict::Ignored, resurrection),
    seeder("s10", "live: a seeder signs for a head and then has none", Verdict::Named, emptied),
    seeder("s11", "live: receipts of an older format", Verdict::Closed, old_format),
    seeder("s12", "live: a list of heads has no end", Verdict::Closed, endless_tips),
    seeder("s12", "live: a log has no end", Verdict::Closed, endless_log),
    seeder("n9", "live: a seeder answers no wish", Verdict::Contained, hangs),
    seeder("s9", "live: a seeder says that every block is gone", Verdict::Contained, withholds),
];

const fn seeder(
    case: &'static str,
    name: &'static str,
    verdict: Verdict,
    play: fn(&mut Scene) -> Result<Verdict>,
) -> Script {
    live(case, name, Role::Seeder, Against::Member, verdict, play)
}

fn unasked(scene: &mut Scene) -> Result<Verdict> {
    let mut call = scene.as_seeder(At::Ana)?;
    let head = scene.evil.heads.last().context("it has heads")?;
    let truth = scene.evil.block(&head.head().root)?.context("and their roots")?;
    let mut flipped = truth.clone();
    flipped[truth.len() / 2] ^= 1;
    for lie in
        [flipped, truth[..truth.len() - 1].to_vec(), [&truth[..], &[0]].concat(), crate::noise(7, 4 << 20), vec![0]]
    {
        call.gives(lie)?;
    }
    call.was_heard()?;
    scene.is_told(At::Ana, &["not asked for", &scene.seeders_name()])?;
    call.hang_up();
    Ok(Verdict::Named)
}

/// Ana closes, and names the seeder.
fn closed(scene: &Scene, why: &str, messages: Vec<Message>) -> Result<Verdict> {
    let call = scene.as_seeder(At::Ana)?;
    messages.into_iter().for_each(|message| call.says(message));
    call.until_closed()?;
    scene.is_told(At::Ana, &["a peer is closed", &scene.seeders_name(), why])?;
    Ok(Verdict::Closed)
}

fn flipped_ops(scene: &mut Scene) -> Result<Verdict> {
    let mut ops = scene.evil.ops.clone();
    ops.iter_mut().filter_map(|op| op.last_mut()).for_each(|byte| *byte ^= 1);
    ensure!(ops.iter().all(|op| SignedOp::from_bytes(op).is_err()), "none of them is an op");
    closed(scene, "broke the protocol", vec![Message::Ops { ops }])
}

fn own_head(scene: &mut Scene) -> Result<Verdict> {
    let key = scene.evil.seeder.clone();
    let mut head = scene.evil.heads.last().context("it has heads")?.head().clone();
    (head.device, head.actor) = (key.public(), ActorId::of(&scene.folder, &key.public(), &[1; 16]));
    (head.actor_nonce, head.seq, head.prev, head.skip, head.merged) = (Some([1; 16]), 1, None, None, vec![]);
    let head = head.sign(&key)?;
    let mut call = scene.as_seeder(At::Ana)?;
    call.says(Message::Heads { heads: vec![head.bytes().to_vec()] });
    call.was_heard()?;
    let named = format!("device {} sent a state that was refused", key.public().short());
    scene.is_told(At::Ana, &[&named])?;
    call.hang_up();
    Ok(Verdict::Named)
}

fn not_hired(scene: &mut Scene) -> Result<Verdict> {
    for machine in [[7; 32], scene.evil.machine] {
        let line = scene.line(At::Ana, &machine)?;
        ensure!(!line.is_let_in(scene.folder, KeyKind::Seeder, Scene::strange_key(8))?, "it is let in");
        line.hang_up();
    }
    Ok(Verdict::LikeAbsent)
}

/// Ana learns that this seeder holds her newest head whole.
fn signs_for_newest(scene: &Scene) -> Result<()> {
    let mut call = scene.as_seeder(At::Ana)?;
    let mut newest: Option<Tip> = None;
    // At the beginning she names her heads.
    while newest.is_none() {
        if let Some(Message::HeadsHave { tips, .. }) = call.hears()? {
            let known = |tip: &&Tip| {
                scene.evil.heads.iter().all(|head| head.head().actor != tip.actor || head.head().seq < tip.seq)
            };
            newest = tips.iter().find(known).or(tips.first()).copied();
        }
    }
    let head = newest.context("she has some")?.head;
    let receipt = Receipt {
        folder: scene.folder,
        seeder: scene.evil.seeder.public(),
        head,
        holding: Holding::Complete,
        received_ms: u64::MAX / 4,
        keep_until_ms: u64::MAX / 2,
        free_bytes: 1 << 30,
        terms: OpId([1; 32]),
    };
    call.says(Message::Receipt { bytes: receipt.sign(&scene.evil.seeder).bytes().to_vec() });
    call.was_heard()?;
    call.hang_up();
    Ok(())
}

fn denies(scene: &Scene, at: At, tips: Vec<Tip>) -> Result<Verdict> {
    let named = format!("seeder {} has lost a state it signed for", scene.seeders_name());
    let before = scene.machine(at).logged().matches(&named).count();
    // A young receipt convicts nobody: it comes again until it is named.
    until("the seeder is named", || {
        let mut call = scene.as_seeder(at)?;
        call.says(Message::HeadsHave { tips: tips.clone(), last: true });
        call.was_heard()?;
        call.hang_up();
        Ok(scene.machine(at).logged().matches(&named).count() > before)
    })?;
    Ok(Verdict::Named)
}

fn rolled_back(scene: &mut Scene) -> Result<Verdict> {
    signs_for_newest(scene)?;
    denies(scene, At::Ana, scene.evil.tips(1))
}

fn emptied(scene: &mut Scene) -> Result<Verdict> {
    signs_for_newest(scene)?;
    denies(scene, At::Ana, vec![])
}

/// Mallory's history, of which the seeder gives the first head to Ben and both to Ana.
fn fork(scene: &mut Scene) -> Result<Verdict> {
    let (old, new) = (scene.mallory.text(b"old branch"), scene.mallory.text(b"newest"));
    let mut hand = scene.mallory.hand();
    let first = scene.mallory.writes(&mut hand, |commit| {
        commit.create(Inode::ZERO, &Name::new("branch old.txt")?, Kind::File, old);
        Ok(())
    })?;
    let second = scene.mallory.writes(&mut hand, |commit| {
        commit.create(Inode::ZERO, &Name::new("branch new.txt")?, Kind::File, new);
        Ok(())
    })?;
    let all = [&first, &second];
    for (at, count) in [(At::Ben, 1), (At::Ana, 2)] {
        let mut call = scene.as_seeder(at)?;
        let shown: Vec<_> = all[..count].to_vec();
        call.says(Message::HeadsHave { tips: vec![tip(&shown[count - 1].0)], last: true });
        let root = scene.machine(at).root();
        let file = if count == 2 { "branch new.txt" } else { "branch old.txt" };
        call.answers_until(
            "the branch is taken",
            |message| match message {
                Message::HeadsWanted { .. } => {
                    let heads = shown.iter().map(|(head, _)| head.bytes().to_vec()).collect();
                    vec![Answer::Says(Message::Heads { heads })]
                }
                Message::Want { cids } => {
                    let blocks = shown.iter().flat_map(|(_, blocks)| blocks);
                    blocks.filter(|b| cids.contains(&b.cid)).map(|b| Answer::Gives(b.bytes.clone())).collect()
                }
                _ => vec![],
            },
            || Ok(root.join(file).exists()),
        )?;
        call.hang_up();
    }
    // Ana and Ben share a channel: what was held back from Ben comes from her.
    for at in [At::Ana, At::Ben] {
        let root = scene.machine(at).root();
        until("both have both", || Ok(root.join("branch old.txt").exists() && root.join("branch new.txt").exists()))?;
    }
    Ok(Verdict::Contained)
}

fn hidden_deletion(scene: &mut Scene) -> Result<Verdict> {
    let body = scene.mallory.text(b"to be deleted");
    let mut hand = scene.mallory.hand();
    let first = scene.mallory.writes(&mut hand, |commit| {
        commit.create(Inode::ZERO, &Name::new("deleted.txt")?, Kind::File, body);
        Ok(())
    })?;
    let (ana, ben) = (scene.ana.root().join("deleted.txt"), scene.ben.root().join("deleted.txt"));
    shows(scene, At::Ana, &[&first], || Ok(ana.exists() && ben.exists()))?;
    let (inode, seen): (Inode, Vec<_>) = hand
        .state
        .iter()
        .map(|(key, item)| (key.inode, item.body.iter().map(|(dot, _)| *dot).collect()))
        .next()
        .context("there is one file")?;
    let second = scene.mallory.writes(&mut hand, |commit| {
        commit.remove(inode, &seen);
        Ok(())
    })?;
    // The seeder names the head behind the deletion, and gives the one before it alone: the gap shows by the hash.
    let mut call = scene.as_seeder(At::Ben)?;
    call.says(Message::HeadsHave { tips: vec![tip(&second.0)], last: true });
    let mut asked = 0;
    while asked == 0 {
        if let Some(Message::HeadsWanted { chains }) = call.hears()? {
            asked = chains.iter().filter(|chain| chain.head == second.0.id()).count();
        }
    }
    call.says(Message::Heads { heads: vec![first.0.bytes().to_vec()] });
    call.was_heard()?;
    ensure!(ben.exists(), "without the head that deletes, nothing is deleted");
    call.hang_up();
    // From anybody else it comes through.
    shows(scene, At::Ana, &[&first, &second], || Ok(!ana.exists() && !ben.exists()))?;
    Ok(Verdict::Contained)
}

fn resurrection(scene: &mut Scene) -> Result<Verdict> {
    // Ana deletes a file that the seeder's old heads still have.
    let (ana, ben) = (scene.ana.root().join("hello.txt"), scene.ben.root().join("hello.txt"));
    std::fs::remove_file(&ana)?;
    until("the deletion is everywhere", || Ok(!ben.exists()))?;
    for at in [At::Ana, At::Ben] {
        let mut call = scene.as_seeder(at)?;
        call.says(Message::HeadsHave { tips: scene.evil.tips(usize::MAX), last: true });
        call.says(Message::Heads { heads: scene.evil.heads.iter().map(|head| head.bytes().to_vec()).collect() });
        call.was_heard()?;
        call.hang_up();
    }
    scene.judge()?;
    ensure!(!ana.exists() && !ben.exists(), "it stays deleted");
    Ok(Verdict::Ignored)
}

fn old_format(scene: &mut Scene) -> Result<Verdict> {
    let receipt = Receipt {
        folder: scene.folder,
        seeder: scene.evil.seeder.public(),
        head: scene.evil.heads[0].id(),
        holding: Holding::Complete,
        received_ms: 1,
        keep_until_ms: 2,
        free_bytes: 3,
        terms: OpId([1; 32]),
    };
    let mut bytes = receipt.sign(&scene.evil.seeder).bytes().to_vec();
    bytes[0] = 0;
    closed(scene, "broke the protocol", vec![Message::Receipt { bytes }])
}

fn endless_tips(scene: &mut Scene) -> Result<Verdict> {
    let tips = |part: u64| {
        let heads = names(part * 1024, 1024).into_iter();
        heads.map(|cid| Tip { actor: ActorId([1; 16]), seq: 1, head: cobox_proto::id::HeadId(cid.0) }).collect()
    };
    let all = (0..66).map(|part| Message::HeadsHave { tips: tips(part), last: false }).collect();
    closed(scene, "has no end", all)
}

fn endless_log(scene: &mut Scene) -> Result<Verdict> {
    let entries = |part: u64| {
        names(part * 1024, 1024).into_iter().map(|cid| LogEntry { op: OpId(cid.0), envelopes: 0 }).collect()
    };
    let all = (0..66).map(|part| Message::LogHave { entries: entries(part), last: false }).collect();
    closed(scene, "broke the protocol", all)
}

/// Ana writes a large file while this seeder is connected to Ben and gives nothing: it comes from elsewhere.
fn another_source(scene: &mut Scene, answer: impl Fn(Message) -> Vec<Answer>, name: &str) -> Result<Verdict> {
    let mut call = scene.as_seeder(At::Ben)?;
    let content = crate::noise(name.len() as u64, 3 << 20);
    std::fs::write(scene.ana.root().join(name), &content)?;
    let there = scene.ben.root().join(name);
    call.answers_until("it comes from elsewhere", answer, || {
        Ok(std::fs::read(&there).is_ok_and(|bytes| bytes == content))
    })?;
    call.hang_up();
    Ok(Verdict::Contained)
}

fn hangs(scene: &mut Scene) -> Result<Verdict> {
    another_source(scene, |_| vec![], "while it hangs.bin")
}

fn withholds(scene: &mut Scene) -> Result<Verdict> {
    let gone = |message: Message| match message {
        Message::Want { cids } => vec![Answer::Says(Message::Gone { cids })],
        _ => vec![],
    };
    another_source(scene, gone, "while it withholds.bin")
}
