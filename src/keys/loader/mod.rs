//! Keys from the operator's files: read at the start, and again on a reload.
//!
//! Start and reload are one thing: what the files say now is compared with what is served from them. New and changed
//! files enter, vanished ones leave, and a key that merely fails to load this time stays and is reported: an unreadable
//! file or a directory that is not mounted must not take a validator off its duties. One bad file stops no other.

mod file;
mod inspect;
mod key_config;
mod listing;

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub(crate) use self::inspect::Inspection;

use self::file::FileError;
use self::listing::{Entry, Listing, Material, Password};
use super::eth2_keystore::{Keystore, KeystoreError};
use super::import::{ImportError, Importer};
use super::kdf::Urgency;
use super::key::{Key, Origin};
use super::ring::{Ring, Snapshot};
use super::secret::{SecretKey, SecretKeyError};
use crate::bls::PublicKey;
use crate::text;

/// Where keys lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `--keystores-path` and `--keystores-passwords-path`: a directory of `NAME.json`, and either a directory of
    /// `NAME.txt` or one file with the password of all.
    Keystores {
        /// The directory of keystores.
        directory: PathBuf,
        /// A directory or a file.
        passwords: PathBuf,
    },
    /// `--key-config-path`: a directory of Web3Signer's key configuration files, `*.yaml` and `*.yml`.
    KeyConfigs {
        /// The directory.
        directory: PathBuf,
    },
}

/// Reads the sources, and remembers what it found where. Blocks: async code calls it from `spawn_blocking`.
pub(crate) struct Loader {
    sources: Vec<Source>,
    importer: Importer,
    served: BTreeMap<Place, Served>,
}

/// What a load found out. Nothing has changed in the ring yet: the caller first tells the ledger, then [`Loaded::apply`].
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

/// A file, and which document in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    path: PathBuf,
    /// From 1; 0 for a file that is one key as a whole.
    document: usize,
}

/// A file that gave no key, and why.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) reason: Reason,
}

/// Two files with one key. The first, in the order of sources and names, gives it.
#[derive(Debug)]
pub(crate) struct Duplicate {
    pub(crate) public_key: PublicKey,
    pub(crate) first: Place,
    pub(crate) second: Place,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) done: usize,
    pub(crate) total: usize,
}

/// Looks a file's key up among the sealed ones.
pub(crate) type SealedKey<'a> = &'a (dyn Fn(&ContentHash) -> Option<SecretKey> + Sync);

struct Served {
    content: ContentHash,
    public_key: PublicKey,
}

impl Loader {
    pub(crate) fn new(sources: Vec<Source>, importer: Importer) -> Self {
        Self { sources, importer, served: BTreeMap::new() }
    }

    /// Reads all sources. `ring` tells which keys are served at this moment; `sealed` may know a file's key already;
    /// `progress` is called after each file, from several threads.
    pub(crate) fn load(
        &mut self,
        ring: &Ring,
        urgency: Urgency,
        sealed: SealedKey<'_>,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Loaded {
        let listing = Listing::read(&self.sources);
        let snapshot = ring.snapshot();
        let known = self.known(&snapshot);
        let (done, total) = (AtomicUsize::new(0), listing.entries.len());
        let findings = self.importer.pool().map(&listing.entries, urgency, |entry| {
            let finding = self.examine(entry, &known, sealed);
            progress(Progress { done: done.fetch_add(1, Ordering::Relaxed).saturating_add(1), total });
            finding
        });
        let (served, loaded) = self.compare(listing, findings, &snapshot);
        self.served = served;
        loaded
    }

    /// Contents whose key is being served, wherever the file lay: a file that was renamed is not opened again.
    fn known(&self, snapshot: &Snapshot) -> HashMap<ContentHash, PublicKey> {
        let known = self.served.values().filter(|served| snapshot.contains_key(&served.public_key));
        known.map(|served| (served.content, served.public_key)).collect()
    }

    /// Opens what one entry names, unless it is being served already.
    fn examine(
        &self,
        entry: &Entry,
        known: &HashMap<ContentHash, PublicKey>,
        sealed: SealedKey<'_>,
    ) -> Result<Finding, Reason> {
        match &entry.material {
            Material::Raw(bytes) => {
                let content = ContentHash::of(&[b"file-raw", &**bytes]);
                if let Some(public_key) = known.get(&content).copied() {
                    return Ok(Finding::Unchanged { content, public_key });
                }
                let secret = SecretKey::new(bytes, self.importer.memory())?;
                let key = Key::new(secret, Origin::File, None);
                Ok(Finding::Opened(FileKey { key, content, derived: false }))
            }
            Material::Keystore { path, password } => {
                let keystore = file::read_text(path, file::KEYSTORE_LIMIT)?;
                let content = ContentHash::of(&[b"keystore", keystore.as_bytes()]);
                if let Some(public_key) = known.get(&content).copied() {
                    return Ok(Finding::Unchanged { content, public_key });
                }
                if let Some(secret) = sealed(&content) {
                    let parsed = Keystore::parse(&keystore)?;
                    // A sealed key under the wrong content would sign for another validator.
                    if parsed.public_key().is_none_or(|named| named == secret.public_key()) {
                        let key = Key::new(secret, Origin::File, parsed.derivation_path().map(Into::into));
                        return Ok(Finding::Opened(FileKey { key, content, derived: false }));
                    }
                }
                let key = self.importer.open(&keystore, &password.read()?, Origin::File)?;
                Ok(Finding::Opened(FileKey { key, content, derived: true }))
            }
        }
    }

    /// What is served from now on, and what has to change for it.
    fn compare(
        &self,
        listing: Listing,
        findings: Vec<Result<Finding, Reason>>,
        snapshot: &Snapshot,
    ) -> (BTreeMap<Place, Served>, Loaded) {
        let mut loaded = Loaded { problems: listing.problems, ..Loaded::default() };
        let mut served: BTreeMap<Place, Served> = BTreeMap::new();
        let mut given_by: HashMap<PublicKey, Place> = HashMap::new();
        for (entry, finding) in listing.entries.into_iter().zip(findings) {
            let place = entry.place;
            let (content, public_key, opened) = match finding {
                Ok(Finding::Unchanged { content, public_key }) => (content, public_key, None),
                Ok(Finding::Opened(file_key)) => {
                    (file_key.content, file_key.key.public_key(), Some(file_key))
                }
                Err(reason) => {
                    loaded.problems.push(Problem { place, reason });
                    continue;
                }
            };
            served.insert(place.clone(), Served { content, public_key });
            match given_by.entry(public_key) {
                MapEntry::Occupied(first) => {
                    let first = first.get().clone();
                    loaded.duplicates.push(Duplicate { public_key, first, second: place });
                }
                MapEntry::Vacant(first) => {
                    first.insert(place);
                    let imported = origin(snapshot, &public_key) == Some(Origin::Imported);
                    loaded.entering.extend(opened.filter(|_| !imported));
                }
            }
        }
        for problem in &loaded.problems {
            self.keep_below(&problem.place, &mut served);
        }
        loaded.leaving = self.vanished(&served, snapshot);
        (served, loaded)
    }

    /// Keys that no file gives any more.
    fn vanished(&self, served: &BTreeMap<Place, Served>, snapshot: &Snapshot) -> Vec<PublicKey> {
        let keys = |served: &BTreeMap<Place, Served>| -> BTreeSet<PublicKey> {
            served.values().map(|served| served.public_key).collect()
        };
        let still = keys(served);
        let mut gone = keys(&self.served);
        gone.retain(|key| !still.contains(key) && origin(snapshot, key) == Some(Origin::File));
        gone.into_iter().collect()
    }

    /// Goes on serving what came from a file that failed now: from that document of it, or from all of it, or from the
    /// whole directory when that is what failed.
    fn keep_below(&self, failed: &Place, served: &mut BTreeMap<Place, Served>) {
        let is_below = |place: &Place| {
            place.path.starts_with(&failed.path)
                && (failed.document == 0 || place.document == failed.document)
        };
        for (place, before) in self.served.iter().filter(|(place, _)| is_below(place)) {
            let kept = Served { content: before.content, public_key: before.public_key };
            served.entry(place.clone()).or_insert(kept);
        }
    }
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
    fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl Place {
    fn file(path: PathBuf) -> Self {
        Self { path, document: 0 }
    }

    /// The name without the directory.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy();
        match self.document {
            0 => name.into_owned(),
            number => format!("{name}, document {number}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.document {
            0 => write!(f, "{}", self.path.display()),
            number => write!(f, "{}, document {number}", self.path.display()),
        }
    }
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
    /// The password's file cannot be read.
    #[error("its password file {}: {source}", .path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: FileError,
    },
    /// The password file's first line is empty.
    #[error("its password file {} has a blank first line", .0.display())]
    BlankPassword(PathBuf),
    /// The keystore does not open.
    #[error(transparent)]
    Keystore(#[from] ImportError),
    /// The key is none.
    #[error(transparent)]
    Secret(#[from] SecretKeyError),
    /// The key configuration is not understood.
    #[error(transparent)]
    Config(#[from] key_config::ConfigError),
}

impl From<KeystoreError> for Reason {
    fn from(error: KeystoreError) -> Self {
        Self::Keystore(error.into())
    }
}

/// What became of an entry that could be read.
enum Finding {
    Unchanged { content: ContentHash, public_key: PublicKey },
    Opened(FileKey),
}

impl Password {
    fn read(&self) -> Result<Zeroizing<String>, Reason> {
        match self {
            Self::Shared(password) => Ok(Zeroizing::clone(password)),
            Self::WholeFile(path) => read_password(path),
            Self::FirstLine(path) => {
                let password = read_password(path)?;
                let line = password.lines().next().unwrap_or("");
                if text::unmarked(line).trim().is_empty() {
                    return Err(Reason::BlankPassword(path.clone()));
                }
                Ok(Zeroizing::new(line.to_owned()))
            }
        }
    }
}

fn origin(snapshot: &Snapshot, public_key: &PublicKey) -> Option<Origin> {
    snapshot.get(public_key).map(|key| key.origin())
}

fn read_password(path: &Path) -> Result<Zeroizing<String>, Reason> {
    file::read_text(path, file::PASSWORD_LIMIT)
        .map_err(|source| Reason::Password { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
