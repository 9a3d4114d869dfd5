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
//! - While the database says that it is open, the log is not empty (`session`): one that is was lost.
//! - The directory is synced by ourselves when the log is there: SQLite's one attempt swallows its errors as well.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, TransactionBehavior};

use self::connection::{AfterCheckpoint, checkpoint, connect, write_ahead};
use self::counted::Counted;
use self::directory::{Directory, Lock};
use self::files::{FILE_NAME, Files};
use self::finding::{Decision, Finding};
use self::session::Session;
use super::Settings;
use super::anchor::{Anchors, Held};
use super::counter::{ShownCounter, Standing};
use super::row::KeyState;
use super::rules::Watermark;
use super::unproven::{Doubt, Lifted, Unproven};
use super::watermarks::Metadata;
use crate::primitives::{Epoch, Slot};

mod connection;
mod counted;
mod directory;
mod error;
mod file_system;
mod files;
mod finding;
mod identity;
mod keystores;
mod mark;
mod rows;
mod schema;
mod session;
mod wal;

pub(crate) use self::directory::{DirectoryId, is_held, is_in};
pub(crate) use self::error::{OpenError, StoreError};
pub(crate) use self::file_system::FileSystems;
pub(super) use self::files::check_free_space;
pub(super) use self::identity::Identity;
pub(crate) use self::identity::LedgerId;
pub(super) use self::keystores::SealedChange;
pub(crate) use self::keystores::{KeptSource, SealedKeystore};
pub(crate) use self::mark::mark_unproven;
pub(crate) use self::schema::is_older;
#[cfg(feature = "fuzz-internals")]
pub(crate) use self::wal::damage as log_damage;

/// What to do when there is no ledger yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Create an empty one.
    Create,
    /// Do not start: it should be there.
    Refuse,
}

/// What to do about a ledger that lacks commits that it has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Do not start: what is lost may still be found.
    Refuse,
    /// Lift all watermarks to these, and go on.
    Lift {
        /// Of blocks.
        slot: Slot,
        /// Of attestations, source and target.
        epoch: Epoch,
    },
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
    /// What a key begins with that has no entry.
    pub(super) floor: Watermark,
    /// What is wrong with it that whoever opens it does not mind.
    pub(super) doubt: Option<Doubt>,
    /// What the opening has lifted because nothing showed that the ledger is the newest.
    pub(super) lifted: Option<Lifted>,
    /// What counts its sessions outside of all disks, if a counter is named.
    pub(super) counter: Option<ShownCounter>,
}

/// The open ledger file.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    files: Files,
    session: Session,
    anchors: Anchors,
    counted: Counted,
    /// Since the log was last moved into the database.
    commits: usize,
    /// Held as long as the file is open, and before anything in the directory is touched.
    _lock: Lock,
}

impl Store {
    /// Opens the ledger for this process alone and reads it to the end. `vfs` names the SQLite file layer; `None` is
    /// the system's own.
    pub(super) fn open(settings: &Settings, vfs: Option<&str>) -> Result<(Self, Contents), OpenError> {
        let Settings { directory, missing, .. } = settings;
        if *missing == Missing::Refuse && !directory.exists() {
            let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
            return Err(OpenError::Missing { directory });
        }
        let opened = Directory::open(directory)?;
        file_system::check(opened.path(), settings.file_systems)?;
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
        let has_log = files::rewrite_wal(&opened)?;
        let sqlite = |source| OpenError::from_sqlite(&path, source);
        let connection = connect(&path, vfs).map_err(sqlite)?;
        write_ahead(&connection).map_err(sqlite)?;
        if connection.is_readonly("main").map_err(sqlite)? {
            return Err(OpenError::ReadOnly { path });
        }
        schema::check(&connection, &path)?;
        let head = rows::read_head(&connection, &path)?;
        let mut entries = rows::read_entries(&connection, &path)?;
        let identity = identity::read(&connection, &path)?;
        let mut session = session::read(&connection, &path)?;
        let mut anchors = Anchors::open(&settings.anchors, identity.id)
            .map_err(|Held { anchor }| OpenError::Copied { path: path.clone(), anchor })?;
        let only_looks = settings.unproven == Unproven::Leave;
        let mut counted = Counted::open(&settings.counting, &connection, &path, identity.id, only_looks)?;
        let Decision { floor, doubt, lifted } = Finding {
            session,
            has_log,
            standing: counted.standing,
            mark: mark::read(&opened)?,
            path: &path,
            identity,
            entries: &entries,
        }
        .decide(settings, &anchors, SystemTime::now())?;
        if let Some(floor) = floor {
            for entry in &mut entries {
                entry.watermark = entry.watermark.merged(floor);
            }
            session.floor = session.floor.merged(floor);
            session.commits = session.commits.max(anchors.highest());
            let transaction = connection.unchecked_transaction().map_err(sqlite)?;
            rows::write_entries(&transaction, entries.iter().enumerate()).map_err(sqlite)?;
            session = session.next(false);
            session.write(&transaction).map_err(sqlite)?;
            counted.accept(&transaction, &path)?;
            transaction.commit().map_err(sqlite)?;
            mark::remove(&opened)?;
        }
        // Who only looks says nothing of a ledger that no anchor knows as the newest.
        if doubt.is_some() || (only_looks && !session.anchored) {
            anchors.leave();
        }
        if doubt.is_some() {
            counted.leave();
        } else if floor.is_none() && anchors.was_in_memory() {
            counted.resume();
        }
        let counter = shown(&counted);
        // Before the ledger says that it has anchors: a kill in between is not taken for their loss.
        anchors.establish(session.commits, SystemTime::now());
        session.anchored |= anchors.can_note();
        session = close_session(&connection, session).map_err(sqlite)?;
        // By now the log exists. Only with its name on the disk is what a commit syncs found after a power loss.
        opened.sync()?;
        session = open_session(&connection, session).map_err(sqlite)?;
        let contents = Contents {
            head,
            entries,
            identity,
            is_new,
            directory: opened.id()?,
            path: path.clone(),
            floor: session.floor,
            doubt,
            lifted,
            counter,
        };
        let files = Files::watch(&path, directory)?;
        let mut store = Self { connection, files, session, anchors, counted, commits: 0, _lock: lock };
        store.note_anchors();
        Ok((store, contents))
    }

    /// Writes what has changed, entries with their positions, and changes to the kept keystores, in one transaction
    /// with one fsync. After an error the store must not be used again.
    pub(super) fn save<'a>(
        &mut self,
        head: Option<&Metadata>,
        entries: impl Iterator<Item = (usize, &'a KeyState)>,
        sealed: &[SealedChange],
    ) -> Result<(), StoreError> {
        self.count()?;
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
        let session = self.session.next(true);
        session.write(&transaction).map_err(StoreError::write)?;
        transaction.commit().map_err(StoreError::write)?;
        self.session = session;
        self.commits = self.commits.saturating_add(1);
        self.note_anchors();
        // Checked again after the fsync: what was synced has to be the file that a restart will read.
        self.files.note()
    }

    /// Has the session counted, if it is not yet.
    pub(super) fn count(&mut self) -> Result<(), StoreError> {
        if !self.counted.is_waiting() {
            return Ok(());
        }
        self.files.check()?;
        self.counted.begin(&self.connection)?;
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
        self.files.check()?;
        checkpoint(&self.connection, AfterCheckpoint::Restart).map_err(StoreError::write)?;
        self.commits = 0;
        self.files.note()
    }

    /// Moves the log into the database and empties it, so that what was deleted does not live on in the log.
    pub(super) fn truncate_wal(&mut self) -> Result<(), StoreError> {
        self.files.check()?;
        let closed = close_session(&self.connection, self.session).map_err(StoreError::write)?;
        self.session = open_session(&self.connection, closed).map_err(StoreError::write)?;
        self.commits = 0;
        self.note_anchors();
        self.files.note()
    }

    /// Shows the anchors now and then that the host still runs, also when nothing is signed.
    pub(super) fn refresh_anchors(&mut self) {
        self.anchors.refresh(self.session.commits, SystemTime::now());
    }

    fn note_anchors(&mut self) {
        self.anchors.note(self.session.commits, SystemTime::now());
    }

    /// Moves the log into the database and closes the file. Not to be called after an error; a store that is merely
    /// dropped leaves its log for the next start.
    pub(super) fn close(mut self) -> Result<(), StoreError> {
        self.files.check()?;
        let transaction = self.connection.unchecked_transaction().map_err(StoreError::write)?;
        self.counted.end(&transaction).map_err(StoreError::write)?;
        let closed = self.session.next(false);
        closed.write(&transaction).map_err(StoreError::write)?;
        transaction.commit().map_err(StoreError::write)?;
        self.session = closed;
        checkpoint(&self.connection, AfterCheckpoint::Truncate).map_err(StoreError::write)?;
        self.note_anchors();
        self.anchors.sync();
        self.connection.close().map_err(|(_, source)| StoreError::write(source))?;
        // Last of all: a TPM may take its time.
        self.counted.count_end();
        Ok(())
    }
}

fn shown(counted: &Counted) -> Option<ShownCounter> {
    let counts = counted.shown().map(|(counter, value)| ShownCounter::Counts {
        counter,
        value,
        is_newest: counted.standing == Standing::Newest,
    });
    counts.or_else(|| counted.not_yet.as_ref().map(|fault| ShownCounter::NotYet(fault.to_string())))
}

/// Has the database say that nobody has it open, and empties the log.
fn close_session(connection: &Connection, session: Session) -> rusqlite::Result<Session> {
    let closed = if session.is_open { session.next(false) } else { session };
    if closed != session {
        closed.write(connection)?;
    }
    checkpoint(connection, AfterCheckpoint::Truncate)?;
    Ok(closed)
}

/// Has the database say that it is open, with a log that is not empty.
fn open_session(connection: &Connection, session: Session) -> rusqlite::Result<Session> {
    let open = session.next(true);
    open.write(connection)?;
    checkpoint(connection, AfterCheckpoint::Restart)?;
    Ok(open)
}

/// Makes an empty file a ledger, up to the mode of its log.
fn fill(draft: &Path, vfs: Option<&str>) -> rusqlite::Result<()> {
    let connection = connect(draft, vfs)?;
    schema::create(&connection)?;
    write_ahead(&connection)
}
