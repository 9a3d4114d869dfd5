//! `POST /api/v1/eth2/sign/{pubkey}`: a duty signed with one key.
//!
//! Source: ethereum/remote-signing-api v1.4.0; where it is silent, Web3Signer's behaviour.

use std::time::Instant;

use hyper::HeaderMap;
use serde::Serialize;

use super::problem::Problem;
use crate::blocking;
use crate::bls::PublicKey;
use crate::clients::Requester;
use crate::duty::Duty;
use crate::http::negotiation::prefers_json;
use crate::http::response::ApiResponse;
use crate::signer::Signer;

/// Signs the duty in `body` with the key that the path names.
///
/// Answers the signature as JSON or text, as `Accept` has it. Refuses with 400 a body that is no duty, with 404 an
/// unknown key, with 403 what the caller may not have signed, with 412 what slashing protection forbids.
pub(crate) async fn sign(
    signer: &Signer,
    requester: Requester<'_>,
    arrived: Instant,
    public_key: Option<PublicKey>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<ApiResponse, Problem> {
    let grant = signer.grant(requester)?;
    let parse = || blocking::in_place_if_large(body.len(), || Duty::parse(body, &signer.network));
    let read = || signer.recent_duties.find_or(body, parse);
    let signature = signer.sign(&grant, arrived, public_key, read).await?.to_string();
    Ok(if prefers_json(headers) {
        ApiResponse::json(&Signed { signature })
    } else {
        ApiResponse::text(signature)
    })
}

#[derive(Serialize)]
struct Signed {
    signature: String,
}
