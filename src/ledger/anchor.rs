//! Anchors of a ledger: the number of its commits, in files of their own outside of the state directory.
//!
//! They are written after each commit and not synced before the ledger is closed, so they cost no time. None ever says
//! more than the ledger has on record, even after a power loss. A ledger that has fewer commits than an anchor was
//! replaced by an older copy, or lost the end of its log; one that has as many or more is the newest, as far as the
//! anchor can tell: one in memory for certain, one on a disk if it is fresh, as a whole disk can be put back, too.
//! Whoever has the ledger open holds a lock on its anchors, which are named by the ledger's number: of two copies of
//! one ledger only one can be open.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::geteuid;

use super::sqlite::LedgerId;

/// The anchors of one ledger, locked until they are dropped.
#[derive(Debug, Default)]
pub(super) struct Anchors {
    open: Vec<Anchor>,
    noted_at: Option<SystemTime>,
    is_left: bool,
}

/// What the anchors say of a ledger that has so many commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Testimony {
    /// It is the newest.
    Newest,
    /// It has had more commits, by this anchor.
    Fewer { anchor: PathBuf, commits: u64 },
    /// The last note is so old that all of the disk may have been put back since.
    Old { age: Duration },
    /// Nothing: there is no anchor of it.
    Silent,
}

/// Another process has the ledger, or a copy of it, open.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) anchor: PathBuf,
}

impl Anchors {
    /// Opens the ledger's anchors in these directories, each created with mode 0700 if it is missing, or makes them. A
    /// place that cannot be used is said and left out.
    pub(super) fn open(directories: &[PathBuf], ledger: LedgerId) -> Result<Self, Held> {
        let mut anchors = Vec::new();
        for directory in directories {
            match Anchor::open(directory, ledger) {
                Ok(anchor) => anchors.push(anchor),
                Err(AnchorError::Held { path }) => return Err(Held { anchor: path }),
                Err(error @ AnchorError::Io { .. }) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an older copy of the ledger is noticed by other anchors only, if there are any"
                ),
            }
        }
        Ok(Self { open: anchors, ..Self::default() })
    }

    /// Whether there is any that can be written.
    pub(super) fn can_note(&self) -> bool {
        !self.is_left && !self.open.is_empty()
    }

    /// Whether there was one that goes when the host does: it has run since.
    pub(super) fn was_in_memory(&self) -> bool {
        self.noted().any(|(anchor, _)| anchor.in_memory)
    }

    /// The highest number of commits that was noted.
    pub(super) fn highest(&self) -> u64 {
        self.noted().map(|(_, note)| note.commits).max().unwrap_or_default()
    }

    /// What they said when they were opened of a ledger with so many commits.
    pub(super) fn testify(&self, commits: u64, now: SystemTime) -> Testimony {
        if let Some((anchor, note)) = self.noted().max_by_key(|(_, note)| note.commits) {
            if note.commits > commits {
                return Testimony::Fewer { anchor: anchor.path.clone(), commits: note.commits };
            }
        }
        let ages =
            self.noted().map(|(anchor, note)| if anchor.in_memory { Duration::ZERO } else { note.age(now) });
        match ages.min() {
            None => Testimony::Silent,
            Some(age) if age > FRESH => Testimony::Old { age },
            Some(_) => Testimony::Newest,
        }
    }

    /// Notes how many commits are on record now. A place that takes no note is said and given up: that protects less,
    /// and is no reason to sign nothing.
    pub(super) fn note(&mut self, commits: u64, now: SystemTime) {
        self.noted_at = Some(now);
        self.keep_those_that(|anchor| anchor.note(Note::new(commits, now)));
    }

    /// The same for the first time: a new anchor is brought to the disk, so that a power loss does not take it.
    pub(super) fn establish(&mut self, commits: u64, now: SystemTime) {
        self.note(commits, now);
        self.keep_those_that(|anchor| if anchor.found.is_none() { anchor.sync() } else { Ok(()) });
    }

    /// Notes the same number again, now and then: how old a note is tells how long the host was off.
    pub(super) fn refresh(&mut self, commits: u64, now: SystemTime) {
        let is_due =
            |noted: SystemTime| now.duration_since(noted).map_or(true, |since| since >= REFRESH_INTERVAL);
        if self.noted_at.is_none_or(is_due) {
            self.note(commits, now);
        }
    }

    /// Brings the notes to the disk, where there is one.
    pub(super) fn sync(&mut self) {
        self.keep_those_that(Anchor::sync);
    }

    /// Leaves them as they are from now on: they go on saying what they say now.
    pub(super) fn leave(&mut self) {
        self.is_left = true;
    }

    fn keep_those_that(&mut self, work: impl Fn(&Anchor) -> io::Result<()>) {
        if self.is_left {
            return;
        }
        self.open.retain(|anchor| {
            let Err(error) = work(anchor) else { return true };
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the ledger's anchor {} cannot be written: until a restart it notices no older copy of the ledger",
                anchor.path.display()
            );
            false
        });
    }

    fn noted(&self) -> impl Iterator<Item = (&Anchor, Note)> {
        self.open.iter().filter_map(|anchor| Some((anchor, anchor.found?)))
    }
}

/// An open anchor.
#[derive(Debug)]
struct Anchor {
    file: Flock<File>,
    path: PathBuf,
    /// Whether it goes when the host does, and so was written since that started.
    in_memory: bool,
    /// What it said when it was opened; nothing if it is new.
    found: Option<Note>,
}

#[derive(Debug, thiserror::Error)]
enum AnchorError {
    #[error("the anchor {} is in use by another process", path.display())]
    Held { path: PathBuf },
    #[error("the ledger's anchor {} cannot be used", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Anchor {
    fn open(directory: &Path, ledger: LedgerId) -> Result<Self, AnchorError> {
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
        let found = match text.as_str() {
            // New, or of a process that was killed before it wrote.
            "" => None,
            note => Some(Note::parse(note).ok_or_else(|| failed(io::Error::other("it holds no note")))?),
        };
        let in_memory =
            fstatfs(&*file).map_err(|error| failed(error.into()))?.filesystem_type() == TMPFS_MAGIC;
        Ok(Self { file, path, in_memory, found })
    }

    fn note(&self, note: Note) -> io::Result<()> {
        self.file.write_all_at(note.text().as_bytes(), 0)
    }

    fn sync(&self) -> io::Result<()> {
        if self.in_memory {
            return Ok(());
        }
        self.file.sync_all()?;
        match (self.found, self.path.parent()) {
            (None, Some(directory)) => File::open(directory)?.sync_all(),
            (None | Some(_), _) => Ok(()),
        }
    }
}

/// What an anchor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    commits: u64,
    /// Seconds since 1970 by the host's clock.
    at: u64,
}

impl Note {
    fn new(commits: u64, now: SystemTime) -> Self {
        Self { commits, at: now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() }
    }

    fn parse(text: &str) -> Option<Self> {
        let (commits, at) = text.trim_end().split_once(' ')?;
        Some(Self { commits: commits.parse().ok()?, at: at.parse().ok()? })
    }

    /// Always of one length, so that one note replaces another in one write.
    fn text(self) -> String {
        format!("{:020} {:020}\n", self.commits, self.at)
    }

    /// None where the clock cannot be right: before the note, or years after it.
    fn age(self, now: SystemTime) -> Duration {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let age = Duration::from_secs(now.saturating_sub(self.at));
        if age > IMPLAUSIBLE { Duration::ZERO } else { age }
    }
}

fn create(directory: &Path, path: &Path) -> io::Result<File> {
    match DirBuilder::new().mode(0o700).recursive(true).create(directory) {
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

/// A reboot, or a power cut, is over by then. Later a whole disk, anchor and all, may have been put back.
const FRESH: Duration = Duration::from_secs(900);
/// Under a watchdog notes are no older than this while the host runs, whether or not there is something to sign.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);
/// No host is off so long: its clock is wrong, and says nothing of the note's age.
const IMPLAUSIBLE: Duration = Duration::from_secs(2 * 365 * 86_400);
const WRITABLE_BY_OTHERS: u32 = 0o022;
const MAX_LENGTH_BYTES: u64 = 64;
