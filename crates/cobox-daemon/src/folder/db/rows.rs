//! What stands in a row of a folder's database, written and read back. What this program can not have written is `None`, never a guess.

use std::sync::Arc;

use cobox_core::engine::{FileId, Stamp, Synced};
use cobox_core::path::FolderPath;
use cobox_core::state::{Dot, Kind};
use cobox_proto::codec::{Canonical, Reader, Writer};
use cobox_proto::id::{ActorId, EpochTag, Inode};
use rusqlite::params;

/// How many versions one row of `seen` may name.
const SEEN_MAX: usize = 4096;

/// A file that holds a block's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file of the folder.
    File(FolderPath),
    /// A version set aside, if it is there at all.
    Kept(FileId),
}

/// Where the bytes of a sealed block lie in plain, in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// From where.
    pub offset: u64,
    /// How many bytes.
    pub len: u32,
    /// The epoch the block is sealed under.
    pub epoch: EpochTag,
}

pub(super) fn write_synced(
    put: &mut rusqlite::CachedStatement<'_>,
    path: &FolderPath,
    entry: &Synced,
) -> rusqlite::Result<()> {
    let mut seen = Writer::new();
    seen.varint(entry.seen.len() as u64);
    for dot in &entry.seen {
        seen.varint(dot.counter).put(&dot.actor);
    }
    seen.varint(entry.twins.len() as u64);
    for (inode, dot) in &entry.twins {
        seen.put(inode).varint(dot.counter).put(&dot.actor);
    }
    let stamp = entry.stamp;
    put.execute(params![
        path.to_string(),
        entry.inode.0,
        kind_number(entry.kind),
        entry.id.dev as i64,
        entry.id.ino as i64,
        stamp.map(|s| s.size as i64),
        stamp.map(|s| s.mtime_ns),
        stamp.map(|s| s.ctime_ns),
        stamp.map(|s| s.executable),
        entry.digest,
        seen.as_slice(),
    ])?;
    Ok(())
}

pub(super) fn read_synced(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(FolderPath, Arc<Synced>)>> {
    let (path, inode, digest, seen): (String, Vec<u8>, Vec<u8>, Vec<u8>) =
        (row.get(0)?, row.get(1)?, row.get(9)?, row.get(10)?);
    let id = FileId { dev: row.get::<_, i64>(3)? as u64, ino: row.get::<_, i64>(4)? as u64 };
    let size: Option<i64> = row.get(5)?;
    let stamp = match size {
        Some(size) => {
            Some(Stamp { size: size as u64, mtime_ns: row.get(6)?, ctime_ns: row.get(7)?, id, executable: row.get(8)? })
        }
        None => None,
    };
    let parsed = || {
        let mut r = Reader::new(&seen);
        let (mut dots, mut twins) = (smallvec::SmallVec::new(), Vec::new());
        for _ in 0..r.varint_max(SEEN_MAX as u64, "seen").ok()? {
            dots.push(Dot { counter: r.varint().ok()?, actor: ActorId::decode(&mut r).ok()? });
        }
        for _ in 0..r.varint_max(SEEN_MAX as u64, "twins").ok()? {
            let inode = Inode::decode(&mut r).ok()?;
            twins.push((inode, Dot { counter: r.varint().ok()?, actor: ActorId::decode(&mut r).ok()? }));
        }
        r.finish().ok()?;
        let entry = Synced {
            inode: Inode::from_slice(&inode)?,
            kind: kind_of(row.get(2).ok()?)?,
            id,
            stamp,
            digest: digest.as_slice().try_into().ok()?,
            seen: dots,
            twins,
        };
        Some((FolderPath::parse(&path).ok()?, Arc::new(entry)))
    };
    Ok(parsed())
}

/// A piece, the file it lies in, and that file's path if it is known.
pub(super) type PieceRow = (Piece, FileId, Option<FolderPath>);

pub(super) fn read_piece(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<PieceRow>> {
    let id = FileId { dev: row.get::<_, i64>(0)? as u64, ino: row.get::<_, i64>(1)? as u64 };
    let (offset, len, epoch): (i64, u32, Vec<u8>) = (row.get(2)?, row.get(3)?, row.get(4)?);
    let path: Option<String> = row.get(5)?;
    let Some(epoch) = EpochTag::from_slice(&epoch) else { return Ok(None) };
    let path = match path.map(|path| FolderPath::parse(&path)) {
        Some(Err(_)) => return Ok(None),
        path => path.and_then(Result::ok),
    };
    Ok(Some((Piece { offset: offset as u64, len, epoch }, id, path)))
}

fn kind_number(kind: Kind) -> i64 {
    match kind {
        Kind::Dir => 0,
        Kind::File => 1,
        Kind::Symlink => 2,
    }
}

fn kind_of(number: i64) -> Option<Kind> {
    Some(match number {
        0 => Kind::Dir,
        1 => Kind::File,
        2 => Kind::Symlink,
        _ => return None,
    })
}
