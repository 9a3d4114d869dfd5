//! A signing root hashed to the curve, and the way in which keys multiply it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::CIPHERSUITE;
use super::comb_cache::RootComb;
use crate::primitives::SigningRoot;
use crate::sys::curve::{HashedMessage, JointTable, SignaturePoint};

/// A signing root hashed to the curve: half the work of a signature, the same for every key that signs the root.
pub struct HashedRoot {
    root: SigningRoot,
    point: HashedMessage,
    pub(super) way: Way,
}

/// How the other half is computed. All ways give the same signature.
pub(super) enum Way {
    /// The curve library's own, which needs nothing but the point.
    Plain,
    /// With a table that pays at once.
    Joint(Box<JointTable>),
    /// With a table that pays for a root that several keys sign.
    Comb(Arc<RootComb>),
}

impl HashedRoot {
    /// Hashes a signing root to G2.
    pub fn new(root: &SigningRoot) -> Self {
        Self::with(root, hash(root), Way::Plain)
    }

    pub(super) fn with(root: &SigningRoot, point: HashedMessage, way: Way) -> Self {
        Self { root: *root, point, way }
    }

    /// The root that was hashed.
    pub fn signing_root(&self) -> SigningRoot {
        self.root
    }

    /// The other half, for each of some secret scalars (little endian): multiplies in constant time. What was computed
    /// wrong is not given to anybody: then the curve library computes it.
    pub(crate) fn multiply(&self, scalars: &[&[u8; 32]]) -> Vec<SignaturePoint> {
        let multiplied = match &self.way {
            Way::Plain => return self.multiply_plainly(scalars),
            Way::Joint(table) => scalars.iter().map(|scalar| table.multiply(scalar)).collect(),
            Way::Comb(comb) => comb.multiply(scalars),
        };
        let checked = scalars.iter().zip(multiplied).map(|(scalar, multiplied)| {
            multiplied.unwrap_or_else(|| {
                note_failed_check(&format_args!("a signature of the root {}", self.root));
                self.point.multiply(scalar)
            })
        });
        checked.collect()
    }

    /// The signatures, if all are right together: what the curve library makes of a random combination of the scalars
    /// must be the same combination of them. Else the curve library computes them all.
    pub(crate) fn examined(
        &self,
        scalars: &[&[u8; 32]],
        signatures: Vec<SignaturePoint>,
    ) -> Vec<SignaturePoint> {
        match &self.way {
            Way::Plain => return signatures,
            Way::Joint(_) | Way::Comb(_) => {}
        }
        // Without random numbers nothing is known of the signatures.
        let Some(factors) = random_factors(scalars.len()) else { return self.multiply_plainly(scalars) };
        if self.point.are_signatures(scalars, &signatures, &factors) {
            return signatures;
        }
        note_failed_check(&format_args!("one of {} signatures of the root {}", scalars.len(), self.root));
        match &self.way {
            Way::Plain | Way::Joint(_) => {}
            Way::Comb(comb) => comb.distrust(),
        }
        self.multiply_plainly(scalars)
    }

    fn multiply_plainly(&self, scalars: &[&[u8; 32]]) -> Vec<SignaturePoint> {
        scalars.iter().map(|scalar| self.point.multiply(scalar)).collect()
    }
}

/// A text hashed to the curve as it stands, as proofs of validation are.
pub(crate) struct HashedText(HashedMessage);

impl HashedText {
    /// Hashes a text to G2 as it stands.
    pub(crate) fn new(text: &[u8]) -> Self {
        Self(HashedMessage::of_text(text, CIPHERSUITE))
    }

    /// The other half of a signature, by the curve library.
    pub(crate) fn multiply(&self, scalar: &[u8; 32]) -> SignaturePoint {
        self.0.multiply(scalar)
    }
}

/// One for each of so many signatures, none of them 0.
fn random_factors(count: usize) -> Option<Vec<u16>> {
    let mut bytes = vec![0; count.saturating_mul(2)];
    getrandom::fill(&mut bytes).ok()?;
    let factor = |bytes: &[u8]| bytes.iter().fold(0, |factor, byte| (factor << 8) | u16::from(*byte)).max(1);
    Some(bytes.chunks_exact(2).map(factor).collect())
}

/// The point that the keys multiply.
pub(super) fn hash(root: &SigningRoot) -> HashedMessage {
    HashedMessage::new(&root.0, CIPHERSUITE)
}

/// Says in the log that something was computed wrong, and counts it. A processor or memory that errs may do so each
/// time: of many, ever fewer are told.
pub(super) fn note_failed_check(what: &dyn fmt::Display) {
    let count = FAILED_CHECKS.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    if count.is_power_of_two() {
        tracing::error!(
            "{what} was computed wrong and has been computed again by the curve library (number {count} since the \
             start): processor or memory err; have the machine examined. --shared-root-tables=off leaves the curve \
             library alone"
        );
    }
}

/// How often something was computed wrong since the start.
pub(crate) fn failed_checks() -> u64 {
    FAILED_CHECKS.load(Ordering::Relaxed)
}

static FAILED_CHECKS: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bls::comb_cache::CombCache;
    use crate::sys::curve::{Comb, Window};

    #[test]
    fn what_was_computed_wrong_is_computed_again_by_the_curve_library_and_counted() {
        let (root, scalar, combs) = (SigningRoot([0x77; 32]), [0x11; 32], CombCache::default());
        let point = hash(&root);
        let expected = point.multiply(&scalar);
        let spoiled_comb = combs.insert(&root, Comb::spoiled(&point));
        assert!(combs.find(&root).is_some());
        let spoiled_table = JointTable::spoiled(&point).unwrap();
        for way in [Way::Comb(spoiled_comb), Way::Joint(Box::new(spoiled_table))] {
            let before = failed_checks();
            assert_eq!(HashedRoot::with(&root, point, way).multiply(&[&scalar, &scalar]), [expected; 2]);
            assert!(failed_checks() > before);
        }
        assert!(combs.find(&root).is_none(), "a table that has failed is not used again");
    }

    #[test]
    fn of_many_signatures_a_wrong_one_is_found_and_all_are_computed_again() {
        let (root, combs) = (SigningRoot([0x78; 32]), CombCache::default());
        let point = hash(&root);
        let comb = combs.insert(&root, Comb::new(&point, Window::Small).unwrap());
        let hashed = HashedRoot::with(&root, point, Way::Comb(comb));
        let scalars: Vec<_> = (1..=40).map(|number| [number; 32]).collect();
        let scalars: Vec<_> = scalars.iter().collect();
        let right = hashed.multiply(&scalars);
        assert_eq!(hashed.examined(&scalars, right.clone()), right);
        assert!(combs.find(&root).is_some());

        let mut wrong = right.clone();
        wrong.swap(3, 4);
        let before = failed_checks();
        assert_eq!(hashed.examined(&scalars, wrong), right);
        assert!(failed_checks() > before && combs.find(&root).is_none());
    }
}
