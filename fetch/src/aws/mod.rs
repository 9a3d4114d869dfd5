//! AWS Secrets Manager: secrets of a region by name, or by the beginning of their names and by tags, twenty at a time.
//!
//! Source: `ListSecrets` and `BatchGetSecretValue` in the AWS Secrets Manager API Reference.

mod answer;
mod login;
mod service;
mod signature;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use self::answer::{Batch, Listed, Page};
pub(crate) use self::login::Login;
use self::service::{Service, server};
use crate::http::{self, Address, Endpoint};
use crate::reading::{self, MOST_NAMES, Reading, too_many_names};
use crate::trouble::{Kind, Trouble};
use crate::value::{self, Item};

/// Secrets of one account and region.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Members")]
pub(crate) struct Aws {
    region: String,
    /// The service, where it is another than the region's.
    address: Option<Address>,
    ca_file: Option<PathBuf>,
    wanted: Wanted,
    /// The member that has the key, where a secret is a JSON object.
    field: String,
    login: Login,
}

/// Which secrets are read.
#[derive(Debug)]
enum Wanted {
    Named(Vec<String>),
    /// All whose names begin with one of these, if there are any, and that have all of these tags.
    Listed {
        prefixes: Vec<String>,
        tags: BTreeMap<String, String>,
    },
}

/// The members of a source's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    region: String,
    address: Option<Address>,
    ca_file: Option<PathBuf>,
    secrets: Option<Vec<String>>,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default = "value::usual_field")]
    field: String,
    login: Login,
}

impl TryFrom<Members> for Aws {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, Self::Error> {
        let Members { region, address, ca_file, secrets, prefixes, tags, field, login } = members;
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err("`region` is no name of a region, such as eu-central-1");
        }
        let wanted = match secrets {
            None => Wanted::Listed { prefixes, tags },
            Some(_) if !prefixes.is_empty() || !tags.is_empty() => {
                return Err("`secrets` names them all: `prefixes` and `tags` are for a list");
            }
            Some(names) if names.is_empty() => return Err("`secrets` has no name"),
            Some(names) => Wanted::Named(names),
        };
        Ok(Self { region, address, ca_file, wanted, field, login })
    }
}

impl fmt::Display for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let region = &self.region;
        match &self.wanted {
            Wanted::Named(names) => write!(f, "{} secrets of AWS in {region}", names.len()),
            Wanted::Listed { prefixes, tags } => {
                let with = if tags.is_empty() { "" } else { " with tags" };
                write!(f, "secrets {}*{with} of AWS in {region}", prefixes.join("*, "))
            }
        }
    }
}

impl Aws {
    /// These secrets of a region.
    pub(crate) fn named(
        region: &str,
        (address, ca_file): (Option<Address>, Option<PathBuf>),
        secrets: Vec<String>,
        login: Login,
    ) -> Result<Self, &'static str> {
        let (prefixes, tags) = (Vec::new(), BTreeMap::new());
        let (region, field) = (region.to_owned(), value::usual_field());
        Members { region, address, ca_file, secrets: Some(secrets), prefixes, tags, field, login }.try_into()
    }

    /// Whether its files can be read.
    pub(crate) fn usable(&self) -> Result<(), Trouble> {
        self.login.usable()?;
        self.endpoint().map(drop)
    }

    /// The addresses that secrets come from, where they are named.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.address.iter().chain(self.login.address())
    }

    /// Logs in, lists all that is wanted, and begins to read it, by several connections.
    pub(crate) async fn read(&self) -> Result<Reading, Trouble> {
        let endpoint = self.endpoint()?;
        let keys = Arc::new(self.login.log_in(&self.region, self.ca_file.as_deref()).await?);
        let service = || Service::new(endpoint.clone(), &self.region, Arc::clone(&keys));
        let names = match &self.wanted {
            Wanted::Named(names) => names.clone(),
            Wanted::Listed { prefixes, tags } => list(&mut service(), prefixes, tags).await?,
        };
        let batches = names.chunks(BATCH).map(<[String]>::to_vec).collect();
        let reader = || Reader { service: service(), field: self.field.clone() };
        Ok(Reading::start(batches, reader, None))
    }

    fn endpoint(&self) -> Result<Endpoint, Trouble> {
        let address = self.address.clone().map_or_else(|| server("secretsmanager", &self.region), Ok)?;
        Endpoint::new(&address, self.ca_file.as_deref(), None)
    }
}

/// The names of all secrets that are meant, by pages.
async fn list(
    service: &mut Service,
    prefixes: &[String],
    tags: &BTreeMap<String, String>,
) -> Result<Vec<String>, Trouble> {
    let mut filters = Vec::new();
    if !prefixes.is_empty() {
        filters.push(json!({"Key": "name", "Values": prefixes}));
    }
    for (tag, value) in tags {
        filters.push(json!({"Key": "tag-key", "Values": [tag]}));
        filters.push(json!({"Key": "tag-value", "Values": [value]}));
    }
    let mut names = Vec::new();
    let mut mark: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let mut body = json!({"MaxResults": PAGE, "Filters": filters});
        if let (Some(mark), Some(members)) = (&mark, body.as_object_mut()) {
            members.insert("NextToken".to_owned(), Value::String(mark.clone()));
        }
        let page: Page = service.ask("ListSecrets", &body, |answer| http::json(answer, "the list")).await?;
        let meant = page.secret_list.into_iter().filter(|listed| is_meant(listed, prefixes, tags));
        names.extend(meant.map(|listed| listed.name));
        if names.len() > MOST_NAMES {
            break;
        }
        match page.next_token {
            None => return Ok(names),
            Some(next) if mark.as_ref() == Some(&next) => {
                return Err(Trouble::new(Kind::Malformed, "the list has no end: it goes on where it is"));
            }
            next => mark = next,
        }
    }
    Err(too_many_names())
}

/// The service's own filters are looser: they know no pairs of tag and value.
fn is_meant(listed: &Listed, prefixes: &[String], tags: &BTreeMap<String, String>) -> bool {
    let has: HashMap<_, _> = listed.tags.iter().map(|tag| (&tag.key, &tag.value)).collect();
    let begins = prefixes.is_empty() || prefixes.iter().any(|prefix| listed.name.starts_with(prefix));
    begins && tags.iter().all(|(tag, value)| has.get(tag) == Some(&value))
}

/// One of those that read secrets at the same time.
struct Reader {
    service: Service,
    field: String,
}

impl reading::Reader for Reader {
    type Entry = Vec<String>;

    async fn read(&mut self, names: Vec<String>) -> Vec<Item> {
        let body = json!({"SecretIdList": names});
        let field = &self.field;
        let read =
            |answer: &[u8]| http::json::<Batch>(answer, "secrets").map(|batch| batch.items(&names, field));
        match self.service.ask("BatchGetSecretValue", &body, read).await {
            Ok(items) => items,
            Err(trouble) => {
                names.into_iter().map(|name| Item::Missing { name, trouble: trouble.clone() }).collect()
            }
        }
    }
}

/// The most that the service reads at once.
const BATCH: usize = 20;
/// The most that the service lists at once.
const PAGE: usize = 100;
/// A list that goes on for longer than this has no end.
const MOST_PAGES: usize = 2_000;
