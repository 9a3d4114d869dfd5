//! Reading a file that may be anything: only a regular file of bearable size is read, and no link is followed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;
use zeroize::{Zeroize, Zeroizing};

use crate::text;

/// Reads a UTF-8 text of at most `limit` bytes.
///
/// The last component of `path` must be a regular file: a link is not followed, a FIFO or device is not waited for.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<Zeroizing<String>, FileError> {
    let file = open(path)?;
    let metadata = file.metadata().map_err(FileError::Read)?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular);
    }
    if metadata.len() > limit {
        return Err(FileError::TooLarge { bytes: metadata.len(), limit });
    }
    read_all(file, metadata.len(), limit)
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// A symbolic link.
    #[error("it is a symbolic link, which is not followed")]
    Link,
    /// A directory, FIFO, socket or device.
    #[error("it is not a regular file")]
    NotRegular,
    /// Too large.
    #[error("it has {bytes} bytes; more than {limit} are not read")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// Text in another encoding.
    #[error("it is UTF-16 text (it begins with the byte order mark of that): save it as UTF-8")]
    Utf16,
    /// Not text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// The system says no.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
}

fn open(path: &Path) -> Result<File, FileError> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => FileError::Link,
        // A socket, or a device without a driver.
        Some(libc::ENXIO | libc::ENODEV) => FileError::NotRegular,
        Some(_) | None => FileError::Read(error),
    })
}

/// Into a buffer that is large enough from the start: one that grows leaves copies behind.
fn read_all(file: File, size: u64, limit: u64) -> Result<Zeroizing<String>, FileError> {
    let room =
        usize::try_from(size.saturating_add(1)).map_err(|_| FileError::TooLarge { bytes: size, limit })?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    // One byte more than it had: a file that is growing now is refused rather than cut.
    file.take(size.saturating_add(1)).read_to_end(&mut bytes).map_err(FileError::Read)?;
    if bytes.len() as u64 > size {
        return Err(FileError::Read(io::Error::other("it is being written")));
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        let mut bytes = error.into_bytes();
        let reason = if text::is_utf16(&bytes) { FileError::Utf16 } else { FileError::NotText };
        bytes.zeroize();
        reason
    })
}

/// The most bytes of a keystore; a usual one has less than 1 KiB.
pub(crate) const KEYSTORE_LIMIT: u64 = 64 << 10;

/// The most bytes of a password file.
pub(super) const PASSWORD_LIMIT: u64 = 64 << 10;

/// The most bytes of a key configuration file, which may have many documents: some 100,000 keys.
pub(super) const CONFIG_LIMIT: u64 = 16 << 20;
