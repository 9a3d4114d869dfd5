//! Families about the ledger that several hosts share; none where there is no such ledger.

use std::fmt;

use super::exposition::{Exposition, Scale};
use crate::ledger::Protection;

pub(super) fn write(exposition: &mut Exposition<'_>, protection: &Protection) -> fmt::Result {
    let ledger = match protection {
        Protection::Off(_) => return Ok(()),
        Protection::On(ledger) => ledger,
    };
    let Some(counts) = ledger.shared_counts() else { return Ok(()) };
    exposition.histogram(
        "bls_signer_shared_ledger_batch_seconds",
        "Time until the shared ledger had answered what was asked together",
        Scale::Seconds,
        &counts.durations,
    )?;
    exposition.histogram(
        "bls_signer_shared_ledger_batch_keys",
        "Keys that were asked for together",
        Scale::Count,
        &counts.keys,
    )?;
    exposition.counter(
        "bls_signer_shared_ledger_refused",
        "Blocks and attestations that this host allowed and the shared ledger did not",
        counts.refused.value(),
    )?;
    exposition.counter(
        "bls_signer_shared_ledger_connections",
        "Connections to the shared ledger's database that were made",
        counts.connections.value(),
    )?;
    exposition.counter(
        "bls_signer_shared_ledger_unreplicated",
        "Answers that did not count, because a commit may not have reached a standby",
        counts.unreplicated.value(),
    )?;
    exposition.gauge(
        "bls_signer_shared_ledger_timeline",
        "Timeline of the shared ledger's database, which grows with each promotion; 0 before the first connection",
        i64::from(counts.timeline()),
    )
}
