//! Servers that are known by their certificates' fingerprints, whoever signed those: Web3Signer's known-servers files.

use std::fs;
use std::path::Path;

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::Address;
use crate::trouble::{Kind, Trouble};

/// What vouches for one server.
#[derive(Debug)]
pub(super) struct KnownServer {
    fingerprints: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl KnownServer {
    /// Reads lines of `HOST:PORT FINGERPRINT`: SHA-256 in hexadecimal digits, with or without colons.
    ///
    /// # Errors
    /// The file cannot be read, or has no fingerprint of this server.
    pub(super) fn read(
        path: &Path,
        address: &Address,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, Trouble> {
        let denied =
            |what: &dyn std::fmt::Display| Trouble::new(Kind::Denied, format!("{}: {what}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| denied(&error))?;
        let fingerprints = fingerprints(&text, &format!("{}:{}", address.bare_host(), address.port()));
        if fingerprints.is_empty() {
            return Err(denied(&format!("it has no SHA-256 fingerprint for {address}")));
        }
        Ok(Self { fingerprints, algorithms })
    }
}

fn fingerprints(text: &str, server: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    let of_server = lines.filter(|(name, _)| name.eq_ignore_ascii_case(server));
    let fingerprints = of_server.map(|(_, digits)| digits.trim().replace(':', "").to_ascii_lowercase());
    fingerprints
        .filter(|digits| digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .collect()
}

impl ServerCertVerifier for KnownServer {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = digest(&SHA256, certificate);
        let shown: String = shown.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        if self.fingerprints.contains(&shown) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_the_fingerprints_that_stand_beside_its_name() {
        let digits =
            "6C:B2:3E:F9:88:43:5E:62:69:9F:A9:9D:41:14:03:BA:83:24:AC:04:CE:BD:92:49:1B:8D:B2:A4:86:39:4C:BB";
        let bare = digits.replace(':', "").to_lowercase();
        let text = format!(
            "# servers\nvault:8200 {digits}\nother:8200 {}\n\nVault:8200\t{bare}\nvault:8200 12\n",
            "0".repeat(64)
        );
        assert_eq!(fingerprints(&text, "vault:8200"), [bare.clone(), bare]);
        assert!(fingerprints(&text, "vault:443").is_empty());
    }
}
