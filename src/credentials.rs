//! Hashes of what callers show to be known by: fingerprints of certificates and digests of bearer tokens.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// SHA-256 of a certificate in DER, shown as `openssl x509 -fingerprint -sha256` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// 64 hexadecimal digits in either case, with a colon between each two or none at all.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.contains(':') {
            return digest(text).map(Self);
        }
        let mut bytes = [0; 32];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2)?;
            const_hex::decode_to_slice(pair, std::slice::from_mut(byte)).ok()?;
        }
        pairs.next().is_none().then_some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, byte) in self.0.iter().enumerate() {
            let colon = if number == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// SHA-256 of a bearer token: comparing digests in constant time says nothing about a matching prefix of the token.
///
/// It has no `PartialEq`, so that nothing compares it in another way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// 64 hexadecimal digits in either case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        digest(text).map(Self)
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Whether it is one of these. All are compared, so the time does not say which.
    pub(crate) fn is_one_of<'a>(&self, digests: impl IntoIterator<Item = &'a Self>) -> bool {
        digests.into_iter().fold(false, |found, digest| found | self.is(digest))
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    (text.len() == 64 && const_hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_fingerprint_reads_back_from_what_is_shown(bytes: [u8; 32]) {
            let fingerprint = Fingerprint(bytes);
            let shown = fingerprint.to_string();
            for text in [shown.clone(), shown.to_lowercase(), shown.replace(':', "")] {
                prop_assert_eq!(Fingerprint::parse(&text), Some(fingerprint));
            }
            let too_long = format!("{shown}:00");
            let prefixed = format!("0x{}", shown.replace(':', ""));
            for wrong in [shown.get(1..).unwrap(), shown.get(3..).unwrap(), &too_long, &prefixed] {
                prop_assert_eq!(Fingerprint::parse(wrong), None);
            }
        }
    }

    #[test]
    fn only_the_whole_token_matches() {
        let token = TokenDigest::of("0123456789abcdef");
        assert!(TokenDigest::of("0123456789abcdef").is(&token));
        assert!(TokenDigest::parse(&token.to_string()).unwrap().is(&token));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF"] {
            assert!(!TokenDigest::of(wrong).is(&token), "{wrong}");
        }
        let others = [TokenDigest::of("a"), token, TokenDigest::of("b")];
        assert!(token.is_one_of(&others));
        assert!(!TokenDigest::of("c").is_one_of(&others));
        assert!(!token.is_one_of([]));
    }
}
