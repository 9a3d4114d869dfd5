//! `POST /bls-signer/v1/slashing-protection`: what `bls-signer slashing-protection` asks of a running daemon's ledger.
//!
//! Ours, not part of any standard.

use serde::{Deserialize, Serialize};

use crate::ledger::DirectoryId;

/// The route.
pub(crate) const PATH: &str = "/bls-signer/v1/slashing-protection";

/// Something to do with the ledger. `keys` are public keys; none means all.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Order {
    /// Merge a history; watermarks only go up.
    Import {
        /// EIP-3076 JSON, as a string like the Keymanager API's.
        interchange: String,
        keys: Vec<String>,
    },
    /// Write history out.
    Export { keys: Vec<String> },
    /// Say what is on record.
    Status { keys: Vec<String> },
    /// Lift watermarks; far beyond the present only where that is said to be meant.
    Raise {
        slot: Option<u64>,
        epoch: Option<u64>,
        keys: Vec<String>,
        #[serde(default)]
        far_ahead: bool,
    },
    /// Stop at a slot or an epoch; neither removes the stop.
    HighWatermark { slot: Option<u64>, epoch: Option<u64> },
}

/// What the route takes: an order, and the ledger that it is for, if whoever gives it knows which that is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The directory of the ledger. Without it, the order is for whichever ledger the daemon has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ledger: Option<DirectoryId>,
    #[serde(flatten)]
    pub(crate) order: Order,
}

/// What came of an [`Order`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "snake_case")]
pub(crate) enum Done {
    Import {
        /// So many keys' histories were merged.
        merged: usize,
        failed: Vec<FailedKey>,
    },
    Export {
        /// EIP-3076 JSON.
        interchange: String,
        /// How many of the keys have had raw roots signed, and some of their names: that is in no history.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        raw_roots: Option<SomeKeys>,
    },
    Status(ShownStatus),
    Raise {
        /// So many keys' watermarks went up.
        raised: usize,
        /// Keys whose blocks and attestations stay refused, because raw roots were signed with them and not both
        /// watermarks were lifted to the present.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        still_refused: Option<SomeKeys>,
        /// The present slot and epoch as decimal strings, where the network's genesis is known.
        #[serde(default)]
        present: Option<[String; 2]>,
    },
    HighWatermark,
}

/// Keys, the first few by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SomeKeys {
    pub(crate) count: usize,
    /// As text: the names, and how many more there are.
    pub(crate) names: String,
}

/// A key whose history could not be merged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FailedKey {
    pub(crate) public_key: String,
    pub(crate) reason: String,
}

/// The ledger's state, numbers as decimal strings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShownStatus {
    pub(crate) genesis_validators_root: Option<String>,
    pub(crate) high_watermark: ShownHighWatermark,
    pub(crate) keys: Vec<ShownKey>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShownHighWatermark {
    pub(crate) slot: Option<String>,
    pub(crate) epoch: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShownKey {
    pub(crate) public_key: String,
    pub(crate) deleted: bool,
    /// Raw roots were signed with it, so its blocks and attestations are refused.
    #[serde(default)]
    pub(crate) raw_root_signed: bool,
    /// So many years its record lies ahead of the clock, if that is implausible.
    #[serde(default)]
    pub(crate) years_ahead: Option<u64>,
    pub(crate) block_slot: Option<String>,
    pub(crate) source_epoch: Option<String>,
    pub(crate) target_epoch: Option<String>,
}
