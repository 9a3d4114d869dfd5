//! Secrets as the service answers with them: a page of their names, and the values of several.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::service::kind_of;
use crate::trouble::{Kind, Trouble, code};
use crate::value::{self, Item};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Page {
    pub(super) secret_list: Vec<Listed>,
    pub(super) next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) name: String,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

/// Secrets that were asked for together, and what is wrong with others of them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch {
    #[serde(default)]
    secret_values: Vec<Secret>,
    #[serde(default)]
    errors: Vec<Failed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    #[serde(rename = "ARN")]
    arn: Option<String>,
    name: String,
    secret_string: Option<Zeroizing<String>>,
    /// In base64.
    secret_binary: Option<Zeroizing<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    secret_id: String,
    error_code: String,
}

impl Batch {
    /// What each name gave: a name that nothing is said about is missing.
    pub(super) fn items(&self, names: &[String], field: &str) -> Vec<Item> {
        let errors: HashMap<_, _> =
            self.errors.iter().map(|failed| (&failed.secret_id, &failed.error_code)).collect();
        let of = |name: &String| match (self.of(name), errors.get(name)) {
            (Some(secret), _) => secret.items(field),
            (None, Some(error)) => missing(name, kind_of(error), &format!("AWS answers {}", code(error))),
            (None, None) => missing(name, Kind::NotFound, "it was listed and is not answered"),
        };
        names.iter().flat_map(of).collect()
    }

    fn of(&self, name: &str) -> Option<&Secret> {
        self.secret_values.iter().find(|secret| secret.name == name || secret.arn.as_deref() == Some(name))
    }
}

impl Secret {
    fn items(&self, field: &str) -> Vec<Item> {
        let decoded = match (&self.secret_string, &self.secret_binary) {
            (Some(text), _) => return value::of_text(&self.name, text, field),
            (None, Some(binary)) => STANDARD.decode(binary.as_bytes()).ok().map(Zeroizing::new),
            (None, None) => None,
        };
        match decoded.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok()) {
            Some(text) => value::of_text(&self.name, text, field),
            None => missing(&self.name, Kind::Malformed, "it is no text"),
        }
    }
}

fn missing(name: &str, kind: Kind, reason: &str) -> Vec<Item> {
    vec![Item::Missing { name: name.to_owned(), trouble: Trouble::new(kind, reason) }]
}
