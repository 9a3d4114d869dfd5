//! HTTP/1.1 client for one server: bounded answers, no redirects, TLS by the host's or the operator's authorities.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::credential::SecretFile;
use crate::trouble::{Kind, Trouble};

/// A server's address: `https://HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    is_plain: bool,
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NoAddress(text.chars().take(LONGEST_SHOWN).collect());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (is_plain, usual) = match uri.scheme_str() {
            Some("https") => (false, 443),
            Some("http") => (true, 80),
            Some(_) | None => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        Ok(Self { is_plain, host: authority.host().to_owned(), port: authority.port_u16().unwrap_or(usual) })
    }
}

impl Address {
    /// Whether nothing is encrypted on the way.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Whether it is this host.
    pub(crate) fn is_loopback(&self) -> bool {
        self.bare_host().parse().is_ok_and(|ip: IpAddr| ip.is_loopback()) || self.host == "localhost"
    }

    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.is_plain { "http" } else { "https" }, self.host, self.port)
    }
}

/// A text that is no server's address.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no address: use https://HOST or https://HOST:PORT")]
pub(crate) struct NoAddress(String);

/// How a server is reached.
#[derive(Clone)]
pub(crate) struct Endpoint {
    address: Address,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A certificate that the fetcher shows.
pub(crate) struct ClientCertificate<'f> {
    pub(crate) chain: &'f Path,
    pub(crate) key: &'f SecretFile,
}

impl Endpoint {
    /// `authorities` is a PEM file; without one the host's.
    pub(crate) fn new(
        address: &Address,
        authorities: Option<&Path>,
        certificate: Option<ClientCertificate<'_>>,
    ) -> Result<Self, Trouble> {
        let tls = if address.is_plain { None } else { Some(tls(address, authorities, certificate)?) };
        Ok(Self { address: address.clone(), tls })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Trouble> {
        let unreachable =
            |error: &dyn fmt::Display| Trouble::new(Kind::Unreachable, format!("{}: {error}", self.address));
        let stream = TcpStream::connect((self.address.bare_host(), self.address.port))
            .await
            .map_err(|error| unreachable(&error))?;
        stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
        match &self.tls {
            None => self.shake_hands(stream).await,
            Some((connector, name)) => {
                let stream =
                    connector.connect(name.clone(), stream).await.map_err(|error| unreachable(&error))?;
                self.shake_hands(stream).await
            }
        }
    }

    async fn shake_hands<S>(&self, stream: S) -> Result<SendRequest<Full<Bytes>>, Trouble>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Trouble::new(Kind::Unreachable, format!("{}: {error}", self.address)))?;
        // It ends with the sender, and what was wrong with it the sender says.
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn tls(
    address: &Address,
    authorities: Option<&Path>,
    certificate: Option<ClientCertificate<'_>>,
) -> Result<(TlsConnector, ServerName<'static>), Trouble> {
    let denied = |what: &dyn fmt::Display, error: &dyn fmt::Display| {
        Trouble::new(Kind::Denied, format!("{what} cannot be used: {error}"))
    };
    let path = authorities.unwrap_or(Path::new(HOST_AUTHORITIES));
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(path).map_err(|error| denied(&path.display(), &error))?;
    for authority in read {
        let authority = authority.map_err(|error| denied(&path.display(), &error))?;
        // Some of a host's may be of a form that rustls does not take; then they vouch for nobody.
        let _ = roots.add(authority);
    }
    if roots.is_empty() {
        return Err(denied(&path.display(), &"there is no certificate of an authority in it"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| denied(&"TLS", &error))?
        .with_root_certificates(roots);
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(ClientCertificate { chain, key }) => {
            let certificates: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(chain).and_then(Iterator::collect);
            let certificates = certificates.map_err(|error| denied(&chain.display(), &error))?;
            let text = key.read()?;
            let key_der = PrivateKeyDer::from_pem_slice(text.as_bytes())
                .map_err(|error| denied(&key.path().display(), &error))?;
            builder
                .with_client_auth_cert(certificates, key_der)
                .map_err(|error| denied(&chain.display(), &error))?
        }
    };
    let name =
        ServerName::try_from(address.bare_host().to_owned()).map_err(|error| denied(address, &error))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

/// A client with a connection of its own, which is made when it is needed.
pub(crate) struct Client {
    endpoint: Endpoint,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// What is asked.
pub(crate) struct Question<'q> {
    pub(crate) method: Method,
    pub(crate) path: &'q str,
    pub(crate) headers: &'q [(&'static str, &'q str)],
    pub(crate) body: &'q str,
}

/// What was answered: status and body.
pub(crate) type Answer = (StatusCode, Zeroizing<Vec<u8>>);

impl Client {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, connection: None }
    }

    /// Asks, several times where it may help, and reads an answer that is no error.
    ///
    /// # Errors
    /// What came, at last, was none: 404 is answered all the same.
    pub(crate) async fn ask(&mut self, question: &Question<'_>) -> Result<Answer, Trouble> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match self.try_once(question).await {
                Err(trouble) if trouble.kind.may_pass() => {
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(4);
                }
                outcome => return outcome,
            }
        }
        self.try_once(question).await
    }

    async fn try_once(&mut self, question: &Question<'_>) -> Result<Answer, Trouble> {
        let answered = timeout(ANSWER_TIMEOUT, self.exchange(question)).await;
        let outcome = answered.unwrap_or_else(|_| {
            let seconds = ANSWER_TIMEOUT.as_secs();
            Err(Trouble::new(
                Kind::Timeout,
                format!("{}: no answer within {seconds} s", self.endpoint.address),
            ))
        });
        if outcome.is_err() {
            self.connection = None;
        }
        outcome
    }

    async fn exchange(&mut self, question: &Question<'_>) -> Result<Answer, Trouble> {
        let mut sender = match self.connection.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.endpoint.connect().await?,
        };
        let address = &self.endpoint.address;
        let unreachable =
            |error: hyper::Error| Trouble::new(Kind::Unreachable, format!("{address}: {error}"));
        sender.ready().await.map_err(unreachable)?;
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(question.path)
            .header("host", format!("{}:{}", address.host, address.port));
        for (name, value) in question.headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(question.body.as_bytes())))
            .map_err(|error| Trouble::new(Kind::Malformed, format!("{address} cannot be asked: {error}")))?;
        let answer = sender.send_request(request).await.map_err(unreachable)?;
        let status = answer.status();
        let body = self.body(answer.into_body()).await?;
        judge(address, status)?;
        self.connection = Some(sender);
        Ok((status, body))
    }

    /// In a buffer of fixed size: one that grows leaves its old places unwiped.
    async fn body(&self, mut body: hyper::body::Incoming) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let address = &self.endpoint.address;
        let mut read = Zeroizing::new(Vec::new());
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Trouble::new(Kind::Unreachable, format!("{address}: {error}")))?;
            let Some(data) = frame.data_ref() else { continue };
            let length = read.len().saturating_add(data.len());
            if length > LONGEST_ANSWER_BYTES {
                let reason = format!("{address} answers with more than {LONGEST_ANSWER_BYTES} bytes");
                return Err(Trouble::new(Kind::TooLarge, reason));
            }
            if length > read.capacity() {
                let mut larger = Zeroizing::new(Vec::with_capacity(length.saturating_mul(2)));
                larger.extend_from_slice(&read);
                read = larger;
            }
            read.extend_from_slice(data);
        }
        Ok(read)
    }
}

fn judge(address: &Address, status: StatusCode) -> Result<(), Trouble> {
    let trouble = |kind, what: &str| Err(Trouble::new(kind, format!("{address} {what} ({status})")));
    match status.as_u16() {
        200..=299 | 404 => Ok(()),
        300..=399 => {
            trouble(Kind::Malformed, "answers with a redirect, which is not followed: give its own address")
        }
        401 | 403 => trouble(Kind::Denied, "does not allow it: look at the login's policy"),
        429 | 500..=599 => trouble(Kind::Busy, "cannot answer now"),
        _ => trouble(Kind::Malformed, "does not understand the question"),
    }
}

/// JSON of an answer, which may hold secrets: what is wrong with it is not shown.
pub(crate) fn json<'a, T: serde::Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, Trouble> {
    serde_json::from_slice(body).map_err(|error| {
        let problem = match error.classify() {
            serde_json::error::Category::Data => "has not the form that was expected",
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => "is no JSON",
        };
        Trouble::new(Kind::Malformed, format!("the answer about {what} {problem}"))
    })
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::new(Kind::Unreachable, error.to_string())
    }
}

const HOST_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const TRIES: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A list of 32,768 names of public keys; a keystore has 64 KiB at most.
const LONGEST_ANSWER_BYTES: usize = 4 << 20;
const LONGEST_SHOWN: usize = 100;
