//! Google Secret Manager: the latest versions of secrets by name, or of those that a filter finds.
//!
//! Source: Google's reference pages of the REST API, version 1 (`projects.secrets`, `projects.secrets.versions`).

mod checksum;
mod login;

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use self::checksum::crc32c;
use self::login::Login;
use crate::http::{self, Address, Client, Endpoint, encoded};
use crate::oauth::Bearer;
use crate::reading::{MOST_NAMES, Reading, SecretReader, too_many_names};
use crate::trouble::{Kind, Trouble, code};
use crate::value::{self, Item};

/// Secrets of a project.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Members")]
pub(crate) struct SecretManager {
    address: Address,
    ca_file: Option<PathBuf>,
    /// What its secrets are below of: a project, or a location of it.
    parent: String,
    wanted: Wanted,
    /// The member that has the key where a secret is a JSON object.
    field: String,
    login: Login,
}

/// Which secrets are read.
#[derive(Debug)]
enum Wanted {
    Named(Vec<String>),
    /// All that the service's own filter finds and whose names begin so.
    Listed {
        filter: String,
        prefix: String,
    },
}

/// The members of a source's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    project: String,
    location: Option<String>,
    address: Option<Address>,
    ca_file: Option<PathBuf>,
    secrets: Option<Vec<String>>,
    #[serde(default)]
    filter: String,
    #[serde(default)]
    prefix: String,
    #[serde(default = "value::usual_field")]
    field: String,
    login: Login,
}

impl TryFrom<Members> for SecretManager {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, Self::Error> {
        let Members { project, location, address, ca_file, secrets, filter, prefix, field, login } = members;
        if !is_name(&project) || !location.as_deref().is_none_or(is_name) {
            return Err("`project` and `location` are names of letters, digits and dashes");
        }
        let (host, parent) = match location {
            None => ("secretmanager.googleapis.com".to_owned(), format!("projects/{project}")),
            Some(location) => (
                format!("secretmanager.{location}.rep.googleapis.com"),
                format!("projects/{project}/locations/{location}"),
            ),
        };
        let usual = || format!("https://{host}").parse().map_err(|_| "`location` is no name of a location");
        let address = address.map_or_else(usual, Ok)?;
        let wanted = match secrets {
            None => Wanted::Listed { filter, prefix },
            Some(_) if !filter.is_empty() || !prefix.is_empty() => {
                return Err("`secrets` names them all: `filter` and `prefix` are for a list");
            }
            Some(names) if names.is_empty() || !names.iter().all(|name| is_name(name)) => {
                return Err("`secrets` has to have names of letters, digits, dashes and underscores");
            }
            Some(names) => Wanted::Named(names),
        };
        Ok(Self { address, ca_file, parent, wanted, field, login })
    }
}

impl fmt::Display for SecretManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, parent, .. } = self;
        match &self.wanted {
            Wanted::Named(names) => write!(f, "{} secrets of {parent} at {address}", names.len()),
            Wanted::Listed { filter, prefix } if filter.is_empty() => {
                write!(f, "secrets {prefix}* of {parent} at {address}")
            }
            Wanted::Listed { prefix, .. } => {
                write!(f, "secrets {prefix}* that the filter finds of {parent} at {address}")
            }
        }
    }
}

impl SecretManager {
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
        let bearer = self.login.token(self.ca_file.as_deref()).await?;
        let names = match &self.wanted {
            Wanted::Named(names) => names.clone(),
            Wanted::Listed { filter, prefix } => {
                let mut client = Client::new(endpoint.clone()).judging(judge);
                self.list(&mut client, &bearer, filter, prefix).await?
            }
        };
        let reader = || Reader {
            client: Client::new(endpoint.clone()).judging(judge),
            bearer: bearer.clone(),
            parent: self.parent.clone(),
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
        filter: &str,
        prefix: &str,
    ) -> Result<Vec<String>, Trouble> {
        let mut names = Vec::new();
        let mut token = String::new();
        for _ in 0..MOST_PAGES {
            let path = format!(
                "/v1/{}/secrets?pageSize={PAGE}&filter={}&pageToken={}",
                self.parent,
                encoded(filter),
                encoded(&token)
            );
            let (status, body) = bearer.get(client, &path).await?;
            if status != StatusCode::OK {
                return Err(Trouble::new(Kind::NotFound, format!("there is no {}", self.parent)));
            }
            let Page { secrets, next_page_token } = http::json(&body, "the list of secrets")?;
            for entry in &secrets {
                let name = entry.short_name()?;
                if name.starts_with(prefix) {
                    names.push(name.to_owned());
                }
            }
            if names.len() > MOST_NAMES {
                break;
            }
            match next_page_token.filter(|next| !next.is_empty()) {
                None => return Ok(names),
                Some(next) => token = next,
            }
        }
        Err(too_many_names())
    }
}

/// One of those that read secrets at the same time.
struct Reader {
    client: Client,
    bearer: Bearer,
    parent: String,
    field: String,
}

impl SecretReader for Reader {
    async fn secret(&mut self, name: &str) -> Result<Vec<Item>, Trouble> {
        let version = format!("/v1/{}/secrets/{name}/versions/latest", self.parent);
        let (status, body) = self.bearer.get(&mut self.client, &format!("{version}:access")).await?;
        match status {
            StatusCode::NOT_FOUND => Err(Trouble::new(Kind::NotFound, "it is not there, or has no version")),
            StatusCode::BAD_REQUEST => self.without_data(&version, name).await,
            _ => {
                let Accessed { payload } = http::json(&body, name)?;
                let text = payload.text()?;
                Ok(value::of_text(name, &text, &self.field))
            }
        }
    }
}

impl Reader {
    /// A version that is disabled or destroyed has been taken away by its operator.
    async fn without_data(&mut self, version: &str, name: &str) -> Result<Vec<Item>, Trouble> {
        let (_, body) = self.bearer.get(&mut self.client, version).await.map_err(|trouble| {
            let what = "its latest version has no data, and why cannot be asked";
            Trouble::new(trouble.kind, format!("{what} (secretmanager.versions.get): {trouble}"))
        })?;
        let Version { state } = http::json(&body, name)?;
        match state.as_str() {
            "DISABLED" | "DESTROYED" => Ok(Vec::new()),
            other => {
                let reason = format!("its latest version is {} and has no data", code(other));
                Err(Trouble::new(Kind::Denied, reason))
            }
        }
    }
}

/// Lets pass that a version has no data, and shows the status of what does not.
fn judge(status: StatusCode, body: &[u8]) -> Result<(), (Kind, String)> {
    let Err((kind, what)) = http::by_status(status, body) else { return Ok(()) };
    let Ok(Refused { error: Refusal { status: name } }) = serde_json::from_slice(body) else {
        return Err((kind, what));
    };
    if status == StatusCode::BAD_REQUEST && name == "FAILED_PRECONDITION" {
        return Ok(());
    }
    Err((kind, format!("{what}: {}", code(&name))))
}

fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    secrets: Vec<Entry>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
}

impl Entry {
    fn short_name(&self) -> Result<&str, Trouble> {
        let name = self.name.rsplit_once("/secrets/").map(|(_, name)| name).filter(|name| is_name(name));
        name.ok_or_else(|| Trouble::new(Kind::Malformed, "the list has an entry that is no secret"))
    }
}

#[derive(Deserialize)]
struct Accessed {
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    data: Zeroizing<String>,
    /// A 64-bit number, which this JSON has as a text.
    data_crc32c: Option<String>,
}

impl Payload {
    fn text(&self) -> Result<Zeroizing<String>, Trouble> {
        let malformed = |reason: &str| Trouble::new(Kind::Malformed, reason);
        // Its room is taken at once: a buffer that grows leaves its old places unwiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.data.len()));
        STANDARD
            .decode_vec(self.data.as_bytes(), &mut bytes)
            .map_err(|_| malformed("its data is no base64"))?;
        let expected = self.data_crc32c.as_deref().map(str::parse);
        if expected.is_some_and(|expected| expected != Ok(crc32c(&bytes))) {
            return Err(malformed("its data has another checksum than it came with"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed("its data is no text"))?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

#[derive(Deserialize)]
struct Version {
    state: String,
}

#[derive(Deserialize)]
struct Refused {
    error: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    status: String,
}

/// The service may give fewer at once.
const PAGE: usize = 1000;
/// A list may have many secrets that are none of the wanted ones.
const MOST_PAGES: usize = MOST_NAMES;
/// Characters of a secret's name.
const LONGEST_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_which_project_which_secrets_and_how_to_log_in() {
        let login = "login = {method = 'metadata'}";
        let parsed = |text: &str| toml::from_str::<SecretManager>(&format!("{text}\n{login}"));
        for (text, shown) in [
            ("project = 'p'", "secrets * of projects/p at https://secretmanager.googleapis.com"),
            (
                "project = 'p'\nlocation = 'europe-west3'\nfilter = 'labels.a=b'\nprefix = 'v'",
                "secrets v* that the filter finds of projects/p/locations/europe-west3 at \
                 https://secretmanager.europe-west3.rep.googleapis.com",
            ),
            (
                "project = 'p'\naddress = 'https://a'\nsecrets = ['a_b']",
                "1 secrets of projects/p at https://a",
            ),
        ] {
            assert_eq!(parsed(text).unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            "project = 'p/secrets'",
            "project = 'p'\nlocation = ''",
            "project = 'p'\nsecrets = []",
            "project = 'p'\nsecrets = ['a/b']",
            "project = 'p'\nsecrets = ['a']\nfilter = 'a'",
            "project = 'p'\nkey = 'x'",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn data_has_the_checksum_that_it_came_with() {
        let text = |json: &str| serde_json::from_str::<Payload>(json).unwrap().text();
        // "123456789", and the check value that goes with it in lists of such sums.
        for whole in
            [r#"{"data": "MTIzNDU2Nzg5", "dataCrc32c": "3808858755"}"#, r#"{"data": "MTIzNDU2Nzg5"}"#]
        {
            assert_eq!(text(whole).unwrap().as_str(), "123456789");
        }
        for wrong in [
            r#"{"data": "MTIzNDU2Nzg4", "dataCrc32c": "3808858755"}"#,
            r#"{"data": "MTIzNDU2Nzg5", "dataCrc32c": "x"}"#,
            r#"{"data": "MTIz*"}"#,
            r#"{"data": "//4="}"#,
        ] {
            assert_eq!(text(wrong).unwrap_err().kind, Kind::Malformed, "{wrong}");
        }
    }

    #[test]
    fn an_error_shows_its_status_and_a_version_without_data_is_none() {
        let body = br#"{"error": {"code": 400, "message": "m", "status": "FAILED_PRECONDITION"}}"#;
        assert_eq!(judge(StatusCode::BAD_REQUEST, body), Ok(()));
        let (kind, what) = judge(StatusCode::FORBIDDEN, body).unwrap_err();
        assert_eq!(kind, Kind::Denied);
        assert!(what.ends_with(": FAILED_PRECONDITION"), "{what}");
        let body = br#"{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}"#;
        assert_eq!(judge(StatusCode::BAD_REQUEST, body).unwrap_err().0, Kind::Malformed);
    }
}
