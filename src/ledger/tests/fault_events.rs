//! Events on a ledger's files as the fault layer writes them down, and the plan of which operation fails.

use std::ffi::c_int;
use std::path::PathBuf;

use super::promises::Mark;
use crate::tpm::Reading;

/// One thing that happened to the files, or that was promised to a caller, in the order of events.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Create {
        file: String,
    },
    Write {
        file: String,
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        length: usize,
    },
    Sync {
        file: String,
    },
    Delete {
        file: String,
        synced: bool,
    },
    /// Another, synced file took its place (not by SQLite: noted by who saw it).
    Replace {
        file: String,
        bytes: Vec<u8>,
    },
    /// The operation that was made to fail.
    Fault {
        kind: Kind,
        file: String,
    },
    Mark(Mark),
    /// What the ledger's counter says from now on.
    Counter(Option<Reading>),
    /// The ledger's anchor says something else now: a file that is written and not synced.
    Anchor {
        file: PathBuf,
        bytes: Vec<u8>,
    },
}

/// The operations that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Read,
    Write,
    Truncate,
    Sync,
    Delete,
}

/// Which operation fails and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) code: c_int,
}
