//! Sockets and stored file descriptors that systemd hands over (sd_listen_fds(3)).
//!
//! A socket's name (`FileDescriptorName=`) is its role, because the order of several socket units is not stable. A
//! socket that cannot be served ends the start: a signer that silently serves less than its units say is worse than
//! one that says why it does not start.

use std::fmt;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};

use crate::config::{Environment, Role};
use crate::sys::inherited;

/// What systemd handed over.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) sockets: Vec<(Role, Socket)>,
    /// The socket of [`FETCH_NAME`].
    pub(crate) fetch: Option<UnixListener>,
    /// File descriptors that an earlier process of this service left with systemd (`FDSTORE=1`).
    pub(crate) stored: Vec<StoredFd>,
}

/// A socket that listens for streams.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Socket {
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.set_nonblocking(true),
            Self::Tcp(socket) => socket.set_nonblocking(true),
        }
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(socket) => {
                match socket.local_addr().ok().as_ref().and_then(|address| address.as_pathname()) {
                    Some(path) => write!(f, "unix:{}", path.display()),
                    None => f.write_str("a Unix socket without a path"),
                }
            }
            Self::Tcp(socket) => match socket.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("a TCP socket"),
            },
        }
    }
}

/// A file descriptor from the service manager's store, under the name it was stored with.
#[derive(Debug)]
pub(crate) struct StoredFd {
    pub(crate) name: String,
    pub(crate) fd: OwnedFd,
}

/// Takes what systemd handed over; without systemd that is nothing.
///
/// Works once: the variables are gone afterwards. Must run before anything opens a file or starts a thread: a number in
/// `LISTEN_FDS` that is not really open would otherwise stand for that file.
pub(crate) fn inherit(environment: &Environment) -> Result<Inherited, Error> {
    let Some(names) = Names::parse(environment, std::process::id())? else { return Ok(Inherited::default()) };
    let mut fds = ListenFd::from_env();
    let mut inherited = Inherited::default();
    for (index, name) in names.0.into_iter().enumerate() {
        if name.starts_with(STORED_PREFIX) {
            inherited.stored.push(stored(&mut fds, index, name)?);
        } else if name == FETCH_NAME {
            let fd = FdName::new(index, &name);
            match listening(&mut fds, index, fd)? {
                Socket::Unix(socket) => inherited.fetch = Some(socket),
                Socket::Tcp(_) => return Err(Error::FetchOverTcp { fd: FdName::new(index, &name) }),
            }
        } else {
            inherited.sockets.push(socket(&mut fds, index, &name)?);
        }
    }
    if inherited.sockets.is_empty() && inherited.fetch.is_none() && inherited.stored.is_empty() {
        return Err(Error::Nothing);
    }
    Ok(inherited)
}

/// The start of the names under which we leave file descriptors with the service manager.
pub(crate) const STORED_PREFIX: &str = "keys-";

/// The name of the socket at which a fetcher brings keys. It serves no role of the API.
const FETCH_NAME: &str = "fetch";

/// One name for each file descriptor, from 3 on.
#[derive(Debug, PartialEq, Eq)]
struct Names(Vec<String>);

impl Names {
    /// From the variables; `None` if they are absent or not meant for this process (sd_listen_fds(3): without
    /// `LISTEN_PID` they are not).
    fn parse(environment: &Environment, own_pid: u32) -> Result<Option<Self>, Error> {
        let Some(count) = environment.text("LISTEN_FDS") else { return Ok(None) };
        if environment.text("LISTEN_PID").and_then(|pid| pid.parse().ok()) != Some(own_pid) {
            return Ok(None);
        }
        let count: usize = count
            .parse()
            .ok()
            .filter(|count| *count <= MOST_FDS)
            .ok_or_else(|| Error::Count { count: count.to_owned() })?;
        let names = match environment.text("LISTEN_FDNAMES") {
            Some(names) => names.split(':').map(str::to_owned).collect(),
            // What sd_listen_fds_with_names(3) says in this case.
            None => vec!["unknown".to_owned(); count],
        };
        if names.len() != count {
            return Err(Error::NameCount { fds: count, names: names.len() });
        }
        Ok(Some(Self(names)))
    }
}

fn socket(fds: &mut ListenFd, index: usize, name: &str) -> Result<(Role, Socket), Error> {
    let fd = FdName::new(index, name);
    let Ok(role) = name.parse::<Role>() else { return Err(Error::UnknownName { fd }) };
    Ok((role, listening(fds, index, fd)?))
}

fn listening(fds: &mut ListenFd, index: usize, fd: FdName) -> Result<Socket, Error> {
    let (socket, listens) = if let Ok(Some(socket)) = fds.take_unix_listener(index) {
        let listens = getsockopt(&socket, sockopt::AcceptConn);
        (Socket::Unix(socket), listens)
    } else if let Ok(Some(socket)) = fds.take_tcp_listener(index) {
        let listens = getsockopt(&socket, sockopt::AcceptConn);
        (Socket::Tcp(socket), listens)
    } else if matches!(fds.take_unix_datagram(index), Ok(Some(_)))
        || matches!(fds.take_udp_socket(index), Ok(Some(_)))
    {
        return Err(Error::Datagram { fd });
    } else {
        return Err(not_a_socket(fd));
    };
    match listens {
        Ok(true) => Ok(socket),
        Ok(false) => Err(Error::NotListening { fd }),
        Err(source) => Err(Error::Inspect { fd, source }),
    }
}

fn stored(fds: &mut ListenFd, index: usize, name: String) -> Result<StoredFd, Error> {
    let raw = fds.take_raw_fd(index).ok().flatten();
    match raw.map(inherited::adopt) {
        Some(Ok(fd)) => Ok(StoredFd { name, fd }),
        Some(Err(_)) | None => Err(Error::Closed { fd: FdName::new(index, &name) }),
    }
}

fn not_a_socket(fd: FdName) -> Error {
    match fs::read_link(format!("/proc/self/fd/{}", fd.number)) {
        Ok(target) => Error::NoStreamSocket { fd, target: target.display().to_string() },
        Err(_) => Error::Closed { fd },
    }
}

/// A file descriptor as errors name it.
#[derive(Debug)]
pub(crate) struct FdName {
    number: usize,
    name: String,
}

impl FdName {
    fn new(index: usize, name: &str) -> Self {
        Self { number: index.saturating_add(FIRST_FD), name: name.to_owned() }
    }
}

impl fmt::Display for FdName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the inherited file descriptor {} '{}'", self.number, self.name)
    }
}

/// Why the sockets that systemd handed over cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("LISTEN_FDS={count} is no number of file descriptors")]
    Count { count: String },
    #[error("LISTEN_FDS says {fds} file descriptors and LISTEN_FDNAMES names {names}")]
    NameCount { fds: usize, names: usize },
    #[error("systemd hands over no socket: LISTEN_FDS is 0")]
    Nothing,
    #[error(
        "{fd} is of no role: set FileDescriptorName= in its socket unit (--fdname= of systemd-socket-activate) to \
         signing, keymanager, metrics, all or fetch"
    )]
    UnknownName { fd: FdName },
    #[error("{fd} is a datagram socket: use ListenStream= in its socket unit")]
    Datagram { fd: FdName },
    #[error("{fd} does not listen: use ListenStream= and Accept=no in its socket unit")]
    NotListening { fd: FdName },
    #[error(
        "{fd} is a TCP socket, and keys are brought over Unix sockets alone: use a path in ListenStream="
    )]
    FetchOverTcp { fd: FdName },
    #[error("{fd} is closed")]
    Closed { fd: FdName },
    #[error("{fd} is no Unix or TCP stream socket but {target}")]
    NoStreamSocket { fd: FdName, target: String },
    #[error("cannot inspect {fd}")]
    Inspect { fd: FdName, source: Errno },
}

/// `SD_LISTEN_FDS_START`.
const FIRST_FD: usize = 3;
/// More than systemd passes to any service by default (`LimitNOFILE` of 1024).
const MOST_FDS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(variables: &[(&str, &str)]) -> Result<Option<Vec<String>>, Error> {
        let variables = variables.iter().copied().chain([("LISTEN_PID", "42")]);
        Names::parse(&variables.collect(), 42).map(|names| names.map(|names| names.0))
    }

    #[test]
    fn sockets_are_for_the_process_they_are_meant_for() {
        let all = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "signing:keys-memory")];
        assert_eq!(names(&all).unwrap().unwrap(), ["signing", "keys-memory"]);
        assert_eq!(names(&[]).unwrap(), None);
        for other in ["43", "", "0", "x", " 42", "-42"] {
            let environment = all.into_iter().chain([("LISTEN_PID", other)]).collect();
            assert_eq!(Names::parse(&environment, 42).unwrap(), None, "{other}");
        }
        assert_eq!(Names::parse(&all.into_iter().collect(), 42).unwrap(), None, "sd_listen_fds(3)");
    }

    #[test]
    fn sockets_without_names_are_unknown() {
        assert_eq!(names(&[("LISTEN_FDS", "2")]).unwrap().unwrap(), ["unknown", "unknown"]);
    }

    #[test]
    fn refuses_counts_that_make_no_sense() {
        for count in ["-1", "x", "1 ", "99999999999999999999", "1025"] {
            assert!(matches!(names(&[("LISTEN_FDS", count)]), Err(Error::Count { .. })), "{count}");
        }
        let error = names(&[("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "signing:keymanager")]);
        assert!(matches!(error, Err(Error::NameCount { fds: 1, names: 2 })));
        let empty = names(&[("LISTEN_FDS", "0"), ("LISTEN_FDNAMES", "")]).unwrap();
        assert!(matches!(empty, Some(empty) if empty.is_empty()));
    }
}
