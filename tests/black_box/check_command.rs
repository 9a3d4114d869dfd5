//! `bls-signer check`: what would end a start, or give less than was asked for, is said before the start.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::{Address, Key, Setup, init, run, text};

#[test]
fn sealed_keys_that_a_start_could_not_open_are_told() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let seal = private(setup.directory(), "seal", SECRET);
    let daemon = setup.args(&["--seal-file", seal.to_str().unwrap()]).start();
    daemon.import(&[&Key::number(1), &Key::number(2)]);
    let setup = daemon.kill();
    let check = |seal: &[&str]| checked(setup.directory(), seal);

    assert_fine(&check(&["--seal-file", "seal"]), "2 of them open");
    assert_wrong(&check(&[]), "2 keys are sealed and there is no seal secret");
    private(setup.directory(), "other", &SECRET.replace('0', "a"));
    assert_wrong(&check(&["--seal-file", "other"]), "sealed under another secret");
    private(setup.directory(), "garbage", "garbage");
    assert_wrong(&check(&["--seal-file", "garbage"]), "64 random hexadecimal digits");
    let daemon = setup.start();
    assert_eq!(daemon.public_keys().len(), 2, "the check has changed nothing");
    // The form of the secret can be told even while a daemon has the keys.
    let garbage = checked(daemon.directory(), &["--seal-file", "garbage"]);
    assert_wrong(&garbage, "64 random hexadecimal digits");
    assert!(!format!("{garbage:?}").contains(SECRET));
}

#[test]
fn a_socket_where_none_can_be_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("file"), "precious").unwrap();
    let check = |path: &str| {
        checked(directory.path(), &["--require-ledger=off", "--listen", &format!("signing=unix:{path}")])
    };
    assert_fine(&check(&path("s.sock")), "s.sock");
    assert_wrong(&check(&path("file")), "is no socket");
    assert_wrong(&check(&path("file/s.sock")), "Not a directory");
    assert_wrong(&check(&path("missing/s.sock")), "make it first");
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "precious");
}

#[test]
fn key_files_that_would_give_no_key_are_told_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let files = ["--key-config-path", "config"];
    fs::create_dir(home.join("config")).unwrap();
    assert_wrong(&checked(home, &files), "slashing-protection init");
    fs::remove_dir(home.join("config")).unwrap();
    init(&home.join("state"));
    for name in ["keystores", "passwords", "config"] {
        fs::create_dir(home.join(name)).unwrap();
    }
    let options = ["--keystores-path", "keystores", "--keystores-passwords-path", "passwords"];
    let options = [&options[..], &["--key-config-path", "config"]].concat();
    let check = || checked(home, &options);
    let keystore = Key::number(1).keystore("p");

    assert_wrong(&check(), "no key comes from keystores");
    assert_wrong(&check(), "no key comes from config");
    private(home, "keystores/a.json", &keystore);
    private(home, "passwords/a.txt", "p");
    private(home, "keystores/deposit_data-1.json", "[]");
    private(
        home,
        "config/a.yaml",
        &format!("type: file-raw\nprivateKey: '{}'\n", Key::number(2).secret_hex()),
    );
    assert_fine(&check(), "1 keystores in keystores");
    assert_fine(&check(), "1 key configurations in config");

    private(home, "keystores/b.json", &keystore);
    private(home, "keystores/c.json", "{");
    private(home, "config/b.yaml", "type: file-raw\n");
    private(home, "config/c.yaml", "type: aws-secret\n");
    private(home, "config/d.yaml", &format!("type: file-raw\nprivateKey: '{}'\n", "00".repeat(32)));
    let wrong = check();
    for expected in ["passwords: neither b.txt nor b", "keystores/c.json", "config/b.yaml", "config/d.yaml"] {
        assert_wrong(&wrong, expected);
    }
    assert_eq!(text(&wrong).matches("WRONG").count(), 4, "{}", text(&wrong));
    // The daemon starts with such a key, which is for another signer, and so does what it is configured for.
    let is_note = |line: &str| line.starts_with("note") && line.contains("aws-secret is not supported");
    assert!(text(&wrong).replace('"', "").lines().any(is_note), "{}", text(&wrong));
    assert!(text(&wrong).contains("1 keystores in keystores"));

    private(home, "keystores/b.json.bak", "{");
    private(home, "keystores/gas.json", "30000000");
    let passed_over = text(&check());
    for name in ["b.json.bak", "gas.json"] {
        let is_note =
            |line: &str| line.starts_with("note") && line.contains(name) && line.contains("passed over");
        assert!(passed_over.lines().any(is_note), "{passed_over}");
    }

    fs::create_dir(home.join("empty")).unwrap();
    let options = ["--keystores-path", "empty", "--keystores-passwords-path", "passwords"];
    assert_wrong(&checked(home, &options), "no key comes from empty");

    for keystores in ["keystores/a.json", "nonexistent"] {
        let options = ["--keystores-path", keystores, "--keystores-passwords-path", "passwords"];
        assert_wrong(&checked(home, &options), keystores);
    }
}

fn checked(directory: &Path, options: &[&str]) -> Output {
    run(directory, &[&["check", "--network", "minimal", "--state-dir", "state"], options].concat())
}

#[track_caller]
fn assert_fine(output: &Output, said: &str) {
    assert_eq!(output.status.code(), Some(0), "{}", text(output));
    assert!(text(output).contains(said), "{}", text(output));
}

#[track_caller]
fn assert_wrong(output: &Output, said: &str) {
    assert_eq!(output.status.code(), Some(78), "{}", text(output));
    let is_said = text(output).lines().any(|line| line.starts_with("WRONG") && line.contains(said));
    assert!(is_said, "{said}: {}", text(output));
}

fn private(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee01";

#[test]
fn a_configuration_file_that_is_none_is_told_and_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo.toml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let network = directory.path().join("fifo.yaml");
    nix::unistd::mkfifo(&network, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (fifo, network) = (fifo.to_str().unwrap(), network.to_str().unwrap());
    for options in
        [["--config", fifo], ["--config", "/dev/zero"], ["--network", network], ["--network", "/dev/zero"]]
    {
        let output = run(directory.path(), &[&["check"][..], &options].concat());
        assert_eq!(output.status.code(), Some(78), "{options:?}: {output:?}");
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("regular file"), "{options:?}");
    }
}

#[test]
fn a_port_that_another_program_has_is_told_and_the_daemon_s_own_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("signing={}", taken.local_addr().unwrap());
    let check = ["check", "--network", "minimal", "--state-dir", "state", "--listen", &listen];
    let told = run(directory.path(), &check);
    assert_eq!(told.status.code(), Some(78), "{told:?}");
    assert!(text(&told).contains("another process listens on 127.0.0.1:"), "{told:?}");

    let setup = Setup::new().args(&["--network", "minimal"]).listen("signing", "127.0.0.1:0");
    let daemon = setup.start();
    let Address::Tcp(address) = daemon.tcp("signing") else { panic!("no TCP address") };
    let listen = format!("signing={address}");
    let own = run(
        daemon.directory(),
        &["check", "--network", "minimal", "--state-dir", "state", "--listen", &listen],
    );
    assert_eq!(own.status.code(), Some(0), "{own:?}");
}
