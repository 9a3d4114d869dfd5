//! Store of the ledger in one SQLite file, opened by one connection of one process.
//!
//! What [`Store::save`] promises when it returns `Ok`: the rows are on stable storage, in the file that stands at the
//! ledger's path. A failed write or fsync is never tried again; after an error the store must not be used any more.
//!
//! The settings that carry this promise:
//! - Write-ahead log with `synchronous=FULL`: one fsync a commit.
//! - `psow=0`: a commit is padded to whole sectors, so that a torn sector cannot damage an earlier commit.
//! - No checkpoint by SQLite itself: the automatic one swallows its errors, and the one on closing would copy from a
//!   log whose fsync may have failed. Ours ([`Store::truncate_wal`], [`Store::close`]) does neither.
//! - At the start the log that a predecessor left is replaced by a synced copy, and then moved into the database. After
//!   a failed fsync the kernel may show pages as clean that are not on disk; a record counts only when it has been
//!   synced without an error.
//! - The directory is synced by ourselves when the log is there: SQLite's one attempt swallows its errors as well.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use rusqlite::config::DbConfig;
use rusqlite::types::FromSql;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use self::directory::{Directory, Lock};
use self::files::{FILE_NAME, Files};
use super::row::KeyState;
use super::watermarks::Metadata;
use crate::network::NamedRoot;

mod directory;
mod files;
mod identity;
mod keystores;
mod rows;
mod schema;
mod wal;

pub(crate) use self::directory::{DirectoryId, is_held, is_in};
pub(super) use self::files::check_free_space;
pub(super) use self::identity::Identity;
pub(crate) use self::identity::LedgerId;
pub(super) use self::keystores::SealedChange;
pub(crate) use self::keystores::SealedKeystore;
pub(crate) use self::schema::is_older;

/// What to do when there is no ledger yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Create an empty one.
    Create,
    /// Do not start: it should be there.
    Refuse,
}

/// What an opening read.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) head: Metadata,
    /// In the order of their positions.
    pub(super) entries: Vec<KeyState>,
    pub(super) identity: Identity,
    /// Whether the opening created the file.
    pub(super) is_new: bool,
    /// The directory that the file is in.
    pub(super) directory: DirectoryId,
    /// The file, without links.
    pub(super) path: PathBuf,
}

/// The open ledger file.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    files: Files,
    /// Since the log was last moved into the database.
    commits: usize,
    /// Held as long as the file is open, and before anything in the directory is touched.
    _lock: Lock,
}

impl Store {
    /// Opens the ledger in `directory` for this process alone and reads it to the end.
    ///
    /// `vfs` names the SQLite file layer; `None` is the system's own.
    pub(super) fn open(
        directory: &Path,
        missing: Missing,
        vfs: Option<&str>,
    ) -> Result<(Self, Contents), OpenError> {
        if missing == Missing::Refuse && !directory.exists() {
            let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
            return Err(OpenError::Missing { directory });
        }
        let opened = Directory::open(directory)?;
        let path = opened.path_of(FILE_NAME);
        let lock = opened.lock(&path)?;
        files::remove_trial(&opened);
        let is_new = !files::exists(&opened)?;
        if is_new {
            match missing {
                Missing::Refuse => {
                    return Err(OpenError::Missing { directory: opened.path().to_owned() });
                }
                Missing::Create => files::create(&opened, |draft| fill(draft, vfs))?,
            }
        }
        files::rewrite_wal(&opened)?;
        let sqlite = |source| OpenError::from_sqlite(&path, source);
        let connection = connect(&path, vfs).map_err(sqlite)?;
        write_ahead(&connection).map_err(sqlite)?;
        if connection.is_readonly("main").map_err(sqlite)? {
            return Err(OpenError::ReadOnly { path });
        }
        schema::check(&connection, &path)?;
        checkpoint(&connection, AfterCheckpoint::Truncate).map_err(sqlite)?;
        let contents = Contents {
            head: rows::read_head(&connection, &path)?,
            entries: rows::read_entries(&connection, &path)?,
            identity: identity::read(&connection, &path)?,
            is_new,
            directory: opened.id()?,
            path: path.clone(),
        };
        let files = Files::watch(&path, directory)?;
        // By now the log exists. Only with its name on the disk is what a commit syncs found after a power loss.
        opened.sync()?;
        Ok((Self { connection, files, commits: 0, _lock: lock }, contents))
    }

    /// Writes what has changed, entries with their positions, and changes to the kept keystores, in one transaction with
    /// one fsync. After an error the store must not be used again.
    pub(super) fn save<'a>(
        &mut self,
        head: Option<&Metadata>,
        entries: impl Iterator<Item = (usize, &'a KeyState)>,
        sealed: &[SealedChange],
    ) -> Result<(), StoreError> {
        self.files.check()?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::write)?;
        if let Some(head) = head {
            rows::write_head(&transaction, head).map_err(StoreError::write)?;
        }
        rows::write_entries(&transaction, entries).map_err(StoreError::write)?;
        keystores::apply(&transaction, sealed).map_err(StoreError::write)?;
        transaction.commit().map_err(StoreError::write)?;
        self.commits = self.commits.saturating_add(1);
        // Checked again after the fsync: what was synced has to be the file that a restart will read.
        self.files.note()
    }

    /// At most `limit` kept keystores at positions from `start` on, in order, each with its position.
    pub(super) fn sealed_keystores(
        &self,
        start: usize,
        limit: usize,
    ) -> Result<Vec<(usize, SealedKeystore)>, StoreError> {
        keystores::read(&self.connection, start, limit).map_err(StoreError::Read)
    }

    /// Whether a keystore is kept for the key at this position.
    pub(super) fn has_sealed_keystore(&self, position: usize) -> Result<bool, StoreError> {
        keystores::contains(&self.connection, position).map_err(StoreError::Read)
    }

    /// The log's length in bytes.
    pub(super) fn wal_length(&self) -> u64 {
        self.files.wal_length()
    }

    /// How many commits the log has that are not in the database.
    pub(super) fn commits_in_wal(&self) -> usize {
        self.commits
    }

    /// Moves the log into the database, so that the next commit is written over its beginning. A sync of bytes that
    /// replace others costs half of one that makes the file longer.
    pub(super) fn restart_wal(&mut self) -> Result<(), StoreError> {
        self.checkpoint_wal(AfterCheckpoint::Restart)
    }

    /// Moves the log into the database and empties it, so that what was deleted does not live on in the log.
    pub(super) fn truncate_wal(&mut self) -> Result<(), StoreError> {
        self.checkpoint_wal(AfterCheckpoint::Truncate)
    }

    fn checkpoint_wal(&mut self, then: AfterCheckpoint) -> Result<(), StoreError> {
        self.files.check()?;
        checkpoint(&self.connection, then).map_err(StoreError::write)?;
        self.commits = 0;
        self.files.note()
    }

    /// Moves the log into the database and closes the file. Not to be called after an error; a store that is merely
    /// dropped leaves its log for the next start.
    pub(super) fn close(mut self) -> Result<(), StoreError> {
        self.truncate_wal()?;
        self.connection.close().map_err(|(_, source)| StoreError::write(source))
    }
}

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(
        "there is no slashing protection ledger in {directory}. If its keys have signed before, do not start without it: \
         name the directory where it is (--state-dir), restore it, or import its history. Only keys that have never signed \
         anywhere begin with an empty one: `bls-signer slashing-protection init --state-dir {directory}`",
        directory = .directory.display()
    )]
    Missing { directory: PathBuf },
    #[error("the slashing protection ledger {path} is in use by another process; end that one first", path = .path.display())]
    InUse { path: PathBuf },
    #[error("the slashing protection ledger {path} cannot be written: read-only file or file system", path = .path.display())]
    ReadOnly { path: PathBuf },
    #[error(
        "{path} is a left-over log of a ledger that is gone; restore the ledger beside it from where it went, or \
         move both away and import the protection history",
        path = .path.display()
    )]
    Orphan { path: PathBuf },
    #[error("{path} is writable by other users (mode {mode:03o}); take that away with `chmod go-w`", path = .path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{path} is not a slashing protection ledger: {reason}", path = .path.display())]
    NotALedger { path: PathBuf, reason: &'static str },
    #[error(
        "the slashing protection ledger {path} has schema version {found}, newer than {known}, the newest that this \
         program knows; start the newer bls-signer again",
        path = .path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error(
        "{path} belongs to {}, and this process is {}: run it as that user (for root: `runuser -u NAME -- bls-signer ...`), \
         or give it the file with `chown`",
        named(*owner), named(*user),
        path = .path.display()
    )]
    Foreign { path: PathBuf, owner: Uid, user: Uid },
    #[error(
        "the slashing protection ledger {path} is damaged ({what}); do not sign with its keys before it is restored \
         or their history imported",
        path = .path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error(
        "the slashing protection ledger {path} protects the chain with genesis validators root {}, but the \
         configured network has {}: set the option `network` to the network of its validators (without it, \
         that is mainnet), or use another state directory",
        NamedRoot(*.pinned), NamedRoot(*.configured),
        path = .path.display()
    )]
    OtherChain { path: PathBuf, pinned: crate::primitives::Root, configured: crate::primitives::Root },
    #[error("the slashing protection ledger {path} cannot be opened", path = .path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("{path} cannot be {action}", path = .path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error(
        "the directory {path} could not be synced, so a power loss could take the slashing protection ledger away; \
         its disk has to work and the directory has to be readable",
        path = .path.display()
    )]
    Unsynced { path: PathBuf, source: io::Error },
    #[error("the slashing protection ledger's thread cannot be started")]
    Thread(#[source] io::Error),
}

/// A user, as people call it.
fn named(user: Uid) -> String {
    match User::from_uid(user) {
        Ok(Some(named)) => format!("{} (uid {user})", named.name),
        // It has no name, or none can be looked up.
        Ok(None) | Err(_) => format!("uid {user}"),
    }
}

impl OpenError {
    fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::NotADatabase) => Self::NotALedger { path, reason: "it is no SQLite file" },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, what: source.to_string() },
            // The other codes have no better words than SQLite's own.
            Some(_) | None => Self::Sqlite { path, source },
        }
    }
}

/// Why the open ledger cannot be used any more. Final: only a new process may read the file again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the slashing protection ledger could not be written")]
    Write(#[source] rusqlite::Error),
    #[error("the slashing protection ledger could not be read")]
    Read(#[source] rusqlite::Error),
    #[error("the slashing protection ledger's file {path} was removed or replaced while in use", path = .path.display())]
    Replaced { path: PathBuf },
    #[error("the slashing protection ledger's file {path} was truncated from {before} to {now} bytes while in use", path = .path.display())]
    Truncated { path: PathBuf, before: u64, now: u64 },
    #[error("the slashing protection ledger's file {path} cannot be looked at", path = .path.display())]
    Stat { path: PathBuf, source: io::Error },
}

impl StoreError {
    /// What happened, for callers: without paths, and of SQLite's words only those that stand for its error code.
    pub(crate) fn kind(&self) -> String {
        let sqlite = |error: &rusqlite::Error| match error.sqlite_error() {
            Some(error) if error.code == ErrorCode::DiskFull => "the disk is full".to_owned(),
            Some(error) => error.to_string(),
            None => "SQLite has no code for it".to_owned(),
        };
        match self {
            Self::Write(source) => format!("the ledger could not be written: {}", sqlite(source)),
            Self::Read(source) => format!("the ledger could not be read: {}", sqlite(source)),
            Self::Replaced { .. } => "a file of the ledger was removed or replaced while in use".to_owned(),
            Self::Truncated { before, now, .. } => {
                format!("a file of the ledger was truncated from {before} to {now} bytes while in use")
            }
            Self::Stat { source, .. } => {
                format!("a file of the ledger cannot be looked at: {}", source.kind())
            }
        }
    }

    fn write(source: rusqlite::Error) -> Self {
        Self::Write(source)
    }
}

/// Makes an empty file a ledger, up to the mode of its log.
fn fill(draft: &Path, vfs: Option<&str>) -> rusqlite::Result<()> {
    let connection = connect(draft, vfs)?;
    schema::create(&connection)?;
    write_ahead(&connection)
}

/// A connection with the settings that do not touch the file yet.
fn connect(path: &Path, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let uri = files::uri(path);
    let connection = match vfs {
        None => Connection::open_with_flags(uri, flags)?,
        Some(vfs) => Connection::open_with_flags_and_vfs(uri, flags, vfs)?,
    };
    // No waiting for locks: who holds one is another daemon.
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch(CONNECTION_SETTINGS)?;
    Ok(connection)
}

/// Sets the write-ahead log up, and sees to it that it is: a failed change of mode is no error to SQLite.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    if answer::<String>(connection, "PRAGMA journal_mode = WAL")? != "wal" {
        return Err(failure(rusqlite::ffi::SQLITE_IOERR, "the write-ahead log could not be set up"));
    }
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0")
}

/// What becomes of the log when it is in the database.
#[derive(Clone, Copy)]
enum AfterCheckpoint {
    /// It keeps its length and is written over from its beginning.
    Restart,
    Truncate,
}

/// Moves all of the log into the database, with fsync before and after. An incomplete one is an error.
fn checkpoint(connection: &Connection, then: AfterCheckpoint) -> rusqlite::Result<()> {
    let pragma = match then {
        AfterCheckpoint::Restart => "PRAGMA wal_checkpoint(RESTART)",
        AfterCheckpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    if answer::<i64>(connection, pragma)? != 0 {
        return Err(failure(rusqlite::ffi::SQLITE_BUSY, "the log could not be moved into the database"));
    }
    Ok(())
}

/// The first column of a pragma's only row, once the pragma has come to its end: it may fail after its row.
fn answer<T: FromSql>(connection: &Connection, pragma: &str) -> rusqlite::Result<T> {
    let mut statement = connection.prepare(pragma)?;
    let mut rows = statement.query(())?;
    let answer = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?.get(0)?;
    match rows.next()? {
        None => Ok(answer),
        Some(_) => Err(rusqlite::Error::QueryReturnedMoreThanOneRow),
    }
}

fn failure(code: std::ffi::c_int, message: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(message.to_owned()))
}

/// Order matters: the locking mode has to be set before the first access in WAL mode, which then needs no shared
/// memory file and takes the lock for good.
const CONNECTION_SETTINGS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA synchronous = FULL;
    PRAGMA cell_size_check = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA temp_store = MEMORY;
    PRAGMA secure_delete = ON;
";
