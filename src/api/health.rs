//! Health routes: `/upcheck`, `/healthcheck` (as Web3Signer answers it) and `/health`.
//!
//! `/upcheck` tells that the process lives; the others whether it should be sent duties.

use std::time::SystemTime;

use hyper::HeaderMap;
use serde_json::{Map, Value, json};

use super::Api;
use super::fetched;
use super::problem::{Problem, health_status};
use crate::caller::Caller;
use crate::config::{ExpectedKeys, NoExpectation};
use crate::http::negotiation::accepts_text;
use crate::http::response::ApiResponse;
use crate::http::tls::{Expiry, Validity};
use crate::keymanager::{KeyFiles, Persistence};
use crate::ledger::{self, Attention, Lifted, Protection};
use crate::logging;
use crate::wire::health::{Check, Condition, Health, Healthcheck, Status};

/// `GET /upcheck`: `OK` as text. The process answers; nothing more is said. Clients that accept JSON alone (Web3Signer
/// refuses them with 406) get `{"status":"OK"}`, which is what Lodestar and Nimbus look for.
pub(crate) fn upcheck(headers: &HeaderMap) -> ApiResponse {
    if accepts_text(headers) { ApiResponse::text("OK") } else { ApiResponse::raw_json(r#"{"status":"OK"}"#) }
}

/// What a health request asks for, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HealthQuestion {
    expected_keys: ExpectedKeys,
    is_draining: bool,
}

impl HealthQuestion {
    /// `keys=` in the query says how many keys must be able to sign; without it the option `expected_keys` does.
    /// Other parameters mean nothing here.
    pub(crate) fn new(api: &Api, query: Option<&str>, is_draining: bool) -> Result<Self, Problem> {
        let parameters = query.unwrap_or_default().split('&');
        let keys = parameters.filter_map(|parameter| parameter.strip_prefix("keys=")).next_back();
        let expected_keys = match keys.map(str::parse) {
            None => api.expected_keys,
            Some(Ok(expected)) => expected,
            Some(Err(wrong @ NoExpectation)) => {
                return Err(Problem::bad_request(format!("`keys` in the query is {wrong}")));
            }
        };
        Ok(Self { expected_keys, is_draining })
    }
}

/// `GET /healthcheck`: `{status, checks: [{id, status, data?}], outcome}`; 200 when `UP`, 503 when `DOWN`. A check that
/// is down says in `data.problem` what is wrong and what to do.
pub(crate) fn healthcheck(api: &Api, caller: &Caller, question: HealthQuestion) -> ApiResponse {
    let report = report(api, caller.peer.is_operator(), question);
    ApiResponse::json(&report).with_status(health_status(report.status == Status::Up))
}

/// All checks, and what they come to.
pub(super) fn report(api: &Api, shows_files: bool, question: HealthQuestion) -> Healthcheck {
    let checks = checks(api, shows_files, question);
    let status = if all_up(&checks) { Status::Up } else { Status::Down };
    Healthcheck { status, checks, outcome: status }
}

/// `GET /health`: `{"status": "healthy", "keys_loaded": N}`; 503 and `"unhealthy"` when a check fails, `"draining"`
/// when the daemon stops.
pub(crate) fn health(api: &Api, question: HealthQuestion) -> ApiResponse {
    let is_up = all_up(&checks(api, false, question));
    let status = match (question.is_draining, is_up) {
        (true, _) => Condition::Draining,
        (false, true) => Condition::Healthy,
        (false, false) => Condition::Unhealthy,
    };
    let keys_loaded = api.signer.keystores.ring().len();
    ApiResponse::json(&Health { status, keys_loaded }).with_status(health_status(is_up))
}

fn all_up(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.status == Status::Up)
}

/// The checks, by Web3Signer's names where it has one. Everybody may ask, so the names of key files are for the
/// operator alone.
fn checks(api: &Api, shows_files: bool, question: HealthQuestion) -> Vec<Check> {
    let mut checks = vec![
        default_check(api, question.is_draining),
        protection_check(&api.signer.protection),
        keys_check(api, shows_files, question.expected_keys),
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
    checks.extend(fetched::check(api.signer.keystores.fetched(), shows_files));
    checks.extend(api.access.certificate_expiry().map(|expiry| Check {
        id: "tls-check".into(),
        status: Status::Up,
        data: Some(certificate(expiry)),
    }));
    checks
}

/// What is asked first when something is wrong.
fn default_check(api: &Api, is_draining: bool) -> Check {
    let mut data = Map::new();
    data.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
    data.insert("network".to_owned(), json!(api.signer.network.name()));
    data.insert("uptime-seconds".to_owned(), json!(api.started.clock.elapsed().as_secs()));
    data.insert("last-duty-seconds-ago".to_owned(), json!(api.signer.outcomes.seconds_since_signature()));
    let problem = is_draining
        .then(|| "draining: the signer stops, answers the requests in hand and takes no new ones".to_owned());
    Check::with("default-check", problem, data)
}

/// That slashing protection is off is said, but is no fault.
fn protection_check(protection: &Protection) -> Check {
    let mut data = Map::new();
    let (state, problem) = match protection {
        Protection::Off(_) => ("off", None),
        Protection::On(ledger) => match ledger.health() {
            ledger::Health::Working => ("on", None),
            ledger::Health::SecondJudgeAway(silence) => {
                let seconds = silence.since.elapsed().as_secs();
                data.insert("seconds".to_owned(), json!(seconds));
                // Without what lies below: that may name users and files, and this route needs no token.
                let cause = silence.cause.map(|cause| cause.to_string());
                let why = cause.as_deref().unwrap_or("see whether its database runs and can be reached");
                let problem = format!(
                    "the shared ledger has not answered for {seconds} s, so no block and no attestation is \
                     signed: {why}"
                );
                data.insert("cause".to_owned(), json!(cause));
                ("away: the shared ledger does not answer", Some(problem))
            }
            // This route needs no token, so it shows the kind of error and no more.
            ledger::Health::Broken(cause) => {
                data.insert("cause".to_owned(), json!(cause.kind()));
                let problem = "the ledger cannot be written, so no block and no attestation is signed: make room on \
                               its disk, or see the signer's log, and restart the signer";
                ("broken", Some(problem.to_owned()))
            }
        },
    };
    data.insert("slashing-protection".to_owned(), json!(state));
    // Its start went on by itself, at the cost of one vote a key at most.
    if let Some(Lifted { slot, epoch, doubt }) = protection.lifted() {
        let lifted =
            json!({ "slot": slot.to_string(), "epoch": epoch.to_string(), "reason": doubt.to_string() });
        data.insert("watermarks-lifted-at-the-start".to_owned(), lifted);
    }
    // Of no fault of the signer's, so they turn nothing red: raw roots go on being signed, and a record stays what it
    // is.
    let Attention { raw_roots, far_ahead } = protection.attention();
    let concerns = [
        ("unprotected-keys", "signed-raw-roots", raw_roots),
        ("keys-with-a-record-far-ahead", "far-ahead", far_ahead),
    ];
    for (count, names, keys) in concerns.into_iter().filter(|(_, _, keys)| !keys.is_empty()) {
        data.insert(count.to_owned(), json!(keys.count()));
        data.insert(names.to_owned(), json!(keys.to_string()));
        let note =
            "keys sign no block and no attestation until somebody acts: 'bls-signer explain KEY' says how";
        data.insert("note".to_owned(), json!(note));
    }
    Check::with("slashing-protection", problem, data)
}

/// A file that gives no key stops nobody else, so where nobody expects its key it is shown and turns nothing red. A
/// source that was configured and gives no key at all does: its directory is not mounted, or not readable, and
/// validators that belong here do not sign.
fn keys_check(api: &Api, shows_files: bool, expected: ExpectedKeys) -> Check {
    let loaded = api.signer.keystores.ring().len();
    let KeyFiles { problems, passed_over, barren_sources } = &*api.signer.keystores.key_files();
    let mut wrong = Vec::new();
    if !barren_sources.is_empty() {
        let sources = barren_sources.len();
        wrong.push(format!(
            "{sources} configured directories of keys give none: are they mounted and readable ('bls-signer check' \
             names the reason)"
        ));
    }
    if loaded < expected.least() {
        let least = expected.least();
        wrong.push(format!(
            "{loaded} keys can sign and {least} are expected: import them, or find what held them"
        ));
    }
    if expected == ExpectedKeys::All && !problems.is_empty() {
        wrong.push(format!("{} key files gave no key: the log names each with its reason", problems.len()));
    }
    let mut data = Map::new();
    data.insert("keys-loaded".to_owned(), json!(loaded));
    data.insert("keys-expected".to_owned(), json!(expected.to_string()));
    data.insert("error-count".to_owned(), json!(problems.len()));
    data.insert("sources-without-keys".to_owned(), json!(barren_sources.len()));
    let kept = match api.signer.keystores.persistence() {
        Persistence::Sealed => "sealed on disk",
        Persistence::FdStore => "in memory, kept by the service manager over a restart",
        Persistence::Memory => "in memory only",
    };
    data.insert("imported-keys".to_owned(), json!(kept));
    if shows_files {
        data.insert("files-not-loaded".to_owned(), json!(problems));
        data.insert("files-passed-over".to_owned(), json!(passed_over));
    }
    if wrong.is_empty() && !problems.is_empty() {
        let note = format!(
            "{} key files gave no key: the log names each with its reason, and so does 'bls-signer check'",
            problems.len()
        );
        data.insert("note".to_owned(), json!(note));
    }
    Check::with("keys-check", (!wrong.is_empty()).then(|| wrong.join("; ")), data)
}

/// An ended certificate is shown and turns nothing red: Unix sockets go on, and so do clients that pin it.
fn certificate(expiry: Expiry) -> Value {
    let (state, note) = match expiry.at(SystemTime::now()) {
        Validity::Long => ("valid", None),
        Validity::Ending { days } => (
            "ends soon: renew it",
            Some(format!("the certificate ends in {days} days: renew it, and reload")),
        ),
        Validity::Over => (
            "HAS ENDED: clients refuse it",
            Some(format!("the certificate ended at {expiry}, and clients refuse it: renew it, and reload")),
        ),
    };
    let mut data = json!({ "certificate": state, "not-after": expiry.to_string() });
    if let (Some(note), Value::Object(data)) = (note, &mut data) {
        data.insert("note".to_owned(), json!(note));
    }
    data
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
