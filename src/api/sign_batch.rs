//! `POST /api/v1/eth2/sign`: one duty signed with many keys.
//!
//! Source: the draft in ethereum/remote-signing-api pull request 29.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::problem::Problem;
use crate::blocking;
use crate::bls::{PublicKey, Signature};
use crate::clients::Requester;
use crate::duty::Duty;
use crate::http::response::ApiResponse;
use crate::signer::{SignError, Signer};
use crate::text::{self, JsonError};

/// Signs the `signing_request` in `body` with every key in its `identifiers`.
///
/// Answers a list in their order, each item with `identifier` and either `signature` or `error`, which has the status
/// that the single route would answer as `code`, and a `message`. What is wrong with one key does not concern the
/// others. Refuses the whole request with 400 when it is malformed or names a key twice; a fault is a fault for all.
pub(crate) async fn sign_batch(
    signer: &Signer,
    requester: Requester<'_>,
    arrived: Instant,
    body: &[u8],
) -> Result<ApiResponse, Problem> {
    let grant = signer.grant(requester)?;
    let batch = blocking::in_place_if_large(body.len(), || Batch::parse(body))?;
    let signing_request = batch.signing_request.get().as_bytes();
    let read = || blocking::in_place_if_large(body.len(), || Duty::parse(signing_request, &signer.network));
    let results = signer.sign_many(&grant, arrived, &batch.public_keys, read).await?;
    let identifiers = batch.identifiers.iter().map(Cow::as_ref);
    Ok(ApiResponse::json_list(identifiers.zip(results).collect(), ResultJson::of).await)
}

/// A request, every key of it named once.
#[derive(Debug)]
pub(crate) struct Batch<'b> {
    pub(crate) identifiers: Vec<Cow<'b, str>>,
    /// One for each identifier; None where that is no public key, so that no key can have it.
    pub(crate) public_keys: Vec<Option<PublicKey>>,
    pub(crate) signing_request: &'b RawValue,
}

impl<'b> Batch<'b> {
    pub(crate) fn parse(body: &'b [u8]) -> Result<Self, Refusal> {
        // serde takes a list for a struct, too.
        if text::unmarked_bytes(body).trim_ascii_start().first() != Some(&b'{') {
            return Err(Refusal::NoObject);
        }
        let Body { identifiers, signing_request } = text::json(body)?;
        if identifiers.is_empty() {
            return Err(Refusal::Empty);
        }
        if identifiers.len() > MAX_KEYS_PER_BATCH {
            return Err(Refusal::TooMany { keys: identifiers.len() });
        }
        let identifiers: Vec<_> = identifiers.into_iter().map(|Text(identifier)| identifier).collect();
        let public_keys: Vec<_> = identifiers.iter().map(|identifier| identifier.parse().ok()).collect();
        let mut seen = HashSet::with_capacity(public_keys.len());
        for public_key in public_keys.iter().flatten() {
            if !seen.insert(*public_key) {
                return Err(Refusal::Twice { public_key: *public_key });
            }
        }
        Ok(Self { identifiers, public_keys, signing_request })
    }
}

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    identifiers: Vec<Text<'b>>,
    #[serde(borrow)]
    signing_request: &'b RawValue,
}

/// Borrowed where it has no escapes, which a bare `Cow` in a list would not be.
#[derive(Deserialize)]
struct Text<'b>(#[serde(borrow)] Cow<'b, str>);

/// Why a whole batch is refused. Always the caller's matter: status 400.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// A list, a text, nothing at all.
    #[error("the body must be a JSON object with a list 'identifiers' and an object 'signing_request'")]
    NoObject,
    /// Not the JSON that it has to be.
    #[error("the body must be a JSON object with a list 'identifiers' and an object 'signing_request': {0}")]
    Json(#[from] JsonError),
    /// Nobody is to sign.
    #[error("identifiers is empty: name the keys that are to sign")]
    Empty,
    /// More than one request may hold.
    #[error("identifiers names {keys} keys: ask for at most {MAX_KEYS_PER_BATCH} at once")]
    TooMany {
        /// How many.
        keys: usize,
    },
    /// The answer would have two results for one key.
    #[error("identifiers names {public_key} twice: nothing was signed")]
    Twice {
        /// Which.
        public_key: PublicKey,
    },
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::bad_request(refusal.to_string())
    }
}

/// One key's result as it is answered.
#[derive(Serialize)]
struct ResultJson<'a> {
    identifier: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
}

impl<'a> ResultJson<'a> {
    fn of((identifier, result): (&'a str, Result<Signature, SignError>)) -> Self {
        match result {
            Ok(signature) => Self { identifier, signature: Some(signature.to_string()), error: None },
            Err(error) => Self { identifier, signature: None, error: Some(error.into()) },
        }
    }
}

/// Keys in one request. A request for them takes a core some seconds.
const MAX_KEYS_PER_BATCH: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> String {
        Batch::parse(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn keeps_the_order_and_takes_what_is_no_public_key_as_it_is() {
        let key = "ab".repeat(48);
        let body = format!(r#"{{"signing_request": {{"a": 1}}, "identifiers": ["x", "0x{key}", "x"]}}"#);
        let batch = Batch::parse(body.as_bytes()).unwrap();
        assert_eq!(batch.identifiers, ["x", format!("0x{key}").as_str(), "x"]);
        assert_eq!(batch.public_keys, [None, Some(key.parse().unwrap()), None]);
        assert_eq!(batch.signing_request.get(), r#"{"a": 1}"#);
    }

    #[test]
    fn a_key_in_two_spellings_is_a_key_twice() {
        let (lower, upper) = ("ab".repeat(48), "AB".repeat(48));
        let body = format!(r#"{{"identifiers": ["0x{lower}", "{upper}"], "signing_request": {{}}}}"#);
        assert!(refusal(&body).contains("twice"));
    }

    #[test]
    fn refuses_what_is_no_batch() {
        let too_many = format!(
            r#"{{"identifiers": [{}"x"], "signing_request": {{}}}}"#,
            r#""x","#.repeat(MAX_KEYS_PER_BATCH)
        );
        for (body, reason) in [
            ("", "JSON"),
            ("[]", "JSON object"),
            (r#"[["x"], {}]"#, "JSON object"),
            (r#"{"identifiers": ["x"]}"#, "signing_request"),
            (r#"{"signing_request": {}}"#, "identifiers"),
            (r#"{"identifiers": [], "signing_request": {}}"#, "empty"),
            (r#"{"identifiers": [1], "signing_request": {}}"#, "JSON"),
            (r#"{"identifiers": ["x"], "identifiers": ["y"], "signing_request": {}}"#, "duplicate"),
            (r#"{"identifiers": ["x"], "signing_request": {}} {}"#, "trailing"),
            (too_many.as_str(), "16385"),
        ] {
            let refused = refusal(body);
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
