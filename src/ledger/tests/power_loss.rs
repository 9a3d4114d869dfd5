//! The power fails at every single operation on the files, and the disk keeps what it was never asked to keep, or not.
//!
//! A twin of the disk follows the recorded operations: what was synced is kept, of the rest any part may be. From each
//! such disk a new process must start and keep every promise given so far.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::ffi;

use super::alone::versions::lay_out_version_2;
use super::fault_vfs::{Event, FaultVfs, Kind, Plan};
use super::promises::{Promises, clear, live};
use super::tpm_double::TpmDouble;
use super::*;
use crate::ledger::{CounterChange, Counting};

#[test]
fn no_power_loss_breaks_a_promise() {
    for log in LOGS {
        let directory = scratch();
        let vfs = FaultVfs::new(None);
        let before = prepare(directory.path());
        let ledger = open_on(anchored(log(directory.path()), vfs), vfs);
        live(&ledger, vfs, 1..30).unwrap();
        drop(ledger);
        let disks = power_loss_everywhere(before, &vfs.events(), Syncs::Work).unwrap();
        println!("{disks} disks, from each of which a new process kept all promises");
        assert!(disks > 1_000, "only {disks} disks were tried");
    }
}

#[test]
fn no_power_loss_breaks_a_promise_while_an_older_ledger_is_brought_up_to_date() {
    let directory = scratch();
    let vfs = FaultVfs::new(None);
    lay_out_version_2(directory.path());
    let before = files(directory.path());
    let ledger = open_on(anchored(emptied_log(directory.path()), vfs), vfs);
    live(&ledger, vfs, 5..7).unwrap();
    drop(ledger);
    let disks = power_loss_everywhere(before, &vfs.events(), Syncs::Work).unwrap();
    assert!(disks > 50, "only {disks} disks were tried");
}

/// The counter keeps what it was asked to keep, at once; the files do not. In a second session, too.
#[test]
fn no_power_loss_takes_a_ledger_for_an_older_one_than_the_counter_knows() {
    for log in LOGS {
        let directory = scratch();
        let vfs = FaultVfs::new(None);
        let tpm = TpmDouble::new();
        let making = Counting::Change(CounterChange::Make, tpm.clone());
        drop(Ledger::open(Settings { counting: making, ..settings(directory.path()) }).unwrap());
        let before = files(directory.path());
        tpm.tell(vfs);
        for epochs in [1..5, 5..8] {
            let counted = Settings { counting: tpm.on(), ..log(directory.path()) };
            let ledger = open_on(anchored(counted, vfs), vfs);
            live(&ledger, vfs, epochs).unwrap();
        }
        let disks = power_loss_everywhere(before, &vfs.events(), Syncs::Work).unwrap();
        let counted = vfs.events().iter().filter(|event| matches!(event, Event::Counter(_))).count();
        assert_eq!(counted, 5, "what it said at first, and two sessions that began and ended");
        assert!(disks > 200, "only {disks} disks were tried");
    }
}

/// Else the tests with it would show nothing.
#[test]
fn a_reused_log_is_written_over_from_its_beginning() {
    let directory = scratch();
    let vfs = FaultVfs::new(None);
    let ledger = open_on(reused_log(directory.path()), vfs);
    let of_log = |file: &String| file.ends_with("-wal");
    let is_beginning = |event: &Event| matches!(event, Event::Write { file, offset: 0, .. } if of_log(file));
    let is_emptied = |event: &Event| matches!(event, Event::Truncate { file, .. } if of_log(file));
    let count = |kind: &dyn Fn(&Event) -> bool| vfs.events().iter().filter(|event| kind(event)).count();
    // On a busy machine the ledger seldom sees a moment in which nobody asks.
    let enough = (1..200).any(|epoch| {
        live(&ledger, vfs, epoch..epoch + 1).unwrap();
        count(&is_beginning) > count(&is_emptied) + 3
    });
    assert!(enough, "{} beginnings, emptied {} times", count(&is_beginning), count(&is_emptied));
}

/// The twin itself is put to the test: on a disk that acknowledges and forgets, promises must be seen to break.
#[test]
fn the_twin_notices_a_disk_that_lies() {
    let directory = scratch();
    let vfs = FaultVfs::new(None);
    let before = prepare(directory.path());
    let ledger = open_on(emptied_log(directory.path()), vfs);
    live(&ledger, vfs, 1..4).unwrap();
    drop(ledger);
    let broken = power_loss_everywhere(before, &vfs.events(), Syncs::Lie).unwrap_err();
    assert!(broken.contains("forgot") || broken.contains("does not open: Damaged"), "{broken}");
}

/// After a failed fsync Linux shows the pages as clean that never reached the disk. A new process reads them as if they
/// were recorded; before it counts them so, they must really be.
#[test]
fn what_a_failed_fsync_left_in_memory_is_not_taken_for_durable() {
    let failures: usize = LOGS.into_iter().map(fail_each_fsync).sum();
    assert!(failures > 20, "only {failures} fsyncs were made to fail");
}

fn fail_each_fsync(log: fn(&Path) -> Settings) -> usize {
    let mut failures = 0;
    for number in 1.. {
        let directory = scratch();
        let vfs = FaultVfs::new(Some(Plan { kind: Kind::Sync, number, code: ffi::SQLITE_IOERR_FSYNC }));
        let before = prepare(directory.path());
        let first = Ledger::open_on(log(directory.path()), Some(vfs.name()));
        let interrupted = first.is_err() || live(&first.unwrap(), vfs, 1..5).is_err();
        if !vfs.has_failed() {
            break;
        }
        failures += 1;
        // The restart; the same duties are asked for again, and the rest of the story follows.
        let ledger = reopen_on(directory.path(), log, vfs);
        for epoch in if interrupted { 1..5 } else { 5..6 } {
            let vote = attestation(1, epoch - 1, epoch, u8::try_from(epoch).unwrap());
            if let verdict @ Verdict::Allowed(_) = wait(ledger.judge(&vote)).unwrap() {
                clear(vfs, vote, verdict).unwrap();
            }
        }
        live(&ledger, vfs, 8..10).unwrap();
        drop(ledger);
        power_loss_everywhere(before, &vfs.events(), Syncs::Work)
            .unwrap_or_else(|broken| panic!("after failing fsync {number}: {broken}"));
    }
    failures
}

/// Whether the disk keeps what it says it keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syncs {
    Work,
    Lie,
}

type Image = BTreeMap<String, Vec<u8>>;

/// Checks every disk that a power loss could leave; says how many, or which promise broke.
fn power_loss_everywhere(before: Image, events: &[Event], syncs: Syncs) -> Result<usize, String> {
    let mut disk = Disk { durable: before, pending: Vec::new(), syncs };
    let mut promises = Promises::default();
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let (mut disks, mut first_note, mut last_note, mut counter) = (0, None, None, None);
    let place = scratch();
    for (at, event) in events.iter().enumerate() {
        if let Event::Mark(mark) = event {
            promises.note(*mark);
        } else if let Event::Anchor { file, bytes } = event {
            first_note = first_note.or(Some((file, bytes)));
            last_note = Some((file, bytes));
        } else if let Event::Counter(said) = event {
            counter = *said;
        } else {
            disk.follow(event);
        }
        for image in disk.after_power_loss(&mut chance) {
            disks += 1;
            lay_out(place.path(), &image);
            // Never synced again after its first note, so any may be found.
            lay_out_anchor(place.path(), if disks % 2 == 0 { last_note } else { first_note });
            let counting = counter.map_or(Counting::Off, |said| TpmDouble::saying(Some(said)).on());
            promises.check(place.path(), counting).map_err(|broken| {
                let files = image.iter().map(|(name, bytes)| format!("{name}: {} bytes", bytes.len()));
                format!("{broken} (event {at}: {}; {:?})", brief(event), files.collect::<Vec<_>>())
            })?;
        }
    }
    Ok(disks)
}

/// What is on the disk for certain, and what only may be.
struct Disk {
    durable: Image,
    pending: Vec<Event>,
    syncs: Syncs,
}

impl Disk {
    fn follow(&mut self, event: &Event) {
        match event {
            Event::Create { .. } | Event::Write { .. } | Event::Truncate { .. } => {
                self.pending.push(event.clone());
            }
            Event::Sync { file } if self.syncs == Syncs::Work => {
                let (synced, rest) = self.pending.drain(..).partition(|event| concerns(event, file));
                self.pending = rest;
                synced.iter().for_each(|event: &Event| apply(&mut self.durable, event));
            }
            Event::Replace { file, bytes } => {
                self.pending.retain(|event| !concerns(event, file));
                self.durable.insert(file.clone(), bytes.clone());
            }
            Event::Delete { file, synced: true } => {
                self.pending.retain(|event| !concerns(event, file));
                self.durable.remove(file);
            }
            Event::Delete { synced: false, .. } => self.pending.push(event.clone()),
            // The kernel gives up on these pages: no later sync will bring them to the disk.
            Event::Fault { kind: Kind::Sync, file } => self.pending.retain(|event| !concerns(event, file)),
            Event::Sync { .. }
            | Event::Fault { .. }
            | Event::Mark(_)
            | Event::Anchor { .. }
            | Event::Counter(_) => {}
        }
    }

    /// Some of the disks that a power loss could leave now: nothing of the pending, all of it, and random parts, with
    /// torn writes and damaged sectors.
    fn after_power_loss(&self, chance: &mut Chance) -> Vec<Image> {
        let mut images = vec![self.durable.clone()];
        if self.pending.is_empty() {
            return images;
        }
        images.push(self.with(self.pending.iter().cloned()));
        for _ in 0..2 {
            let kept = self.pending.iter().filter(|_| chance.one_in(2)).cloned().collect::<Vec<_>>();
            images.push(self.with(kept.into_iter().map(|event| chance.tear(event))));
        }
        images.push(self.with_a_damaged_sector());
        images
    }

    fn with(&self, events: impl Iterator<Item = Event>) -> Image {
        let mut image = self.durable.clone();
        events.for_each(|event| apply(&mut image, &event));
        image
    }

    /// The last pending write was under way: every sector that it touches holds garbage.
    fn with_a_damaged_sector(&self) -> Image {
        let mut image = self.with(self.pending.iter().cloned());
        if let Some(Event::Write { file, offset, bytes }) = self.pending.last() {
            let start = offset / SECTOR * SECTOR;
            let end = (offset + bytes.len()).div_ceil(SECTOR) * SECTOR;
            let content = image.entry(file.clone()).or_default();
            content.resize(content.len().max(end), 0);
            content[start..end].fill(0xA5);
        }
        image
    }
}

/// Chance that comes out the same every time (xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn one_in(&mut self, number: u64) -> bool {
        self.next() % number == 0
    }

    /// Cuts some writes off within.
    fn tear(&mut self, event: Event) -> Event {
        match event {
            Event::Write { file, offset, mut bytes } if self.one_in(4) => {
                let kept = usize::try_from(self.next()).unwrap() % (bytes.len() + 1);
                bytes.truncate(kept);
                Event::Write { file, offset, bytes }
            }
            other => other,
        }
    }
}

fn concerns(event: &Event, name: &str) -> bool {
    match event {
        Event::Create { file }
        | Event::Write { file, .. }
        | Event::Truncate { file, .. }
        | Event::Sync { file }
        | Event::Delete { file, .. }
        | Event::Replace { file, .. }
        | Event::Fault { file, .. } => file == name,
        Event::Mark(_) | Event::Anchor { .. } | Event::Counter(_) => false,
    }
}

fn apply(image: &mut Image, event: &Event) {
    match event {
        Event::Create { file } => drop(image.entry(file.clone()).or_default()),
        Event::Write { file, offset, bytes } => {
            let content = image.entry(file.clone()).or_default();
            let end = offset + bytes.len();
            content.resize(content.len().max(end), 0);
            content[*offset..end].copy_from_slice(bytes);
        }
        Event::Truncate { file, length } => image.entry(file.clone()).or_default().truncate(*length),
        Event::Replace { file, bytes } => drop(image.insert(file.clone(), bytes.clone())),
        Event::Delete { file, .. } => drop(image.remove(file)),
        Event::Sync { .. }
        | Event::Fault { .. }
        | Event::Mark(_)
        | Event::Anchor { .. }
        | Event::Counter(_) => {}
    }
}

/// Makes an empty ledger and takes its files as what is on the disk before anything happens.
fn prepare(directory: &Path) -> Image {
    drop(open(directory));
    files(directory)
}

fn files(directory: &Path) -> Image {
    let files = fs::read_dir(directory.join("state")).unwrap().map(Result::unwrap);
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

fn lay_out(directory: &Path, image: &Image) {
    let state = directory.join("state");
    let _ = fs::remove_dir_all(&state);
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    for (name, bytes) in image {
        fs::write(state.join(name), bytes).unwrap();
        fs::set_permissions(state.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn lay_out_anchor(directory: &Path, note: Option<(&PathBuf, &Vec<u8>)>) {
    let anchors = directory.join("anchors");
    let _ = fs::remove_dir_all(&anchors);
    let Some((file, bytes)) = note else { return };
    fs::create_dir(&anchors).unwrap();
    fs::set_permissions(&anchors, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(anchors.join(file), bytes).unwrap();
}

/// With an anchor that the twin follows.
fn anchored(settings: Settings, vfs: &FaultVfs) -> Settings {
    let anchors = settings.directory.with_file_name("anchors");
    vfs.watch_anchor(&anchors);
    Settings { anchors: vec![anchors], ..settings }
}

pub(super) fn open_on(settings: Settings, vfs: &FaultVfs) -> Ledger {
    Ledger::open_on(settings, Some(vfs.name())).unwrap()
}

/// What becomes of the log on the way.
pub(super) const LOGS: [fn(&Path) -> Settings; 2] = [emptied_log, reused_log];

/// Settings for a log that is emptied several times on the way.
fn emptied_log(directory: &Path) -> Settings {
    Settings { wal_limit_bytes: 64 << 10, ..settings(directory) }
}

/// Settings for a log that is written over from its beginning several times on the way.
fn reused_log(directory: &Path) -> Settings {
    Settings { wal_limit_commits: 3, quiet: Duration::ZERO, ..settings(directory) }
}

/// As the next process does, noting on the vfs if the log is replaced.
fn reopen_on(directory: &Path, log: fn(&Path) -> Settings, vfs: &FaultVfs) -> Ledger {
    let file = directory.join("state/ledger.sqlite-wal");
    let look = || fs::read(&file).ok().zip(fs::metadata(&file).ok().map(|file| file.ino()));
    let (before, at) = (look(), vfs.events().len());
    let ledger = open_on(log(directory), vfs);
    // By its inode only: the descriptors of an open ledger are left alone.
    let inode = fs::metadata(&file).unwrap().ino();
    if let Some((bytes, _)) = before.filter(|(_, old)| *old != inode) {
        vfs.insert(at, Event::Replace { file: "ledger.sqlite-wal".to_owned(), bytes });
    }
    ledger
}

/// In memory where there is such a place: these tests lose power by themselves.
pub(super) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(super) fn brief(event: &Event) -> String {
    match event {
        Event::Write { file, offset, bytes } => format!("write {} bytes at {offset} of {file}", bytes.len()),
        Event::Replace { file, bytes } => format!("replace {file} by {} bytes", bytes.len()),
        other => format!("{other:?}"),
    }
}

/// The largest piece that a disk can damage in a write that it does not finish.
const SECTOR: usize = 4_096;
