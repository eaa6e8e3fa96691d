//! Bodies, names and inodes for tests.

use cobox_core::path::{FolderPath, Name};
use cobox_core::state::{Body, Content, EpochDepth, Kind, State, View, ViewEntry};
use cobox_proto::id::{ActorId, EpochTag, Inode, SigKey};

pub(super) const DAY_NS: i64 = 86_400_000_000_000;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn path(text: &str) -> FolderPath {
    text.split('/').filter(|part| !part.is_empty()).fold(FolderPath::default(), |path, part| path.join(&name(part)))
}

pub(super) fn shown_path(path: &FolderPath) -> String {
    path.as_str().to_owned()
}

/// A body that is told from others by a number, which is its size too.
pub(super) fn body(value: u64) -> Body {
    let plain_digest = *blake3::hash(&value.to_le_bytes()).as_bytes();
    let content = Content::Inline(value.to_le_bytes().into());
    Body { size: value, mtime_ns: 20_000 * DAY_NS, executable: false, plain_digest, content }
}

/// One of a size that all share: only its digest and its bytes tell it from others.
pub(super) fn sized_alike(value: u64) -> Body {
    Body { size: 8, ..body(value) }
}

/// The number of a body.
pub(super) fn value(body: &Body) -> u64 {
    match &body.content {
        Content::Inline(bytes) => u64::from_le_bytes(bytes[..].try_into().unwrap()),
        _ => unreachable!("the bodies of these tests are inline"),
    }
}

pub(super) fn device(n: u64) -> SigKey {
    SigKey(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

pub(super) fn actor(n: u64) -> ActorId {
    ActorId::from_slice(&device(n).0[..16]).unwrap()
}

pub(super) fn prf(kind: Kind, parent: Inode, name: &Name, n: u32) -> Inode {
    let mut h = blake3::Hasher::new();
    h.update(&[kind as u8]).update(&parent.0).update(&n.to_le_bytes()).update(name.as_str().as_bytes());
    Inode::from_slice(&h.finalize().as_bytes()[..16]).unwrap()
}

/// Epochs are as deep as their first byte says.
pub(super) fn depths() -> impl EpochDepth {
    |epoch: &EpochTag| u64::from(epoch.0[0])
}

/// The view as text, a line per entry: directories end in a slash, contents follow the name, `!` marks losing sides.
pub(super) fn listing(state: &State, view: &View) -> Vec<String> {
    let line = |(path, entry): (&FolderPath, &ViewEntry)| match entry {
        ViewEntry::Dir { .. } => format!("{}/", shown_path(path)),
        ViewEntry::File(shown) | ViewEntry::Symlink(shown) => {
            let mark = if shown.conflict.is_some() { "!" } else { "" };
            format!("{} = {}{mark}", shown_path(path), shown.body(state).unwrap().size)
        }
    };
    view.entries.iter().map(line).collect()
}
