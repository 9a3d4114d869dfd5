//! Order statistics of small samples.

use std::time::Duration;

/// The value below which `share` of the samples lie.
pub fn quantile<T: Copy + Default + PartialOrd>(samples: impl IntoIterator<Item = T>, share: f64) -> T {
    let mut samples: Vec<T> = samples.into_iter().collect();
    samples.sort_unstable_by(|one, other| one.partial_cmp(other).expect("no sample is NaN"));
    let last = samples.len().saturating_sub(1);
    samples.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

pub fn median<T: Copy + Default + PartialOrd>(samples: impl IntoIterator<Item = T>) -> T {
    quantile(samples, 0.5)
}

pub fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
