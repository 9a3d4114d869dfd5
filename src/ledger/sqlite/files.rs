//! Files of the ledger: finding, creating and watching them.
//!
//! Once the ledger is open, none of its files is opened here again: closing any descriptor of the database would drop
//! SQLite's lock (POSIX).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::directory::{Directory, WRITABLE_BY_OTHERS, foreign};
use super::wal::damage;
use super::{OpenError, StoreError};

/// Replaces the log that a predecessor left by a copy that is synced, so that what is read from it is on the disk.
///
/// Says whether there is one with something in it. A log that was damaged where it had been on record is an error.
pub(super) fn rewrite_wal(directory: &Directory) -> Result<bool, OpenError> {
    let failed = |action| {
        let path = directory.path_of(LOG);
        move |source| OpenError::Io { path, action, source }
    };
    let content = match content(directory, LOG).map_err(failed("read"))? {
        Some(content) if !content.is_empty() => content,
        Some(_) | None => return Ok(false),
    };
    let database = content_of_ledger(directory).map_err(failed("read beside its ledger"))?;
    if let Some(offset) = damage(&content, &database) {
        let what = format!("its log is unreadable at byte {offset}, and commits lie beyond");
        return Err(OpenError::Damaged { path: directory.path_of(LOG), what });
    }
    let written = directory.create(COPY).and_then(|mut file| {
        file.write_all(&content)?;
        file.sync_all()
    });
    written.map_err(failed("copied"))?;
    directory.rename(COPY, LOG).map_err(failed("replaced"))?;
    directory.sync()?;
    Ok(true)
}

fn content_of_ledger(directory: &Directory) -> io::Result<Vec<u8>> {
    content(directory, FILE_NAME)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// What is in a regular file, if there is one of this name.
fn content(directory: &Directory, name: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(mut file) = directory.read(name)? else { return Ok(None) };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(Some(content))
}

/// Writes as much as a start does at most: a copy of the log, and the log once more into the database.
pub(in crate::ledger) fn check_free_space(directory: &Path) -> io::Result<()> {
    let directory = Directory::at(directory.to_owned())?;
    let log = fs::symlink_metadata(directory.path_of(LOG));
    let length = log.map_or(0, |log| log.len().saturating_mul(2));
    let pieces = length.div_ceil(PIECE.len() as u64);
    let mut file = directory.create(TRIAL)?;
    let written = (0..=pieces).try_for_each(|_| file.write_all(&PIECE)).and_then(|()| file.sync_all());
    directory.remove(TRIAL).and(written)
}

/// Removes what a process left that was killed while it tried for room.
pub(super) fn remove_trial(directory: &Directory) {
    // There hardly ever is one, and it is only litter.
    let _ = directory.remove(TRIAL);
}

/// Whether there is a ledger. It must be a regular file of this user's that nobody else may write; others lose the
/// right to read it.
pub(super) fn exists(directory: &Directory) -> Result<bool, OpenError> {
    let path = directory.path_of(FILE_NAME);
    let failed = |action| {
        let path = path.clone();
        move |source| OpenError::Io { path, action, source }
    };
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if directory.has(LOG).map_err(failed("examined"))? {
                Err(OpenError::Orphan { path: directory.path_of(LOG) })
            } else {
                Ok(false)
            };
        }
        Err(error) => return Err(failed("examined")(error)),
    };
    if !metadata.is_file() {
        return Err(OpenError::NotALedger { path, reason: "it is not a regular file" });
    }
    if metadata.uid() != geteuid().as_raw() {
        return Err(foreign(path, &metadata));
    }
    if metadata.len() == 0 {
        return Err(OpenError::NotALedger { path, reason: "it is empty" });
    }
    let mode = metadata.mode() & 0o777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(OpenError::Exposed { path, mode });
    }
    if mode & 0o077 != 0 {
        make_private(directory).map_err(failed("made private"))?;
    }
    Ok(true)
}

fn make_private(directory: &Directory) -> io::Result<()> {
    let file = directory.read(FILE_NAME)?.ok_or(io::ErrorKind::NotFound)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

/// Creates the ledger: complete and synced under another name first, so that its name never stands for half a ledger,
/// and never in the place of another.
pub(super) fn create(
    directory: &Directory,
    fill: impl FnOnce(&Path) -> rusqlite::Result<()>,
) -> Result<(), OpenError> {
    let draft = format!("ledger.new.{}", std::process::id());
    let result = create_by_way_of(&draft, directory, fill);
    // A draft that cannot be removed is only litter.
    let _ = directory.remove(&format!("{draft}-wal"));
    let _ = directory.remove(&draft);
    result
}

fn create_by_way_of(
    draft: &str,
    directory: &Directory,
    fill: impl FnOnce(&Path) -> rusqlite::Result<()>,
) -> Result<(), OpenError> {
    let path = directory.path_of(FILE_NAME);
    let failed = |action| {
        let path = path.clone();
        move |source| OpenError::Io { path, action, source }
    };
    directory.create(draft).map_err(failed("created"))?;
    fill(&directory.path_of(draft)).map_err(|source| OpenError::from_sqlite(&path, source))?;
    let filled = directory.read(draft).and_then(|file| file.ok_or(Errno::ENOENT.into()));
    filled.and_then(|file| file.sync_all()).map_err(failed("synced"))?;
    directory.link(draft, FILE_NAME).map_err(failed("created"))?;
    directory.sync()
}

/// The path as a SQLite URI, with the parameter that only a URI can carry.
pub(super) fn uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                uri.push(char::from(*byte))
            }
            // Writing to a String cannot fail.
            other => drop(write!(uri, "%{other:02X}")),
        }
    }
    uri.push_str("?psow=0");
    uri
}

/// The open ledger's files, watched so that a record never counts that a restart would not find.
#[derive(Debug)]
pub(super) struct Files {
    database: Watched,
    log: Watched,
}

impl Files {
    /// Notes what was opened at `path`, and watches it under the name that the directory was given by: a restart will
    /// follow that name, also through a link that is pointed elsewhere meanwhile.
    pub(super) fn watch(path: &Path, directory: &Path) -> Result<Self, OpenError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, action: "examined", source }
        };
        let name = std::path::absolute(directory).map_err(failed(directory))?.join(FILE_NAME);
        let watch = |opened: &Path, path: PathBuf| {
            let seen = look_at(opened).map_err(failed(opened))?;
            Ok::<_, OpenError>(Watched { path, seen })
        };
        Ok(Self { database: watch(path, name.clone())?, log: watch(&wal_path(path), wal_path(&name))? })
    }

    /// Fails if a file was removed, replaced or truncated since the last note.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.database.check()?;
        self.log.check()
    }

    /// Notes the sizes after a write of our own. Fails if a file was removed or replaced.
    pub(super) fn note(&mut self) -> Result<(), StoreError> {
        self.database.note()?;
        self.log.note()
    }

    /// The log's size when last noted, in bytes.
    pub(super) fn wal_length(&self) -> u64 {
        self.log.seen.length
    }
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    seen: Seen,
}

impl Watched {
    fn check(&self) -> Result<(), StoreError> {
        let now = self.look()?;
        if now.length < self.seen.length {
            let (before, now) = (self.seen.length, now.length);
            return Err(StoreError::Truncated { path: self.path.clone(), before, now });
        }
        Ok(())
    }

    fn note(&mut self) -> Result<(), StoreError> {
        self.seen = self.look()?;
        Ok(())
    }

    fn look(&self) -> Result<Seen, StoreError> {
        let replaced = || StoreError::Replaced { path: self.path.clone() };
        match look_at(&self.path) {
            Ok(now) if (now.device, now.inode) == (self.seen.device, self.seen.inode) => Ok(now),
            Ok(_) => Err(replaced()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(replaced()),
            Err(source) => Err(StoreError::Stat { path: self.path.clone(), source }),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    device: u64,
    inode: u64,
    length: u64,
}

fn look_at(path: &Path) -> io::Result<Seen> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(Seen { device: metadata.dev(), inode: metadata.ino(), length: metadata.len() })
}

fn wal_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push("-wal");
    PathBuf::from(name)
}

static PIECE: [u8; 64 << 10] = [0x55; 64 << 10];
pub(super) const FILE_NAME: &str = "ledger.sqlite";
pub(super) const LOG: &str = "ledger.sqlite-wal";
/// The log's copy until it takes its place.
const COPY: &str = "ledger.sqlite-wal.new";
const TRIAL: &str = "room";
