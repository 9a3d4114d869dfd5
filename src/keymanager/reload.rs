//! Reload of the operator's files: new and changed keys enter, vanished ones leave, in one snapshot. A key that
//! merely fails to load this time goes on being served, and is reported.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use super::{KeyFiles, Keystores};
use crate::bls::PublicKey;
use crate::keys::loader::{self, FileKey, Loaded, PassedOver, SealedKey};
use crate::keys::{Origin, Urgency};
use crate::ledger::{Fault, Protection, SealedKeystore};
use crate::text::{Bounded, chain};

/// How the last reload went, as `GET /reload` tells it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReloadStatus {
    pub(crate) operation: Operation,
    /// When it ended.
    pub(crate) last_operation: Option<SystemTime>,
    /// What went wrong with it; cleared by the next one without errors.
    pub(crate) last_error: Option<String>,
}

/// Web3Signer's words for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Operation {
    #[default]
    Idle,
    Running,
    Completed,
    CompletedWithErrors,
    Failed,
}

impl Keystores {
    /// How the last reload went.
    pub(crate) fn reload_status(&self) -> ReloadStatus {
        self.reload.lock().clone()
    }

    /// Claims the reload; `None` while another one runs. It runs with [`Reload::run`].
    pub(crate) fn begin_reload(self: &Arc<Self>) -> Option<Reload> {
        let mut status = self.reload.lock();
        if status.operation == Operation::Running {
            return None;
        }
        status.operation = Operation::Running;
        Some(Reload { keystores: Arc::clone(self) })
    }

    /// Reads the files; blocks. Nothing changes before [`take`].
    pub(super) fn read_files(
        &self,
        urgency: Urgency,
        sealed: SealedKey<'_>,
        progress: &(dyn Fn(loader::Progress) + Sync),
    ) -> Loaded {
        let mut loader = self.loader.lock();
        loader.load(&self.ring, urgency, sealed, progress)
    }

    /// Sealed copies of the keys that were derived from their passwords just now, for a faster start. A key that cannot
    /// be sealed is served all the same: it costs the next start its time, and a line in the log.
    fn copies(&self, entering: &[FileKey]) -> Vec<SealedKeystore> {
        // An imported key is on disk already, in its own right.
        let is_imported =
            |entry: &FileKey| self.ring.origin(&entry.key.public_key()) == Some(Origin::Imported);
        let derived = entering.iter().filter(|entry| entry.derived && !is_imported(entry));
        let copy = |FileKey { key, content, .. }: &FileKey| match self.sealed(key.opened(), Some(*content)) {
            Ok(copy) => copy,
            Err(error) => {
                let public_key = key.public_key();
                tracing::error!(%public_key, error = chain(&error), "no sealed copy of the key could be made");
                None
            }
        };
        derived.filter_map(copy).collect()
    }
}

/// A reload that has been claimed.
pub(crate) struct Reload {
    keystores: Arc<Keystores>,
}

impl Reload {
    /// Reads the files and takes over what changed. Requests go on meanwhile and see the old set or the new one. What
    /// else went wrong with this reload stands in its status too.
    pub(crate) async fn run(self, protection: &Protection, trouble: Option<&'static str>) {
        self.keystores.fetched.want();
        let keystores = Arc::clone(&self.keystores);
        let _turn = self.keystores.turn().await;
        let reading =
            spawn_blocking(move || keystores.read_files(Urgency::Background, &|_| None, &|_| {})).await;
        let outcome = match reading {
            Ok(loaded) => take(&self.keystores, protection, loaded)
                .await
                .map_err(|fault| (fault.to_string(), chain(&fault))),
            Err(error) => Err((error.to_string(), chain(&error))),
        };
        let (operation, last_error) = match outcome {
            // Why the ledger failed may name files, so it is for the log alone.
            Err((told, error)) => {
                tracing::error!(error, "the reload failed");
                (Operation::Failed, Some(told))
            }
            Ok(errors) => {
                // In Web3Signer's words.
                let files = (errors > 0).then(|| format!("{errors} signer loading error(s)"));
                let told: Vec<_> = files.iter().map(String::as_str).chain(trouble).collect();
                let operation =
                    if told.is_empty() { Operation::Completed } else { Operation::CompletedWithErrors };
                (operation, (!told.is_empty()).then(|| told.join("; ")))
            }
        };
        let status = ReloadStatus { operation, last_operation: Some(SystemTime::now()), last_error };
        *self.keystores.reload.lock() = status;
    }
}

impl Drop for Reload {
    /// A reload that is dropped half way must not block all further ones.
    fn drop(&mut self) {
        let mut status = self.keystores.reload.lock();
        if status.operation == Operation::Running {
            status.operation = Operation::Failed;
            status.last_error = Some("the reload was broken off".to_owned());
        }
    }
}

/// Takes over what was read: tells the log and the ledger, then changes the ring in one step. Says how many files
/// failed.
pub(super) async fn take(
    keystores: &Keystores,
    protection: &Protection,
    loaded: Loaded,
) -> Result<usize, Fault> {
    for problem in &loaded.problems {
        tracing::error!("a key file was not loaded: {problem}");
    }
    for duplicate in &loaded.duplicates {
        let (public_key, first, second) = (duplicate.public_key, &duplicate.first, &duplicate.second);
        tracing::warn!(%public_key, "{second} holds the same key as {first} and is passed over");
    }
    tell_passed_over(&loaded.passed_over);
    for barren in &loaded.barren {
        tracing::error!("{barren}");
    }
    let problems: Vec<String> = loaded.problems.iter().map(|problem| problem.place.name()).collect();
    let errors = problems.len();
    let key_files = KeyFiles {
        problems,
        passed_over: loaded.passed_over.paths.len(),
        barren_sources: loaded.barren.iter().map(|barren| Bounded(barren).to_string()).collect(),
    };
    let (entering, leaving) = (loaded.entering.len(), loaded.leaving.len());

    let copies = keystores.copies(&loaded.entering);
    // A key that is imported too stays, and so does what is kept of it.
    let is_of_a_file = |key: &&PublicKey| keystores.ring.origin(key) == Some(Origin::File);
    let gone: Vec<PublicKey> = loaded.leaving.iter().filter(is_of_a_file).copied().collect();
    loaded.apply(&keystores.ring);
    keystores.key_files.store(Arc::new(key_files));
    if entering > 0 || leaving > 0 {
        tracing::info!(entering, leaving, errors, keys = keystores.ring.len(), "key files read");
    }
    remember(protection, copies, gone).await.map(|()| errors)
}

/// One line, and only when it is something else than the last time.
fn tell_passed_over(PassedOver { paths, changed }: &PassedOver) {
    if paths.is_empty() || !changed {
        return;
    }
    let names: Vec<_> =
        paths.iter().take(MAX_NAMED_FILES).map(|path| Bounded(path.display()).to_string()).collect();
    let more = match paths.len().saturating_sub(MAX_NAMED_FILES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    tracing::warn!("passed over, as they are no key files by name or content: {}{more}", names.join(", "));
}

/// The copies are only there for speed, so a signer without a ledger does without them.
async fn remember(
    protection: &Protection,
    copies: Vec<SealedKeystore>,
    gone: Vec<PublicKey>,
) -> Result<(), Fault> {
    let Protection::On(ledger) = protection else { return Ok(()) };
    if copies.is_empty() && gone.is_empty() {
        return Ok(());
    }
    ledger.forget(gone).await?;
    ledger.keep(copies).await
}

/// How many of the files that are passed over the log names.
const MAX_NAMED_FILES: usize = 8;
