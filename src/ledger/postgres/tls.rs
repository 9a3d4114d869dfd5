//! TLS to the shared ledger's database: rustls by the operator's own authorities, with channel binding.
//!
//! The crates that join tokio-postgres to rustls bring another library of cryptography, or one that reads whole
//! certificates. The certificate's hash in the password's proof (`tls-server-end-point`, RFC 5929, 4.1) binds that to
//! this connection: to whoever stands between, it proves nothing.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::{TlsConnector, client};

use super::error::Error;
use crate::der::{OBJECT_IDENTIFIER, SEQUENCE, next};
use crate::regular_file::RegularFile;

/// A client's side of TLS; none where no authorities were named.
#[derive(Clone)]
pub(super) struct Tls(Option<TlsConnector>);

impl Tls {
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Takes servers that the authorities in a file vouch for, by their name in the address.
    pub(super) fn by_authorities(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Authorities { path: path.to_owned(), source };
        let pem = RegularFile::open(path).and_then(|file| file.read(LARGEST_FILE_BYTES));
        let pem = pem.map_err(|error| failed(Box::new(error)))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| failed(Box::new(error)))?;
            roots.add(certificate).map_err(|error| failed(Box::new(error)))?;
        }
        if roots.is_empty() {
            return Err(failed("there is no certificate in it".into()));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(Box::new(error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Some(TlsConnector::from(Arc::new(config)))))
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Handshake> {
        // Asked for with Unix sockets, too, which have no name and no TLS.
        let server = ServerName::try_from(domain.to_owned()).ok();
        Ok(Handshake(self.0.clone().zip(server)))
    }
}

/// A handshake with one server.
pub(super) struct Handshake(Option<(TlsConnector, ServerName<'static>)>);

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let (connector, server) = self.0.ok_or_else(|| io::Error::other("the server has no name"))?;
            Ok(Encrypted(Box::new(connector.connect(server, stream).await?)))
        })
    }
}

/// An encrypted connection.
pub(super) struct Encrypted(Box<client::TlsStream<Socket>>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        let certificate = self.0.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let end_point = certificate.and_then(|certificate| end_point(certificate));
        end_point.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// The hash of a certificate that both ends reckon alike: by the hash of its own signature, SHA-256 in place of older
/// ones. None for signatures whose hash is not told by their name, such as Ed25519's.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (fields, _) = next(certificate, SEQUENCE)?;
    let (_to_be_signed, rest) = next(fields.content, SEQUENCE)?;
    let (signature, _) = next(rest, SEQUENCE)?;
    let (algorithm, _) = next(signature.content, OBJECT_IDENTIFIER)?;
    let hash = SIGNATURES.iter().find(|(name, _)| *name == algorithm.content)?.1;
    Some(match hash {
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// Object identifiers of signatures (RFC 8017, A.2.4; RFC 5758, 3.2; RFC 3279, 2.2) and the hash for the binding.
const SIGNATURES: [(&[u8], Hash); 9] = [
    // md5WithRSAEncryption, sha1WithRSAEncryption, sha256WithRSAEncryption and on.
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], Hash::Sha256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], Hash::Sha256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], Hash::Sha256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], Hash::Sha384),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], Hash::Sha512),
    // ecdsa-with-SHA1, ecdsa-with-SHA256 and on.
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], Hash::Sha256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], Hash::Sha256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], Hash::Sha384),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], Hash::Sha512),
];
/// More than any system's bundle of authorities.
const LARGEST_FILE_BYTES: u64 = 16 << 20;
