//! Where keys come from: the options, checked.

use std::num::NonZeroU32;
use std::path::PathBuf;

use super::{Environment, Error};
use crate::regular_file::RegularFile;

/// Where keys come from, apart from the Keymanager API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySources {
    /// The secret under which imported keys are kept on disk; without it they live in memory only.
    pub(crate) seal_file: Option<PathBuf>,
    pub(crate) keystores: Option<KeystoreDirectory>,
    /// A directory of Web3Signer's key configuration files.
    pub(crate) key_config: Option<PathBuf>,
    /// The socket at which a fetcher brings keys, where systemd hands none over.
    pub(crate) fetch_socket: Option<PathBuf>,
    /// The user that may bring them, as given: a name or a number.
    pub(crate) fetch_user: Option<String>,
    /// Whether keys in memory are handed to the service manager, to survive a restart.
    pub(crate) fd_store: bool,
    /// What decryption may allocate at one time, in MiB.
    pub(crate) kdf_memory_mib: NonZeroU32,
}

impl KeySources {
    /// Whether there may be keys that an earlier process signed with. A ledger that is missing then was lost, or is
    /// another one than theirs: an empty one must not take its place unasked.
    pub(super) fn outlive_the_process(&self) -> bool {
        let Self {
            seal_file,
            keystores,
            key_config,
            fetch_socket,
            fetch_user: _,
            fd_store: _,
            kdf_memory_mib: _,
        } = self;
        seal_file.is_some() || keystores.is_some() || key_config.is_some() || fetch_socket.is_some()
    }
}

/// A directory of EIP-2335 keystores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeystoreDirectory {
    pub(crate) keystores: PathBuf,
    /// A directory of `NAME.txt`, or one file for all.
    pub(crate) passwords: PathBuf,
}

pub(super) fn seal_file(given: Option<PathBuf>, environment: &Environment) -> Result<Option<PathBuf>, Error> {
    let Some(file) = given.or_else(|| environment.credential("seal")) else { return Ok(None) };
    match RegularFile::open_secret(&file) {
        Ok(_) => Ok(Some(file)),
        Err(source) => Err(Error::File { what: "the seal file", path: file, source }),
    }
}

pub(super) fn keystores(
    keystores: Option<PathBuf>,
    passwords: Option<PathBuf>,
) -> Result<Option<KeystoreDirectory>, Error> {
    match (keystores, passwords) {
        (Some(keystores), Some(passwords)) => Ok(Some(KeystoreDirectory { keystores, passwords })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(Error::Incomplete { given: "--keystores-path", missing: "--keystores-passwords-path" })
        }
        (None, Some(_)) => {
            Err(Error::Incomplete { given: "--keystores-passwords-path", missing: "--keystores-path" })
        }
    }
}
