//! Hashing a root to the curve once, however many keys sign it.
//!
//! Since EIP-7549 all validators that vote alike in a slot sign the same root, and so do sync committees and selection
//! proofs; the hash is half of a signature's work. The cache holds public data only.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use super::comb_cache::CombCache;
use super::hashed_root::{HashedRoot, Way, hash, note_failed_check};
use crate::metrics::Counter;
use crate::primitives::SigningRoot;
use crate::sys::curve::{Comb, CombError, HashedMessage, JointTable, Window};

/// A bounded cache without locks: a root has one place, found by its first byte, and takes it from whatever was there.
/// Roots are hashes themselves, so they spread evenly.
pub(crate) struct HashCache {
    places: [ArcSwapOption<Entry>; PLACES],
    /// None: every multiplication is the curve library's.
    combs: Option<CombCache>,
    hits: Counter,
    misses: Counter,
}

/// Whether roots get tables with which keys multiply them faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootTables {
    On,
    Off,
}

/// What there is of a root for keys that sign it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootState {
    /// Nothing that makes several keys at a time faster than one after the other.
    Plain,
    /// A thread computes its hash or its comb at the moment: who signs it now would wait, or do without.
    Underway,
    /// Its comb, with which keys are multiplied fastest several at a time.
    Comb,
}

struct Entry {
    root: SigningRoot,
    point: OnceLock<HashedMessage>,
    /// For how many keys it was asked for.
    keys: AtomicUsize,
    /// Whether its comb was computed, or is at this moment.
    comb_begun: AtomicBool,
    /// Whether that has ended.
    comb_ended: AtomicBool,
    /// Whether its large comb was computed, or is at this moment.
    large_comb_begun: AtomicBool,
}

impl HashCache {
    pub(crate) fn new(tables: RootTables) -> Self {
        let combs = match tables {
            RootTables::On => Some(CombCache::default()),
            RootTables::Off => None,
        };
        let places = [const { ArcSwapOption::const_empty() }; PLACES];
        Self { places, combs, hits: Counter::default(), misses: Counter::default() }
    }

    /// The root's hash, for so many keys, while so many more wait to sign it. Of several threads that ask at once for a
    /// new root, one computes it and the others wait.
    ///
    /// Who asks for a root and knows of [`COMB_KEYS`] keys, or comes after [`KEYS_BEFORE_COMB`], computes its comb.
    /// That costs three quarters of a signature and saves two thirds of every further multiplication. Who comes after
    /// [`KEYS_BEFORE_LARGE_COMB`] computes the large one, for less than three signatures, which saves a quarter of the
    /// rest. Nobody else waits for either.
    pub(crate) fn hashed(&self, root: &SigningRoot, keys: usize, waiting: usize) -> HashedRoot {
        let Some(place) = self.place(root) else { return HashedRoot::new(root) };
        let hashed = |entry: &Entry| entry.hashed(keys, waiting, self.combs.as_ref());
        let held = place.load();
        if let Some(entry) = held.as_ref().filter(|entry| entry.root == *root) {
            self.hits.increment();
            return hashed(entry);
        }
        let entry = Arc::new(Entry::new(root));
        let before = place.compare_and_swap(&held, Some(Arc::clone(&entry)));
        match before.as_ref() {
            // Another thread was faster with the same root: its computation serves both.
            Some(winner) if winner.root == *root => {
                self.hits.increment();
                hashed(winner)
            }
            Some(_) | None => {
                self.misses.increment();
                hashed(&entry)
            }
        }
    }

    /// How often a root that was asked for was here, since the start.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.value()
    }

    /// How often it was not.
    pub(crate) fn misses(&self) -> u64 {
        self.misses.value()
    }

    /// What there is of a root. Waits for nothing.
    pub(crate) fn state(&self, root: &SigningRoot) -> RootState {
        if self.combs.as_ref().is_some_and(|combs| combs.find(root).is_some()) {
            return RootState::Comb;
        }
        let is_underway = self.place(root).is_some_and(|place| {
            place.load().as_ref().is_some_and(|entry| entry.root == *root && entry.is_underway())
        });
        if is_underway { RootState::Underway } else { RootState::Plain }
    }

    fn place(&self, root: &SigningRoot) -> Option<&ArcSwapOption<Entry>> {
        let [first, ..] = root.0;
        self.places.get(usize::from(first))
    }
}

impl Entry {
    fn new(root: &SigningRoot) -> Self {
        Self {
            root: *root,
            point: OnceLock::new(),
            keys: AtomicUsize::new(0),
            comb_begun: AtomicBool::new(false),
            comb_ended: AtomicBool::new(false),
            large_comb_begun: AtomicBool::new(false),
        }
    }

    fn is_underway(&self) -> bool {
        let makes_comb = self.comb_begun.load(Ordering::Relaxed) && !self.comb_ended.load(Ordering::Relaxed);
        self.point.get().is_none() || makes_comb
    }

    fn hashed(&self, keys: usize, waiting: usize, combs: Option<&CombCache>) -> HashedRoot {
        let keys_before = self.keys.fetch_add(keys, Ordering::Relaxed);
        let keys_until_now = keys_before.saturating_add(keys);
        let comb_pays = keys_until_now > KEYS_BEFORE_COMB || keys.saturating_add(waiting) >= COMB_KEYS;
        // Before the hash, so that nobody begins to sign without the comb meanwhile who has other work.
        let makes_comb = comb_pays && combs.is_some() && !self.comb_begun.swap(true, Ordering::Relaxed);
        let point = *self.point.get_or_init(|| hash(&self.root));
        let way = combs.map_or(Way::Plain, |combs| {
            if makes_comb {
                let way = self.way_with_new_comb(&point, Window::Small, combs);
                self.comb_ended.store(true, Ordering::Relaxed);
                return way;
            }
            let large_comb_pays = keys_until_now > KEYS_BEFORE_LARGE_COMB;
            if large_comb_pays && !self.large_comb_begun.swap(true, Ordering::Relaxed) {
                return self.way_with_new_comb(&point, Window::Large, combs);
            }
            self.way(&point, combs)
        });
        HashedRoot::with(&self.root, point, way)
    }

    fn way_with_new_comb(&self, point: &HashedMessage, window: Window, combs: &CombCache) -> Way {
        match Comb::new(point, window) {
            Ok(comb) => Way::Comb(combs.insert(&self.root, comb)),
            Err(CombError::Infinity) => Way::Plain,
            Err(CombError::Wrong) => {
                note_failed_check(&format_args!("the table of the root {}", self.root));
                Way::Plain
            }
        }
    }

    fn way(&self, point: &HashedMessage, combs: &CombCache) -> Way {
        if let Some(comb) = combs.find(&self.root) {
            return Way::Comb(comb);
        }
        JointTable::new(point).map_or(Way::Plain, |table| Way::Joint(Box::new(table)))
    }
}

/// For so many keys of a new root the comb costs no more than it saves.
const COMB_KEYS: usize = 4;

/// After so many keys it is made for the next one, though nobody knows whether more will come. Two keys that share a
/// root sign it for less without.
const KEYS_BEFORE_COMB: usize = 2;

/// After so many keys another one with large windows is made, as it costs what it has saved after as many more.
const KEYS_BEFORE_LARGE_COMB: usize = 128;

/// One place for each first byte. A slot has a few dozen distinct roots at most.
const PLACES: usize = 256;

#[cfg(test)]
mod tests {
    use blst::min_pk;
    use proptest::prelude::*;

    use super::*;
    use crate::bls::{CIPHERSUITE, PublicKey, verify};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn signatures_over_cached_hashes_are_those_of_plain_blst(
            material in any::<[u8; 32]>(),
            // Few first bytes, so that roots push each other out of their places.
            roots in prop::collection::vec((0..3u8, any::<[u8; 31]>()), 1..6),
        ) {
            let secret = min_pk::SecretKey::key_gen(&material, &[]).unwrap();
            let mut scalar = secret.to_bytes();
            scalar.reverse();
            let cache = HashCache::new(RootTables::On);
            for _ in 0..3 {
                for (first, rest) in &roots {
                    let mut root = [*first; 32];
                    root[1..].copy_from_slice(rest);
                    let signature = cache.hashed(&SigningRoot(root), 1, 0).multiply(&[&scalar]);
                    prop_assert_eq!(signature[0].compressed(), secret.sign(&root, CIPHERSUITE, &[]).to_bytes());
                }
            }
        }
    }

    #[test]
    fn the_third_request_for_a_root_makes_its_comb_and_the_last_eight_are_kept() {
        let cache = HashCache::new(RootTables::On);
        let way = |root: u8| cache.hashed(&SigningRoot([root; 32]), 1, 0).way;
        for root in 0..8 {
            assert!(matches!((way(root), way(root)), (Way::Joint(_), Way::Joint(_))));
            assert!(matches!(way(root), Way::Comb(_)));
        }
        assert!((0..8).all(|root| matches!(way(root), Way::Comb(_))));
        assert!(matches!((way(8), way(8), way(8)), (Way::Joint(_), Way::Joint(_), Way::Comb(_))));
        assert!(matches!(way(0), Way::Joint(_)), "the oldest made room");
        assert!((1..9).all(|root| matches!(way(root), Way::Comb(_))));
    }

    #[test]
    fn a_new_root_that_several_keys_sign_or_wait_to_sign_has_its_comb_at_once() {
        for (keys, waiting) in [(COMB_KEYS, 0), (1, COMB_KEYS - 1)] {
            let (cache, root) = (HashCache::new(RootTables::On), SigningRoot([1; 32]));
            assert_eq!(cache.state(&root), RootState::Plain);
            assert!(matches!(cache.hashed(&root, keys, waiting).way, Way::Comb(_)));
            assert_eq!(cache.state(&root), RootState::Comb);
        }
    }

    #[test]
    fn a_root_that_many_keys_sign_gets_a_large_comb_and_the_last_three_of_them_are_kept() {
        let cache = HashCache::new(RootTables::On);
        let window = |root: u8, keys| match cache.hashed(&SigningRoot([root; 32]), keys, 0).way {
            Way::Comb(comb) => comb.window(),
            Way::Plain | Way::Joint(_) => panic!("there was no comb"),
        };
        for root in 0..4 {
            assert_eq!(window(root, KEYS_BEFORE_LARGE_COMB - 1), Window::Small);
            assert_eq!([window(root, 1), window(root, 1)], [Window::Small, Window::Large]);
        }
        assert_eq!(
            [0, 1, 2, 3].map(|root| window(root, 1)),
            [Window::Small, Window::Large, Window::Large, Window::Large]
        );
    }

    #[test]
    fn a_root_is_under_way_while_its_hash_or_its_comb_is_computed() {
        let entry = Entry::new(&SigningRoot([1; 32]));
        assert!(entry.is_underway());
        assert!(matches!(entry.hashed(1, 0, Some(&CombCache::default())).way, Way::Joint(_)));
        assert!(!entry.is_underway());
        entry.comb_begun.store(true, Ordering::Relaxed);
        assert!(entry.is_underway());
        let combs = CombCache::default();
        entry.comb_begun.store(false, Ordering::Relaxed);
        assert!(matches!(entry.hashed(COMB_KEYS, 0, Some(&combs)).way, Way::Comb(_)));
        assert!(!entry.is_underway());
    }

    #[test]
    fn without_tables_the_curve_library_multiplies_alone() {
        let cache = HashCache::new(RootTables::Off);
        assert!((0..3).all(|_| matches!(cache.hashed(&SigningRoot([1; 32]), 4, 0).way, Way::Plain)));
    }

    #[test]
    fn many_threads_that_ask_for_one_root_get_the_same_hash() {
        let secret = min_pk::SecretKey::key_gen(&[7; 32], &[]).unwrap();
        let mut scalar = secret.to_bytes();
        scalar.reverse();
        let (cache, root) = (HashCache::new(RootTables::On), SigningRoot([9; 32]));
        let signatures: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| cache.hashed(&root, 1, 0).multiply(&[&scalar])[0].into()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let public_key = PublicKey(secret.sk_to_pk().to_bytes());
        assert!(signatures.iter().all(|signature| verify(&public_key, &root, signature)));
    }
}
