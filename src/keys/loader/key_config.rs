//! Web3Signer's key configuration files: YAML, one key a document.
//!
//! Source: Web3Signer's documentation, "Use key configuration files". `file-keystore` and `file-raw` are read; the other
//! types name vaults, which a signer that keeps its keys itself does not speak to.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::listing::{Material, Password};

/// Reads the documents of one file. Relative paths in it start at `directory`.
pub(super) fn read(text: &str, directory: &Path) -> Vec<Result<Material, ConfigError>> {
    if nesting(text) > DEEPEST {
        return vec![Err(ConfigError::Nesting)];
    }
    let mut documents = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let document = Option::<Document>::deserialize(document);
        let material = match document {
            // An empty document: a separator at the start or the end of the file.
            Ok(None) => continue,
            Ok(Some(document)) => document.material(directory),
            Err(error) => Err(ConfigError::from(error)),
        };
        let ends = material.as_ref().is_err_and(ConfigError::ends_the_file);
        documents.push(material);
        if ends {
            break;
        }
    }
    documents
}

/// Why a document names no key that we can load. Shows no value that may be a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Not YAML, so the rest of the file cannot be read either.
    #[error("it is not valid YAML (line {line}, column {column})")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Nested deeper than any key configuration. The time that the parser takes grows with the square of the depth.
    #[error("it is nested too deeply")]
    Nesting,
    /// YAML, but not of the right form.
    #[error("it is no key configuration: {0}")]
    Form(String),
    /// Another kind of key.
    #[error("its type {0:?} is not supported; known are file-keystore and file-raw")]
    Type(String),
    /// A key for something else.
    #[error("its keyType is not BLS")]
    KeyType,
    /// A member is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The key in the clear is not one.
    #[error("privateKey is not 64 hexadecimal digits")]
    PrivateKey,
    /// `..` in a relative path.
    #[error("{0} leads out of the directory of the key configuration: write the whole path")]
    Outside(&'static str),
}

impl ConfigError {
    /// Whether nothing after this document can be read.
    pub(super) fn ends_the_file(&self) -> bool {
        matches!(self, Self::Syntax { .. } | Self::Nesting)
    }
}

impl From<serde_yaml_ng::Error> for ConfigError {
    fn from(error: serde_yaml_ng::Error) -> Self {
        let text = error.to_string();
        // These name members only; other messages repeat values.
        let harmless = ["missing field `", "duplicate field `", "duplicate entry"];
        let problem = harmless.iter().find_map(|start| text.find(start)).and_then(|at| text.get(at..));
        match (problem, error.location()) {
            (Some(problem), _) => Self::Form(problem.to_owned()),
            (None, _) if text.contains("invalid type") || text.contains("invalid value") => {
                Self::Form("a member has the wrong type".to_owned())
            }
            (None, Some(location)) => Self::Syntax { line: location.line(), column: location.column() },
            (None, None) => Self::Syntax { line: 0, column: 0 },
        }
    }
}

/// The members of all types that are read. Unknown ones are ignored, as Web3Signer does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    r#type: String,
    key_type: Option<String>,
    private_key: Option<Secret>,
    keystore_file: Option<PathBuf>,
    keystore_password_file: Option<PathBuf>,
}

struct Secret(Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Document {
    fn material(self, directory: &Path) -> Result<Material, ConfigError> {
        if self.key_type.is_some_and(|key_type| !key_type.eq_ignore_ascii_case("BLS")) {
            return Err(ConfigError::KeyType);
        }
        match self.r#type.as_str() {
            "file-keystore" => {
                let path = within(directory, "keystoreFile", self.keystore_file)?;
                let password = within(directory, "keystorePasswordFile", self.keystore_password_file)?;
                Ok(Material::Keystore { path, password: Password::FirstLine(password) })
            }
            "file-raw" => {
                let Secret(digits) = self.private_key.ok_or(ConfigError::Missing("privateKey"))?;
                let mut bytes = Zeroizing::new([0; 32]);
                const_hex::decode_to_slice(digits.trim(), &mut *bytes)
                    .map_err(|_| ConfigError::PrivateKey)?;
                Ok(Material::Raw(bytes))
            }
            _ => Err(ConfigError::Type(self.r#type.chars().take(32).collect())),
        }
    }
}

/// Relative paths start at the directory and stay in it; whole paths are the operator's own choice.
fn within(directory: &Path, member: &'static str, path: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    let path = path.ok_or(ConfigError::Missing(member))?;
    if path.is_relative() && path.components().any(|component| component == Component::ParentDir) {
        return Err(ConfigError::Outside(member));
    }
    Ok(directory.join(path))
}

/// How deep brackets are nested. Those in strings and comments count as well, which is more than enough for a bound.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth = depth.saturating_add(1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

const DEEPEST: usize = 1_000;
