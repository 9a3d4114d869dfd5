//! Repetitions of what the log tells of: the first of its kind is a line, further ones are counted for a minute.
//!
//! A client that asks again and again for what slashing protection refuses would otherwise fill the journal, which
//! drops none of our lines. So would an overloaded signer, and one whose ledger's disk hangs: each request would be a
//! line.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::mutex::Mutex;

/// What happened of late, by what makes two of them alike.
pub(crate) struct Repetitions<K>(Mutex<HashMap<K, Counter>>);

/// How loud it is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Occurrence {
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

impl<K> Default for Repetitions<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Repetitions<K> {
    /// Notes one more.
    pub(crate) fn note(&self, kind: K) -> Occurrence {
        self.note_at(kind, Instant::now())
    }

    /// Forgets what lies more than a minute back. Answers what was counted since its last line, and how often.
    pub(crate) fn settle(&self) -> Vec<(K, u64)> {
        self.settle_at(Instant::now())
    }

    fn note_at(&self, kind: K, now: Instant) -> Occurrence {
        let mut seen = self.0.lock();
        let is_new = !seen.contains_key(&kind);
        if is_new && seen.len() >= MAX_TRACKED {
            // So many kinds at once: each has its line.
            return Occurrence::Line { counted: 0 };
        }
        let entry = seen.entry(kind).or_insert(Counter { since: now, counted: 0 });
        if !is_new && now.duration_since(entry.since) < LOG_INTERVAL {
            entry.counted = entry.counted.saturating_add(1);
            return Occurrence::Counted;
        }
        let counted = std::mem::take(&mut entry.counted);
        entry.since = now;
        Occurrence::Line { counted }
    }

    fn settle_at(&self, now: Instant) -> Vec<(K, u64)> {
        let mut counted = Vec::new();
        self.0.lock().retain(|kind, seen| {
            if now.duration_since(seen.since) < LOG_INTERVAL {
                return true;
            }
            if seen.counted > 0 {
                counted.push((kind.clone(), seen.counted));
            }
            false
        });
        counted
    }
}

/// How many like one in the log were not in it: for the end of its line.
pub(crate) struct MoreLikeThis(pub(crate) u64);

impl fmt::Display for MoreLikeThis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            more => write!(f, " ({more} more like this since the last such line)"),
        }
    }
}

/// For which further ones are only counted.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Kinds.
const MAX_TRACKED: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_is_a_line_and_the_next_minute_s_are_counted() {
        let seen = Repetitions::default();
        let start = Instant::now();
        let at = |seconds| start.checked_add(Duration::from_secs(seconds)).unwrap();
        assert_eq!(seen.note_at("a", at(0)), Occurrence::Line { counted: 0 });
        assert_eq!(seen.note_at("b", at(0)), Occurrence::Line { counted: 0 }, "another kind");
        for second in 1..=3 {
            assert_eq!(seen.note_at("a", at(second)), Occurrence::Counted);
        }
        assert_eq!(seen.note_at("a", at(60)), Occurrence::Line { counted: 3 });
        assert_eq!(seen.note_at("a", at(61)), Occurrence::Counted);
        assert_eq!(seen.settle_at(at(61)), [], "those of a minute back had nothing to tell");
        assert_eq!(seen.0.lock().len(), 1);
        assert_eq!(seen.settle_at(at(121)), [("a", 1)]);
        assert_eq!(seen.note_at("a", at(122)), Occurrence::Line { counted: 0 });
    }

    #[test]
    fn more_kinds_than_are_remembered_still_have_a_line_each() {
        let seen = Repetitions::default();
        let now = Instant::now();
        for kind in 0..=MAX_TRACKED {
            assert_eq!(seen.note_at(kind, now), Occurrence::Line { counted: 0 });
        }
        assert_eq!(seen.0.lock().len(), MAX_TRACKED);
    }
}
