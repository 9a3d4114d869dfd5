//! Sources as their files in `sources.d` describe them.

use std::fmt;
use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::provider::{Provider, ProviderError};
use crate::trouble::Trouble;

/// A source, by the name of its file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// What the signer keeps of its keys on disk, by the protocol's name.
    pub(crate) sealed: Sealed,
    /// From one reading to the next.
    pub(crate) interval: Duration,
    pub(crate) kind: Kind,
}

/// What is read.
#[derive(Debug)]
pub(crate) enum Kind {
    Command {
        command: Vec<String>,
        timeout: Duration,
    },
    Store(Provider),
    /// Nothing more: its keys are to leave.
    Retired,
}

/// What the signer keeps on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sealed {
    #[default]
    Always,
    UntilNextFetch,
    Never,
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::UntilNextFetch => "until-next-fetch",
            Self::Never => "never",
        })
    }
}

/// A source's `type`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Type {
    Command,
    AwsSecretsManager,
    Vault,
    AzureKeyVault,
    GcpSecretManager,
    Web3signer,
    Retired,
}

/// The members of a command.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    command: Vec<String>,
    timeout: Option<NonZeroU64>,
}

/// No members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Source {
    /// Reads a file's text.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, SourceError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=LONGEST_NAME_BYTES).contains(&name.len()) || !name.bytes().all(fits) {
            return Err(SourceError::Name);
        }
        let mut members: Table = toml::from_str(text).map_err(form)?;
        let r#type = member(&mut members, "type")?.ok_or(SourceError::NoType)?;
        let sealed = member(&mut members, "sealed")?.unwrap_or_default();
        let interval = member(&mut members, "interval")?.map_or(INTERVAL, seconds);
        let kind = match r#type {
            Type::Command => {
                let Command { command, timeout } = members.try_into().map_err(form)?;
                if !command.first().is_some_and(|program| program.starts_with('/')) {
                    return Err(SourceError::Command);
                }
                Kind::Command { command, timeout: timeout.map_or(COMMAND_TIMEOUT, seconds) }
            }
            Type::AwsSecretsManager => Kind::Store(Provider::aws(members)?),
            Type::Vault => Kind::Store(Provider::vault(members)?),
            Type::AzureKeyVault => Kind::Store(Provider::azure(members)?),
            Type::GcpSecretManager => Kind::Store(Provider::gcp(members)?),
            Type::Web3signer => Kind::Store(Provider::web3signer(members)?),
            Type::Retired => {
                let Nothing {} = members.try_into().map_err(form)?;
                Kind::Retired
            }
        };
        Ok(Self { name: name.to_owned(), sealed, interval, kind })
    }

    /// Whether what it names can be read.
    pub(crate) fn usable(&self) -> Result<(), SourceError> {
        match &self.kind {
            Kind::Command { command, .. } => {
                let program = command.first().map(PathBuf::from).unwrap_or_default();
                fs::metadata(&program).map(drop).map_err(|source| SourceError::Program { program, source })
            }
            Kind::Store(store) => Ok(store.usable()?),
            Kind::Retired => Ok(()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sealed, seconds) = (self.sealed, self.interval.as_secs());
        match &self.kind {
            Kind::Command { command, .. } => {
                let program = command.first().map_or("", String::as_str);
                write!(f, "what {program} prints, every {seconds} s, sealed: {sealed}")
            }
            Kind::Store(store) => write!(f, "{store}, every {seconds} s, sealed: {sealed}"),
            Kind::Retired => f.write_str("retired: its keys leave"),
        }
    }
}

/// Reads `*.toml` of a directory, in the order of their names. What is wrong with one stands in its place.
pub(crate) fn read_all(directory: &Path) -> io::Result<Vec<(String, Result<Source, SourceError>)>> {
    let failed = |error: io::Error| {
        io::Error::new(error.kind(), format!("{} cannot be read: {error}", directory.display()))
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).map_err(|source| SourceError::Read { path, source });
        let source = text.and_then(|text| Source::parse(&name, &text));
        (name, source)
    };
    Ok(paths.into_iter().map(read).collect())
}

/// Takes a member out of those of a file.
fn member<T: DeserializeOwned>(members: &mut Table, name: &str) -> Result<Option<T>, SourceError> {
    let value = members.remove(name).map(Value::try_into).transpose();
    value.map_err(|error: toml::de::Error| SourceError::Form(format!("`{name}`: {}", error.message())))
}

/// The error's own display quotes the line.
#[allow(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn form(error: toml::de::Error) -> SourceError {
    SourceError::Form(error.message().to_owned())
}

fn seconds(seconds: NonZeroU64) -> Duration {
    Duration::from_secs(seconds.get())
}

/// Why a file describes no source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("the file {} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("its name is no source's: use 1 to 64 letters, digits, dots, dashes and underscores")]
    Name,
    #[error("it does not say its `type`")]
    NoType,
    #[error("it is not understood: {0}")]
    Form(String),
    #[error("`command` has to begin with the whole path of a program")]
    Command,
    #[error("the program {} cannot be run", program.display())]
    Program { program: PathBuf, source: io::Error },
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Unusable(#[from] Trouble),
}

const LONGEST_NAME_BYTES: usize = 64;
const INTERVAL: Duration = Duration::from_secs(300);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_kind_and_refuses_what_is_wrong() {
        let parsed = |text: &str| Source::parse("a", text).map(|source| source.to_string());
        assert_eq!(
            parsed(
                "type = 'command'\ncommand = ['/bin/keys', 'x']\nsealed = 'until-next-fetch'\ninterval = 9"
            )
            .unwrap(),
            "what /bin/keys prints, every 9 s, sealed: until-next-fetch"
        );
        let vault = "type = 'vault'\naddress = 'https://vault.example:8200'\npath = '/validators/'\n\
                     login = {method = 'token', token_file = '/t'}";
        assert_eq!(
            parsed(vault).unwrap(),
            "secret/validators of https://vault.example:8200, every 300 s, sealed: always"
        );
        let aws = "type = 'aws-secrets-manager'\nregion = 'eu-central-1'\nprefixes = ['a/']\ntags = {b = 'c'}\n\
                   login = {method = 'instance'}";
        assert_eq!(
            parsed(aws).unwrap(),
            "secrets a/* with tags of AWS in eu-central-1, every 300 s, sealed: always"
        );
        assert!(parsed("type = 'retired'").is_ok());
        for wrong in [
            "",
            "type = 'other'",
            "type = 'retired'\ninterval = 'soon'",
            "type = 'retired'\npath = 'x'",
            "type = 'command'\ncommand = []",
            "type = 'command'\ncommand = ['keys']",
            "type = 'command'\ncommand = ['/keys']\ninterval = 0",
            "type = 'command'\ncommand = ['/keys']\npassword = 'x'",
            &vault.replace("https", "http"),
            &vault.replace("https://", ""),
            &aws.replace("instance", "environment"),
            &format!("address = 'http://192.0.2.1'\n{aws}"),
            &format!("secrets = ['a/b']\n{aws}"),
            &aws.replace("eu-central-1", "eu/central"),
            &format!("secret_access_key = 'x'\n{aws}"),
            &format!("version = 3\n{vault}"),
            &format!("token = 'x'\n{vault}"),
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        assert!(parsed(&vault.replace("https://vault.example", "http://127.0.0.1")).is_ok());
        assert!(matches!(Source::parse("a b", "type = 'retired'"), Err(SourceError::Name)));
    }
}
