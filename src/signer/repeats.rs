//! Refusals that repeat: the first of a key by a rule is a line in the log, further ones are counted for a minute.
//!
//! A client that asks again and again for what slashing protection refuses would otherwise fill the journal, which drops
//! none of our lines.

use std::collections::HashMap;
use std::mem::Discriminant;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ledger;

/// The rule of slashing protection that refused.
pub(crate) type Rule = Discriminant<ledger::Refusal>;

/// What was refused of late.
#[derive(Default)]
pub(crate) struct Repeats(Mutex<HashMap<(String, Rule), Seen>>);

/// How loud a refusal is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// With so many that were only counted since the last line.
    Line {
        counted: u64,
    },
    Counted,
}

struct Seen {
    since: Instant,
    counted: u64,
}

impl Repeats {
    /// Notes a refusal for a key, named as the request names it.
    pub(crate) fn note(&self, key: &str, rule: Rule) -> Told {
        self.note_at(key, rule, Instant::now())
    }

    /// Forgets what lies more than a minute back. Answers the keys of which refusals were counted since their last line.
    pub(crate) fn settle(&self) -> Vec<(String, u64)> {
        self.settle_at(Instant::now())
    }

    fn note_at(&self, key: &str, rule: Rule, now: Instant) -> Told {
        let mut seen = self.lock();
        let is_new = !seen.contains_key(&(key.to_owned(), rule));
        if is_new && seen.len() >= MAX_TRACKED {
            // So many keys at once: each has its line.
            return Told::Line { counted: 0 };
        }
        let entry = seen.entry((key.to_owned(), rule)).or_insert(Seen { since: now, counted: 0 });
        if !is_new && now.duration_since(entry.since) < LOG_INTERVAL {
            entry.counted = entry.counted.saturating_add(1);
            return Told::Counted;
        }
        let counted = std::mem::take(&mut entry.counted);
        entry.since = now;
        Told::Line { counted }
    }

    fn settle_at(&self, now: Instant) -> Vec<(String, u64)> {
        let mut counted = Vec::new();
        self.lock().retain(|(key, _), seen| {
            if now.duration_since(seen.since) < LOG_INTERVAL {
                return true;
            }
            if seen.counted > 0 {
                counted.push((key.clone(), seen.counted));
            }
            false
        });
        counted
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Rule), Seen>> {
        // Only whole entries are ever in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For which further refusals of a key by a rule are only counted.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Pairs of key and rule.
const MAX_TRACKED: usize = 16_384;

#[cfg(test)]
mod tests {
    use std::mem::discriminant;

    use super::*;
    use crate::primitives::Slot;

    #[test]
    fn the_first_of_a_key_by_a_rule_is_a_line_and_the_next_minute_s_are_counted() {
        let repeats = Repeats::default();
        let start = Instant::now();
        let at = |seconds| start.checked_add(Duration::from_secs(seconds)).unwrap();
        let [one, other] = [
            discriminant(&ledger::Refusal::NoChain),
            discriminant(&ledger::Refusal::BlockNotAbove { slot: Slot(1), highest: Slot(2) }),
        ];
        assert_eq!(repeats.note_at("a", one, at(0)), Told::Line { counted: 0 });
        assert_eq!(repeats.note_at("a", other, at(0)), Told::Line { counted: 0 }, "another rule");
        assert_eq!(repeats.note_at("b", one, at(0)), Told::Line { counted: 0 }, "another key");
        for second in 1..=3 {
            assert_eq!(repeats.note_at("a", one, at(second)), Told::Counted);
        }
        assert_eq!(repeats.note_at("a", one, at(60)), Told::Line { counted: 3 });
        assert_eq!(repeats.note_at("a", one, at(61)), Told::Counted);
        assert_eq!(repeats.settle_at(at(61)), [], "those of a minute back had nothing to tell");
        assert_eq!(repeats.lock().len(), 1);
        assert_eq!(repeats.settle_at(at(121)), [("a".to_owned(), 1)]);
        assert_eq!(repeats.note_at("a", one, at(122)), Told::Line { counted: 0 });
    }

    #[test]
    fn more_keys_than_are_remembered_still_have_a_line_each() {
        let repeats = Repeats::default();
        let (now, rule) = (Instant::now(), discriminant(&ledger::Refusal::NoChain));
        for key in 0..=MAX_TRACKED {
            assert_eq!(repeats.note_at(&key.to_string(), rule, now), Told::Line { counted: 0 });
        }
        assert_eq!(repeats.lock().len(), MAX_TRACKED);
    }
}
