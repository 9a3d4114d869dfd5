//! Keys in use, where they come from, and what keeps them when the process ends.
//!
//! | source | survives a restart by | deleted by |
//! | --- | --- | --- |
//! | the Keymanager API, with a seal secret | a sealed keystore in the ledger's file | the Keymanager API |
//! | the Keymanager API, without one | systemd's file descriptor store, if there is one | the Keymanager API |
//! | the operator's files | the files | taking the file away and a reload |
//! | sources that a fetcher reads | a sealed keystore, as the source says | their source's next complete list |
//!
//! `start` fills the ring before anything is served; `import` and `delete` serve the Keymanager API; `reload` reads the
//! files again.

mod delete;
mod deletion_journal;
pub(crate) mod fetched;
mod import;
mod reload;
pub(crate) mod sources;
mod start;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub(crate) use self::delete::{DeleteOutcome, Deleted};
pub(crate) use self::import::{Import, ImportFault, ImportOutcome};
pub(crate) use self::reload::{Operation, Reload, ReloadStatus};
pub(crate) use self::start::{StartError, start};

use self::deletion_journal::DeletionJournal;
use self::fetched::FetchedSources;
use crate::keys::loader::{ContentHash, Loader};
use crate::keys::{FdStore, Importer, KdfPool, OpenedKey, Ring, Seal, SealError};
use crate::ledger::SealedKeystore;
use crate::mutex::Mutex;
use crate::sys::locked_memory::LockedMemory;

/// The keys in use and their keepers.
pub(crate) struct Keystores {
    /// The first to be dropped: then the keys are left to the next process.
    fd_store: Option<FdStore>,
    ring: Ring,
    importer: Importer,
    seal: Option<Seal>,
    loader: Mutex<Loader>,
    key_files: ArcSwap<KeyFiles>,
    fetched: FetchedSources,
    /// Where a reload stands, and how the last one went.
    reload: Mutex<ReloadStatus>,
    deletion_journal: DeletionJournal,
    /// Held while the set of keys changes, so that what was decided about a key still holds when it is done.
    changes: tokio::sync::Mutex<()>,
}

impl Keystores {
    /// The keys that can sign.
    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The bounds within which keystores are opened.
    pub(crate) fn kdf_pool(&self) -> &KdfPool {
        self.importer.pool()
    }

    /// Where keys are held.
    pub(crate) fn locked_memory(&self) -> &Arc<LockedMemory> {
        self.importer.memory()
    }

    /// Waits for the turn to change the set of keys; it lasts until the guard is dropped.
    async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changes.lock().await
    }

    /// What to keep of a key on disk, in its own right or as a copy of the file with this content; `None` without a
    /// seal secret.
    fn sealed(
        &self,
        key: &OpenedKey,
        copy_of: Option<ContentHash>,
    ) -> Result<Option<SealedKeystore>, SealError> {
        self.seal.as_ref().map(|seal| sealed_keystore(seal, key, copy_of)).transpose()
    }

    /// What happens to keys imported now when the process ends.
    pub(crate) fn persistence(&self) -> Persistence {
        match (&self.seal, &self.fd_store) {
            (Some(_), _) => Persistence::Sealed,
            (None, Some(_)) => Persistence::FdStore,
            (None, None) => Persistence::Memory,
        }
    }

    /// What the operator's files came to when they were last read.
    pub(crate) fn key_files(&self) -> Arc<KeyFiles> {
        self.key_files.load_full()
    }
}

/// A key as it is kept on disk, in its own right or as a copy of the file with this content.
pub(crate) fn sealed_keystore(
    seal: &Seal,
    key: &OpenedKey,
    copy_of: Option<ContentHash>,
) -> Result<SealedKeystore, SealError> {
    Ok(SealedKeystore {
        public_key: key.public_key(),
        json: seal.seal(key.secret(), key.derivation_path())?,
        derivation_path: key.derivation_path().map(str::to_owned),
        copy_of: copy_of.map(|content| content.0),
        source: None,
    })
}

/// What a reading of the operator's files came to, beside the keys; the log has all reasons.
#[derive(Default)]
pub(crate) struct KeyFiles {
    /// The names of files that gave no key.
    pub(crate) problems: Vec<String>,
    /// How many files and directories are not read, by their names or as JSON that is no keystore.
    pub(crate) passed_over: usize,
    /// Why nothing comes from a source, for each of which that is so.
    pub(crate) barren_sources: Vec<String>,
}

/// What becomes of imported keys when the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// They are on disk, sealed.
    Sealed,
    /// They survive a restart of the service, not its stop.
    FdStore,
    /// They are gone.
    Memory,
}
