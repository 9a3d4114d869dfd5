//! Settings of the ledger out of the program's, for the daemon and for the commands that open the ledger themselves.

use std::sync::Arc;

use crate::config::{Settings, StateFs};
use crate::ledger::postgres::SharedLedger;
use crate::ledger::{self, Counting, FileSystems, Missing, OpenError, Unproven};
use crate::network::{GenesisClock, Network};

/// The same beside the ledger that other hosts share, where there is one.
///
/// # Errors
/// What leads to the shared ledger cannot be used. Whether it can be reached does not matter yet.
pub(crate) fn with_shared(
    settings: &Settings,
    network: &Network,
    missing: Missing,
) -> Result<ledger::Settings, OpenError> {
    let alone = of(settings, Some(network), missing);
    let Some(shared) = &settings.ledger.shared else { return Ok(alone) };
    let ledger = SharedLedger::start(shared, network.genesis_validators_root(), &settings.ledger.state_dir);
    let ledger = ledger.map_err(|error| OpenError::SharedLedger(Box::new(error)))?;
    Ok(ledger::Settings { second_judge: Some(ledger), ..alone })
}

/// For who only looks, or changes it by command. Without a network the ledger is opened whatever chain it is of, and
/// nothing is known of the time there.
pub(crate) fn of(settings: &Settings, network: Option<&Network>, missing: Missing) -> ledger::Settings {
    let defaults = ledger::Settings::new(settings.ledger.state_dir.clone());
    ledger::Settings {
        missing,
        unproven: Unproven::Leave,
        anchors: settings.ledger.anchors.clone(),
        counting: match &settings.ledger.tpm_counter {
            Some(counter) => Counting::On(Arc::new(counter.clone())),
            None => Counting::Off,
        },
        file_systems: match settings.ledger.state_fs {
            StateFs::Local => FileSystems::Local,
            StateFs::Any => FileSystems::Any,
        },
        raw_roots: settings.raw_roots,
        genesis_validators_root: network.and_then(Network::genesis_validators_root),
        clock: network.and_then(GenesisClock::of),
        refuse_far_future: settings.refuse_far_future,
        order_timeout: settings.signing_timeout.unwrap_or(defaults.order_timeout),
        ..defaults
    }
}
