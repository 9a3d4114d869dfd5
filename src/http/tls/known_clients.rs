//! Clients that are known by the fingerprint of their certificate, in the form of Web3Signer's known-clients file.

use std::collections::HashMap;
use std::path::Path;

use super::{TlsError, files};
use crate::credentials::Fingerprint;
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
        for (number, line) in text::entries(text) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_a_name_and_a_fingerprint_or_say_nothing() {
        let print = Fingerprint::of(b"one");
        let known = KnownClients::parse(&format!("# one\n\n  vc1\t{print} \r\n#vc2 x\n")).unwrap();
        assert!(known.know(&print) && !known.know(&Fingerprint::of(b"other")) && !known.is_empty());
        assert!(KnownClients::parse("# nobody yet\n").unwrap().is_empty());
        for wrong in ["vc1".to_owned(), format!("{print}"), format!("vc 1 {print}"), "vc1 AB:CD".to_owned()] {
            assert_eq!(KnownClients::parse(&format!("\n{wrong}\n")).err(), Some(2), "{wrong}");
        }
    }
}
