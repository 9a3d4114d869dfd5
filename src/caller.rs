//! Who is at the other end of a connection. Made by the listener from what the transport knows, never from a header.

use std::fmt;
use std::net::SocketAddr;

use nix::unistd::geteuid;

use crate::config::Role;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// What the listener that accepted the connection serves.
    pub(crate) role: Role,
    pub(crate) peer: Peer,
}

/// What the kernel says about the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// A process on this host, as `SO_PEERCRED` gives it; the pid is absent when it lives in another pid namespace.
    Unix { uid: u32, gid: u32, pid: Option<i32> },
    /// A TCP address.
    Tcp(SocketAddr),
}

impl Peer {
    /// Whether it is root or the daemon's own user, as the kernel says: one who can read the daemon's files and its log.
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
