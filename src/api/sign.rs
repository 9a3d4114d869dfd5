//! `POST /api/v1/eth2/sign/{pubkey}`: the chain from a body to a signature.
//!
//! Source: ethereum/remote-signing-api v1.4.0; where it is silent, Web3Signer's behaviour.

use std::sync::Arc;

use hyper::HeaderMap;
use serde::Serialize;

use super::problem::Problem;
use super::{Signer, beside_others, haste};
use crate::bls::PublicKey;
use crate::caller::Caller;
use crate::duty::{Duty, Priority};
use crate::http::negotiation::prefers_json;
use crate::http::response::ApiResponse;
use crate::ledger::Verdict;

/// Signs the duty in `body` with the key that the path names.
///
/// Answers the signature as JSON or text, as `Accept` has it. Refuses with 400 a body that is no duty, with 404 an
/// unknown key, with 403 what the caller may not have signed, with 412 what slashing protection forbids.
pub(crate) async fn sign(
    signer: &Signer,
    caller: &Caller,
    public_key: Option<PublicKey>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<ApiResponse, Problem> {
    let duty = beside_others(body.len(), || Duty::parse(body, &signer.network))?;
    let key = public_key
        .and_then(|public_key| signer.keystores.ring().key(&public_key))
        .ok_or_else(|| Problem::unknown_key(public_key))?;
    let permitted = signer.permits.permit(key.public_key(), duty)?;
    let duty = permitted.duty();
    let judged = match signer.ledger.submit(&permitted).await? {
        Verdict::Allowed(judged) => judged,
        Verdict::Refused(refusal) => return Err(refusal.into()),
    };
    // The record goes to the disk while its signature is computed; only the release must wait for it. Until a core is
    // free there is no hurry, and more records will share the sync.
    let (hashes, signing_root) = (Arc::clone(&signer.hashes), duty.signing_root());
    let priority = Priority::of(duty.kind());
    let presign = move |backlog| {
        judged.begin_to_record(haste(priority, backlog));
        (key.presign(&hashes.hashed(&signing_root), &judged), judged)
    };
    let (held, judged) = signer.pool.run(priority, presign).await?;
    let cleared = judged.cleared().await?;
    let signature = held.release(cleared)?;

    signer.signed(caller, &permitted.public_key(), duty);
    Ok(if prefers_json(headers) {
        ApiResponse::json(&Signed { signature: signature.to_string() })
    } else {
        ApiResponse::text(signature.to_string())
    })
}

#[derive(Serialize)]
struct Signed {
    signature: String,
}
