//! Keys go: stop signing, forbid it durably, and only then hand out the history.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Outcome, Status, in_order, unreadable};
use crate::api::problem::Problem;
use crate::bls::PublicKey;
use crate::http::response::ApiResponse;
use crate::ledger::{Deletion, DeletionReport, DeletionStatus, Fault};
use crate::signer::Signer;
use crate::text::{self, chain};

/// `DELETE {pubkeys}`: one status for each key, in their order, and the history as EIP-3076 interchange.
pub(crate) async fn delete(signer: &Signer, body: &[u8]) -> Result<ApiResponse, Problem> {
    let request: DeleteRequest = text::json(body).map_err(|error| unreadable(&error))?;
    let _turn = signer.keystores.turn().await;

    let mut seen = HashSet::new();
    let mut deletions = Vec::new();
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
        outcomes.push(Outcome::Asked(deletions.len()));
        deletions.push(Deletion { public_key, active });
    }
    let (deleted, slashing_protection) = take_out(signer, deletions).await;
    Ok(ApiResponse::json(&DeleteReply { data: in_order(outcomes, &deleted), slashing_protection }))
}

/// Takes the keys out of the ring, then forbids signing durably. When the ledger fails they stay out all the same: a key
/// that somebody wanted gone must not sign on.
async fn take_out(signer: &Signer, deletions: Vec<Deletion>) -> (Vec<Status>, String) {
    let leaving: Vec<PublicKey> =
        deletions.iter().filter(|deletion| deletion.active).map(|deletion| deletion.public_key).collect();
    signer.keystores.dismiss(&leaving);
    let report = signer.ledger.delete(deletions.clone()).await;
    for public_key in &leaving {
        tracing::info!(%public_key, "key deleted");
    }
    match report {
        Ok(DeletionReport { keys, raw_root_signed, interchange }) => {
            let statuses = keys.into_iter().zip(&deletions).map(|(deleted, deletion)| {
                let note = raw_root_signed.contains(&deletion.public_key).then_some(RAW_ROOTS);
                Status::with_notes(status(deleted), note.into_iter())
            });
            (statuses.collect(), interchange)
        }
        Err(Fault::Off) => {
            let statuses = deletions
                .iter()
                .map(|deletion| Status::of(if deletion.active { "deleted" } else { "not_found" }));
            (statuses.collect(), EMPTY_INTERCHANGE.to_owned())
        }
        Err(fault) => {
            tracing::error!(
                fault = chain(&fault),
                "deleted keys could not be recorded: they do not sign any more in this process"
            );
            // All that are named: of a key that left the ring before, a sealed keystore may still be on disk.
            let named: Vec<_> = deletions.iter().map(|deletion| deletion.public_key).collect();
            let message = if signer.keystores.note_deletion(&named) { NOTED } else { NOT_RECORDED };
            let statuses = deletions.iter().map(|_| Status::error(message));
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

fn status(deleted: DeletionStatus) -> &'static str {
    match deleted {
        DeletionStatus::Deleted => "deleted",
        DeletionStatus::NotActive => "not_active",
        DeletionStatus::NotFound => "not_found",
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
