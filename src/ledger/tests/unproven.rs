//! A ledger that nothing shows to be the newest: its start lifts all watermarks to the present, or ends.

use std::fs;
use std::time::SystemTime;

use super::power_loss::scratch;
use super::rollback::{copy, replace};
use super::*;
use crate::ledger::unproven::{Doubt, NoPresent};
use crate::ledger::{Loss, OpenError, Unproven, mark_unproven};
use crate::network::{GenesisClock, Network};

#[test]
fn a_copy_elsewhere_signs_nothing_up_to_the_present() {
    let directory = tempfile::tempdir().unwrap();
    let (slot, epoch) = present();
    let ledger = Ledger::open(on_mainnet(directory.path(), "run")).unwrap();
    sign(&ledger, block(1, slot - 20, 1));
    sign(&ledger, attestation(1, epoch - 3, epoch - 2, 1));
    drop(ledger);
    copy(directory.path(), "state", "older");
    let ledger = Ledger::open(on_mainnet(directory.path(), "run")).unwrap();
    sign(&ledger, block(1, slot - 10, 1));
    sign(&ledger, attestation(1, epoch - 3, epoch - 1, 1));
    // A key that the copy does not know.
    sign(&ledger, block(2, slot - 10, 1));
    drop(ledger);
    replace(directory.path(), "state", "older");

    let ledger = Ledger::open(on_mainnet(directory.path(), "elsewhere")).unwrap();
    let lifted = ledger.opened().lifted.clone().unwrap();
    assert_eq!(lifted.doubt, Doubt::NoAnchor);
    assert!(lifted.slot.0 >= slot && lifted.epoch.0 >= epoch, "{lifted:?}");
    for key in [1, 2] {
        refuse(&ledger, block(key, slot - 10, 2));
        refuse(&ledger, block(key, slot, 2));
        refuse(&ledger, attestation(key, epoch - 3, epoch - 1, 2));
        refuse(&ledger, attestation(key, epoch - 2, epoch, 2));
        // The source is not lifted.
        sign(&ledger, attestation(key, epoch - 2, epoch + 2, 2));
        sign(&ledger, block(key, slot + 100, 2));
    }
    drop(ledger);
    // Only once: from now on the anchor elsewhere knows it.
    assert_eq!(Ledger::open(on_mainnet(directory.path(), "elsewhere")).unwrap().opened().lifted, None);
}

#[test]
fn a_restart_and_a_power_loss_on_the_same_disk_lift_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (slot, _) = present();
    for round in 0..6 {
        let ledger = Ledger::open(on_mainnet(directory.path(), "cache")).unwrap();
        assert_eq!(ledger.opened().lifted, None, "round {round}");
        sign(&ledger, block(1, slot - 20 + round, 1));
        if round % 2 == 0 {
            copy(directory.path(), "state", "killed");
            copy(directory.path(), "cache", "cache-killed");
            drop(ledger);
            replace(directory.path(), "state", "killed");
            replace(directory.path(), "cache", "cache-killed");
        }
    }
}

#[test]
fn a_ledger_that_never_had_an_anchor_is_believed_once() {
    let directory = tempfile::tempdir().unwrap();
    let (slot, _) = present();
    let without = Settings { anchors: Vec::new(), ..on_mainnet(directory.path(), "") };
    for round in 0..3 {
        let ledger = Ledger::open(without.clone()).unwrap();
        assert_eq!(ledger.opened().lifted, None);
        sign(&ledger, block(1, slot - 10 + round, 1));
    }
    // As after an upgrade, and by a command that comes before the daemon.
    let command = Settings { unproven: Unproven::Leave, ..on_mainnet(directory.path(), "run") };
    assert_eq!(Ledger::open(command).unwrap().opened().doubt, None);
    assert_eq!(Ledger::open(on_mainnet(directory.path(), "run")).unwrap().opened().lifted, None);
    let gone = Ledger::open(without).unwrap();
    assert_eq!(gone.opened().lifted.as_ref().unwrap().doubt, Doubt::NoAnchor);
}

/// The build's own directory is on a disk; that of `scratch` is in memory where there is such a place.
#[test]
fn an_old_note_on_a_disk_shows_nothing_and_one_in_memory_all() {
    let on_disk = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    for (place, doubts) in [(on_disk, true), (scratch(), !Path::new("/dev/shm").is_dir())] {
        let (slot, _) = present();
        sign(&Ledger::open(on_mainnet(place.path(), "anchors")).unwrap(), block(1, slot - 10, 1));
        let anchor = fs::read_dir(place.path().join("anchors")).unwrap().next().unwrap().unwrap().path();
        let note = fs::read_to_string(&anchor).unwrap();
        let (commits, at) = note.trim_end().split_once(' ').unwrap();
        let hours_ago = |hours: u64| at.parse::<u64>().unwrap() - hours * 3_600;
        // A clock that is years off says nothing of the note's age.
        for (hours, doubted) in [(1, doubts), (30_000, false)] {
            fs::write(&anchor, format!("{commits} {:020}\n", hours_ago(hours))).unwrap();
            let look = Settings { unproven: Unproven::Leave, ..on_mainnet(place.path(), "anchors") };
            let doubt = Ledger::open(look).unwrap().opened().doubt.clone();
            assert_eq!(matches!(doubt, Some(Doubt::OldAnchor { .. })), doubted, "{doubt:?}");
        }
    }
}

#[test]
fn who_only_looks_lifts_nothing_and_proves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (slot, _) = present();
    sign(&Ledger::open(on_mainnet(directory.path(), "run")).unwrap(), block(1, slot - 10, 1));
    let look = Settings { unproven: Unproven::Leave, ..on_mainnet(directory.path(), "elsewhere") };
    for _ in 0..2 {
        let ledger = Ledger::open(look.clone()).unwrap();
        assert_eq!(ledger.opened().doubt, Some(Doubt::NoAnchor));
    }
    let ledger = Ledger::open(on_mainnet(directory.path(), "elsewhere")).unwrap();
    assert_eq!(ledger.opened().lifted.as_ref().unwrap().doubt, Doubt::NoAnchor);
}

#[test]
fn without_a_known_present_or_if_told_so_the_start_ends_until_an_operator_lifts() {
    let directory = tempfile::tempdir().unwrap();
    sign(&Ledger::open(on_mainnet(directory.path(), "run")).unwrap(), block(1, 10, 1));
    let refusing = Settings { unproven: Unproven::Refuse, ..on_mainnet(directory.path(), "elsewhere") };
    let refused = Ledger::open(refusing.clone());
    assert!(matches!(refused, Err(OpenError::Unproven { source: None, .. })), "{refused:?}");
    let unknown = Settings { clock: None, ..on_mainnet(directory.path(), "elsewhere") };
    let refused = Ledger::open(unknown.clone());
    let Err(error @ OpenError::Unproven { source: Some(NoPresent::UnknownGenesis), .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(error.to_string().contains("--accept-loss"), "{error}");

    let loss = Loss::Lift { slot: Slot(100), epoch: Epoch(3) };
    drop(Ledger::open(Settings { loss, unproven: Unproven::Leave, ..unknown }).unwrap());
    let ledger = Ledger::open(refusing).unwrap();
    refuse(&ledger, block(1, 100, 2));
    sign(&ledger, block(1, 101, 2));
}

#[test]
fn a_mark_makes_the_next_start_unproven_and_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (slot, _) = present();
    sign(&Ledger::open(on_mainnet(directory.path(), "run")).unwrap(), block(1, slot - 10, 1));
    mark_unproven(&directory.path().join("state"), "it was off").unwrap();
    mark_unproven(&directory.path().join("state"), "again").unwrap();
    let look = Settings { unproven: Unproven::Leave, ..on_mainnet(directory.path(), "run") };
    assert_eq!(Ledger::open(look).unwrap().opened().doubt, Some(Doubt::Marked("it was off".to_owned())));
    let ledger = Ledger::open(on_mainnet(directory.path(), "run")).unwrap();
    assert!(ledger.opened().lifted.is_some());
    refuse(&ledger, block(1, slot, 2));
    drop(ledger);
    assert_eq!(Ledger::open(on_mainnet(directory.path(), "run")).unwrap().opened().lifted, None);
}

/// With an anchor in that directory.
fn on_mainnet(directory: &Path, anchors: &str) -> Settings {
    Settings {
        anchors: vec![directory.join(anchors)],
        clock: GenesisClock::of(&Network::by_name("mainnet").unwrap()),
        ..settings(directory)
    }
}

fn present() -> (u64, u64) {
    let clock = GenesisClock::of(&Network::by_name("mainnet").unwrap()).unwrap();
    let (slot, epoch) = clock.present(SystemTime::now());
    (slot.0, epoch.0)
}
