use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::Access;

use super::error::OpenError;
use super::schema;

/// How many connections read. A long listing leaves one for everything else.
const READERS: usize = 2;

/// The page caches, in KiB: 2 MiB for all connections together.
const WRITER_CACHE_KIB: i64 = 1024;
const READER_CACHE_KIB: i64 = 512;

/// How long a call waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// What is left of the write-ahead log after a checkpoint, in bytes.
const LOG_BYTES: i64 = 4 * 1024 * 1024;

pub(super) struct Connections {
    pub(super) writer: Connection,
    pub(super) readers: Vec<Connection>,
}

/// Opens the file at `path` for writing and for reading.
///
/// SQLite gives up at once, whatever the timeout, when another process is just creating the
/// file or closing it as the last one, so a busy file is tried again here.
pub(super) fn connect(path: &Path) -> Result<Connections, OpenError> {
    let deadline = Instant::now() + BUSY;
    loop {
        match try_connect(path) {
            Err(OpenError::Busy { .. }) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

fn try_connect(path: &Path) -> Result<Connections, OpenError> {
    check_place(path)?;
    check_header(path)?;
    let sqlite = |error| OpenError::sqlite(path, error);
    let mut writer = open(path)?;
    if let Err(refusal) = check_content(&writer, path) {
        // Closing the last connection would write a log into the file. Where there is none it
        // only clears away the empty one that reading made.
        if log_has_content(path) {
            let _ = writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        return Err(refusal);
    }
    configure_writer(&writer).map_err(sqlite)?;
    schema::migrate(&mut writer).map_err(sqlite)?;
    let readers = (0..READERS)
        .map(|_| {
            let reader = open(path)?;
            configure(&reader, READER_CACHE_KIB).map_err(sqlite)?;
            reader.pragma_update(None, "query_only", true).map_err(sqlite)?;
            Ok(reader)
        })
        .collect::<Result<_, OpenError>>()?;
    Ok(Connections { writer, readers })
}

/// Creates the file where there is none, readable by its owner only, and makes sure that it and
/// its directory can be written.
fn check_place(path: &Path) -> Result<(), OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(OpenError::NoDirectory { path: path.into() });
    }
    writable(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => writable(path, Access::READ_OK | Access::WRITE_OK),
        Ok(_) => Err(OpenError::NotADatabase { path: path.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map(drop)
            .map_err(|error| OpenError::io(path, error)),
        Err(error) => Err(OpenError::io(path, error)),
    }
}

fn writable(path: &Path, access: Access) -> Result<(), OpenError> {
    rustix::fs::access(path, access).map_err(|errno| OpenError::io(path, errno.into()))
}

/// Refuses by the file's first bytes alone, so that SQLite never opens what is not ours.
///
/// <https://www.sqlite.org/fileformat.html#the_database_header>: the user version is at byte
/// 60 and the application id at 68, both big-endian. A fresh file is empty; one whose first
/// transactions are still in the log says 0 for both.
fn check_header(path: &Path) -> Result<(), OpenError> {
    let mut header = Vec::with_capacity(100);
    File::open(path)
        .and_then(|file| file.take(100).read_to_end(&mut header))
        .map_err(|error| OpenError::io(path, error))?;
    if header.is_empty() {
        return Ok(());
    }
    let field = |at: usize| {
        let bytes = header.get(at..at + 4)?;
        bytes.try_into().ok().map(i32::from_be_bytes)
    };
    match (header.starts_with(b"SQLite format 3\0"), field(60), field(68)) {
        (true, Some(version), Some(application_id)) => check_owner(path, application_id, version),
        _ => Err(OpenError::NotADatabase { path: path.into() }),
    }
}

fn check_owner(path: &Path, application_id: i32, version: i32) -> Result<(), OpenError> {
    if application_id == 0 {
        return Ok(());
    }
    if application_id != schema::APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.into(), application_id });
    }
    if version > schema::NEWEST {
        return Err(OpenError::Newer { path: path.into(), found: version, known: schema::NEWEST });
    }
    Ok(())
}

/// The same with what the log adds to the file, and a check of all pages.
fn check_content(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::sqlite(path, error);
    // One snapshot: another process may just be creating the tables.
    let _snapshot = connection.unchecked_transaction().map_err(sqlite)?;
    let application_id = schema::application_id(connection).map_err(sqlite)?;
    let version = schema::version(connection).map_err(sqlite)?;
    check_owner(path, application_id, version)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sqlite)?;
    if application_id == 0 && tables > 0 {
        return Err(OpenError::Foreign { path: path.into(), application_id });
    }
    let finding: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sqlite)?;
    if finding != "ok" {
        return Err(OpenError::Damaged { path: path.into(), finding });
    }
    Ok(())
}

fn log_has_content(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    fs::metadata(log).is_ok_and(|metadata| metadata.len() > 0)
}

fn open(path: &Path) -> Result<Connection, OpenError> {
    // Every connection stays on one thread, so SQLite needs no lock of its own.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| OpenError::sqlite(path, error))?;
    connection.busy_timeout(BUSY).map_err(|error| OpenError::sqlite(path, error))?;
    Ok(connection)
}

fn configure_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    // What was a secret in a model's environment must not stay readable in freed pages.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    configure(connection, WRITER_CACHE_KIB)
}

fn configure(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    // A negative size is in KiB, a positive one in pages.
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}
