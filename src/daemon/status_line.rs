//! Status line that `systemctl status` shows: keys, slashing protection, last duty.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, interval};

use crate::api::Api;
use crate::bls;
use crate::http::tls::Validity;
use crate::keymanager::KeyFiles;
use crate::ledger::{Attention, Health, KeyNames, Lifted, Protection, Silence};
use crate::logging;
use crate::supervisor::notify::{Notifier, tell};
use crate::text::chain;

/// The line as it is now.
pub(crate) fn status_line(api: &Api) -> String {
    let last_duty = match api.signer.outcomes.seconds_since_signature() {
        Some(seconds) => format!("last duty {seconds} s ago"),
        None => "no duty yet".to_owned(),
    };
    format!("{}, {last_duty}", state(api))
}

/// What of the line is news as soon as it changes.
fn state(api: &Api) -> String {
    let (keys, network) = (api.signer.keystores.ring().len(), api.signer.network.name());
    let missing = match api.expected_keys.least() {
        least if keys < least => format!(", {least} EXPECTED"),
        _ => String::new(),
    };
    let ledger = match &api.signer.protection {
        Protection::Off(_) => "SLASHING PROTECTION OFF".to_owned(),
        Protection::On(ledger) => match ledger.health() {
            Health::Working => "slashing protection on".to_owned(),
            Health::SecondJudgeAway(Silence { since: _, cause }) => {
                let cause = cause.map(|cause| format!(" ({})", chain(cause.as_ref()))).unwrap_or_default();
                format!("slashing protection AWAY: the shared ledger does not answer{cause}")
            }
            Health::Broken(cause) => format!("slashing protection BROKEN ({})", chain(cause.as_ref())),
        },
    };
    let dropped = match logging::dropped() {
        0 => String::new(),
        lines => format!(", {lines} log lines dropped"),
    };
    let failed_checks = match bls::failed_checks() {
        0 => String::new(),
        count => format!(", {count} COMPUTATIONS WERE WRONG (see the log)"),
    };
    let Attention { raw_roots, far_ahead } = api.signer.protection.attention();
    let concern = |keys: KeyNames, what| match keys.count() {
        0 => String::new(),
        count => format!(", {count} keys {what}"),
    };
    let lifted = api.signer.protection.lifted().map_or_else(String::new, |Lifted { slot, .. }| {
        format!(", WATERMARKS LIFTED to slot {slot} at the start (unproven ledger)")
    });
    let (raw_roots, far_ahead) =
        (concern(raw_roots, "UNPROTECTED (raw roots)"), concern(far_ahead, "with a record YEARS AHEAD"));
    let files = key_files(&api.signer.keystores.key_files());
    let certificate = match api.access.certificate_expiry().map(|expiry| expiry.at(SystemTime::now())) {
        None | Some(Validity::Long) => String::new(),
        Some(Validity::Ending { days }) => format!(", TLS certificate ends in {days} days"),
        Some(Validity::Over) => ", TLS CERTIFICATE HAS ENDED".to_owned(),
    };
    format!(
        "{keys} keys on {network}{missing}{files}, {ledger}{lifted}{raw_roots}{far_ahead}{certificate}\
         {failed_checks}{dropped}"
    )
}

/// What is wrong with the operator's key files; empty where nothing is.
fn key_files(KeyFiles { problems, passed_over: _, barren_sources }: &KeyFiles) -> String {
    let files = match problems.len() {
        0 => String::new(),
        1 => ", 1 key file NOT LOADED".to_owned(),
        files => format!(", {files} key files NOT LOADED"),
    };
    match barren_sources.as_slice() {
        [] => files,
        [source] => format!("{files}, 1 key source WITHOUT KEYS ({source})"),
        [first, more @ ..] => {
            let sources = more.len().saturating_add(1);
            format!("{files}, {sources} key sources WITHOUT KEYS (first: {first})")
        }
    }
}

/// Keeps the service manager's copy of the line true until it is dropped: what is news at once, the last duty's age now
/// and then.
pub(crate) async fn keep_telling(api: Arc<Api>, notifier: Arc<Notifier>) {
    let mut looks = interval(CHECK_INTERVAL);
    let (mut state_told, mut line_told, mut told_at) = (String::new(), String::new(), Instant::now());
    loop {
        looks.tick().await;
        let state = state(&api);
        if state == state_told && told_at.elapsed() < AGE_INTERVAL {
            continue;
        }
        let line = status_line(&api);
        if line != line_told {
            tell(notifier.status(&line));
        }
        (state_told, line_told, told_at) = (state, line, Instant::now());
    }
}

const CHECK_INTERVAL: Duration = Duration::from_millis(500);
const AGE_INTERVAL: Duration = Duration::from_secs(10);
