//! `POST /api/v1/eth2/sign`: one duty signed by many keys.
//!
//! Source: the draft in ethereum/remote-signing-api pull request 29. The duty is hashed to the curve once, its records
//! share one transaction of the ledger, and the signatures are spread over all cores.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::problem::Problem;
use super::{Signer, beside_others, haste};
use crate::bls::{PublicKey, Signature};
use crate::caller::Caller;
use crate::duty::{Duty, Priority};
use crate::http::response::ApiResponse;
use crate::keys::{HeldSignature, Key};
use crate::ledger::{Judged, Verdict};
use crate::signer::pool::PoolClosed;
use crate::signing_policy::Permitted;
use crate::text::{self, JsonError};

/// Signs the `signing_request` in `body` with every key in its `identifiers`.
///
/// Answers a list in their order, each item with `identifier` and either `signature` or `error`, which has the status
/// that the single route would answer as `code`, and a `message`. What is wrong with one key does not concern the
/// others. Refuses the whole request with 400 when it is malformed or names a key twice; a fault is a fault for all.
pub(crate) async fn sign_batch(
    signer: &Signer,
    caller: &Caller,
    body: &[u8],
) -> Result<ApiResponse, Problem> {
    let batch = beside_others(body.len(), || Batch::parse(body))?;
    let duty =
        beside_others(body.len(), || Duty::parse(batch.signing_request.get().as_bytes(), &signer.network))?;

    let mut results = Vec::with_capacity(batch.members.len());
    let (mut keys, mut permits) = (Vec::new(), Vec::new());
    beside_others(body.len(), || {
        for (at, member) in batch.members.iter().enumerate() {
            match member.permitted(signer, &duty) {
                Ok((key, permit)) => {
                    keys.push((at, key));
                    permits.push(permit);
                }
                Err(problem) => results.push((at, Err(problem))),
            }
        }
    });
    let mut allowed = Vec::with_capacity(keys.len());
    for ((at, key), verdict) in keys.into_iter().zip(signer.ledger.submit_all(&permits).await?) {
        match verdict {
            Verdict::Allowed(judged) => allowed.push(Assignment { at, key, judged }),
            Verdict::Refused(refusal) => results.push((at, Err(refusal.into()))),
        }
    }
    // All of it is queued before the first result is waited for.
    let mut shares = Vec::with_capacity(allowed.len().div_ceil(KEYS_PER_JOB));
    let mut allowed = allowed.into_iter().peekable();
    while allowed.peek().is_some() {
        shares.push(presign(signer, &duty, allowed.by_ref().take(KEYS_PER_JOB).collect()));
    }
    for share in shares {
        for Held { at, signature, judged } in share.await? {
            results.push((at, Ok(signature.release(judged.cleared().await?)?)));
        }
    }

    Ok(beside_others(body.len(), || {
        results.sort_unstable_by_key(|(at, _)| *at);
        let answer: Vec<_> = batch
            .members
            .iter()
            .zip(&results)
            .map(|(member, (_, result))| {
                match result {
                    Ok(_) => signer.signed(caller, &member.identifier, &duty),
                    Err(problem) => problem.log_of_one(caller, &member.identifier, &signer.repeats),
                }
                ResultJson::new(&member.identifier, result)
            })
            .collect();
        ApiResponse::json(&answer)
    }))
}

/// One key's part in a batch, judged.
struct Assignment {
    /// The key's place in the request.
    at: usize,
    key: Arc<Key>,
    judged: Judged,
}

/// The same, signed.
struct Held {
    at: usize,
    signature: HeldSignature,
    judged: Judged,
}

/// Queues some keys' multiplications for one core.
fn presign(
    signer: &Signer,
    duty: &Duty,
    share: Vec<Assignment>,
) -> impl Future<Output = Result<Vec<Held>, PoolClosed>> + Send + use<> {
    let (hashes, signing_root) = (Arc::clone(&signer.hashes), duty.signing_root());
    let priority = Priority::of(duty.kind());
    signer.pool.run(priority, move |backlog| {
        share.iter().for_each(|assignment| assignment.judged.begin_to_record(haste(priority, backlog)));
        let hashed = hashes.hashed(&signing_root);
        share
            .into_iter()
            .map(|Assignment { at, key, judged }| Held {
                at,
                signature: key.presign(&hashed, &judged),
                judged,
            })
            .collect()
    })
}

/// A request, every key of it named once.
#[derive(Debug)]
struct Batch<'b> {
    members: Vec<Member<'b>>,
    signing_request: &'b RawValue,
}

#[derive(Debug)]
struct Member<'b> {
    identifier: Cow<'b, str>,
    /// None where the identifier is not a public key, so that no key can have it.
    public_key: Option<PublicKey>,
}

impl Member<'_> {
    fn permitted(&self, signer: &Signer, duty: &Duty) -> Result<(Arc<Key>, Permitted), Problem> {
        let key = self
            .public_key
            .and_then(|public_key| signer.keystores.ring().key(&public_key))
            .ok_or_else(|| Problem::unknown_key(self.public_key))?;
        let permitted = signer.permits.permit(key.public_key(), duty.clone())?;
        Ok((key, permitted))
    }
}

impl<'b> Batch<'b> {
    fn parse(body: &'b [u8]) -> Result<Self, Refusal> {
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
        let mut seen = HashSet::with_capacity(identifiers.len());
        let mut members = Vec::with_capacity(identifiers.len());
        for Text(identifier) in identifiers {
            let public_key = identifier.parse::<PublicKey>().ok();
            if let Some(public_key) = public_key.filter(|public_key| !seen.insert(*public_key)) {
                return Err(Refusal::Twice { public_key });
            }
            members.push(Member { identifier, public_key });
        }
        Ok(Self { members, signing_request })
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

/// One key's result as it is answered.
#[derive(Serialize)]
struct ResultJson<'a> {
    identifier: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Problem>,
}

impl<'a> ResultJson<'a> {
    fn new(identifier: &'a str, result: &'a Result<Signature, Problem>) -> Self {
        let (signature, error) = match result {
            Ok(signature) => (Some(signature.to_string()), None),
            Err(problem) => (None, Some(problem)),
        };
        Self { identifier, signature, error }
    }
}

/// Keys whose signatures one core computes before it looks for more urgent work: about a millisecond.
const KEYS_PER_JOB: usize = 6;

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
        let members: Vec<_> =
            batch.members.iter().map(|it| (&*it.identifier, it.public_key.is_some())).collect();
        assert_eq!(members, [("x", false), (format!("0x{key}").as_str(), true), ("x", false)]);
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
