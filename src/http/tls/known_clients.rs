//! Clients that are known by the fingerprint of their certificate, in the form of Web3Signer's known-clients file.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{TlsError, files};
use crate::text;

/// The clients that are let in, by fingerprint.
#[derive(Debug, Default)]
pub(super) struct KnownClients(HashMap<Fingerprint, String>);

impl KnownClients {
    /// Lines of `NAME FINGERPRINT`; empty ones, and those that begin with `#`, say nothing. The name is for people:
    /// whose certificate it is, only the fingerprint says.
    pub(super) fn load(path: &Path) -> Result<Self, TlsError> {
        let bytes = files::read(path)?;
        let lines = text::unmarked_bytes(&bytes);
        let text = std::str::from_utf8(lines).map_err(|_| TlsError::NoText { path: path.to_owned() })?;
        Self::parse(text).map_err(|line| TlsError::KnownClient { path: path.to_owned(), line })
    }

    /// An error is the number of a line that says neither.
    fn parse(text: &str) -> Result<Self, usize> {
        let mut clients = HashMap::new();
        for (number, line) in (1_usize..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(name), Some(fingerprint), None) = (words.next(), words.next(), words.next()) else {
                return Err(number);
            };
            clients.insert(Fingerprint::parse(fingerprint).ok_or(number)?, name.to_owned());
        }
        Ok(Self(clients))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn know(&self, fingerprint: &Fingerprint) -> bool {
        self.0.contains_key(fingerprint)
    }
}

/// SHA-256 of a certificate in DER, shown as `openssl x509 -fingerprint -sha256` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// 64 hexadecimal digits in either case, with a colon between each two or none at all.
    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if !text.contains(':') {
            return const_hex::decode_to_slice(text, &mut bytes)
                .is_ok()
                .then_some(Self(bytes))
                .filter(|_| text.len() == 64);
        }
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
    fn lines_are_a_name_and_a_fingerprint_or_say_nothing() {
        let print = Fingerprint([0xab; 32]);
        let known = KnownClients::parse(&format!("# one\n\n  vc1\t{print} \r\n#vc2 x\n")).unwrap();
        assert!(known.know(&print) && !known.know(&Fingerprint([0; 32])) && !known.is_empty());
        assert!(KnownClients::parse("# nobody yet\n").unwrap().is_empty());
        for wrong in ["vc1".to_owned(), format!("{print}"), format!("vc 1 {print}"), "vc1 AB:CD".to_owned()] {
            assert_eq!(KnownClients::parse(&format!("\n{wrong}\n")).err(), Some(2), "{wrong}");
        }
    }
}
