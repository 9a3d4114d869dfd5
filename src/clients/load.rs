//! Clients out of the configuration, with the files that it names: lists of keys, and the digests of tokens.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Clients;
use super::client::{Client, ClientName, Identity, Keys};
use crate::bls::PublicKey;
use crate::config::{self, ClientSettings, ClientSources, ClientTokens, KeyEntry, KeySelection};
use crate::credentials::TokenDigest;
use crate::regular_file::{FileError, RegularFile};
use crate::text;

impl Clients {
    /// Reads the configuration and the files that it names; blocks.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(crate) fn load(sources: &ClientSources) -> Result<Self, LoadError> {
        let Some(settings) = sources.read()? else { return Ok(Self::everybody()) };
        let tokens = sources.tokens()?;
        let mut warnings = Vec::new();
        let clients = settings.into_iter().map(|client| one(client, &tokens, &mut warnings).map(Arc::new));
        let clients = clients.collect::<Result<_, _>>()?;
        Ok(Self::named(clients, warnings))
    }

    /// Reads again what [`Clients::load`] read.
    ///
    /// # Errors
    /// A file cannot be used, or there is no client any more: to let everybody have everything signed takes a restart.
    pub(crate) fn reload(&self, sources: &ClientSources) -> Result<Self, LoadError> {
        let renewed = Self::load(sources)?;
        if self.are_named() && !renewed.are_named() {
            return Err(LoadError::NoneLeft);
        }
        Ok(renewed)
    }
}

fn one(
    settings: ClientSettings,
    tokens: &ClientTokens,
    warnings: &mut Vec<String>,
) -> Result<Client, LoadError> {
    let ClientSettings {
        name,
        users,
        groups,
        certificates,
        certificate_names,
        tokens: named,
        keys,
        duties,
        exits,
    } = settings;
    let mut digest = |token: String| {
        let digest: Option<TokenDigest> = tokens.digest(&token);
        if digest.is_none() {
            warnings.push(format!(
                "the client {name} is known by a token {token} that there is not: 'bls-signer token new {token}' \
                 makes it"
            ));
        }
        digest
    };
    let identity = Identity {
        users,
        groups,
        certificates,
        certificate_names,
        tokens: named.map(|named| named.into_iter().filter_map(&mut digest).collect()),
    };
    let keys = match keys {
        KeySelection::All => Keys::All,
        KeySelection::Listed(entries) => Keys::Listed(key_list(&name, entries)?),
    };
    Ok(Client { name: Some(ClientName(name.into())), identity, keys, duties, exits })
}

fn key_list(client: &str, entries: Vec<KeyEntry>) -> Result<BTreeSet<PublicKey>, LoadError> {
    let mut keys = BTreeSet::new();
    for entry in entries {
        match entry {
            KeyEntry::Key(text) => {
                let no_key = || LoadError::Key { client: client.to_owned(), text: text.clone() };
                keys.insert(text.parse().map_err(|_| no_key())?);
            }
            KeyEntry::File(path) => keys.append(&mut key_file(&path)?),
        }
    }
    Ok(keys)
}

/// One public key a line; empty lines, and those that begin with `#`, say nothing.
fn key_file(path: &Path) -> Result<BTreeSet<PublicKey>, LoadError> {
    let text = RegularFile::open(path)
        .and_then(|file| file.read_text(LARGEST_KEY_LIST_BYTES))
        .map_err(|source| LoadError::KeyList { path: path.to_owned(), source })?;
    text::entries(text::unmarked(&text))
        .map(|(line, key)| key.parse().map_err(|_| LoadError::KeyLine { path: path.to_owned(), line }))
        .collect()
}

/// Why there are no clients to go by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Configuration(#[from] config::Error),
    #[error(
        "the client {client} names '{}' as a key: give public keys of 96 hexadecimal digits, or file:/PATH",
        text::OneLine(text)
    )]
    Key { client: String, text: String },
    #[error("the list of keys {} cannot be used", path.display())]
    KeyList { path: PathBuf, source: FileError },
    #[error("{} line {line} is no public key: 96 hexadecimal digits are expected", path.display())]
    KeyLine { path: PathBuf, line: usize },
    #[error(
        "the configuration names no [[client]] any more, so everybody could have everything signed: restart the \
         signer if that is meant"
    )]
    NoneLeft,
}

/// Some hundred thousand keys.
const LARGEST_KEY_LIST_BYTES: u64 = 32 << 20;
