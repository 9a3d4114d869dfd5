//! Accepting connections, bounded in number and idle time, and ending them in good order.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::caller::{Caller, Peer};
use super::service::Service;
use super::tls::Tls;
use crate::config::Role;

/// What a server allows its callers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at once; further ones wait in the kernel's queue while idle ones are closed for them.
    pub(crate) connections: usize,
    /// The time for a TLS handshake and for the first request's head.
    pub(crate) first_request: Duration,
    /// The time between two requests of a connection.
    pub(crate) idle: Duration,
}

/// A listening socket with what it serves.
pub(crate) struct Endpoint {
    pub(crate) role: Role,
    pub(crate) socket: Socket,
}

/// The transport of a listening socket.
pub(crate) enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener, Option<Tls>),
}

/// Serves connections until `stop` turns true, then drains: no new connection, the requests in hand are answered, and
/// what is not done after `grace` is cut off.
pub(crate) async fn serve(
    endpoints: Vec<Endpoint>,
    service: Arc<Service>,
    limits: Limits,
    stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let shared = Arc::new(Shared {
        service,
        limits,
        places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
        crowded: Notify::new(),
        http: http_builder(limits),
    });
    let mut acceptors = JoinSet::new();
    for endpoint in endpoints {
        acceptors.spawn(accept(endpoint, Arc::clone(&shared), stop.clone()));
    }
    while acceptors.join_next().await.is_some() {}

    let all = u32::try_from(limits.connections.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    if timeout(grace, shared.places.acquire_many(all)).await.is_err() {
        tracing::warn!(seconds = grace.as_secs(), "connections were cut off: they had not ended in time");
    }
}

struct Shared {
    service: Arc<Service>,
    limits: Limits,
    places: Arc<Semaphore>,
    /// Rung when a connection waits for a place: idle connections make room.
    crowded: Notify,
    http: auto::Builder<TokioExecutor>,
}

async fn accept(endpoint: Endpoint, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    loop {
        let place = tokio::select! {
            place = shared.place() => place,
            () = stopped(&mut stop) => return,
        };
        let Some(place) = place else { return };
        let accepted = tokio::select! {
            accepted = endpoint.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        let (stream, caller) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the peer has gone: neither is helped by a busy loop.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        tokio::spawn(async move {
            match stream {
                Stream::Unix(stream) => shared.converse(stream, caller, stop).await,
                Stream::Tcp(stream) => shared.converse(stream, caller, stop).await,
                Stream::Tls(stream, tls) => {
                    match timeout(shared.limits.first_request, tls.accept(stream)).await {
                        Ok(Ok(stream)) => shared.converse(stream, caller, stop).await,
                        Ok(Err(error)) => tracing::debug!(%caller, %error, "TLS handshake failed"),
                        Err(_) => tracing::debug!(%caller, "TLS handshake took too long"),
                    }
                }
            }
            drop(place);
        });
    }
}

enum Stream {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
    Tls(tokio::net::TcpStream, Tls),
}

impl Endpoint {
    /// The next connection whose other end is still there. Errors are the listening socket's own.
    async fn accept(&self) -> io::Result<(Stream, Caller)> {
        let role = self.role;
        match &self.socket {
            Socket::Unix(listener) => loop {
                let (stream, _) = listener.accept().await?;
                let Ok(peer) = stream.peer_cred() else { continue };
                let peer = Peer::Unix { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() };
                return Ok((Stream::Unix(stream), Caller { role, peer }));
            },
            Socket::Tcp(listener, tls) => loop {
                let (stream, address) = listener.accept().await?;
                let Ok(()) = stream.set_nodelay(true) else { continue };
                let caller = Caller { role, peer: Peer::Tcp(address) };
                return Ok(match tls {
                    Some(tls) => (Stream::Tls(stream, tls.clone()), caller),
                    None => (Stream::Tcp(stream), caller),
                });
            },
        }
    }
}

impl Shared {
    /// A place for one more connection. While there is none, idle connections are asked for theirs, again and again,
    /// since one that is too young to go now will be old enough in a moment.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if self.places.available_permits() == 0 {
                self.crowded.notify_waiters();
            }
            if let Ok(place) = timeout(IDLE_IN_A_CROWD, Arc::clone(&self.places).acquire_owned()).await {
                return place.ok();
            }
        }
    }

    /// Serves one connection to its end: its own, its idle limit, a crowd waiting, or the server's stop.
    async fn converse<S>(&self, stream: S, caller: Caller, mut stop: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let conversation = Arc::new(Conversation {
            caller,
            activity: Activity::new(),
            service: Arc::clone(&self.service),
            stop: stop.clone(),
        });
        let activity = &conversation.activity;
        let service = service_fn(|request| Arc::clone(&conversation).answer(request));
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut wait = self.limits.first_request;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%caller, %error, "a connection ended badly");
                    }
                    return;
                }
                () = sleep(wait) => {
                    let limit = if activity.has_served() { self.limits.idle } else { self.limits.first_request };
                    match activity.idle() {
                        Some(idle) if idle >= limit => break,
                        Some(idle) => wait = limit.saturating_sub(idle),
                        None => wait = limit,
                    }
                }
                () = self.crowded.notified() => {
                    if activity.idle().is_some_and(|idle| idle >= IDLE_IN_A_CROWD) {
                        break;
                    }
                }
                () = stopped(&mut stop) => {
                    // Answers now say `Connection: close`. A request that is already on its way is still answered,
                    // which closing an idle connection under it would prevent.
                    if timeout(LINGER, connection.as_mut()).await.is_ok() {
                        return;
                    }
                    break;
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        // A request that is being answered is answered; one whose head is still dribbling in is not waited for.
        while timeout(LAST_WORDS, connection.as_mut()).await.is_err() {
            if activity.idle().is_some() {
                return;
            }
        }
    }
}

/// Resolves when the server stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A lost sender is a server that is gone.
    let _ = stop.wait_for(|&stop| stop).await;
}

/// What the requests of one connection share.
struct Conversation {
    caller: Caller,
    activity: Activity,
    service: Arc<Service>,
    stop: watch::Receiver<bool>,
}

impl Conversation {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let _request = self.activity.begin();
        let version = request.version();
        let mut response = self.service.answer(&self.caller, request, &self.stop).await;
        if *self.stop.borrow() && version == Version::HTTP_11 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// When a connection last did something, and what it is doing now.
struct Activity {
    start: Instant,
    in_flight: AtomicUsize,
    served: AtomicBool,
    last_end: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            in_flight: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            last_end: AtomicU64::new(0),
        }
    }

    fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
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
        self.served.store(true, Ordering::Relaxed);
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

fn http_builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // The same clock runs while a connection idles, hence the longer of the two limits.
        .header_read_timeout(limits.idle)
        .max_buf_size(HEAD_LIMIT)
        .max_headers(MAX_HEADERS)
        .half_close(false);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_LIMIT_H2)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_RESET_STREAMS);
    http
}

/// A request's head in bytes. Ours have a few hundred.
const HEAD_LIMIT: usize = 64 * 1024;
const HEAD_LIMIT_H2: u32 = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// Requests in flight on one HTTP/2 connection: a validator client with a thousand keys sends them all at once.
const MAX_STREAMS: u32 = 1024;

/// Streams that a peer has reset before we answered (rapid reset); beyond, the connection is dropped.
const MAX_RESET_STREAMS: usize = 64;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// While others wait for a place, a connection that has been idle for this long makes room.
const IDLE_IN_A_CROWD: Duration = Duration::from_secs(1);

/// How long connections stay open for a request on its way when the server stops.
const LINGER: Duration = Duration::from_millis(250);

/// How often a connection that is ending is asked whether it still has a request in hand.
const LAST_WORDS: Duration = Duration::from_millis(100);
