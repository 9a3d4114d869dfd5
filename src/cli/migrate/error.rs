//! Reasons why a migration was not carried out.

use std::io;
use std::path::PathBuf;

use crate::cli::{owner, web3signer};
use crate::config;
use crate::keys::{SealError, SealFileError};
use crate::ledger::{Fault, ImportRefusal, OpenError};
use crate::network::NetworkError;
use crate::sys::hardening::HardeningError;
use crate::sys::locked_memory::LockedMemoryError;

/// Why a migration was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot look into the old signer's directory {}", directory.display())]
    Directory { directory: PathBuf, source: io::Error },
    #[error("the old signer's options")]
    Web3Signer(#[from] web3signer::Error),
    #[error("the old signer's options cannot be read: {0}")]
    Py3Signer(clap::Error),
    #[error("configuration")]
    Configuration(#[from] config::Error),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(
        "there is no seal secret to keep the keys with: give --seal-file with 64 digits that 'openssl rand -hex 32' \
         makes, and the daemon the same one"
    )]
    NoSeal,
    #[error(transparent)]
    SealFile(#[from] SealFileError),
    #[error("a key cannot be sealed, or one that is sealed here cannot be opened; nothing was changed")]
    Seal(#[from] SealError),
    #[error(transparent)]
    Owner(#[from] owner::Error),
    #[error("the process cannot be hardened")]
    Hardening(#[source] HardeningError),
    #[error(transparent)]
    Memory(LockedMemoryError),
    /// What is on record must not move between its comparison and the change, and keys in the clear pass no API.
    #[error(
        "a daemon has the ledger in {} open, and keys come over while it does not run: stop it ('systemctl stop \
         bls-signer.socket bls-signer-keymanager.socket bls-signer-tcp.socket bls-signer.service' for the package's), \
         run this again, and start it. If the keys are all in keystores, it can take them as it runs: 'bls-signer keys \
         import KEYSTORES --passwords PASSWORDS --slashing-protection HISTORY'",
        directory.display()
    )]
    InUse { directory: PathBuf },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    OtherChain(#[from] ImportRefusal),
    #[error("nothing was changed: {obstacles} marked REFUSED above")]
    Obstacles { obstacles: usize },
    #[error("{keys} keys were not taken, the first of them as {reason}; their history is here")]
    NotTaken { keys: usize, reason: String },
    #[error(
        "{} is there with another content: name another file with --write-config, and merge them by hand",
        path.display()
    )]
    OtherConfiguration { path: PathBuf },
    #[error("cannot write the configuration {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot wait for the ledger")]
    Runtime(#[source] io::Error),
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}
