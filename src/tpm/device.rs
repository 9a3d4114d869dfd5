//! Device of a TPM: one command goes in, one answer comes out, within a time.
//!
//! The kernel's resource manager (`/dev/tpmrm0`) takes a command in one write and gives its answer in one read. Opened
//! without blocking, it lets us wait for the answer (`poll`) and give up. A Unix socket, as swtpm and the virtual
//! machines that it serves have one, takes and gives the same bytes. It is opened for each command: an emulator
//! serves one connection at a time.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::wire::HEADER_BYTES;

/// Sends a command and waits for the answer until then.
pub(super) fn exchange(device: &Path, command: &[u8], until: Instant) -> Result<Vec<u8>, DeviceError> {
    let mut device = fs::File::from(open(device).map_err(DeviceError::Open)?);
    device.write_all(command).map_err(DeviceError::Io)?;
    let mut answer = Vec::new();
    while !is_whole(&answer) {
        wait_for_answer(&device, until)?;
        let mut part = [0; MAX_ANSWER_BYTES];
        match device.read(&mut part) {
            Ok(0) => return Err(DeviceError::Io(io::ErrorKind::UnexpectedEof.into())),
            Ok(length) => answer.extend(part.get(..length).unwrap_or_default()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(DeviceError::Io(error)),
        }
        if answer.len() > MAX_ANSWER_BYTES {
            return Err(DeviceError::Io(io::Error::other("the answer is too long")));
        }
    }
    Ok(answer)
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum DeviceError {
    Open(io::Error),
    Io(io::Error),
    /// The time is over.
    Silent,
}

fn open(device: &Path) -> io::Result<OwnedFd> {
    if !fs::metadata(device)?.file_type().is_socket() {
        let opened =
            OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(device)?;
        return Ok(opened.into());
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &UnixAddr::new(device)?)?;
    Ok(socket)
}

/// Whether all is there that the answer says it has.
fn is_whole(answer: &[u8]) -> bool {
    let length = answer.get(2..6).and_then(|length| Some(u32::from_be_bytes(length.try_into().ok()?)));
    // One that cannot be right is not waited for.
    let plausible = |length: u32| usize::try_from(length).ok().filter(|length| *length <= MAX_ANSWER_BYTES);
    match length {
        Some(length) => plausible(length.max(HEADER_BYTES)).is_none_or(|length| answer.len() >= length),
        None => false,
    }
}

fn wait_for_answer(device: &impl AsFd, until: Instant) -> Result<(), DeviceError> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(DeviceError::Silent);
        }
        let timeout = PollTimeout::try_from(left.max(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(device.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(DeviceError::Io(error.into())),
        }
    }
}

/// The most that the kernel passes on.
const MAX_ANSWER_BYTES: usize = 4_096;
