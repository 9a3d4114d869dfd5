//! The tables of the roots that several keys sign: a handful, the oldest of which makes room for a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

use crate::primitives::SigningRoot;
use crate::sys::curve::{Comb, SignaturePoint};

/// A bounded cache without locks, of public data.
#[derive(Default)]
pub(super) struct CombCache {
    places: [ArcSwapOption<RootComb>; PLACES],
    next: AtomicUsize,
}

/// A root's table.
pub(super) struct RootComb {
    root: SigningRoot,
    comb: Comb,
    has_failed: AtomicBool,
}

impl CombCache {
    /// The root's table, if it has one that can be trusted.
    pub(super) fn find(&self, root: &SigningRoot) -> Option<Arc<RootComb>> {
        let held = self.places.iter().map(ArcSwapOption::load);
        let combs = held.filter(|held| held.as_ref().is_some_and(|comb| comb.serves(root)));
        combs.map(arc_swap::Guard::into_inner).next().flatten()
    }

    pub(super) fn insert(&self, root: &SigningRoot, comb: Comb) -> Arc<RootComb> {
        let comb = Arc::new(RootComb { root: *root, comb, has_failed: AtomicBool::new(false) });
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = self.places.get(next.rem_euclid(PLACES)) {
            place.store(Some(Arc::clone(&comb)));
        }
        comb
    }
}

impl RootComb {
    fn serves(&self, root: &SigningRoot) -> bool {
        self.root == *root && !self.has_failed.load(Ordering::Relaxed)
    }

    /// See [`Comb::multiply`]. After a signature that was computed wrong the table is not found any more.
    pub(super) fn multiply(&self, scalars: &[&[u8; 32]]) -> Vec<Option<SignaturePoint>> {
        let signatures = self.comb.multiply(scalars);
        if signatures.iter().any(Option::is_none) {
            self.distrust();
        }
        signatures
    }

    /// Has the table found no more.
    pub(super) fn distrust(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }
}

/// A slot has no more roots that many keys sign: attestation, sync committee message, the selection proofs of both,
/// RANDAO. 40 KB each.
const PLACES: usize = 8;
