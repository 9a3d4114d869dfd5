//! Sessions that a TPM counts, on a real implementation of one (swtpm): what it proves, what it refuses, and what the
//! daemon says where it cannot be asked.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Daemon, Key, Request, Setup, attestation_on_hoodi, command, ended, on, said, text};

#[test]
fn after_a_stop_of_any_length_nothing_is_lifted_without_any_anchor() {
    let (tpm, setup) = counted();
    let (daemon, key) = signed(setup);
    let setup = stopped(daemon);
    lose_anchors(&setup);
    // The start would end if nothing showed that the ledger is the newest.
    let daemon = setup.args(&["--unproven", "refuse"]).start();
    daemon.wait_for_log(|line| line.contains("sessions are counted") && line.contains("is the newest"));
    let shown = on(&daemon, &["slashing-protection", "status"]);
    assert!(text(&shown).contains("counter at 0x01800b15 of the TPM"), "{shown:?}");
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation_on_hoodi(60_000, 2)).status, 412);
    assert_eq!(daemon.sign(&key, &attestation_on_hoodi(60_001, 1)).status, 200);
    drop(tpm);
}

#[test]
fn a_whole_disk_that_is_put_back_is_refused_until_its_loss_is_accepted() {
    let (tpm, setup) = counted();
    let (daemon, key) = signed(setup);
    let setup = stopped(daemon);
    snapshot(setup.directory());
    let daemon = setup.start();
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation_on_hoodi(60_001, 1)).status, 200);
    let setup = stopped(daemon);
    put_back(setup.directory());
    let (setup, log) = ends(setup, 78);
    assert!(log.contains("is rolled back") && log.contains("--accept-loss"), "{log}");
    let checked = check(setup.directory(), &tpm);
    assert!(text(&checked).contains("is rolled back"), "{checked:?}");

    let present = present();
    let (slot, epoch) = ((present * 32).to_string(), present.to_string());
    let words = ["slashing-protection", "raise", "--accept-loss", "--slot", &slot, "--epoch", &epoch];
    let raised = command_beside(setup.directory(), &tpm, &[&words[..], &["--network", "hoodi"]].concat());
    assert!(raised.status.success(), "{raised:?}");
    let daemon = setup.start();
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation_on_hoodi(60_001, 2)).status, 412);
    assert_eq!(daemon.sign(&key, &attestation_on_hoodi(present + 2, 2)).status, 200);
    // And goes on counting.
    stopped(daemon).start();
}

#[test]
fn restarts_and_kills_lose_nothing() {
    let (_tpm, setup) = counted();
    let key = Key::number(1);
    let mut daemon = setup.args(&["--unproven", "refuse"]).start();
    daemon.import(&[&key]);
    for epoch in 60_000..60_006 {
        assert_eq!(daemon.sign(&key, &attestation_on_hoodi(epoch, 1)).status, 200);
        let setup = if epoch % 2 == 0 { daemon.kill() } else { stopped(daemon) };
        daemon = setup.start();
        daemon.import(&[&key]);
        assert_eq!(daemon.sign(&key, &attestation_on_hoodi(epoch, 2)).status, 412);
    }
}

#[test]
fn after_a_kill_without_anchors_the_watermarks_are_lifted() {
    let (_tpm, setup) = counted();
    let (daemon, _) = signed(setup);
    let setup = daemon.kill();
    lose_anchors(&setup);
    let daemon = setup.start();
    daemon.wait_for_log(|line| line.contains("ALL WATERMARKS WERE LIFTED"));
    let health = daemon.send(&Request::get("/healthcheck"));
    assert!(health.status == 200 && health.text().contains("watermarks-lifted-at-the-start"), "{health:?}");
}

#[test]
fn a_tpm_that_does_not_answer_ends_the_start_to_be_tried_again() {
    let (tpm, setup) = counted();
    let setup = stopped(setup.start());
    tpm.signal(Signal::SIGSTOP);
    let (setup, log) = ends(setup, 1);
    assert!(log.contains("the TPM at") && log.contains("does not answer in time"), "{log}");
    tpm.signal(Signal::SIGCONT);
    setup.start();
}

#[test]
fn a_tpm_that_is_gone_or_was_cleared_needs_an_operator() {
    let (tpm, setup) = counted();
    let elsewhere = setup.directory().join("nowhere").display().to_string();
    let (setup, log) = ends(setup.without("--tpm-device").args(&["--tpm-device", &elsewhere]), 78);
    assert!(log.contains("there is no TPM at"), "{log}");
    let setup = setup.without("--tpm-device").args(&["--tpm-device", &tpm.socket()]);
    let tpm = tpm.stop().without_memory().start_again();
    let (setup, log) = ends(setup, 78);
    assert!(log.contains("its counter is not there") && log.contains("--accept-loss"), "{log}");
    let checked = check(setup.directory(), &tpm);
    assert!(text(&checked).contains("its counter is not there"), "{checked:?}");
}

#[test]
fn a_counter_is_made_once_by_command_and_by_no_daemon() {
    let tpm = Tpm::start();
    let setup = with(&tpm);
    let (setup, log) = ends(setup, 78);
    assert!(log.contains("was not made yet") && log.contains("slashing-protection tpm-counter"), "{log}");
    let checked = check(setup.directory(), &tpm);
    assert!(text(&checked).contains("WRONG counter") && checked.status.code() == Some(78), "{checked:?}");
    for _ in 0..2 {
        let made = make(setup.directory(), &tpm);
        assert!(made.status.success() && text(&made).contains("are counted from now on"), "{made:?}");
    }
    let checked = check(setup.directory(), &tpm);
    assert!(text(&checked).contains("ok    counter"), "{checked:?}");
    let daemon = setup.start();
    let checked = check(daemon.directory(), &tpm);
    assert!(text(&checked).contains("not compared with the ledger"), "{checked:?}");
    let refused = make(daemon.directory(), &tpm);
    assert!(said(&refused).contains("end it first"), "{refused:?}");
    let setup = stopped(daemon);
    let removed = command_beside(setup.directory(), &tpm, &[&TPM_COUNTER[..], &["--remove"]].concat());
    assert!(removed.status.success() && text(&removed).contains("not counted any more"), "{removed:?}");
    let (setup, _) = ends(setup, 78);
    setup.without("--tpm-counter").without("--tpm-device").start();
}

#[test]
fn an_index_of_another_kind_is_refused() {
    let tpm = Tpm::start();
    let setup = with(&tpm);
    tpm.define_ordinary_index();
    let made = make(setup.directory(), &tpm);
    assert_eq!(made.status.code(), Some(78), "{made:?}");
    assert!(said(&made).contains("it is no counter"), "{made:?}");
    let (_, log) = ends(setup, 78);
    assert!(log.contains("it is no counter"), "{log}");
}

/// A ledger whose sessions are counted.
fn counted() -> (Tpm, Setup) {
    let tpm = Tpm::start();
    let setup = with(&tpm);
    let made = make(setup.directory(), &tpm);
    assert!(made.status.success(), "{made:?}");
    (tpm, setup)
}

/// A daemon that has signed a vote with a key that it was given.
fn signed(setup: Setup) -> (Daemon, Key) {
    let (daemon, key) = (setup.start(), Key::number(1));
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation_on_hoodi(60_000, 1)).status, 200);
    (daemon, key)
}

fn with(tpm: &Tpm) -> Setup {
    let setup = Setup::new().args(&["--network", "hoodi"]).with_runtime_directory();
    let init = command_beside(setup.directory(), tpm, &["slashing-protection", "init", "--network", "hoodi"]);
    assert!(init.status.success(), "{init:?}");
    setup.args(&["--tpm-counter", INDEX, "--tpm-device", &tpm.socket()])
}

fn make(directory: &Path, tpm: &Tpm) -> Output {
    command_beside(directory, tpm, &TPM_COUNTER)
}

fn check(directory: &Path, tpm: &Tpm) -> Output {
    command_beside(directory, tpm, &["check", "--network", "hoodi"])
}

/// A command about the ledger of a daemon that was started so.
fn command_beside(directory: &Path, tpm: &Tpm, words: &[&str]) -> Output {
    let mut command = command(directory, words);
    command.env("BLS_SIGNER_TPM_COUNTER", INDEX).env("BLS_SIGNER_TPM_DEVICE", tpm.socket());
    command
        .env("BLS_SIGNER_STATE_DIR", directory.join("state"))
        .env("RUNTIME_DIRECTORY", directory.join("run"));
    ended(command)
}

fn stopped(mut daemon: Daemon) -> Setup {
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    daemon.kill()
}

fn ends(setup: Setup, status: i32) -> (Setup, String) {
    let mut daemon = setup.spawn();
    let ended = daemon.wait();
    let log = daemon.log();
    assert_eq!(ended.code(), Some(status), "{log}");
    (daemon.kill(), log)
}

/// As after a reboot that took longer than a note on the disk is fresh.
fn lose_anchors(setup: &Setup) {
    for directory in ["run", ".cache"] {
        let _ = fs::remove_dir_all(setup.directory().join(directory));
    }
}

fn snapshot(directory: &Path) {
    shell(directory, "mkdir disk && cp --archive state run .cache disk/");
}

fn put_back(directory: &Path) {
    shell(directory, "rm -r state run .cache && cp --archive disk/. .");
}

fn shell(directory: &Path, script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).current_dir(directory).status().unwrap().success());
}

/// Hoodi's epoch by the clock.
fn present() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    (now - 1_742_213_400) / 12 / 32 + 1
}

/// A TPM of software, with its memory in a directory.
struct Tpm {
    directory: tempfile::TempDir,
    process: Child,
}

impl Tpm {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("memory")).unwrap();
        let process = run(directory.path());
        Self { directory, process }
    }

    fn socket(&self) -> String {
        self.directory.path().join("tpm").display().to_string()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), signal).unwrap();
    }

    fn stop(mut self) -> StoppedTpm {
        end(&mut self.process);
        StoppedTpm(self)
    }

    /// As tpm2_nvdefine does with `-a "authread|authwrite"`: eight bytes that anybody may write.
    fn define_ordinary_index(&self) {
        let command = "80020000002d 0000012a 40000001 00000009 40000009 0000 00 0000 0000 000e 01800b15 000b 00040004 \
                       0000 0008";
        let mut connection = UnixStream::connect(self.socket()).unwrap();
        connection.write_all(&const_hex::decode(command.replace(' ', "")).unwrap()).unwrap();
        let mut answer = [0; 10];
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(answer[6..], [0; 4], "{answer:x?}");
    }
}

/// A TPM that does not run; its memory is there.
struct StoppedTpm(Tpm);

impl StoppedTpm {
    /// As another TPM, which knows nothing.
    fn without_memory(self) -> Self {
        let memory = self.0.directory.path().join("memory");
        fs::remove_dir_all(&memory).unwrap();
        fs::create_dir(memory).unwrap();
        self
    }

    fn start_again(self) -> Tpm {
        let Self(mut tpm) = self;
        tpm.process = run(tpm.directory.path());
        tpm
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn run(directory: &Path) -> Child {
    let socket = directory.join("tpm");
    let _ = fs::remove_file(&socket);
    let child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .args(["--tpmstate", &format!("dir={}", directory.join("memory").display())])
        .args(["--server", &format!("type=unixio,path={}", socket.display())])
        .args(["--ctrl", &format!("type=unixio,path={}", directory.join("control").display())])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("swtpm (Debian's package of that name)");
    while UnixStream::connect(&socket).is_err() {
        sleep(Duration::from_millis(10));
    }
    child
}

fn end(process: &mut Child) {
    let _ = kill(Pid::from_raw(i32::try_from(process.id()).unwrap()), Signal::SIGTERM);
    let _ = process.wait();
}

const INDEX: &str = "0x01800b15";
const TPM_COUNTER: [&str; 4] = ["slashing-protection", "tpm-counter", "--network", "hoodi"];
