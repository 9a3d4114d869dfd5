//! The tables of the roots that several keys sign: a handful, the oldest of which makes room for a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

use crate::primitives::SigningRoot;
use crate::sys::curve::{Comb, SignaturePoint, Window};

/// A bounded cache without locks, of public data.
#[derive(Default)]
pub(super) struct CombCache {
    small: Places<SMALL_COMBS>,
    large: Places<LARGE_COMBS>,
}

/// A root's table.
pub(super) struct RootComb {
    root: SigningRoot,
    comb: Comb,
    has_failed: AtomicBool,
}

impl CombCache {
    /// The root's table, if it has one that can be trusted: the large one, if it has two.
    pub(super) fn find(&self, root: &SigningRoot) -> Option<Arc<RootComb>> {
        self.large.find(root).or_else(|| self.small.find(root))
    }

    pub(super) fn insert(&self, root: &SigningRoot, comb: Comb) -> Arc<RootComb> {
        let window = comb.window();
        let comb = Arc::new(RootComb { root: *root, comb, has_failed: AtomicBool::new(false) });
        match window {
            Window::Small => self.small.insert(Arc::clone(&comb)),
            Window::Large => self.large.insert(Arc::clone(&comb)),
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

    #[cfg(test)]
    pub(super) fn window(&self) -> Window {
        self.comb.window()
    }
}

/// The last few of one size.
struct Places<const COUNT: usize> {
    places: [ArcSwapOption<RootComb>; COUNT],
    next: AtomicUsize,
}

impl<const COUNT: usize> Places<COUNT> {
    fn find(&self, root: &SigningRoot) -> Option<Arc<RootComb>> {
        let held = self.places.iter().map(ArcSwapOption::load);
        let combs = held.filter(|held| held.as_ref().is_some_and(|comb| comb.serves(root)));
        combs.map(arc_swap::Guard::into_inner).next().flatten()
    }

    fn insert(&self, comb: Arc<RootComb>) {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = self.places.get(next.rem_euclid(COUNT)) {
            place.store(Some(comb));
        }
    }
}

impl<const COUNT: usize> Default for Places<COUNT> {
    fn default() -> Self {
        Self { places: [const { ArcSwapOption::const_empty() }; COUNT], next: AtomicUsize::new(0) }
    }
}

/// A slot has no more roots that several keys sign: attestation, sync committee message, the selection proofs of both,
/// RANDAO. 40 KB each.
const SMALL_COMBS: usize = 8;

/// The three of them that may be many keys': attestation, sync committee message, selection proof. 192 KB each.
const LARGE_COMBS: usize = 3;
