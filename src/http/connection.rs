//! Connection: the requests that come on one stream, until the server stops, its permit is wanted or it idles too long.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::connection_permits::ConnectionPermit;
use super::presence::ClientSocket;
use super::response::ResponseBody;
use super::tls::Admission;
use crate::caller::Caller;
use crate::text::chain;

/// What answers the requests of a server.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers a request. Every refusal is an answer, so this cannot fail.
    fn answer(
        &self,
        connection: &Connection,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<ResponseBody>> + Send;
}

/// What the requests of one connection share.
pub(crate) struct Connection {
    pub(crate) caller: Caller,
    pub(crate) admission: Admission,
    pub(crate) permit: ConnectionPermit,
    pub(crate) client: ClientSocket,
    /// Told when the client does not read its answers.
    pub(crate) stalled: Arc<Notify>,
    /// Turns true when the server stops.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) scope: Scope,
    activity: Activity,
}

/// What a connection may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Everything,
    /// It came when the server was stopping already, to be told so.
    Monitoring,
}

/// How long a connection may keep its server waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// The time for the first request's head.
    pub(crate) first_request: Duration,
    /// The time between two requests.
    pub(crate) idle: Duration,
}

impl Connection {
    pub(crate) fn new(
        caller: Caller,
        admission: Admission,
        permit: ConnectionPermit,
        client: ClientSocket,
        stop: watch::Receiver<bool>,
        scope: Scope,
    ) -> Self {
        let (stalled, activity) = (Arc::new(Notify::new()), Activity::new());
        Self { caller, admission, permit, client, stalled, stop, scope, activity }
    }

    /// Whether the server is stopping.
    pub(crate) fn is_draining(&self) -> bool {
        *self.stop.borrow()
    }

    /// Serves it to its end: its own, its idle limit, pressure for its permit, or the server's stop.
    pub(crate) async fn serve<T, S>(
        self,
        stream: T,
        service: Arc<S>,
        http: &auto::Builder<TokioExecutor>,
        timeouts: Timeouts,
    ) where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Service,
    {
        let mut stop = self.stop.clone();
        let served = Arc::new(Served { connection: self, service });
        let Self { caller, admission, permit, stalled, activity, .. } = &served.connection;
        let serving = http.serve_connection(
            TokioIo::new(stream),
            service_fn(|request| Arc::clone(&served).answer(request)),
        );
        let withdrawn = admission.withdrawn();
        tokio::pin!(serving, withdrawn);
        let mut wait = timeouts.first_request;
        loop {
            tokio::select! {
                ended = serving.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%caller, error = chain(error.as_ref()), "a connection ended badly");
                    }
                    return;
                }
                () = sleep(wait) => {
                    let limit = if permit.has_served() { timeouts.idle } else { timeouts.first_request };
                    match activity.idle() {
                        Some(idle) if idle >= limit => break,
                        Some(idle) => wait = limit.saturating_sub(idle),
                        None => wait = limit,
                    }
                }
                () = permit.wanted() => {
                    if permit.has_served() {
                        serving.as_mut().graceful_shutdown();
                        if timeout(CLOSE_CHECK_INTERVAL, serving.as_mut()).await.is_ok() {
                            return;
                        }
                    }
                    // A body that is still coming is not waited for, and a request that came meanwhile is answered.
                    if !permit.is_working() {
                        return;
                    }
                    break;
                }
                () = stalled.notified() => {
                    tracing::debug!(%caller, "a connection was closed: its answers are not read");
                    return;
                }
                () = &mut withdrawn => break,
                () = stopped(&mut stop) => {
                    // Answers now say `Connection: close`. A request that is already on its way is still answered,
                    // which closing an idle connection under it would prevent.
                    if timeout(LATE_REQUEST_TIME, serving.as_mut()).await.is_ok() {
                        return;
                    }
                    break;
                }
            }
        }
        serving.as_mut().graceful_shutdown();
        // A request that is being answered is answered; one whose head is still dribbling in is not waited for.
        while timeout(CLOSE_CHECK_INTERVAL, serving.as_mut()).await.is_err() {
            if activity.idle().is_some() {
                return;
            }
        }
    }
}

/// Resolves when the server stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A lost sender is a server that is gone.
    let _ = stop.wait_for(|&stop| stop).await;
}

/// A connection and who answers its requests.
struct Served<S> {
    connection: Connection,
    service: Arc<S>,
}

impl<S: Service> Served<S> {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let _request = self.connection.activity.begin();
        let version = request.version();
        let mut response = self.service.answer(&self.connection, request).await;
        if self.connection.is_draining() && version == Version::HTTP_11 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// When a connection last did something, and what it is doing now.
struct Activity {
    start: Instant,
    in_flight: AtomicUsize,
    last_end: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { start: Instant::now(), in_flight: AtomicUsize::new(0), last_end: AtomicU64::new(0) }
    }

    fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// For how long there has been no request; `None` while there is one.
    fn idle(&self) -> Option<Duration> {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let last_end = Duration::from_millis(self.last_end.load(Ordering::Relaxed));
        Some(self.start.elapsed().saturating_sub(last_end))
    }

    fn end(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_end.store(now, Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request being answered, until it is dropped; also when its connection breaks first.
struct InFlight<'a>(&'a Activity);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// How long connections stay open for a request on its way when the server stops.
const LATE_REQUEST_TIME: Duration = Duration::from_millis(250);

/// How often a connection that is ending is asked whether it still has a request in hand.
const CLOSE_CHECK_INTERVAL: Duration = Duration::from_millis(100);
