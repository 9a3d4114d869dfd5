//! Azure Key Vault: secrets by name, or those whose names begin alike or that have tags.
//!
//! Source: Microsoft's reference pages "Get Secrets" and "Get Secret" of the Key Vault REST API, version 7.4.

mod login;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use hyper::{StatusCode, Uri};
use serde::Deserialize;
use zeroize::Zeroizing;

use self::login::Cloud;
pub(crate) use self::login::Login;
use crate::http::{self, Address, Client, Endpoint};
use crate::oauth::Bearer;
use crate::reading::{MOST_NAMES, Reading, SecretReader, too_many_names};
use crate::trouble::{Kind, Trouble, code};
use crate::value::{self, Item};

/// Secrets of a vault.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Members")]
pub(crate) struct KeyVault {
    address: Address,
    ca_file: Option<PathBuf>,
    cloud: Cloud,
    wanted: Wanted,
    /// The member that has the key where a secret is a JSON object.
    field: String,
    login: Login,
}

/// Which secrets are read.
#[derive(Debug)]
enum Wanted {
    Named(Vec<String>),
    /// All whose names begin so and that have these tags.
    Listed {
        prefix: String,
        tags: BTreeMap<String, String>,
    },
}

/// The members of a source's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    vault: Option<String>,
    address: Option<Address>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    cloud: Cloud,
    secrets: Option<Vec<String>>,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default = "value::usual_field")]
    field: String,
    login: Login,
}

impl TryFrom<Members> for KeyVault {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, Self::Error> {
        let Members { vault, address, ca_file, cloud, secrets, prefix, tags, field, login } = members;
        let vault = vault.map(|name| name.to_ascii_lowercase());
        let address = match (vault, address) {
            (Some(vault), None) if is_name(&vault) => format!("https://{vault}.{}", cloud.vaults())
                .parse()
                .map_err(|_| "`vault` is no name of a vault")?,
            (Some(_), None) => return Err("`vault` has other characters than letters, digits and dashes"),
            (None, Some(address)) => address,
            (Some(_), Some(_)) | (None, None) => return Err("it needs `vault` or `address`, and not both"),
        };
        let wanted = match secrets {
            None => Wanted::Listed { prefix, tags },
            Some(_) if !prefix.is_empty() || !tags.is_empty() => {
                return Err("`secrets` names them all: `prefix` and `tags` are for a list");
            }
            Some(names) if names.is_empty() || !names.iter().all(|name| is_name(name)) => {
                return Err("`secrets` has to have names of letters, digits and dashes");
            }
            Some(names) => Wanted::Named(names),
        };
        Ok(Self { address, ca_file, cloud, wanted, field, login })
    }
}

impl fmt::Display for KeyVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match &self.wanted {
            Wanted::Named(names) => write!(f, "{} secrets of {address}", names.len()),
            Wanted::Listed { prefix, tags } if tags.is_empty() => write!(f, "secrets {prefix}* of {address}"),
            Wanted::Listed { prefix, .. } => write!(f, "secrets {prefix}* with tags of {address}"),
        }
    }
}

impl KeyVault {
    /// These secrets of a vault of the public cloud.
    pub(crate) fn named(vault: &str, secrets: Vec<String>, login: Login) -> Result<Self, &'static str> {
        let (prefix, tags) = (String::new(), BTreeMap::new());
        let (vault, field) = (Some(vault.to_owned()), value::usual_field());
        let (address, ca_file, cloud) = (None, None, Cloud::Public);
        let secrets = Some(secrets);
        Members { vault, address, ca_file, cloud, secrets, prefix, tags, field, login }.try_into()
    }

    /// Whether its files can be read.
    pub(crate) fn usable(&self) -> Result<(), Trouble> {
        self.login.usable()?;
        self.endpoint().map(drop)
    }

    /// The addresses that keys and tokens come from.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address).chain(self.login.address())
    }

    /// Logs in, lists the secrets, and begins to read them, by several connections.
    pub(crate) async fn read(&self) -> Result<Reading, Trouble> {
        let endpoint = self.endpoint()?;
        let bearer = self.login.token(self.cloud, self.ca_file.as_deref()).await?;
        let names = match &self.wanted {
            Wanted::Named(names) => names.clone(),
            Wanted::Listed { prefix, tags } => {
                let mut client = Client::new(endpoint.clone()).judging(judge);
                self.list(&mut client, &bearer, prefix, tags).await?
            }
        };
        let reader = || Reader {
            client: Client::new(endpoint.clone()).judging(judge),
            bearer: bearer.clone(),
            field: self.field.clone(),
        };
        Ok(Reading::start(names, reader, None))
    }

    fn endpoint(&self) -> Result<Endpoint, Trouble> {
        Endpoint::new(&self.address, self.ca_file.as_deref(), None)
    }

    async fn list(
        &self,
        client: &mut Client,
        bearer: &Bearer,
        prefix: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, Trouble> {
        let mut names = Vec::new();
        let mut path = format!("/secrets?{VERSION}&maxresults={PAGE}");
        for _ in 0..MOST_PAGES {
            let (status, body) = bearer.get(client, &path).await?;
            if status == StatusCode::NOT_FOUND {
                return Err(Trouble::new(Kind::NotFound, format!("there is no vault at {}", self.address)));
            }
            let Page { value, next_link } = http::json(&body, "the list of secrets")?;
            for entry in value.iter().filter(|entry| entry.is_key(tags)) {
                let name = entry.name()?;
                if name.starts_with(prefix) {
                    names.push(name.to_owned());
                }
            }
            if names.len() > MOST_NAMES {
                break;
            }
            match next_link.filter(|link| !link.is_empty()) {
                None => return Ok(names),
                Some(link) => path = within(&self.address, &link)?,
            }
        }
        Err(too_many_names())
    }
}

/// One of those that read secrets at the same time.
struct Reader {
    client: Client,
    bearer: Bearer,
    field: String,
}

impl SecretReader for Reader {
    async fn secret(&mut self, name: &str) -> Result<Vec<Item>, Trouble> {
        let path = format!("/secrets/{name}?{VERSION}");
        let (status, body) = self.bearer.get(&mut self.client, &path).await?;
        match status {
            StatusCode::NOT_FOUND => Err(Trouble::new(Kind::NotFound, "it is not there")),
            // Disabled since it was listed, or named: its operator has taken it away.
            StatusCode::FORBIDDEN => Ok(Vec::new()),
            _ => {
                let Secret { value } = http::json(&body, name)?;
                Ok(value::of_text(name, &value, &self.field))
            }
        }
    }
}

/// The path of a link to a page, which has to be the vault's own.
fn within(address: &Address, link: &str) -> Result<String, Trouble> {
    let own = || {
        let uri: Uri = link.parse().ok()?;
        let host = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
        let path = uri.path_and_query()?.as_str();
        let is_own = host.parse::<Address>().ok()?.to_string().eq_ignore_ascii_case(&address.to_string());
        (is_own && path.starts_with("/secrets?")).then(|| path.to_owned())
    };
    own().ok_or_else(|| {
        let reason =
            format!("the list of secrets goes on at another place than {address}: it is not followed");
        Trouble::new(Kind::Malformed, reason)
    })
}

/// Lets a disabled secret pass, and shows the codes of what does not.
fn judge(status: StatusCode, body: &[u8]) -> Result<(), (Kind, String)> {
    let Err((kind, what)) = http::by_status(status, body) else { return Ok(()) };
    let Ok(Refused { error: Refusal { code: outer, innererror } }) = serde_json::from_slice(body) else {
        return Err((kind, what));
    };
    match innererror {
        Some(Inner { code }) if status == StatusCode::FORBIDDEN && code == "SecretDisabled" => Ok(()),
        Some(Inner { code: inner }) => Err((kind, format!("{what}: {}, {}", code(&outer), code(&inner)))),
        None => Err((kind, format!("{what}: {}", code(&outer)))),
    }
}

fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    value: Vec<Entry>,
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    attributes: Attributes,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// It is the private key of a certificate of the vault's.
    #[serde(default)]
    managed: bool,
}

#[derive(Deserialize)]
struct Attributes {
    enabled: bool,
}

impl Entry {
    fn is_key(&self, tags: &BTreeMap<String, String>) -> bool {
        let has = |(name, value)| self.tags.get(name) == Some(value);
        self.attributes.enabled && !self.managed && tags.iter().all(has)
    }

    fn name(&self) -> Result<&str, Trouble> {
        let name = self.id.rsplit_once("/secrets/").map(|(_, name)| name).filter(|name| is_name(name));
        name.ok_or_else(|| {
            Trouble::new(Kind::Malformed, "the list has an entry that is no secret of a vault")
        })
    }
}

#[derive(Deserialize)]
struct Secret {
    value: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(alias = "innerError")]
    innererror: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    code: String,
}

const VERSION: &str = "api-version=7.4";
/// The most that a vault gives at once.
const PAGE: usize = 25;
/// A list may have many secrets that are none of the wanted ones.
const MOST_PAGES: usize = 8 * MOST_NAMES / PAGE;
/// Characters of a secret's name.
const LONGEST_NAME: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_which_vault_which_secrets_and_how_to_log_in() {
        let login = "login = {method = 'managed-identity'}";
        let parsed = |text: &str| toml::from_str::<KeyVault>(&format!("{text}\n{login}"));
        for (text, shown) in [
            ("vault = 'Keys-1'", "secrets * of https://keys-1.vault.azure.net"),
            ("vault = 'keys'\ncloud = 'china'\nprefix = 'v-'", "secrets v-* of https://keys.vault.azure.cn"),
            ("address = 'https://a:8443'\ntags = {a = 'b'}", "secrets * with tags of https://a:8443"),
            ("vault = 'keys'\nsecrets = ['a', 'B-1']", "2 secrets of https://keys.vault.azure.net"),
        ] {
            assert_eq!(parsed(text).unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            "vault = 'a.example/'",
            "vault = 'keys'\naddress = 'https://a'",
            "vault = 'keys'\ncloud = 'germany'",
            "vault = 'keys'\nsecrets = []",
            "vault = 'keys'\nsecrets = ['../a']",
            "vault = 'keys'\nsecrets = ['a']\nprefix = 'a'",
            "vault = 'keys'\nclient_secret = 'x'",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_page_is_followed_within_the_vault_alone() {
        let address: Address = "https://keys.vault.azure.net".parse().unwrap();
        for own in
            ["https://keys.vault.azure.net:443/secrets?a=b", "https://KEYS.vault.azure.net/secrets?a=b"]
        {
            assert_eq!(within(&address, own).unwrap(), "/secrets?a=b");
        }
        for other in [
            "https://keys.vault.azure.net.example/secrets?a=b",
            "https://keys.vault.azure.net@a.example/secrets?a=b",
            "https://keys.vault.azure.net:444/secrets?a=b",
            "http://keys.vault.azure.net/secrets?a=b",
            "https://keys.vault.azure.net/deletedsecrets?a=b",
            "//keys.vault.azure.net/secrets?a=b",
            "/secrets?a=b",
        ] {
            assert_eq!(within(&address, other).unwrap_err().kind, Kind::Malformed, "{other}");
        }
    }

    #[test]
    fn an_error_shows_its_codes_and_a_disabled_secret_is_none() {
        let body =
            br#"{"error": {"code": "Forbidden", "message": "m", "innererror": {"code": "SecretDisabled"}}}"#;
        assert_eq!(judge(StatusCode::FORBIDDEN, body), Ok(()));
        assert!(judge(StatusCode::UNAUTHORIZED, body).is_err());
        let body =
            br#"{"error": {"code": "Forbidden", "message": "m", "innerError": {"code": "ForbiddenByRbac"}}}"#;
        let (kind, what) = judge(StatusCode::FORBIDDEN, body).unwrap_err();
        assert_eq!(kind, Kind::Denied);
        assert!(what.ends_with(": Forbidden, ForbiddenByRbac"), "{what}");
        assert_eq!(judge(StatusCode::FORBIDDEN, b"<html>").unwrap_err().0, Kind::Denied);
    }
}
