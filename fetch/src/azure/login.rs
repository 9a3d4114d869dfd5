//! Logins to Azure: an application's secret, a federated token of a workload, or the identity of the machine.
//!
//! Source: Microsoft's pages "OAuth 2.0 client credentials flow" and "managed identities on a virtual machine".

use std::path::Path;

use serde::Deserialize;

use crate::credential::Credential;
use crate::http::{Address, Client, Endpoint, encoded};
use crate::oauth::{self, Bearer};
use crate::trouble::{Kind, Trouble};

/// How the fetcher logs in. `address` stands for another one than the cloud's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Login {
    ClientSecret {
        tenant: String,
        client_id: String,
        client_secret_file: Credential,
        address: Option<Address>,
    },
    WorkloadIdentity {
        tenant: String,
        client_id: String,
        token_file: Credential,
        address: Option<Address>,
    },
    ManagedIdentity {
        client_id: Option<String>,
        address: Option<Address>,
    },
}

/// Which cloud of Microsoft's: each has its own hosts.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Cloud {
    #[default]
    Public,
    UsGovernment,
    China,
}

impl Cloud {
    /// What the names of its vaults end in; a token is for `https://` and this.
    pub(super) fn vaults(self) -> &'static str {
        match self {
            Self::Public => "vault.azure.net",
            Self::UsGovernment => "vault.usgovcloudapi.net",
            Self::China => "vault.azure.cn",
        }
    }

    fn logins(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.partner.microsoftonline.cn",
        }
    }
}

impl Login {
    /// Whether its files can be read.
    pub(super) fn usable(&self) -> Result<(), Trouble> {
        match self {
            Self::ClientSecret { client_secret_file: file, .. }
            | Self::WorkloadIdentity { token_file: file, .. } => file.read().map(drop),
            Self::ManagedIdentity { .. } => Ok(()),
        }
    }

    /// Where it is another one than the cloud's.
    pub(super) fn address(&self) -> Option<&Address> {
        match self {
            Self::ClientSecret { address, .. }
            | Self::WorkloadIdentity { address, .. }
            | Self::ManagedIdentity { address, .. } => address.as_ref(),
        }
    }

    pub(super) async fn token(&self, cloud: Cloud, authorities: Option<&Path>) -> Result<Bearer, Trouble> {
        let usual = match self {
            Self::ClientSecret { .. } | Self::WorkloadIdentity { .. } => cloud.logins(),
            Self::ManagedIdentity { .. } => METADATA,
        };
        let address = self.address().cloned().map_or_else(|| usual.parse(), Ok);
        let address = address.map_err(|error| Trouble::new(Kind::Malformed, error.to_string()))?;
        let client = Client::new(Endpoint::new(&address, authorities, None)?);
        let scope = format!("https://{}/.default", cloud.vaults());
        match self {
            Self::ClientSecret { tenant, client_id, client_secret_file, .. } => {
                let secret = client_secret_file.read()?;
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_id", client_id),
                    ("client_secret", &secret),
                    ("scope", &scope),
                ];
                oauth::by_form(client, &path(tenant), &form).await
            }
            Self::WorkloadIdentity { tenant, client_id, token_file, .. } => {
                let assertion = token_file.read()?;
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_id", client_id),
                    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                    ("client_assertion", &assertion),
                    ("scope", &scope),
                ];
                oauth::by_form(client, &path(tenant), &form).await
            }
            Self::ManagedIdentity { client_id, .. } => {
                let resource = encoded(&format!("https://{}", cloud.vaults()));
                let client_id = client_id.as_ref().map(|id| format!("&client_id={}", encoded(id)));
                let path = format!(
                    "/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}{}",
                    client_id.unwrap_or_default()
                );
                oauth::by_metadata(client, &path, ("metadata", "true")).await
            }
        }
    }
}

fn path(tenant: &str) -> String {
    format!("/{}/oauth2/v2.0/token", encoded(tenant))
}

/// Of a virtual machine, from within it alone.
const METADATA: &str = "http://169.254.169.254";
