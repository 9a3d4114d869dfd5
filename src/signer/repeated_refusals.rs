//! Repeated refusals: the first of a key by a rule is a line in the log, further ones are counted for a minute.
//!
//! A client that asks again and again for what slashing protection refuses would otherwise fill the journal, which drops
//! none of our lines.

use std::collections::HashMap;
use std::mem::Discriminant;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bls::PublicKey;
use crate::ledger;

/// The rule of slashing protection that refused.
pub(super) type Rule = Discriminant<ledger::Refusal>;

/// What was refused of late.
#[derive(Default)]
pub(super) struct RepeatedRefusals(Mutex<HashMap<(PublicKey, Rule), Counter>>);

/// How loud a refusal is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Occurrence {
    /// With so many that were only counted since the last line.
    Line {
        counted: u64,
    },
    Counted,
}

struct Counter {
    since: Instant,
    counted: u64,
}

impl RepeatedRefusals {
    /// Notes a refusal for a key.
    pub(super) fn note(&self, key: PublicKey, rule: Rule) -> Occurrence {
        self.note_at(key, rule, Instant::now())
    }

    /// Forgets what lies more than a minute back. Answers the keys of which refusals were counted since their last line.
    pub(super) fn settle(&self) -> Vec<(PublicKey, u64)> {
        self.settle_at(Instant::now())
    }

    fn note_at(&self, key: PublicKey, rule: Rule, now: Instant) -> Occurrence {
        let mut seen = self.lock();
        let is_new = !seen.contains_key(&(key, rule));
        if is_new && seen.len() >= MAX_TRACKED {
            // So many keys at once: each has its line.
            return Occurrence::Line { counted: 0 };
        }
        let entry = seen.entry((key, rule)).or_insert(Counter { since: now, counted: 0 });
        if !is_new && now.duration_since(entry.since) < LOG_INTERVAL {
            entry.counted = entry.counted.saturating_add(1);
            return Occurrence::Counted;
        }
        let counted = std::mem::take(&mut entry.counted);
        entry.since = now;
        Occurrence::Line { counted }
    }

    fn settle_at(&self, now: Instant) -> Vec<(PublicKey, u64)> {
        let mut counted = Vec::new();
        self.lock().retain(|(key, _), seen| {
            if now.duration_since(seen.since) < LOG_INTERVAL {
                return true;
            }
            if seen.counted > 0 {
                counted.push((*key, seen.counted));
            }
            false
        });
        counted
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(PublicKey, Rule), Counter>> {
        // Only whole entries are ever in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For which further refusals of a key by a rule are only counted.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Pairs of key and rule.
const MAX_TRACKED: usize = 16_384;

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use std::mem::discriminant;

    use super::*;
    use crate::primitives::Slot;

    const A: PublicKey = PublicKey([1; 48]);
    const B: PublicKey = PublicKey([2; 48]);

    #[test]
    fn the_first_of_a_key_by_a_rule_is_a_line_and_the_next_minute_s_are_counted() {
        let refusals = RepeatedRefusals::default();
        let start = Instant::now();
        let at = |seconds| start.checked_add(Duration::from_secs(seconds)).unwrap();
        let [one, other] = [
            discriminant(&ledger::Refusal::NoChain),
            discriminant(&ledger::Refusal::BlockNotAbove { slot: Slot(1), highest: Slot(2) }),
        ];
        assert_eq!(refusals.note_at(A, one, at(0)), Occurrence::Line { counted: 0 });
        assert_eq!(refusals.note_at(A, other, at(0)), Occurrence::Line { counted: 0 }, "another rule");
        assert_eq!(refusals.note_at(B, one, at(0)), Occurrence::Line { counted: 0 }, "another key");
        for second in 1..=3 {
            assert_eq!(refusals.note_at(A, one, at(second)), Occurrence::Counted);
        }
        assert_eq!(refusals.note_at(A, one, at(60)), Occurrence::Line { counted: 3 });
        assert_eq!(refusals.note_at(A, one, at(61)), Occurrence::Counted);
        assert_eq!(refusals.settle_at(at(61)), [], "those of a minute back had nothing to tell");
        assert_eq!(refusals.lock().len(), 1);
        assert_eq!(refusals.settle_at(at(121)), [(A, 1)]);
        assert_eq!(refusals.note_at(A, one, at(122)), Occurrence::Line { counted: 0 });
    }

    #[test]
    fn more_keys_than_are_remembered_still_have_a_line_each() {
        let refusals = RepeatedRefusals::default();
        let (now, rule) = (Instant::now(), discriminant(&ledger::Refusal::NoChain));
        for number in 0..=MAX_TRACKED {
            let mut key = [0; 48];
            key[..8].copy_from_slice(&number.to_be_bytes());
            assert_eq!(refusals.note_at(PublicKey(key), rule, now), Occurrence::Line { counted: 0 });
        }
        assert_eq!(refusals.lock().len(), MAX_TRACKED);
    }
}
