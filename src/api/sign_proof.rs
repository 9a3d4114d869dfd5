//! `POST /api/v1/eth2/ext/sign/{pubkey}`: a proof of validation, signed with one key.
//!
//! Source: Web3Signer's signing extension (ConsenSys/web3signer, pull request 982).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::problem::Problem;
use crate::bls::PublicKey;
use crate::clients::Requester;
use crate::duty::ProofOfValidation;
use crate::http::response::ApiResponse;
use crate::signer::Signer;

/// Signs the body as it stands with the key that the path names, and answers both as JSON.
///
/// Refuses with 400 a body that is no proof of validation, with 404 an unknown key, with 403 where none are signed or
/// the caller may have none.
pub(crate) async fn sign_proof(
    signer: &Signer,
    requester: Requester<'_>,
    public_key: Option<PublicKey>,
    body: &[u8],
) -> Result<ApiResponse, Problem> {
    let grant = signer.grant(requester)?;
    let signature = signer.sign_proof(&grant, public_key, ProofOfValidation::parse(body)).await?.to_string();
    Ok(ApiResponse::json(&Signed { payload: STANDARD.encode(body), signature }))
}

#[derive(Serialize)]
struct Signed {
    payload: String,
    signature: String,
}
