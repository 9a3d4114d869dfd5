//! `/eth/v1/keystores`: list, import and delete keys. Source: ethereum/keymanager-APIs v1.1.0.
//!
//! Two orders matter more than anything else here:
//!
//! - Import: decrypt, merge the key's history into the ledger, durably, and only then let the key sign.
//! - Delete: stop signing, forbid it durably, and only then hand out the history that another signer may go on from.
//!
//! Both are carried out to their end also when the caller has gone meanwhile; `http::service` sees to that.

use std::collections::HashSet;

use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::{Signer, beside_others};
use crate::bls::PublicKey;
use crate::custody::Endurance;
use crate::http::answer::Answer;
use crate::http::problem::Problem;
use crate::keys::{EncryptedKey, Importer, Key, SealError};
use crate::ledger::{Arrival, Arrived, Departed, Departure, Farewell, Fault, Interchange};

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

/// `POST {keystores, passwords, slashing_protection?}`: one status for each keystore, in their order.
///
/// 400 only for a request that cannot be read or whose history is of another chain; what is wrong with one keystore is
/// that keystore's `error` and never touches the ones beside it.
pub(crate) async fn import(signer: &Signer, body: Bytes) -> Result<Answer, Problem> {
    let request = beside_others(body.len(), || ImportRequest::parse(body))?;
    let opened = open_all(signer.custody.importer().clone(), request.items).await?;

    let _turn = signer.custody.turn().await;
    let mut seen = HashSet::new();
    let mut entrants = Vec::new();
    let mut outcomes = Vec::with_capacity(opened.len());
    for outcome in opened {
        outcomes.push(match outcome {
            Err(reason) => Outcome::Known(Status::error(reason)),
            Ok(key) if !seen.insert(key.public_key()) => Outcome::Known(Status::of("duplicate")),
            Ok(key) => {
                let is_here = signer.custody.ring().key(&key.public_key()).is_some();
                entrants.push(if is_here { Entrant::Here(key.public_key()) } else { Entrant::New(key) });
                Outcome::Undecided
            }
        });
    }
    let entered = enter(signer, entrants, request.history).await?;
    Ok(Answer::json(&Data { data: in_order(outcomes, entered) }))
}

/// A key that a request brings.
enum Entrant {
    New(Key),
    /// It can sign already: what the ledger knows of it is brought up to the request, but no second key is kept.
    Here(PublicKey),
}

impl Entrant {
    fn public_key(&self) -> PublicKey {
        match self {
            Self::New(key) => key.public_key(),
            Self::Here(public_key) => *public_key,
        }
    }
}

/// What is known of one entry of a request.
enum Outcome {
    Known(Status),
    /// The ledger decides, in the order in which it is asked.
    Undecided,
}

/// One status for each entry of a request, in their order.
fn in_order(outcomes: Vec<Outcome>, decided: Vec<Status>) -> Vec<Status> {
    let mut decided = decided.into_iter();
    let statuses = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Known(status) => status,
        Outcome::Undecided => {
            decided.next().unwrap_or_else(|| Status::error("the ledger gave no answer for this key"))
        }
    });
    statuses.collect()
}

/// Makes keys and their history durable, then lets them sign. One status for each, in their order.
async fn enter(
    signer: &Signer,
    entrants: Vec<Entrant>,
    history: Option<Interchange>,
) -> Result<Vec<Status>, Problem> {
    let arrivals = entrants.iter().map(|entrant| {
        let keystore = match entrant {
            Entrant::New(key) => signer.custody.sealed(key, None)?,
            Entrant::Here(_) => None,
        };
        Ok(Arrival { public_key: entrant.public_key(), keystore })
    });
    let arrivals = arrivals.collect::<Result<Vec<_>, SealError>>().map_err(|error| {
        Problem::fault("the keys cannot be sealed, so none was imported: see the signer's log", error)
    })?;
    let with_history = history.is_some();
    let arrived = match signer.ledger.activate(arrivals, history).await {
        Ok(Ok(arrived)) => arrived,
        Ok(Err(refusal)) => return Err(refusal.into()),
        Err(Fault::Off) if with_history => {
            let refused =
                "slashing protection is off, so the history cannot be kept: leave slashing_protection out";
            return Ok(entrants.iter().map(|_| Status::error(refused)).collect());
        }
        Err(Fault::Off) => entrants.iter().map(|_| Arrived::Active { deleted_before: false }).collect(),
        Err(fault) => return Ok(shut_out(signer, entrants, &fault)),
    };
    let mut entering = Vec::new();
    let mut statuses = Vec::new();
    for (entrant, arrived) in entrants.into_iter().zip(arrived) {
        statuses.push(match (arrived, entrant) {
            (Arrived::Unmergeable { reason }, Entrant::New(_) | Entrant::Here(_)) => Status::error(reason),
            (Arrived::Active { deleted_before }, Entrant::New(key)) => {
                tracing::info!(public_key = %key.public_key(), "key imported");
                entering.push(key);
                Status::imported(deleted_before, signer.custody.endurance())
            }
            (Arrived::Active { deleted_before }, Entrant::Here(_)) => Status::duplicate(deleted_before),
        });
    }
    signer.custody.admit(entering);
    Ok(statuses)
}

/// The ledger failed, so the new keys do not enter; nor may they after a restart, which would otherwise find whatever of
/// them has reached the disk: by then they may sign elsewhere.
fn shut_out(signer: &Signer, entrants: Vec<Entrant>, fault: &Fault) -> Vec<Status> {
    tracing::error!(%fault, "keys could not be imported");
    let new = entrants.iter().filter_map(|entrant| match entrant {
        Entrant::New(key) => Some(key.public_key()),
        Entrant::Here(_) => None,
    });
    let holds = !fault.may_be_on_disk() || signer.custody.note_deletion(&new.collect::<Vec<_>>());
    let statuses = entrants.iter().map(|entrant| match entrant {
        Entrant::New(_) if holds => Status::error(NOT_ENTERED),
        Entrant::New(_) => Status::error(MAY_ENTER),
        Entrant::Here(_) => Status::error(NOT_MERGED),
    });
    statuses.collect()
}

/// `DELETE {pubkeys}`: one status for each key, in their order, and the history as EIP-3076 interchange.
pub(crate) async fn delete(signer: &Signer, body: &[u8]) -> Result<Answer, Problem> {
    let request: DeleteRequest = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let _turn = signer.custody.turn().await;

    let mut seen = HashSet::new();
    let mut departures = Vec::new();
    let mut outcomes = Vec::with_capacity(request.pubkeys.len());
    for text in &request.pubkeys {
        let Ok(public_key) = text.parse::<PublicKey>() else {
            outcomes.push(Outcome::Known(Status::error(NO_PUBLIC_KEY)));
            continue;
        };
        let key = signer.custody.ring().key(&public_key);
        if key.as_ref().is_some_and(|key| key.is_readonly()) {
            outcomes.push(Outcome::Known(Status::error(READONLY)));
            continue;
        }
        // A second mention in one request finds the key gone.
        let active = key.is_some() && seen.insert(public_key);
        departures.push(Departure { public_key, active });
        outcomes.push(Outcome::Undecided);
    }
    let (departed, slashing_protection) = take_out(signer, departures).await;
    Ok(Answer::json(&DeleteReply { data: in_order(outcomes, departed), slashing_protection }))
}

/// Takes the keys out of the ring, then forbids signing durably. When the ledger fails they stay out all the same: a key
/// that somebody wanted gone must not sign on.
async fn take_out(signer: &Signer, departures: Vec<Departure>) -> (Vec<Status>, String) {
    let leaving: Vec<PublicKey> = departures
        .iter()
        .filter(|departure| departure.active)
        .map(|departure| departure.public_key)
        .collect();
    signer.custody.dismiss(&leaving);
    let farewell = signer.ledger.delete(departures.clone()).await;
    for public_key in &leaving {
        tracing::info!(%public_key, "key deleted");
    }
    match farewell {
        Ok(Farewell { keys, interchange }) => (keys.into_iter().map(Status::departed).collect(), interchange),
        Err(Fault::Off) => {
            let statuses = departures
                .iter()
                .map(|departure| Status::of(if departure.active { "deleted" } else { "not_found" }));
            (statuses.collect(), EMPTY_INTERCHANGE.to_owned())
        }
        Err(fault) => {
            tracing::error!(%fault, "deleted keys could not be recorded: they do not sign any more in this process");
            let message = if signer.custody.note_deletion(&leaving) { NOTED } else { NOT_RECORDED };
            let statuses = departures.iter().map(|_| Status::error(message));
            (statuses.collect(), EMPTY_INTERCHANGE.to_owned())
        }
    }
}

/// Opens keystores away from the threads that sign.
async fn open_all(importer: Importer, items: Vec<EncryptedKey>) -> Result<Vec<Result<Key, String>>, Problem> {
    let opened = spawn_blocking(move || importer.open_all(&items)).await;
    let opened = opened.map_err(|error| Problem::fault("the keystores could not be opened", error))?;
    Ok(opened.into_iter().map(|outcome| outcome.map_err(|error| error.to_string())).collect())
}

struct ImportRequest {
    items: Vec<EncryptedKey>,
    history: Option<Interchange>,
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
        let history = wire.slashing_protection.map(|json| Interchange::parse(json.as_bytes())).transpose()?;
        Ok(Self { items, history })
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

    fn imported(deleted_before: bool, endurance: Endurance) -> Self {
        let endurance = match endurance {
            Endurance::Sealed => None,
            Endurance::HandedOver => Some(HANDED_OVER),
            Endurance::MemoryOnly => Some(MEMORY_ONLY),
        };
        let notes: Vec<&str> =
            deleted_before.then_some(DELETED_BEFORE).into_iter().chain(endurance).collect();
        let message = (!notes.is_empty()).then(|| notes.join("; "));
        Self { status: "imported", message }
    }

    fn duplicate(deleted_before: bool) -> Self {
        Self { status: "duplicate", message: deleted_before.then(|| DELETED_BEFORE.to_owned()) }
    }

    fn departed(departed: Departed) -> Self {
        Self::of(match departed {
            Departed::Deleted => "deleted",
            Departed::NotActive => "not_active",
            Departed::NotFound => "not_found",
        })
    }

    fn error(message: impl Into<String>) -> Self {
        Self { status: "error", message: Some(message.into()) }
    }
}

const DELETED_BEFORE: &str = "the key was deleted here before; what it signed then still binds it";
const HANDED_OVER: &str = "the key is kept in memory: it survives a restart of the service, but not its stop";
const MEMORY_ONLY: &str =
    "the key is kept in memory only: it is gone when the signer ends (give --seal-file to keep keys)";
const NOT_ENTERED: &str = "the slashing protection ledger failed, so the key is not used, neither now nor after a restart: import it \
                           again then; see the signer's log";
const MAY_ENTER: &str = "the slashing protection ledger failed, so the key is not used now, but it may be after a restart; see \
                         the signer's log";
const NOT_MERGED: &str = "the key is here already, but the slashing protection ledger failed, so nothing was merged: see the signer's log";
const NO_PUBLIC_KEY: &str = "this is no BLS public key: 96 hexadecimal digits are expected";
const READONLY: &str = "the key comes from a file of this host: take the file away and reload the signer";
const NOTED: &str = "the ledger failed, so there is no history to hand out: the key does not sign any more, now and after a \
                     restart; see the signer's log";
const NOT_RECORDED: &str = "the deletion could not be recorded: the key does not sign any more, but may come back with \
                            a restart; see the signer's log";

/// EIP-3076 without history; without `genesis_validators_root` no reader takes it for a chain's.
const EMPTY_INTERCHANGE: &str = r#"{"metadata":{"interchange_format_version":"5"},"data":[]}"#;
