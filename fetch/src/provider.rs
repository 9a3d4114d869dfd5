//! Stores of others that keys are read from, one variant a provider.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::Table;

use crate::aws::Aws;
use crate::azure::KeyVault;
use crate::gcp::SecretManager;
use crate::http::Address;
use crate::reading::Reading;
use crate::trouble::Trouble;
use crate::vault::Vault;
use crate::web3signer::KeyConfigurations;

/// A store, as its source's file describes it.
#[derive(Debug)]
pub(crate) enum Provider {
    Aws(Box<Aws>),
    Vault(Box<Vault>),
    Azure(Box<KeyVault>),
    Gcp(Box<SecretManager>),
    Web3signer(Box<KeyConfigurations>),
}

/// Why the members of a file describe none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("it is not understood: {0}")]
    Form(String),
    #[error("{0} is http:// and not this host: keys must not cross a network in the clear, use https://")]
    Plain(Address),
}

impl Provider {
    pub(crate) fn aws(members: Table) -> Result<Self, ProviderError> {
        read(members).map(Self::Aws)?.safe()
    }

    pub(crate) fn vault(members: Table) -> Result<Self, ProviderError> {
        read(members).map(Self::Vault)?.safe()
    }

    pub(crate) fn azure(members: Table) -> Result<Self, ProviderError> {
        read(members).map(Self::Azure)?.safe()
    }

    pub(crate) fn gcp(members: Table) -> Result<Self, ProviderError> {
        read(members).map(Self::Gcp)?.safe()
    }

    pub(crate) fn web3signer(members: Table) -> Result<Self, ProviderError> {
        read(members).map(Self::Web3signer)?.safe()
    }

    /// Whether what it names can be read.
    pub(crate) fn usable(&self) -> Result<(), Trouble> {
        match self {
            Self::Aws(aws) => aws.usable(),
            Self::Vault(vault) => vault.usable(),
            Self::Azure(vault) => vault.usable(),
            Self::Gcp(manager) => manager.usable(),
            Self::Web3signer(files) => files.usable(),
        }
    }

    /// Logs in, lists all, and begins to read it.
    pub(crate) async fn read(&self) -> Result<Reading, Trouble> {
        match self {
            Self::Aws(aws) => aws.read().await,
            Self::Vault(vault) => vault.read().await,
            Self::Azure(vault) => vault.read().await,
            Self::Gcp(manager) => manager.read().await,
            Self::Web3signer(files) => files.read().await,
        }
    }

    fn safe(self) -> Result<Self, ProviderError> {
        let unsafe_one = match &self {
            Self::Aws(aws) => plain(aws.addresses()),
            Self::Vault(vault) => plain(vault.addresses()),
            Self::Azure(vault) => plain(vault.addresses()),
            Self::Gcp(manager) => plain(manager.addresses()),
            Self::Web3signer(files) => plain(files.addresses()),
        };
        unsafe_one.map_or(Ok(self), |address| Err(ProviderError::Plain(address)))
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws(aws) => aws.fmt(f),
            Self::Vault(vault) => vault.fmt(f),
            Self::Azure(vault) => vault.fmt(f),
            Self::Gcp(manager) => manager.fmt(f),
            Self::Web3signer(files) => files.fmt(f),
        }
    }
}

fn plain<'a>(mut addresses: impl Iterator<Item = &'a Address>) -> Option<Address> {
    addresses.find(|address| !address.is_safe()).cloned()
}

fn read<T: DeserializeOwned>(members: Table) -> Result<T, ProviderError> {
    // The error's own display quotes the line.
    members.try_into().map_err(|error: toml::de::Error| ProviderError::Form(error.message().to_owned()))
}
