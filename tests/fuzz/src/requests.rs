//! Bodies of requests to sign.

use std::collections::HashSet;
use std::sync::LazyLock;

use bls_signer::duty::{Claim, Duty, Refusal};
use bls_signer::fuzz_internals;
use bls_signer::network::Network;

use crate::assert_is_a_message;

static NETWORKS: LazyLock<[Network; 2]> =
    LazyLock::new(|| ["mainnet", "minimal"].map(|name| Network::by_name(name).unwrap()));

/// A duty is the same at each reading; its root is what the same body may name, and no other is.
pub fn request(body: &[u8]) {
    for network in &*NETWORKS {
        let duty = match Duty::parse(body, network) {
            Ok(duty) => duty,
            Err(refusal) => {
                assert_is_a_message(&refusal.to_string());
                continue;
            }
        };
        assert_eq!(Duty::parse(body, network).as_ref().ok(), Some(&duty), "read again");
        if let Claim::Attestation { .. } | Claim::Block { .. } = duty.claim() {
            assert!(duty.genesis_validators_root().is_some(), "what can be slashed names its chain");
        }
        if duty.claim() == Claim::RawRoot {
            continue;
        }
        let mut root = duty.signing_root();
        match Duty::parse(&with_root(body, &root.to_string()), network) {
            Ok(with_root) => assert_eq!(with_root, duty, "read with its own root"),
            // The body may name its root already.
            Err(refusal) => assert!(!matches!(refusal, Refusal::RootMismatch { .. }), "{refusal}"),
        }
        root.0[31] ^= 1;
        let refused = Duty::parse(&with_root(body, &root.to_string()), network);
        assert!(refused.is_err(), "read with another root");
    }
}

/// The body with one more member, if it is a JSON object.
fn with_root(body: &[u8], root: &str) -> Vec<u8> {
    let end = body.iter().rposition(|byte| *byte == b'}').unwrap_or(body.len());
    let member = format!(r#","signingRoot":"{root}"}}"#);
    [&body[..end], member.as_bytes()].concat()
}

/// The answer has a place for each identifier, no key signs twice, and what is signed stands in the body.
pub fn batch(body: &[u8]) {
    let batch = match fuzz_internals::sign_batch(body) {
        Ok(batch) => batch,
        Err(message) => return assert_is_a_message(&message),
    };
    assert!(!batch.identifiers.is_empty() && batch.identifiers.len() == batch.public_keys.len());
    for (identifier, public_key) in batch.identifiers.iter().zip(&batch.public_keys) {
        let Some(public_key) = public_key else { continue };
        let shown = public_key.to_string();
        assert!(
            shown.ends_with(&identifier.trim_start_matches("0x").to_lowercase()),
            "{identifier} is {shown}"
        );
    }
    let keys: Vec<_> = batch.public_keys.iter().flatten().collect();
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "a key twice");
    let signing_request = batch.signing_request.as_bytes();
    assert!(body.windows(signing_request.len()).any(|window| window == signing_request));
    request(signing_request);
}
