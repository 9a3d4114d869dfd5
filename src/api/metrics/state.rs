//! Families about what the daemon has and how it stands: keys, ledger, connections, network, log.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::exposition::Exposition;
use super::fetched;
use crate::api::Api;
use crate::bls;
use crate::keymanager::{KeyFiles, Keystores, Persistence};
use crate::keys::Origin;
use crate::ledger::{Attention, Health, Protection};
use crate::logging;

pub(super) fn write(exposition: &mut Exposition<'_>, api: &Api) -> fmt::Result {
    let name = api.signer.network.name();
    exposition.gauges(
        "bls_signer_build_info",
        "The running version",
        [([("version", env!("CARGO_PKG_VERSION"))], 1.0)],
    )?;
    exposition.gauges(
        "bls_signer_network_info",
        "The network that is signed for",
        [([("network", name)], 1.0)],
    )?;
    exposition.gauge(
        "bls_signer_keys_expected",
        "Keys without which health is red",
        api.expected_keys.least(),
    )?;
    write_keys(exposition, &api.signer.keystores)?;
    write_protection(exposition, &api.signer.protection)?;
    let connections = || api.connections.by_role();
    exposition.gauges(
        "bls_signer_connections",
        "Open connections by the role of their listener",
        connections().map(|(role, of_role)| ([("listener", role.name())], of_role.open() as f64)),
    )?;
    exposition.counters(
        "bls_signer_connections_accepted",
        "Connections since the start by the role of their listener",
        connections().map(|(role, of_role)| ([("listener", role.name())], of_role.accepted.value())),
    )?;
    exposition.counter(
        "bls_signer_wrong_computations",
        "Computations whose result was wrong, which was noticed and made good: the machine is failing",
        bls::failed_checks(),
    )?;
    exposition.counter(
        "bls_signer_log_events_dropped",
        "Log events that were lost because nobody read them in time",
        logging::dropped(),
    )?;
    match api.access.certificate_expiry() {
        None => Ok(()),
        Some(expiry) => exposition.gauge(
            "bls_signer_tls_certificate_not_after_timestamp_seconds",
            "When the certificate of the TLS listeners ends",
            unix_seconds(expiry.not_after()),
        ),
    }
}

fn write_keys(exposition: &mut Exposition<'_>, keystores: &Keystores) -> fmt::Result {
    let ring = keystores.ring().snapshot();
    let of = |origin| ring.values().filter(|key| key.origin() == origin).count() as f64;
    exposition.gauges(
        "bls_signer_keys",
        "Keys that can sign, by where they come from",
        [("files", Origin::File), ("keymanager", Origin::Imported), ("fetched", Origin::Fetched)]
            .map(|(source, origin)| ([("source", source)], of(origin))),
    )?;
    fetched::write(exposition, keystores.fetched())?;
    let kept = keystores.persistence();
    let kept_in = [
        ("sealed", Persistence::Sealed),
        ("fd-store", Persistence::FdStore),
        ("memory", Persistence::Memory),
    ];
    exposition.gauges(
        "bls_signer_imported_keys_kept",
        "Where imported keys outlive the process: 1 for the place in use",
        kept_in.map(|(place, persistence)| ([("place", place)], flag(persistence == kept))),
    )?;
    let KeyFiles { problems, passed_over, barren_sources } = &*keystores.key_files();
    exposition.gauge("bls_signer_key_files_failed", "Key files that gave no key", problems.len())?;
    exposition.gauge("bls_signer_key_files_passed_over", "Files that are no key files", *passed_over)?;
    exposition.gauge(
        "bls_signer_key_sources_without_keys",
        "Configured directories from which no key came",
        barren_sources.len(),
    )?;
    let pool = keystores.kdf_pool();
    exposition.counter("bls_signer_key_derivations", "Keystore decryptions begun", pool.derivations())?;
    exposition.gauge(
        "bls_signer_key_derivation_memory_bytes",
        "Memory that keystore decryptions take at this moment",
        pool.memory_in_use(),
    )
}

fn write_protection(exposition: &mut Exposition<'_>, protection: &Protection) -> fmt::Result {
    let state = match protection {
        Protection::Off(_) => "off",
        Protection::On(ledger) => match ledger.health() {
            Health::Working => "on",
            Health::SecondJudgeAway(_) => "away",
            Health::Broken(_) => "broken",
        },
    };
    exposition.gauges(
        "bls_signer_slashing_protection",
        "State of slashing protection: 1 for the one that holds",
        ["on", "off", "away", "broken"].map(|name| ([("state", name)], flag(name == state))),
    )?;
    let silent = match protection {
        Protection::Off(_) => 0.0,
        Protection::On(ledger) => match ledger.health() {
            Health::Working | Health::Broken(_) => 0.0,
            Health::SecondJudgeAway(silence) => silence.since.elapsed().as_secs_f64(),
        },
    };
    exposition.gauge(
        "bls_signer_shared_ledger_silent_seconds",
        "How long the shared ledger has not answered; 0 where it does, or where there is none",
        silent,
    )?;
    exposition.gauge(
        "bls_signer_watermarks_lifted_at_start",
        "1 where the ledger could not prove that it is the newest, so that all watermarks were lifted",
        flag(protection.lifted().is_some()),
    )?;
    let Attention { raw_roots, far_ahead } = protection.attention();
    exposition.gauges(
        "bls_signer_keys_needing_attention",
        "Keys that do not sign everything until an operator acts, by reason",
        [
            ([("reason", "raw-root-signed")], raw_roots.count() as f64),
            ([("reason", "record-far-ahead")], far_ahead.count() as f64),
        ],
    )
}

fn flag(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// Seconds since 1970; 0 for what lies before.
pub(super) fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}
