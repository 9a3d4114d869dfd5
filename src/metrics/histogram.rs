//! Histogram: how many values lie up to each of some bounds, and their sum.

use std::time::Duration;

use super::Counter;

/// A distribution of whole numbers over fixed buckets. Durations are recorded in nanoseconds.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    buckets: Box<[Counter]>,
    above: Counter,
    sum: Counter,
}

impl Histogram {
    /// With these bounds, which must ascend; a value equal to a bound lies in its bucket.
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        let buckets = bounds.iter().map(|_| Counter::default()).collect();
        Self { bounds, buckets, above: Counter::default(), sum: Counter::default() }
    }

    pub(crate) fn record(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.buckets.get(at).unwrap_or(&self.above).increment();
        self.sum.add(value);
    }

    pub(crate) fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Each bucket's upper bound, `None` for the last, and how many values lie in it and not in one before.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.buckets.iter().chain([&self.above]).map(Counter::value))
    }

    /// The sum of all values.
    pub(crate) fn sum(&self) -> u64 {
        self.sum.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1000] {
            histogram.record(value);
        }
        assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(Some(10), 2), (Some(20), 2), (None, 2)]);
        assert_eq!(histogram.sum(), 1062);
    }

    #[test]
    fn a_duration_beyond_all_bounds_is_counted() {
        let histogram = Histogram::new(&[1]);
        histogram.record_duration(Duration::MAX);
        assert_eq!(histogram.buckets().last(), Some((None, 1)));
    }
}
