//! Which files the ledger opens, and which it refuses.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::SystemTime;

use rusqlite::Connection;

use super::*;
use crate::ledger::watermarks::HighWatermark;
use crate::ledger::{Activation, OpenError, Selection};

#[test]
fn a_missing_ledger_is_only_created_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let strict = || Settings { missing: Missing::Refuse, ..settings(directory.path()) };
    assert!(matches!(Ledger::open(strict()), Err(OpenError::Missing { .. })));
    drop(open(directory.path()));
    drop(Ledger::open(strict()).unwrap());
}

#[test]
fn directory_and_files_belong_to_their_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let _ledger = open(directory.path());
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let state = directory.path().join("state");
    assert_eq!(mode(state.clone()), 0o700);
    let mut names = Vec::new();
    for file in fs::read_dir(&state).unwrap() {
        let file = file.unwrap();
        assert_eq!(mode(file.path()), 0o600, "{file:?}");
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["ledger.sqlite", "ledger.sqlite-wal"]);
}

#[test]
fn a_second_process_on_the_same_ledger_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let _first = open(directory.path());
    assert!(matches!(Ledger::open(settings(directory.path())), Err(OpenError::InUse { .. })));
}

#[test]
fn a_second_process_is_told_so_by_whatever_name_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let links = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let link = links.path().join("state");
    symlink(directory.path().join("state"), &link).unwrap();
    let roundabout = directory.path().join("state/../../").join(directory.path().file_name().unwrap());
    for (first, second) in [(directory.path(), links.path()), (links.path(), roundabout.as_path())] {
        let ledger = open(first);
        sign(&ledger, block(1, 10, 1));
        assert!(matches!(Ledger::open(settings(second)), Err(OpenError::InUse { .. })));
        drop(ledger);
        refuse(&open(second), block(1, 10, 2));
    }
}

#[test]
fn a_ledger_of_a_newer_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    edit(directory.path(), "PRAGMA user_version = 1000");
    let Err(OpenError::Newer { found: 1_000, .. }) = Ledger::open(settings(directory.path())) else {
        panic!("opened a newer ledger")
    };
}

#[test]
fn a_file_that_is_no_ledger_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    edit(directory.path(), "PRAGMA application_id = 7");
    assert!(matches!(Ledger::open(settings(directory.path())), Err(OpenError::NotALedger { .. })));
    fs::write(file(directory.path()), "").unwrap();
    assert!(matches!(Ledger::open(settings(directory.path())), Err(OpenError::NotALedger { .. })));
    fs::write(file(directory.path()), [b'x'; 8_192]).unwrap();
    assert!(matches!(Ledger::open(settings(directory.path())), Err(OpenError::NotALedger { .. })));
}

#[test]
fn a_changed_value_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    edit(directory.path(), "UPDATE keys SET block_slot = 9");
    match Ledger::open(settings(directory.path())) {
        Err(OpenError::Damaged { what, .. }) => assert!(what.contains("row 1"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_row_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    edit(directory.path(), "DELETE FROM keys WHERE id = 1");
    assert!(matches!(Ledger::open(settings(directory.path())), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_changed_value_in_the_head_is_damage() {
    for change in [
        "genesis_validators_root = zeroblob(32)",
        "genesis_validators_root = NULL",
        "stop_slot = stop_slot + 1",
        "stop_slot = NULL",
        "stop_epoch = 0",
        "stop_epoch = NULL",
        "stop_slot = stop_epoch, stop_epoch = stop_slot",
        "checksum = checksum + 1",
    ] {
        let directory = tempfile::tempdir().unwrap();
        stop(directory.path());
        edit(directory.path(), &format!("UPDATE head SET {change}"));
        match Ledger::open(settings(directory.path())) {
            Err(OpenError::Damaged { what, .. }) => {
                assert_eq!(what, "row 1 of its table head has a wrong checksum", "{change}");
            }
            other => panic!("{change}: {other:?}"),
        }
    }
}

#[test]
fn a_lost_head_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    edit(directory.path(), "DELETE FROM head");
    assert!(matches!(Ledger::open(settings(directory.path())), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_changed_identity_or_mark_is_damage() {
    for change in [
        "identity SET ledger_id = zeroblob(16)",
        "identity SET created = created + 1",
        "identity SET created = NULL",
        "identity SET checksum = checksum + 1",
        "keys SET raw_root_signed = 1",
        "keys SET exit_root = zeroblob(32)",
    ] {
        let directory = tempfile::tempdir().unwrap();
        edit(directory.path(), &format!("UPDATE {change}"));
        match Ledger::open(settings(directory.path())) {
            Err(OpenError::Damaged { what, .. }) => {
                assert!(what.contains("wrong checksum"), "{change}: {what}")
            }
            other => panic!("{change}: {other:?}"),
        }
    }
    let directory = tempfile::tempdir().unwrap();
    edit(directory.path(), "DELETE FROM identity");
    assert!(matches!(Ledger::open(settings(directory.path())), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_ledger_keeps_its_number_and_the_time_of_its_creation_and_no_two_are_the_same() {
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let opened = |directory: &Path| open(directory).opened().clone();
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let new = opened(first.path());
    assert!(new.is_new && new.created >= Some(before), "{new:?}");
    assert!(new.to_string().contains("created now"), "{new}");
    edit(first.path(), "SELECT 1");
    let again = opened(first.path());
    assert_eq!((again.id, again.created, again.is_new, again.keys), (new.id, new.created, false, 2));
    assert!(again.to_string().contains(&again.id.to_string()), "{again}");
    assert!(again.path.ends_with("state/ledger.sqlite"), "{again:?}");
    assert_ne!(opened(second.path()).id, new.id);
}

#[test]
fn each_flipped_bit_in_the_head_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    stop(directory.path());
    edit(directory.path(), "SELECT 1");
    let path = file(directory.path());
    let sound = fs::read(&path).unwrap();
    let HighWatermark { slot, epoch } = STOP;
    let values = [&CHAIN.0[..], &slot.unwrap().0.to_be_bytes(), &epoch.unwrap().0.to_be_bytes()].concat();
    let start =
        sound.windows(values.len()).position(|bytes| bytes == values).expect("the row is in the file");
    // Before the values the row's length and number and five types, one byte each; after them the checksum. The first
    // type says nothing: it is that of `only`, which is the row's number.
    let of_only = start - 5;
    for at in (start - 8..start + values.len() + 8).filter(|at| *at != of_only) {
        for bit in 0..8 {
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << bit;
            fs::write(&path, flipped).unwrap();
            let result = Ledger::open(settings(directory.path()));
            assert!(matches!(result, Err(OpenError::Damaged { .. })), "bit {bit} of byte {at}: {result:?}");
            let _ = fs::remove_file(path.with_extension("sqlite-wal"));
        }
    }
}

/// Flips bits all over the file: each is either noticed or changes nothing that counts.
#[test]
fn a_flipped_bit_never_lowers_a_watermark() {
    let directory = tempfile::tempdir().unwrap();
    edit(directory.path(), "SELECT 1");
    let path = file(directory.path());
    let sound = fs::read(&path).unwrap();
    let mut noticed = 0;
    for at in (0..sound.len()).step_by(7) {
        let mut flipped = sound.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, flipped).unwrap();
        match Ledger::open(settings(directory.path())) {
            Err(_) => noticed += 1,
            Ok(ledger) => {
                let refusal = refuse(&ledger, block(1, 10, 9));
                assert!(matches!(refusal, Refusal::OtherBlockAtSlot { .. }), "{refusal}");
            }
        }
        let _ = fs::remove_file(path.with_extension("sqlite-wal"));
    }
    assert!(noticed > 30, "only {noticed} flips noticed: the file must have changed its form");
}

/// The same for the log of a process that was killed, commit by commit. What cannot be told from a commit that a power
/// loss tore is the last one alone.
#[test]
fn a_flipped_bit_in_the_log_never_loses_a_commit_before_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let log = file(directory.path()).with_extension("sqlite-wal");
    let sound = {
        let ledger = open(directory.path());
        (1..=4).for_each(|slot| sign(&ledger, block(1, slot, 1)));
        // By another process: closing a descriptor of the open file in this one would drop its lock.
        let copied = std::process::Command::new("cp")
            .args(["--recursive", "--preserve=mode", "state", "killed"])
            .current_dir(directory.path())
            .status();
        assert!(copied.unwrap().success());
        drop(ledger);
        fs::remove_dir_all(directory.path().join("state")).unwrap();
        fs::rename(directory.path().join("killed"), directory.path().join("state")).unwrap();
        [file(directory.path()), log.clone()].map(|path| fs::read(path).unwrap())
    };
    let (mut noticed, mut opened) = (0, 0);
    for at in (0..sound[1].len()).step_by(61) {
        fs::write(file(directory.path()), &sound[0]).unwrap();
        let mut flipped = sound[1].clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&log, flipped).unwrap();
        match Ledger::open(settings(directory.path())) {
            Err(OpenError::Damaged { path, what }) => {
                assert_eq!(path.file_name(), log.file_name());
                assert!(what.contains("at byte"), "{what}");
                noticed += 1;
            }
            Err(other) => panic!("{other:?}"),
            Ok(ledger) => {
                refuse(&ledger, block(1, 3, 9));
                opened += 1;
            }
        }
    }
    assert!(noticed > opened && opened > 0, "{noticed} flips noticed, {opened} in the last commit");
}

#[test]
fn a_log_without_its_ledger_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    fs::remove_file(file(directory.path())).unwrap();
    assert!(matches!(Ledger::open(settings(directory.path())), Err(OpenError::Orphan { .. })));
}

#[test]
fn files_that_others_may_write_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let state = directory.path().join("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(Ledger::open(settings(directory.path())), Err(OpenError::Exposed { .. })));
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(file(directory.path()), fs::Permissions::from_mode(0o620)).unwrap();
    assert!(matches!(Ledger::open(settings(directory.path())), Err(OpenError::Exposed { .. })));
}

#[test]
fn a_configured_chain_is_in_force_at_once_and_pinned_with_the_first_record() {
    let directory = tempfile::tempdir().unwrap();
    let network =
        |root| Settings { genesis_validators_root: Some(Root([root; 32])), ..settings(directory.path()) };
    {
        let ledger = Ledger::open(network(0xAA)).unwrap();
        assert!(matches!(refuse(&ledger, block(1, 10, 1)), Refusal::OtherChain { .. }));
        wait(ledger.status(Selection::All)).unwrap();
        wait(ledger.ping()).unwrap();
    }
    // Who only looked, with another network than the daemon's, has not decided for it.
    let chain = Some(Root([0xBB; 32]));
    sign(&Ledger::open(network(0xBB)).unwrap(), Request { chain, ..block(1, 10, 1) });
    assert!(matches!(Ledger::open(network(0xAA)), Err(OpenError::OtherChain { .. })));
    drop(Ledger::open(network(0xBB)).unwrap());
}

#[test]
fn a_configured_chain_is_pinned_with_the_first_history_and_not_with_a_key_that_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let network =
        |root| Settings { genesis_validators_root: Some(Root([root; 32])), ..settings(directory.path()) };
    let activation = Activation::of(public_key(1), None);
    wait(Ledger::open(network(0xAA)).unwrap().activate(vec![activation], None)).unwrap().unwrap();
    wait(Ledger::open(network(0xBB)).unwrap().raise(Some(Slot(1)), None, Selection::All)).unwrap();
    assert!(matches!(Ledger::open(network(0xAA)), Err(OpenError::OtherChain { .. })));
    assert!(Ledger::open(network(0xBB)).is_ok());
}

/// Sets the high watermark.
fn stop(directory: &Path) {
    wait(open(directory).set_high_watermark(STOP)).unwrap();
}

/// A ledger with a block at slot 10 of key 1 and an attestation of key 2, closed, then edited by hand.
fn edit(directory: &Path, sql: &str) {
    {
        let ledger = open(directory);
        sign(&ledger, block(1, 10, 1));
        sign(&ledger, attestation(2, 3, 4, 2));
    }
    Connection::open(file(directory)).unwrap().execute_batch(sql).unwrap();
}

fn file(directory: &Path) -> PathBuf {
    directory.join("state/ledger.sqlite")
}

/// Numbers that fill their columns.
const STOP: HighWatermark =
    HighWatermark { slot: Some(Slot(0x1122_3344_5566_7788)), epoch: Some(Epoch(0x0123_4567_89ab_cdef)) };
