//! Keys go: stop signing, forbid it durably, and only then hand out the history.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Outcome, Status, in_order, unreadable};
use crate::api::Signer;
use crate::api::problem::Problem;
use crate::bls::PublicKey;
use crate::http::response::ApiResponse;
use crate::ledger::{Departed, Departure, Farewell, Fault};
use crate::text::{self, chain};

/// `DELETE {pubkeys}`: one status for each key, in their order, and the history as EIP-3076 interchange.
pub(crate) async fn delete(signer: &Signer, body: &[u8]) -> Result<ApiResponse, Problem> {
    let request: DeleteRequest = text::json(body).map_err(|error| unreadable(&error))?;
    let _turn = signer.keystores.turn().await;

    let mut seen = HashSet::new();
    let mut departures = Vec::new();
    let mut outcomes = Vec::with_capacity(request.pubkeys.len());
    for text in &request.pubkeys {
        let Ok(public_key) = text.parse::<PublicKey>() else {
            outcomes.push(Outcome::Known(Status::error(NO_PUBLIC_KEY)));
            continue;
        };
        let key = signer.keystores.ring().key(&public_key);
        if key.as_ref().is_some_and(|key| key.is_readonly()) {
            outcomes.push(Outcome::Known(Status::error(READONLY)));
            continue;
        }
        // A second mention in one request finds the key gone.
        let active = key.is_some() && seen.insert(public_key);
        outcomes.push(Outcome::Asked(departures.len()));
        departures.push(Departure { public_key, active });
    }
    let (departed, slashing_protection) = take_out(signer, departures).await;
    Ok(ApiResponse::json(&DeleteReply { data: in_order(outcomes, &departed), slashing_protection }))
}

/// Takes the keys out of the ring, then forbids signing durably. When the ledger fails they stay out all the same: a key
/// that somebody wanted gone must not sign on.
async fn take_out(signer: &Signer, departures: Vec<Departure>) -> (Vec<Status>, String) {
    let leaving: Vec<PublicKey> = departures
        .iter()
        .filter(|departure| departure.active)
        .map(|departure| departure.public_key)
        .collect();
    signer.keystores.dismiss(&leaving);
    let farewell = signer.ledger.delete(departures.clone()).await;
    for public_key in &leaving {
        tracing::info!(%public_key, "key deleted");
    }
    match farewell {
        Ok(Farewell { keys, raw_root_signed, interchange }) => {
            let statuses = keys.into_iter().zip(&departures).map(|(departed, departure)| {
                let note = raw_root_signed.contains(&departure.public_key).then_some(RAW_ROOTS);
                Status::with_notes(status(departed), note.into_iter())
            });
            (statuses.collect(), interchange)
        }
        Err(Fault::Off) => {
            let statuses = departures
                .iter()
                .map(|departure| Status::of(if departure.active { "deleted" } else { "not_found" }));
            (statuses.collect(), EMPTY_INTERCHANGE.to_owned())
        }
        Err(fault) => {
            tracing::error!(
                fault = chain(&fault),
                "deleted keys could not be recorded: they do not sign any more in this process"
            );
            // All that are named: of a key that left the ring before, a sealed keystore may still be on disk.
            let named: Vec<_> = departures.iter().map(|departure| departure.public_key).collect();
            let message = if signer.keystores.note_deletion(&named) { NOTED } else { NOT_RECORDED };
            let statuses = departures.iter().map(|_| Status::error(message));
            (statuses.collect(), EMPTY_INTERCHANGE.to_owned())
        }
    }
}

#[derive(Deserialize)]
struct DeleteRequest {
    pubkeys: Vec<String>,
}

#[derive(Serialize)]
struct DeleteReply {
    data: Vec<Status>,
    /// EIP-3076 JSON as a string, as the standard has it.
    slashing_protection: String,
}

fn status(departed: Departed) -> &'static str {
    match departed {
        Departed::Deleted => "deleted",
        Departed::NotActive => "not_active",
        Departed::NotFound => "not_found",
    }
}

const NO_PUBLIC_KEY: &str = "this is no BLS public key: 96 hexadecimal digits are expected";
const READONLY: &str = "the key comes from a file of this host: take the file away and reload the signer";
const RAW_ROOTS: &str = "raw roots were signed with the key, and what they said is not in its history: let another signer use it only \
                         with watermarks at the present, or above it";
const NOTED: &str = "the ledger failed, so there is no history to hand out: the key does not sign any more, now and after a \
                     restart; see the signer's log";
const NOT_RECORDED: &str = "the deletion could not be recorded: the key does not sign any more, but may come back with \
                            a restart; see the signer's log";

/// EIP-3076 without history; without `genesis_validators_root` no reader takes it for a chain's.
const EMPTY_INTERCHANGE: &str = r#"{"metadata":{"interchange_format_version":"5"},"data":[]}"#;
