//! Keys come in: decrypt, merge the history, durably, and only then sign.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use hyper::body::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::{Data, Outcome, Status, in_order, strings, unreadable};
use crate::api::problem::Problem;
use crate::blocking;
use crate::bls::PublicKey;
use crate::http::presence::Presence;
use crate::http::response::ApiResponse;
use crate::keymanager::Persistence;
use crate::keys::{EncryptedKey, ImportError, Importer, Key, SealError};
use crate::ledger::{Activation, ActivationOutcome, Fault, Health, Interchange};
use crate::signer::Signer;
use crate::text::{self, chain};

/// `POST {keystores, passwords, slashing_protection?}`: one status for each keystore, in their order.
///
/// 400 only for a request that cannot be read or whose history is of another chain; what is wrong with one keystore is
/// that keystore's `error` and never touches the ones beside it. Keystores that are not being opened yet when the client
/// leaves are left alone; what was opened by then is imported.
pub(crate) async fn import(signer: &Signer, body: Bytes, client: Presence) -> Result<ApiResponse, Problem> {
    let request = blocking::in_place_if_large(body.len(), || ImportRequest::parse(body))?;
    let opened = open_all(signer.keystores.importer().clone(), request.items, client).await?;

    let _turn = signer.keystores.turn().await;
    let mut seen = HashMap::new();
    let mut entrants = Vec::new();
    let mut outcomes = Vec::with_capacity(opened.len());
    for outcome in opened {
        outcomes.push(match outcome {
            Err(reason) => Outcome::Known(Status::error(reason)),
            Ok(key) => match seen.entry(key.public_key()) {
                Entry::Occupied(first) => Outcome::Again(*first.get()),
                Entry::Vacant(first) => {
                    let at = *first.insert(entrants.len());
                    let is_here = signer.keystores.ring().key(&key.public_key()).is_some();
                    entrants.push(if is_here { Entrant::Here(key.public_key()) } else { Entrant::New(key) });
                    Outcome::Asked(at)
                }
            },
        });
    }
    let entered = enter(signer, entrants, request.history).await?;
    Ok(ApiResponse::json(&Data { data: in_order(outcomes, &entered) }))
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

/// Makes keys and their history durable, then lets them sign. One status for each, in their order.
async fn enter(
    signer: &Signer,
    entrants: Vec<Entrant>,
    history: Option<Interchange>,
) -> Result<Vec<Status>, Problem> {
    let activations = entrants.iter().map(|entrant| {
        let keystore = match entrant {
            Entrant::New(key) => signer.keystores.sealed(key, None)?,
            Entrant::Here(_) => None,
        };
        Ok(Activation { public_key: entrant.public_key(), keystore })
    });
    let activations = activations.collect::<Result<Vec<_>, SealError>>().map_err(|error| {
        Problem::fault("the keys cannot be sealed, so none was imported: see the signer's log", error)
    })?;
    let with_history = history.is_some();
    let was_broken = matches!(signer.ledger.health(), Health::Broken(_));
    let mut may_leave = None;
    let activated = match signer.ledger.activate(activations, history).await {
        Ok(Ok(activated)) => {
            let active = entrants.iter().zip(&activated);
            let active =
                active.filter(|(_, activated)| matches!(activated, ActivationOutcome::Active { .. }));
            let active: Vec<_> = active.map(|(entrant, _)| entrant.public_key()).collect();
            may_leave = (!signer.keystores.forget_deletion(&active)).then_some(MAY_LEAVE);
            activated
        }
        Ok(Err(refusal)) => return Err(refusal.into()),
        Err(Fault::Off) if with_history => {
            let refused =
                "slashing protection is off, so the history cannot be kept: leave slashing_protection out";
            return Ok(entrants.iter().map(|_| Status::error(refused)).collect());
        }
        Err(Fault::Off) => {
            let active = ActivationOutcome::Active { deleted_before: false, raw_root_signed: false };
            entrants.iter().map(|_| active.clone()).collect()
        }
        Err(fault) => return Ok(shut_out(signer, entrants, &fault, was_broken)),
    };
    let mut entering = Vec::new();
    let mut statuses = Vec::new();
    for (entrant, activated) in entrants.into_iter().zip(activated) {
        statuses.push(match (activated, entrant) {
            (ActivationOutcome::Unmergeable { reason }, Entrant::New(_) | Entrant::Here(_)) => {
                Status::error(reason)
            }
            (ActivationOutcome::Active { deleted_before, raw_root_signed }, Entrant::New(key)) => {
                tracing::info!(public_key = %key.public_key(), "key imported");
                entering.push(key);
                let persistence = match signer.keystores.persistence() {
                    Persistence::Sealed => None,
                    Persistence::FdStore => Some(HANDED_OVER),
                    Persistence::Memory => Some(MEMORY_ONLY),
                };
                Status::with_notes(
                    "imported",
                    before(deleted_before, raw_root_signed).chain(persistence).chain(may_leave),
                )
            }
            (ActivationOutcome::Active { deleted_before, raw_root_signed }, Entrant::Here(_)) => {
                Status::with_notes("duplicate", before(deleted_before, raw_root_signed).chain(may_leave))
            }
        });
    }
    signer.keystores.admit(entering);
    Ok(statuses)
}

/// The ledger failed, so the new keys do not enter; nor may they after a restart, which would otherwise find whatever of
/// them has reached the disk: by then they may sign elsewhere.
///
/// A ledger that was broken before it was asked has written nothing.
fn shut_out(signer: &Signer, entrants: Vec<Entrant>, fault: &Fault, was_broken: bool) -> Vec<Status> {
    tracing::error!(fault = chain(fault), "keys could not be imported");
    let new = entrants.iter().filter_map(|entrant| match entrant {
        Entrant::New(key) => Some(key.public_key()),
        Entrant::Here(_) => None,
    });
    let may_be_on_disk = !was_broken && fault.may_be_on_disk();
    let holds = !may_be_on_disk || signer.keystores.note_deletion(&new.collect::<Vec<_>>());
    let statuses = entrants.iter().map(|entrant| match entrant {
        Entrant::New(_) if holds => Status::error(NOT_ENTERED),
        Entrant::New(_) => Status::error(MAY_ENTER),
        Entrant::Here(_) => Status::error(NOT_MERGED),
    });
    statuses.collect()
}

/// Opens keystores away from the threads that sign.
async fn open_all(
    importer: Importer,
    items: Vec<EncryptedKey>,
    client: Presence,
) -> Result<Vec<Result<Key, String>>, Problem> {
    let opened = spawn_blocking(move || importer.open_all(&items, &|| client.is_there())).await;
    let opened = opened.map_err(|error| Problem::fault("the keystores could not be opened", error))?;
    let unwanted = opened.iter().filter(|outcome| matches!(outcome, Err(ImportError::Unwanted))).count();
    if unwanted > 0 {
        let keystores = opened.len();
        tracing::warn!(
            unwanted,
            "the client of an import left: {unwanted} of {keystores} keystores were not opened"
        );
    }
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
            #[serde(deserialize_with = "keystores")]
            keystores: Vec<String>,
            #[serde(deserialize_with = "passwords")]
            passwords: Vec<Zeroizing<String>>,
            #[serde(default, deserialize_with = "slashing_protection")]
            slashing_protection: Option<String>,
        }
        fn keystores<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
            strings("keystores", deserializer)
        }
        fn passwords<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Zeroizing<String>>, D::Error> {
            strings("passwords", deserializer)
        }
        fn slashing_protection<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<String>, D::Error> {
            Option::deserialize(deserializer).map_err(|_| {
                D::Error::custom("the member slashing_protection must be a string that holds EIP-3076 JSON")
            })
        }
        // The passwords in it are wiped with it.
        let body = Zeroizing::new(Vec::from(body));
        let wire: Wire = text::json(&body).map_err(|error| unreadable(&error))?;
        if wire.keystores.len() != wire.passwords.len() {
            return Err(Problem::bad_request(format!(
                "{} keystores and {} passwords: give one password for each keystore",
                wire.keystores.len(),
                wire.passwords.len()
            )));
        }
        let pairs = wire.keystores.into_iter().zip(wire.passwords);
        let items = pairs.map(|(keystore, password)| EncryptedKey { keystore, password }).collect();
        // An empty text says as little as null: clients send it where there is no history.
        let history = wire.slashing_protection.filter(|json| !text::unmarked(json).trim().is_empty());
        let history = history.map(|json| Interchange::parse(json.as_bytes())).transpose()?;
        Ok(Self { items, history })
    }
}

fn before(deleted: bool, raw_root_signed: bool) -> impl Iterator<Item = &'static str> {
    deleted.then_some(DELETED_BEFORE).into_iter().chain(raw_root_signed.then_some(RAW_ROOT_BEFORE))
}

const DELETED_BEFORE: &str = "the key was deleted here before; what it signed then still binds it";
const RAW_ROOT_BEFORE: &str = "raw roots were signed with the key here before, so its blocks and attestations are refused until \
                               its watermarks are lifted to the present: bls-signer slashing-protection raise";
const HANDED_OVER: &str = "the key is kept in memory: it survives a restart of the service, but not its stop";
const MEMORY_ONLY: &str =
    "the key is kept in memory only: it is gone when the signer ends (give --seal-file to keep keys)";
const NOT_ENTERED: &str = "the slashing protection ledger failed, so the key is not used, neither now nor after a \
                           restart: import it again then; see the signer's log";
const MAY_ENTER: &str = "the slashing protection ledger failed, so the key is not used now, but it may be after a \
                         restart; see the signer's log";
const NOT_MERGED: &str = "the key is here already, but the slashing protection ledger failed, so nothing was merged: \
                          see the signer's log";
const MAY_LEAVE: &str =
    "an earlier deletion of the key may be taken for a new one at the next start; see the signer's log";
