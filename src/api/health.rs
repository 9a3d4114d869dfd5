//! Health routes: `/upcheck`, `/healthcheck` (as Web3Signer answers it) and `/health`.

use std::time::SystemTime;

use hyper::HeaderMap;
use serde_json::{Map, Value, json};

use super::Api;
use super::problem::health_status;
use crate::caller::Caller;
use crate::http::negotiation::accepts_text;
use crate::http::response::ApiResponse;
use crate::http::tls::{Expiry, Validity};
use crate::keymanager::{KeyFiles, Persistence};
use crate::ledger::{self, Attention, Protection};
use crate::logging;
use crate::wire::health::{Check, Condition, Health, Healthcheck, Status};

/// `GET /upcheck`: `OK` as text. The process answers; nothing more is said. Clients that accept JSON alone (Web3Signer
/// refuses them with 406) get `{"status":"OK"}`, which is what Lodestar and Nimbus look for.
pub(crate) fn upcheck(headers: &HeaderMap) -> ApiResponse {
    if accepts_text(headers) { ApiResponse::text("OK") } else { ApiResponse::raw_json(r#"{"status":"OK"}"#) }
}

/// `GET /healthcheck`: `{status, checks: [{id, status, data?}], outcome}`; 200 when `UP`, 503 when `DOWN`.
pub(crate) fn healthcheck(api: &Api, caller: &Caller) -> ApiResponse {
    let checks = checks(api, caller.peer.is_operator());
    let is_up = all_up(&checks);
    let status = if is_up { Status::Up } else { Status::Down };
    ApiResponse::json(&Healthcheck { status, checks, outcome: status }).with_status(health_status(is_up))
}

/// `GET /health`: `{"status": "healthy", "keys_loaded": N}`; 503 and `"unhealthy"` when a check fails.
pub(crate) fn health(api: &Api) -> ApiResponse {
    let is_up = all_up(&checks(api, false));
    let status = if is_up { Condition::Healthy } else { Condition::Unhealthy };
    let keys_loaded = api.signer.keystores.ring().len();
    ApiResponse::json(&Health { status, keys_loaded }).with_status(health_status(is_up))
}

fn all_up(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.status == Status::Up)
}

/// What is asked first when something is wrong.
fn process(api: &Api) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "network": api.signer.network.name(),
        "uptime-seconds": api.started.clock.elapsed().as_secs(),
        "last-duty-seconds-ago": api.signer.outcomes.seconds_since_signature(),
    })
}

/// An ended certificate is shown and turns nothing red: Unix sockets go on, and so do clients that pin it.
fn certificate(expiry: Expiry) -> Value {
    let state = match expiry.at(SystemTime::now()) {
        Validity::Long => "valid",
        Validity::Ending { days: _ } => "ends soon: renew it",
        Validity::Over => "HAS ENDED: clients refuse it",
    };
    json!({ "certificate": state, "not-after": expiry.to_string() })
}

/// The checks, by Web3Signer's names where it has one. That slashing protection is off is said, but is no fault.
/// Everybody may ask, so the names of key files are for the operator alone.
fn checks(api: &Api, shows_files: bool) -> Vec<Check> {
    let (status, protection) = match &api.signer.protection {
        Protection::Off(_) => (Status::Up, vec![("slashing-protection", json!("off"))]),
        Protection::On(ledger) => match ledger.health() {
            ledger::Health::Working => (Status::Up, vec![("slashing-protection", json!("on"))]),
            ledger::Health::SecondJudgeAway(silence) => {
                let seconds = silence.since.elapsed().as_secs();
                let state = json!("away: its second judge does not answer");
                (Status::Down, vec![("slashing-protection", state), ("seconds", json!(seconds))])
            }
            // This route needs no token, so it shows the kind of error and no more.
            ledger::Health::Broken(cause) => {
                (Status::Down, vec![("slashing-protection", json!("broken")), ("cause", json!(cause.kind()))])
            }
        },
    };
    let mut protection: Map<_, _> =
        protection.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    // Of no fault of the signer's, so they turn nothing red: raw roots go on being signed, and a record stays what it
    // is.
    let Attention { raw_roots, far_ahead } = api.signer.protection.attention();
    let concerns = [
        ("unprotected-keys", "signed-raw-roots", raw_roots),
        ("keys-with-a-record-far-ahead", "far-ahead", far_ahead),
    ];
    let concerns = concerns.into_iter().filter(|(_, _, keys)| !keys.is_empty());
    let members = concerns.flat_map(|(count, names, keys)| {
        [(count.to_owned(), json!(keys.count())), (names.to_owned(), json!(keys.to_string()))]
    });
    protection.extend(members);
    // A file that gives no key stops nobody else, so it is shown and turns nothing red. A source that was configured
    // and gives no key at all does: its directory is not mounted, or not readable, and validators that belong here do
    // not sign.
    let KeyFiles { problems, passed_over, barren_sources } = &*api.signer.keystores.key_files();
    let keys_status = if barren_sources.is_empty() { Status::Up } else { Status::Down };
    let mut keys = json!({
        "keys-loaded": api.signer.keystores.ring().len(),
        "error-count": problems.len(),
        "sources-without-keys": barren_sources.len(),
        "imported-keys": match api.signer.keystores.persistence() {
            Persistence::Sealed => "sealed on disk",
            Persistence::FdStore => "in memory, kept by the service manager over a restart",
            Persistence::Memory => "in memory only",
        },
    });
    if let (true, Value::Object(keys)) = (shows_files, &mut keys) {
        keys.insert("files-not-loaded".to_owned(), json!(problems));
        keys.insert("files-passed-over".to_owned(), json!(passed_over));
    }
    let mut checks = vec![
        Check { id: "default-check".into(), status: Status::Up, data: Some(process(api)) },
        Check { id: "slashing-protection".into(), status, data: Some(Value::Object(protection)) },
        Check { id: "keys-check".into(), status: keys_status, data: Some(keys) },
        Check { id: "access-check".into(), status: Status::Up, data: access(api) },
        // A fork that the schedule does not have is signed for, so it is shown and turns nothing red.
        Check {
            id: "network-check".into(),
            status: Status::Up,
            data: Some(json!({
                "network": api.signer.network.name(),
                "newer-fork-versions": api.signer.outcomes.newer_forks(),
            })),
        },
        // Lines that nobody read in time are lost, and no duty with them.
        Check {
            id: "log-check".into(),
            status: Status::Up,
            data: Some(json!({ "lines-dropped": logging::dropped() })),
        },
    ];
    checks.extend(api.access.certificate_expiry().map(|expiry| Check {
        id: "tls-check".into(),
        status: Status::Up,
        data: Some(certificate(expiry)),
    }));
    checks
}

/// What an operator should know of who may call; `None` where there is nothing to say. Names no file.
fn access(api: &Api) -> Option<Value> {
    let exposures = api.access.exposures().iter().map(ToString::to_string);
    let outdated = api.access.is_outdated().then(|| {
        "clients, tokens and certificates could not be read again: those from before hold".to_owned()
    });
    let notes: Vec<String> = exposures.chain(outdated).collect();
    (!notes.is_empty()).then(|| json!({ "notes": notes }))
}
