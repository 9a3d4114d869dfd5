//! `POST /bls-signer/v1/slashing-protection`: what `bls-signer slashing-protection` asks of a running daemon's ledger.
//!
//! Ours, not part of any standard.

use serde::{Deserialize, Serialize};

use crate::ledger::DirectoryId;

/// The route.
pub(crate) const PATH: &str = "/bls-signer/v1/slashing-protection";

/// One row an order and what answers it: the order's name on the wire is its type's.
macro_rules! orders {
    ($($(#[$doc:meta])* $order:ident => $answer:ty;)*) => {
        /// Something to do with the ledger.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(tag = "order", rename_all = "snake_case")]
        pub(crate) enum Order {
            $($(#[$doc])* $order($order),)*
        }

        /// What came of an [`Order`].
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(tag = "done", rename_all = "snake_case")]
        pub(crate) enum Done {
            $($order($answer),)*
        }

        $(
            impl From<$order> for Order {
                fn from(order: $order) -> Self {
                    Self::$order(order)
                }
            }

            impl Answered for $order {
                type Answer = $answer;

                fn answer(done: Done) -> Option<$answer> {
                    if let Done::$order(answer) = done { Some(answer) } else { None }
                }
            }
        )*
    };
}

orders! {
    /// Merge a history; watermarks only go up.
    Import => ImportAnswer;
    /// Write history out.
    Export => ExportAnswer;
    /// Say what is on record.
    Status => ShownStatus;
    /// Say what is on record of a key, and what would be refused.
    Explain => Explanation;
    /// Lift watermarks; far beyond the present only where that is said to be meant.
    Raise => RaiseAnswer;
    /// Stop at a slot or an epoch; neither removes the stop.
    HighWatermark => ();
    /// Write all of it out, the sealed keys too.
    Backup => BackupAnswer;
}

/// An order with the type of its answer.
pub(crate) trait Answered: Into<Order> {
    type Answer;

    /// The answer to such an order; `None` if it is one to another order.
    fn answer(done: Done) -> Option<Self::Answer>;
}

/// See [`Order::Import`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Import {
    /// EIP-3076 JSON, as a string like the Keymanager API's.
    pub(crate) interchange: String,
    /// Public keys; none means all.
    pub(crate) keys: Vec<String>,
}

/// See [`Order::Export`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Export {
    /// Public keys; none means all.
    pub(crate) keys: Vec<String>,
}

/// See [`Order::Status`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Status {
    /// Public keys; none means all.
    pub(crate) keys: Vec<String>,
}

/// See [`Order::Explain`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explain {
    /// The public key.
    pub(crate) key: String,
    /// Of a block. Neither this nor an epoch means the present.
    pub(crate) slot: Option<u64>,
    /// The target of an attestation.
    pub(crate) epoch: Option<u64>,
}

/// See [`Order::Raise`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Raise {
    pub(crate) slot: Option<u64>,
    pub(crate) epoch: Option<u64>,
    /// Public keys; none means all.
    pub(crate) keys: Vec<String>,
    #[serde(default)]
    pub(crate) far_ahead: bool,
}

/// See [`Order::HighWatermark`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HighWatermark {
    pub(crate) slot: Option<u64>,
    pub(crate) epoch: Option<u64>,
}

/// See [`Order::Backup`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backup {}

/// What the route takes: an order, and the ledger that it is for, if whoever gives it knows which that is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The directory of the ledger. Without it, the order is for whichever ledger the daemon has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ledger: Option<DirectoryId>,
    #[serde(flatten)]
    pub(crate) order: Order,
}

/// What came of an [`Import`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImportAnswer {
    /// So many keys' histories were merged.
    pub(crate) merged: usize,
    pub(crate) failed: Vec<FailedKey>,
}

/// What came of an [`Export`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExportAnswer {
    /// EIP-3076 JSON.
    pub(crate) interchange: String,
    /// How many of the keys have had raw roots signed, and some of their names: that is in no history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) raw_roots: Option<SomeKeys>,
}

/// What came of a [`Backup`], and what a backup file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BackupAnswer {
    pub(crate) genesis_validators_root: Option<String>,
    pub(crate) high_watermark: HighWatermark,
    /// EIP-3076 JSON.
    pub(crate) interchange: String,
    /// Public keys that were deleted.
    pub(crate) deleted: Vec<String>,
    /// Public keys with which raw roots were signed.
    pub(crate) raw_root_signed: Vec<String>,
    pub(crate) keystores: Vec<SealedKey>,
}

/// An imported key, under the seal secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SealedKey {
    pub(crate) public_key: String,
    /// EIP-2335 JSON.
    pub(crate) keystore: String,
    pub(crate) derivation_path: Option<String>,
}

/// What came of a [`Raise`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RaiseAnswer {
    /// So many keys' watermarks went up.
    pub(crate) raised: usize,
    /// Keys whose blocks and attestations stay refused, because raw roots were signed with them and not both
    /// watermarks were lifted to the present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) still_refused: Option<SomeKeys>,
    /// The present slot and epoch as decimal strings, where the network's genesis is known.
    #[serde(default)]
    pub(crate) present: Option<[String; 2]>,
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
    /// What the daemon's start has lifted, where nothing showed that the ledger is the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lifted_at_start: Option<ShownLift>,
    /// Why the next start will lift: nothing shows that the ledger is the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unproven: Option<String>,
    /// What the counter said when the ledger was opened, if one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tpm_counter: Option<String>,
}

/// Watermarks of all keys that were lifted to the present of that time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShownLift {
    pub(crate) slot: String,
    pub(crate) epoch: String,
    pub(crate) reason: String,
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

/// What came of an [`Explain`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Explanation {
    /// Whether the ledger has a row of the key.
    pub(crate) known: bool,
    pub(crate) key: ShownKey,
    pub(crate) high_watermark: ShownHighWatermark,
    /// The present slot and epoch as decimal strings, where the network's genesis is known.
    pub(crate) present: Option<[String; 2]>,
    /// When the recorded block's slot began, likewise.
    pub(crate) block_since: Option<String>,
    /// When the recorded target epoch began, likewise.
    pub(crate) target_since: Option<String>,
    /// Whether a second judge could refuse more, who was not asked.
    #[serde(default)]
    pub(crate) second_judge_not_asked: bool,
    pub(crate) judged: Vec<ShownJudgement>,
}

/// What would come of a message that is not the one on record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShownJudgement {
    pub(crate) message: String,
    pub(crate) refusal: Option<ShownRefusal>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShownRefusal {
    /// By its name in counters and in the audit.
    pub(crate) rule: String,
    pub(crate) reason: String,
    pub(crate) way_out: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_has_its_name_and_nothing_that_is_unknown() {
        let order = json!({"order": "high_watermark", "slot": 5, "epoch": null});
        let request: Request = serde_json::from_value(order.clone()).unwrap();
        assert!(matches!(request.order, Order::HighWatermark(HighWatermark { slot: Some(5), epoch: None })));
        assert_eq!(serde_json::to_value(&request).unwrap(), order);
        for wrong in [
            json!({"order": "high_watermark", "slot": 5, "epoch": null, "keys": []}),
            json!({"order": "raise", "keys": [], "slots": 5}),
            json!({"order": "lower", "keys": []}),
            json!({"keys": []}),
        ] {
            assert!(serde_json::from_value::<Request>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_answer_to_another_order_is_none() {
        let done = json!({"done": "high_watermark"});
        assert_eq!(serde_json::to_value(Done::HighWatermark(())).unwrap(), done);
        let read = || serde_json::from_value::<Done>(done.clone()).unwrap();
        assert_eq!(HighWatermark::answer(read()), Some(()));
        assert!(Export::answer(read()).is_none());
    }
}
