//! `/eth/v1/keystores` of the Keymanager API (ethereum/keymanager-APIs v1.1.0), as the daemon answers it.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The route.
pub(crate) const PATH: &str = "/eth/v1/keystores";

/// The body of an answer to `GET` and `POST`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Data<T> {
    pub(crate) data: Vec<T>,
}

/// A key in the list.
#[derive(Serialize, Deserialize)]
pub(crate) struct ListedKey<'a> {
    pub(crate) validating_pubkey: String,
    pub(crate) derivation_path: Option<Cow<'a, str>>,
    /// Whether it comes from a file, so that the API may not delete it.
    pub(crate) readonly: Option<bool>,
}

/// What became of one key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeyResult {
    pub(crate) status: KeyStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

impl KeyResult {
    /// Whether something went wrong with it.
    pub(crate) fn is_failure(&self) -> bool {
        self.status == KeyStatus::Error
    }
}

/// The standard's words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyStatus {
    Imported,
    /// It was here already.
    Duplicate,
    Deleted,
    /// It does not sign, but has history here.
    NotActive,
    NotFound,
    Error,
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Imported => "imported",
            Self::Duplicate => "duplicate",
            Self::Deleted => "deleted",
            Self::NotActive => "not_active",
            Self::NotFound => "not_found",
            Self::Error => "error",
        })
    }
}

/// The body of an answer to `DELETE`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Deleted {
    pub(crate) data: Vec<KeyResult>,
    /// EIP-3076 JSON as a string, as the standard has it.
    pub(crate) slashing_protection: String,
}
