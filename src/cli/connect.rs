//! Which daemon a subcommand talks to, and how it says who it is.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zeroize::Zeroizing;

use hyper::{Method, StatusCode};

use super::client::{Client, ClientError, Reply, Target};
use super::packaged;
use super::units::{SERVICE, Systemd};
use crate::config::{self, Address, AuthToken, Environment, Role, TokenFile};

/// The options of subcommands that talk to a running daemon.
#[derive(Default, clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// The daemon's listener: unix:/path or HOST:PORT (without TLS)
    #[arg(long, value_name = "ADDR")]
    connect: Option<Address>,
    /// File with the bearer token, as the daemon takes it: FILE, or keymanager=FILE beside signing=FILE
    /// [default: $BLS_SIGNER_AUTH_TOKEN_FILE; for root the packaged daemon's own; else no token]
    #[arg(long, value_name = "[ROLE=]FILE")]
    auth_token_file: Vec<TokenFile>,
}

impl Options {
    /// Whether they name a daemon.
    pub(super) fn is_named(&self) -> bool {
        self.connect.is_some()
    }

    /// The daemon that the options name, or else the packaged one at its socket `default`.
    pub(super) fn daemon(self, default: &str, environment: &Environment) -> Result<Daemon, config::Error> {
        let target = match self.connect {
            Some(Address::Unix(path)) => Target::Unix(path),
            Some(Address::Tcp(address)) => Target::Tcp(address.to_string()),
            None => Target::Unix(PathBuf::from(default)),
        };
        let role = if default == SIGNING_SOCKET { Role::Signing } else { Role::Keymanager };
        let files = match self.auth_token_file {
            none if none.is_empty() => config::token_files(environment)?,
            named => named,
        };
        let token = config::token_for(role, files)?.or_else(|| packaged_token(&target));
        let token = token.map(|token| Zeroizing::new(token.reveal().to_owned()));
        Ok(Daemon(Client { target, token }))
    }
}

/// The token of the packaged daemon, if this is one of its sockets.
fn packaged_token(target: &Target) -> Option<AuthToken> {
    let Target::Unix(socket) = target else { return None };
    match socket.to_str()? {
        KEYMANAGER_SOCKET => packaged::tokens()?.keymanager,
        SIGNING_SOCKET => packaged::tokens()?.signing,
        _ => None,
    }
}

/// A running daemon; shown as its address.
pub(super) struct Daemon(Client);

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.target.fmt(f)
    }
}

impl Daemon {
    /// At one of the package's sockets, for what needs no token.
    pub(super) fn packaged(socket: &str) -> Self {
        Self(Client { target: Target::Unix(PathBuf::from(socket)), token: None })
    }

    /// One request and its JSON answer, whatever the status.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), Error> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        let Reply { status, body } = runtime
            .block_on(self.0.send(method, path, body.map(Value::to_string)))
            .map_err(|error| error.beside(|| packaged_units(&self.0.target)))?;
        match serde_json::from_str(&body) {
            Ok(json) => Ok((status, json)),
            Err(_) => Err(Error::NoJson { status }),
        }
    }

    /// The same where only 200 will do.
    pub(super) fn ask_for(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let (status, json) = self.ask(method, path, body)?;
        if status == StatusCode::OK {
            return Ok(json);
        }
        let message = json.get("message").and_then(Value::as_str).unwrap_or("without a reason").to_owned();
        Err(Error::Refused { status, message })
    }
}

/// How the units are that serve at one of the package's sockets, in parentheses; nothing for any other address.
fn packaged_units(target: &Target) -> String {
    let Target::Unix(path) = target else { return String::new() };
    let sockets =
        [(SIGNING_SOCKET, "bls-signer.socket"), (KEYMANAGER_SOCKET, "bls-signer-keymanager.socket")];
    let Some((_, socket)) = sockets.into_iter().find(|(served, _)| path == Path::new(served)) else {
        return String::new();
    };
    let Some(systemd) = Systemd::running() else { return String::new() };
    let said: Vec<_> = systemd.socket(socket).into_iter().chain(systemd.service(SERVICE)).collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) }
}

/// Why a daemon gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the daemon answered {status}: {message}{}", advice(*status))]
    Refused { status: StatusCode, message: String },
    #[error("what answers with {status} is no bls-signer: its answer is no JSON")]
    NoJson { status: StatusCode },
    #[error("cannot start a runtime")]
    Runtime(#[source] std::io::Error),
}

impl Error {
    /// Whether nobody could be asked.
    pub(super) fn is_no_connection(&self) -> bool {
        matches!(self, Self::Client(ClientError::Connect { .. }))
    }

    /// Whether there is no daemon that answers.
    pub(super) fn is_no_daemon(&self) -> bool {
        matches!(self, Self::Client(ClientError::Connect { .. } | ClientError::Silent { .. }))
    }

    /// Whether what was asked does not go with what the daemon has.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::CONFLICT, .. })
    }
}

/// What the one at the command line can do about an answer.
fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "; name the file of the daemon's token with --auth-token-file",
        StatusCode::NOT_FOUND => {
            "; perhaps this is no keymanager listener (a signing socket answers so): name one with --connect"
        }
        _ => "",
    }
}

/// Where the package puts its sockets.
pub(super) const KEYMANAGER_SOCKET: &str = "/run/bls-signer/keymanager.sock";
pub(super) const SIGNING_SOCKET: &str = "/run/bls-signer/signer.sock";
