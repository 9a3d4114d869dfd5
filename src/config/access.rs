//! Who may call: TLS and the bearer token.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::Error;

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

/// The bearer token. Zeroised when dropped; it has no `Debug` and no `Display`.
#[derive(Clone)]
pub(crate) struct AuthToken(Zeroizing<String>);

impl AuthToken {
    /// Takes anything: what a token must be is checked by [`AuthToken::check`], because an argument parser would print
    /// a value that it refuses.
    pub(crate) fn unchecked(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The token itself, for the one place that hashes or sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The token in a file, without the white space around it. The file must not be open to every user.
    pub(crate) fn from_file(path: &Path) -> Result<Self, Error> {
        refuse_exposed(TOKEN_FILE, path)?;
        let mut text = Zeroizing::new(String::new());
        File::open(path)
            .and_then(|file| file.take(LARGEST_TOKEN_FILE).read_to_string(&mut text))
            .map_err(|source| Error::Read { what: TOKEN_FILE, path: path.to_owned(), source })?;
        if text.trim().is_empty() {
            return Err(Error::EmptyFile { what: TOKEN_FILE, path: path.to_owned() });
        }
        Self(Zeroizing::new(text.trim().to_owned())).check()
    }

    /// Refuses an empty token and one that no client could send (RFC 9110, 5.5: visible ASCII).
    pub(super) fn check(self) -> Result<Self, Error> {
        if self.0.is_empty() {
            return Err(Error::EmptyToken);
        }
        if !self.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::UnusableToken);
        }
        Ok(self)
    }

    /// Whether it is so short that it can be guessed.
    pub(super) fn is_short(&self) -> bool {
        self.0.len() < SHORTEST_GOOD_TOKEN
    }
}

impl<'de> Deserialize<'de> for AuthToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The usual error would show the value.
        String::deserialize(deserializer)
            .map(Self::unchecked)
            .map_err(|_| serde::de::Error::custom("auth_token must be a string"))
    }
}

/// Refuses a secret's file that every user of the machine can read.
pub(super) fn refuse_exposed(what: &'static str, path: &Path) -> Result<(), Error> {
    let metadata =
        fs::metadata(path).map_err(|source| Error::Read { what, path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o004 != 0 {
        return Err(Error::Exposed { what, path: path.to_owned(), mode });
    }
    Ok(())
}

/// Refuses a file that is missing or cannot be opened.
pub(super) fn readable(what: &'static str, path: &Path) -> Result<(), Error> {
    File::open(path).map(drop).map_err(|source| Error::Read { what, path: path.to_owned(), source })
}

const TOKEN_FILE: &str = "the token file";
/// More than any token; bounds what is read from a wrong path such as a device.
const LARGEST_TOKEN_FILE: u64 = 64 * 1024;
/// 16 characters of base64 are 96 bits.
const SHORTEST_GOOD_TOKEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn token_file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn reads_a_token_without_the_line_end() {
        let (_directory, path) = token_file("0123456789abcdef\n", 0o640);
        assert_eq!(AuthToken::from_file(&path).ok().unwrap().reveal(), "0123456789abcdef");
    }

    #[test]
    fn refuses_an_empty_token_file_and_names_it() {
        let (_directory, path) = token_file(" \n", 0o600);
        let error = AuthToken::from_file(&path).err().unwrap();
        assert!(matches!(&error, Error::EmptyFile { .. }));
        assert!(error.to_string().contains(path.to_str().unwrap()));
    }

    #[test]
    fn refuses_a_world_readable_token_file_and_names_it() {
        let (_directory, path) = token_file("0123456789abcdef", 0o644);
        let error = AuthToken::from_file(&path).err().unwrap();
        assert!(matches!(&error, Error::Exposed { mode: 0o644, .. }));
        assert!(error.to_string().contains(path.to_str().unwrap()));
        assert!(!error.to_string().contains("0123456789abcdef"));
    }

    #[test]
    fn refuses_tokens_that_no_header_can_carry() {
        for text in ["two words", "tab\there", "línea", "line\nbreak", "\u{7f}"] {
            assert!(
                matches!(AuthToken::unchecked(text.to_owned()).check().err(), Some(Error::UnusableToken)),
                "{text}"
            );
        }
        assert!(matches!(AuthToken::unchecked(String::new()).check().err(), Some(Error::EmptyToken)));
        assert!(AuthToken::unchecked("AZaz09-._~+/=".to_owned()).check().is_ok());
    }

    #[test]
    fn certificate_and_key_come_together() {
        let (_directory, file) = token_file("pem", 0o600);
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
        assert!(matches!(Tls::validate(some(), Some("/nonexistent".into()), None), Err(Error::Read { .. })));
    }
}
