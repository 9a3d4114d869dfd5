//! A directory of Web3Signer's key configurations: those whose keys are in stores, read store by store.

mod document;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use self::document::{Entry, Store};
use crate::aws::{self, Aws};
use crate::azure::KeyVault;
use crate::credential::is_open_to_all;
use crate::http::{Address, Trust};
use crate::reading::Reading;
use crate::trouble::{Kind, Trouble};
use crate::value::Item;
use crate::vault::Vault;
use crate::yaml;

/// A directory as `--key-config-path` (`--key-store-path`) names it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyConfigurations {
    directory: PathBuf,
    /// The authorities of the vaults, in place of known servers, and of AWS' endpoints.
    ca_file: Option<PathBuf>,
    /// In place of the environment.
    aws_login: Option<aws::Login>,
}

impl fmt::Display for KeyConfigurations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what Web3Signer's key configurations in {} name", self.directory.display())
    }
}

/// What the files of a directory name.
#[derive(Default)]
struct Found {
    groups: Vec<(Store, BTreeSet<String>)>,
    /// Files and documents that name no key, each with the reason.
    wrong: Vec<(String, Trouble)>,
}

impl KeyConfigurations {
    /// Whether all of its files can be read.
    pub(crate) fn usable(&self) -> Result<(), Trouble> {
        self.aws_login.as_ref().map_or(Ok(()), aws::Login::usable)?;
        let Found { groups, wrong } = self.find()?;
        if let Some((name, Trouble { kind, reason })) = wrong.first() {
            let more = match wrong.len().saturating_sub(1) {
                0 => String::new(),
                others => format!(" ({others} others are wrong as well)"),
            };
            return Err(Trouble::new(*kind, format!("{name}: {reason}{more}")));
        }
        if groups.is_empty() {
            let reason = format!("no file in {} names a key in a store", self.directory.display());
            return Err(Trouble::new(Kind::NotFound, reason));
        }
        Ok(())
    }

    /// The addresses that keys come from, as far as the source's own file names them.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.aws_login.iter().filter_map(aws::Login::address)
    }

    /// Reads the files, and begins to read what they name.
    pub(crate) async fn read(&self) -> Result<Reading, Trouble> {
        let Found { groups, wrong } = self.find()?;
        let missing = wrong.into_iter().map(|(name, trouble)| Item::Missing { name, trouble }).collect();
        let part = |(store, secrets): (Store, BTreeSet<String>)| {
            let names: Vec<_> = secrets.into_iter().collect();
            (names.clone(), begin(store, names, self.ca_file.clone(), self.aws_login.clone()))
        };
        Ok(Reading::gather(missing, groups.into_iter().map(part).collect()))
    }

    /// Files as Web3Signer takes them: by their ending, not hidden, and not in directories below.
    fn find(&self) -> Result<Found, Trouble> {
        let directory = self.directory.display();
        let failed = |error| Trouble::new(Kind::NotFound, format!("{directory} cannot be read: {error}"));
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml")) {
                paths.push(path);
            }
        }
        paths.sort();
        let mut found = Found::default();
        for path in paths {
            if let Err(trouble) = self.read_file(&path, &mut found) {
                found.wrong.push((path.display().to_string(), trouble));
            }
        }
        Ok(found)
    }

    fn read_file(&self, path: &Path, found: &mut Found) -> Result<(), Trouble> {
        let denied =
            |error: &dyn fmt::Display| Trouble::new(Kind::Denied, format!("it cannot be read: {error}"));
        let file = File::open(path).map_err(|error| denied(&error))?;
        let metadata = file.metadata().map_err(|error| denied(&error))?;
        if !metadata.is_file() || metadata.len() > LONGEST_FILE_BYTES {
            let reason = format!("it is no file of at most {LONGEST_FILE_BYTES} bytes");
            return Err(Trouble::new(Kind::TooLarge, reason));
        }
        // Its room is taken at once: a buffer that grows leaves its old places unwiped.
        let room = usize::try_from(metadata.len()).unwrap_or_default().saturating_add(1);
        let mut text = Zeroizing::new(String::with_capacity(room));
        file.take(metadata.len()).read_to_string(&mut text).map_err(|error| denied(&error))?;

        for (number, document) in (1..).zip(yaml::documents(&text)) {
            let ends = document.as_ref().is_err_and(yaml::YamlError::ends_the_file);
            let read = document.map_err(document::NoEntry::from);
            let wrong = match read.and_then(|read| document::read(&read, path)) {
                Ok(None) => None,
                Ok(Some(Entry { has_credential: true, .. })) if is_open_to_all(&metadata) => {
                    let reason =
                        "every user can get at what it has for a login: take that right away (chmod o=)";
                    Some(Trouble::new(Kind::Denied, reason))
                }
                Ok(Some(Entry { store, secret, has_credential: _ })) => {
                    found.add(store, secret);
                    None
                }
                Err(error) => Some(Trouble::new(Kind::Malformed, error.to_string())),
            };
            if let Some(trouble) = wrong {
                found.wrong.push((format!("{}, document {number}", path.display()), trouble));
            }
            if ends {
                break;
            }
        }
        Ok(())
    }
}

impl Found {
    /// Most files of a directory name the store that the one before names.
    fn add(&mut self, store: Store, secret: String) {
        match self.groups.iter_mut().rev().find(|(other, _)| *other == store) {
            Some((_, secrets)) => drop(secrets.insert(secret)),
            None => self.groups.push((store, BTreeSet::from([secret]))),
        }
    }
}

/// Logs in to a store, and begins to read these secrets of it.
async fn begin(
    store: Store,
    secrets: Vec<String>,
    ca_file: Option<PathBuf>,
    aws_login: Option<aws::Login>,
) -> Result<Reading, Trouble> {
    let malformed = |reason: &'static str| Trouble::new(Kind::Malformed, reason);
    match store {
        Store::Vault { address, known_servers, mount, field, login } => {
            let trust = match (ca_file, known_servers) {
                (None, Some(path)) => Trust::KnownServers(path),
                (ca_file, _) => ca_file.as_deref().into(),
            };
            Vault::named((address, trust), &mount, secrets, &field, login).read().await
        }
        Store::Aws { region, address, login } => {
            let login = login.or(aws_login).ok_or_else(|| {
                Trouble::new(
                    Kind::Denied,
                    "its login is the environment's: the source's file needs an `aws_login`",
                )
            })?;
            Aws::named(&region, (address, ca_file), secrets, login).map_err(malformed)?.read().await
        }
        Store::Azure { vault, login } => {
            KeyVault::named(&vault, secrets, login).map_err(malformed)?.read().await
        }
    }
}

/// Ten thousand keys have some three megabytes.
const LONGEST_FILE_BYTES: u64 = 32 << 20;
