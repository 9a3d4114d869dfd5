//! Errors of the ledger's file: at its opening, and while it is in use.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use rusqlite::ErrorCode;

use crate::ledger::counter::{CounterFault, CounterLoss};
use crate::ledger::unproven::{Doubt, NoPresent};
use crate::network::NamedRoot;
use crate::primitives::Root;

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(
        "there is no slashing protection ledger in {directory}. If its keys have signed before, do not start without \
         it: name the directory where it is (--state-dir), restore it, or import its history. Only keys that have \
         never signed anywhere begin with an empty one: `bls-signer slashing-protection init --state-dir {directory}`",
        directory = .directory.display()
    )]
    Missing { directory: PathBuf },
    #[error("the slashing protection ledger {path} is in use by another process; end that one \
             first", path = .path.display())]
    InUse { path: PathBuf },
    #[error("the slashing protection ledger {path} cannot be written: read-only file or file \
             system", path = .path.display())]
    ReadOnly { path: PathBuf },
    #[error(
        "the slashing protection ledger {path} was not closed, and its log {path}-wal is gone or empty, so what was \
         signed last is not on record. Put the log back as it was. If it is lost for good, go on with what is left: \
         {GO_ON}",
        path = .path.display()
    )]
    LogMissing { path: PathBuf },
    #[error(
        "the slashing protection ledger {path} is rolled back by {missing} commits: it has had \
         {anchored} (by {anchor}), and now has {found}. An older copy took its place, or its log lost its end. Put the \
         newest one back. If that is lost for good, go on with this one: {GO_ON}",
        path = .path.display(), anchor = .anchor.display(), missing = .anchored.saturating_sub(*.found)
    )]
    RolledBack { path: PathBuf, anchor: PathBuf, anchored: u64, found: u64 },
    #[error(
        "the slashing protection ledger {path} {loss}. If there is none, or it may go, go on with this one: {GO_ON}",
        path = .path.display()
    )]
    CounterLoss { path: PathBuf, loss: CounterLoss },
    #[error("the sessions of the slashing protection ledger cannot be counted")]
    Counter(#[source] Box<CounterFault>),
    #[error(
        "the state directory {} is on {name}, where other hosts or processes answer for locks and syncs: two signers \
         could have it, and a record could be lost. Put it on a disk of this host, or say state_fs = \"any\" \
         (BLS_SIGNER_STATE_FS=any)",
        .path.display()
    )]
    FileSystem { path: PathBuf, name: &'static str },
    #[error(
        "nothing shows that the slashing protection ledger {path} is the newest ({doubt}), so keys may have signed \
         what is not on record. To go on, lift all watermarks to the present: {GO_ON}",
        path = .path.display()
    )]
    Unproven { path: PathBuf, doubt: Doubt, source: Option<NoPresent> },
    #[error(
        "another process has a copy of the slashing protection ledger {path} open (it holds {anchor}): two signers on \
         two copies sign contradictions. End that process, or move one of the copies away for good",
        path = .path.display(), anchor = .anchor.display()
    )]
    Copied { path: PathBuf, anchor: PathBuf },
    #[error(
        "{path} is a left-over log of a ledger that is gone; restore the ledger beside it from where it went, or \
         move both away and import the protection history",
        path = .path.display()
    )]
    Orphan { path: PathBuf },
    #[error("{path} is writable by other users (mode {mode:03o}); take that away with `chmod \
             go-w`", path = .path.display())]
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
        "{path} belongs to {}, and this process is {}: run it as that user (for root: `runuser -u NAME -- bls-signer \
         ...`), or give it the file with `chown`",
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
    OtherChain { path: PathBuf, pinned: Root, configured: Root },
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
    #[error("the shared ledger")]
    SharedLedger(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the slashing protection ledger's thread cannot be started")]
    Thread(#[source] io::Error),
}

/// How to go on after a loss.
const GO_ON: &str = "`bls-signer slashing-protection raise --accept-loss --slot NOW --epoch NOW`, with the network's \
                     current slot and epoch";

/// A user, as people call it.
fn named(user: Uid) -> String {
    match User::from_uid(user) {
        Ok(Some(named)) => format!("{} (uid {user})", named.name),
        // It has no name, or none can be looked up.
        Ok(None) | Err(_) => format!("uid {user}"),
    }
}

impl OpenError {
    pub(super) fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
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
    #[error("the slashing protection ledger's file {path} was removed or replaced while in \
             use", path = .path.display())]
    Replaced { path: PathBuf },
    #[error("the slashing protection ledger's file {path} was truncated from {before} to {now} bytes while in \
             use", path = .path.display())]
    Truncated { path: PathBuf, before: u64, now: u64 },
    #[error("the slashing protection ledger's file {path} cannot be looked at", path = .path.display())]
    Stat { path: PathBuf, source: io::Error },
    #[error("the sessions of the slashing protection ledger could not be counted")]
    Counter(#[source] Box<CounterFault>),
}

impl From<CounterFault> for OpenError {
    fn from(fault: CounterFault) -> Self {
        Self::Counter(Box::new(fault))
    }
}

impl From<CounterFault> for StoreError {
    fn from(fault: CounterFault) -> Self {
        Self::Counter(Box::new(fault))
    }
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
            Self::Counter(_) => "the TPM did not count that the ledger's session begins".to_owned(),
        }
    }

    pub(super) fn write(source: rusqlite::Error) -> Self {
        Self::Write(source)
    }
}
