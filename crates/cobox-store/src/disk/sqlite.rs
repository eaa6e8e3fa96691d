//! The index in SQLite: a change is one synced transaction.

use std::path::{Path, PathBuf};

use cobox_proto::id::Cid;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::index::{Change, Index, Indexed, Place, Segment};
use super::segment::record_len;
use crate::StoreError;
use crate::block_store::Entry;
use crate::database::{self, Format};

const FORMAT: Format = Format {
    application_id: 0x636f_6278,
    version: 1,
    // Never reusing a segment's number (AUTOINCREMENT) keeps a slow reader from finding a new file under an old place.
    schema: "
        CREATE TABLE blocks (
            cid BLOB PRIMARY KEY,
            segment INTEGER NOT NULL,
            at INTEGER NOT NULL,       -- where the record starts
            len INTEGER NOT NULL,      -- of the block
            links INTEGER NOT NULL,
            complete INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX blocks_by_place ON blocks (segment, at);
        CREATE TABLE segments (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            end INTEGER NOT NULL,      -- everything before this is indexed or dead
            live_bytes INTEGER NOT NULL,
            live_blocks INTEGER NOT NULL,
            dropped INTEGER NOT NULL   -- the file is to be removed
        );
    ",
};

/// One connection to the index.
#[derive(Debug)]
pub struct SqliteIndex {
    path: PathBuf,
    connection: Connection,
}

impl SqliteIndex {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: database::open(path, &FORMAT)?, path: path.to_owned() })
    }

    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        question(&self.connection).map_err(|e| StoreError::database(&self.path, e))
    }

    fn rows(&self, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<Vec<Indexed>, StoreError> {
        self.ask(|c| c.prepare_cached(sql)?.query_map(params, indexed)?.collect())
    }
}

impl Index for SqliteIndex {
    fn reader(&self) -> Result<Self, StoreError> {
        Ok(Self { connection: database::connect(&self.path)?, path: self.path.clone() })
    }

    fn change<'c>(&mut self, changes: impl IntoIterator<Item = Change<'c>>) -> Result<u64, StoreError> {
        let run = || {
            let tx = self.connection.transaction()?;
            let mut blocks = 0;
            for change in changes {
                blocks += apply(&tx, change)?;
            }
            tx.commit()?;
            Ok(blocks)
        };
        run().map_err(|e| StoreError::database(&self.path, e))
    }

    fn find(&self, cid: &Cid) -> Result<Option<Indexed>, StoreError> {
        self.ask(|c| {
            c.prepare_cached("SELECT cid, segment, at, len, links, complete FROM blocks WHERE cid = ?1")?
                .query_row([cid.0], indexed)
                .optional()
        })
    }

    fn list(&self, after: Option<&Cid>, max: usize) -> Result<Vec<Entry>, StoreError> {
        // The empty blob sorts before every name.
        let after = after.map_or(&[][..], |cid| &cid.0[..]);
        let rows = self.rows(
            "SELECT cid, segment, at, len, links, complete FROM blocks WHERE cid > ?1 ORDER BY cid LIMIT ?2",
            params![after, i64::try_from(max).unwrap_or(i64::MAX)],
        )?;
        Ok(rows.iter().map(|row| Entry { cid: row.cid, len: row.place.len, complete: row.complete }).collect())
    }

    fn by_place(&self, from: (u32, u64), max: u32) -> Result<Vec<Indexed>, StoreError> {
        self.rows(
            "SELECT cid, segment, at, len, links, complete FROM blocks WHERE (segment, at) >= (?1, ?2) \
             ORDER BY segment, at LIMIT ?3",
            params![from.0, from.1 as i64, max],
        )
    }

    fn of_segment(&self, id: u32) -> Result<Vec<Indexed>, StoreError> {
        self.rows(
            "SELECT cid, segment, at, len, links, complete FROM blocks WHERE segment = ?1 ORDER BY at",
            params![id],
        )
    }

    fn segments(&self) -> Result<Vec<Segment>, StoreError> {
        self.ask(|c| {
            c.prepare_cached("SELECT id, end, live_bytes, live_blocks, dropped FROM segments ORDER BY id")?
                .query_map([], segment)?
                .collect()
        })
    }

    fn last_segment_id(&self) -> Result<u32, StoreError> {
        self.ask(|c| {
            c.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'segments'", [], |row| row.get(0))
                .optional()
                .map(Option::unwrap_or_default)
        })
    }
}

/// Returns how many blocks came or went.
fn apply(tx: &Transaction<'_>, change: Change<'_>) -> rusqlite::Result<u64> {
    match change {
        Change::End(id, end) => set_end(tx, id, end),
        Change::Add(row) => insert(tx, row),
        Change::Remove(cid) => remove(tx, cid),
        Change::Mark(cid, complete) => {
            let mut update = tx.prepare_cached("UPDATE blocks SET complete = ?2 WHERE cid = ?1")?;
            update.execute(params![cid.0, complete]).map(|_| 0)
        }
        Change::Drop(id) => {
            let gone = tx.execute("DELETE FROM blocks WHERE segment = ?1", [id])?;
            tx.execute(
                "UPDATE segments SET end = 0, live_bytes = 0, live_blocks = 0, dropped = 1 WHERE id = ?1",
                [id],
            )?;
            Ok(gone as u64)
        }
        Change::Forget(id) => {
            let gone = tx.execute("DELETE FROM blocks WHERE segment = ?1", [id])?;
            tx.execute("DELETE FROM segments WHERE id = ?1", [id])?;
            Ok(gone as u64)
        }
    }
}

fn indexed(row: &Row<'_>) -> rusqlite::Result<Indexed> {
    Ok(Indexed {
        cid: Cid(row.get(0)?),
        place: Place { segment: row.get(1)?, at: row.get::<_, i64>(2)? as u64, len: row.get(3)? },
        links: row.get(4)?,
        complete: row.get(5)?,
    })
}

fn segment(row: &Row<'_>) -> rusqlite::Result<Segment> {
    Ok(Segment {
        id: row.get(0)?,
        end: row.get::<_, i64>(1)? as u64,
        live_bytes: row.get::<_, i64>(2)? as u64,
        live_blocks: row.get::<_, i64>(3)? as u64,
        dropped: row.get(4)?,
    })
}

fn insert(tx: &Transaction<'_>, row: &Indexed) -> rusqlite::Result<u64> {
    let Place { segment, at, len } = row.place;
    let inserted = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO blocks (cid, segment, at, len, links, complete) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![row.cid.0, segment, at as i64, len, row.links, row.complete])?;
    if inserted > 0 {
        count(tx, segment, 1, record_len(len) as i64)?;
    }
    Ok(inserted as u64)
}

fn remove(tx: &Transaction<'_>, cid: &Cid) -> rusqlite::Result<u64> {
    let place = tx
        .prepare_cached("DELETE FROM blocks WHERE cid = ?1 RETURNING segment, len")?
        .query_row([cid.0], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?)))
        .optional()?;
    match place {
        Some((segment, len)) => count(tx, segment, -1, -(record_len(len) as i64)).map(|()| 1),
        None => Ok(0),
    }
}

fn count(tx: &Transaction<'_>, segment: u32, blocks: i64, bytes: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE segments SET live_blocks = live_blocks + ?2, live_bytes = live_bytes + ?3 WHERE id = ?1")?
        .execute(params![segment, blocks, bytes])
        .map(drop)
}

fn set_end(tx: &Transaction<'_>, id: u32, end: u64) -> rusqlite::Result<u64> {
    tx.prepare_cached(
        "INSERT INTO segments (id, end, live_bytes, live_blocks, dropped) VALUES (?1, ?2, 0, 0, 0) \
         ON CONFLICT (id) DO UPDATE SET end = excluded.end",
    )?
    .execute(params![id, end as i64])
    .map(|_| 0)
}
