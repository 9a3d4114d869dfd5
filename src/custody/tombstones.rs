//! Deletions that the ledger could not record: a line for each key in a file of their own, so that a key which was deleted
//! on a failing disk does not come back with the next start.
//!
//! The ledger refuses to write after its first fault, and rightly so; this file is the second, independent try. It is
//! there from the fault until the next start that finds the ledger working.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::bls::PublicKey;
use crate::ledger::{Departure, Fault, Ledger};

/// The file of unrecorded deletions.
pub(super) struct Tombstones {
    path: PathBuf,
}

impl Tombstones {
    pub(super) fn in_directory(state: &Path) -> Self {
        Self { path: state.join("deleted-keys") }
    }

    /// Adds keys, durably.
    pub(super) fn add(&self, public_keys: &[PublicKey]) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        for public_key in public_keys {
            writeln!(file, "{public_key}")?;
        }
        file.sync_all()?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    }

    /// Makes up for what the ledger missed. Whatever cannot be read or recorded ends the start: one of the keys might
    /// sign again.
    pub(super) async fn bury(&self, ledger: &Ledger) -> Result<(), TombstoneError> {
        let failed = |source| TombstoneError::File { path: self.path.clone(), source };
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(failed(source)),
        };
        let parse = |line: &str| line.parse::<PublicKey>().map_err(|error| failed(io::Error::other(error)));
        let keys = text.lines().map(parse).collect::<Result<Vec<_>, _>>()?;
        let departures = keys.iter().map(|&public_key| Departure { public_key, active: true }).collect();
        match ledger.delete(departures).await {
            // Without a ledger there are no sealed keys that could come back.
            Ok(_) | Err(Fault::Off) => {}
            Err(fault) => return Err(TombstoneError::Ledger(fault)),
        }
        tracing::warn!(
            keys = keys.len(),
            "keys whose deletion a fault had kept from the ledger are deleted now"
        );
        fs::remove_file(&self.path).map_err(failed)
    }
}

/// Why earlier deletions could not be made up for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TombstoneError {
    #[error("the list of deleted keys {} cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("keys that were deleted cannot be recorded as such")]
    Ledger(#[source] Fault),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Selection, Settings};

    #[tokio::test]
    async fn a_deletion_that_missed_the_ledger_is_made_up_for_once() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(Settings {
            missing: crate::ledger::Missing::Create,
            ..Settings::new(directory.path().join("state"))
        })
        .unwrap();
        let tombstones = Tombstones::in_directory(directory.path());
        let key = PublicKey([7; 48]);
        tombstones.add(&[key]).unwrap();
        tombstones.add(&[PublicKey([8; 48])]).unwrap();

        tombstones.bury(&ledger).await.unwrap();
        let status = ledger.status(Selection::All).await.unwrap();
        assert_eq!(status.keys.iter().filter(|key| key.deleted).count(), 2);
        assert!(!tombstones.path.exists());
        tombstones.bury(&ledger).await.unwrap();
    }

    #[tokio::test]
    async fn a_list_that_cannot_be_read_ends_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let tombstones = Tombstones::in_directory(directory.path());
        fs::write(&tombstones.path, "0x12\n").unwrap();
        assert!(matches!(tombstones.bury(&Ledger::off()).await, Err(TombstoneError::File { .. })));
    }
}
