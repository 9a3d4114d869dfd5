//! Proof of validation: a text that shows a monitor who holds a key. It is no message of any chain.
//!
//! Source: Web3Signer's signing extension (ConsenSys/web3signer, pull request 982), which DAppNode's monitor asks for.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Claim, Duty, Kind, Refusal};
use crate::primitives::SigningRoot;

/// A text to be signed as it stands: JSON with the members `type`, `platform` and `timestamp` and no other one.
///
/// Its members alone are longer than the 32 bytes of a signing root, which is what messages of chains are signed as. So
/// no signature of such a text is one of a block, a vote or an exit, whatever its values are.
#[derive(Debug)]
pub(crate) struct ProofOfValidation {
    text: Box<[u8]>,
    duty: Duty,
}

impl ProofOfValidation {
    /// Reads the body of `POST /api/v1/eth2/ext/sign/{identifier}`.
    ///
    /// # Errors
    /// It is not such a text, or has a member twice.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let _: Members = serde_json::from_slice(body)?;
        let duty = Duty {
            kind: Kind::ProofOfValidation,
            // Names it in the log, and is never signed.
            signing_root: SigningRoot(Sha256::digest(body).into()),
            claim: Claim::Unslashable,
            genesis_validators_root: None,
            fork: None,
            newer_version: None,
        };
        Ok(Self { text: body.into(), duty })
    }

    /// What is signed.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The same as a duty, for permits and logs.
    pub(crate) fn duty(&self) -> &Duty {
        &self.duty
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    #[serde(rename = "type")]
    _type: Type,
    #[serde(rename = "platform")]
    _platform: Platform,
    #[serde(rename = "timestamp")]
    _timestamp: Timestamp,
}

#[derive(Deserialize)]
enum Type {
    #[serde(rename = "PROOF_OF_VALIDATION")]
    ProofOfValidation,
}

#[derive(Deserialize)]
struct Platform(#[expect(dead_code, reason = "only its form counts")] String);

#[derive(Deserialize)]
#[serde(untagged)]
enum Timestamp {
    Text(#[expect(dead_code, reason = "only its form counts")] String),
    Number(#[expect(dead_code, reason = "only its form counts")] u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_byte_by_byte_and_is_longer_than_a_signing_root() {
        for text in [
            r#"{"type":"PROOF_OF_VALIDATION","platform":"dappnode","timestamp":"1711338489397"}"#,
            r#"{ "timestamp": 1711338489397, "platform": "", "type": "PROOF_OF_VALIDATION" }"#,
            r#"{"type":"PROOF_OF_VALIDATION","platform":"","timestamp":0}"#,
        ] {
            let proof = ProofOfValidation::parse(text.as_bytes()).unwrap();
            assert_eq!(proof.text(), text.as_bytes());
            assert!(proof.text().len() > 32, "{text}");
            assert_eq!(
                (proof.duty().kind(), proof.duty().claim()),
                (Kind::ProofOfValidation, Claim::Unslashable)
            );
        }
    }

    #[test]
    fn a_text_of_any_other_form_is_refused() {
        for text in [
            "",
            "{}",
            "12345678901234567890123456789012",
            r#"{"type":"PROOF_OF_VALIDATION","platform":"dappnode"}"#,
            r#"{"type":"ATTESTATION","platform":"dappnode","timestamp":"1"}"#,
            r#"{"type":"PROOF_OF_VALIDATION","platform":"dappnode","timestamp":"1","more":1}"#,
            r#"{"type":"PROOF_OF_VALIDATION","platform":"dappnode","timestamp":"1","timestamp":"2"}"#,
            r#"{"type":"PROOF_OF_VALIDATION","platform":"dappnode","timestamp":[]}"#,
            r#"{"type":"PROOF_OF_VALIDATION","platform":7,"timestamp":1}"#,
            r#"{"type":"PROOF_OF_VALIDATION","platform":"dappnode","timestamp":1} {}"#,
        ] {
            assert!(ProofOfValidation::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
