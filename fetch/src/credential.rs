//! What opens a source: tokens, passwords, keys of certificates, each in a file.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::trouble::{Kind, Trouble};

/// A secret that opens a source.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "PathBuf")]
pub(crate) enum Credential {
    /// A file that has nothing else. Read each time it is needed, so that what has been renewed is used.
    File(PathBuf),
    /// It stands in a file that has other things as well.
    Within { file: PathBuf, text: Arc<Zeroizing<String>> },
}

impl From<PathBuf> for Credential {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Within { file, .. } => write!(f, "in {}", file.display()),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({self})")
    }
}

impl Credential {
    /// Its text without the line end.
    ///
    /// # Errors
    /// It cannot be read, others than its owner and group can read it, or it is longer than a credential.
    pub(crate) fn read(&self) -> Result<Zeroizing<String>, Trouble> {
        let path = match self {
            Self::File(path) => path,
            Self::Within { text, .. } => return Ok(Zeroizing::clone(text)),
        };
        let failed = |error: &dyn fmt::Display| {
            Trouble::new(Kind::Denied, format!("the credential {} cannot be used: {error}", path.display()))
        };
        let file = File::open(path).map_err(|error| failed(&error))?;
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        if !metadata.is_file() {
            return Err(failed(&"it is no regular file"));
        }
        if is_open_to_all(&metadata) {
            return Err(failed(&"every user can get at it: take that right away (chmod o=)"));
        }
        let mut text = Zeroizing::new(String::with_capacity(LONGEST_BYTES));
        let read = file.take(LONGEST_BYTES as u64).read_to_string(&mut text);
        match read {
            Ok(LONGEST_BYTES) => {
                Err(failed(&io::Error::other(format!("it has {LONGEST_BYTES} bytes or more"))))
            }
            Ok(_) if text.trim().is_empty() => Err(failed(&"it is empty")),
            Ok(_) => Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Whether users beside its owner and group can get at it.
pub(crate) fn is_open_to_all(metadata: &Metadata) -> bool {
    metadata.mode() & OPEN_TO_ALL != 0
}

const OPEN_TO_ALL: u32 = 0o007;
/// A chain of certificates is the longest.
const LONGEST_BYTES: usize = 64 << 10;
