//! Content of a PKCS#12 store, as far as it says how to open it: its MAC, its parts, and the bags in each (RFC 7292).

use super::Pkcs12Error;
use crate::der::{Elements, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};

/// A store, unopened.
pub(super) struct Store<'a> {
    /// What the MAC is of.
    pub(super) parts: &'a [u8],
    pub(super) mac: Option<&'a [u8]>,
}

/// A part of a store.
pub(super) enum Part<'a> {
    /// Bags as they are; keys among them have a protection of their own.
    Plain(&'a [u8]),
    Encrypted {
        algorithm: &'a [u8],
        bytes: &'a [u8],
    },
}

/// What lies in a part.
pub(super) enum Bag<'a> {
    Key(&'a [u8]),
    ProtectedKey { algorithm: &'a [u8], bytes: &'a [u8] },
    Certificate(&'a [u8]),
    Other,
}

impl<'a> Store<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Pkcs12Error> {
        store(bytes).ok_or(Pkcs12Error::Form)
    }
}

pub(super) fn parts(parts: &[u8]) -> Result<Vec<Part<'_>>, Pkcs12Error> {
    each(parts, part)
}

pub(super) fn bags(bags: &[u8]) -> Result<Vec<Bag<'_>>, Pkcs12Error> {
    each(bags, bag)
}

/// A sequence of sequences.
fn each<'a, T>(
    bytes: &'a [u8],
    one: impl Fn(&'a [u8]) -> Result<T, Pkcs12Error>,
) -> Result<Vec<T>, Pkcs12Error> {
    let mut whole = Elements(bytes);
    let mut elements =
        whole.take(SEQUENCE).filter(|_| whole.is_empty()).map(Elements).ok_or(Pkcs12Error::Form)?;
    let mut found = Vec::new();
    while !elements.is_empty() {
        found.push(one(elements.take(SEQUENCE).ok_or(Pkcs12Error::Form)?)?);
    }
    Ok(found)
}

/// `PFX`, of which the integrity is by password.
fn store(bytes: &[u8]) -> Option<Store<'_>> {
    let mut whole = Elements(bytes);
    let mut store = Elements(whole.take(SEQUENCE)?);
    if !whole.is_empty() || store.take(INTEGER)? != VERSION {
        return None;
    }
    let mut content = Elements(store.take(SEQUENCE)?);
    if content.take(OBJECT_IDENTIFIER)? != DATA {
        return None;
    }
    let parts = Elements(content.take(EXPLICIT_0)?).take(OCTET_STRING)?;
    let mac = if store.is_empty() { None } else { Some(store.take(SEQUENCE)?) };
    Some(Store { parts, mac })
}

/// `ContentInfo`.
fn part(content: &[u8]) -> Result<Part<'_>, Pkcs12Error> {
    let mut content = Elements(content);
    let kind = content.take(OBJECT_IDENTIFIER).ok_or(Pkcs12Error::Form)?;
    let content = content.take(EXPLICIT_0).map(Elements).ok_or(Pkcs12Error::Form)?;
    let part = match kind {
        DATA => plain(content),
        ENCRYPTED_DATA => encrypted(content),
        // Encrypted for the owner of another key.
        _ => return Err(Pkcs12Error::Scheme { what: "content", scheme: crate::der::dotted(kind) }),
    };
    part.ok_or(Pkcs12Error::Form)
}

fn plain(mut content: Elements<'_>) -> Option<Part<'_>> {
    content.take(OCTET_STRING).map(Part::Plain)
}

/// `EncryptedData`.
fn encrypted(mut content: Elements<'_>) -> Option<Part<'_>> {
    let mut data = Elements(content.take(SEQUENCE)?);
    data.take(INTEGER)?;
    let mut content = Elements(data.take(SEQUENCE)?);
    if content.take(OBJECT_IDENTIFIER)? != DATA {
        return None;
    }
    Some(Part::Encrypted { algorithm: content.take(SEQUENCE)?, bytes: content.take(IMPLICIT_0)? })
}

/// `SafeBag`. Its attributes are names for people, and numbers that tie a key to its certificate; the key itself does.
fn bag(bag: &[u8]) -> Result<Bag<'_>, Pkcs12Error> {
    let mut bag = Elements(bag);
    let kind = bag.take(OBJECT_IDENTIFIER).ok_or(Pkcs12Error::Form)?;
    let content = bag.take(EXPLICIT_0).ok_or(Pkcs12Error::Form)?;
    let bag = match kind {
        KEY_BAG => Some(Bag::Key(content)),
        PROTECTED_KEY_BAG => protected_key(Elements(content)),
        CERTIFICATE_BAG => certificate(Elements(content)),
        _ => Some(Bag::Other),
    };
    bag.ok_or(Pkcs12Error::Form)
}

/// `EncryptedPrivateKeyInfo` (RFC 5958, 3).
fn protected_key(mut content: Elements<'_>) -> Option<Bag<'_>> {
    let mut key = Elements(content.take(SEQUENCE)?);
    Some(Bag::ProtectedKey { algorithm: key.take(SEQUENCE)?, bytes: key.take(OCTET_STRING)? })
}

/// `CertBag`.
fn certificate(mut content: Elements<'_>) -> Option<Bag<'_>> {
    let mut certificate = Elements(content.take(SEQUENCE)?);
    if certificate.take(OBJECT_IDENTIFIER)? != X509_CERTIFICATE {
        return Some(Bag::Other);
    }
    Elements(certificate.take(EXPLICIT_0)?).take(OCTET_STRING).map(Bag::Certificate)
}

const VERSION: &[u8] = &[3];
const EXPLICIT_0: u8 = 0xa0;
const IMPLICIT_0: u8 = 0x80;
/// 1.2.840.113549.1.7.1 and .6 (PKCS#7).
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
/// 1.2.840.113549.1.12.10.1.1, .2 and .3.
const KEY_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x01];
const PROTECTED_KEY_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x02];
const CERTIFICATE_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
/// 1.2.840.113549.1.9.22.1.
const X509_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
