//! State directory, opened once: its files are reached through its descriptor and by plain names, so that no path is
//! walked twice and no link is followed.
//!
//! Who runs the program owns the directory and its files. Root on another user's directory is refused: that user could
//! replace any name in it between two steps of ours. (The command line becomes that user first, `cli::owner`.)

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{Uid, UnlinkatFlags, geteuid, linkat, unlinkat};
use serde::{Deserialize, Serialize};

use super::OpenError;
use super::files::{FILE_NAME, LOG};

/// The state directory, open.
#[derive(Debug)]
pub(super) struct Directory {
    file: File,
    path: PathBuf,
}

/// Which directory it is, whatever name it was reached by and in whichever container: what a lock on it goes by, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectoryId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl DirectoryId {
    /// That of the directory which has this name now.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for DirectoryId {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl Directory {
    /// Opens the directory, which is created (mode 0700) if it does not exist.
    ///
    /// # Errors
    /// Others may write to it, or it belongs to another user and this process is root.
    pub(super) fn open(given: &Path) -> Result<Self, OpenError> {
        let failed = |action| move |source| OpenError::Io { path: given.to_owned(), action, source };
        // Absolute, so that what it stands in has a name.
        let given = &std::path::absolute(given).map_err(failed("found"))?;
        make(given)?;
        let path = fs::canonicalize(given).map_err(failed("found"))?;
        let directory = Self::at(path).map_err(failed("opened"))?;
        directory.check()?;
        Ok(directory)
    }

    /// Opens what exists, and judges nothing.
    pub(super) fn at(path: PathBuf) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let file = nix::fcntl::open(&path, flags, Mode::empty())?;
        Ok(Self { file: file.into(), path })
    }

    fn check(&self) -> Result<(), OpenError> {
        let failed = |source| OpenError::Io { path: self.path.clone(), action: "examined", source };
        let metadata = self.file.metadata().map_err(failed)?;
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(OpenError::Exposed { path: self.path.clone(), mode: metadata.mode() & 0o777 });
        }
        if geteuid().is_root() && metadata.uid() != 0 {
            return Err(foreign(self.path.clone(), &metadata));
        }
        Ok(())
    }

    pub(super) fn id(&self) -> Result<DirectoryId, OpenError> {
        let failed = |source| OpenError::Io { path: self.path.clone(), action: "examined", source };
        self.file.metadata().map(|metadata| DirectoryId::from(&metadata)).map_err(failed)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file's path, for SQLite, which takes nothing else.
    pub(super) fn path_of(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    /// Whether a name stands for something, a link included.
    pub(super) fn has(&self, name: &str) -> io::Result<bool> {
        match fstatat(&self.file, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file for reading, if there is one. A link is an error; a pipe does not keep us waiting.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<File>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        match openat(&self.file, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A new, empty file that only its owner can read and write. What a process left under this name that was killed
    /// goes.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        self.remove(name)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(&self.file, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Takes a name away, if it is there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a file another name, in the place of what has it.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.file, from, &self.file, to)?)
    }

    /// Gives a file a second name, never in the place of what has it.
    pub(super) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(linkat(&self.file, from, &self.file, to, AtFlags::empty())?)
    }

    /// Brings the names to the disk. SQLite's own attempt does not look whether it succeeds.
    pub(super) fn sync(&self) -> Result<(), OpenError> {
        self.file.sync_all().map_err(|source| OpenError::Unsynced { path: self.path.clone(), source })
    }

    /// Takes the directory for this process alone, or fails at once. SQLite's own lock is the second line, against
    /// other programs.
    pub(super) fn lock(&self, ledger: &Path) -> Result<Lock, OpenError> {
        let failed = |source| OpenError::Io { path: self.path.clone(), action: "locked", source };
        let file = self.file.try_clone().map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Lock { _directory: file }),
            Err((_, Errno::EWOULDBLOCK)) => Err(OpenError::InUse { path: ledger.to_owned() }),
            Err((_, error)) => Err(failed(error.into())),
        }
    }
}

/// The state directory, locked for one process; the lock goes when this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _directory: Flock<File>,
}

/// Whether a process holds the ledger in this directory. Nothing in it is touched; what cannot be opened is not held as
/// far as anybody can tell.
pub(crate) fn is_held(directory: &Path) -> bool {
    let Ok(directory) = Directory::at(directory.to_owned()) else { return false };
    matches!(Flock::lock(directory.file, FlockArg::LockExclusiveNonblock), Err((_, Errno::EWOULDBLOCK)))
}

/// Whether there is a ledger in this directory, or what is left of one.
pub(crate) fn is_in(directory: &Path) -> bool {
    let Ok(directory) = Directory::at(directory.to_owned()) else { return false };
    [FILE_NAME, LOG].into_iter().any(|name| directory.has(name).unwrap_or(true))
}

/// A file or directory that belongs to somebody else.
pub(super) fn foreign(path: PathBuf, metadata: &Metadata) -> OpenError {
    OpenError::Foreign { path, owner: Uid::from_raw(metadata.uid()), user: geteuid() }
}

/// Creates the directory and what is missing above it. The entry of each is synced: what is durable within a directory
/// is lost all the same if the directory is.
fn make(directory: &Path) -> Result<(), OpenError> {
    let missing = directory.ancestors().take_while(|path| !path.exists()).collect::<Vec<_>>();
    for path in missing.into_iter().rev() {
        let failed = |source| OpenError::Io { path: path.to_owned(), action: "created", source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let above = path.parent().unwrap_or(Path::new("/"));
        let opened = Directory::at(above.to_owned());
        let synced = opened
            .map_err(|source| OpenError::Unsynced { path: above.to_owned(), source })
            .and_then(|above| above.sync());
        synced.inspect_err(|_| {
            // Else the next start would find it and take it for durable.
            let _ = fs::remove_dir(path);
        })?;
    }
    Ok(())
}

pub(super) const WRITABLE_BY_OTHERS: u32 = 0o022;
