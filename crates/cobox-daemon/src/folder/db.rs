//! What one folder remembers of its disk, in SQLite (WAL, synchronous=FULL): the synced tree, where each sealed block's
//! bytes lie in the working files, and the root and heads of the joined state. All of it can be rebuilt from the folder and
//! its members; none of it is ever the only copy of somebody's work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cobox_core::engine::{FileId, Memory, Stamp, Synced};
use cobox_core::path::FolderPath;
use cobox_core::state::{Dot, Kind};
use cobox_proto::codec::{Canonical, Reader, Writer};
use cobox_proto::head::SignedHead;
use cobox_proto::id::{ActorId, Cid, EpochTag, HeadId, Inode};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use crate::disk_tree::KeptId;

/// The schema of this program.
const SCHEMA: i64 = 1;
/// Written to see whether there is room, and removed.
const ROOM_NOTE: &str = "room";
/// How many versions one row of `seen` may name.
const SEEN_MAX: usize = 4096;

/// Why the folder's database can not be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// SQLite said no.
    #[error("{path}: {source}; the folder's files are untouched. Move this file away and start again: it is rebuilt", path = .path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// Written by a newer program.
    #[error("{path} was written by a newer cobox (schema {found}); update cobox", path = .path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// It is damaged and can not be put aside.
    #[error("{path} is damaged and can not be put aside: {source}; move it away yourself and start again: it is rebuilt", path = .path.display())]
    PutAside {
        /// The database.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A row that this program can not have written.
    #[error("{path} is damaged ({what}); the folder's files are untouched. Move this file away and start again: it is rebuilt", path = .path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// Which part.
        what: &'static str,
    },
}

impl DbError {
    /// Whether there was no room.
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => source.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::PutAside { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            Self::Newer { .. } | Self::Damaged { .. } => false,
        }
    }

    /// Whether the file is not what this program wrote.
    fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => {
                matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
            }
            Self::Damaged { .. } => true,
            Self::Newer { .. } | Self::PutAside { .. } => false,
        }
    }
}

/// A file that holds a block's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file of the folder.
    File(FolderPath),
    /// A version set aside.
    Kept(KeptId),
}

impl Place {
    /// As a text; a path never begins with a slash.
    fn to_text(&self) -> String {
        match self {
            Place::File(path) => path.to_string(),
            Place::Kept(id) => format!("/{}", id.as_str()),
        }
    }
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('/') {
            Some(id) => id.parse().ok().map(Place::Kept),
            None => FolderPath::parse(text).ok().map(Place::File),
        }
    }
}

/// Where the bytes of a sealed block lie in plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The file.
    pub place: Place,
    /// From where.
    pub offset: u64,
    /// How many bytes.
    pub len: u32,
    /// The epoch the block is sealed under.
    pub epoch: EpochTag,
}

/// One folder's database. One writer: the folder's own thread; readers open their own.
#[derive(Debug)]
pub(crate) struct FolderDb {
    path: PathBuf,
    db: Connection,
    /// Heads that are kept elsewhere by now; forgotten here by the next write.
    kept_heads: Vec<HeadId>,
}

/// What was remembered at the last stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Root of the joined state.
    pub root: Cid,
    /// The epoch it is sealed under.
    pub epoch: EpochTag,
    /// The heads whose join it is.
    pub frontier: BTreeSet<HeadId>,
}

impl FolderDb {
    /// Opens or makes it.
    pub(crate) fn open(path: &Path) -> Result<Self, DbError> {
        let failed = |source| DbError::Sqlite { path: path.to_path_buf(), source };
        let db = Connection::open(path).map_err(failed)?;
        let this = Self { path: path.to_path_buf(), db, kept_heads: Vec::new() };
        this.prepare()?;
        Ok(this)
    }

    /// The same for a thread that notes only where blocks lie. Such a note is durable with the next memory: both stand in one
    /// log, which is synced in its order. Nobody builds on it before.
    pub(crate) fn open_for_places(path: &Path) -> Result<Self, DbError> {
        let this = Self::open(path)?;
        this.run(|db| db.pragma_update(None, "synchronous", "NORMAL"))?;
        Ok(this)
    }

    /// Opens it and looks at every page. One that is damaged is put aside and begun anew: nothing in it is the only copy of
    /// anything, and with nothing remembered nothing is deleted (i5).
    pub(crate) fn open_sound(path: &Path) -> Result<Self, DbError> {
        let why = match Self::open(path).and_then(|db| db.verify().map(|()| db)) {
            Err(why) if why.is_damage() => why,
            other => return other,
        };
        let aside = path.with_extension("damaged.db");
        tracing::error!(%why, aside = %aside.display(), "what a folder remembered of its disk is damaged; it is put aside and begun anew");
        let io = |e: std::io::Error| DbError::PutAside { path: path.to_path_buf(), source: e };
        std::fs::rename(path, aside).map_err(io)?;
        for companion in ["-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(companion);
            match std::fs::remove_file(PathBuf::from(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
                _ => {}
            }
        }
        Self::open(path)
    }

    fn verify(&self) -> Result<(), DbError> {
        let verdict: String = self.run(|db| db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)))?;
        if verdict != "ok" {
            return Err(self.damaged("its pages"));
        }
        self.remembered()?;
        self.synced().map(|_| ())
    }

    /// Writes something, to see whether that is possible.
    pub(crate) fn try_write(&self) -> Result<(), DbError> {
        // As much as a few entries need: the smallest write may still find a page that is free.
        self.put_note(ROOM_NOTE, &[0x5a; 1 << 16])?;
        self.run(|db| db.execute("DELETE FROM note WHERE name = ?1", [ROOM_NOTE])).map(|_| ())
    }

    /// Forgets what was known of the disk, and with it the state that knew it.
    pub(crate) fn forget_disk(&self) -> Result<(), DbError> {
        self.run(|db| db.execute_batch("BEGIN IMMEDIATE; DELETE FROM synced; DELETE FROM memory; COMMIT;"))
    }

    fn failed(&self, source: rusqlite::Error) -> DbError {
        DbError::Sqlite { path: self.path.clone(), source }
    }

    fn damaged(&self, what: &'static str) -> DbError {
        DbError::Damaged { path: self.path.clone(), what }
    }

    fn prepare(&self) -> Result<(), DbError> {
        self.run(|db| {
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.busy_timeout(std::time::Duration::from_secs(10))
        })?;
        let found: i64 = self.run(|db| db.query_row("PRAGMA user_version", [], |row| row.get(0)))?;
        if found > SCHEMA {
            return Err(DbError::Newer { path: self.path.clone(), found });
        }
        self.run(|db| {
            db.execute_batch(
                "BEGIN IMMEDIATE;
                 CREATE TABLE IF NOT EXISTS synced (
                   path TEXT PRIMARY KEY, inode BLOB NOT NULL, kind INTEGER NOT NULL, dev INTEGER NOT NULL, ino INTEGER NOT NULL,
                   size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, executable INTEGER, digest BLOB NOT NULL, seen BLOB NOT NULL
                 ) WITHOUT ROWID;
                 CREATE TABLE IF NOT EXISTS piece (
                   cid BLOB NOT NULL, path TEXT NOT NULL, start INTEGER NOT NULL, len INTEGER NOT NULL, epoch BLOB NOT NULL,
                   PRIMARY KEY (cid, path, start)
                 ) WITHOUT ROWID;
                 CREATE INDEX IF NOT EXISTS piece_path ON piece (path);
                 CREATE TABLE IF NOT EXISTS memory (one INTEGER PRIMARY KEY CHECK (one = 1), root BLOB NOT NULL, epoch BLOB NOT NULL,
                   frontier BLOB NOT NULL);
                 CREATE TABLE IF NOT EXISTS own_head (id BLOB PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
                 CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
                 PRAGMA user_version = 1;
                 COMMIT;",
            )
        })
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, DbError> {
        work(&self.db).map_err(|source| self.failed(source))
    }

    /// The joined state's root and heads; `None` for a folder that never had one here.
    pub(crate) fn remembered(&self) -> Result<Option<Remembered>, DbError> {
        let row: Option<(Vec<u8>, Vec<u8>, Vec<u8>)> = self.run(|db| {
            db.query_row("SELECT root, epoch, frontier FROM memory", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()
        })?;
        let Some((root, epoch, frontier)) = row else { return Ok(None) };
        let wrong = || self.damaged("memory");
        let mut r = Reader::new(&frontier);
        let heads: Vec<HeadId> = r.list(1 << 16, "frontier").map_err(|_| wrong())?;
        Ok(Some(Remembered {
            root: Cid::from_slice(&root).ok_or_else(wrong)?,
            epoch: EpochTag::from_slice(&epoch).ok_or_else(wrong)?,
            frontier: heads.into_iter().collect(),
        }))
    }

    /// The synced tree.
    pub(crate) fn synced(&self) -> Result<BTreeMap<FolderPath, Arc<Synced>>, DbError> {
        let mut all = BTreeMap::new();
        let failed = |source| self.failed(source);
        let mut statement = self
            .db
            .prepare(
                "SELECT path, inode, kind, dev, ino, size, mtime_ns, ctime_ns, executable, digest, seen FROM synced",
            )
            .map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let (path, entry) = read_synced(row).map_err(failed)?.ok_or_else(|| self.damaged("synced"))?;
            all.insert(path, entry);
        }
        Ok(all)
    }

    /// Makes a memory durable, in one transaction.
    pub(crate) fn remember(&mut self, memory: &Memory) -> Result<(), DbError> {
        let path = self.path.clone();
        let kept = std::mem::take(&mut self.kept_heads);
        let mut work = || -> rusqlite::Result<()> {
            let tx = self.db.transaction()?;
            for id in &kept {
                tx.execute("DELETE FROM own_head WHERE id = ?1", [id.0])?;
            }
            if let Some(head) = &memory.head {
                tx.execute("INSERT OR REPLACE INTO own_head VALUES (?1, ?2)", params![head.id().0, head.bytes()])?;
            }
            let mut frontier = Writer::new();
            frontier.list(&memory.frontier);
            tx.execute(
                "INSERT OR REPLACE INTO memory (one, root, epoch, frontier) VALUES (1, ?1, ?2, ?3)",
                params![memory.root.0, memory.epoch.0, frontier.as_slice()],
            )?;
            {
                let mut put =
                    tx.prepare_cached("INSERT OR REPLACE INTO synced VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)")?;
                let mut drop = tx.prepare_cached("DELETE FROM synced WHERE path = ?1")?;
                for (path, entry) in &memory.synced {
                    match entry {
                        Some(entry) => write_synced(&mut put, path, entry)?,
                        None => {
                            drop.execute([path.to_string()])?;
                        }
                    }
                }
            }
            tx.commit()
        };
        let done = work();
        if done.is_err() {
            self.kept_heads = kept;
        }
        done.map_err(|source| DbError::Sqlite { path, source })
    }

    /// A head of our own is among the folder's records now.
    pub(crate) fn head_is_kept(&mut self, id: HeadId) {
        self.kept_heads.push(id);
    }

    /// Heads that were remembered with the state they publish, and perhaps were not published before a stop.
    pub(crate) fn own_heads(&self) -> Result<Vec<SignedHead>, DbError> {
        let failed = |source| self.failed(source);
        let mut statement = self.db.prepare("SELECT bytes FROM own_head").map_err(failed)?;
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).map_err(failed)?;
        let bytes: Vec<Vec<u8>> = rows.collect::<Result<_, _>>().map_err(failed)?;
        let read = |bytes: &Vec<u8>| SignedHead::from_bytes(bytes).map_err(|_| self.damaged("own_head"));
        bytes.iter().map(read).collect()
    }

    /// Replaces what is known of where these files' blocks lie, in one transaction.
    pub(crate) fn put_pieces<'p>(
        &mut self,
        files: impl Iterator<Item = (&'p FolderPath, &'p [(Cid, Piece)])>,
    ) -> Result<(), DbError> {
        let place = self.path.clone();
        let work = || -> rusqlite::Result<()> {
            let tx = self.db.transaction()?;
            {
                let mut drop = tx.prepare_cached("DELETE FROM piece WHERE path = ?1")?;
                let mut put = tx.prepare_cached("INSERT OR REPLACE INTO piece VALUES (?1,?2,?3,?4,?5)")?;
                for (path, pieces) in files {
                    drop.execute([path.to_string()])?;
                    for (cid, piece) in pieces {
                        put.execute(params![
                            cid.0,
                            piece.place.to_text(),
                            piece.offset as i64,
                            piece.len,
                            piece.epoch.0
                        ])?;
                    }
                }
            }
            tx.commit()
        };
        work().map_err(|source| DbError::Sqlite { path: place, source })
    }

    /// A file was set aside: its blocks lie there now.
    pub(crate) fn keep_pieces(&self, path: &FolderPath, kept: &KeptId) -> Result<(), DbError> {
        let (from, to) = (path.to_string(), Place::Kept(kept.clone()).to_text());
        self.run(|db| db.execute("UPDATE OR REPLACE piece SET path = ?2 WHERE path = ?1", [&from, &to])).map(|_| ())
    }

    /// A version set aside was dropped.
    pub(crate) fn drop_kept(&self, kept: &KeptId) -> Result<(), DbError> {
        self.run(|db| db.execute("DELETE FROM piece WHERE path = ?1", [Place::Kept(kept.clone()).to_text()]))
            .map(|_| ())
    }

    /// A file or directory moved: what is known of its blocks moves along.
    pub(crate) fn move_pieces(&mut self, from: &FolderPath, to: &FolderPath) -> Result<(), DbError> {
        let (from, to) = (from.to_string(), to.to_string());
        self.run(|db| {
            db.execute("UPDATE OR REPLACE piece SET path = ?2 WHERE path = ?1", [&from, &to])?;
            db.execute(
                "UPDATE OR REPLACE piece SET path = ?2 || substr(path, length(?1) + 1)
                 WHERE path >= ?1 || '/' AND path < ?1 || '0'",
                [&from, &to],
            )
        })
        .map(|_| ())
    }

    /// Where a block's bytes may lie; the caller verifies.
    pub(crate) fn pieces(&self, cid: &Cid) -> Result<Vec<Piece>, DbError> {
        let failed = |source| self.failed(source);
        let mut statement =
            self.db.prepare_cached("SELECT path, start, len, epoch FROM piece WHERE cid = ?1").map_err(failed)?;
        let mut rows = statement.query([cid.0]).map_err(failed)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let piece = read_piece(row).map_err(failed)?.ok_or_else(|| self.damaged("piece"))?;
            all.push(piece);
        }
        Ok(all)
    }

    /// A small value by name.
    pub(crate) fn note(&self, name: &str) -> Result<Option<Vec<u8>>, DbError> {
        self.run(|db| db.query_row("SELECT value FROM note WHERE name = ?1", [name], |row| row.get(0)).optional())
    }

    /// Keeps a small value.
    pub(crate) fn put_note(&self, name: &str, value: &[u8]) -> Result<(), DbError> {
        self.run(|db| db.execute("INSERT OR REPLACE INTO note VALUES (?1, ?2)", params![name, value])).map(|_| ())
    }
}

fn write_synced(put: &mut rusqlite::CachedStatement<'_>, path: &FolderPath, entry: &Synced) -> rusqlite::Result<()> {
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

fn read_synced(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(FolderPath, Arc<Synced>)>> {
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

fn read_piece(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Piece>> {
    let (path, epoch): (String, Vec<u8>) = (row.get(0)?, row.get(3)?);
    let (offset, len): (i64, u32) = (row.get(1)?, row.get(2)?);
    Ok(Place::parse(&path).zip(EpochTag::from_slice(&epoch)).map(|(place, epoch)| Piece {
        place,
        offset: offset as u64,
        len,
        epoch,
    }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FolderPath {
        FolderPath::parse(text).unwrap()
    }

    fn piece(place: Place, offset: u64) -> Piece {
        Piece { place, offset, len: 7, epoch: EpochTag([2; 16]) }
    }

    #[test]
    fn what_is_remembered_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tree.db");
        let dot = |counter| Dot { counter, actor: ActorId([9; 16]) };
        let id = FileId { dev: u64::MAX, ino: 5 };
        let entry = Arc::new(Synced {
            inode: Inode([1; 16]),
            kind: Kind::File,
            id,
            stamp: Some(Stamp { size: 3, mtime_ns: -1, ctime_ns: 8, id, executable: true }),
            digest: [4; 32],
            seen: [dot(1), dot(2)].into_iter().collect(),
            twins: vec![(Inode([7; 16]), dot(3))],
        });
        let folder = Arc::new(Synced::dir(Inode([3; 16]), id));
        let mut memory = Memory {
            root: Cid([1; 32]),
            epoch: EpochTag([2; 16]),
            frontier: vec![HeadId([3; 32])],
            synced: vec![
                (path("a"), Some(folder.clone())),
                (path("a/b"), Some(entry.clone())),
                (path("c"), Some(folder)),
            ],
            head: None,
        };
        let mut db = FolderDb::open(&file).unwrap();
        assert_eq!(db.remembered().unwrap(), None);
        db.remember(&memory).unwrap();
        memory.synced = vec![(path("c"), None)];
        db.remember(&memory).unwrap();
        drop(db);
        let db = FolderDb::open(&file).unwrap();
        let found = db.remembered().unwrap().unwrap();
        assert_eq!((found.root, found.frontier.len()), (memory.root, 1));
        let synced = db.synced().unwrap();
        assert_eq!(synced.keys().cloned().collect::<Vec<_>>(), [path("a"), path("a/b")]);
        assert_eq!(synced[&path("a/b")], entry);
    }

    #[test]
    fn places_of_blocks_follow_files_that_move_or_are_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = FolderDb::open(&dir.path().join("tree.db")).unwrap();
        let (one, two) = (Cid([1; 32]), Cid([2; 32]));
        let at = |text: &str| Place::File(path(text));
        let (first, second) = (path("d/x"), path("d0"));
        let rows = [(one, piece(at("d/x"), 0))];
        let others = [(two, piece(at("d0"), 4))];
        db.put_pieces([(&first, rows.as_slice()), (&second, others.as_slice())].into_iter()).unwrap();
        db.move_pieces(&path("d"), &path("e")).unwrap();
        assert_eq!(db.pieces(&one).unwrap(), [piece(at("e/x"), 0)]);
        assert_eq!(db.pieces(&two).unwrap(), [piece(at("d0"), 4)], "a neighbour stays");
        let kept: KeptId = "0123456789abcdef-1-2-3".parse().unwrap();
        db.keep_pieces(&path("e/x"), &kept).unwrap();
        assert_eq!(db.pieces(&one).unwrap(), [piece(Place::Kept(kept.clone()), 0)]);
        db.drop_kept(&kept).unwrap();
        assert!(db.pieces(&one).unwrap().is_empty());
    }

    #[test]
    fn u2_i5_a_newer_or_damaged_database_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let newer = dir.path().join("newer.db");
        FolderDb::open(&newer).unwrap().db.pragma_update(None, "user_version", SCHEMA + 1).unwrap();
        assert!(matches!(FolderDb::open(&newer), Err(DbError::Newer { found, .. }) if found == SCHEMA + 1));
        let garbage = dir.path().join("garbage.db");
        let bytes = [0x5a; 8192];
        std::fs::write(&garbage, bytes).unwrap();
        let error = FolderDb::open(&garbage).unwrap_err();
        assert!(matches!(error, DbError::Sqlite { .. }));
        assert!(error.to_string().contains("garbage.db") && error.to_string().contains("rebuilt"), "{error}");
        assert_eq!(std::fs::read(&garbage).unwrap(), bytes);
    }

    #[test]
    fn i5_a_damaged_database_is_put_aside_whole_and_a_newer_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tree.db");
        FolderDb::open_sound(&file).unwrap().put_note("copy", b"1").unwrap();
        assert_eq!(FolderDb::open_sound(&file).unwrap().note("copy").unwrap().as_deref(), Some(&b"1"[..]));
        std::fs::write(&file, [0x5a; 8192]).unwrap();
        assert_eq!(FolderDb::open_sound(&file).unwrap().note("copy").unwrap(), None, "begun anew");
        assert_eq!(std::fs::read(dir.path().join("tree.damaged.db")).unwrap(), [0x5a; 8192], "nothing is thrown away");
        // A row that can not be read is damage, too.
        let db = FolderDb::open_sound(&file).unwrap();
        db.db.execute("INSERT INTO memory VALUES (1, x'00', x'00', x'00')", []).unwrap();
        drop(db);
        assert_eq!(FolderDb::open_sound(&file).unwrap().remembered().unwrap(), None);
        FolderDb::open(&file).unwrap().db.pragma_update(None, "user_version", SCHEMA + 1).unwrap();
        assert!(matches!(FolderDb::open_sound(&file), Err(DbError::Newer { .. })), "left alone");
    }

    #[test]
    fn i5_what_was_known_of_the_disk_goes_with_the_state_that_knew_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = FolderDb::open(&dir.path().join("tree.db")).unwrap();
        let id = FileId { dev: 1, ino: 2 };
        let memory = Memory {
            head: None,
            root: Cid([1; 32]),
            epoch: EpochTag([2; 16]),
            frontier: Vec::new(),
            synced: vec![(path("a"), Some(Arc::new(Synced::dir(Inode([3; 16]), id))))],
        };
        db.remember(&memory).unwrap();
        db.put_note("copy", b"1").unwrap();
        db.forget_disk().unwrap();
        assert!(db.synced().unwrap().is_empty() && db.remembered().unwrap().is_none());
        assert!(db.note("copy").unwrap().is_some(), "whose directory it is stays known (h1)");
    }
}
