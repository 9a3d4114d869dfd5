//! `POST /bls-signer/v1/slashing-protection`: what `bls-signer slashing-protection` asks of the ledger.
//!
//! A running daemon holds the ledger's file for itself, so the command sends its [`Order`] to the daemon's keymanager
//! listener; without a daemon it carries the same order out on the file. Ours, not part of any standard.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::blocking;
use crate::bls::{BlsError, PublicKey};
use crate::http::response::ApiResponse;
use crate::ledger::{
    self, DirectoryId, Exported, Fault, GenesisClock, HighWatermark, ImportRefusal, Interchange,
    InterchangeError, KeyNames, KeyStatus, Ledger, Raised, Selection,
};
use crate::network::Network;
use crate::primitives::{Epoch, Slot};
use crate::signer::Signer;
use crate::text::{self, Bounded};

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

impl SomeKeys {
    pub(crate) fn of(names: &KeyNames) -> Option<Self> {
        (!names.is_empty()).then(|| Self { count: names.count(), names: names.to_string() })
    }
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

/// Answers the [`Done`] of the [`Request`] in `body`.
pub(crate) async fn answer(signer: &Signer, body: &[u8]) -> Result<ApiResponse, Problem> {
    let Request { ledger, order } = blocking::in_place_if_large(body.len(), || text::json(body))
        .map_err(|error| Problem::bad_request(format!("the body is no order for the ledger: {error}")))?;
    let own = signer.ledger.opened().map(|opened| opened.directory);
    if let (Some(meant), Some(own)) = (ledger, own) {
        if meant != own {
            return Err(OrderError::OtherLedger.into());
        }
    }
    Ok(ApiResponse::json(&carry_out(&signer.ledger, &signer.network, order).await?))
}

/// Does it, on the ledger of this network's validators. What is answered is durable.
pub(crate) async fn carry_out(ledger: &Ledger, network: &Network, order: Order) -> Result<Done, OrderError> {
    match order {
        Order::Import { interchange, keys } => {
            let interchange = blocking::in_place_if_large(interchange.len(), || {
                Interchange::parse(interchange.as_bytes())
            })?;
            let imported = ledger.import(interchange, selection(&keys)?).await??;
            let failed = imported
                .failed
                .into_iter()
                .map(|(public_key, reason)| FailedKey { public_key: public_key.to_string(), reason });
            Ok(Done::Import { merged: imported.merged, failed: failed.collect() })
        }
        Order::Export { keys } => {
            let Exported { interchange, raw_roots } = ledger.export(selection(&keys)?).await?;
            Ok(Done::Export { interchange, raw_roots: SomeKeys::of(&raw_roots) })
        }
        Order::Status { keys } => Ok(Done::Status(ledger.status(selection(&keys)?).await?.into())),
        Order::Raise { slot, epoch, keys, far_ahead } => {
            if !far_ahead {
                refuse_far_ahead(network, SystemTime::now(), slot, epoch)?;
            }
            let keys = selection(&keys)?;
            if matches!(keys, Selection::All) && ledger.status(Selection::All).await?.keys.is_empty() {
                return Err(OrderError::NoKeys);
            }
            let Raised { raised, still_refused, present } =
                ledger.raise(slot.map(Slot), epoch.map(Epoch), keys).await?;
            Ok(Done::Raise {
                raised,
                still_refused: SomeKeys::of(&still_refused),
                present: present.map(|(slot, epoch)| [slot.to_string(), epoch.to_string()]),
            })
        }
        Order::HighWatermark { slot, epoch } => {
            let high_watermark = HighWatermark { slot: slot.map(Slot), epoch: epoch.map(Epoch) };
            ledger.set_high_watermark(high_watermark).await?;
            Ok(Done::HighWatermark)
        }
    }
}

/// Nothing lowers a watermark again: a slot that was given for an epoch would lock the keys for decades.
fn refuse_far_ahead(
    network: &Network,
    now: SystemTime,
    slot: Option<u64>,
    epoch: Option<u64>,
) -> Result<(), OrderError> {
    let (Some(clock), Some(then)) = (GenesisClock::of(network), now.checked_add(MAX_RAISE_AHEAD)) else {
        return Ok(());
    };
    let (present, horizon) = (clock.slot_at(now), clock.slot_at(then));
    let refused = |what, number| OrderError::FarAhead {
        what,
        number,
        network: network.name().to_owned(),
        slot: present,
        epoch: network.epoch_at(present),
    };
    match (slot, epoch) {
        (Some(slot), _) if Slot(slot) > horizon => Err(refused("slot", slot)),
        (_, Some(epoch)) if Epoch(epoch) > network.epoch_at(horizon) => Err(refused("epoch", epoch)),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

fn selection(keys: &[String]) -> Result<Selection, OrderError> {
    if keys.is_empty() {
        return Ok(Selection::All);
    }
    let parse = |text: &String| {
        text.parse::<PublicKey>().map_err(|source| OrderError::Key { text: text.clone(), source })
    };
    keys.iter().map(parse).collect::<Result<HashSet<_>, _>>().map(Selection::Only)
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error(transparent)]
    Interchange(#[from] InterchangeError),
    #[error(transparent)]
    Import(#[from] ImportRefusal),
    #[error("'{}' is no public key", Bounded(.text))]
    Key { text: String, source: BlsError },
    #[error(
        "{what} {number} is far ahead: on {network} it is slot {slot}, epoch {epoch} now. Until then the keys could not sign, \
         and nothing lowers a watermark again; if that is meant, say --yes"
    )]
    FarAhead { what: &'static str, number: u64, network: String, slot: Slot, epoch: Epoch },
    #[error("this daemon's ledger is another one than the order is for, so nothing was done")]
    OtherLedger,
    #[error("the ledger knows no key yet, so nothing was raised: name the keys, or import their history")]
    NoKeys,
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<ledger::Status> for ShownStatus {
    fn from(status: ledger::Status) -> Self {
        Self {
            genesis_validators_root: status.genesis_validators_root.map(|root| root.to_string()),
            high_watermark: ShownHighWatermark {
                slot: status.high_watermark.slot.map(|slot| slot.to_string()),
                epoch: status.high_watermark.epoch.map(|epoch| epoch.to_string()),
            },
            keys: status.keys.iter().map(ShownKey::from).collect(),
        }
    }
}

impl From<&KeyStatus> for ShownKey {
    fn from(key: &KeyStatus) -> Self {
        let attestation = key.watermark.attestation;
        Self {
            public_key: key.public_key.to_string(),
            deleted: key.deleted,
            raw_root_signed: key.raw_root_signed,
            years_ahead: key.years_ahead,
            block_slot: key.watermark.block.map(|block| block.slot.to_string()),
            source_epoch: attestation.map(|attestation| attestation.source.to_string()),
            target_epoch: attestation.map(|attestation| attestation.target.to_string()),
        }
    }
}

/// Room for a hand-over that is planned ahead.
const MAX_RAISE_AHEAD: Duration = Duration::from_secs(7 * 86_400);
