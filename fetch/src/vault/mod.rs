//! HashiCorp Vault and OpenBao: key-value stores of version 1 and 2, by token, AppRole, Kubernetes or certificate.
//!
//! Source: the HTTP API pages of OpenBao and Vault ("KV secrets engine", "AppRole", "Kubernetes", "TLS certificate").

mod session;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) use self::session::Login;
use self::session::Session;
use crate::http::{self, Address, Client, ClientCertificate, Endpoint, Trust, encoded};
use crate::reading::{MOST_NAMES, Reading, SecretReader, too_many_names};
use crate::trouble::{Kind, Trouble};
use crate::value::{self, Item};

/// Secrets of a key-value store.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Members")]
pub(crate) struct Vault {
    address: Address,
    trust: Trust,
    /// The store.
    mount: String,
    version: Version,
    wanted: Wanted,
    /// The member of a secret that has the key, or several, one a line.
    field: String,
    namespace: Option<String>,
    login: Login,
}

/// Which secrets are read.
#[derive(Debug)]
enum Wanted {
    /// By their whole paths in the store.
    Named(Vec<String>),
    /// This folder and all below it; all of the store where it is empty.
    Below(String),
}

/// The members of a source's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    address: Address,
    ca_file: Option<PathBuf>,
    #[serde(default = "usual_mount")]
    mount: String,
    #[serde(default)]
    version: Version,
    path: Option<String>,
    secrets: Option<Vec<String>>,
    #[serde(default = "value::usual_field")]
    field: String,
    namespace: Option<String>,
    login: Login,
}

impl TryFrom<Members> for Vault {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, Self::Error> {
        let Members { address, ca_file, mount, version, path, secrets, field, namespace, login } = members;
        let wanted = match (path, secrets) {
            (Some(path), None) => Wanted::Below(path.trim_matches('/').to_owned()),
            (None, Some(names)) if names.is_empty() => return Err("`secrets` has no name"),
            (None, Some(names)) => Wanted::Named(names),
            (Some(_), Some(_)) | (None, None) => return Err("it needs `path` or `secrets`, and not both"),
        };
        let trust = ca_file.as_deref().into();
        Ok(Self { address, trust, mount, version, wanted, field, namespace, login })
    }
}

/// Version of a key-value store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
enum Version {
    One,
    #[default]
    Two,
}

impl TryFrom<i64> for Version {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            other => {
                Err(format!("`version` is {other}: the key-value stores of Vault and OpenBao are 1 and 2"))
            }
        }
    }
}

impl fmt::Display for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mount, address, .. } = self;
        match &self.wanted {
            Wanted::Named(names) => write!(f, "{} secrets in {mount} of {address}", names.len()),
            Wanted::Below(folder) => write!(f, "{mount}/{folder} of {address}"),
        }
    }
}

impl Vault {
    /// These secrets of a store of version 2, each with a key in the member `field`.
    pub(crate) fn named(
        (address, trust): (Address, Trust),
        mount: &str,
        secrets: Vec<String>,
        field: &str,
        login: Login,
    ) -> Self {
        let (mount, field) = (mount.to_owned(), field.to_owned());
        let (version, wanted, namespace) = (Version::Two, Wanted::Named(secrets), None);
        Self { address, trust, mount, version, wanted, field, namespace, login }
    }

    /// Whether keys may come from there, and its files can be read.
    pub(crate) fn usable(&self) -> Result<(), Trouble> {
        self.login.usable()?;
        self.endpoint().map(drop)
    }

    /// The addresses that keys come from.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address)
    }

    /// Logs in, lists all, and begins to read it, by several connections.
    pub(crate) async fn read(&self) -> Result<Reading, Trouble> {
        let endpoint = self.endpoint()?;
        let mut client = Client::new(endpoint.clone());
        let session = self.login.log_in(&mut client, self.namespace.as_deref()).await?;
        let names = match &self.wanted {
            Wanted::Named(names) => names.clone(),
            Wanted::Below(folder) => self.list(&mut client, &session, folder).await?,
        };
        let reader = || Reader {
            client: Client::new(endpoint.clone()),
            session: session.clone(),
            version: self.version,
            data: match self.version {
                Version::One => self.mount.clone(),
                Version::Two => format!("{}/data", self.mount),
            },
            field: self.field.clone(),
        };
        let farewell = session.clone().log_out(client);
        Ok(Reading::start(names, reader, Some(Box::pin(farewell))))
    }

    fn endpoint(&self) -> Result<Endpoint, Trouble> {
        let certificate = match &self.login {
            Login::Certificate { cert_file, key_file, .. } => {
                Some(ClientCertificate { chain: cert_file, key: key_file })
            }
            Login::Token { .. } | Login::Approle { .. } | Login::Kubernetes { .. } => None,
        };
        Endpoint::new(&self.address, self.trust.clone(), certificate)
    }

    /// The names of all secrets below the folder, by their whole paths in the store.
    async fn list(
        &self,
        client: &mut Client,
        session: &Session,
        folder: &str,
    ) -> Result<Vec<String>, Trouble> {
        let metadata = match self.version {
            Version::One => self.mount.clone(),
            Version::Two => format!("{}/metadata", self.mount),
        };
        let mut names = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let path = format!("/v1/{}/{}?list=true", encoded(&metadata), encoded(&folder));
            let (status, body) = session.get(client, &path).await?;
            // An empty folder is not there.
            if status == StatusCode::NOT_FOUND {
                continue;
            }
            let Listed { data: Keys { keys } } = http::json(&body, "a folder")?;
            for key in keys {
                let separator = if folder.is_empty() { "" } else { "/" };
                match key.strip_suffix('/') {
                    Some(below) => folders.push(format!("{folder}{separator}{below}")),
                    None => names.push(format!("{folder}{separator}{key}")),
                }
            }
            if names.len().saturating_add(folders.len()) > MOST_NAMES {
                return Err(too_many_names());
            }
        }
        Ok(names)
    }
}

/// One of those that read secrets at the same time.
struct Reader {
    client: Client,
    session: Session,
    version: Version,
    data: String,
    field: String,
}

impl SecretReader for Reader {
    async fn secret(&mut self, name: &str) -> Result<Vec<Item>, Trouble> {
        let path = format!("/v1/{}/{}", encoded(&self.data), encoded(name));
        let (status, body) = self.session.get(&mut self.client, &path).await?;
        if status == StatusCode::NOT_FOUND {
            // A version that was deleted is listed still, and its operator has taken it away.
            return match serde_json::from_slice::<Deleted>(&body) {
                Ok(Deleted { data: DeletedData { metadata } })
                    if self.version == Version::Two && metadata.is_some() =>
                {
                    Ok(Vec::new())
                }
                Ok(_) | Err(_) => Err(Trouble::new(Kind::NotFound, "it is not there")),
            };
        }
        let members = match self.version {
            Version::One => http::json::<Secret<HashMap<String, &RawValue>>>(&body, name)?.data,
            Version::Two => http::json::<Secret<Data<'_>>>(&body, name)?.data.data,
        };
        Ok(value::of_members(name, &members, &self.field))
    }
}

fn usual_mount() -> String {
    "secret".to_owned()
}

#[derive(Deserialize)]
struct Listed {
    data: Keys,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct Secret<D> {
    data: D,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    data: HashMap<String, &'a RawValue>,
}

#[derive(Deserialize)]
struct Deleted {
    data: DeletedData,
}

#[derive(Deserialize)]
struct DeletedData {
    metadata: Option<serde::de::IgnoredAny>,
}
