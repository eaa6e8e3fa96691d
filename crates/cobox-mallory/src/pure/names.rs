//! X1, X3: names that lead elsewhere. Mallory writes an honest tree, puts another name into its sealed record, seals it again and signs a
//! head over it; Alice's engine reads it as it would anybody's.

use anyhow::{Context, Result, ensure};
use cobox_core::path::{FolderPath, Name};
use cobox_core::seal::SealedBlock;
use cobox_core::state::Kind;
use cobox_proto::id::{Cid, Inode};

use super::mind::Mind;
use crate::home::Home;
use crate::{Against, Role, Script, Verdict, pure};

pub(crate) const SCRIPTS: &[Script] = &[
    names("x1", "a name is the upper directory, or what a disk takes for it", upwards),
    names("x1", "a name is this directory, or what a disk takes for it", here),
    names("x1", "a name is an absolute path", absolute),
    names("x1", "a name has a way up inside", climbing),
    names("x1", "a name has a nul byte inside", nul),
    names("x1", "a name is empty", empty),
    names("x1", "a name is longer than any disk takes", long),
    names("x1", "a name is no unicode", not_unicode),
    names("x1", "a name is written with a longer length than it needs", second_spelling),
    names("x3", "a name is the control directory in some case", control),
    names("x3", "a name is the control directory behind letters without width", invisible),
    names("x3", "a name is the control directory to windows", windows),
    pure(
        "x1",
        "backslashes, drives and devices are letters of one name",
        Role::Member,
        Against::Member,
        Verdict::Contained,
        letters,
    ),
];

const fn names(case: &'static str, name: &'static str, play: fn() -> Result<Verdict>) -> Script {
    pure(case, name, Role::Member, Against::Member, Verdict::Named, play)
}

/// The blocks of a tree, each spoilt and sealed again; children come before those that name them.
pub(crate) fn respoilt(
    keys: &cobox_core::keys::FolderKeys,
    root: Cid,
    blocks: &[SealedBlock],
    spoil: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<(Cid, Vec<SealedBlock>)> {
    let mut now: Vec<(Cid, Cid)> = Vec::new();
    let mut spoilt = Vec::new();
    let rename = |cid: &Cid, now: &[(Cid, Cid)]| now.iter().find(|(old, _)| old == cid).map_or(*cid, |(_, new)| *new);
    for block in blocks {
        let open = keys.open_block(&block.bytes)?;
        let mut links: Vec<Cid> = open.links.iter().map(|link| rename(link, &now)).collect();
        links.sort();
        let again = keys.seal_block(&open.epoch, open.kind, &links, &spoil(&open.payload))?;
        now.push((block.cid, again.cid));
        spoilt.push(again);
    }
    Ok((rename(&root, &now), spoilt))
}

/// Puts `new` where `old` stands.
pub(crate) fn replaced(payload: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    match payload.windows(old.len()).position(|window| window == old) {
        Some(at) => [&payload[..at], new, &payload[at + old.len()..]].concat(),
        None => payload.to_vec(),
    }
}

/// Shows Alice a tree in which a file's name, with its length, was replaced by these bytes.
fn written(home: &Home, spelling: &[u8]) -> Result<Verdict> {
    let honest: Name = "QQQQQQ".parse()?;
    let body = home.text(b"from Mallory");
    let state = home.state(&home.mallory, |commit| {
        commit.create(Inode::ZERO, &honest, Kind::File, body);
    })?;
    let (tree, blocks) = home.tree(&state)?;
    let (root, blocks) =
        respoilt(&home.keys, tree.root(), &blocks, |payload| replaced(payload, b"\x06QQQQQQ", spelling))?;
    ensure!(root != tree.root(), "the name stands in the tree");
    let head = home.signed(&home.mallory, 1, None, root)?;
    let mut alice = Mind::of_alice(home);
    alice.may_ask_for(blocks);
    alice.sees(&head)?;
    ensure!(alice.engine.view().entries.is_empty(), "nothing of it is shown");
    alice.judged(&head, "")
}

/// All of these names; what came of the last, if all came to the same.
fn all(names: &[&str]) -> Result<Verdict> {
    let bytes: Vec<Vec<u8>> = names.iter().map(|name| [&[name.len() as u8], name.as_bytes()].concat()).collect();
    all_bytes(&bytes)
}

fn all_bytes(spellings: &[Vec<u8>]) -> Result<Verdict> {
    let home = Home::new()?;
    let mut verdict = None;
    for spelling in spellings {
        let came_to = written(&home, spelling).with_context(|| format!("{spelling:02x?}"))?;
        ensure!(came_to == Verdict::Named, "{spelling:02x?} came to {came_to:?}");
        verdict = Some(came_to);
    }
    verdict.context("there are some")
}

fn upwards() -> Result<Verdict> {
    all(&["..", ".. ", " ..", ". .", "..\u{200b}", "\u{202e}..", "\u{ff0e}\u{ff0e}", "\u{2025}", "..::$DATA", "..:x"])
}

fn here() -> Result<Verdict> {
    all(&[".", ". ", " .", "\u{200d}.", "\u{ff0e}", "\u{2024}", ".:stream"])
}

fn absolute() -> Result<Verdict> {
    all(&["/", "//", "/etc/passwd", "//server/share", "/\u{200b}", "/dev/shm/x"])
}

fn climbing() -> Result<Verdict> {
    all(&["../x", "a/../../b", "./a", "a/", "a//b", "a/b", "../../../../etc/cron.d/x", "a/./b"])
}

fn nul() -> Result<Verdict> {
    all(&["\0", "a\0b", "a.txt\0", "..\0", "\0/etc"])
}

fn empty() -> Result<Verdict> {
    all(&[""])
}

fn long() -> Result<Verdict> {
    let of = |len: usize| [&[(len as u8 & 0x7f) | 0x80, (len >> 7) as u8][..], &vec![b'a'; len]].concat();
    all_bytes(&[of(256), of(300), of(4096)])
}

fn not_unicode() -> Result<Verdict> {
    // A lone byte; a slash and a dot in too many bytes; half of a pair; beyond the last letter; cut off.
    let wrong: [&[u8]; 6] = [
        b"\x01\xff",
        b"\x02\xc0\xaf",
        b"\x04\xc0\xae\xc0\xae",
        b"\x03\xed\xa0\x80",
        b"\x04\xf5\x80\x80\x80",
        b"\x02\xe2\x80",
    ];
    all_bytes(&wrong.map(<[u8]>::to_vec))
}

fn second_spelling() -> Result<Verdict> {
    all_bytes(&[b"\x86\x00QQQQQQ".to_vec(), b"\x86\x80\x00QQQQQQ".to_vec()])
}

fn control() -> Result<Verdict> {
    all(&[".cobox", ".COBOX", ".CoBox", ".cobox ", ".cobox.", ".cobox. ."])
}

fn invisible() -> Result<Verdict> {
    all(&[".cob\u{200c}ox", "\u{feff}.cobox", ".co\u{00ad}box", ".cobo\u{ff58}", "\u{ff0e}cobox", ".\u{2060}cobox"])
}

fn windows() -> Result<Verdict> {
    all(&[".cobox:x", ".cobox::$INDEX_ALLOCATION", ".cobox:$I30:$INDEX_ALLOCATION"])
}

/// On the machines that give these a meaning, the disk's own rules hold; in the folder they are one component.
fn letters() -> Result<Verdict> {
    let home = Home::new()?;
    for text in
        ["a\\b", "..\\..\\x", "C:", "C:\\x", "\\\\server\\share", "CON", "nul.txt", "~", "-rf", "%2e%2e%2f", "file:x"]
    {
        let name = Name::new(text)?;
        ensure!(FolderPath::root().join(&name).depth() == 1, "{text} is one component");
        let body = home.text(b"x");
        let state = home.state(&home.mallory, |commit| {
            commit.create(Inode::ZERO, &name, Kind::File, body);
        })?;
        let (tree, blocks) = home.tree(&state)?;
        let head = home.signed(&home.mallory, 1, None, tree.root())?;
        let mut alice = Mind::of_alice(&home);
        alice.may_ask_for(blocks);
        alice.sees(&head)?;
        ensure!(alice.judged(&head, "")? == Verdict::Contained, "{text}");
    }
    Ok(Verdict::Contained)
}
