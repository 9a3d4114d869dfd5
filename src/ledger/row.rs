//! Row of one key in the ledger's memory: its state, and how much of that is on disk.
//!
//! A row has a lock of its own, which is held for a comparison and never over I/O: no key waits for another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};

use super::rules::Watermark;
use crate::bls::PublicKey;
use crate::mutex::Mutex;
use crate::primitives::SigningRoot;

/// What is known of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyState {
    pub(super) public_key: PublicKey,
    pub(super) watermark: Watermark,
    /// Deleted here by command: it may be in use elsewhere, so nothing is signed until it is imported again.
    pub(super) deleted: bool,
    /// A raw root was signed with it: nobody knows what that said, so no block and no attestation is signed until its
    /// watermarks are lifted to the present.
    pub(super) raw_root_signed: bool,
    /// The exit that was signed with it for a client that may have one.
    pub(super) exit: Option<SigningRoot>,
}

/// A key's entry with its position in the file, which never changes.
#[derive(Debug)]
pub(super) struct Row {
    position: usize,
    versioned: Mutex<Versioned>,
    /// The version that the writer has taken last. A later one is on its list.
    taken: AtomicU64,
    /// The version that is on disk.
    saved: AtomicU64,
}

/// A key's state with its version: how often it has changed since the start.
#[derive(Debug)]
pub(super) struct Versioned {
    entry: KeyState,
    version: u64,
}

impl Row {
    /// A row whose state is on disk.
    pub(super) fn saved(position: usize, entry: KeyState) -> Arc<Self> {
        Arc::new(Self {
            position,
            versioned: Mutex::new(Versioned { entry, version: 0 }),
            taken: AtomicU64::new(0),
            saved: AtomicU64::new(0),
        })
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn entry(&self) -> KeyState {
        self.lock().entry
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Versioned> {
        self.versioned.lock()
    }

    /// Changes what a locked row says. True if the row has to be put on the writer's list; else it is there already.
    #[must_use]
    pub(super) fn write(&self, versioned: &mut Versioned, entry: KeyState) -> bool {
        let unlisted = versioned.version == self.taken.load(Ordering::Relaxed);
        *versioned = Versioned { entry, version: versioned.version.saturating_add(1) };
        unlisted
    }

    /// What is to be written to the disk now. A change from here on puts the row on the list again.
    pub(super) fn take(self: Arc<Self>) -> DirtyRow {
        let (entry, version) = {
            let versioned = self.lock();
            // Under the lock, so that no change falls between the list and this commit.
            self.taken.store(versioned.version, Ordering::Release);
            (versioned.entry, versioned.version)
        };
        DirtyRow { row: self, version, entry }
    }
}

impl Versioned {
    pub(super) fn entry(&self) -> &KeyState {
        &self.entry
    }

    /// The row as it is now: on record when the disk has it, or a later one.
    pub(super) fn record(&self, row: &Arc<Row>) -> PendingWrite {
        PendingWrite { row: Arc::clone(row), version: self.version }
    }
}

/// A row with changes, as the writer has taken it.
#[derive(Debug)]
pub(super) struct DirtyRow {
    row: Arc<Row>,
    version: u64,
    pub(super) entry: KeyState,
}

impl DirtyRow {
    pub(super) fn position(&self) -> usize {
        self.row.position
    }

    /// It is on disk.
    pub(super) fn mark_saved(&self) {
        self.row.saved.store(self.version, Ordering::Release);
    }
}

/// What has to be on disk before a message's signature may leave.
#[derive(Clone, Debug)]
pub(super) struct PendingWrite {
    row: Arc<Row>,
    version: u64,
}

impl PendingWrite {
    pub(super) fn is_durable(&self) -> bool {
        self.row.saved.load(Ordering::Acquire) >= self.version
    }

    /// Whether a commit that has begun covers it.
    pub(super) fn is_underway(&self) -> bool {
        self.row.taken.load(Ordering::Acquire) >= self.version
    }
}
