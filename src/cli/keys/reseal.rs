//! `bls-signer keys reseal`: the keys in the state directory, sealed under a new secret.
//!
//! All of them change in one transaction of the ledger's file: whenever it is broken off, they are sealed under the old
//! secret or under the new one, never some under each.

use std::path::PathBuf;

use super::{Error, say};
use crate::cli::owner;
use crate::cli::packaged::packaged_environment;
use crate::config::{self, Environment, RawSettings};
use crate::keys::{Seal, SealError};
use crate::ledger::{Ledger, Missing, SealedKeystore};
use crate::ledger_settings;
use crate::sys::hardening;
use crate::sys::locked_memory::LockedMemory;

#[derive(clap::Args)]
#[group(skip)]
pub(in crate::cli) struct Options {
    /// File with the secret that the keys are sealed with now [default: as for 'serve']
    #[arg(long, value_name = "FILE")]
    seal_file: Option<PathBuf>,
    /// File with the secret to seal them with from now on: 64 digits, as 'openssl rand -hex 32' prints them
    #[arg(long, value_name = "FILE")]
    new_seal_file: PathBuf,
    /// Directory of the sealed keys [default: for root the packaged daemon's, else as for 'serve']
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Read options from this TOML file [default: $BLS_SIGNER_CONFIG, else for root the packaged daemon's, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Opens every sealed key with the old secret and keeps it under the new one.
pub(super) fn run(options: Options, environment: &Environment) -> Result<(), Error> {
    let Options { seal_file, new_seal_file, state_dir, config } = options;
    let environment = &packaged_environment(state_dir.as_deref(), config.as_deref(), environment);
    let settings = |seal_file: Option<PathBuf>| {
        let flags = RawSettings { state_dir: state_dir.clone(), seal_file, ..RawSettings::default() };
        config::load(config.as_deref(), flags, environment)
    };
    let now = settings(seal_file)?;
    let Some(old_seal_file) = now.keys.seal_file.clone() else { return Err(Error::NoSeal) };
    // The same rules for the new file: a secret that every user can read is none.
    settings(Some(new_seal_file.clone()))?;

    hardening::harden_process().map_err(Error::Hardening)?;
    let memory = LockedMemory::new().map_err(Error::Memory)?;
    let old = Seal::from_file(&old_seal_file, &memory)?;
    let new = Seal::from_file(&new_seal_file, &memory)?;
    // The secrets may be root's; what lies in the state directory is its owner's.
    owner::become_owner_of(&now.ledger.state_dir, now.ledger.tpm_device())?;
    // Another user's process may be dumpable again.
    hardening::harden_process().map_err(Error::Hardening)?;
    // Held until the end: no daemon can serve the keys meanwhile, and none comes or goes.
    let ledger = Ledger::open(ledger_settings::of(&now, None, Missing::Refuse))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Error::Runtime)?;
    let kept = runtime.block_on(ledger.keystores(0, usize::MAX))?.into_keystores();

    let mut resealed = Vec::with_capacity(kept.len());
    let mut passed_over = 0_usize;
    for keystore in &kept {
        let opened = old.open(&keystore.public_key, &keystore.json, &memory);
        match opened.and_then(|secret| new.seal(&secret, keystore.derivation_path.as_deref())) {
            Ok(json) => resealed.push(SealedKeystore { json, ..keystore.clone() }),
            // The file that it is a copy of is still there; the next start makes another copy.
            Err(SealError::OtherSecret { .. } | SealError::Damaged { .. })
                if keystore.copy_of.is_some() && keystore.source.is_none() =>
            {
                passed_over = passed_over.saturating_add(1);
            }
            Err(source) => return Err(Error::Reseal { path: old_seal_file, source }),
        }
    }
    let imported = resealed.iter().filter(|keystore| keystore.copy_of.is_none()).count();
    let copies = resealed.len().saturating_sub(imported);
    runtime.block_on(ledger.reseal(resealed))??;

    super::print(&format!(
        "{imported} imported keys and {copies} copies of files' and sources' keys are sealed with {} now\n",
        new_seal_file.display()
    ))?;
    if passed_over > 0 {
        say(&format!("{passed_over} copies of key files were sealed with another secret and are forgotten"));
    }
    Ok(())
}
