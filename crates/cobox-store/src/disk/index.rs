//! Where each block lies, in SQLite. Also how far each segment is known to be good and how much of it is alive; both change
//! in the same transaction as the rows they count.

use std::path::{Path, PathBuf};

use cobox_proto::id::Cid;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::segment::{RECORD_HEAD_BYTES, record_len};
use crate::StoreError;
use crate::block_store::{Entry, Stats};
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

/// A block's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) at: u64,
    pub(super) len: u32,
}

/// A row of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Indexed {
    pub(super) cid: Cid,
    pub(super) place: Place,
    pub(super) links: u32,
    pub(super) complete: bool,
}

/// What is known of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) id: u32,
    pub(super) end: u64,
    pub(super) live_bytes: u64,
    pub(super) live_blocks: u64,
    pub(super) dropped: bool,
}

/// One connection to the index.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    connection: Connection,
}

impl Index {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: database::open(path, &FORMAT)?, path: path.to_owned() })
    }

    /// A second connection, which does not wait for the first one's commits.
    pub(super) fn reader(&self) -> Result<Self, StoreError> {
        Ok(Self { connection: database::connect(&self.path)?, path: self.path.clone() })
    }

    pub(super) fn find(&self, cid: &Cid) -> Result<Option<Indexed>, StoreError> {
        self.ask(|c| {
            c.prepare_cached("SELECT cid, segment, at, len, links, complete FROM blocks WHERE cid = ?1")?
                .query_row([cid.0], indexed)
                .optional()
        })
    }

    pub(super) fn list(&self, after: Option<&Cid>, max: usize) -> Result<Vec<Entry>, StoreError> {
        // The empty blob sorts before every name.
        let after = after.map_or(&[][..], |cid| &cid.0[..]);
        let rows = self.rows(
            "SELECT cid, segment, at, len, links, complete FROM blocks WHERE cid > ?1 ORDER BY cid LIMIT ?2",
            params![after, i64::try_from(max).unwrap_or(i64::MAX)],
        )?;
        Ok(rows.iter().map(|row| Entry { cid: row.cid, len: row.place.len, complete: row.complete }).collect())
    }

    /// Up to `max` rows in the order in which they lie on disk, from `(segment, at)` on.
    pub(super) fn by_place(&self, from: (u32, u64), max: u32) -> Result<Vec<Indexed>, StoreError> {
        self.rows(
            "SELECT cid, segment, at, len, links, complete FROM blocks WHERE (segment, at) >= (?1, ?2) \
             ORDER BY segment, at LIMIT ?3",
            params![from.0, from.1 as i64, max],
        )
    }

    /// All rows of a segment, in the order in which they lie there.
    pub(super) fn of_segment(&self, id: u32) -> Result<Vec<Indexed>, StoreError> {
        self.rows(
            "SELECT cid, segment, at, len, links, complete FROM blocks WHERE segment = ?1 ORDER BY at",
            params![id],
        )
    }

    pub(super) fn segments(&self) -> Result<Vec<Segment>, StoreError> {
        self.ask(|c| {
            c.prepare_cached("SELECT id, end, live_bytes, live_blocks, dropped FROM segments ORDER BY id")?
                .query_map([], segment)?
                .collect()
        })
    }

    /// The highest number a segment ever had.
    pub(super) fn last_segment_id(&self) -> Result<u32, StoreError> {
        self.ask(|c| {
            c.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'segments'", [], |row| row.get(0))
                .optional()
                .map(Option::unwrap_or_default)
        })
    }

    pub(super) fn stats(&self) -> Result<Stats, StoreError> {
        let segments = self.segments()?;
        let sum = |of: fn(&Segment) -> u64| segments.iter().map(of).sum::<u64>();
        let blocks = sum(|s| s.live_blocks);
        let heads = blocks * RECORD_HEAD_BYTES;
        Ok(Stats { blocks, stored_bytes: sum(|s| s.live_bytes).saturating_sub(heads), disk_bytes: sum(|s| s.end) })
    }

    /// Adds blocks; those already indexed stay where they are. `ends` are the new ends of the segments written to.
    /// Returns how many were new.
    pub(super) fn add(&mut self, rows: &[Indexed], ends: &[(u32, u64)]) -> Result<u64, StoreError> {
        self.change(|tx| {
            let mut added = 0;
            for &(id, end) in ends {
                set_end(tx, id, end)?;
            }
            for row in rows {
                added += insert(tx, row)?;
            }
            Ok(added)
        })
    }

    /// Moves blocks out of a segment and marks its file for removal, in one step. Rows that are not in `moved` go.
    pub(super) fn replace_segment(
        &mut self,
        id: u32,
        moved: &[Indexed],
        ends: &[(u32, u64)],
    ) -> Result<(), StoreError> {
        self.change(|tx| {
            for &(id, end) in ends {
                set_end(tx, id, end)?;
            }
            tx.execute("DELETE FROM blocks WHERE segment = ?1", [id])?;
            for row in moved {
                insert(tx, row)?;
            }
            tx.execute(
                "UPDATE segments SET end = 0, live_bytes = 0, live_blocks = 0, dropped = 1 WHERE id = ?1",
                [id],
            )?;
            Ok(())
        })
    }

    /// Forgets blocks wherever they are.
    pub(super) fn remove(&mut self, cids: &[Cid]) -> Result<(), StoreError> {
        self.change(|tx| cids.iter().try_for_each(|cid| remove(tx, cid)))
    }

    /// Forgets a block if it still lies at this place. False if it moved or is gone.
    pub(super) fn remove_at(&mut self, cid: &Cid, place: Place) -> Result<bool, StoreError> {
        if self.find(cid)?.is_none_or(|row| row.place != place) {
            return Ok(false);
        }
        self.change(|tx| remove(tx, cid))?;
        Ok(true)
    }

    pub(super) fn set_complete(&mut self, cids: &[Cid], complete: bool) -> Result<(), StoreError> {
        self.change(|tx| {
            let mut statement = tx.prepare_cached("UPDATE blocks SET complete = ?2 WHERE cid = ?1")?;
            cids.iter().try_for_each(|cid| statement.execute(params![cid.0, complete]).map(drop))
        })
    }

    /// Forgets the blocks of a segment beyond `len` and returns how many, with the segment's new end.
    pub(super) fn cut_segment(&mut self, id: u32, len: u64) -> Result<(u64, u64), StoreError> {
        let (kept, lost): (Vec<_>, Vec<_>) =
            self.of_segment(id)?.into_iter().partition(|row| row.place.at + record_len(row.place.len) <= len);
        let end = kept.last().map_or(0, |row| row.place.at + record_len(row.place.len));
        self.change(|tx| {
            lost.iter().try_for_each(|row| remove(tx, &row.cid))?;
            set_end(tx, id, end)
        })?;
        Ok((lost.len() as u64, end))
    }

    /// Forgets a segment whose file is gone, and returns how many blocks went with it.
    pub(super) fn forget_segment(&mut self, id: u32) -> Result<u64, StoreError> {
        self.change(|tx| {
            let lost = tx.execute("DELETE FROM blocks WHERE segment = ?1", [id])?;
            tx.execute("DELETE FROM segments WHERE id = ?1", [id])?;
            Ok(lost as u64)
        })
    }

    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        question(&self.connection).map_err(|e| StoreError::database(&self.path, e))
    }

    fn rows(&self, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<Vec<Indexed>, StoreError> {
        self.ask(|c| c.prepare_cached(sql)?.query_map(params, indexed)?.collect())
    }

    fn change<T>(&mut self, change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let path = self.path.clone();
        let run = || {
            let tx = self.connection.transaction()?;
            let result = change(&tx)?;
            tx.commit()?;
            Ok(result)
        };
        run().map_err(|e| StoreError::database(&path, e))
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

fn remove(tx: &Transaction<'_>, cid: &Cid) -> rusqlite::Result<()> {
    let place = tx
        .prepare_cached("DELETE FROM blocks WHERE cid = ?1 RETURNING segment, len")?
        .query_row([cid.0], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?)))
        .optional()?;
    match place {
        Some((segment, len)) => count(tx, segment, -1, -(record_len(len) as i64)),
        None => Ok(()),
    }
}

fn count(tx: &Transaction<'_>, segment: u32, blocks: i64, bytes: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE segments SET live_blocks = live_blocks + ?2, live_bytes = live_bytes + ?3 WHERE id = ?1")?
        .execute(params![segment, blocks, bytes])
        .map(drop)
}

fn set_end(tx: &Transaction<'_>, id: u32, end: u64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO segments (id, end, live_bytes, live_blocks, dropped) VALUES (?1, ?2, 0, 0, 0) \
         ON CONFLICT (id) DO UPDATE SET end = excluded.end",
    )?
    .execute(params![id, end as i64])
    .map(drop)
}
