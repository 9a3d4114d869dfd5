//! Reading files that hold a secret or decide who may call: tokens, the seal secret, certificates, keys and passwords.
//!
//! Only a regular file is read, at most so many bytes of it, and a FIFO or a device that was named by mistake is not
//! waited for. Symbolic links are followed where the operator names the file, as credentials are often links. Where a
//! directory names it, a link is followed that stays in that directory, as each file of a mounted Kubernetes Secret is
//! one, and no other.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::str::Utf8Error;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::libc;
use zeroize::{Zeroize, Zeroizing};

use crate::text;

/// An open regular file.
pub(crate) struct RegularFile {
    file: File,
    metadata: Metadata,
}

impl RegularFile {
    /// Opens without blocking.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        Self::open_with(path, OFlag::empty())
    }

    /// The same, and if the last component of the path is a link, it leads to a file in its own directory or below.
    pub(crate) fn open_in_directory(path: &Path) -> Result<Self, FileError> {
        match Self::open_with(path, OFlag::O_NOFOLLOW) {
            Err(FileError::Read(error)) if error.raw_os_error() == Some(libc::ELOOP) => {}
            opened => return opened,
        }
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(FileError::Link);
        };
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let directory = File::open(directory).map_err(FileError::Read)?;
        // One call looks where the link leads and opens it, so that nobody can turn it in between.
        let how = OpenHow::new().flags(WITHOUT_WAITING).resolve(ResolveFlag::RESOLVE_BENEATH);
        let opened = openat2(directory, name, how).map_err(|error| match error {
            Errno::EXDEV | Errno::ELOOP | Errno::ENOENT => FileError::Link,
            // An older kernel, or a filter of system calls that does not know it.
            Errno::ENOSYS | Errno::EPERM => FileError::UnexaminedLink,
            error => FileError::of(error.into()),
        });
        Self::of(opened?.into())
    }

    fn open_with(path: &Path, flags: OFlag) -> Result<Self, FileError> {
        let opened = OpenOptions::new().read(true).custom_flags((flags | WITHOUT_WAITING).bits()).open(path);
        Self::of(opened.map_err(FileError::of)?)
    }

    fn of(file: File) -> Result<Self, FileError> {
        let metadata = file.metadata().map_err(FileError::Read)?;
        if !metadata.is_file() {
            return Err(FileError::NotRegular);
        }
        Ok(Self { file, metadata })
    }

    /// The same for a secret: every user may not read it, and nobody but its owner may write it.
    ///
    /// Who may write a token decides who may call, so a group that may write is refused too, whichever it is (0660). A
    /// group that may read is not (0640): that is how a service gets a file of root's.
    pub(crate) fn open_secret(path: &Path) -> Result<Self, FileError> {
        let opened = Self::open(path)?;
        refuse_exposed(opened.metadata.permissions().mode())?;
        Ok(opened)
    }

    /// Refuses a file that every user can write.
    pub(crate) fn refuse_open_to_all(self) -> Result<Self, FileError> {
        let mode = self.metadata.permissions().mode() & 0o7777;
        if mode & 0o002 != 0 {
            return Err(FileError::Writable { mode });
        }
        Ok(self)
    }

    /// Reads it all, at most `limit` bytes, into a buffer that is wiped.
    pub(crate) fn read(self, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let size = self.metadata.len();
        let too_large = || FileError::TooLarge { bytes: size, limit };
        if size > limit {
            return Err(too_large());
        }
        // Large enough from the start, as a buffer that grows leaves copies behind. One byte more than it had: a file
        // that is growing now is refused rather than cut.
        let most = size.saturating_add(1);
        // Room to spare, or `read_to_end` would read a small file by way of the stack.
        let room = usize::try_from(size.saturating_add(SPARE_BYTES)).map_err(|_| too_large())?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        self.file.take(most).read_to_end(&mut bytes).map_err(FileError::Read)?;
        if bytes.len() as u64 > size {
            return Err(FileError::Growing);
        }
        Ok(bytes)
    }

    /// The same for UTF-8 text.
    pub(crate) fn read_text(self, limit: u64) -> Result<Zeroizing<String>, FileError> {
        let mut bytes = self.read(limit)?;
        String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
            let reason = FileError::no_text(error.as_bytes(), error.utf8_error());
            error.into_bytes().zeroize();
            reason
        })
    }
}

/// Refuses the permissions of a secret's file that every user can read or that others than its owner can write.
pub(crate) fn refuse_exposed(mode: u32) -> Result<(), FileError> {
    let mode = mode & 0o7777;
    if mode & 0o004 != 0 {
        return Err(FileError::Readable { mode });
    }
    if mode & 0o022 != 0 {
        return Err(FileError::Writable { mode });
    }
    Ok(())
}

/// Why a file is not read. Says neither its name nor a byte of its content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("it is not a regular file")]
    NotRegular,
    #[error("it can be read by every user (mode {mode:04o}): take that away with 'chmod o-rwx,g-w'")]
    Readable { mode: u32 },
    #[error(
        "it can be written by others than its owner (mode {mode:04o}), who could put a secret of theirs into it: take \
         that away with 'chmod go-w'"
    )]
    Writable { mode: u32 },
    #[error("it has {bytes} bytes; more than {limit} are not read")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("it is being written: try again when that is done")]
    Growing,
    #[error(
        "it is a symbolic link that leads to no file in its own directory or below: no other is followed"
    )]
    Link,
    #[error(
        "it is a symbolic link, and this system does not tell where it leads (openat2, Linux 5.6): put the file itself \
         there"
    )]
    UnexaminedLink,
    #[error("it is UTF-16 text (it begins with the byte order mark of that): save it as UTF-8")]
    Utf16,
    #[error("it is not UTF-8 text (line {line} has a byte that is none): save it as UTF-8")]
    NotText { line: usize },
    #[error(transparent)]
    Read(io::Error),
}

impl FileError {
    fn of(error: io::Error) -> Self {
        match error.raw_os_error() {
            // A socket, or a device without a driver.
            Some(libc::ENXIO | libc::ENODEV) => Self::NotRegular,
            Some(_) | None => Self::Read(error),
        }
    }

    /// Why these bytes are no UTF-8 text.
    pub(crate) fn no_text(bytes: &[u8], error: Utf8Error) -> Self {
        if text::is_utf16(bytes) {
            return Self::Utf16;
        }
        let line_ends = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
        Self::NotText { line: line_ends.saturating_add(1) }
    }
}

const WITHOUT_WAITING: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// How much larger than its file a buffer is.
const SPARE_BYTES: u64 = 64;

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn nobody_but_the_owner_may_write_a_secret_and_not_everybody_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "text\n").unwrap();
        for mode in 0..=0o777 {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400 | mode)).unwrap();
            let fine = mode & 0o026 == 0;
            assert_eq!(RegularFile::open_secret(&path).is_ok(), fine, "{mode:o}");
        }
        assert_eq!(*RegularFile::open(&path).unwrap().read_text(5).unwrap(), "text\n");
    }

    #[test]
    fn waits_for_no_fifo_and_reads_no_device_socket_or_directory() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR).unwrap();
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [fifo.as_path(), &socket, directory.path(), Path::new("/dev/zero")] {
            assert!(matches!(RegularFile::open(path).err(), Some(FileError::NotRegular)), "{path:?}");
        }
        let missing = RegularFile::open(Path::new("/nonexistent")).err();
        assert!(matches!(missing, Some(FileError::Read(error)) if error.kind() == io::ErrorKind::NotFound));
    }

    #[test]
    fn in_a_directory_only_links_that_stay_in_it_are_followed() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join("secret").join(name);
        // As the kubelet mounts a Secret.
        fs::create_dir_all(path("..2026_11_26")).unwrap();
        fs::write(path("..2026_11_26/key"), "text").unwrap();
        symlink("..2026_11_26", path("..data")).unwrap();
        symlink("..data/key", path("key")).unwrap();
        assert_eq!(*RegularFile::open_in_directory(&path("key")).unwrap().read_text(9).unwrap(), "text");

        fs::write(directory.path().join("outside"), "text").unwrap();
        symlink("../outside", path("up")).unwrap();
        symlink(path("..2026_11_26/key"), path("whole")).unwrap();
        symlink("whole", path("around")).unwrap();
        symlink("loop", path("loop")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        symlink("/proc/self/exe", path("magic")).unwrap();
        for name in ["up", "whole", "around", "loop", "dangling", "magic"] {
            let opened = RegularFile::open_in_directory(&path(name)).err();
            assert!(matches!(opened, Some(FileError::Link)), "{name}: {opened:?}");
        }
        symlink("..data", path("directory")).unwrap();
        let opened = RegularFile::open_in_directory(&path("directory")).err();
        assert!(matches!(opened, Some(FileError::NotRegular)), "{opened:?}");
    }

    #[test]
    fn follows_links_and_reads_no_more_than_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&path, [0xff; 9]).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(*RegularFile::open(&link).unwrap().read(9).unwrap(), [0xff; 9]);
        let refused = RegularFile::open(&link).unwrap().read(8).err();
        assert!(matches!(refused, Some(FileError::TooLarge { bytes: 9, limit: 8 })));
        assert!(matches!(
            RegularFile::open(&link).unwrap().read_text(9).err(),
            Some(FileError::NotText { line: 1 })
        ));
    }
}
