//! The data directory: nobody else's to read, and one process's at a time to write to.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::OpenError;

/// The database, in the data directory.
const DATABASE: &str = "runs.db";

/// The file whose lock says that a server runs.
const LOCK: &str = "lock";

/// Pages of the log that are moved into the database at once: 4 MiB.
const CHECKPOINT_PAGES: i64 = 1_000;

/// What the log may keep of the disk when it is empty, in bytes.
const LOG_KEPT: i64 = 64 * 1024 * 1024;

/// How often the lock is tried while somebody only looks at it.
const TRIES: u32 = 50;

/// The wait between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// A directory with a store. One that was occupied belongs to this process until it is dropped, or the
/// process ends, however it ends.
#[derive(Debug)]
pub(super) struct Home {
    database: PathBuf,
    /// Held by whoever occupies it; a visitor holds none.
    _lock: Option<File>,
}

impl Home {
    /// Takes the directory, and makes what is not there.
    pub(super) fn occupy(directory: &Path) -> Result<Self, OpenError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(directory).map_err(cannot_use(directory))?;
        let lock_path = directory.join(LOCK);
        let lock = private_file(&lock_path).map_err(cannot_use(&lock_path))?;
        if !take(&lock).map_err(cannot_use(&lock_path))? {
            return Err(OpenError::InUse {
                path: directory.to_owned(),
            });
        }
        let database = directory.join(DATABASE);
        // Made by us, so that SQLite's own files beside it get its permissions.
        private_file(&database).map_err(cannot_use(&database))?;
        Ok(Self {
            database,
            _lock: Some(lock),
        })
    }

    /// Takes a directory that holds a store.
    pub(super) fn of_store(directory: &Path) -> Result<Self, OpenError> {
        Self::visit(directory)?;
        Self::occupy(directory)
    }

    /// A directory that holds a store and stays whoever's it is: for connections that read.
    pub(super) fn visit(directory: &Path) -> Result<Self, OpenError> {
        let database = directory.join(DATABASE);
        if fs::metadata(&database).is_err() {
            return Err(OpenError::Missing {
                path: directory.to_owned(),
            });
        }
        Ok(Self {
            database,
            _lock: None,
        })
    }

    /// A connection that writes.
    pub(super) fn connect(&self) -> Result<Connection, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.database, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
        connection.pragma_update(None, "foreign_keys", "off")?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    /// A connection that only reads.
    pub(super) fn connect_reader(&self) -> Result<Connection, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.database, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    }

    /// Bytes of the database and its log on the disk.
    pub(super) fn bytes(&self) -> u64 {
        let log = self.database.with_extension("db-wal");
        [&self.database, &log]
            .into_iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|metadata| metadata.len())
            .sum()
    }
}

/// Whether a process has the directory. One that takes it at this very moment waits until this has looked.
pub(super) fn is_occupied(directory: &Path) -> Result<bool, OpenError> {
    let path = directory.join(LOCK);
    let looked = match File::open(&path) {
        Ok(lock) => is_held(&lock),
        // Nobody has ever taken it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    looked.map_err(cannot_use(&path))
}

/// Takes the lock; says whether that went. Whoever only looks at it gives it back at once.
fn take(lock: &File) -> io::Result<bool> {
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if is_held(lock)? => return Ok(false),
            Err(TryLockError::WouldBlock) => thread::sleep(BETWEEN_TRIES),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Whether a process has the lock for itself alone.
fn is_held(lock: &File) -> io::Result<bool> {
    match lock.try_lock_shared() {
        Ok(()) => lock.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Opens a file for its owner alone. One that others could read is closed to them.
fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let mut permissions = file.metadata()?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(0o600);
        file.set_permissions(permissions)?;
    }
    Ok(file)
}

fn cannot_use(path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |error| OpenError::Directory {
        path: path.to_owned(),
        error,
    }
}
