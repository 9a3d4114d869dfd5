//! Ways to a server: plain, or TLS by the host's or the operator's authorities.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Address;
use super::known_servers::KnownServer;
use crate::credential::Credential;
use crate::trouble::{Kind, Trouble};

/// How a server is reached.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(super) address: Address,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Who vouches for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The host's authorities.
    Host,
    /// The authorities of a PEM file, and no others.
    Authorities(PathBuf),
    /// A file with fingerprints of servers.
    KnownServers(PathBuf),
}

impl From<Option<&Path>> for Trust {
    fn from(authorities: Option<&Path>) -> Self {
        authorities.map_or(Self::Host, |path| Self::Authorities(path.to_owned()))
    }
}

/// A certificate that the fetcher shows.
pub(crate) struct ClientCertificate<'f> {
    pub(crate) chain: &'f Path,
    pub(crate) key: &'f Credential,
}

impl Endpoint {
    pub(crate) fn new(
        address: &Address,
        trust: impl Into<Trust>,
        certificate: Option<ClientCertificate<'_>>,
    ) -> Result<Self, Trouble> {
        let tls = if address.is_plain() { None } else { Some(tls(address, &trust.into(), certificate)?) };
        Ok(Self { address: address.clone(), tls })
    }

    pub(super) async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Trouble> {
        let unreachable =
            |error: &dyn fmt::Display| Trouble::new(Kind::Unreachable, format!("{}: {error}", self.address));
        let stream = TcpStream::connect((self.address.bare_host(), self.address.port()))
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
    trust: &Trust,
    certificate: Option<ClientCertificate<'_>>,
) -> Result<(TlsConnector, ServerName<'static>), Trouble> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| denied(&"TLS", &error))?;
    let builder = match trust {
        Trust::Host => builder.with_root_certificates(roots(Path::new(HOST_AUTHORITIES))?),
        Trust::Authorities(path) => builder.with_root_certificates(roots(path)?),
        Trust::KnownServers(path) => {
            let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
            let known = KnownServer::read(path, address, algorithms)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(known))
        }
    };
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(ClientCertificate { chain, key }) => {
            let certificates: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(chain).and_then(Iterator::collect);
            let certificates = certificates.map_err(|error| denied(&chain.display(), &error))?;
            let text = key.read()?;
            let key_der =
                PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| denied(key, &error))?;
            builder
                .with_client_auth_cert(certificates, key_der)
                .map_err(|error| denied(&chain.display(), &error))?
        }
    };
    let name =
        ServerName::try_from(address.bare_host().to_owned()).map_err(|error| denied(address, &error))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

/// The authorities of a PEM file.
fn roots(path: &Path) -> Result<RootCertStore, Trouble> {
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
    Ok(roots)
}

fn denied(what: &dyn fmt::Display, error: &dyn fmt::Display) -> Trouble {
    Trouble::new(Kind::Denied, format!("{what} cannot be used: {error}"))
}

const HOST_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
