//! `POST /eth/v1/keystores`: import of keys with their history.

use hyper::body::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{UNANSWERED, failure, result, strings, unreadable};
use crate::api::problem::Problem;
use crate::blocking;
use crate::http::presence::Presence;
use crate::http::response::ApiResponse;
use crate::keymanager::{Import, ImportOutcome, Persistence};
use crate::keys::EncryptedKey;
use crate::ledger::{Interchange, Past};
use crate::signer::Signer;
use crate::text;
use crate::wire::keymanager::{Data, KeyResult, KeyStatus};

/// `POST {keystores, passwords, slashing_protection?}`: one status for each keystore, in their order.
///
/// 400 only for a request that cannot be read or whose history is of another chain; what is wrong with one keystore is
/// that keystore's `error` and never touches the ones beside it. Keystores that are not being opened yet when the
/// client leaves are left alone; what was opened by then is imported.
pub(crate) async fn import(signer: &Signer, body: Bytes, client: Presence) -> Result<ApiResponse, Problem> {
    let ImportRequest { items, history } =
        blocking::in_place_if_large(body.len(), || ImportRequest::parse(body))?;
    let is_wanted = move || client.is_there();
    match signer.keystores.import(&signer.protection, items, history, is_wanted).await? {
        Import::Done(outcomes) => {
            let data: Vec<_> = outcomes.into_iter().map(key_result).collect();
            Ok(ApiResponse::json(&Data { data }))
        }
        Import::OtherChain(refusal) => Err(refusal.into()),
    }
}

fn key_result(outcome: ImportOutcome) -> KeyResult {
    match outcome {
        ImportOutcome::Imported { past, persistence, may_be_deleted } => {
            let persistence = match persistence {
                Persistence::Sealed => None,
                Persistence::FdStore => Some(KEPT_BY_FD_STORE),
                Persistence::Memory => Some(MEMORY_ONLY),
            };
            let after = persistence.into_iter().chain(may_be_deleted.then_some(MAY_LEAVE));
            result(KeyStatus::Imported, before(past).chain(after))
        }
        ImportOutcome::Duplicate { past, may_be_deleted } => {
            result(KeyStatus::Duplicate, before(past).chain(may_be_deleted.then_some(MAY_LEAVE)))
        }
        ImportOutcome::NotOpened { reason } | ImportOutcome::Unmergeable { reason } => failure(reason),
        ImportOutcome::Unprotected => failure(UNPROTECTED),
        ImportOutcome::NotActivated { may_enter: false } => failure(NOT_ENTERED),
        ImportOutcome::NotActivated { may_enter: true } => failure(MAY_ENTER),
        ImportOutcome::NotMerged => failure(NOT_MERGED),
        ImportOutcome::SharedLedgerAway => failure(SHARED_LEDGER_AWAY),
        ImportOutcome::Unanswered => failure(UNANSWERED),
    }
}

fn before(past: Past) -> impl Iterator<Item = &'static str> {
    let Past { deleted, raw_root_signed } = past;
    deleted.then_some(DELETED_BEFORE).into_iter().chain(raw_root_signed.then_some(RAW_ROOT_BEFORE))
}

struct ImportRequest {
    items: Vec<EncryptedKey>,
    history: Option<Interchange>,
}

impl ImportRequest {
    fn parse(body: Bytes) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(deserialize_with = "keystores")]
            keystores: Vec<String>,
            #[serde(deserialize_with = "passwords")]
            passwords: Vec<Zeroizing<String>>,
            #[serde(borrow)]
            slashing_protection: Option<&'a RawValue>,
        }
        fn keystores<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
            strings("keystores", deserializer)
        }
        fn passwords<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Zeroizing<String>>, D::Error> {
            strings("passwords", deserializer)
        }
        // The passwords in it are wiped with it.
        let body = Zeroizing::new(Vec::from(body));
        let wire: Wire<'_> = text::json(&body).map_err(|error| unreadable(&error))?;
        if wire.keystores.len() != wire.passwords.len() {
            return Err(Problem::bad_request(format!(
                "{} keystores and {} passwords: give one password for each keystore",
                wire.keystores.len(),
                wire.passwords.len()
            )));
        }
        let pairs = wire.keystores.into_iter().zip(wire.passwords);
        let items = pairs.map(|(keystore, password)| EncryptedKey { keystore, password }).collect();
        let history = wire.slashing_protection.map(|member| history(member.get())).transpose()?.flatten();
        Ok(Self { items, history })
    }
}

/// The history as the standard has it, a string that holds JSON, or as Stereum sends it, that JSON itself.
fn history(member: &str) -> Result<Option<Interchange>, Problem> {
    if member.starts_with('{') {
        return Ok(Some(Interchange::parse(member.as_bytes())?));
    }
    let json: String = serde_json::from_str(member).map_err(|_| Problem::bad_request(NO_HISTORY))?;
    // An empty text says as little as null: clients send it where there is no history.
    if text::unmarked(&json).trim().is_empty() {
        return Ok(None);
    }
    Ok(Some(Interchange::parse(json.as_bytes())?))
}

const NO_HISTORY: &str =
    "the member slashing_protection must be EIP-3076 JSON, as a string that holds it or as it is";
const DELETED_BEFORE: &str = "the key was deleted here before; what it signed then still binds it";
const RAW_ROOT_BEFORE: &str = "raw roots were signed with the key here before, so its blocks and attestations are \
                               refused until its watermarks are lifted to the present: bls-signer \
                               slashing-protection raise";
const KEPT_BY_FD_STORE: &str =
    "the key is kept in memory: it survives a restart of the service, but not its stop";
const MEMORY_ONLY: &str =
    "the key is kept in memory only: it is gone when the signer ends (give --seal-file to keep keys)";
const UNPROTECTED: &str =
    "slashing protection is off, so the history cannot be kept: leave slashing_protection out";
const NOT_ENTERED: &str = "the slashing protection ledger failed, so the key is not used, neither now nor after a \
                           restart: import it again then; see the signer's log";
const MAY_ENTER: &str = "the slashing protection ledger failed, so the key is not used now, but it may be after a \
                         restart; see the signer's log";
const NOT_MERGED: &str = "the key is here already, but the slashing protection ledger failed, so nothing was merged: \
                          see the signer's log";
const SHARED_LEDGER_AWAY: &str = "the shared ledger of several hosts does not answer, so nothing was imported: import \
                                  it again when the signer's health is green";
const MAY_LEAVE: &str =
    "an earlier deletion of the key may be taken for a new one at the next start; see the signer's log";
