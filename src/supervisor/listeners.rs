//! The listening sockets, from systemd or from the configuration, each with its role.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect, listen, setsockopt,
    socket, sockopt::ReuseAddr,
};
use nix::sys::stat::{Mode, fchmod};

use super::activation::{Inherited, Socket, StoredFd};
use crate::config::{Address, ListenSpec, OpenKeymanager, Role, Settings};

/// Everything that is listened on, and what else systemd handed over.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) listeners: Vec<Listener>,
    /// Whether systemd handed the sockets over, and keeps them when we go.
    pub(crate) inherited: bool,
    /// Where a fetcher brings keys, non-blocking, and the socket's file, if it is ours.
    pub(crate) fetch: Option<(UnixListener, Option<SocketFile>)>,
    pub(crate) stored: Vec<StoredFd>,
}

/// A socket that listens, non-blocking, with the role that it serves.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) role: Role,
    pub(crate) socket: Socket,
    /// For the log: role and address.
    pub(crate) description: String,
    /// The socket's file, if it is ours: removed when this is dropped, so keep it until the end.
    pub(crate) file: Option<SocketFile>,
}

/// Takes the sockets that systemd handed over, or else binds the configured ones.
pub(crate) fn open(settings: &Settings, inherited: Inherited) -> Result<Opened, Error> {
    let is_activated = !inherited.sockets.is_empty();
    if is_activated && settings.listen_chosen {
        tracing::warn!("systemd hands over sockets: --listen, --host and --port are not used");
    }
    let listeners = if is_activated {
        inherited.sockets.into_iter().map(|(role, socket)| adopt(settings, role, socket)).collect()
    } else {
        settings.listen.iter().map(bind_to).collect::<Result<Vec<_>, _>>()
    }?;
    let fetch = match (inherited.fetch, &settings.keys.fetch_socket) {
        (Some(socket), _) => Some((socket, None)),
        (None, Some(path)) => {
            let (socket, file) = bind_unix(path, fetch_mode(settings))?;
            Some((socket, Some(file)))
        }
        (None, None) => None,
    };
    if let Some((socket, _)) = &fetch {
        socket.set_nonblocking(true).map_err(Error::Inherited)?;
    }
    Ok(Opened { listeners, inherited: is_activated, fetch, stored: inherited.stored })
}

/// A fetcher of another user has to get in; who it is decides the daemon.
fn fetch_mode(settings: &Settings) -> Mode {
    let owner = Mode::S_IRUSR | Mode::S_IWUSR;
    match settings.keys.fetch_user {
        None => owner,
        Some(_) => owner | Mode::S_IRGRP | Mode::S_IWGRP | Mode::S_IROTH | Mode::S_IWOTH,
    }
}

fn adopt(settings: &Settings, role: Role, socket: Socket) -> Result<Listener, Error> {
    if let Socket::Tcp(socket) = &socket {
        let address = socket.local_addr().map_err(Error::Inherited)?;
        settings.refuse_open_keymanager(&ListenSpec { role, address: Address::Tcp(address) })?;
    }
    socket.set_nonblocking().map_err(Error::Inherited)?;
    Ok(Listener { role, description: describe(role, &socket), socket, file: None })
}

fn bind_to(spec: &ListenSpec) -> Result<Listener, Error> {
    let (socket, file) = match &spec.address {
        Address::Unix(path) => {
            let (socket, file) = bind_unix(path, socket_mode(spec.role))?;
            (Socket::Unix(socket), Some(file))
        }
        Address::Tcp(address) => (Socket::Tcp(bind_tcp(*address)?), None),
    };
    socket.set_nonblocking().map_err(|source| failed(&spec.address, source))?;
    Ok(Listener { role: spec.role, description: describe(spec.role, &socket), socket, file })
}

fn describe(role: Role, socket: &Socket) -> String {
    format!("{role} on {socket}")
}

fn bind_tcp(address: SocketAddr) -> Result<TcpListener, Error> {
    let failed = |source| failed(&Address::Tcp(address), source);
    let socket = TcpListener::bind(address).map_err(failed)?;
    // The standard library asks for a queue of 128; at the start of a slot every client connects at once.
    listen(&socket, Backlog::MAXCONN).map_err(|errno| failed(errno.into()))?;
    Ok(socket)
}

/// Whether a start could listen there now, which nobody notices: no caller is let in.
///
/// # Errors
/// It could not, and why.
pub(crate) fn can_bind(address: SocketAddr) -> Result<(), Error> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let try_it = || {
        let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        // As the standard library does: what a former process has left behind is nobody.
        setsockopt(&fd, ReuseAddr, &true)?;
        bind(fd_number(&fd), &SockaddrStorage::from(address))
    };
    try_it().map_err(|errno: Errno| failed(&Address::Tcp(address), errno.into()))
}

/// Binds a socket file with its final permissions from the first moment on.
fn bind_unix(path: &Path, mode: Mode) -> Result<(UnixListener, SocketFile), Error> {
    remove_stale(path)?;
    let failed = |errno: Errno| failed(&Address::Unix(path.to_owned()), errno.into());
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(failed)?;
    // Linux gives the file the mode of the unbound socket, less the umask; the second call undoes the umask's part.
    fchmod(&fd, mode).map_err(failed)?;
    bind(fd_number(&fd), &UnixAddr::new(path).map_err(failed)?).map_err(failed)?;
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, fs::Permissions::from_mode(mode.bits()))
        .map_err(|source| Error::Bind { address: Address::Unix(path.to_owned()), source })?;
    listen(&fd, Backlog::MAXCONN).map_err(failed)?;
    Ok((UnixListener::from(fd), file))
}

fn fd_number(fd: &OwnedFd) -> i32 {
    use std::os::fd::AsRawFd;
    fd.as_raw_fd()
}

fn socket_mode(role: Role) -> Mode {
    let owner = Mode::S_IRUSR | Mode::S_IWUSR;
    match role {
        Role::Keymanager => owner,
        Role::Signing | Role::Metrics | Role::All => owner | Mode::S_IRGRP | Mode::S_IWGRP,
    }
}

/// Removes the socket file of a process that is gone. Anything else at that path is left alone and ends the start.
fn remove_stale(path: &Path) -> Result<(), Error> {
    if !is_taken(path)? {
        return Ok(());
    }
    match knock(path) {
        Err(Errno::ECONNREFUSED) => {
            fs::remove_file(path).map_err(|source| Error::Stale { path: path.to_owned(), source })
        }
        // Somebody listens, but has let its queue of callers fill.
        Ok(()) | Err(Errno::EAGAIN) => Err(Error::InUse { path: path.to_owned() }),
        Err(errno) => Err(failed(&Address::Unix(path.to_owned()), errno.into())),
    }
}

/// Connects without waiting for room in the queue of whoever listens there.
fn knock(path: &Path) -> nix::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let caller = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(fd_number(&caller), &UnixAddr::new(path)?)
}

/// Whether there is a socket at this path already. An error if none can be there.
pub(crate) fn is_taken(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => Ok(true),
        Ok(_) => Err(Error::NotASocket { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
            // It is not made here: who owns it and who may enter it decides who can reach the socket.
            Some(directory) if !directory.exists() => {
                Err(Error::NoDirectory { path: path.to_owned(), directory: directory.to_owned() })
            }
            Some(_) | None => Ok(false),
        },
        Err(source) => Err(failed(&Address::Unix(path.to_owned()), source)),
    }
}

fn failed(address: &Address, source: io::Error) -> Error {
    match address {
        Address::Tcp(taken) if source.kind() == io::ErrorKind::AddrInUse => {
            Error::TcpInUse { address: *taken }
        }
        Address::Tcp(_) | Address::Unix(_) => Error::Bind { address: address.clone(), source },
    }
}

/// A socket file of ours; dropping this removes it.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another run removes it as stale if this fails.
        let _ = fs::remove_file(&self.0);
    }
}

impl fmt::Display for SocketFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Why there is nothing to listen on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    OpenKeymanager(#[from] OpenKeymanager),
    #[error("cannot use a socket that systemd handed over")]
    Inherited(#[source] io::Error),
    #[error("cannot listen on {address}")]
    Bind { address: Address, source: io::Error },
    #[error(
        "cannot listen on unix:{}: there is no directory {}; make it first, or listen elsewhere",
        path.display(), directory.display()
    )]
    NoDirectory { path: PathBuf, directory: PathBuf },
    #[error("{} exists and is no socket: move it away or listen elsewhere", path.display())]
    NotASocket { path: PathBuf },
    #[error("another process listens on {}: stop it or listen elsewhere", path.display())]
    InUse { path: PathBuf },
    #[error(
        "another process listens on {address}: stop it or listen elsewhere ('ss -ltnp' as root names it)"
    )]
    TcpInUse { address: SocketAddr },
    #[error("cannot remove the socket {} that a former process left", path.display())]
    Stale { path: PathBuf, source: io::Error },
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn spec(role: Role, path: &Path) -> ListenSpec {
        ListenSpec { role, address: Address::Unix(path.to_owned()) }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_socket_file_has_the_permissions_of_its_role_and_goes_with_the_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        for (role, expected) in
            [(Role::Signing, 0o660), (Role::All, 0o660), (Role::Metrics, 0o660), (Role::Keymanager, 0o600)]
        {
            let listener = bind_to(&spec(role, &path)).unwrap();
            assert_eq!(mode(&path), expected, "{role}");
            assert_eq!(listener.description, format!("{role} on unix:{}", path.display()));
            UnixStream::connect(&path).unwrap();
            drop(listener);
            assert!(!path.exists(), "{role}");
        }
    }

    #[test]
    fn a_dead_process_s_socket_is_replaced_and_a_living_one_s_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        drop(UnixListener::bind(&path).unwrap());
        let living = bind_to(&spec(Role::Signing, &path)).unwrap();
        assert!(matches!(bind_to(&spec(Role::Signing, &path)), Err(Error::InUse { .. })));
        assert!(path.exists());
        drop(living);
    }

    #[test]
    fn a_socket_whose_queue_of_callers_is_full_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let living = UnixListener::bind(&path).unwrap();
        listen(&living, Backlog::new(1).unwrap()).unwrap();
        let mut callers = Vec::new();
        while let Ok(caller) = caller_of(&path) {
            callers.push(caller);
        }
        assert!(matches!(bind_to(&spec(Role::Signing, &path)), Err(Error::InUse { .. })));
        assert!(path.exists());
    }

    /// A connection, unless it would have to wait.
    fn caller_of(path: &Path) -> nix::Result<OwnedFd> {
        let caller = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?;
        connect(fd_number(&caller), &UnixAddr::new(path)?)?;
        Ok(caller)
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        fs::write(&path, "data").unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            assert!(matches!(bind_to(&spec(Role::Signing, path)), Err(Error::NotASocket { .. })));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn a_free_port_is_named_once_it_is_bound() {
        let listener = bind_to(&"all=127.0.0.1:0".parse().unwrap()).unwrap();
        let Socket::Tcp(socket) = &listener.socket else { panic!("{listener:?}") };
        assert_eq!(listener.description, format!("all on {}", socket.local_addr().unwrap()));
        assert_ne!(socket.local_addr().unwrap().port(), 0);
    }

    #[test]
    fn a_missing_directory_and_a_taken_port_are_named() {
        let error = bind_to(&spec(Role::Signing, Path::new("/nonexistent/s.sock"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot listen on unix:/nonexistent/s.sock: there is no directory /nonexistent; \
             make it first, or listen elsewhere"
        );
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let spec = ListenSpec { role: Role::All, address: Address::Tcp(taken.local_addr().unwrap()) };
        assert!(matches!(bind_to(&spec), Err(Error::TcpInUse { .. })));
    }
}
