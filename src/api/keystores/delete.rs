//! `DELETE /eth/v1/keystores`: deletion of keys, answered with their history.

use serde::Deserialize;

use super::{UNANSWERED, failure, result, unreadable};
use crate::api::problem::Problem;
use crate::bls::PublicKey;
use crate::http::response::ApiResponse;
use crate::keymanager::{DeleteOutcome, Deleted};
use crate::ledger::DeletionStatus;
use crate::signer::Signer;
use crate::text;
use crate::wire::keymanager::{self as wire, KeyResult, KeyStatus};

/// `DELETE {pubkeys}`: one status for each key, in their order, and the history as EIP-3076 interchange.
pub(crate) async fn delete(signer: &Signer, body: &[u8]) -> Result<ApiResponse, Problem> {
    let request: DeleteRequest = text::json(body).map_err(|error| unreadable(&error))?;
    let named: Vec<Option<PublicKey>> = request.pubkeys.iter().map(|text| text.parse().ok()).collect();
    let public_keys: Vec<_> = named.iter().flatten().copied().collect();
    let Deleted { outcomes, history } = signer.keystores.delete(&signer.protection, &public_keys).await;
    let mut outcomes = outcomes.into_iter();
    let data = named.iter().map(|public_key| match public_key {
        Some(_) => key_result(outcomes.next().unwrap_or(DeleteOutcome::Unanswered)),
        None => failure(NO_PUBLIC_KEY),
    });
    let data = data.collect();
    let slashing_protection = history.unwrap_or_else(|| EMPTY_INTERCHANGE.to_owned());
    Ok(ApiResponse::json(&wire::Deleted { data, slashing_protection }))
}

#[derive(Deserialize)]
struct DeleteRequest {
    pubkeys: Vec<String>,
}

fn key_result(outcome: DeleteOutcome) -> KeyResult {
    match outcome {
        DeleteOutcome::Status { status, raw_root_signed } => {
            let status = match status {
                DeletionStatus::Deleted => KeyStatus::Deleted,
                DeletionStatus::NotActive => KeyStatus::NotActive,
                DeletionStatus::NotFound => KeyStatus::NotFound,
            };
            result(status, raw_root_signed.then_some(RAW_ROOTS).into_iter())
        }
        DeleteOutcome::ReadOnly => failure(READONLY),
        DeleteOutcome::NotRecorded { may_come_back: false } => failure(NOTED),
        DeleteOutcome::NotRecorded { may_come_back: true } => failure(NOT_RECORDED),
        DeleteOutcome::SharedLedgerAway => failure(SHARED_LEDGER_AWAY),
        DeleteOutcome::Unanswered => failure(UNANSWERED),
    }
}

const NO_PUBLIC_KEY: &str = "this is no BLS public key: 96 hexadecimal digits are expected";
const READONLY: &str = "the key comes from a file of this host: take the file away and reload the signer";
const RAW_ROOTS: &str = "raw roots were signed with the key, and what they said is not in its history: let another \
                         signer use it only with watermarks at the present, or above it";
const NOTED: &str = "the ledger failed, so there is no history to hand out: the key does not sign any more, now and \
                     after a restart; see the signer's log";
const NOT_RECORDED: &str = "the deletion could not be recorded: the key does not sign any more, but may come back with \
                            a restart; see the signer's log";
const SHARED_LEDGER_AWAY: &str = "the shared ledger of several hosts does not answer, so there is no history to hand \
                                  out: the key does not sign any more on this host, now and after a restart; when the \
                                  signer's health is green, delete it on the other hosts and export its history";

/// EIP-3076 without history; without `genesis_validators_root` no reader takes it for a chain's.
const EMPTY_INTERCHANGE: &str = r#"{"metadata":{"interchange_format_version":"5"},"data":[]}"#;
