//! Counters and distributions that are recorded without a lock: an atomic addition or two each.
//!
//! They know nothing of an exposition. Who reads them while others record may see one addition and not yet the next.

mod family;
mod histogram;
mod recent;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::family::{Family, Variants, named_variants};
pub(crate) use self::histogram::Histogram;
pub(crate) use self::recent::RecentDurations;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    /// Counts so many more; wraps around where 64 bits end.
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The number by now.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
