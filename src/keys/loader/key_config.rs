//! Web3Signer's key configuration files: YAML, one key a document.
//!
//! Source: Web3Signer's documentation, "Use key configuration files". `file-keystore` and `file-raw` are read; the
//! other types name vaults, which a signer that keeps its keys itself does not speak to.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::material::{Material, Password};
use crate::keys::secret::{Scalar, SecretKeyError};
use crate::sys::locked_memory::LockedMemory;
use crate::yaml::{self, Mapping, Shown, YamlError};

/// Reads the documents of one file. Relative paths in it start at `directory`.
///
/// The text holds secrets and is the caller's to wipe; nothing of it is copied but into memory that is wiped, and keys
/// only into `memory`.
pub(super) fn read(
    text: &str,
    directory: &Path,
    memory: &Arc<LockedMemory>,
) -> Vec<Result<Material, ConfigError>> {
    let mut documents = Vec::new();
    for document in yaml::documents(text) {
        let material =
            document.map_err(ConfigError::from).and_then(|document| material(&document, directory, memory));
        let ends = material.as_ref().is_err_and(ConfigError::ends_the_file);
        documents.push(material);
        if ends {
            break;
        }
    }
    documents
}

/// For a fuzz target: the keystore that each document names, if it names one, or why it names no key.
#[cfg(feature = "fuzz-internals")]
pub(crate) fn paths(
    text: &str,
    directory: &Path,
    memory: &Arc<LockedMemory>,
) -> Vec<Result<Option<PathBuf>, String>> {
    let named = read(text, directory, memory).into_iter().map(|document| match document {
        Ok(Material::Keystore { path, .. }) => Ok(Some(path)),
        Ok(Material::Raw(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    });
    named.collect()
}

/// Why a document names no key that we can load. Shows no value that may be a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Not YAML, or not of the right form.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// Another kind of key.
    #[error("its type {0} is not supported; known are file-keystore and file-raw")]
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
    /// The key in the clear is out of range, or there is no memory for it.
    #[error(transparent)]
    Secret(SecretKeyError),
    /// `..` in a relative path.
    #[error("{0} leads out of the directory of the key configuration: write the whole path")]
    Outside(&'static str),
}

impl ConfigError {
    /// Whether nothing after this document can be read.
    pub(super) fn ends_the_file(&self) -> bool {
        matches!(self, Self::Yaml(error) if error.ends_the_file())
    }
}

/// What a document says of its key. Members that the type does not need are ignored, as Web3Signer does.
fn material(
    document: &Mapping<'_>,
    directory: &Path,
    memory: &Arc<LockedMemory>,
) -> Result<Material, ConfigError> {
    let key_type = document.text("keyType")?;
    if key_type.is_some_and(|key_type| !key_type.eq_ignore_ascii_case("BLS")) {
        return Err(ConfigError::KeyType);
    }
    let r#type = document.text("type")?.ok_or(ConfigError::Missing("type"))?;
    match &*r#type {
        "file-keystore" => {
            let keystore = path(document, "keystoreFile", directory)?;
            let password = path(document, "keystorePasswordFile", directory)?;
            Ok(Material::Keystore { path: keystore, password: Password::FirstLine(password) })
        }
        "file-raw" => {
            let digits = document.text("privateKey")?.ok_or(ConfigError::Missing("privateKey"))?;
            let scalar = Scalar::from_hex(digits.trim(), memory).map_err(|error| match error {
                SecretKeyError::Digits => ConfigError::PrivateKey,
                SecretKeyError::OutOfRange | SecretKeyError::Memory(_) => ConfigError::Secret(error),
            })?;
            Ok(Material::Raw(scalar))
        }
        other => Err(ConfigError::Type(Shown(other).to_string())),
    }
}

/// Relative paths start at the directory and stay in it; whole paths are the operator's own choice.
fn path(document: &Mapping<'_>, member: &'static str, directory: &Path) -> Result<PathBuf, ConfigError> {
    let path = document.text(member)?.ok_or(ConfigError::Missing(member))?;
    let path = Path::new(&*path);
    if path.is_relative() && path.components().any(|component| component == Component::ParentDir) {
        return Err(ConfigError::Outside(member));
    }
    Ok(directory.join(path))
}
