//! Opens SQLite databases the way all of ours are: WAL, every commit synced, private to the user, and only if it is one of
//! ours in a format we know.
//!
//! Invariant: a database file that exists was completely created once, so an empty or foreign one is damage and is never
//! taken for a new store.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::StoreError;

/// The header of an SQLite file (sqlite.org/fileformat2.html, 1.3).
const HEADER_BYTES: usize = 100;
const APPLICATION_ID_AT: usize = 68;

/// What a database is and how it is made.
pub(crate) struct Format {
    /// Stands in the file's header, so that another program's database is not taken for ours.
    pub(crate) application_id: i32,
    /// The format written here; older ones are none yet, newer ones are refused.
    pub(crate) version: u32,
    /// Creates the tables.
    pub(crate) schema: &'static str,
}

/// Opens the database, creating it if there is no such file, and looks at every page: a damaged one is better found at the
/// start than in the middle of something.
pub(crate) fn open(path: &Path, format: &Format) -> Result<Connection, StoreError> {
    if !exists(path, format)? {
        create(path, format)?;
    }
    let connection = connect(path)?;
    verify(path, &connection, format)?;
    Ok(connection)
}

/// Opens a second connection to a database that is open already.
pub(crate) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |e| StoreError::database(path, e);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    // SQLite is content with reading where it may not write, and says so at the first write only.
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
        return Err(StoreError::ReadOnly { path: path.to_owned() });
    }
    // The log is as long as the largest transaction was, else, also when all of it stands in the database.
    connection
        .execute_batch(
            "PRAGMA busy_timeout = 10000; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 1048576; \
             PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -8192;",
        )
        .map_err(failed)?;
    // Without it SQLite plans a statement anew for each value that is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)?;
    Ok(connection)
}

/// Makes directory entries durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| StoreError::io("sync", dir, e))
}

/// Whether there is such a file. If so it must begin like one of ours: SQLite would take a very short one for a new
/// database and write to it.
fn exists(path: &Path, format: &Format) -> Result<bool, StoreError> {
    let mut file = match fs::File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(|e| StoreError::io("open", path, e))?,
    };
    let mut header = [0; HEADER_BYTES];
    match file.read_exact(&mut header) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Err(damaged(path, "it is cut off in its header")),
        read => read.map_err(|e| StoreError::io("read", path, e))?,
    }
    if header[APPLICATION_ID_AT..][..4] != format.application_id.to_be_bytes() {
        return Err(damaged(path, "it is no database of cobox's"));
    }
    Ok(true)
}

/// Makes the database under another name and moves it into place, so that a crash leaves no half of one.
fn create(path: &Path, format: &Format) -> Result<(), StoreError> {
    let unfinished = path.with_extension("new");
    for leftover in ["new", "new-wal", "new-shm", "new-journal"].map(|extension| path.with_extension(extension)) {
        match fs::remove_file(&leftover) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(StoreError::io("remove", &leftover, e)),
            _ => {}
        }
    }
    let io = |e| StoreError::io("create", &unfinished, e);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(io)?;
    let failed = |e| StoreError::database(&unfinished, e);
    let connection = connect(&unfinished)?;
    // The file remembers this one; the other settings belong to each connection.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.execute_batch(format.schema).map_err(failed)?;
    connection.pragma_update(None, "application_id", format.application_id).map_err(failed)?;
    connection.pragma_update(None, "user_version", format.version).map_err(failed)?;
    // Moves the log into the file and syncs it. Closing would do so too, but keep an error to itself: a file without its log would then
    // stand under the name of a database for ever.
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(failed)?;
    if busy != 0 {
        return Err(StoreError::InUse { path: unfinished });
    }
    connection.close().map_err(|(_, e)| failed(e))?;
    fs::rename(&unfinished, path).map_err(io)?;
    if let Some(dir) = path.parent() {
        sync_dir(dir)?;
    }
    Ok(())
}

fn verify(path: &Path, connection: &Connection, format: &Format) -> Result<(), StoreError> {
    let failed = |e| StoreError::database(path, e);
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > format.version {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: format.version });
    }
    if found == 0 {
        return Err(damaged(path, "it has no format number"));
    }
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(damaged(path, &verdict));
    }
    Ok(())
}

pub(crate) fn damaged(path: &Path, reason: &str) -> StoreError {
    StoreError::DamagedDatabase { path: path.to_owned(), reason: reason.to_owned() }
}
