//! Journal of keys that must not sign after the next start, though the ledger could not record that: of a deletion on a
//! failing disk, and of an import that failed but may have reached the disk all the same.
//!
//! The ledger refuses to write after its first fault, and rightly so; this file is the second, independent try. Its
//! room is taken when the daemon starts, so that a full disk cannot keep a deletion out of it, unless the file system
//! writes each change to another place (btrfs, ZFS). Its records have one length, which divides a sector's: a power
//! loss leaves each that is written over as it was or as it should be. Where the file was growing it may leave zeros,
//! which count as blank: nobody had been told of those.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::bls::PublicKey;
use crate::ledger::{Fault, OfKey, OutOfUse, Protection};
use crate::text::chain;

/// The file: a line for each key, and blank ones to write on.
pub(super) struct DeletionJournal {
    path: PathBuf,
}

impl DeletionJournal {
    pub(super) fn in_directory(state: &Path) -> Self {
        Self { path: state.join("deleted-keys") }
    }

    /// Adds keys that are not on the list yet, durably.
    pub(super) fn add(&self, public_keys: &[PublicKey]) -> io::Result<()> {
        let text = self.read()?;
        let mut listed: HashSet<PublicKey> = text.chunks(RECORD_BYTES).filter_map(key).collect();
        let blank = text.chunks(RECORD_BYTES).enumerate().filter(|(_, record)| key(record).is_none());
        let places = blank.map(|(place, _)| place).chain(text.len().div_ceil(RECORD_BYTES)..);
        let new = public_keys.iter().filter(|key| listed.insert(**key));
        self.write(places.zip(new.map(|key| record(&key.to_string()))))?;
        self.sync_directory()
    }

    /// Takes keys off the list, durably: they are to sign again.
    pub(super) fn remove(&self, public_keys: &[PublicKey]) -> io::Result<()> {
        let text = self.read()?;
        let listed = |record: &[u8]| key(record).is_some_and(|key| public_keys.contains(&key));
        let removed: Vec<_> = text
            .chunks(RECORD_BYTES)
            .enumerate()
            .filter(|(_, record)| listed(record))
            .map(|(place, _)| place)
            .collect();
        if removed.is_empty() {
            return Ok(());
        }
        self.write(removed.into_iter().map(|place| (place, record(""))))
    }

    /// Makes up for what the ledger missed, and takes room for next time. Whatever cannot be read or recorded ends the
    /// start: one of the keys might sign again.
    pub(super) async fn replay(&self, protection: &Protection) -> Result<(), DeletionJournalError> {
        let failed = |source| DeletionJournalError::File { path: self.path.clone(), source };
        let text = self.read().map_err(failed)?;
        let lines = text.split(|byte| *byte == b'\n').map(trim).filter(|line| !line.is_empty());
        let parse = |line: &[u8]| {
            let parsed = std::str::from_utf8(line).ok().and_then(|line| line.parse().ok()).map(JournalledKey);
            let start = line.get(..MAX_QUOTE_BYTES).unwrap_or(line).escape_ascii();
            parsed.ok_or_else(|| failed(io::Error::other(format!("a line in it is no public key: {start}"))))
        };
        let keys = lines.map(parse).collect::<Result<Vec<_>, _>>()?;
        // No sealed key comes back without the ledger. With it they would: the list waits for it.
        let Protection::On(ledger) = protection else { return Ok(()) };
        if !keys.is_empty() {
            // Here alone: whoever deleted them was told that it had failed, and other hosts may sign with them by now.
            ledger.delete_here(&keys).await.map_err(DeletionJournalError::Ledger)?;
            tracing::warn!(
                keys = keys.len(),
                "keys that a fault had kept the ledger from deleting, or from taking in whole, are deleted now"
            );
            self.write((0..text.len().div_ceil(RECORD_BYTES)).map(|place| (place, record(""))))
                .map_err(failed)?;
        }
        if let Err(error) = self.preallocate(text.len()) {
            tracing::warn!(
                error = chain(&error),
                "there is no room to note deletions in, should the ledger's disk fail"
            );
        }
        Ok(())
    }

    /// Makes the file as long as it should be, if it is shorter.
    fn preallocate(&self, length: usize) -> io::Result<()> {
        let missing = length.div_ceil(RECORD_BYTES)..PREALLOCATED_RECORDS;
        if missing.is_empty() {
            return Ok(());
        }
        self.write(missing.map(|place| (place, record(""))))?;
        self.sync_directory()
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        match OpenOptions::new().read(true).custom_flags(OPEN_FLAGS).open(&self.path) {
            Ok(mut file) => file.read_to_end(&mut text).map(|_| text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(text),
            Err(error) => Err(error),
        }
    }

    fn write(&self, records: impl Iterator<Item = (usize, [u8; RECORD_BYTES])>) -> io::Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(OPEN_FLAGS)
            .open(&self.path)?;
        for (place, record) in records {
            let offset = place.saturating_mul(RECORD_BYTES).try_into().map_err(io::Error::other)?;
            file.write_all_at(&record, offset)?;
        }
        file.sync_all()
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// A key of the journal, which is replayed before there is a ring: it was taken out of use by the process before.
struct JournalledKey(PublicKey);

impl OfKey for JournalledKey {
    fn public_key(&self) -> PublicKey {
        self.0
    }
}

impl OutOfUse for JournalledKey {
    fn was_active(&self) -> bool {
        true
    }
}

/// A line with this text, filled up with spaces.
fn record(text: &str) -> [u8; RECORD_BYTES] {
    let mut record = [b' '; RECORD_BYTES];
    for (byte, text) in record.iter_mut().zip(text.bytes()) {
        *byte = text;
    }
    if let Some(end) = record.last_mut() {
        *end = b'\n';
    }
    record
}

/// The key in a record, if it is not blank.
fn key(record: &[u8]) -> Option<PublicKey> {
    std::str::from_utf8(trim(record)).ok()?.parse().ok()
}

/// Without white space and zeros at its ends.
fn trim(line: &[u8]) -> &[u8] {
    let is_written = |byte: &u8| *byte != 0 && !byte.is_ascii_whitespace();
    let start = line.iter().position(is_written).unwrap_or_default();
    let end = line.iter().rposition(is_written).map_or(start, |last| last.saturating_add(1));
    line.get(start..end).unwrap_or_default()
}

/// Why earlier deletions could not be made up for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeletionJournalError {
    #[error("the list of deleted keys {} cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("keys that were deleted cannot be recorded as such")]
    Ledger(#[source] Fault),
}

/// No link is followed, and no pipe waited for.
const OPEN_FLAGS: i32 = OFlag::O_NOFOLLOW.bits() | OFlag::O_NONBLOCK.bits();

/// In bytes: a key's 98 characters and some.
const RECORD_BYTES: usize = 128;

/// In bytes, of a line that is no key.
const MAX_QUOTE_BYTES: usize = 100;

/// So many keys have a place from the start; more find one where the disk has room.
const PREALLOCATED_RECORDS: usize = 512;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ledger::{Ledger, Missing, Selection, Settings, Unprotected};

    fn ledger(directory: &Path) -> Protection {
        let settings = Settings { missing: Missing::Create, ..Settings::new(directory.join("state")) };
        Protection::On(Ledger::open(settings).unwrap())
    }

    async fn deleted(protection: &Protection) -> usize {
        let Protection::On(ledger) = protection else { panic!("{protection:?}") };
        let status = ledger.status(Selection::All).await.unwrap();
        status.keys.iter().filter(|key| key.deleted).count()
    }

    #[tokio::test]
    async fn a_deletion_that_missed_the_ledger_is_made_up_for_once() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = ledger(directory.path());
        let journal = DeletionJournal::in_directory(directory.path());
        journal.add(&[PublicKey([7; 48])]).unwrap();
        journal.add(&[PublicKey([8; 48]), PublicKey([9; 48])]).unwrap();
        journal.remove(&[PublicKey([8; 48]), PublicKey([1; 48])]).unwrap();

        journal.replay(&ledger).await.unwrap();
        assert_eq!(deleted(&ledger).await, 2);
        journal.replay(&ledger).await.unwrap();
        assert!(journal.read().unwrap().trim_ascii().is_empty());
    }

    #[tokio::test]
    async fn records_are_preallocated_at_the_first_start_and_a_removed_one_is_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let journal = DeletionJournal::in_directory(directory.path());
        journal.replay(&ledger(directory.path())).await.unwrap();
        let length = || fs::metadata(&journal.path).unwrap().len();
        assert_eq!(length(), 65_536);
        let key = |number: u16| PublicKey(number.to_be_bytes().repeat(24).try_into().unwrap());
        let keys: Vec<_> = (0..=512).map(key).collect();
        journal.add(&keys[..512]).unwrap();
        journal.add(&keys[..512]).unwrap();
        journal.remove(&keys[..100]).unwrap();
        journal.add(&keys[..100].repeat(2)).unwrap();
        assert_eq!(length(), 65_536);
        journal.add(&keys[512..]).unwrap();
        assert_eq!(length(), 65_536 + 128);
    }

    #[tokio::test]
    async fn zeros_that_a_power_loss_left_are_blank() {
        let directory = tempfile::tempdir().unwrap();
        let journal = DeletionJournal::in_directory(directory.path());
        journal.add(&[PublicKey([7; 48])]).unwrap();
        let file = OpenOptions::new().write(true).open(&journal.path).unwrap();
        file.set_len(RECORD_BYTES as u64 * 3).unwrap();
        journal.add(&[PublicKey([8; 48])]).unwrap();
        let ledger = ledger(directory.path());
        journal.replay(&ledger).await.unwrap();
        assert_eq!(deleted(&ledger).await, 2);
    }

    #[tokio::test]
    async fn a_start_without_a_ledger_leaves_the_list_to_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let journal = DeletionJournal::in_directory(directory.path());
        journal.add(&[PublicKey([7; 48])]).unwrap();
        journal.replay(&Protection::Off(Unprotected::accepted())).await.unwrap();
        let ledger = ledger(directory.path());
        journal.replay(&ledger).await.unwrap();
        assert_eq!(deleted(&ledger).await, 1);
    }

    #[tokio::test]
    async fn a_list_that_cannot_be_read_ends_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let journal = DeletionJournal::in_directory(directory.path());
        fs::write(&journal.path, "0x12\n").unwrap();
        assert!(matches!(
            journal.replay(&Protection::Off(Unprotected::accepted())).await,
            Err(DeletionJournalError::File { .. })
        ));
    }
}
