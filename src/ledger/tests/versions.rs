//! Files of older versions: they are brought up to date, and lose nothing on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rusqlite::Connection;

use super::*;
use crate::ledger::watermarks::HighWatermark;
use crate::ledger::{OpenError, Selection, is_older};

#[test]
fn an_older_ledger_is_brought_up_to_date_and_keeps_what_it_forbids() {
    let versions = [(1, "DROP TABLE sealed_keystores; PRAGMA user_version = 1"), (2, ""), (3, TO_VERSION_3)];
    for (version, sql) in versions {
        let directory = tempfile::tempdir().unwrap();
        lay_out_version_2(directory.path());
        Connection::open(file(directory.path())).unwrap().execute_batch(sql).unwrap();
        let mut ids = Vec::new();
        for _ in 0..2 {
            let ledger = open(directory.path());
            let opened = ledger.opened();
            assert_eq!((opened.created, opened.is_new, opened.keys), (None, false, 1), "version {version}");
            assert!(opened.to_string().contains("created by an older version"), "{opened}");
            ids.push(opened.id);
            assert!(wait(ledger.keystores(0, 10)).unwrap().keystores.is_empty(), "version {version}");
            let status = wait(ledger.status(Selection::All)).unwrap();
            let stop = HighWatermark { slot: Some(Slot(1_000)), epoch: Some(Epoch(40)) };
            assert_eq!(
                (status.genesis_validators_root, status.high_watermark),
                (Some(CHAIN), stop),
                "version {version}"
            );
            refuse(&ledger, block(1, 10, 3));
            refuse(&ledger, attestation(1, 3, 4, 3));
            refuse(&ledger, block(1, 1_000, 3));
        }
        assert_eq!(ids[0], ids[1], "version {version}");
    }
}

#[test]
fn an_older_ledger_can_be_told_without_opening_it() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    assert!(!is_older(&state));
    lay_out_version_2(directory.path());
    assert!(is_older(&state));
    drop(open(directory.path()));
    assert!(!is_older(&state));
    fs::write(file(directory.path()), "no ledger").unwrap();
    assert!(!is_older(&state));
}

#[test]
fn an_older_ledger_without_its_head_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    lay_out_version_2(directory.path());
    Connection::open(file(directory.path())).unwrap().execute_batch("DELETE FROM head").unwrap();
    Ledger::open(settings(directory.path())).unwrap_err();
}

#[test]
fn a_flipped_bit_in_an_older_head_is_not_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    lay_out_version_2(directory.path());
    let flipped = format!("{TO_VERSION_3}; UPDATE head SET stop_slot = 1001");
    Connection::open(file(directory.path())).unwrap().execute_batch(&flipped).unwrap();
    assert!(matches!(Ledger::open(settings(directory.path())), Err(OpenError::Damaged { .. })));
}

/// A ledger as a program of schema version 2 left it: dumped from one, with a block at slot 10 and an attestation for
/// epoch 4 of key 1, and a high watermark.
pub(in crate::ledger::tests) fn lay_out_version_2(directory: &Path) {
    let state = directory.join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    Connection::open(file(directory)).unwrap().execute_batch(VERSION_2).unwrap();
}

fn file(directory: &Path) -> std::path::PathBuf {
    directory.join("state/ledger.sqlite")
}

/// What version 3 added; the checksum is the beginning of SHA-256 over the head.
const TO_VERSION_3: &str = "
    ALTER TABLE head ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
    UPDATE head SET checksum = 387021096645109642;
    PRAGMA user_version = 3;
";

const VERSION_2: &str = "
    PRAGMA journal_mode = WAL;
    BEGIN;
    CREATE TABLE head (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        genesis_validators_root BLOB CHECK (length(genesis_validators_root) = 32),
        stop_slot INTEGER,
        stop_epoch INTEGER
    ) STRICT;
    INSERT INTO head VALUES (1, X'C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4C4', 1000, 40);
    CREATE TABLE keys (
        id INTEGER PRIMARY KEY,
        public_key BLOB NOT NULL UNIQUE CHECK (length(public_key) = 48),
        deleted INTEGER NOT NULL CHECK (deleted IN (0, 1)),
        block_slot INTEGER,
        block_root BLOB CHECK (length(block_root) = 32),
        source_epoch INTEGER,
        target_epoch INTEGER,
        attestation_root BLOB CHECK (length(attestation_root) = 32),
        checksum INTEGER NOT NULL,
        CHECK ((source_epoch IS NULL) = (target_epoch IS NULL)),
        CHECK (block_slot IS NOT NULL OR block_root IS NULL),
        CHECK (source_epoch IS NOT NULL OR attestation_root IS NULL)
    ) STRICT;
    INSERT INTO keys VALUES (
        1,
        X'010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101',
        0, 10, NULL, 3, 4, NULL, -7007378347210864924
    );
    CREATE TABLE sealed_keystores (
        key INTEGER PRIMARY KEY REFERENCES keys (id),
        keystore TEXT NOT NULL,
        derivation_path TEXT,
        copy_of BLOB CHECK (length(copy_of) = 32)
    ) STRICT;
    PRAGMA application_id = 1112298323;
    PRAGMA user_version = 2;
    COMMIT;
";
