//! Supplementary groups of the process at the other end of a Unix socket, as they were when it connected.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc::{self, c_void, gid_t, socklen_t};

/// Asks the kernel for them (`SO_PEERGROUPS`, Linux 4.13).
///
/// # Errors
/// The socket is none of a Unix stream, or the kernel does not know.
pub(crate) fn peer_groups(socket: impl AsFd) -> Result<Vec<gid_t>, Errno> {
    let fd = socket.as_fd().as_raw_fd();
    let mut groups: Vec<gid_t> = vec![0; FEW_GROUPS];
    // The groups of a peer do not change, so the second time there is room.
    for _ in 0..2 {
        let room = groups.len().saturating_mul(GROUP_BYTES);
        let mut bytes = socklen_t::try_from(room).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: the kernel writes at most `bytes` bytes, which is the size of the vector's initialised elements, and
        // any bytes are a valid gid_t. Both pointers are valid for the call, and the descriptor is borrowed.
        let status = unsafe {
            libc::getsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast::<c_void>(),
                &raw mut bytes,
            )
        };
        let length = usize::try_from(bytes).map_err(|_| Errno::EOVERFLOW)?.checked_div(GROUP_BYTES);
        match Errno::result(status) {
            Ok(_) => {
                groups.truncate(length.unwrap_or_default());
                return Ok(groups);
            }
            Err(Errno::ERANGE) => groups.resize(length.unwrap_or_default(), 0),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::ERANGE)
}

/// More than most processes have.
const FEW_GROUPS: usize = 32;
const GROUP_BYTES: usize = size_of::<gid_t>();

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use nix::unistd::getgroups;

    use super::*;

    #[test]
    fn the_groups_of_this_process_are_those_that_its_socket_tells() {
        let (one, _other) = UnixStream::pair().unwrap();
        let expected: Vec<gid_t> = getgroups().unwrap().into_iter().map(nix::unistd::Gid::as_raw).collect();
        assert_eq!(peer_groups(&one).unwrap(), expected);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(peer_groups(&listener).is_err());
    }
}
