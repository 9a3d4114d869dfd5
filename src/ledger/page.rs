//! One key's place in the ledger's memory: its standing, and how much of that is on disk.
//!
//! A page has a lock of its own, which is held for a comparison and never over I/O: no key waits for another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rules::Watermark;
use crate::bls::PublicKey;

/// One key's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) public_key: PublicKey,
    pub(super) watermark: Watermark,
    /// Deleted here by command: it may be in use elsewhere, so nothing is signed until it is imported again.
    pub(super) deleted: bool,
    /// A raw root was signed with it: nobody knows what that said, so no block and no attestation is signed until its
    /// watermarks are lifted to the present.
    pub(super) raw_root_signed: bool,
}

impl Entry {
    /// What a key begins with.
    pub(super) fn new(public_key: PublicKey) -> Self {
        Self { public_key, watermark: Watermark::default(), deleted: false, raw_root_signed: false }
    }
}

/// A key's entry with its position in the file, which never changes.
#[derive(Debug)]
pub(super) struct Page {
    position: usize,
    standing: Mutex<Standing>,
    /// The version that the writer has taken last. A later one is on its list.
    taken: AtomicU64,
    /// The version that is on disk.
    saved: AtomicU64,
}

/// What a page says, and its version: how often that has changed since the start.
#[derive(Debug)]
pub(super) struct Standing {
    entry: Entry,
    version: u64,
}

impl Page {
    /// A page whose entry is on disk.
    pub(super) fn saved(position: usize, entry: Entry) -> Arc<Self> {
        Arc::new(Self {
            position,
            standing: Mutex::new(Standing { entry, version: 0 }),
            taken: AtomicU64::new(0),
            saved: AtomicU64::new(0),
        })
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn entry(&self) -> Entry {
        self.lock().entry
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Standing> {
        // Nothing that can panic runs between two changes that belong together.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what a locked page says. True if the page has to be put on the writer's list; else it is there already.
    #[must_use]
    pub(super) fn write(&self, standing: &mut Standing, entry: Entry) -> bool {
        let unlisted = standing.version == self.taken.load(Ordering::Relaxed);
        *standing = Standing { entry, version: standing.version.saturating_add(1) };
        unlisted
    }

    /// What is to be written to the disk now. A change from here on puts the page on the list again.
    pub(super) fn take(self: Arc<Self>) -> Taken {
        let (entry, version) = {
            let standing = self.lock();
            // Under the lock, so that no change falls between the list and this commit.
            self.taken.store(standing.version, Ordering::Release);
            (standing.entry, standing.version)
        };
        Taken { page: self, version, entry }
    }
}

impl Standing {
    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The page as it is now: on record when the disk has it, or a later one.
    pub(super) fn record(&self, page: &Arc<Page>) -> Record {
        Record { page: Arc::clone(page), version: self.version }
    }
}

/// A page as the writer has taken it.
#[derive(Debug)]
pub(super) struct Taken {
    page: Arc<Page>,
    version: u64,
    pub(super) entry: Entry,
}

impl Taken {
    pub(super) fn position(&self) -> usize {
        self.page.position
    }

    /// It is on disk.
    pub(super) fn mark_saved(&self) {
        self.page.saved.store(self.version, Ordering::Release);
    }
}

/// What has to be on disk before a message's signature may leave.
#[derive(Clone, Debug)]
pub(super) struct Record {
    page: Arc<Page>,
    version: u64,
}

impl Record {
    pub(super) fn is_durable(&self) -> bool {
        self.page.saved.load(Ordering::Acquire) >= self.version
    }

    /// Whether a commit that has begun covers it.
    pub(super) fn is_underway(&self) -> bool {
        self.page.taken.load(Ordering::Acquire) >= self.version
    }
}
