//! Accepting connections, bounded in number and idle time, and ending them in good order.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::connection_permits::{Place, Places};
use super::response::AnswerBody;
use super::tls::{Admission, Tls};
use super::token_throttle::Source;
use crate::api::service::{Origin, Service};
use crate::caller::{Caller, Peer};
use crate::config::Role;
use crate::sys::hardening::return_freed_memory;

/// What a server allows its callers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at once on each listener that validator clients use, and a quarter of it on each other; beyond that
    /// others are closed for further ones.
    pub(crate) connections: usize,
    /// The time for the first request's head.
    pub(crate) first_request: Duration,
    /// The time between two requests of a connection.
    pub(crate) idle: Duration,
}

impl Limits {
    fn places(&self, role: Role) -> usize {
        match role {
            Role::Signing | Role::All => self.connections,
            Role::Keymanager | Role::Metrics => self.connections.div_ceil(4),
        }
    }
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
    allow_open_files();
    let (open, mut all_closed) = mpsc::channel::<Infallible>(1);
    let shared = Arc::new(Shared { service, limits, http: http_builder(limits) });
    let mut acceptors = JoinSet::new();
    for endpoint in endpoints {
        acceptors.spawn(accept(endpoint, Arc::clone(&shared), open.clone(), stop.clone()));
    }
    drop(open);
    let mut every = interval(LOOK_FOR_STALLED);
    let mut most_held = 0;
    loop {
        tokio::select! {
            acceptor = acceptors.join_next() => if acceptor.is_none() { break },
            _ = every.tick() => {
                shared.service.break_off_stalled();
                let held = shared.service.held_kib();
                most_held = held.max(most_held);
                if most_held >= MUCH_KIB && held < most_held / 4 {
                    return_freed_memory();
                    most_held = held;
                }
            }
        }
    }
    if timeout(grace, all_closed.recv()).await.is_err() {
        tracing::warn!(seconds = grace.as_secs(), "connections were cut off: they had not ended in time");
    }
}

/// The kernel would let each grow to some MiB, also for a client that reads nothing.
fn bound_buffers(stream: &impl AsFd) -> nix::Result<()> {
    setsockopt(stream, sockopt::SndBuf, &SOCKET_BUFFER)?;
    setsockopt(stream, sockopt::RcvBuf, &SOCKET_BUFFER)
}

/// Connections are bounded by `Limits`, not by the soft limit of open files, which shells set to 1,024.
fn allow_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised: further connections may have to wait");
    }
}

struct Shared {
    service: Arc<Service>,
    limits: Limits,
    http: auto::Builder<TokioExecutor>,
}

/// Accepts connections of one listener; `open` is held by each until it has ended.
async fn accept(
    endpoint: Endpoint,
    shared: Arc<Shared>,
    open: mpsc::Sender<Infallible>,
    mut stop: watch::Receiver<bool>,
) {
    let places = Places::new(shared.limits.places(endpoint.role));
    loop {
        let accepted = tokio::select! {
            accepted = endpoint.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        let (stream, caller) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the peer has gone: neither is helped by a busy loop.
                tracing::warn!(%error, "a connection could not be accepted");
                if is_out_of_descriptors(&error) {
                    places.close_one();
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let place = tokio::select! {
            place = places.take(Source::of(caller.peer)) => place,
            () = stopped(&mut stop) => return,
        };
        let (shared, open, stop) = (Arc::clone(&shared), open.clone(), stop.clone());
        tokio::spawn(async move {
            match stream {
                Stream::Unix(stream) => shared.converse(stream, caller, Admission::Open, place, stop).await,
                Stream::Tcp(stream) => shared.converse(stream, caller, Admission::Open, place, stop).await,
                Stream::Tls(stream, tls) => {
                    let handshake = timeout(HANDSHAKE_LIMIT, tls.accept(stream));
                    let accepted = tokio::select! {
                        accepted = handshake => accepted,
                        () = place.wanted() => return,
                    };
                    match accepted {
                        Ok(Ok((stream, admission))) => {
                            shared.converse(stream, caller, admission, place, stop).await;
                        }
                        Ok(Err(error)) => shared.service.note_failed_handshake(&caller, &error),
                        Err(_) => tracing::debug!(%caller, "TLS handshake took too long"),
                    }
                }
            }
            drop(open);
        });
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EMFILE | Errno::ENFILE))
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
                let Ok(()) = bound_buffers(&stream) else { continue };
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
    /// Serves one connection to its end: its own, its idle limit, a crowd waiting, or the server's stop.
    async fn converse<S>(
        &self,
        stream: S,
        caller: Caller,
        admission: Admission,
        place: Place,
        mut stop: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let conversation = Arc::new(Conversation {
            caller,
            admission,
            place,
            stalled: Arc::new(Notify::new()),
            activity: Activity::new(),
            service: Arc::clone(&self.service),
            stop: stop.clone(),
        });
        let (activity, place) = (&conversation.activity, &conversation.place);
        let service = service_fn(|request| Arc::clone(&conversation).answer(request));
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let withdrawn = conversation.admission.withdrawn();
        tokio::pin!(connection, withdrawn);
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
                    let limit = if place.has_served() { self.limits.idle } else { self.limits.first_request };
                    match activity.idle() {
                        Some(idle) if idle >= limit => break,
                        Some(idle) => wait = limit.saturating_sub(idle),
                        None => wait = limit,
                    }
                }
                () = place.wanted() => {
                    if place.has_served() {
                        connection.as_mut().graceful_shutdown();
                        if timeout(LAST_WORDS, connection.as_mut()).await.is_ok() {
                            return;
                        }
                    }
                    // A body that is still coming is not waited for, and a request that came meanwhile is answered.
                    if !place.is_working() {
                        return;
                    }
                    break;
                }
                () = conversation.stalled.notified() => {
                    tracing::debug!(%caller, "a connection was closed: its answers are not read");
                    return;
                }
                () = &mut withdrawn => break,
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
    admission: Admission,
    place: Place,
    /// Told when the client does not read its answers.
    stalled: Arc<Notify>,
    activity: Activity,
    service: Arc<Service>,
    stop: watch::Receiver<bool>,
}

impl Conversation {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<AnswerBody>, Infallible> {
        let _request = self.activity.begin();
        let version = request.version();
        let Self { caller, admission, place, stalled, stop, .. } = &*self;
        let origin = Origin { caller, admission, place, stalled, stop };
        let mut response = self.service.answer(&origin, request).await;
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

fn http_builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // The same clock runs while a connection idles, hence the longer of the two limits.
        .header_read_timeout(limits.idle)
        .max_buf_size(HEAD_LIMIT)
        .max_headers(MAX_HEADERS)
        // A client that has said all may stop sending and wait for its answer.
        .half_close(true);
    http.http2()
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(CONNECTION_WINDOW)
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

/// Requests in flight on one HTTP/2 connection. A validator client with a thousand keys has them all at once, and its
/// library sends the next when one is answered (RFC 9113, 5.1.2).
const MAX_STREAMS: u32 = 128;

/// Bytes of bodies that an HTTP/2 client may send before we read them: the least that there is (RFC 9113, 6.9.2).
const CONNECTION_WINDOW: u32 = 65_535;

/// Streams that a peer has reset before we answered (rapid reset); beyond, the connection is dropped.
const MAX_RESET_STREAMS: usize = 64;

/// When requests have held so many KiB and gave most of it back, the allocator is told to do the same.
const MUCH_KIB: usize = 16 * 1024;

/// Bytes in each direction that the kernel keeps for a TCP connection, which it doubles for its own (socket(7)).
const SOCKET_BUFFER: usize = 128 * 1024;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// For a TLS handshake: some round trips.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(2);

/// How often bodies and answers are looked through for stalled ones.
const LOOK_FOR_STALLED: Duration = Duration::from_millis(500);

/// How long connections stay open for a request on its way when the server stops.
const LINGER: Duration = Duration::from_millis(250);

/// How often a connection that is ending is asked whether it still has a request in hand.
const LAST_WORDS: Duration = Duration::from_millis(100);
