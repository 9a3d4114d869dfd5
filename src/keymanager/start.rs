//! Start of the keys, before anything is served: those of the process before, the sealed keys, the operator's files.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{self, Arc};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use super::Keystores;
use super::deletion_journal::{DeletionJournal, DeletionJournalError};
use super::fetched::FetchedSources;
use super::reload;
use super::sources;
use crate::config::KeySources;
use crate::keys::loader::{ContentHash, Loaded, Loader};
use crate::keys::{
    FdStore, Importer, Inherited, Key, OpenedKey, Ring, Seal, SealError, SealFileError, Urgency,
};
use crate::ledger::{Fault, Protection, SealedKeystore};
use crate::mutex::Mutex;
use crate::supervisor::activation::StoredFd;
use crate::supervisor::notify::{Notifier, tell};
use crate::sys::hardening;
use crate::sys::locked_memory::{LockedMemory, LockedMemoryError};
use crate::text::chain;

/// The names under which systemd keeps the region of keys and its index.
const STORED_FDS: [&str; 2] = ["keys-region", "keys-index"];

/// Loads every key that is to be served. Slow where passwords have to be derived; progress goes to the service manager.
pub(crate) async fn start(
    settings: &KeySources,
    state: &Path,
    stored: Vec<StoredFd>,
    protection: &Protection,
    notifier: &Arc<Notifier>,
) -> Result<Keystores, StartError> {
    let deletion_journal = DeletionJournal::in_directory(state);
    deletion_journal.replay(protection).await?;
    let predecessor = take_over(stored);
    let memory = match &predecessor {
        Some(inherited) => Arc::clone(inherited.fd_store.memory()),
        None => LockedMemory::new()?,
    };
    tracing::debug!(kind = memory.kind(), "keys are held in locked memory");
    let importer = sources::importer(settings, memory);
    let seal =
        settings.seal_file.as_deref().map(|path| Seal::from_file(path, importer.memory())).transpose()?;
    let ring = Ring::new();

    let fd_store = match predecessor {
        Some(Inherited { fd_store, keys, lost }) => {
            tracing::info!(keys = keys.len(), lost, "took over the keys of the process before");
            ring.insert(keys);
            Some(fd_store)
        }
        None if settings.fd_store && notifier.is_supervised() => hand_over(&importer, notifier),
        None => None,
    };
    let fetched = FetchedSources::new();
    let copies = Arc::new(unseal(seal.as_ref(), &importer, &ring, &fetched, protection).await?);

    let loader = Loader::new(sources::key_files(settings), importer.clone());
    let keystores = Keystores {
        fd_store,
        ring,
        importer,
        seal,
        loader: Mutex::new(loader),
        key_files: arc_swap::ArcSwap::default(),
        fetched,
        reload: Mutex::default(),
        deletion_journal,
        changes: tokio::sync::Mutex::new(()),
    };
    load_files(keystores, copies, protection, Arc::clone(notifier)).await
}

/// Keys that a process before us left with the service manager. Whatever is wrong with them costs the keys, not the
/// start.
fn take_over(stored: Vec<StoredFd>) -> Option<Inherited> {
    let mut fds: HashMap<String, OwnedFd> =
        stored.into_iter().map(|stored| (stored.name, stored.fd)).collect();
    let [region, index] = STORED_FDS.map(|name| fds.remove(name));
    match (region, index) {
        (Some(region), Some(index)) => match FdStore::resume(region, index) {
            Ok(inherited) => Some(inherited),
            Err(error) => {
                tracing::error!(error = chain(&error), "the keys of the process before cannot be taken over");
                None
            }
        },
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            tracing::error!("the service manager kept only a part of the keys: they cannot be taken over");
            None
        }
    }
}

/// Gives the region of keys and its index to the service manager.
fn hand_over(importer: &Importer, notifier: &Notifier) -> Option<FdStore> {
    let fd_store = match FdStore::begin(importer.memory()) {
        Ok(fd_store) => fd_store?,
        Err(error) => {
            tracing::warn!(error = chain(&error), "keys in memory will not survive a restart");
            return None;
        }
    };
    let (region, index) = fd_store.files()?;
    for (name, fd) in STORED_FDS.into_iter().zip([region, index]) {
        if let Err(error) = notifier.remove_stored(name).and_then(|()| notifier.store(name, fd)) {
            tracing::warn!(error = chain(&error), "keys in memory will not survive a restart");
            return None;
        }
    }
    Some(fd_store.kept())
}

/// Sealed copies of the operator's keystores, by the content of the file that each is a copy of.
type Copies = HashMap<[u8; 32], SealedKeystore>;

/// Opens the sealed keys into the ring, imported and fetched ones, and hands back those that are copies of files. Page
/// by page, so that the text of ten thousand keystores is never in memory at one time.
async fn unseal(
    seal: Option<&Seal>,
    importer: &Importer,
    ring: &Ring,
    fetched: &FetchedSources,
    protection: &Protection,
) -> Result<Copies, StartError> {
    let mut copies = Copies::new();
    let Protection::On(ledger) = protection else { return Ok(copies) };
    let mut keys = Vec::new();
    let mut unopened = 0_usize;
    let mut start = Some(0);
    while let Some(from) = start {
        let page = ledger.keystores(from, SEALED_KEYS_PER_PAGE).await.map_err(StartError::Ledger)?;
        start = page.next();
        let (imported, copied) = page.into_active_and_copies();
        let (of_sources, of_files): (Vec<_>, Vec<_>) =
            copied.into_iter().partition(|copy| copy.source.is_some());
        let Some(seal) = seal else {
            unopened = unopened.saturating_add(imported.len()).saturating_add(of_sources.len());
            continue;
        };
        copies.extend(of_files.into_iter().filter_map(|copy| Some((copy.copy_of?, copy))));
        let opened = importer
            .pool()
            .map(&imported, Urgency::Start, |keystore| keystore.open(|sealed| open(seal, importer, sealed)));
        for activated in opened {
            keys.push(Key::imported(activated.map_err(StartError::Unseal)?));
        }
        let opened =
            importer.pool().map(&of_sources, Urgency::Start, |keystore| open(seal, importer, keystore));
        for key in opened {
            keys.push(Key::fetched(key.map_err(StartError::Unseal)?));
        }
        fetched.unsealed(&of_sources);
    }
    if unopened > 0 {
        return Err(StartError::SealMissing { keys: unopened });
    }
    ring.insert(keys);
    Ok(copies)
}

fn open(seal: &Seal, importer: &Importer, sealed: &SealedKeystore) -> Result<OpenedKey, SealError> {
    let secret = seal.open(&sealed.public_key, &sealed.json, importer.memory())?;
    Ok(OpenedKey::new(secret, sealed.derivation_path.as_deref().map(Into::into)))
}

async fn load_files(
    keystores: Keystores,
    copies: Arc<Copies>,
    protection: &Protection,
    notifier: Arc<Notifier>,
) -> Result<Keystores, StartError> {
    let reading = spawn_blocking(move || {
        let sealed = |content: &ContentHash| {
            let (seal, copy) = (keystores.seal.as_ref()?, copies.get(&content.0)?);
            seal.open(&copy.public_key, &copy.json, keystores.importer.memory()).ok()
        };
        let told = sync::Mutex::new(Instant::now());
        let loaded = keystores.read_files(Urgency::Start, &sealed, &|progress| {
            let Ok(mut told) = told.try_lock() else { return };
            if told.elapsed() < PROGRESS_INTERVAL {
                return;
            }
            *told = Instant::now();
            let status = format!("loading keys: {} of {} files", progress.done, progress.total);
            tracing::info!("{status}");
            // The start may take as long as it moves.
            tell(notifier.starting(&status, START_EXTENSION));
        });
        (keystores, loaded)
    });
    let (keystores, loaded): (Keystores, Loaded) =
        reading.await.map_err(|error| StartError::Files(error.into()))?;
    reload::take(&keystores, protection, loaded).await.map_err(StartError::Ledger)?;
    // What was read to get here is of no use any more.
    hardening::return_freed_memory();
    Ok(keystores)
}

/// Why keys could not be loaded at all. A single bad file is none of these: it is reported and passed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Memory(#[from] LockedMemoryError),
    #[error(transparent)]
    Seal(#[from] SealFileError),
    #[error("{keys} keys are sealed and there is no seal secret: give --seal-file, or the credential 'seal'")]
    SealMissing { keys: usize },
    #[error(
        "a sealed key cannot be opened: give the seal secret that it was sealed with; nothing was changed"
    )]
    Unseal(#[source] SealError),
    #[error("the sealed keys cannot be read")]
    Ledger(#[source] Fault),
    #[error(transparent)]
    DeletionJournal(#[from] DeletionJournalError),
    #[error("the key files cannot be read")]
    Files(#[source] io::Error),
}

/// Sealed keys that are read from the ledger at a time.
const SEALED_KEYS_PER_PAGE: usize = 500;
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// How long the service manager waits for the next word.
const START_EXTENSION: Duration = Duration::from_secs(60);
