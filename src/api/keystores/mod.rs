//! `/eth/v1/keystores`: list, import and delete keys. Source: ethereum/keymanager-APIs v1.1.0.
//!
//! In what order keys come and go is decided in `keymanager`; here are the bodies, the statuses and what they say. Both
//! are carried out to their end also when the caller has gone meanwhile; `service` sees to that.

mod delete;
mod import;

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

pub(crate) use self::delete::delete;
pub(crate) use self::import::import;

use crate::api::problem::Problem;
use crate::http::response::ApiResponse;
use crate::signer::Signer;
use crate::text::{self, JsonError};
use crate::wire::keymanager::{Data, KeyResult, KeyStatus, ListedKey};

/// `GET`: all keys that can sign, sorted.
pub(crate) fn list(signer: &Signer) -> ApiResponse {
    let keys = signer.keystores.ring().snapshot();
    let data = keys.values().map(|key| ListedKey {
        validating_pubkey: key.public_key().to_string(),
        derivation_path: key.derivation_path().map(Cow::Borrowed),
        readonly: Some(key.is_readonly()),
    });
    ApiResponse::json(&Data { data: data.collect() })
}

/// Says where a body is wrong, and nothing of what is in it: it may be a password.
fn unreadable(error: &JsonError) -> Problem {
    let JsonError::Json(error) = error else { return Problem::bad_request(format!("the body: {error}")) };
    let what = match error.classify() {
        Category::Data => "does not have the members that the Keymanager API says",
        Category::Syntax | Category::Eof => "is not valid JSON",
        Category::Io => "could not be read",
    };
    let (reason, line, column) = (text::without_values(error), error.line(), error.column());
    Problem::bad_request(format!("the body {what}: {reason} (line {line}, column {column})"))
}

/// A member that is a list of strings. Its error shows none of them.
fn strings<'de, D, S>(member: &str, deserializer: D) -> Result<Vec<S>, D::Error>
where
    D: Deserializer<'de>,
    S: Deserialize<'de>,
{
    Vec::deserialize(deserializer)
        .map_err(|_| D::Error::custom(format_args!("the member {member} must be a list of strings")))
}

/// A key's result, and what else there is to say of it.
fn result<'a>(status: KeyStatus, notes: impl Iterator<Item = &'a str>) -> KeyResult {
    let notes: Vec<_> = notes.collect();
    KeyResult { status, message: (!notes.is_empty()).then(|| notes.join("; ")) }
}

fn failure(message: impl Into<String>) -> KeyResult {
    KeyResult { status: KeyStatus::Error, message: Some(message.into()) }
}

const UNANSWERED: &str = "the ledger gave no answer for this key";
