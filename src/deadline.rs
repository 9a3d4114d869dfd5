//! Deadline of a request to sign: one for all that it waits for, from its arrival on.

use std::time::{Duration, Instant};

use tokio::time::timeout_at;

/// Until when an answer is of use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    arrived: Instant,
    limit: Duration,
}

impl Deadline {
    /// For a request that was here whole at this time.
    pub(crate) fn new(arrived: Instant, limit: Duration) -> Self {
        Self { arrived, limit }
    }

    /// From now on.
    pub(crate) fn after(limit: Duration) -> Self {
        Self::new(Instant::now(), limit)
    }

    /// The time that is left.
    pub(crate) fn left(self) -> Duration {
        self.limit.saturating_sub(self.arrived.elapsed())
    }

    /// Gives up on `future` when it comes too late.
    ///
    /// # Errors
    /// It did.
    pub(crate) async fn limit<F: Future>(self, future: F) -> Result<F::Output, TooLate> {
        let Self { arrived, limit } = self;
        let Some(end) = arrived.checked_add(limit) else { return Ok(future.await) };
        timeout_at(end.into(), future).await.map_err(|_| TooLate { waited: arrived.elapsed(), limit })
    }
}

/// A deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request has waited {waited:.1?}, and an answer is of use for {limit:.1?}")]
pub(crate) struct TooLate {
    /// Since the request arrived.
    pub(crate) waited: Duration,
    pub(crate) limit: Duration,
}
