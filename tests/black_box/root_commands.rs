//! Root's commands on a state directory that belongs to another user, who may mean harm: they do as that user could do and
//! no more.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::support::{Setup, json_of, run, said};

#[test]
fn a_link_where_a_file_of_the_ledger_belongs_does_not_lead_root_to_its_own_files() {
    if !is_root() {
        return;
    }
    for command in COMMANDS {
        for (link, name) in
            [("ledger.sqlite-wal.new", "victim"), ("room", "victim"), ("deleted-keys", "victim")]
        {
            let place = Place::of_nobody();
            let victim = place.file_of_root(name, "precious");
            place.put("ledger.sqlite-wal", &[b'A'; 64]);
            symlink(&victim, place.state().join(link)).unwrap();
            run(place.directory.path(), &place.named(command));
            place.assert_untouched(&victim, &format!("{command:?} with {link}"));
        }
    }
}

#[test]
fn a_file_of_root_s_under_the_name_of_the_ledger_or_its_log_is_not_given_away() {
    if !is_root() {
        return;
    }
    for command in COMMANDS {
        for link in ["ledger.sqlite", "ledger.sqlite-wal"] {
            let place = Place::of_nobody();
            let victim = place.file_of_root("victim", "precious");
            let _ = fs::remove_file(place.state().join(link));
            symlink(&victim, place.state().join(link)).unwrap();
            run(place.directory.path(), &place.named(command));
            place.assert_untouched(&victim, &format!("{command:?} with {link}"));
            for entry in fs::read_dir(place.state()).unwrap().map(Result::unwrap) {
                let content =
                    if entry.path().is_symlink() { Vec::new() } else { fs::read(entry.path()).unwrap() };
                assert!(!content.windows(8).any(|bytes| bytes == b"precious"), "{command:?}: {entry:?}");
            }
        }
    }
}

#[test]
fn what_root_s_commands_make_belongs_to_the_directory_s_owner_and_what_root_named_is_root_s() {
    if !is_root() {
        return;
    }
    let place = Place::of_nobody();
    fs::remove_dir_all(place.state()).unwrap();
    let home = place.file_of_root("history.json", "");
    fs::remove_file(&home).unwrap();
    let done = |command: &[&str]| {
        let output = run(place.directory.path(), &place.named(command));
        assert!(output.status.success(), "{command:?}: {output:?}");
        output
    };
    done(&["slashing-protection", "init"]);
    let key = format!("0x{}", "11".repeat(48));
    done(&["slashing-protection", "raise", "--network", "minimal", "--slot", "5", "--key", &key]);
    done(&["slashing-protection", "export", "--output", home.to_str().unwrap()]);
    assert!(fs::read_to_string(&home).unwrap().contains(&key));
    assert_eq!(fs::metadata(&home).unwrap().uid(), 0);
    assert_eq!(json_of(&done(&["slashing-protection", "status", "--json"]))["keys"][0]["block_slot"], "5");
    for entry in fs::read_dir(place.state()).unwrap().map(Result::unwrap) {
        assert_eq!(entry.metadata().unwrap().uid(), NOBODY, "{entry:?}");
    }
    assert_eq!(fs::metadata(place.state()).unwrap().uid(), NOBODY);
}

#[test]
fn root_s_daemon_on_another_user_s_directory_is_that_user_s() {
    if !is_root() {
        return;
    }
    let setup = Setup::new().args(&["--network", "minimal"]);
    chown(setup.directory(), Some(NOBODY), Some(NOBODY)).unwrap();
    let daemon = setup.start();
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    for ids in [line("Uid:"), line("Gid:")] {
        assert!(ids.split_whitespace().skip(1).all(|id| id == NOBODY.to_string()), "{status}");
    }
    for capabilities in ["CapPrm:", "CapEff:"].map(line) {
        assert!(capabilities.ends_with("\t0000000000000000"), "{status}");
    }
    assert!(!line("Groups:").split_whitespace().any(|group| group == "0"), "{status}");
    daemon.wait_for_log(|line| line.contains("root's rights are given up"));
}

#[test]
fn a_ledger_of_another_user_s_in_one_s_own_directory_is_refused_with_whose_it_is() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let command = ["slashing-protection", "status", "--state-dir", "state"];
    assert!(run(directory.path(), &["slashing-protection", "init", "--state-dir", "state"]).status.success());
    chown(directory.path().join("state/ledger.sqlite"), Some(NOBODY), Some(NOBODY)).unwrap();
    let refused = run(directory.path(), &command);
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    assert!(said(&refused).contains("uid 65534") && said(&refused).contains("uid 0"), "{refused:?}");
}

/// A state directory of the user nobody's, with a ledger in it, and above it a home of root's.
struct Place {
    directory: TempDir,
}

impl Place {
    fn of_nobody() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let place = Self { directory };
        fs::create_dir(place.directory.path().join("root")).unwrap();
        fs::set_permissions(place.directory.path().join("root"), fs::Permissions::from_mode(0o700)).unwrap();
        for (name, digit) in [("seal", "ab"), ("new-seal", "cd")] {
            place.file_of_root(name, &digit.repeat(32));
        }
        let above = place.directory.path().join("nobody");
        fs::create_dir(&above).unwrap();
        chown(&above, Some(NOBODY), Some(NOBODY)).unwrap();
        let made = run(place.directory.path(), &place.named(&["slashing-protection", "init"]));
        assert!(made.status.success(), "{made:?}");
        place
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("nobody/state")
    }

    fn named<'a>(&self, command: &[&'a str]) -> Vec<&'a str> {
        [command, &["--state-dir", "nobody/state"]].concat()
    }

    fn put(&self, name: &str, content: &[u8]) {
        let path = self.state().join(name);
        fs::write(&path, content).unwrap();
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }

    fn file_of_root(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join("root").join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    #[track_caller]
    fn assert_untouched(&self, victim: &Path, case: &str) {
        let metadata = fs::metadata(victim).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600), "{case}");
        assert_eq!(fs::read_to_string(victim).unwrap(), "precious", "{case}");
    }
}

/// Says loudly what a test run of an ordinary user leaves open; in CI, which is root, there must be no such run.
fn is_root() -> bool {
    if geteuid().is_root() {
        return true;
    }
    eprintln!("NOT TESTED: only root can be led to root's files");
    assert!(std::env::var_os("CI").is_none(), "in CI this has to be tested");
    false
}

/// Each that opens the ledger's files.
const COMMANDS: [&[&str]; 6] = [
    &["slashing-protection", "status"],
    &["slashing-protection", "init"],
    &["slashing-protection", "export"],
    &["slashing-protection", "high-watermark", "--slot", "9"],
    &["check", "--network", "minimal"],
    &["keys", "reseal", "--seal-file", "root/seal", "--new-seal-file", "root/new-seal"],
];

const NOBODY: u32 = 65_534;
