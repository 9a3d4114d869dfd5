//! TLS on TCP listeners, and whose client certificates are taken.

use std::path::{Path, PathBuf};

use super::Error;
use crate::regular_file::RegularFile;

/// Certificate and key for TLS on TCP listeners. The files exist and can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) identity: TlsIdentity,
    /// The authorities whose client certificates are accepted; with one, a certificate is demanded.
    pub(crate) client_ca: Option<PathBuf>,
    /// Certificates that these authorities have revoked.
    pub(crate) client_crl: Option<PathBuf>,
    /// Clients that are known by the fingerprint of their certificate; with a file of them, a certificate is demanded.
    pub(crate) known_clients: Option<PathBuf>,
}

/// What the server shows to clients, with the key for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TlsIdentity {
    /// The certificate chain, the server's own first, and its key, each in PEM form.
    Pem { certificate: PathBuf, key: PathBuf },
    /// Both in a PKCS#12 store, and its password.
    Pkcs12 { store: PathBuf, password: PathBuf },
}

impl TlsIdentity {
    /// Where the certificate is.
    pub(crate) fn certificate(&self) -> &Path {
        match self {
            Self::Pem { certificate, .. } => certificate,
            Self::Pkcs12 { store, .. } => store,
        }
    }

    /// What nobody else may read, and what it is.
    pub(super) fn secret(&self) -> (&'static str, &Path) {
        match self {
            Self::Pem { key, .. } => (KEY, key),
            Self::Pkcs12 { password, .. } => (STORE_PASSWORD, password),
        }
    }

    fn validate(files: &mut TlsFiles) -> Result<Option<Self>, Error> {
        let incomplete = |given, missing| Err(Error::Incomplete { given, missing });
        let pem = match (files.certificate.take(), files.key.take()) {
            (Some(certificate), Some(key)) => Some(Self::Pem { certificate, key }),
            (Some(_), None) => return incomplete("--tls-cert", "--tls-key"),
            (None, Some(_)) => return incomplete("--tls-key", "--tls-cert"),
            (None, None) => None,
        };
        let store = match (files.keystore.take(), files.keystore_password.take()) {
            (Some(store), Some(password)) => Some(Self::Pkcs12 { store, password }),
            (Some(_), None) => return incomplete("--tls-keystore-file", "--tls-keystore-password-file"),
            (None, Some(_)) => return incomplete("--tls-keystore-password-file", "--tls-keystore-file"),
            (None, None) => None,
        };
        match (pem, store) {
            (Some(_), Some(_)) => Err(Error::Conflict { first: "--tls-cert", second: "--tls-keystore-file" }),
            (identity, None) | (None, identity) => Ok(identity),
        }
    }
}

/// The options for TLS as they were given.
#[derive(Default)]
pub(super) struct TlsFiles {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) keystore: Option<PathBuf>,
    pub(super) keystore_password: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) client_crl: Option<PathBuf>,
    pub(super) known_clients: Option<PathBuf>,
}

impl Tls {
    /// All or nothing: a certificate without its key, or client certificates without TLS, is a mistake.
    pub(super) fn validate(mut files: TlsFiles) -> Result<Option<Self>, Error> {
        let identity = TlsIdentity::validate(&mut files)?;
        let TlsFiles { client_ca, client_crl, known_clients, .. } = files;
        let incomplete = |given, missing| Err(Error::Incomplete { given, missing });
        let Some(identity) = identity else {
            let given = [
                (client_ca, "--tls-client-ca"),
                (client_crl, "--tls-client-crl"),
                (known_clients, "--tls-known-clients-file"),
            ];
            return match given.into_iter().find(|(file, _)| file.is_some()) {
                Some((_, given)) => incomplete(given, "--tls-cert"),
                None => Ok(None),
            };
        };
        if client_crl.is_some() && client_ca.is_none() {
            return incomplete("--tls-client-crl", "--tls-client-ca");
        }
        readable("the TLS certificate", identity.certificate())?;
        let (what, secret) = identity.secret();
        readable(what, secret)?;
        for (what, file) in [
            ("the client certificate authority", &client_ca),
            ("the certificate revocation list", &client_crl),
            ("the file of known clients", &known_clients),
        ] {
            if let Some(file) = file {
                readable(what, file)?;
            }
        }
        Ok(Some(Self { identity, client_ca, client_crl, known_clients }))
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

const KEY: &str = "the TLS key";
const STORE_PASSWORD: &str = "the password of the TLS key store";

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
        let store = || TlsFiles { keystore: some(), keystore_password: some(), ..TlsFiles::default() };
        assert_eq!(missing(TlsFiles { keystore: None, ..store() }), "--tls-keystore-file");
        assert_eq!(missing(TlsFiles { keystore_password: None, ..store() }), "--tls-keystore-password-file");
        assert_eq!(Tls::validate(store()).unwrap().unwrap().identity.certificate(), file);
        let both = TlsFiles { certificate: some(), key: some(), ..store() };
        assert!(matches!(Tls::validate(both), Err(Error::Conflict { .. })));
        let nowhere = TlsFiles { key: Some("/nonexistent".into()), ..server() };
        assert!(matches!(Tls::validate(nowhere), Err(Error::File { .. })));
    }
}
