//! Keys from the operator's files: read at the start, and again on a reload.
//!
//! Start and reload are one thing: what the files say now is compared with what is served from them. New and changed
//! files enter, vanished ones leave, and a key that merely fails to load this time stays and is reported: an unreadable
//! file or a directory that is not mounted must not take a validator off its duties. One bad file stops no other.

pub(crate) mod directory;
pub(crate) mod file;
mod inspect;
mod key_config;
mod listing;
mod password;

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

pub(crate) use self::inspect::Inspection;

use self::directory::PasswordError;
use self::file::FileError;
use self::key_config::ConfigError;
use self::listing::{Entry, Listing, Material};
use super::eth2_keystore::{Keystore, KeystoreError};
use super::import::{ImportError, Importer};
use super::kdf_pool::Urgency;
use super::key::{Key, Origin};
use super::ring::{Ring, Snapshot};
use super::secret::{SecretKey, SecretKeyError};
use crate::bls::PublicKey;
use crate::text::OneLine;

/// Where keys lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `--keystores-path` and `--keystores-passwords-path`: a directory of keystores in a layout of [`directory`], and
    /// either a directory of their passwords or one file with the password of all.
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

impl Source {
    fn directory(&self) -> &Path {
        match self {
            Self::Keystores { directory, .. } | Self::KeyConfigs { directory } => directory,
        }
    }
}

/// Reads the sources, and remembers what it found where. Blocks: async code calls it from `spawn_blocking`.
pub(crate) struct Loader {
    sources: Vec<Source>,
    importer: Importer,
    served: BTreeMap<Place, Served>,
    passed_over: Vec<PathBuf>,
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

/// A file, and which document in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The number of its source.
    source: usize,
    path: PathBuf,
    /// The path within the source's directory.
    name: PathBuf,
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
        Self { sources, importer, served: BTreeMap::new(), passed_over: Vec::new() }
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
        let listing = Listing::read(&self.sources, self.importer.memory());
        let snapshot = ring.snapshot();
        let known = self.known(&snapshot);
        let (done, total) = (AtomicUsize::new(0), listing.entries.len());
        let findings = self.importer.pool().map(&listing.entries, urgency, |entry| {
            let finding = self.examine(entry, &known, sealed);
            progress(Progress { done: done.fetch_add(1, Ordering::Relaxed).saturating_add(1), total });
            finding
        });
        let (served, mut loaded) = self.compare(listing, findings, &snapshot);
        self.served = served;
        loaded.passed_over.changed = loaded.passed_over.paths != self.passed_over;
        self.passed_over.clone_from(&loaded.passed_over.paths);
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
            Material::Raw(scalar) => {
                let content = ContentHash(scalar.digest());
                if let Some(public_key) = known.get(&content).copied() {
                    return Ok(Finding::Unchanged { content, public_key });
                }
                let secret = SecretKey::of(scalar, self.importer.memory())?;
                let key = Key::new(secret, Origin::File, None);
                Ok(Finding::Opened(FileKey { key, content, derived: false }))
            }
            Material::Keystore { path, password } => {
                let text = file::read_text(path, file::KEYSTORE_LIMIT)?;
                let content = ContentHash::of(&[b"keystore", text.as_bytes()]);
                if let Some(public_key) = known.get(&content).copied() {
                    return Ok(Finding::Unchanged { content, public_key });
                }
                let parsed = parse_keystore(path, &text)?;
                if let Some(secret) = sealed(&content) {
                    // A sealed key under the wrong content would sign for another validator.
                    if parsed.public_key().is_none_or(|named| named == secret.public_key()) {
                        let key = Key::new(secret, Origin::File, parsed.derivation_path().map(Into::into));
                        return Ok(Finding::Opened(FileKey { key, content, derived: false }));
                    }
                }
                let password = password.read(path, parsed.public_key())?;
                let key = self.importer.unlock(&parsed, &password, Origin::File)?;
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
        let passed_over = PassedOver { paths: listing.passed_over, changed: false };
        let mut loaded = Loaded { problems: listing.problems, passed_over, ..Loaded::default() };
        let mut served: BTreeMap<Place, Served> = BTreeMap::new();
        let mut given_by: HashMap<PublicKey, Place> = HashMap::new();
        for (entry, finding) in listing.entries.into_iter().zip(findings) {
            let place = entry.place;
            let (content, public_key, opened) = match finding {
                Ok(Finding::Unchanged { content, public_key }) => (content, public_key, None),
                Ok(Finding::Opened(file_key)) => {
                    (file_key.content, file_key.key.public_key(), Some(file_key))
                }
                Err(Reason::SomethingElse) => {
                    loaded.passed_over.paths.push(place.path);
                    continue;
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
        loaded.barren = self.barren(&served, &loaded);
        (served, loaded)
    }

    /// The sources that nothing is served from, keys of earlier readings included.
    fn barren(&self, served: &BTreeMap<Place, Served>, loaded: &Loaded) -> Vec<Barren> {
        let sources = self.sources.iter().enumerate();
        let barren = sources.filter(|(number, _)| !served.keys().any(|place| place.source == *number));
        let barren = barren.map(|(number, source)| {
            let directory = source.directory().to_owned();
            let mut problems = loaded.problems.iter().filter(|problem| problem.place.source == number);
            let reason = match (problems.next(), problems.count()) {
                (None, _) => "there is no key in it".to_owned(),
                (Some(problem), 0) if problem.place.path == directory => problem.reason.to_string(),
                (Some(problem), 0) => format!("{}: {}", problem.place.name(), problem.reason),
                (Some(problem), more) => {
                    format!("{}: {}; and {more} more files that fail", problem.place.name(), problem.reason)
                }
            };
            Barren { directory, reason }
        });
        barren.collect()
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
    fn file(source: usize, path: PathBuf) -> Self {
        let name = path.file_name().map_or_else(|| path.clone(), PathBuf::from);
        Self { source, path, name, document: 0 }
    }

    /// A file somewhere below the source's directory.
    fn below(source: usize, directory: &Path, path: PathBuf) -> Self {
        let name = path.strip_prefix(directory).unwrap_or(&path).to_owned();
        Self { source, path, name, document: 0 }
    }

    /// The name without the source's directory.
    pub(crate) fn name(&self) -> String {
        let name = OneLine(self.name.display()).to_string();
        match self.document {
            0 => name,
            number => format!("{name}, document {number}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = OneLine(self.path.display());
        match self.document {
            0 => path.fmt(f),
            number => write!(f, "{path}, document {number}"),
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
        matches!(self, Self::Config(ConfigError::Type(_) | ConfigError::KeyType))
    }
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

fn origin(snapshot: &Snapshot, public_key: &PublicKey) -> Option<Origin> {
    snapshot.get(public_key).map(|key| key.origin())
}

fn parse_keystore(path: &Path, text: &str) -> Result<Keystore, Reason> {
    Keystore::parse(text).map_err(|error| {
        if directory::is_something_else(path, text) { Reason::SomethingElse } else { error.into() }
    })
}

#[cfg(test)]
mod tests;
