//! Order statistics of small samples.

use std::time::Duration;

/// The value below which `share` of the samples lie.
pub fn quantile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    samples.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

pub fn median(samples: &mut [Duration]) -> Duration {
    quantile(samples, 0.5)
}

pub fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
