//! What a fetcher says and is told: one JSON object a line, with one member that says what it is.
//!
//! ```text
//! > {"begin": {"protocol": 1, "source": "vault", "sealed": "always"}}
//! > {"key": {"name": "keys/1", "public_key": "0x…", "secret": "0x…"}}
//! > {"keystore": {"name": "keys/2", "keystore": {…}, "password": "…"}}
//! > {"missing": {"name": "keys/3", "trouble": "timeout", "reason": "no answer within 10 s"}}
//! > {"end": {"entries": 3}}
//! < {"delivered": {"source": "vault", "keys": 2, "entered": 2, "left": 0, "missing": 1, "complete": false}}
//! < {"fetch": {}}
//! ```
//!
//! In place of `end`, `failed` says that the source could not be read. `retire` takes all keys of a source away.
//! `fetch` may come between two deliveries: all sources are to be asked again.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::keymanager::fetched::{Delivered, SealPolicy, SourceName, Trouble};

/// The version of the protocol.
pub(super) const VERSION: u32 = 1;

/// A line of a fetcher's.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Said<'a> {
    /// A delivery begins.
    Begin { protocol: u32, source: String, sealed: String },
    /// A raw secret key. In digits alone: an escape in it would have a parser make a copy.
    Key {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(default)]
        public_key: Option<String>,
        secret: &'a str,
    },
    /// An EIP-2335 keystore.
    Keystore {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(default)]
        public_key: Option<String>,
        #[serde(borrow)]
        keystore: &'a RawValue,
        password: Zeroizing<String>,
    },
    /// The source lists it, and it could not be read.
    Missing {
        #[serde(borrow)]
        name: Cow<'a, str>,
        trouble: String,
        reason: String,
    },
    /// The delivery ends, after so many of the three above.
    End { entries: usize },
    /// The delivery ends, as the source could not be read.
    Failed { trouble: String, reason: String },
    /// The source is none any more.
    Retire { source: String },
}

/// The policy of this name.
pub(super) fn policy(name: &str) -> Option<SealPolicy> {
    SealPolicy::ALL.iter().find(|policy| policy.name() == name).copied()
}

/// The trouble of this name; what is not known counts as an answer that was not understood.
pub(super) fn trouble(name: &str) -> Trouble {
    Trouble::ALL.iter().find(|trouble| trouble.name() == name).copied().unwrap_or(Trouble::Malformed)
}

/// What a delivery came to.
pub(super) fn delivered(source: &SourceName, outcome: &Delivered) -> Value {
    let Delivered { keys, entered, left, missing, complete } = outcome;
    let source = source.as_str();
    json!({"delivered": {
        "source": source, "keys": keys, "entered": entered, "left": left, "missing": missing, "complete": complete,
    }})
}

/// All of a source's keys left.
pub(super) fn retired(source: &SourceName, left: usize) -> Value {
    json!({"retired": {"source": source.as_str(), "left": left}})
}

/// Why nothing more is read.
pub(super) fn refused(reason: &str) -> Value {
    json!({"refused": {"reason": reason}})
}

/// All sources are to be asked again.
pub(super) fn fetch() -> Value {
    json!({"fetch": {}})
}
