//! `/eth/v1/keystores`: list, import and delete keys. Source: ethereum/keymanager-APIs v1.1.0.
//!
//! Two orders matter more than anything else here:
//!
//! - Import: decrypt, merge the key's history into the ledger, durably, and only then let the key sign.
//! - Delete: forbid signing, durably, and only then hand out the history that another signer may go on from.

use std::collections::HashSet;

use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::Signer;
use crate::bls::PublicKey;
use crate::http::answer::Answer;
use crate::http::problem::Problem;
use crate::keys::{EncryptedKey, Importer, Key};

/// `GET`: `{data: [{validating_pubkey, derivation_path, readonly}]}`, sorted by key.
pub(crate) fn list(signer: &Signer) -> Answer {
    #[derive(Serialize)]
    struct Listed<'a> {
        validating_pubkey: String,
        derivation_path: Option<&'a str>,
        readonly: bool,
    }
    let keys = signer.ring.snapshot();
    let data = keys.values().map(|key| Listed {
        validating_pubkey: key.public_key().to_string(),
        derivation_path: key.derivation_path(),
        readonly: key.is_readonly(),
    });
    Answer::json(&Data { data: data.collect::<Vec<_>>() })
}

/// `POST {keystores, passwords, slashing_protection?}`: one status for each keystore, in their order.
///
/// 400 only for a request that cannot be read; what is wrong with one keystore is that keystore's `error` and never
/// touches the ones beside it.
pub(crate) async fn import(signer: &Signer, body: Bytes) -> Result<Answer, Problem> {
    let request = ImportRequest::parse(body)?;
    let opened = open_all(signer.importer.clone(), request.items).await?;

    let _turn = signer.key_changes.lock().await;
    let mut seen = HashSet::new();
    let mut fresh = Vec::new();
    let mut statuses = Vec::with_capacity(opened.len());
    for outcome in opened {
        statuses.push(match outcome {
            Err(error) => Status::error(error),
            Ok(key) if !seen.insert(key.public_key()) || signer.ring.key(&key.public_key()).is_some() => {
                Status::of("duplicate")
            }
            Ok(_) if request.slashing_protection => Status::error(
                "slashing_protection cannot be imported yet, and the key is not used without it: leave it out if the \
                 key has signed nothing",
            ),
            Ok(key) => {
                fresh.push(key);
                Status::of("imported")
            }
        });
    }
    signer.ring.insert(fresh);
    Ok(Answer::json(&Data { data: statuses }))
}

/// `DELETE {pubkeys}`: one status for each key, in their order, and the history as EIP-3076 interchange.
pub(crate) async fn delete(signer: &Signer, body: &[u8]) -> Result<Answer, Problem> {
    let request: DeleteRequest = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let _turn = signer.key_changes.lock().await;
    let statuses = request.pubkeys.iter().map(|text| {
        let Ok(public_key) = text.parse::<PublicKey>() else {
            return Status::error("this is no BLS public key: 96 hexadecimal digits are expected");
        };
        match signer.ring.key(&public_key) {
            None => Status::of("not_found"),
            Some(key) if key.is_readonly() => Status::error(
                "the key comes from a file of this host: take the file away and reload the signer",
            ),
            Some(_) => {
                signer.ring.remove(&[public_key]);
                Status::of("deleted")
            }
        }
    });
    let data = statuses.collect();
    let slashing_protection = r#"{"metadata":{"interchange_format_version":"5"},"data":[]}"#.to_owned();
    Ok(Answer::json(&DeleteReply { data, slashing_protection }))
}

/// Opens keystores away from the threads that sign.
async fn open_all(importer: Importer, items: Vec<EncryptedKey>) -> Result<Vec<Result<Key, String>>, Problem> {
    let opened = spawn_blocking(move || importer.open_all(&items)).await;
    let opened = opened.map_err(|error| Problem::fault("the keystores could not be opened", error))?;
    Ok(opened.into_iter().map(|outcome| outcome.map_err(|error| error.to_string())).collect())
}

struct ImportRequest {
    items: Vec<EncryptedKey>,
    slashing_protection: bool,
}

impl ImportRequest {
    fn parse(body: Bytes) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Wire {
            keystores: Vec<String>,
            passwords: Vec<Zeroizing<String>>,
            slashing_protection: Option<String>,
        }
        // The passwords in it are wiped with it.
        let body = Zeroizing::new(Vec::from(body));
        let wire: Wire = serde_json::from_slice(&body).map_err(|error| unreadable(&error))?;
        if wire.keystores.len() != wire.passwords.len() {
            return Err(Problem::bad_request(format!(
                "{} keystores and {} passwords: give one password for each keystore",
                wire.keystores.len(),
                wire.passwords.len()
            )));
        }
        let pairs = wire.keystores.into_iter().zip(wire.passwords);
        let items = pairs.map(|(keystore, password)| EncryptedKey { keystore, password }).collect();
        Ok(Self { items, slashing_protection: wire.slashing_protection.is_some() })
    }
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

#[derive(Deserialize)]
struct DeleteRequest {
    pubkeys: Vec<String>,
}

#[derive(Serialize)]
struct Data<T> {
    data: Vec<T>,
}

#[derive(Serialize)]
struct DeleteReply {
    data: Vec<Status>,
    /// EIP-3076 JSON as a string, as the standard has it.
    slashing_protection: String,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Status {
    fn of(status: &'static str) -> Self {
        Self { status, message: None }
    }

    fn error(message: impl Into<String>) -> Self {
        Self { status: "error", message: Some(message.into()) }
    }
}
