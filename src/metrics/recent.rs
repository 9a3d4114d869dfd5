//! Quantiles of the durations of the last ten minutes, as summaries of Web3Signer have them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Counter;

/// Durations of which all are summed up and those of the last eight to ten minutes give quantiles.
#[derive(Debug)]
pub(crate) struct RecentDurations {
    started: Instant,
    /// Upper bounds of the buckets in nanoseconds, each an eighth above the one before: quantiles are as exact.
    bounds: Box<[u64]>,
    windows: [Window; 5],
    count: Counter,
    sum_nanoseconds: Counter,
}

/// The durations of two minutes.
#[derive(Debug)]
struct Window {
    /// The number of the two minutes, since the start, that are counted here.
    period: AtomicU64,
    buckets: Box<[AtomicU32]>,
}

impl Default for RecentDurations {
    fn default() -> Self {
        Self::starting_at(Instant::now())
    }
}

impl RecentDurations {
    fn starting_at(started: Instant) -> Self {
        let bounds: Box<[u64]> = std::iter::successors(Some(SHORTEST_NANOSECONDS), |bound| {
            let next = bound.saturating_add(bound / 8);
            (next < LONGEST_NANOSECONDS).then_some(next)
        })
        .collect();
        let windows = std::array::from_fn(|_| Window {
            period: AtomicU64::new(0),
            // One more for what lies above all bounds.
            buckets: bounds.iter().map(|_| AtomicU32::new(0)).chain([AtomicU32::new(0)]).collect(),
        });
        Self { started, bounds, windows, count: Counter::default(), sum_nanoseconds: Counter::default() }
    }

    pub(crate) fn record(&self, duration: Duration) {
        self.record_at(duration, Instant::now());
    }

    fn record_at(&self, duration: Duration, now: Instant) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.count.increment();
        self.sum_nanoseconds.add(nanoseconds);
        let period = self.period_at(now);
        let Some(window) = self.windows.iter().cycle().nth(place(period)) else { return };
        let before = window.period.load(Ordering::Relaxed);
        // Of those who come first in a new period one empties the window; what others record meanwhile may be lost to
        // the quantiles, which are an estimate.
        if before < period
            && window.period.compare_exchange(before, period, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            window.buckets.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
        }
        let at = self.bounds.partition_point(|bound| *bound < nanoseconds);
        if let Some(bucket) = window.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many durations there were since the start.
    pub(crate) fn count(&self) -> u64 {
        self.count.value()
    }

    /// Their sum.
    pub(crate) fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanoseconds.value())
    }

    /// For each of these shares of the recent durations, the duration that so many do not exceed. `None` where there
    /// is no recent duration.
    pub(crate) fn quantiles<const N: usize>(&self, shares: [f64; N]) -> [Option<Duration>; N] {
        self.quantiles_at(shares, Instant::now())
    }

    fn quantiles_at<const N: usize>(&self, shares: [f64; N], now: Instant) -> [Option<Duration>; N] {
        let oldest = self.period_at(now).saturating_sub(WINDOWS_BEFORE);
        let recent = self.windows.iter().filter(|window| window.period.load(Ordering::Relaxed) >= oldest);
        let mut buckets = vec![0_u64; self.bounds.len().saturating_add(1)];
        for window in recent {
            for (sum, bucket) in buckets.iter_mut().zip(&window.buckets) {
                *sum = sum.saturating_add(u64::from(bucket.load(Ordering::Relaxed)));
            }
        }
        let all = buckets.iter().fold(0_u64, |all, bucket| all.saturating_add(*bucket));
        shares.map(|share| {
            let wanted = all as f64 * share;
            let mut seen = 0_u64;
            let at = buckets.iter().position(|bucket| {
                seen = seen.saturating_add(*bucket);
                seen > 0 && seen as f64 >= wanted
            })?;
            Some(Duration::from_nanos(self.bounds.get(at).copied().unwrap_or(LONGEST_NANOSECONDS)))
        })
    }

    fn period_at(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs() / WINDOW_SECONDS
    }
}

fn place(period: u64) -> usize {
    usize::try_from(period % WINDOWS).unwrap_or_default()
}

const WINDOWS: u64 = 5;
/// Beside the one that is being filled.
const WINDOWS_BEFORE: u64 = 4;
const WINDOW_SECONDS: u64 = 120;
/// Quantiles below are not told apart.
const SHORTEST_NANOSECONDS: u64 = 8_000;
/// Quantiles above are not told apart.
const LONGEST_NANOSECONDS: u64 = 100_000_000_000;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_an_eighth_above_the_truth() {
        let durations = RecentDurations::default();
        for milliseconds in 1..=1000 {
            durations.record(Duration::from_millis(milliseconds));
        }
        for (share, truth) in [(0.2, 0.2), (0.5, 0.5), (0.95, 0.95), (0.99, 0.99), (1.0, 1.0)] {
            let [Some(quantile)] = durations.quantiles([share]) else { panic!("{share}") };
            let ratio = quantile.as_secs_f64() / truth;
            assert!((1.0..1.13).contains(&ratio), "{share}: {quantile:?}");
        }
        assert_eq!((durations.count(), durations.sum()), (1000, Duration::from_millis(500_500)));
    }

    #[test]
    fn what_lies_more_than_ten_minutes_back_is_forgotten_but_for_the_sum() {
        let start = Instant::now();
        let durations = RecentDurations::starting_at(start);
        assert_eq!(durations.quantiles_at([0.5], start), [None]);
        durations.record_at(Duration::from_secs(1), start);
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let [Some(quantile)] = durations.quantiles_at([1.0], at(9)) else { panic!("forgotten too soon") };
        assert!(quantile >= Duration::from_secs(1));
        assert_eq!(durations.quantiles_at([1.0], at(10)), [None]);
        // The same window, five periods later, is empty before it is used again.
        durations.record_at(Duration::from_millis(1), at(10));
        let [Some(quantile)] = durations.quantiles_at([1.0], at(10)) else { panic!("nothing recorded") };
        assert!(quantile < Duration::from_millis(2), "{quantile:?}");
        assert_eq!(durations.count(), 2);
    }

    #[test]
    fn the_longest_duration_has_its_place() {
        let durations = RecentDurations::default();
        durations.record(Duration::MAX);
        assert_eq!(durations.quantiles([0.99]), [Some(Duration::from_nanos(LONGEST_NANOSECONDS))]);
    }
}
