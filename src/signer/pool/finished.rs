//! Results that one thread has not handed over yet.

use std::thread;

use super::work::Deliver;

/// Results, and how much work they were. What is finished waits here while its thread works on what others asked for,
/// so that is bounded by work, not by results: a batch has one result for several keys.
#[derive(Default)]
pub(super) struct Finished {
    results: Vec<Deliver>,
    keys: usize,
}

impl Finished {
    /// Adds what a turn for so many keys came to.
    pub(super) fn add(&mut self, results: impl IntoIterator<Item = Deliver>, keys: usize) {
        self.results.extend(results);
        self.keys = self.keys.saturating_add(keys);
    }

    /// Whether they are to be handed over though there is more to do.
    pub(super) fn are_enough(&self) -> bool {
        self.keys >= ENOUGH_KEYS
    }

    pub(super) fn hand_over(&mut self) {
        self.keys = 0;
        if self.results.is_empty() {
            return;
        }
        self.results.drain(..).for_each(|deliver| deliver());
        // Who was woken shall not have to wait until our time slice ends.
        thread::yield_now();
    }
}

/// Results of so many keys are handed over together at most while there is more to do.
pub(super) const ENOUGH_KEYS: usize = 8;
