//! What one folder remembers of its disk, in SQLite (WAL, synchronous=FULL): the synced tree, where each sealed block's
//! bytes lie in the working files, and the root and heads of the joined state. All of it can be rebuilt from the folder and
//! its members; none of it is ever the only copy of somebody's work.

mod error;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cobox_core::engine::{FileId, Memory, Synced};
use cobox_core::path::FolderPath;
use cobox_proto::codec::{Reader, Writer};
use cobox_proto::head::SignedHead;
use cobox_proto::id::{Cid, EpochTag, HeadId, SigKey};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};

pub(crate) use self::error::DbError;
pub(crate) use self::rows::{Piece, Place};
use self::rows::{read_piece, read_synced, write_synced};

/// The schema of this program.
const SCHEMA: i64 = 2;
const DROP_PIECES: &str = "DELETE FROM piece_of_file WHERE dev = ?1 AND ino = ?2";
/// Written to see whether there is room, and removed.
const ROOM_NOTE: &str = "room";
/// Schema 1 knew a block's file by its path, which a person may change at any time.
const PIECES_BY_PATH: &str = "
    INSERT OR IGNORE INTO piece_of_file
      SELECT cid, dev, ino, start, len, epoch FROM piece JOIN synced ON synced.path = piece.path;
    DROP TABLE piece;";
/// What the log may keep on the disk once all of it stands in the database: it is as long as the largest transaction was, else.
const LOG_BYTES_MAX: i64 = 1 << 20;
/// Names the device whose memory it is: its key in this folder, which no other device and no other folder has.
const DEVICE_NOTE: &str = "device";

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
        let failed = |source| DbError::sqlite(path, source);
        let db = Connection::open(path).map_err(failed)?;
        // SQLite is content with reading where it may not write, and says so at the first write only.
        if db.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
            return Err(DbError::ReadOnly { path: path.to_path_buf() });
        }
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

    /// Opens it and looks at every page. One that is damaged, or that another device or folder remembers its disk in, is put aside
    /// and begun anew: nothing in it is the only copy of anything, and with nothing remembered nothing is deleted (i5).
    pub(crate) fn open_sound(path: &Path, device: &SigKey) -> Result<Self, DbError> {
        let sound = Self::open(path).and_then(|db| db.verify().and_then(|()| db.belongs_to(device)).map(|()| db));
        let why = match sound {
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
        let db = Self::open(path)?;
        db.belongs_to(device)?;
        Ok(db)
    }

    /// Whose memory it is; one that says nothing yet is this device's from now on.
    fn belongs_to(&self, device: &SigKey) -> Result<(), DbError> {
        match self.note(DEVICE_NOTE)? {
            None => self.put_note(DEVICE_NOTE, &device.0),
            Some(owner) if owner == device.0 => Ok(()),
            Some(_) => Err(DbError::Foreign { path: self.path.clone() }),
        }
    }

    fn verify(&self) -> Result<(), DbError> {
        let verdict: String = self.run(|db| db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)))?;
        if verdict != "ok" {
            return Err(self.damaged("its pages"));
        }
        self.remembered().map(|_| ())
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
        DbError::sqlite(&self.path, source)
    }

    fn damaged(&self, what: &'static str) -> DbError {
        DbError::Damaged { path: self.path.clone(), what }
    }

    fn prepare(&self) -> Result<(), DbError> {
        self.run(|db| {
            // Without it SQLite plans a statement anew for each value that is bound.
            db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)?;
            db.busy_timeout(std::time::Duration::from_secs(10))
        })?;
        let found: i64 = self.run(|db| db.query_row("PRAGMA user_version", [], |row| row.get(0)))?;
        if found > SCHEMA {
            return Err(DbError::Newer { path: self.path.clone(), found });
        }
        let old_pieces = if found == 1 { PIECES_BY_PATH } else { "" };
        self.run(|db| {
            db.execute_batch(&format!(
                "BEGIN IMMEDIATE;
                 CREATE TABLE IF NOT EXISTS synced (
                   path TEXT PRIMARY KEY, inode BLOB NOT NULL, kind INTEGER NOT NULL, dev INTEGER NOT NULL, ino INTEGER NOT NULL,
                   size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, executable INTEGER, digest BLOB NOT NULL, seen BLOB NOT NULL
                 ) WITHOUT ROWID;
                 CREATE INDEX IF NOT EXISTS synced_file ON synced (ino, dev);
                 CREATE TABLE IF NOT EXISTS piece_of_file (
                   cid BLOB NOT NULL, dev INTEGER NOT NULL, ino INTEGER NOT NULL, start INTEGER NOT NULL, len INTEGER NOT NULL,
                   epoch BLOB NOT NULL, PRIMARY KEY (cid, dev, ino, start)
                 ) WITHOUT ROWID;
                 CREATE INDEX IF NOT EXISTS piece_file ON piece_of_file (ino, dev);
                 CREATE TABLE IF NOT EXISTS memory (one INTEGER PRIMARY KEY CHECK (one = 1), root BLOB NOT NULL, epoch BLOB NOT NULL,
                   frontier BLOB NOT NULL);
                 CREATE TABLE IF NOT EXISTS own_head (id BLOB PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
                 CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
                 {old_pieces}
                 PRAGMA user_version = {SCHEMA};
                 COMMIT;",
            ))
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
        done.map_err(|source| DbError::sqlite(&path, source))
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

    /// Replaces what is known of where these files' blocks lie, in one transaction. A file is known by what the disk knows it by, so
    /// that it serves its blocks wherever people, or steps, move it or a directory above it.
    pub(crate) fn put_pieces<'p>(
        &mut self,
        files: impl Iterator<Item = (FileId, &'p [(Cid, Piece)])>,
    ) -> Result<(), DbError> {
        let place = self.path.clone();
        let work = || -> rusqlite::Result<()> {
            let tx = self.db.transaction()?;
            {
                let mut drop = tx.prepare_cached(DROP_PIECES)?;
                let mut put = tx.prepare_cached("INSERT OR REPLACE INTO piece_of_file VALUES (?1,?2,?3,?4,?5,?6)")?;
                for (id, pieces) in files {
                    let (dev, ino) = (id.dev as i64, id.ino as i64);
                    drop.execute([dev, ino])?;
                    for (cid, piece) in pieces {
                        put.execute(params![cid.0, dev, ino, piece.offset as i64, piece.len, piece.epoch.0])?;
                    }
                }
            }
            tx.commit()
        };
        work().map_err(|source| DbError::sqlite(&place, source))
    }

    /// A version set aside is about to be dropped. Not after that: another file may be the same to the disk then.
    pub(crate) fn drop_pieces(&self, id: FileId) -> Result<(), DbError> {
        self.run(|db| db.execute(DROP_PIECES, [id.dev as i64, id.ino as i64])).map(|_| ())
    }

    /// The blocks that a file was cut into, as far as they are noted.
    pub(crate) fn pieces_of(&self, id: FileId) -> Result<BTreeSet<Cid>, DbError> {
        let failed = |source| self.failed(source);
        let mut statement =
            self.db.prepare_cached("SELECT cid FROM piece_of_file WHERE dev = ?1 AND ino = ?2").map_err(failed)?;
        let rows =
            statement.query_map([id.dev as i64, id.ino as i64], |row| row.get::<_, [u8; 32]>(0)).map_err(failed)?;
        rows.map(|cid| cid.map(Cid).map_err(failed)).collect()
    }

    /// Where a block's bytes may lie, likely places first; the caller verifies.
    pub(crate) fn pieces(&self, cid: &Cid) -> Result<Vec<(Place, Piece)>, DbError> {
        let failed = |source| self.failed(source);
        let mut statement = self
            .db
            .prepare_cached(
                "SELECT piece.dev, piece.ino, start, len, epoch, path FROM piece_of_file AS piece
                 LEFT JOIN synced ON synced.ino = piece.ino AND synced.dev = piece.dev WHERE cid = ?1",
            )
            .map_err(failed)?;
        let mut rows = statement.query([cid.0]).map_err(failed)?;
        let (mut all, mut kept) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next().map_err(failed)? {
            let (piece, id, path) = read_piece(row).map_err(failed)?.ok_or_else(|| self.damaged("piece"))?;
            all.extend(path.map(|path| (Place::File(path), piece.clone())));
            kept.push((Place::Kept(id), piece));
        }
        all.append(&mut kept);
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

#[cfg(test)]
mod tests {
    use cobox_core::engine::{FileId, Stamp};
    use cobox_core::state::{Dot, Kind};
    use cobox_proto::id::{ActorId, Inode};

    use super::*;

    const DEVICE: SigKey = SigKey([7; 32]);

    fn path(text: &str) -> FolderPath {
        FolderPath::parse(text).unwrap()
    }

    fn piece(offset: u64) -> Piece {
        Piece { offset, len: 7, epoch: EpochTag([2; 16]) }
    }

    fn file(id: FileId) -> Arc<Synced> {
        let stamp = Stamp { size: 3, mtime_ns: -1, ctime_ns: 8, id, executable: true };
        let (digest, seen) = ([4; 32], smallvec::SmallVec::new());
        Arc::new(Synced {
            inode: Inode([1; 16]),
            kind: Kind::File,
            id,
            stamp: Some(stamp),
            digest,
            seen,
            twins: Vec::new(),
        })
    }

    fn memory(synced: Vec<(FolderPath, Option<Arc<Synced>>)>) -> Memory {
        Memory { root: Cid([1; 32]), epoch: EpochTag([2; 16]), frontier: vec![HeadId([3; 32])], synced, head: None }
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
    fn places_of_blocks_follow_files_that_move_with_a_directory_or_are_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = FolderDb::open(&dir.path().join("tree.db")).unwrap();
        let (one, two) = (FileId { dev: u64::MAX, ino: 1 }, FileId { dev: u64::MAX, ino: 2 });
        let (ones, twos) = (Cid([1; 32]), Cid([2; 32]));
        let at = |text: &str| Place::File(path(text));
        db.put_pieces([(one, [(ones, piece(0))].as_slice()), (two, &[(twos, piece(4))])].into_iter()).unwrap();
        assert_eq!(db.pieces(&ones).unwrap(), [(Place::Kept(one), piece(0))]);
        db.remember(&memory(vec![(path("d/x"), Some(file(one))), (path("e/x"), Some(file(two)))])).unwrap();
        assert_eq!(db.pieces(&ones).unwrap(), [(at("d/x"), piece(0)), (Place::Kept(one), piece(0))]);
        // The two directories swap their names: what is in them is not read again.
        db.remember(&memory(vec![(path("d/x"), Some(file(two))), (path("e/x"), Some(file(one)))])).unwrap();
        assert_eq!(db.pieces(&ones).unwrap()[0], (at("e/x"), piece(0)));
        assert_eq!(db.pieces(&twos).unwrap()[0], (at("d/x"), piece(4)));
        // An edit in place, and a deletion.
        db.put_pieces([(one, [(twos, piece(0))].as_slice())].into_iter()).unwrap();
        assert!(db.pieces(&ones).unwrap().is_empty());
        db.remember(&memory(vec![(path("d/x"), None)])).unwrap();
        db.drop_pieces(two).unwrap();
        assert_eq!(db.pieces(&twos).unwrap(), [(at("e/x"), piece(0)), (Place::Kept(one), piece(0))]);
    }

    #[test]
    fn u2_places_known_by_path_are_known_by_file_after_an_update() {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("tree.db");
        let (id, cid) = (FileId { dev: 3, ino: 9 }, Cid([1; 32]));
        let mut db = FolderDb::open(&old).unwrap();
        db.remember(&memory(vec![(path("d/x"), Some(file(id)))])).unwrap();
        let schema_1 = "DROP TABLE piece_of_file; DROP INDEX synced_file;
             CREATE TABLE piece (
               cid BLOB NOT NULL, path TEXT NOT NULL, start INTEGER NOT NULL, len INTEGER NOT NULL, epoch BLOB NOT NULL,
               PRIMARY KEY (cid, path, start)
             ) WITHOUT ROWID;
             PRAGMA user_version = 1;";
        db.db.execute_batch(schema_1).unwrap();
        for at in ["d/x", "long gone"] {
            db.db.execute("INSERT INTO piece VALUES (?1, ?2, 4, 7, ?3)", params![cid.0, at, [2_u8; 16]]).unwrap();
        }
        drop(db);
        for _ in 0..2 {
            let places = FolderDb::open(&old).unwrap().pieces(&cid).unwrap();
            assert_eq!(places, [(Place::File(path("d/x")), piece(4)), (Place::Kept(id), piece(4))]);
        }
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
        assert!(error.is_damage());
        assert!(error.to_string().contains("garbage.db") && error.to_string().contains("rebuilt"), "{error}");
        assert_eq!(std::fs::read(&garbage).unwrap(), bytes);
    }

    #[test]
    fn i5_a_damaged_database_is_put_aside_whole_and_a_newer_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tree.db");
        FolderDb::open_sound(&file, &DEVICE).unwrap().put_note("copy", b"1").unwrap();
        assert_eq!(FolderDb::open_sound(&file, &DEVICE).unwrap().note("copy").unwrap().as_deref(), Some(&b"1"[..]));
        std::fs::write(&file, [0x5a; 8192]).unwrap();
        assert_eq!(FolderDb::open_sound(&file, &DEVICE).unwrap().note("copy").unwrap(), None, "begun anew");
        assert_eq!(std::fs::read(dir.path().join("tree.damaged.db")).unwrap(), [0x5a; 8192], "nothing is thrown away");
        // A row that can not be read is damage, too.
        let db = FolderDb::open_sound(&file, &DEVICE).unwrap();
        db.db.execute("INSERT INTO memory VALUES (1, x'00', x'00', x'00')", []).unwrap();
        drop(db);
        assert_eq!(FolderDb::open_sound(&file, &DEVICE).unwrap().remembered().unwrap(), None);
        FolderDb::open(&file).unwrap().db.pragma_update(None, "user_version", SCHEMA + 1).unwrap();
        assert!(matches!(FolderDb::open_sound(&file, &DEVICE), Err(DbError::Newer { .. })), "left alone");
    }

    #[test]
    fn i5_the_memory_of_another_device_or_folder_is_put_aside_and_never_believed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tree.db");
        FolderDb::open_sound(&file, &SigKey([8; 32])).unwrap().put_note("copy", b"theirs").unwrap();
        let db = FolderDb::open_sound(&file, &DEVICE).unwrap();
        assert_eq!(db.note("copy").unwrap(), None, "begun anew");
        db.put_note("copy", b"ours").unwrap();
        drop(db);
        let aside = FolderDb::open_sound(&dir.path().join("tree.damaged.db"), &SigKey([8; 32])).unwrap();
        assert_eq!(aside.note("copy").unwrap().as_deref(), Some(&b"theirs"[..]), "nothing is thrown away");
        let again = FolderDb::open_sound(&file, &DEVICE).unwrap();
        assert_eq!(again.note("copy").unwrap().as_deref(), Some(&b"ours"[..]));
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
