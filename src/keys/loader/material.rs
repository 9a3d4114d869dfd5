//! Material that a source names for a key: a keystore and its password, or a secret in the clear.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::directory::{self, PasswordError};
use super::file;
use crate::bls::PublicKey;
use crate::keys::secret::Scalar;
use crate::text;

/// How to come to the key.
pub(super) enum Material {
    /// An EIP-2335 keystore, not read yet.
    Keystore { path: PathBuf, password: Password },
    /// A secret key that stood in the clear.
    Raw(Scalar),
}

/// Where the password of a keystore is.
#[derive(Clone)]
pub(super) enum Password {
    /// One for many keystores, read already.
    Shared(Arc<Zeroizing<String>>),
    /// A file in a directory of passwords.
    InDirectory(PathBuf),
    /// The first line of a file.
    FirstLine(PathBuf),
}

impl Password {
    /// Reads the password of this keystore, which says that it holds this key.
    pub(super) fn read(
        &self,
        keystore: &Path,
        public_key: Option<PublicKey>,
    ) -> Result<Zeroizing<String>, PasswordError> {
        match self {
            Self::Shared(password) => Ok(Zeroizing::clone(password)),
            Self::InDirectory(passwords) => directory::password(passwords, keystore, public_key),
            Self::FirstLine(path) => {
                let password = file::read_password(path)
                    .map_err(|reason| PasswordError::File { path: path.clone(), reason })?;
                let line = password.lines().next().unwrap_or("");
                if text::unmarked(line).trim().is_empty() {
                    return Err(PasswordError::Blank(path.clone()));
                }
                Ok(Zeroizing::new(line.to_owned()))
            }
        }
    }
}
