//! What the ledger knows, as a table or as JSON.

use std::fmt;

use crate::wire::slashing_protection::{ShownHighWatermark, ShownKey, ShownLift, ShownStatus};

/// The state as an object.
pub(super) fn as_json(status: &ShownStatus) -> String {
    // Strings and lists of strings always have a JSON form.
    serde_json::to_string_pretty(status).unwrap_or_default()
}

/// A line for each thing that holds for all keys, then one for each key. `place` says where the ledger is.
pub(super) fn table(status: &ShownStatus, place: impl fmt::Display) -> String {
    let deleted = status.keys.iter().filter(|key| key.deleted).count();
    let chain = status.genesis_validators_root.as_deref().unwrap_or("not known yet");
    let ShownHighWatermark { slot, epoch } = &status.high_watermark;
    let mut lines = vec![
        format!("ledger                   {place}"),
        format!("genesis validators root  {chain}"),
        format!("high watermark           slot {}, epoch {}", or_none(slot), or_none(epoch)),
        format!("keys                     {} ({deleted} of them deleted)", status.keys.len()),
    ];
    if let Some(counter) = &status.tpm_counter {
        lines.push(format!("counter                  {counter}"));
    }
    if let Some(ShownLift { slot, epoch, reason }) = &status.lifted_at_start {
        lines.push(format!(
            "lifted at the start      all keys, to slot {slot} and target epoch {epoch}: nothing showed that the \
             ledger is the newest\n{:25}({reason})",
            ""
        ));
    }
    if let Some(reason) = &status.unproven {
        lines.push(format!(
            "unproven                 a daemon's start lifts all keys to the present, or ends (--unproven): nothing \
             shows that\n{:25}the ledger is the newest ({reason})",
            ""
        ));
    }
    let raw_roots = status.keys.iter().filter(|key| key.raw_root_signed).count();
    if raw_roots > 0 {
        lines.push(format!(
            "raw roots                signed with {raw_roots} keys, whose blocks and attestations are refused until\n\
             {:25}'raise' lifts their slot and epoch to the present",
            ""
        ));
    }
    let far_ahead = status.keys.iter().filter(|key| key.years_ahead.is_some()).count();
    if far_ahead > 0 {
        lines.push(format!(
            "far ahead                the records of {far_ahead} keys, which sign only what lies above them, if this \
             host's\n{:25}clock is right: docs/slashing-protection.md, \"A record far ahead\"",
            ""
        ));
    }
    if !status.keys.is_empty() {
        lines.push(format!(
            "{:98} {:>12} {:>10} {:>10}  state",
            "public key", "block slot", "source", "target"
        ));
    }
    lines.extend(status.keys.iter().map(|key| {
        let ShownKey {
            public_key,
            deleted,
            raw_root_signed,
            years_ahead,
            block_slot,
            source_epoch,
            target_epoch,
        } = key;
        let (slot, source, target) = (or_none(block_slot), or_none(source_epoch), or_none(target_epoch));
        let state = match (*deleted, *raw_root_signed) {
            (false, false) => "active",
            (false, true) => "raw roots only",
            (true, false) => "deleted",
            (true, true) => "deleted, raw roots",
        };
        let years = years_ahead.map(|years| format!(", {years} YEARS AHEAD")).unwrap_or_default();
        format!("{public_key:98} {slot:>12} {source:>10} {target:>10}  {state}{years}")
    }));
    lines.join("\n")
}

fn or_none(number: &Option<String>) -> &str {
    number.as_deref().unwrap_or("none")
}

/// What a new high watermark means.
pub(super) fn describe(slot: Option<u64>, epoch: Option<u64>) -> String {
    match (slot, epoch) {
        (None, None) => "there is no high watermark any more".to_owned(),
        (Some(slot), None) => format!("no block is signed at or beyond slot {slot}"),
        (None, Some(epoch)) => format!("no attestation is signed for a target at or beyond epoch {epoch}"),
        (Some(slot), Some(epoch)) => format!(
            "no block is signed at or beyond slot {slot}, and no attestation for a target at or beyond epoch {epoch}"
        ),
    }
}
