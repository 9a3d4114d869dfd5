//! Listeners that more callers can use than their operator may have in mind: said loudly, as it cannot be refused.

use std::fmt;
use std::net::SocketAddr;

use super::{Role, Settings};

/// What a TCP listener lets callers do who show neither a token nor a client certificate, or what it lets others see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Everybody who reaches the address can have everything signed.
    OpenSigning(Listener),
    /// Everybody who reaches the address can use the Keymanager API, as [`Settings::allow_open_keymanager`] has it.
    OpenKeymanager(Listener),
    /// Every user of this host can use the Keymanager API too.
    LocalKeymanager(Listener),
    /// The token goes over the network in the clear.
    TokenInTheClear(Listener),
}

/// A listener on TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    role: Role,
    address: SocketAddr,
}

impl Settings {
    /// How a TCP listener is exposed with these settings. What nobody should have is refused before
    /// ([`Settings::refuse_open_keymanager`]).
    pub(crate) fn exposures(&self, role: Role, address: SocketAddr) -> Vec<Exposure> {
        let listener = Listener { role, address };
        let (signs, manages_keys) = match role {
            Role::Signing => (true, false),
            Role::Keymanager => (false, true),
            Role::All => (true, true),
            Role::Metrics => (false, false),
        };
        let certificates = self.tls.as_ref().is_some_and(|tls| tls.demands_client_certificate());
        let open_signing = signs && self.tokens.signing.is_none() && !certificates;
        let open_keymanager = manages_keys && self.tokens.keymanager.is_none() && !certificates;
        let local = address.ip().to_canonical().is_loopback();
        let asks_for_token =
            signs && self.tokens.signing.is_some() || manages_keys && self.tokens.keymanager.is_some();
        [
            (open_signing && !local).then_some(Exposure::OpenSigning(listener)),
            (open_keymanager && !local).then_some(Exposure::OpenKeymanager(listener)),
            (open_keymanager && local).then_some(Exposure::LocalKeymanager(listener)),
            (asks_for_token && !local && self.tls.is_none()).then_some(Exposure::TokenInTheClear(listener)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.role, self.address)
    }
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenSigning(listener) => write!(
                f,
                "{listener} signs for everybody who reaches it, exits and deposits too: demand client certificates \
                 (--tls-client-ca or --tls-known-clients-file) or a token, or let a firewall see to who reaches it"
            ),
            Self::OpenKeymanager(listener) => write!(
                f,
                "{listener} LETS EVERYBODY WHO REACHES IT IMPORT AND DELETE KEYS, and raise watermarks of slashing \
                 protection, which nothing lowers again, as --allow-open-keymanager has it: ask for a token \
                 (--auth-token-file keymanager=FILE) wherever its callers can send one"
            ),
            Self::LocalKeymanager(
                listener @ Listener { role: Role::Signing | Role::Metrics | Role::Keymanager, .. },
            ) => write!(
                f,
                "{listener}: every user and program of this host can import and delete keys there, and raise \
                 watermarks of slashing protection, which nothing lowers again: ask for a token (--auth-token-file \
                 keymanager=FILE) or use a Unix socket"
            ),
            Self::LocalKeymanager(listener @ Listener { role: Role::All, .. }) => write!(
                f,
                "{listener}: every user and program of this host can have everything signed there, import and delete \
                 keys, and raise watermarks of slashing protection, which nothing lowers again: ask for a token \
                 (--auth-token-file keymanager=FILE) or use Unix sockets"
            ),
            Self::TokenInTheClear(listener) => write!(
                f,
                "{listener} has no TLS: the token, and passwords of keystores, can be read on the network on their \
                 way. Give --tls-cert and --tls-key"
            ),
        }
    }
}
