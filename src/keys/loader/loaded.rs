//! Outcome of a reading of the sources: what has to change in the ring, and what to tell of it.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::source::Place;
use crate::bls::PublicKey;
use crate::keys::key::{Key, Origin};
use crate::keys::ring::{Ring, Snapshot};

/// What a load found out. Nothing has changed in the ring yet: the caller first tells the ledger, then
/// [`Loaded::apply`].
#[derive(Default)]
pub(crate) struct Loaded {
    /// Keys of files that are new or have changed. None that was imported: such a key stays the imported one.
    pub(crate) entering: Vec<FileKey>,
    /// Keys of files that are gone. None that was imported.
    pub(crate) leaving: Vec<PublicKey>,
    /// Files that gave no key this time. Their keys, if they had any, are still served.
    pub(crate) problems: Vec<Problem>,
    /// Files whose key another file has already given.
    pub(crate) duplicates: Vec<Duplicate>,
    /// What lies in the sources' directories and is not read.
    pub(crate) passed_over: PassedOver,
    /// Sources that give no key at all.
    pub(crate) barren: Vec<Barren>,
}

/// What is not read by its name, or as JSON that is no keystore.
#[derive(Default)]
pub(crate) struct PassedOver {
    /// In the order of the sources.
    pub(crate) paths: Vec<PathBuf>,
    /// Whether it is something else than at the last reading.
    pub(crate) changed: bool,
}

/// A source without any key, as that of a directory that was not mounted or may not be read.
#[derive(Debug, thiserror::Error)]
#[error("no key comes from {}: {reason}", .directory.display())]
pub(crate) struct Barren {
    /// Its directory.
    pub(crate) directory: PathBuf,
    /// Why, as far as can be told.
    pub(crate) reason: String,
}

/// A key that a file has given.
pub(crate) struct FileKey {
    pub(crate) key: Key,
    /// The file's content, under which the key may be sealed so that the next start need not derive anything.
    pub(crate) content: ContentHash,
    /// Whether the key came out of its keystore by its password, rather than from the sealed keys.
    pub(crate) derived: bool,
}

/// SHA-256 of what a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ContentHash(pub(crate) [u8; 32]);

/// Two files with one key. The first, in the order of sources and names, gives it.
#[derive(Debug)]
pub(crate) struct Duplicate {
    pub(crate) public_key: PublicKey,
    pub(crate) first: Place,
    pub(crate) second: Place,
}

impl Loaded {
    /// Changes the ring in one step. A key that was imported under the same public key stays the imported one.
    pub(crate) fn apply(self, ring: &Ring) {
        if self.entering.is_empty() && self.leaving.is_empty() {
            return;
        }
        ring.change(|snapshot| {
            for public_key in &self.leaving {
                if origin(snapshot, public_key) == Some(Origin::File) {
                    snapshot.remove(public_key);
                }
            }
            for FileKey { key, .. } in self.entering {
                snapshot.entry(key.public_key()).or_insert_with(|| key.into());
            }
        });
    }
}

impl ContentHash {
    pub(in crate::keys) fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

pub(super) fn origin(snapshot: &Snapshot, public_key: &PublicKey) -> Option<Origin> {
    snapshot.get(public_key).map(|key| key.origin())
}
