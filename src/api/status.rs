//! `GET /bls-signer/v1/status`: keys, clients, last duties and refusals, latencies and checks for the operator.

use std::time::{Duration, Instant, SystemTime};

use super::Api;
use super::health::{self, HealthQuestion};
use crate::http::response::ApiResponse;
use crate::keys::Origin;
use crate::ledger::Protection;
use crate::metrics::Counter;
use crate::signer::{OutcomeKind, RecentRefusal, SigningCounts};
use crate::wire::status::{DaemonStatus, Duties, Keys, Latency, Refused};

/// Answers from memory, and with 200 also where something is wrong: the body says what.
pub(crate) fn status(api: &Api, question: HealthQuestion) -> ApiResponse {
    let signer = &api.signer;
    let ring = signer.keystores.ring().snapshot();
    let of = |origin| ring.values().filter(|key| key.origin() == origin).count();
    let ledger = match &signer.protection {
        Protection::On(ledger) => Some(ledger.opened().path.display().to_string()),
        Protection::Off(_) => None,
    };
    let policy = signer.policy.load();
    let counts = signer.outcomes.counts();
    let now = Instant::now();
    ApiResponse::json(&DaemonStatus {
        health: health::report(api, true, question),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        network: signer.network.name().to_owned(),
        uptime_seconds: api.started.clock.elapsed().as_secs(),
        keys: Keys {
            imported: of(Origin::Imported),
            from_files: of(Origin::File),
            fetched: of(Origin::Fetched),
        },
        ledger,
        clients: policy.clients.named_clients().map(|(name, _)| name.to_string()).collect(),
        duties: duties(counts),
        refusals: signer
            .outcomes
            .recent_refusals()
            .into_iter()
            .map(|refusal| refused(refusal, now))
            .collect(),
        latency: latency(counts),
    })
}

fn duties(counts: &SigningCounts) -> Vec<Duties> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let all = counts.by_duty.iter().map(|(group, of_duty)| {
        let of = |outcome| of_duty.outcomes.of(outcome).map_or(0, Counter::value);
        let (signed, failed) = (of(OutcomeKind::Signed), of(OutcomeKind::Fault));
        let all = OutcomeKind::ALL.iter().map(|outcome| of(*outcome)).fold(0, u64::saturating_add);
        Duties {
            duty: group.to_string(),
            signed,
            refused: all.saturating_sub(signed).saturating_sub(failed),
            failed,
            last_signed_seconds_ago: of_duty.last_signature().map(|last| now.saturating_sub(last)),
        }
    });
    all.filter(|duties| duties.signed > 0 || duties.refused > 0 || duties.failed > 0).collect()
}

fn refused(refusal: RecentRefusal, now: Instant) -> Refused {
    let RecentRefusal { at, public_key, duty, rule, client, times, reason } = refusal;
    Refused {
        seconds_ago: now.saturating_duration_since(at).as_secs(),
        public_key: public_key.map(|public_key| public_key.to_string()),
        duty: duty.map(|duty| duty.to_string()),
        rule: rule.to_owned(),
        client: client.map(|client| client.to_string()),
        times,
        reason,
    }
}

fn latency(counts: &SigningCounts) -> Option<Latency> {
    let [Some(median), Some(p99), Some(slowest)] = counts.durations.quantiles([0.5, 0.99, 1.0]) else {
        return None;
    };
    let microseconds = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let [median, p99, slowest] = [median, p99, slowest].map(microseconds);
    Some(Latency { median, p99, slowest })
}
