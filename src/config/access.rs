//! TLS on TCP listeners, and whose client certificates are taken.

use std::path::{Path, PathBuf};

use super::Error;
use crate::regular_file::RegularFile;

/// Certificate and key for TLS on TCP listeners, as files in PEM form. They exist and can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The certificate chain, the server's own first.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The authorities whose client certificates are accepted; with one, a certificate is demanded.
    pub(crate) client_ca: Option<PathBuf>,
    /// Certificates that these authorities have revoked.
    pub(crate) client_crl: Option<PathBuf>,
    /// Clients that are known by the fingerprint of their certificate; with a file of them, a certificate is demanded.
    pub(crate) known_clients: Option<PathBuf>,
}

/// The options for TLS as they were given.
#[derive(Default)]
pub(super) struct TlsFiles {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) client_crl: Option<PathBuf>,
    pub(super) known_clients: Option<PathBuf>,
}

impl Tls {
    /// All or nothing: a certificate without its key, or client certificates without TLS, is a mistake.
    pub(super) fn validate(files: TlsFiles) -> Result<Option<Self>, Error> {
        let TlsFiles { certificate, key, client_ca, client_crl, known_clients } = files;
        let incomplete = |given, missing| Err(Error::Incomplete { given, missing });
        let (certificate, key) = match (certificate, key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => return incomplete("--tls-cert", "--tls-key"),
            (None, Some(_)) => return incomplete("--tls-key", "--tls-cert"),
            (None, None) => {
                let given = [
                    (client_ca, "--tls-client-ca"),
                    (client_crl, "--tls-client-crl"),
                    (known_clients, "--tls-known-clients-file"),
                ];
                return match given.into_iter().find(|(file, _)| file.is_some()) {
                    Some((_, given)) => incomplete(given, "--tls-cert"),
                    None => Ok(None),
                };
            }
        };
        if client_crl.is_some() && client_ca.is_none() {
            return incomplete("--tls-client-crl", "--tls-client-ca");
        }
        readable("the TLS certificate", &certificate)?;
        readable("the TLS key", &key)?;
        for (what, file) in [
            ("the client certificate authority", &client_ca),
            ("the certificate revocation list", &client_crl),
            ("the file of known clients", &known_clients),
        ] {
            if let Some(file) = file {
                readable(what, file)?;
            }
        }
        Ok(Some(Self { certificate, key, client_ca, client_crl, known_clients }))
    }

    /// Whether who has no client certificate is refused.
    pub(crate) fn demands_client_certificate(&self) -> bool {
        self.client_ca.is_some() || self.known_clients.is_some()
    }
}

/// Refuses a file that is missing or cannot be read.
fn readable(what: &'static str, path: &Path) -> Result<(), Error> {
    RegularFile::open(path).map(drop).map_err(|source| Error::File { what, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_and_key_come_together() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pem");
        std::fs::write(&file, "pem").unwrap();
        let some = || Some(file.clone());
        let missing = |files| match Tls::validate(files) {
            Err(Error::Incomplete { missing, .. }) => missing,
            other => panic!("{other:?}"),
        };
        let server = || TlsFiles { certificate: some(), key: some(), ..TlsFiles::default() };
        assert_eq!(missing(TlsFiles { key: None, ..server() }), "--tls-key");
        assert_eq!(missing(TlsFiles { certificate: None, ..server() }), "--tls-cert");
        for alone in [
            TlsFiles { client_ca: some(), ..TlsFiles::default() },
            TlsFiles { client_crl: some(), ..TlsFiles::default() },
            TlsFiles { known_clients: some(), ..TlsFiles::default() },
        ] {
            assert_eq!(missing(alone), "--tls-cert");
        }
        assert_eq!(missing(TlsFiles { client_crl: some(), ..server() }), "--tls-client-ca");
        assert_eq!(Tls::validate(TlsFiles::default()).unwrap(), None);
        for (files, demands) in [
            (server(), false),
            (TlsFiles { client_ca: some(), client_crl: some(), ..server() }, true),
            (TlsFiles { known_clients: some(), ..server() }, true),
        ] {
            assert_eq!(Tls::validate(files).unwrap().unwrap().demands_client_certificate(), demands);
        }
        let nowhere = TlsFiles { key: Some("/nonexistent".into()), ..server() };
        assert!(matches!(Tls::validate(nowhere), Err(Error::File { .. })));
    }
}
