//! Where the keys in use come from, and what keeps them when the process ends.
//!
//! | source | survives a restart by | deleted by |
//! | --- | --- | --- |
//! | the Keymanager API, with a seal secret | a sealed keystore in the ledger's file | the Keymanager API |
//! | the Keymanager API, without one | systemd's file descriptor store, if there is one | the Keymanager API |
//! | the operator's files | the files | taking the file away and a reload |
//!
//! `start` fills the ring before anything is served; `reload` reads the files again.

mod deletion_journal;
mod reload;
mod start;

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

pub(crate) use self::reload::{Operation, Reload, ReloadStatus};
pub(crate) use self::start::{StartError, start};

use self::deletion_journal::DeletionJournal;
use crate::bls::PublicKey;
use crate::keys::loader::{ContentHash, Loader};
use crate::keys::{FdStore, Importer, Key, Ring, Seal, SealError};
use crate::ledger::SealedKeystore;
use crate::text::chain;

/// The keys in use and their keepers.
pub(crate) struct Keystores {
    ring: Ring,
    importer: Importer,
    seal: Option<Seal>,
    fd_store: Option<FdStore>,
    loader: Mutex<Loader>,
    key_files: ArcSwap<KeyFiles>,
    reload: reload::Progress,
    deletion_journal: DeletionJournal,
    /// Held while the set of keys changes, so that what was decided about a key still holds when it is done.
    changes: tokio::sync::Mutex<()>,
}

impl Keystores {
    /// The keys that can sign.
    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Opens keystores; blocks.
    pub(crate) fn importer(&self) -> &Importer {
        &self.importer
    }

    /// Waits for the turn to change the set of keys; it lasts until the guard is dropped.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changes.lock().await
    }

    /// What to keep of a key on disk, in its own right or as a copy of the file with this content; `None` without a seal
    /// secret.
    pub(crate) fn sealed(
        &self,
        key: &Key,
        copy_of: Option<ContentHash>,
    ) -> Result<Option<SealedKeystore>, SealError> {
        let Some(seal) = &self.seal else { return Ok(None) };
        Ok(Some(SealedKeystore {
            public_key: key.public_key(),
            json: seal.seal(key.secret(), key.derivation_path())?,
            derivation_path: key.derivation_path().map(str::to_owned),
            copy_of: copy_of.map(|content| content.0),
        }))
    }

    /// Whether the next process takes over the memory that the keys lie in.
    pub(crate) fn uses_fd_store(&self) -> bool {
        self.fd_store.is_some()
    }

    /// What happens to keys imported now when the process ends.
    pub(crate) fn persistence(&self) -> Persistence {
        match (&self.seal, &self.fd_store) {
            (Some(_), _) => Persistence::Sealed,
            (None, Some(_)) => Persistence::FdStore,
            (None, None) => Persistence::Memory,
        }
    }

    /// Lets imported keys sign from now on. What the ledger has to know of them is durable by now.
    pub(crate) fn admit(&self, keys: Vec<Key>) {
        if let Some(fd_store) = &self.fd_store {
            for key in &keys {
                if let Err(error) = fd_store.insert(key) {
                    let public_key = key.public_key();
                    tracing::warn!(%public_key, error = chain(&error), "the key will not survive a restart of the process");
                }
            }
        }
        self.ring.insert(keys);
    }

    /// Takes keys out of use.
    pub(crate) fn dismiss(&self, public_keys: &[PublicKey]) {
        for key in self.ring.remove(public_keys).into_iter().flatten() {
            let Some(fd_store) = &self.fd_store else { continue };
            if let Err(error) = fd_store.remove(&key) {
                tracing::error!(public_key = %key.public_key(), error = chain(&error), "the key may come back with a restart");
            }
        }
    }

    /// Notes keys that must not come back with a restart, where the ledger could not record it. Says whether they will
    /// not.
    pub(crate) fn note_deletion(&self, public_keys: &[PublicKey]) -> bool {
        if public_keys.is_empty() {
            return true;
        }
        let noted = self.deletion_journal.add(public_keys);
        if let Err(error) = &noted {
            tracing::error!(
                error = chain(error),
                "the deletion cannot be noted either: the keys may come back with a restart"
            );
        }
        noted.is_ok()
    }

    /// Takes back what was noted of keys that the ledger has just let in. Says whether that will hold over a restart.
    pub(crate) fn forget_deletion(&self, public_keys: &[PublicKey]) -> bool {
        let forgotten = self.deletion_journal.remove(public_keys);
        if let Err(error) = &forgotten {
            tracing::error!(
                error = chain(error),
                "keys that were deleted before may be taken for deleted at the next start"
            );
        }
        forgotten.is_ok()
    }

    /// What the operator's files came to when they were last read.
    pub(crate) fn key_files(&self) -> Arc<KeyFiles> {
        self.key_files.load_full()
    }
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
