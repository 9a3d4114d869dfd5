//! Every operation on the files fails once, each in its turn: the ledger breaks for good, says so, and a new process
//! finds every promise kept.

use rusqlite::ffi;

use super::fault_vfs::{Event, FaultVfs, Kind, Plan};
use super::power_loss::{LOGS, brief, scratch};
use super::promises::{Promises, live};
use super::*;
use crate::ledger::{Counting, Health};

#[test]
fn a_failed_write_is_final() {
    assert!(fail_each(Kind::Write, ffi::SQLITE_IOERR_WRITE) > 100);
}

#[test]
fn a_full_disk_is_final() {
    assert!(fail_each(Kind::Write, ffi::SQLITE_FULL) > 100);
}

#[test]
fn a_failed_fsync_is_final_and_never_tried_again() {
    assert!(fail_each(Kind::Sync, ffi::SQLITE_IOERR_FSYNC) > 25);
}

#[test]
fn a_failed_truncation_is_final() {
    assert!(fail_each(Kind::Truncate, ffi::SQLITE_IOERR_TRUNCATE) > 1);
}

#[test]
fn a_failed_read_breaks_no_promise() {
    assert!(fail_each(Kind::Read, ffi::SQLITE_IOERR_READ) > 10);
}

#[test]
fn a_file_that_cannot_be_opened_breaks_no_promise() {
    assert!(fail_each(Kind::Open, ffi::SQLITE_CANTOPEN) > 2);
}

#[test]
fn memory_that_runs_out_breaks_no_promise() {
    assert!(fail_each(Kind::Write, ffi::SQLITE_IOERR_NOMEM) > 100);
}

/// Fails the first operation of its kind, then the second, and so on until a run comes through; says how many failed.
fn fail_each(kind: Kind, code: i32) -> usize {
    LOGS.into_iter().map(|log| fail_each_with(log, kind, code)).sum()
}

fn fail_each_with(log: fn(&Path) -> Settings, kind: Kind, code: i32) -> usize {
    for number in 1.. {
        let vfs = FaultVfs::new(Some(Plan { kind, number, code }));
        let place = format!("{kind:?} {number}");
        let directory = scratch();
        run(judged(log(directory.path())), vfs, &place);
        if !vfs.has_failed() {
            println!("{} times {kind:?} failed with {code}, each in its turn", number - 1);
            return number - 1;
        }
        let mut promises = Promises::default();
        let mut failed = false;
        for event in vfs.events() {
            match &event {
                Event::Mark(mark) => promises.note(*mark),
                Event::Fault { .. } => failed = true,
                // A draft of a new ledger may still be rolled back before it is thrown away.
                Event::Write { file, .. } | Event::Truncate { file, .. } | Event::Sync { file } => {
                    let draft = file.starts_with("ledger.new.");
                    assert!(!failed || draft, "{} after the fault at {place}", brief(&event));
                }
                Event::Create { .. }
                | Event::Delete { .. }
                | Event::Replace { .. }
                | Event::Anchor { .. }
                | Event::Counter(_) => {}
            }
        }
        if directory.path().join("state/ledger.sqlite").exists() {
            promises
                .check(directory.path(), Counting::Off)
                .unwrap_or_else(|broken| panic!("after {place}: {broken}"));
        } else {
            // Its creation failed: nothing stands in the way of another try.
            drop(open(directory.path()));
        }
    }
    0
}

/// One process's life, up to the fault.
fn run(settings: Settings, vfs: &FaultVfs, place: &str) {
    let ledger = match Ledger::open_on(settings, Some(vfs.name())) {
        Ok(ledger) => ledger,
        Err(error) => {
            assert!(vfs.has_failed(), "{place}: {error:?}");
            return;
        }
    };
    let Err(fault) = live(&ledger, vfs, 1..10) else { return };
    assert!(matches!(fault, Fault::Broken(_)), "{place}: {fault:?}");
    for request in [block(1, 5_000, 1), attestation(2, 5_000, 5_001, 1)] {
        assert!(matches!(fail(&ledger, request), Fault::Broken(_)), "{place}");
    }
    assert!(matches!(ledger.health(), Health::Broken(_)), "{place}");
    sign(&ledger, request(1, 1, Claim::Unslashable));
}
