//! Taking ownership of a file descriptor that the parent process left open.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;

/// Owns an inherited file descriptor from now on, and keeps it from any child. An error if it is not open.
///
/// Call it once for a descriptor, for one that is named in `LISTEN_FDS`, before anything else is opened.
pub(crate) fn adopt(fd: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: fcntl with F_SETFD takes no pointer; a descriptor that is not open is answered with EBADF.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: the descriptor is open, as the call above shows, and it is the service manager's gift to this process: no
    // other owner exists, because callers take each one only once, out of a list that forgets it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
