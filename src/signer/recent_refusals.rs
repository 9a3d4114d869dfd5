//! Recent refusals and faults, for whoever asks the daemon how it is. Bounded; those alike are one entry.

use std::collections::VecDeque;
use std::time::Instant;

use super::outcome::Outcome;
use crate::bls::PublicKey;
use crate::clients::ClientName;
use crate::duty::{Duty, Kind};
use crate::mutex::Mutex;

/// Requests for one key that ended by the same rule.
#[derive(Clone, Debug)]
pub(crate) struct RecentRefusal {
    /// The last one's end.
    pub(crate) at: Instant,
    pub(crate) public_key: Option<PublicKey>,
    pub(crate) duty: Option<Kind>,
    pub(crate) rule: &'static str,
    pub(crate) client: Option<ClientName>,
    /// How often, since it came among the latest.
    pub(crate) times: u64,
    /// The last one's, as the log has it.
    pub(crate) reason: String,
}

/// The latest ones, the last one in front.
#[derive(Default)]
pub(super) struct RecentRefusals(Mutex<VecDeque<RecentRefusal>>);

impl RecentRefusals {
    pub(super) fn note(&self, outcome: &Outcome<'_>, rule: &'static str, reason: String) {
        let public_key = outcome.public_key;
        let mut latest = self.0.lock();
        let before = latest.iter().position(|other| (other.public_key, other.rule) == (public_key, rule));
        let before = before.and_then(|place| latest.remove(place)).map_or(0, |other| other.times);
        latest.truncate(MOST.saturating_sub(1));
        latest.push_front(RecentRefusal {
            at: Instant::now(),
            public_key,
            duty: outcome.duty.map(Duty::kind),
            rule,
            client: outcome.client_name().cloned(),
            times: before.saturating_add(1),
            reason,
        });
    }

    pub(super) fn latest(&self) -> Vec<RecentRefusal> {
        self.0.lock().iter().cloned().collect()
    }
}

/// So many are kept.
const MOST: usize = 16;
