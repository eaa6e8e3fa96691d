//! The signed records of folders, and small values that belong to one: ops, envelopes, heads, receipts, and a map from keys
//! to bytes. One SQLite database for all folders; what is written together ([`FolderStore::write`]) is durable together.
//!
//! It does not know what the bytes mean. Every record carries a checksum, so that a rotten one is an error and never a
//! different record.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cobox_proto::id::{FolderId, Hash, HeadId, OpId, SigKey};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::crash_point;
use crate::database::{self, Format};
use crate::error::StoreError;

const FORMAT: Format = Format {
    application_id: 0x636f_6266,
    version: 1,
    // One table for all kinds: they are all "bytes under a name in a folder", and differ in their names only.
    schema: "
        CREATE TABLE records (
            seq INTEGER PRIMARY KEY,
            folder BLOB NOT NULL,
            kind INTEGER NOT NULL,
            name BLOB NOT NULL,
            value BLOB NOT NULL,
            checksum INTEGER NOT NULL,
            UNIQUE (folder, kind, name)
        );
    ",
};

/// The kinds of records; the numbers stand in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Op = 1,
    /// Named by the op, then the recipient.
    Envelope = 2,
    Head = 3,
    /// Named by the seeder, then the head.
    Receipt = 4,
    Value = 5,
}

/// A record's name and value.
type Record = (Vec<u8>, Vec<u8>);

/// How far a head has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeadState {
    /// Something it names is not here yet.
    Pending = 0,
    /// It holds.
    Accepted = 1,
    /// It breaks a rule, for ever.
    Refused = 2,
    /// Its author was removed before it counted.
    Quarantined = 3,
}

/// A head as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    /// Its id.
    pub id: HeadId,
    /// How far it has come.
    pub state: HeadState,
    /// When it came, by this machine's clock, in milliseconds since 1970.
    pub received_at_ms: u64,
    /// The signed head.
    pub bytes: Vec<u8>,
}

/// A receipt as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReceipt {
    /// Who signed it.
    pub seeder: SigKey,
    /// For which head.
    pub head: HeadId,
    /// The signed receipt.
    pub bytes: Vec<u8>,
}

/// The records of all folders of one service.
#[derive(Debug)]
pub struct FolderStore {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl FolderStore {
    /// Opens the database, creating it if there is none, and looks at every page of it.
    ///
    /// Errors: [`StoreError::DamagedDatabase`] (an empty file is one), [`StoreError::Newer`], or the disk's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = database::open(path, &FORMAT)?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// Writes several records of a folder, all or none, durably when it returns.
    pub fn write<T>(
        &self,
        folder: &FolderId,
        change: impl FnOnce(&Batch<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let failed = |e| StoreError::database(&self.path, e);
        let mut connection = self.lock();
        let batch = Batch { path: &self.path, folder, tx: connection.transaction().map_err(failed)? };
        let result = change(&batch)?;
        crash_point::hit("folder.written");
        batch.tx.commit().map_err(failed)?;
        crash_point::hit("folder.committed");
        Ok(result)
    }

    /// Stores ops; one already here keeps its place in the order.
    pub fn put_ops(&self, folder: &FolderId, ops: &[(OpId, &[u8])]) -> Result<(), StoreError> {
        self.write(folder, |batch| ops.iter().try_for_each(|(id, bytes)| batch.put_op(id, bytes)))
    }

    /// All ops, in the order in which they came.
    pub fn ops(&self, folder: &FolderId) -> Result<Vec<(OpId, Vec<u8>)>, StoreError> {
        let rows = self.all(folder, Kind::Op, &[])?;
        rows.into_iter().map(|(name, value)| Ok((OpId(self.name(&name)?), value))).collect()
    }

    /// Stores an envelope of an op.
    pub fn put_envelope(&self, folder: &FolderId, op: &OpId, recipient: &Hash, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(folder, |batch| batch.put_envelope(op, recipient, bytes))
    }

    /// The envelope of an op for one recipient.
    pub fn envelope(&self, folder: &FolderId, op: &OpId, recipient: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        self.one(folder, Kind::Envelope, &pair(&op.0, &recipient.0))
    }

    /// All envelopes of an op.
    pub fn envelopes(&self, folder: &FolderId, op: &OpId) -> Result<Vec<(Hash, Vec<u8>)>, StoreError> {
        let rows = self.all(folder, Kind::Envelope, &op.0)?;
        rows.into_iter().map(|(name, value)| Ok((Hash(self.halves(&name)?.1), value))).collect()
    }

    /// Stores a head, or its new state.
    pub fn put_head(&self, folder: &FolderId, head: &StoredHead) -> Result<(), StoreError> {
        self.write(folder, |batch| batch.put_head(head))
    }

    /// One head.
    pub fn head(&self, folder: &FolderId, id: &HeadId) -> Result<Option<StoredHead>, StoreError> {
        self.one(folder, Kind::Head, &id.0)?.map(|value| self.stored_head(*id, &value)).transpose()
    }

    /// All heads, in the order in which they first came.
    pub fn heads(&self, folder: &FolderId) -> Result<Vec<StoredHead>, StoreError> {
        let rows = self.all(folder, Kind::Head, &[])?;
        rows.into_iter().map(|(name, value)| self.stored_head(HeadId(self.name(&name)?), &value)).collect()
    }

    /// Stores a seeder's receipt for a head, in place of an older one.
    pub fn put_receipt(&self, folder: &FolderId, receipt: &StoredReceipt) -> Result<(), StoreError> {
        self.write(folder, |batch| batch.put_receipt(receipt))
    }

    /// All receipts.
    pub fn receipts(&self, folder: &FolderId) -> Result<Vec<StoredReceipt>, StoreError> {
        let rows = self.all(folder, Kind::Receipt, &[])?;
        let receipt = |(name, bytes): Record| {
            let (seeder, head) = self.halves(&name)?;
            Ok(StoredReceipt { seeder: SigKey(seeder), head: HeadId(head), bytes })
        };
        rows.into_iter().map(receipt).collect()
    }

    /// Stores a value under a key, in place of an older one. What belongs to no folder goes under [`FolderId::ZERO`].
    pub fn put_value(&self, folder: &FolderId, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write(folder, |batch| batch.put_value(key, value))
    }

    /// The value under a key.
    pub fn value(&self, folder: &FolderId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.one(folder, Kind::Value, key.as_bytes())
    }

    /// All values whose keys begin with `prefix`, in the order of their keys.
    pub fn values(&self, folder: &FolderId, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut values = Vec::new();
        for (name, value) in self.all(folder, Kind::Value, prefix.as_bytes())? {
            let key = String::from_utf8(name).map_err(|_| database::damaged(&self.path, "a key is no text"))?;
            values.push((key, value));
        }
        values.sort();
        Ok(values)
    }

    /// The folders that have records here, [`FolderId::ZERO`] apart.
    pub fn folders(&self) -> Result<Vec<FolderId>, StoreError> {
        let connection = self.lock();
        let ask = || {
            let mut statement = connection.prepare_cached("SELECT DISTINCT folder FROM records ORDER BY folder")?;
            statement.query_map([], |row| Ok(FolderId(row.get(0)?)))?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let folders = ask().map_err(|e| StoreError::database(&self.path, e))?;
        Ok(folders.into_iter().filter(|folder| *folder != FolderId::ZERO).collect())
    }

    /// Forgets everything about a folder.
    pub fn delete_folder(&self, folder: &FolderId) -> Result<(), StoreError> {
        self.write(folder, |batch| batch.run("DELETE FROM records WHERE folder = ?1", params![folder.0]))
    }

    fn one(&self, folder: &FolderId, kind: Kind, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let connection = self.lock();
        let ask = || {
            connection
                .prepare_cached("SELECT value, checksum FROM records WHERE folder = ?1 AND kind = ?2 AND name = ?3")?
                .query_row(params![folder.0, kind as u8, name], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        };
        let Some((value, sum)) = ask().map_err(|e| StoreError::database(&self.path, e))? else { return Ok(None) };
        self.verified(folder, kind, name, value, sum).map(Some)
    }

    /// All records of a kind whose names begin with `prefix`, in the order in which they came.
    fn all(&self, folder: &FolderId, kind: Kind, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        // No name is longer than 64 bytes of 0xff: keys are text, which has no such byte, all others are 32 or 64 bytes.
        let beyond = [prefix, &[0xff; 65]].concat();
        let connection = self.lock();
        let ask = || {
            connection
                .prepare_cached(
                    "SELECT name, value, checksum FROM records \
                     WHERE folder = ?1 AND kind = ?2 AND name >= ?3 AND name < ?4 ORDER BY seq",
                )?
                .query_map(params![folder.0, kind as u8, prefix, beyond], |row| {
                    Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = ask().map_err(|e| StoreError::database(&self.path, e))?;
        let verified = |(name, value, sum): (Vec<u8>, Vec<u8>, i64)| {
            let value = self.verified(folder, kind, &name, value, sum)?;
            Ok((name, value))
        };
        rows.into_iter().map(verified).collect()
    }

    fn verified(
        &self,
        folder: &FolderId,
        kind: Kind,
        name: &[u8],
        value: Vec<u8>,
        sum: i64,
    ) -> Result<Vec<u8>, StoreError> {
        if sum == checksum(folder, kind, name, &value) {
            Ok(value)
        } else {
            Err(database::damaged(&self.path, "a record does not match its checksum"))
        }
    }

    fn stored_head(&self, id: HeadId, value: &[u8]) -> Result<StoredHead, StoreError> {
        let decoded = || {
            let (state, rest) = value.split_first()?;
            let (received, bytes) = rest.split_at_checked(8)?;
            let state = match state {
                0 => HeadState::Pending,
                1 => HeadState::Accepted,
                2 => HeadState::Refused,
                3 => HeadState::Quarantined,
                _ => return None,
            };
            let received_at_ms = u64::from_le_bytes(received.try_into().ok()?);
            Some(StoredHead { id, state, received_at_ms, bytes: bytes.to_vec() })
        };
        decoded().ok_or_else(|| database::damaged(&self.path, "a head's record is no head's"))
    }

    fn name(&self, name: &[u8]) -> Result<[u8; 32], StoreError> {
        name.try_into().map_err(|_| database::damaged(&self.path, "a record's name has the wrong length"))
    }

    fn halves(&self, name: &[u8]) -> Result<([u8; 32], [u8; 32]), StoreError> {
        let (first, second) = name.split_at_checked(32).unwrap_or((name, &[]));
        Ok((self.name(first)?, self.name(second)?))
    }

    /// A panic in a batch rolls its transaction back, so the connection is whole.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes to one folder that happen together.
pub struct Batch<'s> {
    path: &'s Path,
    folder: &'s FolderId,
    tx: Transaction<'s>,
}

impl Batch<'_> {
    /// Stores an op; one already here keeps its place in the order.
    pub fn put_op(&self, id: &OpId, bytes: &[u8]) -> Result<(), StoreError> {
        self.put(Kind::Op, &id.0, bytes)
    }

    /// Stores an envelope of an op.
    pub fn put_envelope(&self, op: &OpId, recipient: &Hash, bytes: &[u8]) -> Result<(), StoreError> {
        self.put(Kind::Envelope, &pair(&op.0, &recipient.0), bytes)
    }

    /// Forgets an envelope.
    pub fn delete_envelope(&self, op: &OpId, recipient: &Hash) -> Result<(), StoreError> {
        self.delete(Kind::Envelope, &pair(&op.0, &recipient.0))
    }

    /// Stores a head, or its new state.
    pub fn put_head(&self, head: &StoredHead) -> Result<(), StoreError> {
        let mut value = Vec::with_capacity(9 + head.bytes.len());
        value.push(head.state as u8);
        value.extend_from_slice(&head.received_at_ms.to_le_bytes());
        value.extend_from_slice(&head.bytes);
        self.put(Kind::Head, &head.id.0, &value)
    }

    /// Forgets a head.
    pub fn delete_head(&self, id: &HeadId) -> Result<(), StoreError> {
        self.delete(Kind::Head, &id.0)
    }

    /// Stores a seeder's receipt for a head, in place of an older one.
    pub fn put_receipt(&self, receipt: &StoredReceipt) -> Result<(), StoreError> {
        self.put(Kind::Receipt, &pair(&receipt.seeder.0, &receipt.head.0), &receipt.bytes)
    }

    /// Forgets a receipt.
    pub fn delete_receipt(&self, seeder: &SigKey, head: &HeadId) -> Result<(), StoreError> {
        self.delete(Kind::Receipt, &pair(&seeder.0, &head.0))
    }

    /// Stores a value under a key, in place of an older one.
    pub fn put_value(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.put(Kind::Value, key.as_bytes(), value)
    }

    /// Forgets a value.
    pub fn delete_value(&self, key: &str) -> Result<(), StoreError> {
        self.delete(Kind::Value, key.as_bytes())
    }

    fn put(&self, kind: Kind, name: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let sum = checksum(self.folder, kind, name, value);
        self.run(
            "INSERT INTO records (folder, kind, name, value, checksum) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (folder, kind, name) DO UPDATE SET value = excluded.value, checksum = excluded.checksum",
            params![self.folder.0, kind as u8, name, value, sum],
        )
    }

    fn delete(&self, kind: Kind, name: &[u8]) -> Result<(), StoreError> {
        self.run(
            "DELETE FROM records WHERE folder = ?1 AND kind = ?2 AND name = ?3",
            params![self.folder.0, kind as u8, name],
        )
    }

    fn run(&self, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<(), StoreError> {
        let run = || self.tx.prepare_cached(sql)?.execute(params).map(drop);
        run().map_err(|e| StoreError::database(self.path, e))
    }
}

fn pair(first: &[u8; 32], second: &[u8; 32]) -> [u8; 64] {
    let mut name = [0; 64];
    name[..32].copy_from_slice(first);
    name[32..].copy_from_slice(second);
    name
}

/// Eight bytes of a hash over the whole record, lengths included.
fn checksum(folder: &FolderId, kind: Kind, name: &[u8], value: &[u8]) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&folder.0).update(&[kind as u8]).update(&(name.len() as u64).to_le_bytes());
    hasher.update(name).update(value);
    let mut sum = [0; 8];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    i64::from_le_bytes(sum)
}
