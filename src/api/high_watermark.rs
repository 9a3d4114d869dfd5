//! `GET /api/v1/eth2/highWatermark`: where this signer was told to stop, as Web3Signer answers it.

use serde::Serialize;

use super::problem::Problem;
use crate::clients::Requester;
use crate::http::response::ApiResponse;
use crate::ledger::{HighWatermark, Protection};
use crate::signer::Signer;

/// Answers any client `{"epoch": "…", "slot": "…"}`, each only if it is set. 404 when slashing protection is off.
pub(crate) async fn read(signer: &Signer, requester: Requester<'_>) -> Result<ApiResponse, Problem> {
    signer.grant(requester)?;
    let Protection::On(ledger) = &signer.protection else { return Err(Problem::protection_off()) };
    let HighWatermark { slot, epoch } = ledger.high_watermark().await?;
    Ok(ApiResponse::json(&Wire {
        epoch: epoch.map(|epoch| epoch.to_string()),
        slot: slot.map(|slot| slot.to_string()),
    }))
}

#[derive(Serialize)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<String>,
}
