//! Options of a Web3Signer that is to be replaced: what each becomes, where its keys lie and where its history is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Error;
use super::command_line::{CommandLine, Task, Value};
use super::fetch_sources;
use super::given::Given;
use super::option::{Meaning, Web3SignerOption};
use super::translation::{self, Translation};
use crate::cli::old_signer::{Database, OldSigner};
use crate::config::Environment;
use crate::keys::loader::Source;

/// Reads the command line, the variables and the configuration file of a Web3Signer that ran in this directory, which
/// relative paths start at. Without a `--config-file` it is the directory's own, if there is one.
///
/// # Errors
/// They cannot be read, or contradict each other. An option that has no counterpart is none of that.
pub(in crate::cli) fn old_signer(
    directory: &Path,
    arguments: Vec<OsString>,
    environment: &Environment,
) -> Result<OldSigner, Error> {
    let CommandLine { mode: _, task, mut values, own, information: _ } = CommandLine::parse(arguments)?;
    if let Some(option) = own.into_iter().next() {
        return Err(Error::NotTheDaemon(option));
    }
    match task {
        Task::Serve => {}
        Task::Export | Task::Import | Task::WatermarkRepair => {
            return Err(Error::NotTheDaemon("export, import and watermark-repair".to_owned()));
        }
    }
    match values.iter_mut().find(|value| value.option.means(Meaning::ConfigFile)) {
        Some(file) => file.text = directory.join(&file.text).display().to_string(),
        None => values.extend(own_configuration(directory)),
    }
    let given = Given::gather(values, environment)?;
    let fetch_sources = fetch_sources::of(&given);
    let is_followed = |value: &Value| !fetch_sources::is_of_one(value, &fetch_sources);
    let followed = Translation::with_refusals(&given, is_followed)?;
    let Translation { flags, warnings, refused } = followed.for_daemon(&given)?;

    let mut notes = warnings;
    let mut options = Vec::new();
    for (origin, flag) in flags {
        let flag = flag.to_string_lossy().into_owned();
        let Some((long, text)) = flag.strip_prefix("--").and_then(|flag| flag.split_once('=')) else {
            continue;
        };
        match long {
            // The keys are sealed in the state directory, which is a new one, and protected there.
            "state-dir" | "key-config-path" | "keystores-path" | "keystores-passwords-path" => {}
            "slashing-protection" if text == "on" => {}
            "slashing-protection" => {
                notes.push(format!("{origin} is not taken over: slashing protection is on from now on"));
            }
            "tls-keystore-file" | "tls-keystore-password-file" | "tls-known-clients-file" => {
                options.push((origin, long.to_owned(), directory.join(text).display().to_string()));
            }
            "network" if directory.join(text).is_file() => {
                options.push((origin, long.to_owned(), directory.join(text).display().to_string()));
            }
            _ => options.push((origin, long.to_owned(), text.to_owned())),
        }
    }
    Ok(OldSigner {
        name: "Web3Signer",
        directory: directory.to_owned(),
        address: translation::http_address(&given),
        sources: sources(directory, &given)?,
        database: database(&given),
        options,
        notes,
        fetch_sources,
        without_counterpart: refused
            .into_iter()
            .map(|(origin, instead)| format!("{origin}: {instead}"))
            .collect(),
    })
}

fn own_configuration(directory: &Path) -> Option<Value> {
    let option = Web3SignerOption::named("config-file")?;
    let file = CONFIGURATIONS.iter().map(|name| directory.join(name)).find(|path| path.is_file())?;
    Some(Value { option, origin: "the directory".to_owned(), text: file.display().to_string() })
}

/// Where its keys lie. Web3Signer's default is its working directory; tools keep them in `keys` below it.
fn sources(directory: &Path, given: &Given) -> Result<Vec<Source>, Error> {
    let path = |name: &str| named(given, name).map(|text| directory.join(text));
    let mut sources = Vec::new();
    if let Some(keystores) = path("keystores-path") {
        let passwords = path("keystores-passwords-path").or_else(|| path("keystores-password-file"));
        let missing = "--keystores-passwords-path or --keystores-password-file";
        let passwords = passwords.ok_or(Error::Missing { missing })?;
        sources.push(Source::Keystores { directory: keystores, passwords });
    }
    let configurations: Option<PathBuf> = path("key-config-path").or_else(|| {
        let below = directory.join("keys");
        let default = || if below.is_dir() { below } else { directory.to_owned() };
        sources.is_empty().then(default)
    });
    sources.extend(configurations.map(|directory| Source::KeyConfigs { directory }));
    Ok(sources)
}

/// The database, where slashing protection was not off: then Web3Signer did not open it.
fn database(given: &Given) -> Option<Database> {
    let url = &given.meaning(Meaning::Database)?.text;
    let is_off = given.meaning(Meaning::Protection).is_some_and(|value| value.is_on().is_ok_and(|on| !on));
    let user = named(given, "slashing-protection-db-username");
    let password = named(given, "slashing-protection-db-password");
    (!is_off).then(|| Database::new(url, user, password.map(|text| Zeroizing::new(text.to_owned()))))
}

fn named<'a>(given: &'a Given, name: &str) -> Option<&'a str> {
    let value = given.values().find(|value| value.option.name() == name)?;
    Some(value.text.as_str())
}

/// Names of its configuration file in its directory.
const CONFIGURATIONS: [&str; 4] = ["config.yaml", "config.yml", "web3signer.yaml", "web3signer.yml"];
