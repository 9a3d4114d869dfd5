//! Times that the last signatures took, by which is told how long those that wait will take.

use std::time::{Duration, Instant};

/// How long the keys of the last turns took, each.
#[derive(Debug, Default)]
pub(super) struct KeyTimes {
    times: [Duration; KEPT_TIMES],
    /// How many were noted since the start.
    noted: usize,
    last: Option<Instant>,
}

impl KeyTimes {
    pub(super) fn note(&mut self, time: Duration) {
        let place = self.noted.checked_rem(KEPT_TIMES).unwrap_or_default();
        if let Some(kept) = self.times.get_mut(place) {
            *kept = time;
        }
        self.noted = self.noted.saturating_add(1);
        self.last = Some(Instant::now());
    }

    /// The median. `None` until there are enough, and some time after the last one: a machine that was slow then need
    /// not be slow now, and nothing may be refused for what only more work would show.
    pub(super) fn typical(&self) -> Option<Duration> {
        let is_recent = self.last.is_some_and(|last| last.elapsed() < RECENT);
        if self.noted < KEPT_TIMES || !is_recent {
            return None;
        }
        let mut times = self.times;
        let (_, median, _) = times.select_nth_unstable(KEPT_TIMES / 2);
        Some(*median)
    }
}

/// A few that were interrupted do not change their median.
const KEPT_TIMES: usize = 32;

/// A second or two of work are noted as they are done.
const RECENT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_interruptions_are_not_typical_and_a_slower_machine_is() {
        let mut times = KeyTimes::default();
        let (quick, slow) = (Duration::from_micros(400), Duration::from_millis(40));
        for noted in 0..KEPT_TIMES {
            assert_eq!(times.typical(), None, "{noted} are too few");
            times.note(if [0, 9, 31].contains(&noted) { slow } else { quick });
        }
        assert_eq!(times.typical(), Some(quick));
        (0..KEPT_TIMES).for_each(|_| times.note(slow));
        assert_eq!(times.typical(), Some(slow));
        times.last = times.last.and_then(|last| last.checked_sub(RECENT));
        assert_eq!(times.typical(), None, "too long ago");
    }
}
