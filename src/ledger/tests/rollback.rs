//! An older copy of the ledger, or one without its log, is refused; what was not rolled back always opens.

use std::fs;
use std::process::Command;

use super::*;
use crate::ledger::{Loss, OpenError};

#[test]
fn a_ledger_that_was_not_closed_is_refused_without_its_log() {
    for missing in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = open(directory.path());
        sign(&ledger, block(1, 10, 1));
        copy(directory.path(), "state", "killed");
        drop(ledger);
        replace(directory.path(), "state", "killed");
        let log = directory.path().join("state/ledger.sqlite-wal");
        if missing {
            fs::remove_file(log).unwrap()
        } else {
            fs::write(log, "").unwrap()
        }
        for _ in 0..2 {
            let refused = Ledger::open(settings(directory.path()));
            assert!(matches!(refused, Err(OpenError::LogMissing { .. })), "{refused:?}");
        }
    }
}

#[test]
fn a_ledger_opens_after_a_kill_at_any_time_and_after_it_was_closed_without_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings { wal_limit_bytes: 20_000, ..anchored(directory.path()) };
    for slot in 1..40 {
        let ledger = Ledger::open(settings()).unwrap();
        // None, some, and so many that the log is emptied on the way.
        (0..slot % 4 * 2).for_each(|more| sign(&ledger, block(1, slot * 10 + more, 1)));
        wait(ledger.ping()).unwrap();
        copy(directory.path(), "state", "killed");
        copy(directory.path(), "run", "run-killed");
        drop(ledger);
        if slot % 3 == 0 {
            fs::remove_file(directory.path().join("state/ledger.sqlite-wal")).unwrap();
            fs::remove_dir_all(directory.path().join("killed")).unwrap();
            fs::remove_dir_all(directory.path().join("run-killed")).unwrap();
        } else {
            // As a kill leaves them: before the close.
            replace(directory.path(), "state", "killed");
            replace(directory.path(), "run", "run-killed");
        }
    }
}

#[test]
fn an_older_copy_is_refused_while_the_anchor_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(anchored(directory.path())).unwrap();
    sign(&ledger, block(1, 10, 1));
    copy(directory.path(), "state", "older");
    (11..14).for_each(|slot| sign(&ledger, block(1, slot, 1)));
    drop(ledger);

    replace(directory.path(), "state", "older");
    let refused = Ledger::open(anchored(directory.path()));
    let Err(error @ OpenError::RolledBack { anchored: at, found, .. }) = refused else {
        panic!("{refused:?}")
    };
    // The three, and the end of the session.
    assert_eq!(at - found, 4, "{error}");
    assert!(error.to_string().contains("rolled back by 4 commits"), "{error}");
}

#[test]
fn a_log_that_lost_its_end_is_refused_while_the_anchor_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(anchored(directory.path())).unwrap();
    (1..9).for_each(|slot| sign(&ledger, block(1, slot, 1)));
    copy(directory.path(), "state", "killed");
    drop(ledger);
    replace(directory.path(), "state", "killed");
    let log = directory.path().join("state/ledger.sqlite-wal");
    let half = fs::metadata(&log).unwrap().len() / 2;
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(half).unwrap();
    let refused = Ledger::open(anchored(directory.path()));
    assert!(matches!(refused, Err(OpenError::RolledBack { .. })), "{refused:?}");
}

#[test]
fn a_copy_beside_the_open_ledger_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(anchored(directory.path())).unwrap();
    sign(&ledger, block(1, 10, 1));
    copy(directory.path(), "state", "clone");
    let clone = || Settings { directory: directory.path().join("clone"), ..anchored(directory.path()) };
    let refused = Ledger::open(clone());
    assert!(matches!(refused, Err(OpenError::Copied { .. })), "{refused:?}");
    // And is older than the anchor from the next commit on.
    sign(&ledger, block(1, 11, 1));
    drop(ledger);
    assert!(matches!(Ledger::open(clone()), Err(OpenError::RolledBack { .. })));
    drop(Ledger::open(anchored(directory.path())).unwrap());
}

#[test]
fn another_ledger_has_another_anchor() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let of_one = Ledger::open(anchored(one.path())).unwrap();
    (1..9).for_each(|slot| sign(&of_one, block(1, slot, 1)));
    let settings = Settings { anchors: anchored(one.path()).anchors, ..settings(other.path()) };
    drop(Ledger::open(settings).unwrap());
}

#[test]
fn an_accepted_loss_lifts_all_watermarks_in_one_step_and_is_accepted_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(anchored(directory.path())).unwrap();
    sign(&ledger, block(1, 10, 1));
    sign(&ledger, attestation(2, 3, 4, 1));
    copy(directory.path(), "state", "older");
    sign(&ledger, block(1, 20, 1));
    sign(&ledger, attestation(2, 8, 9, 1));
    drop(ledger);
    replace(directory.path(), "state", "older");

    let loss = Loss::Lift { slot: Slot(100), epoch: Epoch(12) };
    drop(Ledger::open(Settings { loss, ..anchored(directory.path()) }).unwrap());
    let ledger = Ledger::open(anchored(directory.path())).unwrap();
    refuse(&ledger, block(1, 20, 2));
    refuse(&ledger, attestation(2, 8, 9, 2));
    refuse(&ledger, attestation(2, 11, 13, 2));
    refuse(&ledger, attestation(1, 11, 13, 2));
    sign(&ledger, block(1, 101, 2));
    sign(&ledger, attestation(2, 12, 13, 2));
}

#[test]
fn an_accepted_loss_lifts_nothing_where_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    sign(&Ledger::open(anchored(directory.path())).unwrap(), block(1, 10, 1));
    let loss = Loss::Lift { slot: Slot(100), epoch: Epoch(12) };
    sign(&Ledger::open(Settings { loss, ..anchored(directory.path()) }).unwrap(), block(1, 11, 1));
}

fn anchored(directory: &Path) -> Settings {
    Settings { anchors: vec![directory.join("run")], ..settings(directory) }
}

/// By another process: closing a descriptor of the open file in this one would drop its lock.
pub(super) fn copy(directory: &Path, from: &str, to: &str) {
    let arguments = ["--recursive", "--preserve=mode", from, to];
    assert!(Command::new("cp").args(arguments).current_dir(directory).status().unwrap().success());
}

/// Puts a copy in a directory's place.
pub(super) fn replace(directory: &Path, name: &str, copy: &str) {
    let place = directory.join(name);
    fs::remove_dir_all(&place).unwrap();
    fs::rename(directory.join(copy), place).unwrap();
}
