//! Exposition of metric families, one after the other.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use crate::metrics::Histogram;

/// Where families are written. Names of counters come without `_total`, which is added to each.
pub(super) struct Exposition<'e>(DescriptorEncoder<'e>);

/// Names and values.
pub(super) type Labels<'l, const N: usize> = [(&'static str, &'l str); N];

/// What the numbers of a histogram are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// Nanoseconds, shown as seconds.
    Seconds,
    Count,
}

impl<'e> Exposition<'e> {
    pub(super) fn new(encoder: DescriptorEncoder<'e>) -> Self {
        Self(encoder)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(name, help, MetricType::Gauge)?.encode_gauge(&value)
    }

    pub(super) fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, f64)>,
    ) -> fmt::Result {
        self.labelled(name, help, MetricType::Gauge, samples, |mut metric, value| metric.encode_gauge(&value))
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        encode_counter(&mut self.family(name, help, MetricType::Counter)?, &value)
    }

    pub(super) fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        self.labelled(name, help, MetricType::Counter, samples, |mut metric, value| {
            encode_counter(&mut metric, &value)
        })
    }

    /// A family whose name says nothing of its type: it is written as it is.
    pub(super) fn untyped(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(name, help, MetricType::Unknown)?.encode_gauge(&value)
    }

    pub(super) fn untyped_with<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, f64)>,
    ) -> fmt::Result {
        self.labelled(name, help, MetricType::Unknown, samples, |mut metric, value| {
            metric.encode_gauge(&value)
        })
    }

    pub(super) fn histograms<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        scale: Scale,
        samples: impl IntoIterator<Item = (Labels<'l, N>, &'l Histogram)>,
    ) -> fmt::Result {
        self.labelled(name, help, MetricType::Histogram, samples, |mut metric, histogram| {
            encode_histogram(&mut metric, scale, histogram)
        })
    }

    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        scale: Scale,
        histogram: &Histogram,
    ) -> fmt::Result {
        encode_histogram(&mut self.family(name, help, MetricType::Histogram)?, scale, histogram)
    }

    /// A family with a sample for each set of labels, which `encode` writes.
    fn labelled<'l, T, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        metric_type: MetricType,
        samples: impl IntoIterator<Item = (Labels<'l, N>, T)>,
        encode: impl Fn(MetricEncoder<'_>, T) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = self.family(name, help, metric_type)?;
        samples.into_iter().try_for_each(|(labels, value)| encode(family.encode_family(&labels)?, value))
    }

    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        metric_type: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, metric_type)
    }
}

fn encode_counter(metric: &mut MetricEncoder<'_>, value: &impl EncodeCounterValue) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, u64>(value, None)
}

fn encode_histogram(metric: &mut MetricEncoder<'_>, scale: Scale, histogram: &Histogram) -> fmt::Result {
    let scaled = |value: u64| match scale {
        Scale::Seconds => Duration::from_nanos(value).as_secs_f64(),
        Scale::Count => value as f64,
    };
    let buckets: Vec<_> =
        histogram.buckets().map(|(bound, values)| (bound.map_or(f64::INFINITY, scaled), values)).collect();
    // From the same reading as the buckets, so that they agree.
    let count = buckets.iter().fold(0_u64, |count, (_, values)| count.saturating_add(*values));
    metric.encode_histogram::<NoLabelSet>(scaled(histogram.sum()), count, &buckets, None)
}
