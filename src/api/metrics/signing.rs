//! Families about signing requests: how many, how they ended, how long they took.

use std::fmt;

use super::exposition::{Exposition, Scale};
use crate::ledger::Protection;
use crate::metrics::Counter;
use crate::signer::{OutcomeKind, Signer, SigningCounts};

pub(super) fn write(exposition: &mut Exposition<'_>, signer: &Signer) -> fmt::Result {
    let counts = signer.outcomes.counts();
    write_outcomes(exposition, counts)?;
    write_durations(exposition, counts)?;
    exposition.counters(
        "bls_signer_hash_cache_lookups",
        "Signing roots that were hashed already, and those that were not",
        [
            ([("result", "hit")], signer.pool.hashes().hits()),
            ([("result", "miss")], signer.pool.hashes().misses()),
        ],
    )?;
    match &signer.protection {
        Protection::Off(_) => Ok(()),
        Protection::On(ledger) => {
            exposition.histogram(
                "bls_signer_ledger_commit_seconds",
                "Time to put records of slashing protection on disk",
                Scale::Seconds,
                &ledger.commits().durations,
            )?;
            exposition.histogram(
                "bls_signer_ledger_commit_records",
                "Records that shared a commit",
                Scale::Count,
                &ledger.commits().records,
            )?;
            exposition.gauge(
                "bls_signer_ledger_waiting_records",
                "Records that wait for the next commit",
                ledger.waiting_records(),
            )
        }
    }
}

fn write_outcomes(exposition: &mut Exposition<'_>, counts: &SigningCounts) -> fmt::Result {
    let of_duties = counts.by_duty.iter().flat_map(|(group, of_duty)| {
        let outcomes = of_duty.outcomes.iter().filter(|(outcome, _)| *outcome != OutcomeKind::NoDuty);
        outcomes.map(move |(outcome, count)| {
            ([("duty", group.name()), ("outcome", outcome.name())], count.value())
        })
    });
    let malformed = [("duty", "none"), ("outcome", OutcomeKind::NoDuty.name())];
    exposition.counters(
        "bls_signer_requests",
        "Signing requests by duty and outcome, one for each key of a batch",
        of_duties.chain([(malformed, counts.malformed.value())]),
    )?;
    let by_rule = counts.refusals.iter().map(|(rule, count)| ([("rule", rule.name())], count.value()));
    let others = [
        ([("rule", "malformed")], counts.malformed.value()),
        ([("rule", "unknown-key")], counts.ended(OutcomeKind::UnknownKey)),
        ([("rule", "foreign-key")], counts.ended(OutcomeKind::ForeignKey)),
        ([("rule", "policy")], counts.ended(OutcomeKind::Forbidden)),
    ];
    exposition.counters("bls_signer_refusals", "Signing requests refused, by rule", by_rule.chain(others))?;
    let last = counts
        .by_duty
        .iter()
        .filter_map(|(group, of_duty)| Some(([("duty", group.name())], of_duty.last_signature()? as f64)));
    exposition.gauges(
        "bls_signer_last_signature_timestamp_seconds",
        "When a duty was signed last; absent where none was since the start",
        last,
    )
}

/// Histograms of duties that never came are left out: a validator client asks for half of them at most.
fn write_durations(exposition: &mut Exposition<'_>, counts: &SigningCounts) -> fmt::Result {
    let seen = || counts.by_duty.iter().filter(|(_, of_duty)| of_duty.outcomes.iter().any(is_counted));
    exposition.histograms(
        "bls_signer_request_seconds",
        "Time from a signing request to its answer",
        Scale::Seconds,
        seen().map(|(group, of_duty)| ([("duty", group.name())], &of_duty.whole)),
    )?;
    let stages = seen().flat_map(|(group, of_duty)| {
        let stages = of_duty.stages.iter();
        stages.map(move |(stage, times)| ([("duty", group.name()), ("stage", stage.name())], times))
    });
    exposition.histograms(
        "bls_signer_stage_seconds",
        "Time of each step of a signature: parse, judge, multiply, wait for the record",
        Scale::Seconds,
        stages,
    )?;
    if !counts.knows_slots() {
        return Ok(());
    }
    exposition.histograms(
        "bls_signer_answered_into_slot_seconds",
        "Time since the slot began when a signature left",
        Scale::Seconds,
        seen().map(|(group, of_duty)| ([("duty", group.name())], &of_duty.into_slot)),
    )
}

fn is_counted((_, count): (OutcomeKind, &Counter)) -> bool {
    count.value() > 0
}
