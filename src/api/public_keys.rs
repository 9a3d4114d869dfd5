//! `GET /api/v1/eth2/publicKeys`: the keys that can sign. Source: ethereum/remote-signing-api.

use super::Signer;
use crate::http::answer::Answer;

/// Answers a JSON array of public keys, `0x` and lower case, sorted.
pub(crate) fn list(signer: &Signer) -> Answer {
    let keys: Vec<String> = signer.custody.ring().snapshot().keys().map(ToString::to_string).collect();
    Answer::json(&keys)
}
