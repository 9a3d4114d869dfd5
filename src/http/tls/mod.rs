//! TLS 1.2 and 1.3 over rustls, with files that are read again on a reload.

mod admission;
mod clients;
mod files;
mod host_clock;
mod known_clients;
pub(crate) mod pkcs12;
mod validity;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, pem};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError};
use rustls::{AlertDescription, CertificateError, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) use self::admission::Admission;
pub(crate) use self::validity::{Expiry, Validity};

use self::clients::{Clients, Refused, VouchedBy};
use self::files::Form;
use self::host_clock::HostClock;
use self::pkcs12::{Identity, Pkcs12Error};
use crate::config;
use crate::regular_file::FileError;

/// A server's side of TLS, ready to take connections. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Tls(Arc<Shared>);

struct Shared {
    files: config::Tls,
    current: ArcSwap<Reading>,
    /// Rung after each reading of the files.
    read: watch::Sender<()>,
}

/// What the files said when they were read.
struct Reading {
    number: u64,
    acceptor: TlsAcceptor,
    clients: Option<Arc<Clients>>,
    expiry: Option<Expiry>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(files: &config::Tls) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(Reading::take(files, 0)?);
        Ok(Self(Arc::new(Shared { files: files.clone(), current, read: watch::Sender::new(()) })))
    }

    /// Reads the files again. Connections whose client certificate is not taken any more notice it in their
    /// [`Admission`].
    ///
    /// # Errors
    /// A file cannot be used. Then nothing has changed.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let reading = Reading::take(&self.0.files, self.reading().wrapping_add(1))?;
        self.0.current.store(Arc::new(reading));
        self.0.read.send_replace(());
        Ok(())
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Admission)> {
        let reading = self.0.current.load_full();
        let stream = reading.acceptor.accept(stream).await?;
        let admission = match (&reading.clients, stream.get_ref().1.peer_certificates()) {
            (None, _) => Admission::Open,
            // Without a certificate the handshake has failed. An empty chain is never taken.
            (Some(_), chain) => {
                let chain = chain.unwrap_or_default().iter().map(|one| one.clone().into_owned()).collect();
                Admission::certificate(self.clone(), chain).map_err(io::Error::other)?
            }
        };
        Ok((stream, admission))
    }

    /// When the certificate ends that listeners show now; `None` if it does not tell.
    pub(crate) fn expiry(&self) -> Option<Expiry> {
        self.0.current.load().expiry
    }

    fn reading(&self) -> u64 {
        self.0.current.load().number
    }

    fn readings(&self) -> watch::Receiver<()> {
        self.0.read.subscribe()
    }

    /// Judges a client's certificate by the newest reading, and says by which, and who vouches for it.
    fn judge(&self, chain: &[CertificateDer<'_>]) -> Result<(u64, VouchedBy), String> {
        let reading = self.0.current.load();
        let Some(clients) = &reading.clients else {
            return Ok((reading.number, VouchedBy::Fingerprint));
        };
        let Some((certificate, intermediates)) = chain.split_first() else {
            return Err("no client certificate".to_owned());
        };
        match clients.judge(certificate, intermediates, HostClock.now()) {
            Ok(vouched_by) => Ok((reading.number, vouched_by)),
            Err(refused) => Err(refused.to_string()),
        }
    }
}

impl Reading {
    fn take(files: &config::Tls, number: u64) -> Result<Self, TlsError> {
        let Identity { chain, key } = files::identity(&files.identity)?;
        let expiry = chain.first().and_then(Expiry::of);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = Clients::load(files, &provider)?.map(Arc::new);
        let builder = ServerConfig::builder_with_details(provider, Arc::new(HostClock))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Config)?;
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients) as Arc<_>),
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|source| TlsError::Mismatch { path: files.identity.certificate().to_owned(), source })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if clients.is_some() {
            // A session that is taken up again is not asked for its certificate, which may have expired meanwhile.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self { number, acceptor: TlsAcceptor::from(Arc::new(config)), clients, expiry })
    }
}

/// Why a handshake failed and what to do about it, where that is a matter of TLS and not of a connection that broke.
pub(crate) fn refusal(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let advice = match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) if other.0.is::<Refused>() => {
            return Some(other.0.to_string());
        }
        rustls::Error::NoCertificatesPresented => {
            "give the client a certificate that --tls-client-ca or --tls-known-clients-file allows"
        }
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired,
        ) => "the client does not trust the certificate of --tls-cert: give it the authority",
        rustls::Error::InvalidMessage(_) => "what it sends is no TLS: does its URL begin with https?",
        // The library's enum grows, and says itself what is wrong.
        _ => "TLS 1.2 or 1.3 is needed",
    };
    Some(format!("{error}: {advice}"))
}

/// What can be wrong with the TLS files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{} cannot be read: check the path and that the signer's user may read it", path.display())]
    Read { path: PathBuf, source: FileError },
    #[error("{} is not PEM of the expected kind", path.display())]
    Pem { path: PathBuf, source: pem::Error },
    #[error("{} is not PEM but {form}", path.display())]
    NotPem { path: PathBuf, form: Form },
    #[error("{} cannot be used as the TLS key store", path.display())]
    Pkcs12 { path: PathBuf, source: Pkcs12Error },
    #[error("{} has no password in its first line: write that of the TLS key store there", path.display())]
    NoPassword { path: PathBuf },
    #[error("{} holds no certificate: a PEM file with BEGIN CERTIFICATE is expected", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds no revocation list: a PEM file with BEGIN X509 CRL is expected", path.display())]
    NoRevocationList { path: PathBuf },
    #[error("{} is not UTF-8 text", path.display())]
    NoText { path: PathBuf },
    #[error(
        "{} line {line} is not a name and the SHA-256 fingerprint of a certificate, as in 'validator-1 AA:BB:...': \
         'openssl x509 -noout -fingerprint -sha256 -in CERTIFICATE' shows it",
        path.display()
    )]
    KnownClient { path: PathBuf, line: usize },
    #[error("{} holds a certificate that cannot be an authority", path.display())]
    Authority { path: PathBuf, source: rustls::Error },
    #[error("{} cannot be used to check client certificates", path.display())]
    Authorities { path: PathBuf, source: VerifierBuilderError },
    #[error("the certificate in {} and the private key cannot be used together", path.display())]
    Mismatch { path: PathBuf, source: rustls::Error },
    #[error("TLS cannot be set up")]
    Config(#[source] rustls::Error),
}
