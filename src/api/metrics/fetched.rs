//! Families about the sources that a fetcher reads.

use std::fmt;

use super::exposition::Exposition;
use super::state::unix_seconds;
use crate::keymanager::fetched::FetchedSources;

/// Nothing where no source was heard of.
pub(super) fn write(exposition: &mut Exposition<'_>, sources: &FetchedSources) -> fmt::Result {
    let sources = sources.report();
    if sources.is_empty() {
        return Ok(());
    }
    exposition.gauges(
        "bls_signer_fetched_keys",
        "Keys that a source has given",
        sources.iter().map(|source| ([("source", source.name.as_str())], source.keys as f64)),
    )?;
    exposition.gauges(
        "bls_signer_fetch_last_complete_timestamp_seconds",
        "When a source last listed all of its keys; 0 for not since the start",
        sources.iter().map(|source| {
            ([("source", source.name.as_str())], source.last_complete.map_or(0.0, unix_seconds))
        }),
    )?;
    exposition.counters(
        "bls_signer_fetch_errors",
        "What went wrong with a source since the start, by kind",
        sources.iter().flat_map(|source| {
            let name = source.name.as_str();
            source.troubles.iter().map(move |(kind, times)| ([("source", name), ("kind", *kind)], *times))
        }),
    )
}
