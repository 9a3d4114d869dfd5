//! Hashing a root to the curve once, however many keys sign it.
//!
//! Since EIP-7549 all validators that vote alike in a slot sign the same root, and so do sync committees and selection
//! proofs; the hash is half of a signature's work. The cache holds public data only.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use super::HashedRoot;
use crate::primitives::SigningRoot;

/// A bounded cache without locks: a root has one place, found by its first byte, and takes it from whatever was there.
/// Roots are hashes themselves, so they spread evenly.
pub(crate) struct HashCache {
    places: [ArcSwapOption<Entry>; PLACES],
}

struct Entry {
    root: SigningRoot,
    hashed: OnceLock<HashedRoot>,
}

impl HashCache {
    pub(crate) fn new() -> Self {
        Self { places: [const { ArcSwapOption::const_empty() }; PLACES] }
    }

    /// The root's hash. Of several threads that ask at once for a new root, one computes it and the others wait.
    pub(crate) fn hashed(&self, root: &SigningRoot) -> HashedRoot {
        let [first, ..] = root.0;
        let Some(place) = self.places.get(usize::from(first)) else { return HashedRoot::new(root) };
        let held = place.load();
        if let Some(entry) = held.as_ref().filter(|entry| entry.root == *root) {
            return entry.hashed();
        }
        let entry = Arc::new(Entry { root: *root, hashed: OnceLock::new() });
        let before = place.compare_and_swap(&held, Some(Arc::clone(&entry)));
        match before.as_ref() {
            // Another thread was faster with the same root: its computation serves both.
            Some(winner) if winner.root == *root => winner.hashed(),
            Some(_) | None => entry.hashed(),
        }
    }

    /// For signatures of one thread, most of which are over the same root as the one before.
    pub(crate) fn repeated(&self) -> RepeatedHash<'_> {
        RepeatedHash { cache: self, last: None }
    }
}

/// The hash of the root that was asked for last: a thread that signs one root with many keys looks it up once, even if
/// another root takes its place in the cache meanwhile.
pub(crate) struct RepeatedHash<'a> {
    cache: &'a HashCache,
    last: Option<HashedRoot>,
}

impl RepeatedHash<'_> {
    /// The root's hash.
    pub(crate) fn hashed(&mut self, root: SigningRoot) -> &HashedRoot {
        let last = self.last.take().filter(|hashed| hashed.signing_root() == root);
        self.last.insert(last.unwrap_or_else(|| self.cache.hashed(&root)))
    }
}

impl Entry {
    fn hashed(&self) -> HashedRoot {
        *self.hashed.get_or_init(|| HashedRoot::new(&self.root))
    }
}

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
            let cache = HashCache::new();
            for _ in 0..2 {
                for (first, rest) in &roots {
                    let mut root = [*first; 32];
                    root[1..].copy_from_slice(rest);
                    let signature = cache.hashed(&SigningRoot(root)).multiply(&scalar);
                    prop_assert_eq!(signature.0, secret.sign(&root, CIPHERSUITE, &[]).to_bytes());
                }
            }
        }
    }

    #[test]
    fn many_threads_that_ask_for_one_root_get_the_same_hash() {
        let secret = min_pk::SecretKey::key_gen(&[7; 32], &[]).unwrap();
        let mut scalar = secret.to_bytes();
        scalar.reverse();
        let (cache, root) = (HashCache::new(), SigningRoot([9; 32]));
        let signatures: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| cache.hashed(&root).multiply(&scalar))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let public_key = PublicKey(secret.sk_to_pk().to_bytes());
        assert!(signatures.iter().all(|signature| verify(&public_key, &root, signature)));
    }
}
