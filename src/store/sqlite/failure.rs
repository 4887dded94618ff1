//! What goes wrong with a database, in our words.

use std::{io, path::PathBuf};

use rusqlite::{ErrorCode, ffi};

use crate::run::port::StoreError;

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be made or used.
    #[error("cannot use {path}: {error}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has it.
    #[error("{path} belongs to another server that runs")]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// There is no store.
    #[error("there is no store in {path}")]
    Missing {
        /// Which directory.
        path: PathBuf,
    },
    /// It was written by a newer version.
    #[error("the store has schema {found}, and this version knows {known}: use a newer runwire")]
    Newer {
        /// What it has.
        found: i64,
        /// What we know.
        known: i64,
    },
    /// It was written by an older version, and is to be read only.
    #[error(
        "the store has schema {found}, and this version reads {known}: `runwire serve` brings it up to date"
    )]
    Older {
        /// What it has.
        found: i64,
        /// What we read.
        known: i64,
    },
    /// Somebody else has made it.
    #[error("the database is none of runwire")]
    Foreign,
    /// It is no database, or a broken one.
    #[error("the database cannot be opened: {0}")]
    Database(#[from] rusqlite::Error),
    /// A row of it does not say what it should.
    #[error("the database cannot be read: {0}")]
    Content(StoreError),
    /// The system gives no thread.
    #[error("cannot start the writer: {0}")]
    Thread(io::Error),
}

/// What a failed statement means for whoever asked for it.
pub(super) fn unavailable(error: &rusqlite::Error) -> StoreError {
    if is_final(error) {
        return StoreError::Unavailable(
            "the disk has failed; the server must be started again".to_owned(),
        );
    }
    let why = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "its files cannot be written"
        }
        Some(ErrorCode::SystemIoFailure) => "the disk does not take it",
        Some(ErrorCode::OutOfMemory) => "there is no memory",
        _ => "the database does not answer as it should",
    };
    StoreError::Unavailable(why.to_owned())
}

/// Whether nothing may be written after this error until the file was opened anew. A write that was
/// refused is none: nothing of it is in the database.
pub(super) fn is_final(error: &rusqlite::Error) -> bool {
    let Some(failure) = error.sqlite_error() else {
        return false;
    };
    matches!(
        failure.code,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
    ) || [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC].contains(&failure.extended_code)
}

/// What a row means that does not read.
pub(super) fn unreadable(what: &str) -> StoreError {
    StoreError::Unavailable(format!("{what} does not read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failed_fsync_nothing_is_written_and_after_a_refused_write_the_next_one_is_tried() {
        for (code, last) in [
            (ffi::SQLITE_IOERR_FSYNC, true),
            (ffi::SQLITE_IOERR_DIR_FSYNC, true),
            (ffi::SQLITE_CORRUPT, true),
            (ffi::SQLITE_FULL, false),
            (ffi::SQLITE_READONLY, false),
            (ffi::SQLITE_IOERR_WRITE, false),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(is_final(&error), last, "{error}");
            let told = unavailable(&error).to_string();
            assert_eq!(told.contains("started again"), last, "{told}");
        }
    }
}
