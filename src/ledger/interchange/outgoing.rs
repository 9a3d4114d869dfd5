//! What is written: for each key its highest block and its highest attestation.

use serde::Serialize;

use super::VERSION;
use crate::bls::PublicKey;
use crate::ledger::rules::Watermark;
use crate::primitives::{Root, SigningRoot};

/// Writes the interchange file of these keys.
///
/// As long as no chain is known the file lacks `genesis_validators_root`, which every reader will notice.
pub(in crate::ledger) fn write(
    chain: Option<Root>,
    keys: impl Iterator<Item = (PublicKey, Watermark)>,
) -> String {
    let file = OutFile {
        metadata: OutMetadata {
            interchange_format_version: VERSION,
            genesis_validators_root: chain.map(|root| root.to_string()),
        },
        data: keys.map(OutHistory::from).collect(),
    };
    // Strings and lists of strings always have a JSON form.
    serde_json::to_string(&file).unwrap_or_default()
}

#[derive(Serialize)]
struct OutFile {
    metadata: OutMetadata,
    data: Vec<OutHistory>,
}

#[derive(Serialize)]
struct OutMetadata {
    interchange_format_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    genesis_validators_root: Option<String>,
}

#[derive(Serialize)]
struct OutHistory {
    pubkey: String,
    signed_blocks: Vec<OutBlock>,
    signed_attestations: Vec<OutAttestation>,
}

impl From<(PublicKey, Watermark)> for OutHistory {
    fn from((public_key, watermark): (PublicKey, Watermark)) -> Self {
        let text = |root: SigningRoot| root.to_string();
        Self {
            pubkey: public_key.to_string(),
            signed_blocks: watermark
                .block
                .into_iter()
                .map(|block| OutBlock {
                    slot: block.slot.to_string(),
                    signing_root: block.signing_root.map(text),
                })
                .collect(),
            signed_attestations: watermark
                .attestation
                .into_iter()
                .map(|attestation| OutAttestation {
                    source_epoch: attestation.source.to_string(),
                    target_epoch: attestation.target.to_string(),
                    signing_root: attestation.signing_root.map(text),
                })
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct OutBlock {
    slot: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_root: Option<String>,
}

#[derive(Serialize)]
struct OutAttestation {
    source_epoch: String,
    target_epoch: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_root: Option<String>,
}
