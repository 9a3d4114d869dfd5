//! Families by Web3Signer's names and with its meaning, so that its dashboards and alerts go on working.
//!
//! Counters had no `_total` at the end before its version 24.6, and public dashboards still ask for the old names: both
//! stand here. As OpenMetrics knows no counter without `_total`, and the library no summaries, these are untyped.

use std::fmt;
use std::time::Duration;

use super::exposition::Exposition;
use crate::api::Api;
use crate::metrics::{Family, RecentDurations};
use crate::signer::{OutcomeKind, Protected};

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
    write_database_duration(exposition, &counts.protection)
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

fn write_database_duration(
    exposition: &mut Exposition<'_>,
    protection: &Family<Protected, RecentDurations>,
) -> fmt::Result {
    let name = "eth2_slashingprotection_database_duration";
    let help = "Seconds that a request spent on slashing protection, of the last ten minutes";
    let operations = || protection.iter().map(|(kind, durations)| (kind.name(), durations));
    let samples = operations().flat_map(|(operation, durations)| {
        let quantiles = durations.quantiles(QUANTILES.map(|(share, _)| share)).map(seconds);
        QUANTILES.iter().zip(quantiles).map(move |((_, quantile), value)| {
            ([("signingOperation", operation), ("quantile", *quantile)], value)
        })
    });
    exposition.untyped_with(name, help, samples)?;
    let counts = operations()
        .map(|(operation, durations)| ([("signingOperation", operation)], durations.count() as f64));
    exposition.untyped_with(&format!("{name}_count"), "Requests that were judged", counts)?;
    let sums =
        operations().map(|(operation, times)| ([("signingOperation", operation)], times.sum().as_secs_f64()));
    exposition.untyped_with(&format!("{name}_sum"), "Seconds of judging", sums)
}

/// Not a number where there is nothing to tell, as summaries have it.
fn seconds(duration: Option<Duration>) -> f64 {
    duration.map_or(f64::NAN, |duration| duration.as_secs_f64())
}

/// Those of Web3Signer's metrics library (hyperledger/besu).
const QUANTILES: [(f64, &str); 6] =
    [(0.2, "0.2"), (0.5, "0.5"), (0.8, "0.8"), (0.95, "0.95"), (0.99, "0.99"), (1.0, "1.0")];
