//! Anchor of a ledger: the number of its commits, in a file of its own outside of the state directory.
//!
//! It is written after each commit and never synced, so it costs no time and is meant for a file system in memory. It
//! never says more than the ledger has on record, even after a power loss. A ledger that has fewer commits than its
//! anchor was replaced by an older copy, or lost the end of its log. Whoever has the ledger open holds a lock on the
//! anchor, which is named by the ledger's number: of two copies of one ledger only one can be open.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::geteuid;

/// An open anchor; its lock goes when it is dropped.
#[derive(Debug)]
pub(super) struct Anchor {
    file: Flock<File>,
    path: PathBuf,
    /// What it said when it was opened; 0 if it is new.
    commits: u64,
}

/// Why there is no anchor.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnchorError {
    /// Another process has a ledger of this number open.
    #[error("the anchor {} is in use by another process", path.display())]
    Held { path: PathBuf },
    #[error("the ledger's anchor {} cannot be used", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Anchor {
    /// Opens the anchor of a ledger in this directory (created with mode 0700 if it is missing), or makes it.
    pub(super) fn open(directory: &Path, ledger: impl std::fmt::Display) -> Result<Self, AnchorError> {
        let path = directory.join(format!("anchor-{ledger}"));
        let failed = |source| AnchorError::Io { path: path.clone(), source };
        let file = create(directory, &path).map_err(failed)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, Errno::EWOULDBLOCK)) => return Err(AnchorError::Held { path }),
            Err((_, error)) => return Err(failed(error.into())),
        };
        let mut text = String::new();
        Read::by_ref(&mut *file).take(MAX_LENGTH_BYTES).read_to_string(&mut text).map_err(failed)?;
        let commits = match text.trim_end() {
            // New, or of a process that was killed before it wrote.
            "" => 0,
            number => number.parse().map_err(|error| failed(io::Error::other(error)))?,
        };
        Ok(Self { file, path, commits })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it said when it was opened.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// Notes how many commits are on record now.
    pub(super) fn note(&self, commits: u64) -> io::Result<()> {
        // Always of one length, so that one number replaces another in one write.
        self.file.write_all_at(format!("{commits:020}\n").as_bytes(), 0)
    }
}

fn create(directory: &Path, path: &Path) -> io::Result<File> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) | Ok(()) => {}
    }
    let found = fs::symlink_metadata(directory)?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(io::Error::other("its directory must be this user's and writable for nobody else"));
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
}

const WRITABLE_BY_OTHERS: u32 = 0o022;
const MAX_LENGTH_BYTES: u64 = 64;
