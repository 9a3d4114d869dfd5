//! Reasons why a file gives no key.

use std::fmt;
use std::path::Path;

use super::directory::{self, PasswordError};
use super::file::FileError;
use super::key_config::ConfigError;
use super::source::Place;
use crate::keys::eth2_keystore::{Keystore, KeystoreError};
use crate::keys::import::ImportError;
use crate::keys::secret::SecretKeyError;

/// A file that gave no key, and why.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) reason: Reason,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for Problem {}

/// Why a file gave no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    /// The file, or the directory, cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no password for it.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// It is passed over, not reported.
    #[error("it is JSON, but no keystore")]
    SomethingElse,
    /// The keystore does not open.
    #[error(transparent)]
    Keystore(#[from] ImportError),
    /// The key is none.
    #[error(transparent)]
    Secret(#[from] SecretKeyError),
    /// The key configuration is not understood.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Reason {
    /// Whether the file is sound and names a kind of key that is not for us.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.unsupported_kind().is_some()
    }

    /// That kind, as the file names it.
    pub(crate) fn unsupported_kind(&self) -> Option<String> {
        match self {
            Self::Config(ConfigError::Type(kind)) => Some(kind.clone()),
            Self::Config(ConfigError::KeyType) => Some("SECP256K1".to_owned()),
            Self::Config(_)
            | Self::File(_)
            | Self::Password(_)
            | Self::SomethingElse
            | Self::Keystore(_)
            | Self::Secret(_) => None,
        }
    }
}

impl From<KeystoreError> for Reason {
    fn from(error: KeystoreError) -> Self {
        Self::Keystore(error.into())
    }
}

/// The keystore in this text of a file, or why there is none.
pub(super) fn parse_keystore(path: &Path, text: &str) -> Result<Keystore, Reason> {
    Keystore::parse(text).map_err(|error| {
        if directory::is_something_else(path, text) { Reason::SomethingElse } else { error.into() }
    })
}
