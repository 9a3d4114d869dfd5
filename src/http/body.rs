//! Body of a request: never more than the route allows, into one buffer for which there is memory, and only
//! while it keeps coming.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::memory_budget::{BudgetExhausted, Reservation};

/// Reads `body` of at most `limit` bytes within `patience`; `reservation` grows with what has come.
pub(crate) async fn read(
    body: Incoming,
    limit: u64,
    reservation: &mut Reservation,
    patience: Duration,
) -> Result<Bytes, BodyRefusal> {
    let hint = body.size_hint();
    if hint.lower() > limit {
        return Err(BodyRefusal::TooLarge { limit });
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let expected = usize::try_from(hint.upper().unwrap_or(limit).min(limit)).unwrap_or(usize::MAX);
    match timeout(patience, collect(body, limit, expected, reservation)).await {
        Ok(read) => read,
        Err(_) => Err(BodyRefusal::TooSlow { seconds: patience.as_secs() }),
    }
}

async fn collect(
    mut body: Incoming,
    limit: u64,
    expected: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, BodyRefusal> {
    let stalled = Arc::new(Notify::new());
    let mut watch = reservation.watch(STALL_TIMEOUT, Arc::clone(&stalled));
    let mut whole = Vec::with_capacity(expected.min(INITIAL_BUFFER_BYTES));
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = stalled.notified() => return Err(BodyRefusal::Stalled),
        };
        let Some(frame) = frame else { return Ok(Bytes::from(whole)) };
        // Trailers say nothing to us.
        let Ok(data) = frame.map_err(|error| BodyRefusal::Broken(error.to_string()))?.into_data() else {
            continue;
        };
        let length = whole.len().saturating_add(data.len());
        if u64::try_from(length).is_ok_and(|length| length > limit) {
            return Err(BodyRefusal::TooLarge { limit });
        }
        if length > whole.capacity() {
            let half_more = whole.capacity().saturating_add(whole.capacity() / 2);
            let capacity = length.max(half_more.min(expected));
            // Whoever waits for memory is not to be taken for one who sends nothing.
            drop(watch);
            reservation.cover(capacity).await?;
            watch = reservation.watch(STALL_TIMEOUT, Arc::clone(&stalled));
            whole.reserve_exact(capacity.saturating_sub(whole.len()));
        }
        whole.extend_from_slice(&data);
        watch.moved(data.len());
    }
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyRefusal {
    #[error("the body is larger than this route's limit of {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the body did not arrive whole within {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("the body stopped coming before its end: send it without a pause")]
    Stalled,
    #[error("the body could not be read: {0}")]
    Broken(String),
    #[error(transparent)]
    NoMemory(#[from] BudgetExhausted),
}

/// How long a body may make no progress.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that are set aside before any of a body has come.
const INITIAL_BUFFER_BYTES: usize = 2 * 1024;
