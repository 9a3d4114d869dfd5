//! Settings of the ledger out of the program's, for the daemon and for the commands that open the ledger themselves.

use crate::config::{Settings, StateFs};
use crate::ledger::{self, FileSystems, Missing, Unproven};
use crate::network::{GenesisClock, Network};

/// For who only looks, or changes it by command. Without a network the ledger is opened whatever chain it is of, and
/// nothing is known of the time there.
pub(crate) fn of(settings: &Settings, network: Option<&Network>, missing: Missing) -> ledger::Settings {
    let defaults = ledger::Settings::new(settings.ledger.state_dir.clone());
    ledger::Settings {
        missing,
        unproven: Unproven::Leave,
        anchors: settings.ledger.anchors.clone(),
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
