//! DER, as far as X.509 certificates and PKCS#12 stores need it; and the public key and the names of a certificate, of
//! any version and with any extensions.
//!
//! Who is known by the fingerprint of his certificate has to prove no more than that he holds its key (RFC 5280, 4.1
//! for the form, X.690 for the encoding). The TLS library's own reader refuses certificates of version 1.

/// One element of DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    tag: u8,
    /// Without tag and length.
    pub(crate) content: &'a [u8],
    /// With them.
    whole: &'a [u8],
}

/// Elements that follow each other, not taken yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elements<'a>(pub(crate) &'a [u8]);

/// Whom a certificate is for, and who signed it (RFC 5280, 4.1.2.4 and 4.1.2.6); each a `Name` in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names<'a> {
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
}

/// A `SubjectPublicKeyInfo` (RFC 5280, 4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublicKeyInfo<'a> {
    /// All of it.
    pub(crate) der: &'a [u8],
    /// What the `AlgorithmIdentifier` contains.
    pub(crate) algorithm: &'a [u8],
    /// The key itself.
    pub(crate) key: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The content of the first one, if it has this tag. Otherwise it stays.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (element, rest) = next(self.0, tag)?;
        self.0 = rest;
        Some(element.content)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The alternative names of a certificate (RFC 5280, 4.2.1.6) that are text, such as `DNS:vc1.example`; none of one
/// that cannot be read.
pub(crate) fn alternative_names(certificate: &[u8]) -> Vec<String> {
    let names = names_extension(certificate).and_then(|names| only(names, SEQUENCE));
    let Some(mut names) = names.map(|names| names.content) else { return Vec::new() };
    let mut found = Vec::new();
    while let Some((name, rest)) = first(names) {
        names = rest;
        let form = match name.tag {
            EMAIL_NAME => "email",
            DNS_NAME => "DNS",
            URI_NAME => "URI",
            _ => continue,
        };
        if let Ok(text) = std::str::from_utf8(name.content) {
            found.push(format!("{form}:{text}"));
        }
    }
    found
}

/// What the extension `subjectAltName` holds.
fn names_extension(certificate: &[u8]) -> Option<&[u8]> {
    let (_, mut fields) = next(names_and_rest(certificate)?.1, SEQUENCE)?;
    let mut extensions = loop {
        let (field, rest) = first(fields)?;
        if field.tag == EXTENSIONS {
            break only(field.content, SEQUENCE)?.content;
        }
        fields = rest;
    };
    loop {
        let (extension, rest) = next(extensions, SEQUENCE)?;
        extensions = rest;
        let (name, value) = next(extension.content, OBJECT_IDENTIFIER)?;
        if name.content == SUBJECT_ALTERNATIVE_NAME {
            let value = next(value, BOOLEAN).map_or(value, |(_critical, rest)| rest);
            return Some(only(value, OCTET_STRING)?.content);
        }
    }
}

/// The public key of a certificate in DER; `None` if it is no certificate.
pub(crate) fn public_key(certificate: &[u8]) -> Option<PublicKeyInfo<'_>> {
    let (info, _) = next(names_and_rest(certificate)?.1, SEQUENCE)?;
    let (algorithm, rest) = next(info.content, SEQUENCE)?;
    let bits = only(rest, BIT_STRING)?;
    let (&0, key) = bits.content.split_first()? else { return None };
    Some(PublicKeyInfo { der: info.whole, algorithm: algorithm.content, key })
}

/// The names in a certificate in DER; `None` if it is no certificate.
pub(crate) fn names(certificate: &[u8]) -> Option<Names<'_>> {
    names_and_rest(certificate).map(|(names, _)| names)
}

/// The names in a certificate, and its fields after them, which begin with its public key.
fn names_and_rest(certificate: &[u8]) -> Option<(Names<'_>, &[u8])> {
    let certificate = only(certificate, SEQUENCE)?;
    let mut fields = Elements(Elements(certificate.content).take(SEQUENCE)?);
    let _version = fields.take(VERSION);
    let _serial_number = fields.take(INTEGER)?;
    let _signature = fields.take(SEQUENCE)?;
    let issuer = fields.take(SEQUENCE)?;
    let _validity = fields.take(SEQUENCE)?;
    let subject = fields.take(SEQUENCE)?;
    Some((Names { issuer, subject }, fields.0))
}

/// An object identifier as `1.2.840.113549`, of its content; a number beyond 64 bits ends it.
pub(crate) fn dotted(identifier: &[u8]) -> String {
    let mut text = String::new();
    let mut number = Some(0u64);
    for &octet in identifier {
        let digits = number.and_then(|number| number.checked_mul(128)?.checked_add(u64::from(octet & 0x7f)));
        let Some(complete) = digits else { break };
        number = Some(complete);
        if octet & 0x80 == 0 {
            text.push_str(&match (text.is_empty(), complete) {
                (false, arc) => format!(".{arc}"),
                // The first two arcs are in one number (X.690, 8.19.4).
                (true, 0..=39) => format!("0.{complete}"),
                (true, 40..=79) => format!("1.{}", complete.saturating_sub(40)),
                (true, _) => format!("2.{}", complete.saturating_sub(80)),
            });
            number = Some(0);
        }
    }
    text
}

/// Whether these bytes are a PKCS#12 store: `PFX ::= SEQUENCE { version INTEGER {v3(3)}, ...}` (RFC 7292, 4).
pub(crate) fn is_pkcs12(bytes: &[u8]) -> bool {
    let version = only(bytes, SEQUENCE).and_then(|store| next(store.content, INTEGER));
    version.is_some_and(|(version, _)| version.content == [3])
}

/// Whether these bytes are DER of the outer form of a certificate or a key.
pub(crate) fn is_der(bytes: &[u8]) -> bool {
    only(bytes, SEQUENCE).is_some()
}

/// The element that these bytes are, and nothing after it.
fn only(bytes: &[u8], tag: u8) -> Option<Element<'_>> {
    next(bytes, tag).filter(|(_, rest)| rest.is_empty()).map(|(element, _)| element)
}

/// The first element, whatever its tag, and what follows it.
fn first(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    next(bytes, *bytes.first()?)
}

/// The first element, if it has this tag, and what follows it.
pub(crate) fn next(bytes: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length.checked_sub(LONG_FORM) {
        None => (usize::from(length), rest),
        Some(octets) => long_length(rest, octets)?,
    };
    let (content, after) = rest.split_at_checked(length)?;
    let whole = bytes.get(..bytes.len().checked_sub(after.len())?)?;
    (first == tag).then_some((Element { tag, content, whole }, after))
}

/// A length of so many octets, in the one form that DER allows.
fn long_length(bytes: &[u8], octets: u8) -> Option<(usize, &[u8])> {
    if !(1..=LONGEST_LENGTH_OCTETS).contains(&octets) {
        return None;
    }
    let (digits, rest) = bytes.split_at_checked(octets.into())?;
    let length = digits.iter().try_fold(0usize, |length, &digit| {
        length.checked_mul(256).and_then(|length| length.checked_add(digit.into()))
    })?;
    let shortest = digits.first() != Some(&0) && length >= usize::from(LONG_FORM);
    shortest.then_some((length, rest))
}

pub(crate) const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`.
pub(crate) const VERSION: u8 = 0xa0;
/// `[3] EXPLICIT`.
const EXTENSIONS: u8 = 0xa3;
/// `id-ce-subjectAltName`, 2.5.29.17.
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// `[1] rfc822Name`, `[2] dNSName` and `[6] uniformResourceIdentifier` of a `GeneralName`.
const EMAIL_NAME: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const URI_NAME: u8 = 0x86;
/// From here on the octet says how many octets of length follow.
const LONG_FORM: u8 = 0x80;
/// Up to 4 GiB.
const LONGEST_LENGTH_OCTETS: u8 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tls");

    fn certificate(name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(format!("{FILES}/{name}.pem")).unwrap()
    }

    #[test]
    fn finds_the_names_of_certificates_that_have_some() {
        assert_eq!(
            alternative_names(&certificate("server")),
            ["DNS:localhost"],
            "and an address, which is no text"
        );
        let names = ["DNS:vc1.example", "URI:spiffe://example/vc1"];
        assert_eq!(alternative_names(&certificate("client")), names);
        assert!(alternative_names(&certificate("version-1")).is_empty());
        assert!(alternative_names(b"none").is_empty());
    }

    #[test]
    fn finds_the_key_of_certificates_of_every_version_and_algorithm() {
        let p256 = rustls::pki_types::alg_id::ECDSA_P256;
        let rsa = rustls::pki_types::alg_id::RSA_ENCRYPTION;
        for (name, algorithm) in [("client", &p256), ("version-1", &p256), ("authority", &rsa)] {
            let certificate = certificate(name);
            let found = public_key(&certificate).unwrap();
            assert_eq!(found.algorithm, algorithm.as_ref(), "{name}");
            assert!(found.der.len() > found.key.len());
        }
        // An uncompressed point.
        assert_eq!(public_key(&certificate("version-1")).unwrap().key[0], 4);
    }

    #[test]
    fn a_certificate_is_cut_off_nowhere_and_nothing_follows_it() {
        let certificate = certificate("client").to_vec();
        assert!((0..certificate.len()).all(|length| public_key(&certificate[..length]).is_none()));
        assert_eq!(public_key(&[certificate, vec![0]].concat()), None);
    }

    #[test]
    fn lengths_have_one_form() {
        assert!(only(&[SEQUENCE, 1, 0], SEQUENCE).is_some());
        assert!(only(&[SEQUENCE, 0x81, 1, 0], SEQUENCE).is_none(), "the short form would have done");
        assert!(only(&[SEQUENCE, 0x80, 0, 0], SEQUENCE).is_none(), "an indefinite length");
        assert!(only(&[&[SEQUENCE, 0x82, 0, 0x80][..], &[0; 128]].concat(), SEQUENCE).is_none());
        assert!(only(&[&[SEQUENCE, 0x81, 0x80][..], &[0; 128]].concat(), SEQUENCE).is_some());
    }

    #[test]
    fn tells_who_signed_a_certificate() {
        let (authority, server, alone) = (certificate("ca"), certificate("server"), certificate("authority"));
        let [authority, server, alone] = [&authority, &server, &alone].map(|one| names(one).unwrap());
        assert_eq!(server.issuer, authority.subject);
        assert_ne!(server.subject, authority.subject);
        assert_eq!(alone.issuer, alone.subject);
        assert_eq!(names(b"none"), None);
    }

    #[test]
    fn object_identifiers_are_shown_as_people_write_them() {
        for (content, text) in [
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d][..], "1.2.840.113549"),
            (&[0x60, 0x86, 0x48], "2.16.840"),
            (&[0x00], "0.0"),
            (&[0x88, 0x37], "2.999"),
            (&[], ""),
        ] {
            assert_eq!(dotted(content), text);
        }
        assert_eq!(dotted(&[0xff; 64]), "");
    }

    #[test]
    fn tells_a_pkcs12_store_from_a_certificate() {
        let store = std::fs::read(format!("{FILES}/client.p12")).unwrap();
        assert!(is_pkcs12(&store));
        assert!(!is_pkcs12(&certificate("client")) && is_der(&certificate("client")));
        assert!(!is_der(b"-----BEGIN CERTIFICATE-----"));
    }

    proptest! {
        #[test]
        fn no_bytes_stop_the_reader(
            place in 0usize..400,
            byte: u8,
            noise in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut certificate = certificate("client").to_vec();
            if let Some(octet) = certificate.get_mut(place) {
                *octet = byte;
            }
            let _ = public_key(&certificate);
            let _ = public_key(&noise);
            let _ = dotted(&noise);
        }
    }
}
