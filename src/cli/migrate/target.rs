//! State directory that takes the keys and their history over.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::Error;
use super::keys::OldKeys;
use crate::bls::PublicKey;
use crate::cli::{owner, packaged};
use crate::config::{self, Environment, RawSettings, Settings};
use crate::keymanager::sealed_keystore;
use crate::keys::{Key, Seal};
use crate::ledger::{self, Activation, ActivationOutcome, Interchange, Ledger, Missing, Selection};
use crate::ledger_settings;
use crate::network::{NamedRoot, Network};
use crate::sys::hardening;
use crate::sys::locked_memory::LockedMemory;

/// Where the keys are to be.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// Directory of the ledger and the sealed keys [default: for root the packaged daemon's, else as for 'serve']
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// File with the secret that seals the keys [default: as for 'serve']
    #[arg(long, value_name = "FILE")]
    seal_file: Option<PathBuf>,
    /// Read options from this TOML file [default: $BLS_SIGNER_CONFIG, else for root the packaged daemon's, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A state directory that has not been opened yet.
pub(super) struct Target {
    settings: Settings,
    network: Network,
    memory: Arc<LockedMemory>,
    seal: Seal,
}

impl Target {
    /// Reads the settings and the seal secret, which may be root's. The network is the old signer's.
    ///
    /// # Errors
    /// They cannot be used, there is no seal secret, or a daemon has the directory's ledger open.
    pub(super) fn named(
        options: Options,
        network: Option<String>,
        environment: &Environment,
    ) -> Result<(Self, Option<PathBuf>), Error> {
        let Options { state_dir, seal_file, config } = options;
        let environment =
            &packaged::packaged_environment(state_dir.as_deref(), config.as_deref(), environment);
        let flags =
            RawSettings { state_dir, seal_file: seal_file.clone(), network, ..RawSettings::default() };
        let settings = config::load(config.as_deref(), flags, environment)?;
        let network = Network::load(&settings.network)?;
        let memory = LockedMemory::new().map_err(Error::Memory)?;
        let seal = settings.keys.seal_file.as_deref().ok_or(Error::NoSeal)?;
        let seal = Seal::from_file(seal, &memory)?;
        let directory = &settings.ledger.state_dir;
        // Before keys are opened, which may take minutes, and before a file is made.
        if ledger::is_held(directory) {
            return Err(Error::InUse { directory: directory.clone() });
        }
        Ok((Self { settings, network, memory, seal }, seal_file))
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn memory(&self) -> &Arc<LockedMemory> {
        &self.memory
    }

    /// Why this history is of no use here.
    pub(super) fn unmergeable(&self, history: Option<&Interchange>) -> Vec<String> {
        let Some(history) = history else { return Vec::new() };
        let unreadable = history.unreadable().into_iter();
        let mut reasons: Vec<_> =
            unreadable.map(|(key, reason)| format!("the history of {key}: {reason}")).collect();
        let (theirs, ours) = (history.genesis_validators_root(), self.network.genesis_validators_root());
        if let Some(ours) = ours.filter(|ours| *ours != theirs) {
            reasons.push(format!(
                "the history is of the chain with genesis validators root {}, and the network has {}: set the old \
                 signer's --network right",
                NamedRoot(theirs),
                NamedRoot(ours)
            ));
        }
        reasons
    }

    /// Gives root's rights up for those of the directory's owner, and opens the ledger, which is made if it is to be
    /// changed and is not there.
    ///
    /// # Errors
    /// A daemon has it open, or it cannot be used.
    pub(super) fn open(self, is_to_change: bool) -> Result<OpenTarget, Error> {
        let directory = &self.settings.ledger.state_dir;
        owner::become_owner_of(directory, self.settings.ledger.tpm_device())?;
        // Another user's process may be dumpable again.
        hardening::harden_process().map_err(Error::Hardening)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
        let missing = if is_to_change { Missing::Create } else { Missing::Refuse };
        let ledger = match is_to_change || ledger::is_in(directory) {
            true => Some(Ledger::open(ledger_settings::of(&self.settings, Some(&self.network), missing))?),
            false => None,
        };
        Ok(OpenTarget { ledger, runtime: runtime.map_err(Error::Runtime)?, target: self })
    }
}

/// A state directory that nobody else has open.
pub(super) struct OpenTarget {
    /// None where there is none yet.
    ledger: Option<Ledger>,
    runtime: Runtime,
    target: Target,
}

/// What a migration changes.
pub(super) struct Changes {
    /// Keys that are not sealed here yet.
    pub(super) new_keys: usize,
    /// Keys that the history says more of than is on record.
    pub(super) raised: usize,
    /// Keys without an entry in the history, and without a record here.
    pub(super) without_history: Vec<PublicKey>,
    pub(super) is_none: bool,
    /// Keys that are sealed here.
    sealed: HashSet<PublicKey>,
}

impl OpenTarget {
    /// Compares the keys and their history with what is here.
    ///
    /// # Errors
    /// The ledger cannot be read, or a key that is sealed here does not open with the seal secret.
    pub(super) fn changes(&self, old: &OldKeys, history: Option<&Interchange>) -> Result<Changes, Error> {
        let sealed = self.sealed()?;
        let records = match &self.ledger {
            Some(ledger) => self.runtime.block_on(ledger.status(Selection::All))?.keys,
            None => Vec::new(),
        };
        let on_record: HashSet<PublicKey> = records.iter().map(|status| status.public_key).collect();
        let mut said: Vec<PublicKey> = history.into_iter().flat_map(Interchange::keys).copied().collect();
        let mut raised = said.iter().filter(|key| !on_record.contains(key)).count();
        for status in &records {
            let Some(Ok(says)) = history.and_then(|history| history.history(&status.public_key)) else {
                continue;
            };
            let is_more = status.watermark.merged(*says) != status.watermark;
            raised = raised.saturating_add(usize::from(is_more));
        }
        said.sort_unstable();
        let keys = old.keys.iter().map(Key::public_key);
        let new: Vec<_> = keys.filter(|key| !sealed.contains(key)).collect();
        let is_silent = |key: &PublicKey| said.binary_search(key).is_err() && !on_record.contains(key);
        Ok(Changes {
            new_keys: new.len(),
            raised,
            without_history: new.iter().copied().filter(is_silent).collect(),
            is_none: new.is_empty() && raised == 0,
            sealed,
        })
    }

    /// The keys that are sealed here, each proven to open with the seal secret.
    fn sealed(&self) -> Result<HashSet<PublicKey>, Error> {
        let Some(ledger) = &self.ledger else { return Ok(HashSet::new()) };
        let kept = self.runtime.block_on(ledger.keystores(0, usize::MAX))?;
        let mut sealed = HashSet::new();
        for keystore in kept.into_keystores() {
            if keystore.copy_of.is_none() {
                self.target.seal.open(&keystore.public_key, &keystore.json, &self.target.memory)?;
                sealed.insert(keystore.public_key);
            }
        }
        Ok(sealed)
    }

    /// Makes the history durable, then the keys.
    ///
    /// # Errors
    /// The ledger fails, or a key's history cannot be merged.
    pub(super) fn apply(
        &self,
        old: OldKeys,
        history: Option<Interchange>,
        changes: &Changes,
    ) -> Result<(), Error> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let mut activations = Vec::with_capacity(changes.new_keys);
        for key in old.keys {
            if changes.sealed.contains(&key.public_key()) {
                continue;
            }
            let keystore = sealed_keystore(&self.target.seal, key.opened(), None)?;
            activations.push(Activation::of(key, Some(keystore)));
        }
        if let Some(history) = history {
            self.runtime.block_on(ledger.import(history, Selection::All))??;
        }
        if activations.is_empty() {
            return Ok(());
        }
        let outcomes = self.runtime.block_on(ledger.activate(activations, None))??;
        let refused = outcomes.into_iter().filter_map(|outcome| match outcome {
            ActivationOutcome::Active { .. } => None,
            ActivationOutcome::Unmergeable { reason } => Some(reason),
        });
        let reasons: Vec<String> = refused.collect();
        match reasons.first() {
            None => Ok(()),
            Some(reason) => Err(Error::NotTaken { keys: reasons.len(), reason: reason.clone() }),
        }
    }
}
