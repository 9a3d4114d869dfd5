//! Client certificates that are taken: those that a named authority has signed, and those that are known by
//! fingerprint.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    RootCertStore, SignatureScheme,
};

use super::known_clients::KnownClients;
use super::{TlsError, files};
use crate::config;
use crate::credentials::Fingerprint;
use crate::der;

/// Demands a client certificate and judges it.
#[derive(Debug)]
pub(super) struct Clients {
    known: KnownClients,
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    /// As the files say; `None` where no client certificate is demanded.
    pub(super) fn load(
        files: &config::Tls,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Self>, TlsError> {
        if !files.demands_client_certificate() {
            return Ok(None);
        }
        let known = match &files.known_clients {
            Some(path) => KnownClients::load(path)?,
            None => KnownClients::default(),
        };
        let authorities = authorities(files, provider)?;
        if authorities.is_none() && known.is_empty() {
            tracing::warn!("--tls-known-clients-file names nobody: no client is let in over TLS");
        }
        Ok(Some(Self { known, authorities, algorithms: provider.signature_verification_algorithms }))
    }

    /// Whether who presents this certificate is let in, if he proves that he holds its key, and who vouches for him.
    pub(super) fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<VouchedBy, Refused> {
        let judged = match &self.authorities {
            Some(authorities) => authorities.verify_client_cert(certificate, intermediates, now).map(drop),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        let Err(reason) = judged else { return Ok(VouchedBy::Authority) };
        let fingerprint = Fingerprint::of(certificate);
        if self.known.know(&fingerprint) {
            Ok(VouchedBy::Fingerprint)
        } else {
            Err(Refused { fingerprint, reason })
        }
    }

    /// The authorities' verifier for who is not known by fingerprint.
    fn verifier_of(&self, certificate: &CertificateDer<'_>) -> Option<&Arc<dyn ClientCertVerifier>> {
        let known = self.known.know(&Fingerprint::of(certificate));
        self.authorities.as_ref().filter(|_| !known)
    }
}

/// Why a certificate is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VouchedBy {
    /// An authority, which vouches for the names in it as well.
    Authority,
    /// The file of known clients, which says nothing about the names in it.
    Fingerprint,
}

fn authorities(
    files: &config::Tls,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(path) = &files.client_ca else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    for authority in files::certificates(path)? {
        roots.add(authority).map_err(|source| TlsError::Authority { path: path.clone(), source })?;
    }
    let lists = match &files.client_crl {
        Some(path) => files::revocation_lists(path)?,
        None => Vec::new(),
    };
    // Roots are there, so what cannot be used is a list.
    let named = files.client_crl.as_ref().unwrap_or(path);
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .with_crls(lists)
        .build()
        .map(Some)
        .map_err(|source| TlsError::Authorities { path: named.clone(), source })
}

impl ClientCertVerifier for Clients {
    /// No hint where clients are known by fingerprint: theirs need no authority, and some clients send none that fits
    /// no hint.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.authorities {
            Some(authorities) if self.known.is_empty() => authorities.root_hint_subjects(),
            Some(_) | None => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.judge(end_entity, intermediates, now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(refused) => Err(CertificateError::Other(OtherError(Arc::new(refused))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if let Some(verifier) = self.verifier_of(cert) {
            return verifier.verify_tls12_signature(message, cert, dss);
        }
        let info = der::public_key(cert).ok_or(CertificateError::BadEncoding)?;
        let mapping = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme);
        let (_, candidates) = mapping.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        // In TLS 1.2 a scheme leaves the curve open (RFC 5246, 7.4.1.4.1), so the one for the key's algorithm is taken.
        let fitting =
            candidates.iter().find(|algorithm| algorithm.public_key_alg_id().as_ref() == info.algorithm);
        let fitting = fitting.ok_or(CertificateError::BadSignature)?;
        match fitting.verify_signature(info.key, message, dss.signature()) {
            Ok(()) => Ok(HandshakeSignatureValid::assertion()),
            Err(_) => Err(CertificateError::BadSignature.into()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if let Some(verifier) = self.verifier_of(cert) {
            return verifier.verify_tls13_signature(message, cert, dss);
        }
        let info = der::public_key(cert).ok_or(CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(info.der);
        crypto::verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Why a client certificate is not taken, and what can be done about it.
#[derive(Debug)]
pub(super) struct Refused {
    fingerprint: Fingerprint,
    reason: Error,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fingerprint, reason } = self;
        let advice = match reason {
            Error::InvalidCertificate(error) => advice(error),
            // What else there may be depends on the library.
            _ => PIN,
        };
        write!(f, "the client certificate with the fingerprint {fingerprint} is refused ({reason}): {advice}")
    }
}

impl std::error::Error for Refused {}

fn advice(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "give the client a new one, or set the clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "wait until it is valid, or set the clock"
        }
        CertificateError::Revoked => {
            "its authority has revoked it (--tls-client-crl): give the client a new one"
        }
        CertificateError::UnknownRevocationStatus => {
            "--tls-client-crl has no list of its authority: add that list, or take the option away"
        }
        CertificateError::UnknownIssuer => {
            "add its authority to --tls-client-ca, or its fingerprint to --tls-known-clients-file"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "make one with the usage clientAuth, or add its fingerprint to --tls-known-clients-file"
        }
        // The library's enum grows.
        _ => PIN,
    }
}

const PIN: &str = "add its fingerprint to --tls-known-clients-file, which takes certificates of every form";
