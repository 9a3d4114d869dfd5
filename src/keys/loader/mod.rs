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
mod loaded;
mod material;
mod problem;
mod source;

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use self::inspect::Inspection;
#[cfg(feature = "fuzz-internals")]
pub(crate) use self::key_config::paths as key_config_paths;
pub(crate) use self::loaded::{Barren, ContentHash, FileKey, Loaded, PassedOver};
pub(crate) use self::problem::Problem;
pub(crate) use self::source::Source;

use self::listing::{Entry, Listing};
use self::loaded::{Duplicate, origin};
use self::material::Material;
use self::problem::{Reason, parse_keystore};
use self::source::Place;
use super::import::Importer;
use super::kdf_pool::Urgency;
use super::key::{Key, OpenedKey, Origin};
use super::ring::{Ring, Snapshot};
use super::secret::SecretKey;
use crate::bls::PublicKey;

/// Reads the sources, and remembers what it found where. Blocks: async code calls it from `spawn_blocking`.
pub(crate) struct Loader {
    sources: Vec<Source>,
    importer: Importer,
    served: BTreeMap<Place, Served>,
    passed_over: Vec<PathBuf>,
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
                let key = Key::of_file(OpenedKey::new(secret, None));
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
                        let path = parsed.derivation_path().map(Into::into);
                        let key = Key::of_file(OpenedKey::new(secret, path));
                        return Ok(Finding::Opened(FileKey { key, content, derived: false }));
                    }
                }
                let password = password.read(path, parsed.public_key())?;
                let key = Key::of_file(self.importer.unlock(&parsed, &password)?);
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

/// What became of an entry that could be read.
enum Finding {
    Unchanged { content: ContentHash, public_key: PublicKey },
    Opened(FileKey),
}

#[cfg(test)]
mod tests;
