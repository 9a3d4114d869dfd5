//! Caller at the other end of a connection. Made by the listener from what the transport knows, never from a header.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use nix::unistd::geteuid;

use crate::config::Role;
use crate::credentials::Fingerprint;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// What the listener that accepted the connection serves.
    pub(crate) role: Role,
    pub(crate) peer: Peer,
    /// The supplementary groups of a process on this host, as the kernel has them of the time it connected.
    pub(crate) groups: Arc<[u32]>,
    /// The client certificate that TLS has taken.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
}

/// A client certificate whose key its holder has proved to have.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    pub(crate) fingerprint: Fingerprint,
    /// Its alternative names, such as `DNS:vc1.example`, if an authority vouches for them: whoever makes a certificate
    /// that is known by fingerprint writes into it what he likes.
    pub(crate) names: Vec<String>,
}

/// What the kernel says about the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// A process on this host, as `SO_PEERCRED` gives it; the pid is absent when it lives in another pid namespace.
    Unix { uid: u32, gid: u32, pid: Option<i32> },
    /// A TCP address.
    Tcp(SocketAddr),
}

impl Caller {
    /// In whose share it is as long as it is not known for a client.
    pub(crate) fn share(&self) -> Share {
        Share::Peer(Source::of(self.peer))
    }
}

impl Peer {
    /// Whether it is root or the daemon's own user, as the kernel says: one who can read the daemon's files and its
    /// log.
    pub(crate) fn is_operator(self) -> bool {
        match self {
            Self::Unix { uid, .. } => uid == 0 || uid == geteuid().as_raw(),
            Self::Tcp(_) => false,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Peer::Unix { uid, gid, pid: Some(pid) } => write!(f, "uid={uid} gid={gid} pid={pid}"),
            Peer::Unix { uid, gid, pid: None } => write!(f, "uid={uid} gid={gid}"),
            Peer::Tcp(address) => address.fmt(f),
        }
    }
}

/// Identity that wrong tokens and connections are counted against: what a caller cannot change from one connection to
/// the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    User(u32),
    V4(Ipv4Addr),
    /// The first half of an IPv6 address: the other half is the host's to choose (RFC 4291, 2.5.1).
    V6Network([u16; 4]),
}

impl Source {
    pub(crate) fn of(peer: Peer) -> Self {
        let address = match peer {
            Peer::Unix { uid, .. } => return Self::User(uid),
            Peer::Tcp(address) => address.ip().to_canonical(),
        };
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6Network([a, b, c, d])
            }
        }
    }
}

/// Who shares with others what there is of the daemon: each with work to do has as much of it as each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Share {
    /// The daemon's own work: its watchdog's probe.
    Daemon,
    /// A client that the configuration names, wherever it comes from.
    Client(Arc<str>),
    /// Whoever is no such client.
    Peer(Source),
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn a_source_is_what_a_guesser_cannot_change() {
        let unix = |uid, pid| Source::of(Peer::Unix { uid, gid: pid, pid: i32::try_from(pid).ok() });
        assert_eq!(unix(1, 2), unix(1, 3));
        assert_ne!(unix(1, 2), unix(2, 2));

        let tcp = |ip: &str, port| Source::of(Peer::Tcp((ip.parse::<IpAddr>().unwrap(), port).into()));
        assert_eq!(tcp("192.0.2.1", 1), tcp("192.0.2.1", 2));
        assert_eq!(tcp("192.0.2.1", 1), tcp("::ffff:192.0.2.1", 1));
        assert_ne!(tcp("192.0.2.1", 1), tcp("192.0.2.2", 1));
        assert_eq!(tcp("2001:db8::1", 1), tcp("2001:db8::ffff:0:0:2", 1));
        assert_ne!(tcp("2001:db8::1", 1), tcp("2001:db8:0:1::1", 1));
        assert_ne!(tcp(&Ipv6Addr::LOCALHOST.to_string(), 1), tcp("127.0.0.1", 1));
    }
}
