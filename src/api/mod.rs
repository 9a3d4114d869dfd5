//! What the routes do: one file a family of endpoints.

pub(crate) mod health;
pub(crate) mod high_watermark;
pub(crate) mod keystores;
pub(crate) mod public_keys;
pub(crate) mod reload;
pub(crate) mod sign;
pub(crate) mod slashing_protection;
pub(crate) mod status_line;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::bls::HashCache;
use crate::custody::Custody;
use crate::ledger::Ledger;
use crate::network::Network;
use crate::permit::Permits;

/// What the endpoints work on: made once by the daemon and shared by all requests. Signing takes no lock in it.
pub(crate) struct Signer {
    pub(crate) network: Network,
    pub(crate) ledger: Ledger,
    pub(crate) custody: Arc<Custody>,
    pub(crate) permits: Permits,
    pub(crate) hashes: HashCache,
    pub(crate) last_duty: LastDuty,
}

/// When the last signature was given out.
#[derive(Default)]
pub(crate) struct LastDuty(AtomicU64);

impl LastDuty {
    pub(crate) fn now(&self) {
        self.0.store(unix_seconds(), Ordering::Relaxed);
    }

    /// Seconds since then; `None` if there was none.
    pub(crate) fn seconds_ago(&self) -> Option<u64> {
        let last = self.0.load(Ordering::Relaxed);
        (last > 0).then(|| unix_seconds().saturating_sub(last))
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
