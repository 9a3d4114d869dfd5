//! Mark in the state directory: a file that says that the ledger beside it cannot be the newest, and why.
//!
//! It is made by who knows: a start without protection, whose signatures are on no record, and a restore. A start that
//! has lifted the watermarks takes it away.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::OpenError;
use super::directory::Directory;

/// Has the next start of the ledger in this directory take it for unproven. Durable when this returns.
pub(crate) fn mark_unproven(directory: &Path, why: &str) -> Result<(), OpenError> {
    let directory = Directory::open(directory)?;
    let made = || -> io::Result<()> {
        if directory.has(NAME)? {
            return Ok(()); // The first reason is as good as the second.
        }
        let mut file = directory.create(NAME)?;
        file.write_all(why.as_bytes())?;
        file.sync_all()
    };
    made().map_err(|source| OpenError::Io { path: directory.path_of(NAME), action: "created", source })?;
    directory.sync()
}

/// Why the ledger is unproven, if there is a mark.
pub(super) fn read(directory: &Directory) -> Result<Option<String>, OpenError> {
    let read = || -> io::Result<Option<String>> {
        let Some(file) = directory.read(NAME)? else { return Ok(None) };
        let mut why = Vec::new();
        file.take(LONGEST_REASON_BYTES).read_to_end(&mut why)?;
        Ok(Some(String::from_utf8_lossy(&why).into_owned()))
    };
    read().map_err(|source| OpenError::Io { path: directory.path_of(NAME), action: "read", source })
}

pub(super) fn remove(directory: &Directory) -> Result<(), OpenError> {
    let removed = directory.remove(NAME);
    removed.map_err(|source| OpenError::Io { path: directory.path_of(NAME), action: "removed", source })?;
    directory.sync()
}

const NAME: &str = "unproven";
const LONGEST_REASON_BYTES: u64 = 256;
