//! What happens to the file while it is in use.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::ledger::{Health, StoreError};

#[test]
fn a_deleted_ledger_is_noticed_before_the_next_signature() {
    for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = open(directory.path());
        sign(&ledger, block(1, 10, 1));
        fs::remove_file(directory.path().join("state").join(name)).unwrap();
        breaks(&ledger, |cause| matches!(cause, StoreError::Replaced { .. }));
    }
}

#[test]
fn a_replaced_ledger_is_noticed_before_the_next_signature() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    sign(&ledger, block(1, 10, 1));
    let path = directory.path().join("state/ledger.sqlite");
    let copy = path.with_extension("copy");
    // Not `fs::copy(path, ...)`: closing a descriptor of the open file in this process would drop its lock.
    fs::write(&copy, [0; 8_192]).unwrap();
    fs::rename(&copy, &path).unwrap();
    breaks(&ledger, |cause| matches!(cause, StoreError::Replaced { .. }));
}

#[test]
fn a_truncated_ledger_is_noticed_before_the_next_signature() {
    for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = open(directory.path());
        sign(&ledger, block(1, 10, 1));
        let path = directory.path().join("state").join(name);
        std::process::Command::new("truncate").arg("--size=10").arg(path).status().unwrap();
        breaks(&ledger, |cause| matches!(cause, StoreError::Truncated { now: 10, .. }));
    }
}

/// The link that a restart would follow leads to another ledger now, whatever is written to the old one.
#[test]
fn a_state_directory_whose_link_is_pointed_elsewhere_is_noticed_before_the_next_signature() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    fs::create_dir(directory.path().join("elsewhere")).unwrap();
    drop(open(&directory.path().join("elsewhere")));
    fs::create_dir(directory.path().join("first")).unwrap();
    drop(open(&directory.path().join("first")));
    symlink(directory.path().join("first/state"), &state).unwrap();
    let ledger = open(directory.path());
    sign(&ledger, block(1, 10, 1));

    let link = directory.path().join("link");
    symlink(directory.path().join("elsewhere/state"), &link).unwrap();
    fs::rename(&link, &state).unwrap();
    breaks(&ledger, |cause| matches!(cause, StoreError::Replaced { .. }));
    drop(ledger);

    refuse(&open(&directory.path().join("first")), block(1, 10, 2));
}

/// Protected duties fail from now on, others go on, and health says why.
fn breaks(ledger: &Ledger, expected: impl Fn(&StoreError) -> bool) {
    for slot in [20, 21] {
        match fail(ledger, block(1, slot, 2)) {
            Fault::Broken(cause) => assert!(expected(&cause), "{cause:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(ledger.health(), Health::Broken(cause) if expected(&cause)));
    assert!(expected(&wait(ledger.broken())));
    sign(ledger, request(1, 1, Claim::Unslashable));
}
