//! Counts of a second judge: what it was asked, and what came of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::metrics::{Counter, Histogram};

/// What is counted since the start.
#[derive(Debug)]
pub(crate) struct SecondCounts {
    /// The time until all questions that were asked together had their answers.
    pub(crate) durations: Histogram,
    /// How many keys they were about.
    pub(crate) keys: Histogram,
    /// Questions that were answered with no.
    pub(crate) refused: Counter,
    /// Connections that were made.
    pub(crate) connections: Counter,
    /// So often its word did not count, because a commit may be on one server alone.
    pub(crate) unreplicated: Counter,
    timeline: AtomicU32,
}

impl SecondCounts {
    /// So many keys' questions were answered together.
    pub(super) fn answered(&self, keys: usize, taken: Duration) {
        self.durations.record_duration(taken);
        self.keys.record(keys.try_into().unwrap_or(u64::MAX));
    }

    /// A connection was made, to the database on this timeline.
    pub(super) fn connected(&self, timeline: u32) {
        self.connections.increment();
        self.timeline.store(timeline, Ordering::Relaxed);
    }

    /// Of the database that was connected to last; 0 before. Each promotion begins the next.
    pub(crate) fn timeline(&self) -> u32 {
        self.timeline.load(Ordering::Relaxed)
    }
}

impl Default for SecondCounts {
    fn default() -> Self {
        Self {
            durations: Histogram::new(NANOSECONDS),
            keys: Histogram::new(KEYS),
            refused: Counter::default(),
            connections: Counter::default(),
            unreplicated: Counter::default(),
            timeline: AtomicU32::new(0),
        }
    }
}

/// To the 4 s after which a connection is given up.
const NANOSECONDS: &[u64] = &[
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    4_000_000_000,
];
const KEYS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];
