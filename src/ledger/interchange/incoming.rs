//! What is read: a file, in it a list for each key, in it the messages that it signed. Errors name the member.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;

use crate::bls::PublicKey;
use crate::ledger::rules::{SignedAttestation, SignedBlock, Watermark};
use crate::primitives::{Epoch, Slot};
use crate::text::Bounded;

/// A file, its metadata not judged yet.
pub(super) struct WireFile {
    pub(super) version: String,
    pub(super) chain: String,
    pub(super) histories: HashMap<PublicKey, Result<Watermark, String>>,
}

impl<'de> Deserialize<'de> for WireFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FileVisitor)
    }
}

struct FileVisitor;

impl<'de> Visitor<'de> for FileVisitor {
    type Value = WireFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with metadata and data")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<WireFile, A::Error> {
        #[derive(Deserialize)]
        struct Members {
            metadata: Metadata,
            data: Histories,
        }
        #[derive(Deserialize)]
        struct Metadata {
            #[serde(deserialize_with = "version")]
            interchange_format_version: String,
            #[serde(deserialize_with = "chain")]
            genesis_validators_root: String,
        }
        fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
            String::deserialize(deserializer).map_err(within("metadata.interchange_format_version"))
        }
        fn chain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
            String::deserialize(deserializer).map_err(within("metadata.genesis_validators_root"))
        }
        let Members { metadata, data } = Members::deserialize(MapAccessDeserializer::new(members))?;
        Ok(WireFile {
            version: metadata.interchange_format_version,
            chain: metadata.genesis_validators_root,
            histories: data.0,
        })
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<WireFile, E> {
        Err(E::custom(
            "it is a JSON string, not an object: if there is JSON in that string, it was encoded twice",
        ))
    }
}

/// Every key's history, folded as it comes.
struct Histories(HashMap<PublicKey, Result<Watermark, String>>);

impl<'de> Deserialize<'de> for Histories {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HistoriesVisitor)
    }
}

struct HistoriesVisitor;

impl<'de> Visitor<'de> for HistoriesVisitor {
    type Value = Histories;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("data to be a list of keys' histories")
    }

    fn visit_unit<E: Error>(self) -> Result<Histories, E> {
        Ok(Histories(HashMap::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Histories, A::Error> {
        let mut histories = HashMap::<PublicKey, Result<Watermark, String>>::new();
        for index in 0_usize.. {
            let entry = entries.next_element::<WireHistory>().map_err(within(&format!("data[{index}]")))?;
            let Some(WireHistory { pubkey, signed_blocks, signed_attestations }) = entry else { break };
            let pubkey =
                pubkey.ok_or_else(|| A::Error::custom(format_args!("data[{index}].pubkey is missing")))?;
            let public_key = pubkey.parse().map_err(|_| {
                let what = A::Error::invalid_value(Unexpected::Str(&pubkey), &"96 hexadecimal digits");
                within(&format!("data[{index}].pubkey"))(what)
            })?;
            let history = read_history(signed_blocks.as_deref(), signed_attestations.as_deref());
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
    pubkey: Option<String>,
    #[serde(default, deserialize_with = "present")]
    signed_blocks: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    signed_attestations: Option<Box<RawValue>>,
}

/// A member that is there: `null` is a value of it, other than for a bare `Option`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

fn read_history(blocks: Option<&RawValue>, attestations: Option<&RawValue>) -> Result<Watermark, String> {
    let blocks = read_list::<WireBlock>("signed_blocks", blocks)?;
    Ok(blocks.merged(read_list::<WireAttestation>("signed_attestations", attestations)?))
}

fn read_list<T>(member: &str, list: Option<&RawValue>) -> Result<Watermark, String>
where
    T: for<'de> Deserialize<'de> + Into<Watermark>,
{
    let list = list.ok_or_else(|| format!("its {member} is missing: give [] if there is none"))?;
    let highest = serde_json::from_str::<Highest<T>>(list.get());
    // The place would be one within the list: of no use to somebody who looks into the file.
    let place = |error: &serde_json::Error| format!(" at line {} column {}", error.line(), error.column());
    highest.map(|highest| highest.watermark).map_err(|error| {
        let (text, place) = (error.to_string(), place(&error));
        let reason = text.strip_suffix(&place).unwrap_or(&text);
        let separator = if reason.starts_with('[') { "" } else { ": " };
        format!("its {member}{separator}{}", Bounded(reason))
    })
}

#[derive(Deserialize)]
struct WireBlock {
    #[serde(deserialize_with = "slot")]
    slot: Slot,
}

fn slot<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Slot, D::Error> {
    number(deserializer, ".slot").map(Slot)
}

impl From<WireBlock> for Watermark {
    fn from(block: WireBlock) -> Self {
        Self { block: Some(SignedBlock { slot: block.slot, signing_root: None }), attestation: None }
    }
}

#[derive(Deserialize)]
struct WireAttestation {
    #[serde(deserialize_with = "source_epoch")]
    source_epoch: Epoch,
    #[serde(deserialize_with = "target_epoch")]
    target_epoch: Epoch,
}

fn source_epoch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Epoch, D::Error> {
    number(deserializer, ".source_epoch").map(Epoch)
}

fn target_epoch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Epoch, D::Error> {
    number(deserializer, ".target_epoch").map(Epoch)
}

impl From<WireAttestation> for Watermark {
    fn from(attestation: WireAttestation) -> Self {
        Self {
            block: None,
            attestation: Some(SignedAttestation {
                source: attestation.source_epoch,
                target: attestation.target_epoch,
                signing_root: None,
            }),
        }
    }
}

/// A list of messages, of which only the highest of everything is kept. Its errors begin with the place in the list.
struct Highest<T> {
    watermark: Watermark,
    message: PhantomData<T>,
}

impl<'de, T: Deserialize<'de> + Into<Watermark>> Deserialize<'de> for Highest<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nothing = Self { watermark: Watermark::default(), message: PhantomData };
        deserializer.deserialize_any(nothing)
    }
}

impl<'de, T: Deserialize<'de> + Into<Watermark>> Visitor<'de> for Highest<T> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of signed messages")
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut messages: A) -> Result<Self, A::Error> {
        for index in 0_usize.. {
            let message = messages.next_element::<T>().map_err(|error| item(index, error))?;
            let Some(message) = message else { break };
            self.watermark = self.watermark.merged(message.into());
        }
        Ok(self)
    }
}

/// An error in an item of a list, which begins with the member if it is in one.
fn item<E: Error>(index: usize, error: E) -> E {
    let text = error.to_string();
    let separator = if text.starts_with('.') { "" } else { ": " };
    E::custom(format_args!("[{index}]{separator}{text}"))
}

/// An error with the path of the value that it is about.
fn within<E: Error>(path: &str) -> impl Fn(E) -> E + use<'_, E> {
    move |error| E::custom(format_args!("{path}: {error}"))
}

/// An unsigned number: the standard's decimal string, or a JSON integer.
fn number<'de, D: Deserializer<'de>>(deserializer: D, member: &'static str) -> Result<u64, D::Error> {
    deserializer.deserialize_any(NumberVisitor).map_err(within(member))
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an unsigned 64-bit number as a decimal string")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_str<E: Error>(self, digits: &str) -> Result<u64, E> {
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(E::invalid_value(Unexpected::Str(digits), &self));
        }
        digits.parse().map_err(|_| E::invalid_value(Unexpected::Str(digits), &self))
    }
}
