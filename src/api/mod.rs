//! What the routes do: one file a family of endpoints.

pub(crate) mod health;
pub(crate) mod high_watermark;
pub(crate) mod keystores;
pub(crate) mod problem;
pub(crate) mod public_keys;
pub(crate) mod reload;
pub(crate) mod routes;
pub(crate) mod service;
pub(crate) mod sign;
pub(crate) mod sign_batch;
pub(crate) mod slashing_protection;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use tokio::task::block_in_place;

use self::public_keys::WrittenList;
use crate::bls::HashCache;
use crate::caller::Caller;
use crate::duty::{Duty, Kind, Priority};
use crate::http::access::Access;
use crate::keymanager::Keystores;
use crate::ledger::{Haste, Ledger};
use crate::network::Network;
use crate::signer::newer_forks::NewerForks;
use crate::signer::pool::{Backlog, SigningPool};
use crate::signer::repeats::Repeats;
use crate::signing_policy::Permits;

/// What the endpoints work on: made once by the daemon and shared by all requests. No key has to wait for another's lock.
pub(crate) struct Signer {
    pub(crate) network: Network,
    pub(crate) ledger: Ledger,
    pub(crate) keystores: Arc<Keystores>,
    pub(crate) access: Arc<Access>,
    pub(crate) permits: Permits,
    pub(crate) hashes: Arc<HashCache>,
    pub(crate) pool: SigningPool,
    pub(crate) last_duty: LastDuty,
    pub(crate) newer_forks: NewerForks,
    pub(crate) repeats: Repeats,
    pub(crate) started: Instant,
    pub(crate) public_keys: WrittenList,
}

impl Signer {
    /// Notes that a signature was given out, for the log and the status line.
    fn signed(&self, caller: &Caller, public_key: &impl fmt::Display, duty: &Duty) {
        self.last_duty.now();
        self.newer_forks.note(duty, &self.network);
        let signing_root = duty.signing_root();
        match duty.kind() {
            // What was signed cannot be said for a raw root, so that it was is on record.
            Kind::RawRoot => tracing::info!(%caller, %public_key, %signing_root, "signed a raw root"),
            kind => tracing::debug!(%caller, %public_key, %kind, %signing_root, "signed"),
        }
    }
}

/// How soon a record is needed whose signature is begun.
fn haste(priority: Priority, backlog: Backlog) -> Haste {
    match (priority, backlog) {
        (Priority::Block, _) | (_, Backlog::Empty) => Haste::Now,
        (Priority::Vote | Priority::Other, Backlog::MoreWork) => Haste::Soon,
    }
}

/// Works on a body of so many bytes. A large one takes milliseconds, in which other connections are served all the same.
///
/// Only to be called on a runtime of several threads, even if it has but one.
fn beside_others<T>(body_length: usize, work: impl FnOnce() -> T) -> T {
    if body_length > LARGE_BODY_BYTES { block_in_place(work) } else { work() }
}

/// In bytes. To read that much takes some 100 microseconds.
const LARGE_BODY_BYTES: usize = 64 * 1024;

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
