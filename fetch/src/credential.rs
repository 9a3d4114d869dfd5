//! Files with what opens a source: tokens, passwords, keys of certificates.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::trouble::{Kind, Trouble};

/// A file that holds a secret. Read each time it is needed, so that what has been renewed is used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Credential(PathBuf);

impl std::fmt::Display for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Credential {
    /// Its text without the line end.
    ///
    /// # Errors
    /// It cannot be read, others than its owner and group can read it, or it is longer than a credential.
    pub(crate) fn read(&self) -> Result<Zeroizing<String>, Trouble> {
        let failed = |error: &dyn std::fmt::Display| {
            Trouble::new(Kind::Denied, format!("the credential {} cannot be used: {error}", self.0.display()))
        };
        let file = File::open(&self.0).map_err(|error| failed(&error))?;
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        if !metadata.is_file() {
            return Err(failed(&"it is no regular file"));
        }
        if metadata.mode() & OPEN_TO_ALL != 0 {
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

const OPEN_TO_ALL: u32 = 0o007;
/// A chain of certificates is the longest.
const LONGEST_BYTES: usize = 64 << 10;
