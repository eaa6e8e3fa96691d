//! Items: a kind fixed for life, a place register and a body register (design 2.1).

use cobox_proto::guard::Guard;
use cobox_proto::id::{Cid, EpochTag, Inode};
use smallvec::SmallVec;

use super::Dot;
use crate::path::Name;

/// What an item is; part of its inode, so it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A directory; has no body.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link; its body's inline content is the target.
    Symlink,
}

/// Where an item hangs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loc {
    /// When it came to this place; a refresh keeps it, so renames and edits do not fight.
    pub vd: Dot,
    /// The directory; the root is [`Inode::ZERO`].
    pub parent: Inode,
    /// The name there.
    pub name: Name,
    /// For directories: deleted, shown only while something live is below.
    pub trashed: bool,
}

/// Where one chunk of a file lies (formats F3, ref kind 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ref {
    /// The sealed block.
    pub cid: Cid,
    /// Plain bytes in it.
    pub len: u32,
    /// The epoch it was sealed under.
    pub epoch: EpochTag,
}

/// The list of refs of a file with more than 64 chunks, kept as a tree of its own (formats F3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manifest {
    /// Top node.
    pub cid: Cid,
    /// How many refs it lists.
    pub refs: u64,
    /// The oldest epoch among them, so that a re-encryption shows.
    pub oldest_epoch: EpochTag,
    /// BLAKE3 over the refs' cids in file order.
    pub refs_digest: [u8; 32],
}

/// The bytes of a file or the target of a symlink.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// At most 512 bytes, in the record itself.
    Inline(Box<[u8]>),
    /// 1 to 64 chunks in file order.
    Refs(Box<[Ref]>),
    /// More.
    Manifest(Box<Manifest>),
}

impl Content {
    /// The blocks that a record names for it: the chunks, or of a long file the top of their list.
    pub fn cids(&self) -> impl Iterator<Item = Cid> + '_ {
        let (refs, list): (&[Ref], Option<Cid>) = match self {
            Content::Inline(_) => (&[], None),
            Content::Refs(refs) => (refs, None),
            Content::Manifest(manifest) => (&[], Some(manifest.cid)),
        };
        refs.iter().map(|piece| piece.cid).chain(list)
    }
}

/// One version of a file's content with what travels beside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Body {
    /// Plain bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970; kept and shown, never used for order.
    pub mtime_ns: i64,
    /// The executable bit, the only mode bit that travels.
    pub executable: bool,
    /// Keyed digest of the whole content (formats F3), independent of epochs; for inline content computed from the bytes.
    pub plain_digest: [u8; 32],
    /// Where the bytes are.
    pub content: Content,
}

impl Body {
    /// Whether a person sees no difference: such values are no conflict (design 2.4).
    pub fn same_value(&self, other: &Body) -> bool {
        self.value() == other.value()
    }

    pub(super) fn value(&self) -> ([u8; 32], u64, bool) {
        let digest = if Guard::ConflictKeepsBoth.stands() { self.plain_digest } else { [0; 32] };
        (digest, self.size, self.executable)
    }
}

/// The concurrent values of one register, sorted by dot.
pub type Values<V> = SmallVec<[(Dot, V); 1]>;

/// A file, directory or symlink with all its concurrent values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Fixed for life.
    pub kind: Kind,
    /// Place values, sorted by dot; one but for concurrent moves.
    pub loc: Values<Loc>,
    /// Body values, sorted by dot; one but for conflicts, none for directories.
    pub body: Values<Body>,
}

/// Where a record stands in the tree: effective parent, then inode (formats F3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Parent of the effective place.
    pub parent: Inode,
    /// The item.
    pub inode: Inode,
}

impl Item {
    /// The place that counts: for directories non-trashed before trashed, then the greatest
    /// (vd, parent, name, trashed, dot); for files and symlinks the greatest of those. `None` only for a malformed item.
    pub fn effective(&self) -> Option<&(Dot, Loc)> {
        if let [only] = &self.loc[..] {
            return Some(only);
        }
        let dir = self.kind == Kind::Dir;
        self.loc.iter().max_by(|(da, a), (db, b)| {
            let live = |l: &Loc| dir && !l.trashed;
            (live(a), a.vd, a.parent, &a.name, a.trashed, da).cmp(&(live(b), b.vd, b.parent, &b.name, b.trashed, db))
        })
    }

    /// The record's key.
    pub fn key(&self, inode: Inode) -> Option<Key> {
        self.effective().map(|(_, loc)| Key { parent: loc.parent, inode })
    }
}
