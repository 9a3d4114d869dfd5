//! Files of TLS: certificates, keys and revocation lists in PEM form, or a PKCS#12 store of a key and its certificates.

use std::fmt;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::TlsError;
use super::pkcs12::Identity;
use crate::config::TlsIdentity;
use crate::regular_file::RegularFile;
use crate::{der, text};

/// The server's certificate chain and its key.
pub(super) fn identity(files: &TlsIdentity) -> Result<Identity, TlsError> {
    match files {
        TlsIdentity::Pem { certificate, key } => {
            Ok(Identity { chain: certificates(certificate)?, key: private_key(key)? })
        }
        TlsIdentity::Pkcs12 { store, password } => {
            let (bytes, text) = (read(store)?, read_text(password)?);
            Identity::open(&bytes, first_line(text::unmarked(&text), password)?)
                .map_err(|source| TlsError::Pkcs12 { path: store.clone(), source })
        }
    }
}

/// The password in a file, as Web3Signer takes it.
fn first_line<'a>(text: &'a str, path: &Path) -> Result<&'a str, TlsError> {
    let line = text.lines().next().filter(|line| !line.is_empty());
    line.ok_or_else(|| TlsError::NoPassword { path: path.to_owned() })
}

/// The certificates in a file, in its order; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = every::<CertificateDer<'static>>(path)?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

/// The first private key in a file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read_pem(path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|source| TlsError::Pem { path: path.to_owned(), source })
}

/// The certificate revocation lists in a file; at least one.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let lists = every::<CertificateRevocationListDer<'static>>(path)?;
    if lists.is_empty() {
        return Err(TlsError::NoRevocationList { path: path.to_owned() });
    }
    Ok(lists)
}

/// A file's bytes, bounded.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    RegularFile::open(path)
        .and_then(|file| file.read(LARGEST_FILE_BYTES))
        .map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, TlsError> {
    RegularFile::open(path)
        .and_then(|file| file.read_text(LARGEST_PASSWORD_FILE_BYTES))
        .map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn read_pem(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let bytes = read(path)?;
    match Form::of(&bytes) {
        Some(form) => Err(TlsError::NotPem { path: path.to_owned(), form }),
        None => Ok(bytes),
    }
}

fn every<T: PemObject>(path: &Path) -> Result<Vec<T>, TlsError> {
    let pem = read_pem(path)?;
    T::pem_slice_iter(&pem)
        .collect::<Result<_, pem::Error>>()
        .map_err(|source| TlsError::Pem { path: path.to_owned(), source })
}

/// What other programs keep certificates and keys in. It is no PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Pkcs12,
    JavaKeyStore,
    Der,
}

impl Form {
    fn of(bytes: &[u8]) -> Option<Self> {
        if der::is_pkcs12(bytes) {
            return Some(Self::Pkcs12);
        }
        if der::is_der(bytes) {
            return Some(Self::Der);
        }
        JAVA_KEY_STORES.iter().any(|magic| bytes.starts_with(magic)).then_some(Self::JavaKeyStore)
    }
}

/// What it is, and how PEM is made of it.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pkcs12 => {
                "PKCS#12: give it with --tls-keystore-file, and its password with --tls-keystore-password-file"
            }
            Self::JavaKeyStore => {
                "a Java key store: convert it with 'keytool -importkeystore -srckeystore FILE -deststoretype pkcs12 \
                 -destkeystore FILE.p12', and give that with --tls-keystore-file"
            }
            Self::Der => {
                "DER: convert a certificate with 'openssl x509 -inform der -in FILE -out FILE.pem', a key with \
                 'openssl pkey'"
            }
        })
    }
}

/// More than any system's bundle of authorities.
const LARGEST_FILE_BYTES: u64 = 16 << 20;

/// A password is one line.
const LARGEST_PASSWORD_FILE_BYTES: u64 = 64 << 10;

/// The first bytes of JKS and JCEKS.
const JAVA_KEY_STORES: [[u8; 4]; 2] = [[0xfe, 0xed, 0xfe, 0xed], [0xce; 4]];
