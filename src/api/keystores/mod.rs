//! `/eth/v1/keystores`: list, import and delete keys. Source: ethereum/keymanager-APIs v1.1.0.
//!
//! Two orders matter more than anything else here:
//!
//! - Import: decrypt, merge the key's history into the ledger, durably, and only then let the key sign.
//! - Delete: stop signing, forbid it durably, and only then hand out the history that another signer may go on from.
//!
//! Both are carried out to their end also when the caller has gone meanwhile; `http::service` sees to that.

mod delete;
mod import;

use serde::Serialize;

pub(crate) use self::delete::delete;
pub(crate) use self::import::import;

use super::Signer;
use crate::http::answer::Answer;
use crate::http::problem::Problem;

/// `GET`: `{data: [{validating_pubkey, derivation_path, readonly}]}`, sorted by key.
pub(crate) fn list(signer: &Signer) -> Answer {
    #[derive(Serialize)]
    struct Listed<'a> {
        validating_pubkey: String,
        derivation_path: Option<&'a str>,
        readonly: bool,
    }
    let keys = signer.custody.ring().snapshot();
    let data = keys.values().map(|key| Listed {
        validating_pubkey: key.public_key().to_string(),
        derivation_path: key.derivation_path(),
        readonly: key.is_readonly(),
    });
    Answer::json(&Data { data: data.collect::<Vec<_>>() })
}

/// What is known of one entry of a request.
enum Outcome {
    Known(Status),
    /// The ledger's answer at this place decides.
    Asked(usize),
    /// The key was named before in the same request, at this place of the ledger's answers.
    Again(usize),
}

/// One status for each entry of a request, in their order.
fn in_order(outcomes: Vec<Outcome>, answers: &[Status]) -> Vec<Status> {
    let answer = |at: usize| {
        let answer = answers.get(at).cloned();
        answer.unwrap_or_else(|| Status::error("the ledger gave no answer for this key"))
    };
    let statuses = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Known(status) => status,
        Outcome::Asked(at) => answer(at),
        // A key that could not enter is not here because it was named twice.
        Outcome::Again(at) => match answer(at) {
            failed @ Status { status: "error", .. } => failed,
            Status { .. } => Status::of("duplicate"),
        },
    });
    statuses.collect()
}

/// Says where a body is wrong, and nothing of what is in it: it may be a password.
fn unreadable(error: &serde_json::Error) -> Problem {
    let what = match error.classify() {
        serde_json::error::Category::Data => "does not have the members that the Keymanager API says",
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof => "is not valid JSON",
        serde_json::error::Category::Io => "could not be read",
    };
    Problem::bad_request(format!("the body {what} (line {}, column {})", error.line(), error.column()))
}

#[derive(Serialize)]
struct Data<T> {
    data: Vec<T>,
}

#[derive(Clone, Serialize)]
struct Status {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Status {
    fn of(status: &'static str) -> Self {
        Self { status, message: None }
    }

    fn with_notes(status: &'static str, notes: impl Iterator<Item = &'static str>) -> Self {
        let notes: Vec<_> = notes.collect();
        Self { status, message: (!notes.is_empty()).then(|| notes.join("; ")) }
    }

    fn error(message: impl Into<String>) -> Self {
        Self { status: "error", message: Some(message.into()) }
    }
}
