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
}

impl Tls {
    /// All or nothing: a certificate without its key, or client certificates without TLS, is a mistake.
    pub(super) fn validate(
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        client_ca: Option<PathBuf>,
    ) -> Result<Option<Self>, Error> {
        let (certificate, key) = match (certificate, key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => return Err(Error::Incomplete { given: "--tls-cert", missing: "--tls-key" }),
            (None, Some(_)) => return Err(Error::Incomplete { given: "--tls-key", missing: "--tls-cert" }),
            (None, None) if client_ca.is_some() => {
                return Err(Error::Incomplete { given: "--tls-client-ca", missing: "--tls-cert" });
            }
            (None, None) => return Ok(None),
        };
        readable("the TLS certificate", &certificate)?;
        readable("the TLS key", &key)?;
        if let Some(client_ca) = &client_ca {
            readable("the client certificate authority", client_ca)?;
        }
        Ok(Some(Self { certificate, key, client_ca }))
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
        assert!(matches!(
            Tls::validate(some(), None, None),
            Err(Error::Incomplete { missing: "--tls-key", .. })
        ));
        assert!(matches!(
            Tls::validate(None, some(), None),
            Err(Error::Incomplete { missing: "--tls-cert", .. })
        ));
        assert!(matches!(
            Tls::validate(None, None, some()),
            Err(Error::Incomplete { missing: "--tls-cert", .. })
        ));
        assert_eq!(Tls::validate(None, None, None).unwrap(), None);
        assert!(Tls::validate(some(), some(), some()).unwrap().is_some());
        assert!(matches!(Tls::validate(some(), Some("/nonexistent".into()), None), Err(Error::File { .. })));
    }
}
