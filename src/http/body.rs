//! Reading a request's body: never more than the route allows, never for longer than the limit.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The room that large bodies share, so that many of them at once cannot exhaust memory: each takes its announced
/// length out of it before the first byte is read and waits while there is none.
#[derive(Clone)]
pub(crate) struct LargeBodies(Arc<Semaphore>);

impl LargeBodies {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_BODIES_KIB as usize)))
    }

    /// Room for a body of `bytes`; small bodies need none.
    async fn reserve(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        if bytes <= SMALL_BODY {
            return None;
        }
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(LARGE_BODIES_KIB);
        Arc::clone(&self.0).acquire_many_owned(kib).await.ok()
    }
}

/// A body read whole; its share of the room for large bodies is given back when it is dropped.
pub(crate) struct BoundedBody {
    pub(crate) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Reads `body` of at most `limit` bytes within `patience`, the wait for room included.
pub(crate) async fn read(
    body: Incoming,
    limit: u64,
    large_bodies: &LargeBodies,
    patience: Duration,
) -> Result<BoundedBody, BodyRefusal> {
    let hint = body.size_hint();
    if hint.lower() > limit {
        return Err(BodyRefusal::TooLarge { limit });
    }
    let expected = hint.upper().unwrap_or(limit).min(limit);
    let whole = async {
        let room = large_bodies.reserve(expected).await;
        let limit_bytes = usize::try_from(limit).unwrap_or(usize::MAX);
        let bytes = Limited::new(body, limit_bytes).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                BodyRefusal::TooLarge { limit }
            } else {
                BodyRefusal::Broken(error.to_string())
            }
        })?;
        Ok(BoundedBody { bytes: bytes.to_bytes(), _room: room })
    };
    timeout(patience, whole).await.unwrap_or(Err(BodyRefusal::TooSlow { seconds: patience.as_secs() }))
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyRefusal {
    #[error("the body is larger than this route's limit of {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the body did not arrive whole within {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("the body could not be read: {0}")]
    Broken(String),
}

/// Up to here a body needs no room of its own: the number of connections bounds these.
const SMALL_BODY: u64 = 64 * 1024;

/// All large bodies in memory at one moment, in KiB.
const LARGE_BODIES_KIB: u32 = 256 * 1024;
