//! Deadline of a request to the ledger, which the option `ledger_timeout` sets, and the time after which silence counts
//! as a stall. `judge` starts it and applies it before judging, `clearance` while the record is made.

use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::fault::Fault;

/// Until when an answer is of use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    arrived: Instant,
    limit: Duration,
}

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
        Self { arrived: Instant::now(), limit }
    }

    /// Gives up on `future` when it comes too late.
    pub(super) async fn limit<F: Future>(self, future: F) -> Result<F::Output, Fault> {
        let Self { arrived, limit } = self;
        let Some(end) = arrived.checked_add(limit) else { return Ok(future.await) };
        timeout_at(end.into(), future)
            .await
            .map_err(|_| Fault::WaitedTooLong { waited: arrived.elapsed(), limit })
    }
}

/// Whether what began then has gone on for so long that nothing new should be judged before it ends.
pub(super) fn is_stalled(since: Instant) -> bool {
    since.elapsed() > STALLED_AFTER
}

/// A commit takes a few milliseconds on a slow disk, moving the log or a second judge's answer not much more. What
/// takes longer may never end; what is judged meanwhile would be on record without a signature.
const STALLED_AFTER: Duration = Duration::from_millis(100);
