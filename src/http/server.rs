//! HTTP server: accepts connections, bounded in number and idle time, and ends them in good order.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::capacity::Capacity;
use super::connection::{Connection, Scope, Service, Timeouts, stopped};
use super::connection_counts::ConnectionCounts;
use super::connection_permits::ConnectionPermits;
use super::presence::{ClientSocket, probe_when_idle};
use super::tls::{self, Admission, Tls};
use super::token_throttle::PeerLogLimit;
use crate::caller::{Caller, Peer};
use crate::config::Role;
use crate::sys::hardening::return_freed_memory;
use crate::sys::peer_groups::peer_groups;
use crate::text::chain;

/// What a server allows its callers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at once on each listener that validator clients use, and a quarter of it on each other; beyond that
    /// others are closed for further ones.
    pub(crate) connections: usize,
    pub(crate) timeouts: Timeouts,
}

impl Limits {
    fn connections_for(&self, role: Role) -> usize {
        match role {
            Role::Signing | Role::All => self.connections,
            Role::Keymanager | Role::Metrics => self.connections.div_ceil(4),
        }
    }
}

/// A listening socket with what it serves.
pub(crate) struct Listener {
    pub(crate) role: Role,
    pub(crate) socket: Socket,
    /// systemd keeps it: who comes while we stop waits for the next process.
    pub(crate) is_inherited: bool,
}

/// The transport of a listening socket.
pub(crate) enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener, Option<Tls>),
}

/// Serves connections until `stop` turns true, then drains: the requests in hand are answered, and what is not done
/// after `grace` is cut off. Meanwhile sockets of our own take new connections for monitoring alone, so that it can be
/// seen.
pub(crate) async fn serve<S: Service>(
    listeners: Vec<Listener>,
    service: Arc<S>,
    capacity: Arc<Capacity>,
    counts: Arc<ConnectionCounts>,
    limits: Limits,
    stop: watch::Receiver<bool>,
    grace: Duration,
) {
    allow_open_files();
    let (open, mut all_closed) = mpsc::channel::<Infallible>(1);
    let failed_handshakes = PeerLogLimit::default();
    let shared = Arc::new(Shared { service, counts, limits, failed_handshakes, http: http_builder(limits) });
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        let (shared, open, stop) = (Arc::clone(&shared), open.clone(), stop.clone());
        acceptors.spawn(async move {
            accept(&listener, shared, Some(open), stop).await;
            listener
        });
    }
    drop(open);
    let mut late_acceptors = JoinSet::new();
    let mut every = interval(STALL_CHECK_INTERVAL);
    let mut most_held = 0;
    loop {
        tokio::select! {
            stopped = acceptors.join_next() => match stopped {
                None => break,
                Some(Ok(listener)) if !listener.is_inherited => {
                    let (shared, stop) = (Arc::clone(&shared), stop.clone());
                    late_acceptors.spawn(async move { accept(&listener, shared, None, stop).await });
                }
                Some(_) => {}
            },
            _ = every.tick() => {
                capacity.break_off_stalled();
                let held = capacity.held_kib();
                most_held = held.max(most_held);
                if most_held >= TRIM_THRESHOLD_KIB && held < most_held / 4 {
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
    setsockopt(stream, sockopt::SndBuf, &SOCKET_BUFFER_BYTES)?;
    setsockopt(stream, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES)
}

/// Connections are bounded by `Limits`, not by the soft limit of open files, which shells set to 1,024.
fn allow_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(
            error = chain(&error),
            "the limit of open files could not be raised: further connections may have to wait"
        );
    }
}

/// What all connections share.
struct Shared<S> {
    service: Arc<S>,
    counts: Arc<ConnectionCounts>,
    limits: Limits,
    failed_handshakes: PeerLogLimit,
    http: auto::Builder<TokioExecutor>,
}

/// Accepts connections of one listener until the server stops; `open` is held by each until it has ended. Without
/// `open` the server is stopping, and they are for monitoring alone.
async fn accept<S: Service>(
    listener: &Listener,
    shared: Arc<Shared<S>>,
    open: Option<mpsc::Sender<Infallible>>,
    mut stop: watch::Receiver<bool>,
) {
    let scope = if open.is_some() { Scope::Everything } else { Scope::Monitoring };
    let permits = ConnectionPermits::new(shared.limits.connections_for(listener.role));
    let waiting = Arc::new(Semaphore::new(MAX_WAITING_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop), if scope == Scope::Everything => return,
        };
        let (stream, caller) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the peer has gone: neither is helped by a busy loop.
                tracing::warn!(error = chain(&error), "a connection could not be accepted");
                if is_out_of_descriptors(&error) {
                    permits.close_one();
                }
                sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        // Who has to wait for a permit keeps nobody else from asking for one. What has been accepted is served, also by
        // a server that was told to stop meanwhile: to the client a dropped connection is a crash.
        let (permit, place) = match permits.try_take(&caller.share()) {
            Some(permit) => (Some(permit), None),
            None => tokio::select! {
                biased;
                place = Arc::clone(&waiting).acquire_owned() => (None, Some(place)),
                () = stopped(&mut stop), if scope == Scope::Everything => return,
            },
        };
        let (shared, open, stop) = (Arc::clone(&shared), open.clone(), stop.clone());
        let permits = Arc::clone(&permits);
        tokio::spawn(async move {
            let permit = match permit {
                Some(permit) => permit,
                None => permits.take(&caller.share()).await,
            };
            drop(place);
            let counted = shared.counts.open(caller.role);
            let Shared { service, limits, http, .. } = &*shared;
            let mut caller = caller;
            let client = stream.client_of(caller.role);
            match stream {
                Stream::Unix(stream) => {
                    let connection = Connection::new(caller, Admission::Open, permit, client, stop, scope);
                    connection.serve(stream, Arc::clone(service), http, limits.timeouts).await;
                }
                Stream::Tcp(stream) => {
                    let connection = Connection::new(caller, Admission::Open, permit, client, stop, scope);
                    connection.serve(stream, Arc::clone(service), http, limits.timeouts).await;
                }
                Stream::Tls(stream, tls) => {
                    let handshake = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
                    let accepted = tokio::select! {
                        accepted = handshake => accepted,
                        () = permit.wanted() => return,
                    };
                    match accepted {
                        Ok(Ok((stream, admission))) => {
                            caller.certificate = admission.shown();
                            let connection = Connection::new(caller, admission, permit, client, stop, scope);
                            connection.serve(stream, Arc::clone(service), http, limits.timeouts).await;
                        }
                        Ok(Err(error)) => shared.note_failed_handshake(&caller, &error),
                        Err(_) => tracing::debug!(%caller, "TLS handshake took too long"),
                    }
                }
            }
            drop((open, counted));
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

impl Stream {
    /// The client's socket, where there is work that is dropped without it: what manages keys.
    fn client_of(&self, role: Role) -> ClientSocket {
        match role {
            Role::Signing | Role::Metrics => return ClientSocket::default(),
            Role::Keymanager | Role::All => {}
        }
        match self {
            Self::Unix(stream) => ClientSocket::of(stream),
            Self::Tcp(stream) | Self::Tls(stream, _) => ClientSocket::of(stream),
        }
    }
}

impl Listener {
    /// The next connection whose other end is still there. Errors are the listening socket's own.
    async fn accept(&self) -> io::Result<(Stream, Caller)> {
        let role = self.role;
        match &self.socket {
            Socket::Unix(listener) => loop {
                let (stream, _) = listener.accept().await?;
                let Ok(peer) = stream.peer_cred() else { continue };
                let peer = Peer::Unix { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() };
                // Who is in no group that the kernel tells of is no client that is known by one.
                let groups = peer_groups(&stream).unwrap_or_default().into();
                return Ok((Stream::Unix(stream), Caller { role, peer, groups, certificate: None }));
            },
            Socket::Tcp(listener, tls) => loop {
                let (stream, address) = listener.accept().await?;
                let Ok(()) = stream.set_nodelay(true) else { continue };
                let Ok(()) = bound_buffers(&stream) else { continue };
                let Ok(()) = probe_when_idle(&stream) else { continue };
                let peer = Peer::Tcp(address);
                let caller = Caller { role, peer, groups: Arc::default(), certificate: None };
                return Ok(match tls {
                    Some(tls) => (Stream::Tls(stream, tls.clone()), caller),
                    None => (Stream::Tcp(stream), caller),
                });
            },
        }
    }
}

impl<S> Shared<S> {
    /// Logs a TLS handshake that failed, if the peer has not just been named.
    fn note_failed_handshake(&self, caller: &Caller, error: &io::Error) {
        match tls::refusal(error) {
            // A probe of the port leaves in the middle of the handshake.
            None => tracing::debug!(%caller, error = chain(&error), "a TLS handshake was broken off"),
            Some(reason) => {
                if let Some(refused) = self.failed_handshakes.note(caller.peer) {
                    tracing::warn!(%caller, refused, "TLS handshake refused: {reason}");
                }
            }
        }
    }
}

/// What both versions of HTTP allow.
pub(crate) fn http_builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // The same clock runs while a connection idles, hence the longer of the two limits.
        .header_read_timeout(limits.timeouts.idle)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        // A client that has said all may stop sending and wait for its answer.
        .half_close(true);
    http.http2()
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEAD_BYTES_H2)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_RESET_STREAMS);
    http
}

/// A request's head in bytes. Ours have a few hundred.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEAD_BYTES_H2: u32 = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// Requests in flight on one HTTP/2 connection. A validator client with a thousand keys has them all at once, and its
/// library sends the next when one is answered (RFC 9113, 5.1.2).
const MAX_STREAMS: u32 = 128;

/// Bytes of bodies that an HTTP/2 client may send before we read them: the least that there is (RFC 9113, 6.9.2).
const CONNECTION_WINDOW_BYTES: u32 = 65_535;

/// Streams that a peer has reset before we answered (rapid reset); beyond, the connection is dropped.
const MAX_RESET_STREAMS: usize = 64;

/// When requests have held so many KiB and gave most of it back, the allocator is told to do the same.
const TRIM_THRESHOLD_KIB: usize = 16 * 1024;

/// Bytes in each direction that the kernel keeps for a TCP connection, which it doubles for its own (socket(7)).
const SOCKET_BUFFER_BYTES: usize = 128 * 1024;

/// Connections of a listener that wait for a permit, and for nothing else; further ones wait in the kernel.
const MAX_WAITING_CONNECTIONS: usize = 256;

const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// For a TLS handshake: some round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often bodies and answers are looked through for stalled ones.
const STALL_CHECK_INTERVAL: Duration = Duration::from_millis(500);
