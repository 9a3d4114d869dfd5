//! What to listen on, and for what: `ROLE=unix:/path` or `ROLE=host:port`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use crate::metrics::named_variants;
use crate::text::Bounded;

named_variants! {
    /// The part of the API that a listener serves. Health is on every one.
    #[derive(PartialOrd, Ord, Hash)]
    pub(crate) enum Role {
        /// Signing and the list of public keys.
        Signing = "signing",
        /// Listing, importing and deleting keys.
        Keymanager = "keymanager",
        /// Metrics.
        Metrics = "metrics",
        /// Everything on one listener.
        All = "all",
    }
}

impl Role {
    /// Whether keys can be imported and deleted there.
    pub(crate) fn manages_keys(self) -> bool {
        match self {
            Self::Keymanager | Self::All => true,
            Self::Signing | Self::Metrics => false,
        }
    }
}

impl FromStr for Role {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .find(|role| role.name() == text)
            .copied()
            .ok_or_else(|| ListenError::Role { role: text.to_owned() })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One `--listen`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ListenSpec {
    pub(crate) role: Role,
    pub(crate) address: Address,
}

impl FromStr for ListenSpec {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (role, address) =
            text.split_once('=').ok_or_else(|| ListenError::Shape { text: text.to_owned() })?;
        Ok(Self { role: role.parse()?, address: address.parse()? })
    }
}

impl TryFrom<String> for ListenSpec {
    type Error = ListenError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A Unix stream socket at an absolute path.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
}

impl FromStr for Address {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path).map(Self::Unix);
        }
        let unusable = || ListenError::Tcp { text: text.to_owned() };
        let (host, port) = text.rsplit_once(':').ok_or_else(unusable)?;
        let port = port.parse().map_err(|_| unusable())?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(unusable());
        }
        let ip = ip_address(host).ok_or_else(unusable)?;
        Ok(Self::Tcp(SocketAddr::new(ip, port)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// An IP address, IPv6 in brackets or bare, or `localhost` for 127.0.0.1. No name is looked up.
pub(crate) fn ip_address(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(bracketed) => bracketed.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

fn unix_path(text: &str) -> Result<PathBuf, ListenError> {
    let path = PathBuf::from(text);
    if !path.is_absolute() {
        return Err(ListenError::RelativePath { path });
    }
    if text.len() > LONGEST_UNIX_PATH {
        return Err(ListenError::LongPath { path });
    }
    Ok(path)
}

/// Why a text is no listener.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("'{}' is not ROLE=unix:/path or ROLE=host:port", Bounded(text))]
    Shape { text: String },
    #[error("'{}' is no role: use signing, keymanager, metrics or all", Bounded(role))]
    Role { role: String },
    #[error("'{}' is not unix:/path or host:port with an IP address or localhost", Bounded(text))]
    Tcp { text: String },
    #[error("the socket path '{}' must be absolute", Bounded(path.display()))]
    RelativePath { path: PathBuf },
    #[error(
        "the socket path '{}' is longer than the {LONGEST_UNIX_PATH} bytes that Linux takes",
        Bounded(path.display())
    )]
    LongPath { path: PathBuf },
}

/// `sizeof(sockaddr_un.sun_path)` without the closing zero byte; unix(7).
const LONGEST_UNIX_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn reads_unix_and_tcp_addresses() {
        let spec: ListenSpec = "signing=unix:/run/a.sock".parse().unwrap();
        assert_eq!(spec, ListenSpec { role: Role::Signing, address: Address::Unix("/run/a.sock".into()) });
        for (text, address) in [
            ("all=127.0.0.1:9000", "127.0.0.1:9000"),
            ("all=localhost:0", "127.0.0.1:0"),
            ("all=[::1]:9000", "[::1]:9000"),
            ("all=0.0.0.0:9000", "0.0.0.0:9000"),
        ] {
            let spec: ListenSpec = text.parse().unwrap();
            assert_eq!(spec.address, Address::Tcp(address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_listener() {
        for text in [
            "",
            "signing",
            "signing=",
            "=unix:/a",
            "signer=unix:/a",
            "Signing=unix:/a",
            "signing=unix:",
            "signing=unix:a.sock",
            "signing=9000",
            "signing=127.0.0.1",
            "signing=127.0.0.1:",
            "signing=127.0.0.1:65536",
            "signing=::1:9000",
            "signing=example.org:9000",
            "signing=[127.0.0.1]:9000",
            "signing=[::1:9000",
            "signing=:9000",
            "signing=http://127.0.0.1:9000",
        ] {
            assert!(text.parse::<ListenSpec>().is_err(), "{text}");
        }
        let long = format!("signing=unix:/{}", "a".repeat(107));
        assert!(matches!(long.parse::<ListenSpec>(), Err(ListenError::LongPath { .. })));
    }

    proptest! {
        #[test]
        fn no_text_stops_the_parser(text in "(signing|all|x)?=?(unix:)?[/\\[\\]:.0-9a-z]{0,24}") {
            let _ = text.parse::<ListenSpec>();
        }

        #[test]
        fn an_address_reads_back_from_what_is_shown(ip: IpAddr, port: u16, path in "/[a-z./]{0,40}") {
            for address in [Address::Tcp(SocketAddr::new(ip, port)), Address::Unix(path.clone().into())] {
                prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
            }
        }
    }

    #[test]
    fn every_role_reads_back_as_itself() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(*role));
        }
    }
}
