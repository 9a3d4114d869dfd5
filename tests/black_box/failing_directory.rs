//! A directory that cannot be synced: a start that would rely on it ends.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::{Daemon, Setup, build_preload, init};

/// A log whose name a power loss can take away holds no record. SQLite does not look whether the sync succeeds.
#[test]
fn a_start_that_cannot_get_the_name_of_its_log_to_the_disk_ends() {
    let (setup, fails) = with_failing_directory();
    let state = setup.directory().join("state");
    init(&state);
    fs::remove_file(state.join("ledger.sqlite-wal")).unwrap();

    symlink(&state, &fails).unwrap();
    let daemon = ends_unsynced(setup, &state);
    fs::remove_file(&fails).unwrap();
    daemon.kill().start();
}

#[test]
fn a_first_start_that_cannot_get_its_state_directory_to_the_disk_ends_and_leaves_none() {
    let (setup, fails) = with_failing_directory();
    let above = setup.directory().to_owned();
    symlink(&above, &fails).unwrap();
    let daemon = ends_unsynced(setup, &above);
    assert!(!above.join("state").exists(), "the next start would take it for one that lasts");
    fs::remove_file(&fails).unwrap();
    daemon.kill().start();
}

/// Starts it, and expects it to end because of this directory.
fn ends_unsynced(setup: Setup, directory: &Path) -> Daemon {
    let mut daemon = setup.spawn();
    assert_eq!(daemon.wait().code(), Some(1));
    let log = daemon.log();
    let named = format!("the directory {} could not be synced", directory.display());
    assert!(log.contains(&named) && log.contains("Input/output error"), "{log}");
    daemon
}

/// What is started, and where a symbolic link names the directory whose syncs fail.
fn with_failing_directory() -> (Setup, PathBuf) {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let library = build_preload(setup.directory(), "failing_directory");
    let fails = setup.directory().join("fails");
    (setup.env("LD_PRELOAD", &library).env("FAILING_DIRECTORY", fails.to_str().unwrap()), fails)
}
