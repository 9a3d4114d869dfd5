//! Where the ledger's files are: finding, creating and watching them.
//!
//! Once the ledger is open, none of its files is opened here again: closing any descriptor of the database would drop
//! SQLite's lock (POSIX).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::log::damage;
use super::{OpenError, StoreError};

/// The ledger's path, without links, in a directory, which is created (mode 0700) if it does not exist.
pub(super) fn find(directory: &Path) -> Result<PathBuf, OpenError> {
    let failed = |action| move |source| OpenError::Io { path: directory.to_owned(), action, source };
    // Absolute, so that what it stands in has a name.
    let directory = &std::path::absolute(directory).map_err(failed("found"))?;
    make(directory)?;
    let directory = fs::canonicalize(directory).map_err(failed("found"))?;
    let mode = fs::metadata(&directory).map_err(failed("examined"))?.mode() & 0o777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(OpenError::Exposed { path: directory, mode });
    }
    Ok(directory.join(FILE_NAME))
}

/// Creates the directory and what is missing above it. The entry of each is synced: what is durable within a directory
/// is lost all the same if the directory is.
fn make(directory: &Path) -> Result<(), OpenError> {
    let missing = directory.ancestors().take_while(|path| !path.exists()).collect::<Vec<_>>();
    for path in missing.into_iter().rev() {
        let failed = |source| OpenError::Io { path: path.to_owned(), action: "created", source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        sync_directory_of(path).inspect_err(|_| {
            // Else the next start would find it and take it for durable.
            let _ = fs::remove_dir(path);
        })?;
    }
    Ok(())
}

/// The state directory, locked for one process. SQLite's own lock is the second line, against other programs.
#[derive(Debug)]
pub(super) struct Lock {
    _directory: Flock<File>,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: path.to_owned(), action: "locked", source };
        let directory = File::open(directory_of(path)).map_err(failed)?;
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(directory) => Ok(Self { _directory: directory }),
            Err((_, Errno::EWOULDBLOCK)) => Err(OpenError::InUse { path: path.to_owned() }),
            Err((_, error)) => Err(failed(error.into())),
        }
    }
}

/// Replaces the log that a predecessor left by a copy that is synced, so that what is read from it is on the disk.
///
/// A log that was damaged where it had been on record is an error.
pub(super) fn renew_log(path: &Path) -> Result<(), OpenError> {
    let log = log_path(path);
    let failed = |action| {
        let path = log.clone();
        move |source| OpenError::Io { path, action, source }
    };
    let content = match fs::read(&log) {
        Ok(content) if content.is_empty() => return Ok(()),
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read")(error)),
    };
    let database = fs::read(path).map_err(failed("read beside its ledger"))?;
    if let Some(offset) = damage(&content, &database) {
        let what = format!("its log is unreadable at byte {offset}, and commits lie beyond");
        return Err(OpenError::Damaged { path: log, what });
    }
    let copy = path.with_extension("sqlite-wal.new");
    let written = private(&copy).and_then(|mut file| {
        file.write_all(&content)?;
        file.sync_all()
    });
    written.map_err(failed("copied"))?;
    own_as_directory(&copy).map_err(failed("handed to the directory's owner"))?;
    fs::rename(&copy, &log).map_err(failed("replaced"))?;
    sync_directory_of(path)
}

/// Writes as much as a start does at most: a copy of the log, and the log once more into the database.
pub(in crate::ledger) fn try_room(directory: &Path) -> io::Result<()> {
    let log = fs::metadata(log_path(&directory.join(FILE_NAME)));
    let length = log.map_or(0, |log| log.len().saturating_mul(2));
    let pieces = length.div_ceil(PIECE.len() as u64);
    let trial = directory.join(TRIAL);
    let mut file = private(&trial)?;
    let written = (0..=pieces).try_for_each(|_| file.write_all(&PIECE)).and_then(|()| file.sync_all());
    fs::remove_file(&trial).and(written)
}

/// Removes what a process left that was killed while it tried for room.
pub(super) fn remove_trial(path: &Path) {
    // There hardly ever is one, and it is only litter.
    let _ = fs::remove_file(path.with_file_name(TRIAL));
}

/// Whether there is a ledger. It must be a regular file that nobody else may write; others lose the right to read it.
pub(super) fn exists(path: &Path) -> Result<bool, OpenError> {
    let failed = |action| move |source| OpenError::Io { path: path.to_owned(), action, source };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let log = log_path(path);
            return if log.exists() { Err(OpenError::Orphan { path: log }) } else { Ok(false) };
        }
        Err(error) => return Err(failed("examined")(error)),
    };
    if !metadata.is_file() {
        return Err(OpenError::NotALedger { path: path.to_owned(), reason: "it is not a regular file" });
    }
    if metadata.len() == 0 {
        return Err(OpenError::NotALedger { path: path.to_owned(), reason: "it is empty" });
    }
    let mode = metadata.mode() & 0o777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(OpenError::Exposed { path: path.to_owned(), mode });
    }
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed("made private"))?;
    }
    Ok(true)
}

/// Creates the ledger: complete and synced under another name first, so that its name never stands for half a ledger,
/// and never in the place of another.
pub(super) fn create(path: &Path, fill: impl FnOnce(&Path) -> rusqlite::Result<()>) -> Result<(), OpenError> {
    let draft = path.with_extension(format!("new.{}", std::process::id()));
    let result = create_by_way_of(&draft, path, fill);
    // A draft that cannot be removed is only litter.
    let _ = fs::remove_file(log_path(&draft));
    let _ = fs::remove_file(&draft);
    result
}

fn create_by_way_of(
    draft: &Path,
    path: &Path,
    fill: impl FnOnce(&Path) -> rusqlite::Result<()>,
) -> Result<(), OpenError> {
    let failed = |action| move |source| OpenError::Io { path: path.to_owned(), action, source };
    private(draft).map_err(failed("created"))?;
    fill(draft).map_err(|source| OpenError::from_sqlite(path, source))?;
    File::open(draft).and_then(|file| file.sync_all()).map_err(failed("synced"))?;
    own_as_directory(draft).map_err(failed("handed to the directory's owner"))?;
    fs::hard_link(draft, path).map_err(failed("created"))?;
    sync_directory_of(path)
}

/// An empty file that only its owner can read and write.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Brings the names of the files beside this one to the disk. SQLite's own attempt does not look whether it succeeds.
pub(super) fn sync_directory_of(path: &Path) -> Result<(), OpenError> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| OpenError::Unsynced { path: directory.to_owned(), source })
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// A ledger that root creates belongs to whom the directory belongs to: the daemon's user.
fn own_as_directory(draft: &Path) -> io::Result<()> {
    let directory = fs::metadata(directory_of(draft))?;
    if fs::metadata(draft)?.uid() == directory.uid() {
        return Ok(());
    }
    std::os::unix::fs::chown(draft, Some(directory.uid()), Some(directory.gid()))
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
            Ok(Watched { path, seen })
        };
        Ok(Self { database: watch(path, name.clone())?, log: watch(&log_path(path), log_path(&name))? })
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
    pub(super) fn log_length(&self) -> u64 {
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

fn log_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push("-wal");
    PathBuf::from(name)
}

static PIECE: [u8; 64 << 10] = [0x55; 64 << 10];
pub(super) const FILE_NAME: &str = "ledger.sqlite";
const TRIAL: &str = "room";
const WRITABLE_BY_OTHERS: u32 = 0o022;
