//! PKCS#12 stores of a server's key and certificate chain (RFC 7292), as keytool and OpenSSL write them.
//!
//! A store is taken apart only after its MAC has shown that password and content belong together.

mod contents;
mod protection;
#[cfg(test)]
mod tests;

use rustls::crypto::ring::sign;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use self::contents::{Bag, Part, Store};
use self::protection::{Mac, Protection};
use crate::der;
use crate::text::Bounded;

/// What a server shows, and the key for it.
pub(super) struct Identity {
    /// The server's own certificate first, then who signed it.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The one key of the store and the certificates that belong to it.
    pub(super) fn open(store: &[u8], password: &str) -> Result<Self, Pkcs12Error> {
        let store = Store::parse(store)?;
        if !Mac::parse(store.mac.ok_or(Pkcs12Error::NoMac)?)?.holds(password, store.parts) {
            return Err(Pkcs12Error::Password);
        }
        let mut found = Found::default();
        for part in contents::parts(store.parts)? {
            match part {
                Part::Plain(bags) => found.add(bags, password)?,
                Part::Encrypted { algorithm, bytes } => {
                    found.add(&Protection::parse(algorithm)?.remove(password, bytes)?, password)?;
                }
            }
        }
        found.identity()
    }
}

/// What a store holds.
#[derive(Default)]
struct Found {
    /// PKCS#8.
    keys: Vec<Zeroizing<Vec<u8>>>,
    certificates: Vec<Vec<u8>>,
}

impl Found {
    fn add(&mut self, bags: &[u8], password: &str) -> Result<(), Pkcs12Error> {
        for bag in contents::bags(bags)? {
            match bag {
                Bag::Key(key) => self.keys.push(Zeroizing::new(key.to_vec())),
                Bag::ProtectedKey { algorithm, bytes } => {
                    self.keys.push(Protection::parse(algorithm)?.remove(password, bytes)?);
                }
                Bag::Certificate(certificate) => self.certificates.push(certificate.to_vec()),
                Bag::Other => {}
            }
        }
        Ok(())
    }

    fn identity(self) -> Result<Identity, Pkcs12Error> {
        let key = match self.keys.as_slice() {
            [] => return Err(Pkcs12Error::NoKey),
            [key] => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec())),
            keys => return Err(Pkcs12Error::Keys(keys.len())),
        };
        let signer = sign::any_supported_type(&key).map_err(Pkcs12Error::Key)?;
        let public_key = signer.public_key().ok_or(Pkcs12Error::NoCertificate)?;
        let chain = chain(&self.certificates, &public_key).ok_or(Pkcs12Error::NoCertificate)?;
        Ok(Identity { chain, key })
    }
}

/// The certificate of this key, and who signed it and each next one, as far as the store goes. Its order, and what else
/// is in it, says nothing.
fn chain(certificates: &[Vec<u8>], public_key: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let own = |certificate: &&Vec<u8>| der::public_key(certificate).is_some_and(|key| key.der == public_key);
    let mut last = certificates.iter().find(own)?;
    let mut chain = vec![CertificateDer::from(last.clone())];
    while chain.len() < LONGEST_CHAIN {
        let Some(names) = der::names(last).filter(|names| names.issuer != names.subject) else { break };
        let signed_it = |other: &&Vec<u8>| der::names(other).is_some_and(|of| of.subject == names.issuer);
        let Some(issuer) = certificates.iter().find(signed_it) else { break };
        chain.push(CertificateDer::from(issuer.clone()));
        last = issuer;
    }
    Some(chain)
}

/// Reads whatever can be read without a password: how many elements there are.
#[cfg(feature = "fuzz-internals")]
pub(crate) fn elements(store: &[u8]) -> Result<usize, Pkcs12Error> {
    let store = Store::parse(store)?;
    store.mac.map(Mac::parse).transpose()?;
    let parts = contents::parts(store.parts)?;
    let mut elements = parts.len();
    for part in parts {
        match part {
            Part::Plain(bags) => elements = elements.saturating_add(protected_bags(bags)?),
            Part::Encrypted { algorithm, .. } => {
                Protection::parse(algorithm)?;
            }
        }
    }
    Ok(elements)
}

/// As [`elements`], of what a store keeps encrypted.
#[cfg(feature = "fuzz-internals")]
pub(crate) fn protected_bags(bags: &[u8]) -> Result<usize, Pkcs12Error> {
    let bags = contents::bags(bags)?;
    for bag in &bags {
        match bag {
            Bag::ProtectedKey { algorithm, .. } => {
                Protection::parse(algorithm)?;
            }
            Bag::Certificate(certificate) => {
                let _ = (der::names(certificate), der::public_key(certificate));
            }
            Bag::Key(_) | Bag::Other => {}
        }
    }
    Ok(bags.len())
}

/// Why a store gives no key and certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Pkcs12Error {
    #[error(
        "it is no PKCS#12 store in DER form, or is cut off: of a Java key store 'keytool -importkeystore -srckeystore \
         FILE -deststoretype pkcs12 -destkeystore FILE.p12' makes one"
    )]
    Form,
    #[error(
        "its password does not open it, or it is damaged: 'openssl pkcs12 -in FILE -noout -passin file:PASSWORD-FILE' \
         tells"
    )]
    Password,
    #[error("it has no MAC, so that nobody could tell whether the password is right: {AGAIN}")]
    NoMac,
    #[error("its {what} has a scheme that is not read, {}: {AGAIN}", Bounded(scheme))]
    Scheme { what: &'static str, scheme: String },
    #[error("it wants {0} iterations for a key; from 1 to 5000000 are tried: {AGAIN}")]
    Iterations(u64),
    #[error("what it protects is not opened by the password of the whole: {AGAIN}")]
    Protection,
    #[error("it holds no private key: export one with its certificate, not a certificate alone")]
    NoKey,
    #[error(
        "it holds {0} private keys, and which one is meant cannot be told: keep one entry in it, by 'keytool -delete'"
    )]
    Keys(usize),
    #[error(
        "it holds no certificate of its private key: 'openssl pkcs12 -export -in CERTIFICATE -inkey KEY' puts both in"
    )]
    NoCertificate,
    #[error("its private key is of no use for TLS; RSA, ECDSA (P-256, P-384, P-521) and Ed25519 are")]
    Key(#[source] rustls::Error),
}

/// How a store is made that is read.
const AGAIN: &str = "make it anew with 'openssl pkcs12 -in FILE -legacy -noenc -out FILE.pem' and 'openssl pkcs12 \
                     -export -in FILE.pem -out FILE'";
/// Certificates that are shown to a client.
const LONGEST_CHAIN: usize = 10;
