//! Configuration in three stages: raw (all optional, unknown keys refused), merged (file < environment < flags), and
//! validated into [`Settings`], whose parts cannot contradict each other.
//!
//! One struct, [`RawSettings`], defines every option once: the flag `--log-level`, the variable
//! `BLS_SIGNER_LOG_LEVEL` and the file's key `log_level` are the same field.

mod access;
mod client_tokens;
mod clients;
mod environment;
mod expected_keys;
mod exposure;
mod key_sources;
mod listen;
mod merged;
mod raw;
mod settings;
mod shared_ledger;
mod tokens;
mod tpm_counter;
mod values;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub(crate) use access::{Tls, TlsIdentity};
pub(crate) use client_tokens::{ClientTokens, is_token_name};
pub(crate) use clients::{ClientError, ClientSettings, ClientSources, Exits, KeyEntry, KeySelection};
pub(crate) use environment::Environment;
pub(crate) use expected_keys::{ExpectedKeys, NoExpectation};
pub(crate) use exposure::Exposure;
pub(crate) use key_sources::KeySources;
pub(crate) use listen::{Address, ListenSpec, Role};
pub(crate) use raw::RawSettings;
pub(crate) use settings::Settings;
pub(crate) use shared_ledger::{
    Durability, Pooling, SharedLedgerAddress, SharedLedgerAddressError, SharedLedgerSettings,
};
pub(crate) use tokens::{AuthToken, TokenFile, TokenSources, Tokens};
pub(crate) use values::{Audit, LogFormat, LogLevel, StateFs, Switch, UnprovenStart};

use crate::regular_file::FileError;
use crate::text::Bounded;

/// Reads the file (`--config`, else `BLS_SIGNER_CONFIG`, else none) and the environment, lays the flags over them and
/// validates the result.
pub(crate) fn load(
    file: Option<&Path>,
    flags: RawSettings,
    environment: &Environment,
) -> Result<Settings, Error> {
    let file = file.map(Path::to_owned).or_else(|| environment.path("BLS_SIGNER_CONFIG"));
    let from_file = match &file {
        Some(path) => RawSettings::from_file(path)?,
        None => RawSettings::default(),
    };
    let is_shown = flags.auth_token.is_some();
    let merged = flags.over(RawSettings::from_environment(environment)?).over(from_file);
    let mut settings = Settings::validate(merged, file, environment)?;
    if is_shown {
        let warning = "--auth-token shows the token to every user of this host (/proc/PID/cmdline): use \
                       --auth-token-file";
        settings.warnings.push(warning.to_owned());
    }
    Ok(settings)
}

/// The tokens that a daemon asks for which reads this file, and to which systemd delivers the credentials of this
/// environment.
pub(crate) fn tokens(file: &Path, environment: &Environment) -> Result<Tokens, Error> {
    let RawSettings { auth_token, auth_token_file, .. } = RawSettings::from_file(file)?;
    TokenSources::new(auth_token, auth_token_file.unwrap_or_default(), environment)?.read()
}

/// The token files that the environment names, as a daemon would read it.
pub(crate) fn token_files(environment: &Environment) -> Result<Vec<TokenFile>, Error> {
    let named = environment.value(TOKEN_FILE_VARIABLE).map(|files| (TOKEN_FILE_VARIABLE, files));
    let settings = RawSettings::from_environment(&named.into_iter().collect())?;
    Ok(settings.auth_token_file.unwrap_or_default())
}

/// The token that these files have for the routes of one role, for a command that asks there.
pub(crate) fn token_for(role: Role, files: Vec<TokenFile>) -> Result<Option<AuthToken>, Error> {
    TokenSources::new(None, files, &Environment::default())?.read_for(role)
}

const TOKEN_FILE_VARIABLE: &str = "BLS_SIGNER_AUTH_TOKEN_FILE";

/// Why a configuration cannot be used. Each names the value and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {what} {}", path.display())]
    Read { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} line {line}: {reason}", path.display())]
    Parse { path: PathBuf, line: usize, reason: String },
    #[error("the environment variable {variable}: {reason}")]
    Variable { variable: String, reason: String },
    #[error("{name}: {reason}")]
    Flag { name: String, reason: String },
    #[error("{what} {} is empty", path.display())]
    EmptyFile { what: &'static str, path: PathBuf },
    #[error("{what} {} cannot be used", path.display())]
    File { what: &'static str, path: PathBuf, source: FileError },
    #[error("{first} and {second} are given together: keep one of them")]
    Conflict { first: &'static str, second: &'static str },
    #[error("{given} is given without {missing}: they are only of use together")]
    Incomplete { given: &'static str, missing: &'static str },
    #[error("listen is an empty list: name a listener, or leave it out")]
    NoListener,
    #[error("--host '{}' is no IP address and not localhost", Bounded(host))]
    Host { host: String },
    #[error("the auth token is empty: give one of 16 or more random characters, or leave the option out")]
    EmptyToken,
    #[error(
        "the auth token has a character that an HTTP header cannot carry: use letters, digits and -._~+/="
    )]
    UnusableToken,
    #[error(
        "the host allow-list has an entry '{}' that is no host name: leave the port and the scheme out",
        Bounded(entry)
    )]
    AllowedHost { entry: String },
    #[error(
        "the origin allow-list has an entry '{}' that is no origin: write it as the Origin header has it, such as \
         http://tool.example or https://tool.example:8443, without a path",
        Bounded(entry)
    )]
    AllowedOrigin { entry: String },
    #[error("client is an empty list: name a client, or leave it out")]
    NoClient,
    #[error("the client '{}' cannot be used", Bounded(client))]
    Client { client: String, source: ClientError },
    #[error(
        "{} line {line} is not a name and the digest of a token: 'bls-signer token' writes this file",
        path.display()
    )]
    ClientTokens { path: PathBuf, line: usize },
    #[error(transparent)]
    SharedLedger(#[from] SharedLedgerAddressError),
    #[error(transparent)]
    OpenKeymanager(#[from] OpenKeymanager),
    #[error(
        "no place for the state: give --state-dir, or set STATE_DIRECTORY, XDG_STATE_HOME or HOME to an absolute path"
    )]
    NoStateDirectory,
}

/// A listener that would let anybody on the network import and delete keys.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {role} listener on {address} would let anybody who reaches it import and delete keys: give --auth-token-file, \
     or --tls-cert, --tls-key and --tls-client-ca, or listen on a loopback address or a Unix socket. Where nothing but \
     key tools reaches the address, as in a container network of its own, --allow-open-keymanager lets them in"
)]
pub(crate) struct OpenKeymanager {
    pub(crate) role: Role,
    pub(crate) address: SocketAddr,
}
