//! EIP-3076, version 5 of the interchange format: protection history in and out, as JSON.
//!
//! Coming in, a key's history is folded into its [`Watermark`] while it is read, so that its length costs no memory.
//! Signing roots are not taken over: a watermark that came from elsewhere may stand for several messages, and no
//! client needs a message signed again that another signer signed. Going out, each key has at most one block and one
//! attestation, its highest ("minimal" data).

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::rules::{SignedAttestation, SignedBlock, Watermark};
use crate::bls::PublicKey;
use crate::primitives::{Epoch, Root, SigningRoot, Slot};

/// Protection history that someone wants to bring in: well-formed, not yet judged.
#[derive(Clone, Debug)]
pub(crate) struct Interchange {
    pub(super) genesis_validators_root: Root,
    pub(super) histories: HashMap<PublicKey, Result<Watermark, String>>,
}

impl Interchange {
    /// Reads an interchange file. Public keys may lack `0x` and be in either case; unknown members are ignored; a key
    /// that stands there twice has both histories.
    ///
    /// # Errors
    /// It is no JSON of that form, or of another version. A history that cannot be read is an error of its key alone,
    /// kept for the answer about that key.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, InterchangeError> {
        let wire: WireFile<'_> = serde_json::from_slice(json).map_err(InterchangeError::Form)?;
        if wire.metadata.interchange_format_version != VERSION {
            return Err(InterchangeError::Version { found: wire.metadata.interchange_format_version });
        }
        let genesis_validators_root = const_hex::decode_to_array(&wire.metadata.genesis_validators_root)
            .map(Root)
            .map_err(|_| InterchangeError::ChainHex)?;
        let mut histories = HashMap::<PublicKey, Result<Watermark, String>>::new();
        for entry in wire.data {
            let public_key =
                entry.pubkey.parse().map_err(|_| InterchangeError::PublicKeyHex { found: entry.pubkey })?;
            let history = read_history(entry.signed_blocks, entry.signed_attestations);
            let merged = match (histories.remove(&public_key), history) {
                (Some(Ok(before)), Ok(watermark)) => Ok(before.merged(watermark)),
                (Some(Err(reason)), _) | (_, Err(reason)) => Err(reason),
                (None, Ok(watermark)) => Ok(watermark),
            };
            histories.insert(public_key, merged);
        }
        Ok(Self { genesis_validators_root, histories })
    }

    /// The number of keys with a history.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.histories.len()
    }
}

/// Why an interchange file is of no use as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InterchangeError {
    #[error("the slashing protection data is not EIP-3076 JSON")]
    Form(#[source] serde_json::Error),
    #[error("the slashing protection data has interchange_format_version {found:?}; only \"5\" is known")]
    Version { found: String },
    #[error("the slashing protection data's genesis_validators_root is not 32 bytes of hexadecimal digits")]
    ChainHex,
    #[error(
        "the slashing protection data has a pubkey that is not 48 bytes of hexadecimal digits: {found:?}"
    )]
    PublicKeyHex { found: String },
}

/// Writes the interchange file of these keys. Keys without history are left out.
///
/// As long as no chain is known the file lacks `genesis_validators_root`, which every reader will notice.
pub(super) fn write(chain: Option<Root>, keys: impl Iterator<Item = (PublicKey, Watermark)>) -> String {
    let file = OutFile {
        metadata: OutMetadata {
            interchange_format_version: VERSION,
            genesis_validators_root: chain.map(|root| root.to_string()),
        },
        data: keys.filter(|(_, watermark)| !watermark.is_empty()).map(OutHistory::from).collect(),
    };
    // Strings and lists of strings always have a JSON form.
    serde_json::to_string(&file).unwrap_or_default()
}

fn read_history(blocks: &RawValue, attestations: &RawValue) -> Result<Watermark, String> {
    let blocks = serde_json::from_str::<Highest<WireBlock>>(blocks.get())
        .map_err(|error| format!("its signed_blocks cannot be read: {error}"))?;
    let attestations = serde_json::from_str::<Highest<WireAttestation>>(attestations.get())
        .map_err(|error| format!("its signed_attestations cannot be read: {error}"))?;
    Ok(blocks.watermark.merged(attestations.watermark))
}

#[derive(Deserialize)]
struct WireFile<'a> {
    metadata: WireMetadata,
    #[serde(borrow)]
    data: Vec<WireHistory<'a>>,
}

#[derive(Deserialize)]
struct WireMetadata {
    interchange_format_version: String,
    genesis_validators_root: String,
}

#[derive(Deserialize)]
struct WireHistory<'a> {
    pubkey: String,
    #[serde(borrow)]
    signed_blocks: &'a RawValue,
    #[serde(borrow)]
    signed_attestations: &'a RawValue,
}

#[derive(Deserialize)]
struct WireBlock {
    slot: Number,
}

impl From<WireBlock> for Watermark {
    fn from(block: WireBlock) -> Self {
        Self { block: Some(SignedBlock { slot: Slot(block.slot.0), signing_root: None }), attestation: None }
    }
}

#[derive(Deserialize)]
struct WireAttestation {
    source_epoch: Number,
    target_epoch: Number,
}

impl From<WireAttestation> for Watermark {
    fn from(attestation: WireAttestation) -> Self {
        Self {
            block: None,
            attestation: Some(SignedAttestation {
                source: Epoch(attestation.source_epoch.0),
                target: Epoch(attestation.target_epoch.0),
                signing_root: None,
            }),
        }
    }
}

/// A list of messages, of which only the highest of everything is kept.
struct Highest<T> {
    watermark: Watermark,
    message: PhantomData<T>,
}

impl<'de, T: Deserialize<'de> + Into<Watermark>> Deserialize<'de> for Highest<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self { watermark: Watermark::default(), message: PhantomData })
    }
}

impl<'de, T: Deserialize<'de> + Into<Watermark>> Visitor<'de> for Highest<T> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of signed messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut messages: A) -> Result<Self, A::Error> {
        while let Some(message) = messages.next_element::<T>()? {
            self.watermark = self.watermark.merged(message.into());
        }
        Ok(self)
    }
}

/// An unsigned number: the standard's decimal string, or a JSON integer.
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an unsigned 64-bit number as a decimal string")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
        Ok(Number(number))
    }

    fn visit_str<E: Error>(self, digits: &str) -> Result<Number, E> {
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(E::invalid_value(serde::de::Unexpected::Str(digits), &self));
        }
        digits.parse().map(Number).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(digits), &self))
    }
}

#[derive(Serialize)]
struct OutFile {
    metadata: OutMetadata,
    data: Vec<OutHistory>,
}

#[derive(Serialize)]
struct OutMetadata {
    interchange_format_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    genesis_validators_root: Option<String>,
}

#[derive(Serialize)]
struct OutHistory {
    pubkey: String,
    signed_blocks: Vec<OutBlock>,
    signed_attestations: Vec<OutAttestation>,
}

impl From<(PublicKey, Watermark)> for OutHistory {
    fn from((public_key, watermark): (PublicKey, Watermark)) -> Self {
        let text = |root: SigningRoot| root.to_string();
        Self {
            pubkey: public_key.to_string(),
            signed_blocks: watermark
                .block
                .into_iter()
                .map(|block| OutBlock {
                    slot: block.slot.to_string(),
                    signing_root: block.signing_root.map(text),
                })
                .collect(),
            signed_attestations: watermark
                .attestation
                .into_iter()
                .map(|attestation| OutAttestation {
                    source_epoch: attestation.source.to_string(),
                    target_epoch: attestation.target.to_string(),
                    signing_root: attestation.signing_root.map(text),
                })
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct OutBlock {
    slot: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_root: Option<String>,
}

#[derive(Serialize)]
struct OutAttestation {
    source_epoch: String,
    target_epoch: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_root: Option<String>,
}

const VERSION: &str = "5";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_keys_in_any_form_and_merges_those_that_stand_twice() {
        let upper = "AB".repeat(48);
        let lower = format!("0x{}", "ab".repeat(48));
        let json = format!(
            r#"{{"metadata": {{"interchange_format_version": "5", "genesis_validators_root": "{CHAIN}", "extra": 1}},
                "data": [
                  {{"pubkey": "{upper}", "signed_blocks": [{{"slot": "7", "signing_root": null}}, {{"slot": 5}}],
                    "signed_attestations": []}},
                  {{"pubkey": "{lower}", "signed_blocks": [], "more": {{}},
                    "signed_attestations": [{{"source_epoch": "1", "target_epoch": "4", "signing_root": "0x00"}},
                                            {{"source_epoch": "2", "target_epoch": "3"}}]}}]}}"#
        );
        let interchange = Interchange::parse(json.as_bytes()).unwrap();
        assert_eq!(interchange.len(), 1);
        let watermark = interchange.histories[&PublicKey([0xAB; 48])].as_ref().unwrap();
        assert_eq!(watermark.block, Some(SignedBlock { slot: Slot(7), signing_root: None }));
        assert_eq!(
            watermark.attestation,
            Some(SignedAttestation { source: Epoch(2), target: Epoch(4), signing_root: None })
        );
    }

    #[test]
    fn an_unreadable_history_is_an_error_of_its_key_alone() {
        for bad in ["-1", "1.5", "18446744073709551616", "+1", "", "0x1", "1e3"] {
            let json = format!(
                r#"{{"metadata": {{"interchange_format_version": "5", "genesis_validators_root": "{CHAIN}"}},
                    "data": [{{"pubkey": "{}", "signed_blocks": [{{"slot": "{bad}"}}], "signed_attestations": []}},
                             {{"pubkey": "{}", "signed_blocks": [{{"slot": "1"}}], "signed_attestations": []}}]}}"#,
                "01".repeat(48),
                "02".repeat(48),
            );
            let interchange = Interchange::parse(json.as_bytes()).unwrap();
            let reason = interchange.histories[&PublicKey([1; 48])].as_ref().unwrap_err();
            assert!(reason.contains("signed_blocks"), "{reason}");
            assert!(interchange.histories[&PublicKey([2; 48])].is_ok());
        }
    }

    #[test]
    fn what_is_no_interchange_file_is_refused_whole() {
        let with = |version: &str, chain: &str, pubkey: &str| {
            let json = format!(
                r#"{{"metadata": {{"interchange_format_version": {version}, "genesis_validators_root": "{chain}"}},
                    "data": [{{"pubkey": "{pubkey}", "signed_blocks": [], "signed_attestations": []}}]}}"#
            );
            Interchange::parse(json.as_bytes())
        };
        let key = "01".repeat(48);
        assert!(with("\"5\"", CHAIN, &key).is_ok());
        assert!(
            matches!(with("\"4\"", CHAIN, &key), Err(InterchangeError::Version { found }) if found == "4")
        );
        assert!(matches!(with("5", CHAIN, &key), Err(InterchangeError::Form(_))));
        assert!(matches!(with("\"5\"", "0x00", &key), Err(InterchangeError::ChainHex)));
        assert!(matches!(with("\"5\"", CHAIN, "0x01"), Err(InterchangeError::PublicKeyHex { .. })));
        assert!(matches!(Interchange::parse(b"[]"), Err(InterchangeError::Form(_))));
        assert!(matches!(Interchange::parse(b""), Err(InterchangeError::Form(_))));
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let watermark = Watermark {
            block: Some(SignedBlock { slot: Slot(9), signing_root: Some(SigningRoot([1; 32])) }),
            attestation: Some(SignedAttestation {
                source: Epoch(2),
                target: Epoch(u64::MAX),
                signing_root: None,
            }),
        };
        let keys = [(PublicKey([1; 48]), watermark), (PublicKey([2; 48]), Watermark::default())];
        let json = write(Some(Root([0xC4; 32])), keys.into_iter());
        assert_eq!(
            json,
            format!(
                r#"{{"metadata":{{"interchange_format_version":"5","genesis_validators_root":"0x{}"}},"data":[{{"pubkey":"0x{}","signed_blocks":[{{"slot":"9","signing_root":"0x{}"}}],"signed_attestations":[{{"source_epoch":"2","target_epoch":"18446744073709551615"}}]}}]}}"#,
                "c4".repeat(32),
                "01".repeat(48),
                "01".repeat(32),
            )
        );
        let interchange = Interchange::parse(json.as_bytes()).unwrap();
        assert_eq!(interchange.genesis_validators_root, Root([0xC4; 32]));
        let read = interchange.histories[&PublicKey([1; 48])].as_ref().unwrap();
        assert_eq!(read.merged(watermark), *read);
        assert_eq!(read.attestation, watermark.attestation);
    }

    const CHAIN: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";
}
