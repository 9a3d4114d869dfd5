//! Files of the operator's, and histories that come from elsewhere.

use std::path::{Component, Path};
use std::sync::LazyLock;

use bls_signer::fuzz_internals::{self, KeyConfigs};
use bls_signer::network::{Fork, Network};
use bls_signer::primitives::Slot;

use crate::assert_is_a_message;

/// What a keystore would cost is bounded before anything is derived.
pub fn keystore(json: &[u8]) {
    let Ok(json) = str::from_utf8(json) else { return };
    match fuzz_internals::keystore(json) {
        Ok(memory) => assert!(memory <= MAX_DERIVATION_BYTES, "{memory} bytes to derive a key"),
        Err(message) => assert_is_a_message(&message),
    }
}

/// However it is nested, it has no more than it says.
pub fn pkcs12(bytes: &[u8]) {
    for read in [fuzz_internals::pkcs12_store(bytes), fuzz_internals::pkcs12_bags(bytes)] {
        match read {
            Ok(elements) => assert!(elements < bytes.len(), "{elements} elements in {} bytes", bytes.len()),
            Err(message) => assert_is_a_message(&message),
        }
    }
}

/// A stream is read like a text, and what is written of a history is read as the same history.
pub fn interchange(json: &[u8]) {
    let read = fuzz_internals::interchange(json);
    let streamed = fuzz_internals::interchange_stream(json);
    let (taken, reasons) = match (read, streamed) {
        (Ok(read), Ok(streamed)) => {
            assert_eq!(read, streamed, "read as a text and as a stream");
            read
        }
        (Err(message), Err(streamed)) => {
            assert_is_a_message(&message);
            return assert_is_a_message(&streamed);
        }
        (read, streamed) => panic!("as a text {read:?}, as a stream {streamed:?}"),
    };
    reasons.iter().for_each(|reason| assert_is_a_message(reason));
    let again = fuzz_internals::interchange(taken.as_bytes());
    assert_eq!(again, Ok((taken, Vec::new())), "what is written, read again");
}

/// Time never leads back to an earlier fork, and every slot has one.
pub fn network(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    let network = match Network::from_config_yaml(text) {
        Ok(network) => network,
        Err(error) => return assert_is_a_message(&error.to_string()),
    };
    assert_is_a_message(network.name().trim_end_matches('\u{feff}'));
    let position = |slot| Fork::ALL.iter().position(|fork| *fork == network.fork_at(Slot(slot)));
    let slots = [0, 1, 1 << 20, 1 << 40, u64::MAX];
    let forks = slots.map(|slot| position(slot).unwrap());
    assert!(forks.is_sorted(), "{forks:?}");
    for fork in Fork::ALL {
        assert!(network.forks().epoch(fork).is_none() || network.forks().version(fork).is_some(), "{fork}");
    }
    assert!(network.slot_duration().is_none_or(|duration| !duration.is_zero()));
}

/// A relative path stays in the directory of its file.
pub fn key_config(text: &[u8]) {
    static READER: LazyLock<KeyConfigs> = LazyLock::new(|| KeyConfigs::new().unwrap());
    let Ok(text) = str::from_utf8(text) else { return };
    let documents = READER.read(text, Path::new(DIRECTORY));
    assert!(documents.len() <= text.len(), "{} documents", documents.len());
    for document in documents {
        match document {
            Ok(Some(path)) if path.starts_with(DIRECTORY) => {
                assert!(!path.components().any(|component| component == Component::ParentDir), "{path:?}");
            }
            Ok(Some(path)) => assert!(path.is_absolute(), "{path:?}"),
            Ok(None) => {}
            Err(message) => assert_is_a_message(&message),
        }
    }
}

/// No error shows the token, wherever the text before it breaks.
pub fn settings(toml: &[u8]) {
    let Ok(toml) = str::from_utf8(toml) else { return };
    if let Err((line, reason)) = fuzz_internals::settings(toml) {
        assert_is_a_message(&reason);
        assert!((1..=toml.matches('\n').count() + 1).contains(&line), "line {line}");
    }
    let with_token = format!("{toml}\nauth_token = \"{TOKEN}\"\n");
    if let Err((_, reason)) = fuzz_internals::settings(&with_token) {
        assert!(!reason.contains(TOKEN) || toml.contains(TOKEN), "{reason}");
    }
}

/// A GiB of scrypt's, and a little beside it.
const MAX_DERIVATION_BYTES: u64 = (1 << 30) + (1 << 20);

/// Names that no input guesses.
const DIRECTORY: &str = "/directory-5d1f30c2";
const TOKEN: &str = "token-9b07e44a";
