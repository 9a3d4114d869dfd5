//! What is read: a file, in it a list for each key, in it the messages that it signed.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;

use crate::bls::PublicKey;
use crate::ledger::rules::{SignedAttestation, SignedBlock, Watermark};
use crate::primitives::{Epoch, Slot};

#[derive(Deserialize)]
pub(super) struct WireFile {
    pub(super) metadata: WireMetadata,
    pub(super) data: Histories,
}

#[derive(Deserialize)]
pub(super) struct WireMetadata {
    pub(super) interchange_format_version: String,
    pub(super) genesis_validators_root: String,
}

/// Every key's history, folded as it comes.
pub(super) struct Histories(pub(super) HashMap<PublicKey, Result<Watermark, String>>);

impl<'de> Deserialize<'de> for Histories {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(HistoriesVisitor)
    }
}

struct HistoriesVisitor;

impl<'de> Visitor<'de> for HistoriesVisitor {
    type Value = Histories;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of keys' histories")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Histories, A::Error> {
        let mut histories = HashMap::<PublicKey, Result<Watermark, String>>::new();
        while let Some(WireHistory { pubkey, signed_blocks, signed_attestations }) = entries.next_element()? {
            let public_key = pubkey.parse().map_err(|_| {
                A::Error::invalid_value(Unexpected::Str(&pubkey), &"a pubkey of 96 hexadecimal digits")
            })?;
            let history = read_history(&signed_blocks, &signed_attestations);
            let merged = match (histories.remove(&public_key), history) {
                (Some(Ok(before)), Ok(watermark)) => Ok(before.merged(watermark)),
                (Some(Err(reason)), _) | (_, Err(reason)) => Err(reason),
                (None, Ok(watermark)) => Ok(watermark),
            };
            histories.insert(public_key, merged);
        }
        Ok(Histories(histories))
    }
}

/// One key's messages, unread: what is wrong with them is this key's matter alone.
#[derive(Deserialize)]
struct WireHistory {
    pubkey: String,
    signed_blocks: Box<RawValue>,
    signed_attestations: Box<RawValue>,
}

fn read_history(blocks: &RawValue, attestations: &RawValue) -> Result<Watermark, String> {
    let blocks = serde_json::from_str::<Highest<WireBlock>>(blocks.get())
        .map_err(|error| format!("its signed_blocks cannot be read: {error}"))?;
    let attestations = serde_json::from_str::<Highest<WireAttestation>>(attestations.get())
        .map_err(|error| format!("its signed_attestations cannot be read: {error}"))?;
    Ok(blocks.watermark.merged(attestations.watermark))
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
            return Err(E::invalid_value(Unexpected::Str(digits), &self));
        }
        digits.parse().map(Number).map_err(|_| E::invalid_value(Unexpected::Str(digits), &self))
    }
}
