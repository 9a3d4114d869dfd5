//! Families by Web3Signer's names and with its meaning, so that its dashboards and alerts go on working.
//!
//! Counters had no `_total` at the end before its version 24.6, and public dashboards still ask for the old names: both
//! stand here. As OpenMetrics knows no counter without `_total`, and the library no summaries, these are untyped.

use std::fmt;
use std::time::Duration;

use super::exposition::Exposition;
use crate::api::Api;
use crate::metrics::RecentDurations;
use crate::signer::OutcomeKind;

pub(super) fn write(exposition: &mut Exposition<'_>, api: &Api) -> fmt::Result {
    let counts = api.signer.outcomes.counts();
    let version = concat!("bls-signer/v", env!("CARGO_PKG_VERSION"));
    exposition.gauges("process_release", "Release information", [([("version", version)], 1.0)])?;
    exposition.gauge(
        "signing_signers_loaded_count",
        "Number of loaded signers",
        api.signer.keystores.ring().len() as f64,
    )?;
    for (name, help, value) in [
        (
            "http_bls_malformed_request_count",
            "Signing requests whose body is no duty of this chain",
            counts.malformed.value(),
        ),
        (
            "signing_bls_missing_identifier_count",
            "Signing requests for a key that is not loaded",
            counts.ended(OutcomeKind::UnknownKey).saturating_add(counts.ended(OutcomeKind::ForeignKey)),
        ),
        (
            "eth2_slashingprotection_permitted_signings",
            "Blocks and attestations that slashing protection allowed",
            counts.permitted.value(),
        ),
        (
            "eth2_slashingprotection_prevented_signings",
            "Signatures that slashing protection refused",
            counts.ended(OutcomeKind::Slashable),
        ),
    ] {
        exposition.untyped(name, help, value)?;
        exposition.untyped(&format!("{name}_total"), help, value)?;
    }
    write_signing_duration(exposition, &counts.durations)?;
    let protection: Vec<_> = counts.protection.iter().map(|(kind, times)| (kind.name(), times)).collect();
    write_summaries(
        exposition,
        "eth2_slashingprotection_database_duration",
        "Seconds that a request spent on slashing protection, of the last ten minutes",
        "signingOperation",
        &protection,
    )?;
    write_summaries(
        exposition,
        "http_vertx_worker_pool_usage",
        "Seconds of a signature on the signing threads with the wait for one, of the last ten minutes",
        "poolName",
        &[(SIGNING_THREADS, &counts.multiplications)],
    )?;
    exposition.untyped_with(
        "http_vertx_worker_pool_rejected_total",
        "Signatures that the signing threads refused: there are none",
        [([("poolName", SIGNING_THREADS)], 0.0)],
    )
}

fn write_signing_duration(exposition: &mut Exposition<'_>, durations: &RecentDurations) -> fmt::Result {
    let name = "signing_bls_signing_duration";
    let help = "Seconds from a signing request to its answer, of the last ten minutes";
    let quantiles = durations.quantiles(QUANTILES.map(|(share, _)| share)).map(seconds);
    let samples = QUANTILES.iter().zip(quantiles);
    exposition.untyped_with(name, help, samples.map(|((_, name), value)| ([("quantile", *name)], value)))?;
    exposition.untyped(&format!("{name}_count"), "Signing requests", durations.count())?;
    exposition.untyped(&format!("{name}_sum"), "Seconds of signing requests", durations.sum().as_secs_f64())
}

/// A summary for each value of one label.
fn write_summaries(
    exposition: &mut Exposition<'_>,
    name: &str,
    help: &str,
    label: &'static str,
    summaries: &[(&str, &RecentDurations)],
) -> fmt::Result {
    let samples = summaries.iter().flat_map(|(of, durations)| {
        let quantiles = durations.quantiles(QUANTILES.map(|(share, _)| share)).map(seconds);
        let named = QUANTILES.iter().zip(quantiles);
        named.map(move |((_, quantile), value)| ([(label, *of), ("quantile", *quantile)], value))
    });
    exposition.untyped_with(name, help, samples)?;
    let counts = summaries.iter().map(|(of, durations)| ([(label, *of)], durations.count() as f64));
    exposition.untyped_with(&format!("{name}_count"), "How many there were since the start", counts)?;
    let sums = summaries.iter().map(|(of, durations)| ([(label, *of)], durations.sum().as_secs_f64()));
    exposition.untyped_with(&format!("{name}_sum"), "Seconds in all since the start", sums)
}

/// Not a number where there is nothing to tell, as summaries have it.
fn seconds(duration: Option<Duration>) -> f64 {
    duration.map_or(f64::NAN, |duration| duration.as_secs_f64())
}

/// Those of Web3Signer's metrics library (hyperledger/besu).
const QUANTILES: [(f64, &str); 6] =
    [(0.2, "0.2"), (0.5, "0.5"), (0.8, "0.8"), (0.95, "0.95"), (0.99, "0.99"), (1.0, "1.0")];

/// In the place of a pool of Vert.x, Web3Signer's HTTP server.
const SIGNING_THREADS: &str = "signing-threads";
