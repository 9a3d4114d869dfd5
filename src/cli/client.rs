//! A small HTTP client for our own listeners, used by the subcommands that talk to a running daemon.

use std::fmt;
use std::io;
use std::path::PathBuf;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use zeroize::Zeroizing;

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
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Reply, ClientError> {
        let connect = |source| ClientError::Connect { target: self.target.clone(), source };
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

/// Why a daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("cannot connect to {target}: is the daemon running there, and may this user connect?")]
    Connect { target: Target, source: io::Error },
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
