//! A small HTTP client for our own listeners, used by the subcommands that talk to a running daemon.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use crate::text::OneLine;

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A Unix socket's path.
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// A daemon to talk to; each request has a connection of its own.
pub(crate) struct Client {
    pub(crate) target: Target,
    /// The bearer token, if the daemon asks for one.
    pub(crate) token: Option<Zeroizing<String>>,
}

/// A daemon's answer, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

impl Client {
    /// Sends one request, with a JSON body if there is one, and reads the answer.
    ///
    /// What a daemon answers from memory has to come within seconds. Work may take as long as it lasts, for as long as
    /// the daemon answers whoever asks how it is.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Reply, ClientError> {
        if method == Method::GET {
            return self.answered(SIGN_OF_LIFE, self.request(method, path, body)).await;
        }
        self.answered(SIGN_OF_LIFE, self.upcheck()).await?;
        tokio::select! {
            reply = self.request(method, path, body) => reply,
            () = self.falls_silent() => Err(ClientError::FellSilent { target: self.target.clone() }),
        }
    }

    async fn upcheck(&self) -> Result<Reply, ClientError> {
        self.request(Method::GET, "/upcheck", None).await
    }

    /// The outcome of a request, if it comes in time.
    async fn answered(
        &self,
        patience: Duration,
        request: impl Future<Output = Result<Reply, ClientError>>,
    ) -> Result<Reply, ClientError> {
        match timeout(patience, request).await {
            Ok(Err(ClientError::Connect { source, .. })) if source.kind() == io::ErrorKind::WouldBlock => {}
            Ok(outcome) => return outcome,
            Err(_) => {}
        }
        let holder = self.holder().await;
        Err(ClientError::Silent { target: self.target.clone(), holder, units: String::new() })
    }

    /// Resolves when the daemon no longer answers whoever asks how it is. One that is gone breaks the connection that
    /// is waited on.
    async fn falls_silent(&self) {
        loop {
            sleep(SIGN_OF_LIFE).await;
            if timeout(SIGN_OF_LIFE_AT_WORK, self.upcheck()).await.is_err() {
                return;
            }
        }
    }

    /// Who listens on a Unix socket.
    async fn holder(&self) -> Holder {
        let Target::Unix(socket) = &self.target else { return Holder::Unknown };
        let Ok(stream) = UnixStream::connect(socket).await else { return Holder::Unknown };
        match stream.peer_cred().ok().and_then(|credentials| credentials.pid()) {
            Some(1) => Holder::Systemd,
            Some(pid) if pid > 1 => {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                Holder::Process { pid, name: name.trim_end().to_owned() }
            }
            Some(_) | None => Holder::Unknown,
        }
    }

    async fn request(&self, method: Method, path: &str, body: Option<String>) -> Result<Reply, ClientError> {
        let connect =
            |source| ClientError::Connect { target: self.target.clone(), units: String::new(), source };
        match &self.target {
            Target::Unix(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(connect)?;
                self.exchange(stream, method, path, body).await
            }
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(connect)?;
                self.exchange(stream, method, path, body).await
            }
        }
    }

    async fn exchange<S>(
        &self,
        stream: S,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Reply, ClientError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let target = || self.target.clone();
        let broken = |source: hyper::Error| {
            if source.is_parse() {
                // To an HTTP client a TLS alert is an answer that makes no sense.
                return ClientError::NotHttp { target: target(), source };
            }
            ClientError::Broken { target: target(), source }
        };
        let host = match &self.target {
            Target::Unix(_) => "localhost",
            Target::Tcp(address) => address.as_str(),
        };
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, host).header(ACCEPT, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.as_str()));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request =
            request.body(Full::new(Bytes::from(body.unwrap_or_default()))).map_err(ClientError::Request)?;

        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
        drop(sender);
        connection.abort();
        Ok(Reply { status, body: String::from_utf8_lossy(&bytes).into_owned() })
    }
}

/// The process that listens on a socket.
#[derive(Debug)]
pub(crate) enum Holder {
    Systemd,
    Process { pid: i32, name: String },
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Systemd => f.write_str(": systemd holds the socket, and no daemon takes what waits there"),
            Self::Process { pid, name } => write!(f, ": process {pid} ({}) holds the socket", OneLine(name)),
            Self::Unknown => Ok(()),
        }
    }
}

/// Why a daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("cannot connect to {target}{units}: {}", hint(.source))]
    Connect { target: Target, units: String, source: io::Error },
    #[error("nothing answers at {target} within {} s{holder}{units}; run 'bls-signer check'", SIGN_OF_LIFE.as_secs())]
    Silent { target: Target, holder: Holder, units: String },
    #[error(
        "the daemon at {target} does not answer any more: whether it has done, or will do, what was asked is not known"
    )]
    FellSilent { target: Target },
    #[error("the connection to {target} broke")]
    Broken { target: Target, source: hyper::Error },
    #[error(
        "{target} does not answer in plain HTTP, so it is perhaps TLS: the commands speak no TLS, name a listener on a \
         Unix socket or a plain one on a loopback address with --connect"
    )]
    NotHttp { target: Target, source: hyper::Error },
    #[error("the request cannot be made")]
    Request(#[source] hyper::http::Error),
}

/// What to look at where nobody was reached.
fn hint(reason: &io::Error) -> &'static str {
    match reason.kind() {
        io::ErrorKind::PermissionDenied => {
            "this user may not connect there: ask as root, or as a member of the socket's group"
        }
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "no daemon listens there: 'bls-signer check' says what would keep it from that"
        }
        _ => "is the daemon running there, and may this user connect?",
    }
}

impl ClientError {
    /// With what is known of the units that should serve there.
    pub(crate) fn beside(mut self, known: impl FnOnce() -> String) -> Self {
        if let Self::Connect { units, .. } | Self::Silent { units, .. } = &mut self {
            *units = known();
        }
        self
    }
}

/// For the first answer. A daemon that works answers within milliseconds.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
/// For a daemon that is at work for us.
const SIGN_OF_LIFE_AT_WORK: Duration = Duration::from_secs(10);
