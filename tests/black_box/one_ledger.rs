//! One ledger for one set of keys: keys that may have signed before meet the ledger that knows what, or none.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::package::{CONFIG, PACKAGED_KEYMANAGER, Package, SERVICE, STATE};
use crate::support::{
    Daemon, Key, Request, Setup, State, attestation, block_header, command, ended, init, on, run, said, text,
};

#[test]
fn where_keys_are_configured_a_daemon_makes_no_ledger_by_itself() {
    for sources in SOURCES {
        for more in [&[][..], &["--require-ledger=off"]] {
            let setup = with_key_files(Setup::new().with_state(State::Missing));
            let options = options(setup.directory(), sources);
            let (status, log) = setup.args(&strings(&options)).args(more).fails();
            assert_eq!(status.code(), Some(78), "{sources:?}: {log}");
            assert!(log.contains("slashing-protection init --state-dir /"), "{log}");
        }
        let setup = with_key_files(Setup::new().with_state(State::Missing));
        let options = options(setup.directory(), sources);
        init(&setup.directory().join("state"));
        setup.args(&strings(&options)).start();
    }
}

#[test]
fn a_daemon_makes_no_ledger_unless_it_is_told_to_and_names_the_command_that_does() {
    let options = ["--network", "minimal"];
    let (status, log) = Setup::new().args(&options).with_state(State::Missing).fails();
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("slashing-protection init --state-dir /"), "{log}");

    let setup = Setup::new().args(&options).with_state(State::Missing);
    init(&setup.directory().join("state"));
    setup.start();
    Setup::new().args(&options).args(&["--require-ledger=off"]).with_state(State::Missing).start();
}

#[test]
fn it_is_the_same_whether_a_flag_a_variable_or_a_file_names_the_keys() {
    let setup = with_key_files(Setup::new());
    let directory = setup.directory();
    let config = directory.join("configuration");
    let file = setup.file("config.toml", &format!("key_config_path = '{}'\n", config.display()));
    let serve = ["serve", "--network", "minimal", "--listen", "all=127.0.0.1:0"];
    let mut by_variable = command(directory, &serve);
    by_variable.env("BLS_SIGNER_KEY_CONFIG_PATH", &config);
    let mut by_file = command(directory, &serve);
    by_file.args(["--config".as_ref(), file.as_os_str()]);
    for start in [by_variable, by_file] {
        let output = ended(start);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        assert!(said(&output).contains("there is no slashing protection ledger"), "{output:?}");
        assert!(!directory.join(".local").exists());
    }
}

#[test]
fn from_another_working_directory_a_relative_name_is_no_other_ledger() {
    let setup = with_key_files(Setup::new());
    init(&setup.directory().join("state"));
    let elsewhere = tempfile::tempdir().unwrap();
    let keys = options(setup.directory(), &["--key-config-path", "configuration"]);
    let serve = ["serve", "--network", "minimal", "--listen", "all=127.0.0.1:0", "--state-dir", "state"];
    let output = ended(command(elsewhere.path(), &[&serve[..], &strings(&keys)].concat()));
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(said(&output).contains(&elsewhere.path().join("state").display().to_string()), "{output:?}");
    assert!(!elsewhere.path().join("state").exists());
}

#[test]
fn keys_that_the_service_manager_kept_meet_no_new_ledger() {
    let mut daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 1)).status, 200);
    let (names, fds): (Vec<_>, Vec<_>) = daemon.stored().into_iter().unzip();
    let options = ["--network", "minimal", "--require-ledger=off"];
    let setup = Setup::new().args(&options).with_state(State::Missing);
    let (status, log) = setup.hand_over(&names.join(":"), fds).fails();
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("there is no slashing protection ledger"), "{log}");
}

#[test]
fn an_init_says_whether_there_was_a_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let init = || text(&run(directory.path(), &["slashing-protection", "init", "--state-dir", "state"]));
    assert!(init().starts_with("created an empty ledger in"), "{}", init());
    assert!(init().starts_with("there already is a ledger in"), "{}", init());
}

#[test]
fn what_the_packaged_service_signed_binds_whoever_serves_its_keys_by_hand() {
    let Some(package) = Package::installed() else { return };
    let setup = with_key_files(Setup::new().with_state(State::Unnamed));
    configure(&package.config(), setup.directory());
    let other = setup.file("other.toml", "network = 'minimal'\n");
    configure(&other, setup.directory());
    let other = ["--config", other.to_str().unwrap()];
    let service = package.service(setup).start();
    assert_eq!(service.sign(&Key::number(1), &attestation(32, 2, 4, 1)).status, 200);

    // Beside the running service.
    let listen = ["serve", "--listen", "all=127.0.0.1:0"];
    let by_hand = [&[][..], &["--config", CONFIG], &other];
    for arguments in by_hand {
        for user in [0, SERVICE] {
            let beside = package.run_as(user, &[&listen[..], arguments].concat());
            assert_eq!(beside.status.code(), Some(75), "{user}, {arguments:?}: {beside:?}");
        }
    }
    // In its place.
    let mut before = service.kill();
    for arguments in by_hand {
        for user in [0, SERVICE] {
            let setup = before.afresh().args(arguments).env("HOME", package.home().to_str().unwrap());
            let daemon = package.host(setup, user).start();
            let signed = |root| daemon.sign(&Key::number(1), &attestation(32, 2, 4, root)).status;
            assert_eq!((signed(2), signed(1)), (412, 200), "{user}, {arguments:?}");
            daemon.wait_for_log(|line| line.contains(&format!("ledger is {STATE}/ledger.sqlite")));
            before = daemon.kill();
        }
    }
    assert!(!package.home().join(".local").exists());
}

#[test]
fn another_user_with_the_service_s_key_files_gets_no_ledger_of_their_own() {
    let Some(package) = Package::installed() else { return };
    let setup = with_key_files(Setup::new());
    let config = setup.file("other.toml", "network = 'minimal'\n");
    configure(&config, setup.directory());
    open_to_all(setup.directory());
    open_to_all(&package.home());
    let serve = ["serve", "--listen", "all=127.0.0.1:0", "--config", config.to_str().unwrap()];
    let output = package.run_as(STRANGER, &serve);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(said(&output).contains("there is no slashing protection ledger"), "{output:?}");
    assert!(!package.home().join(".local").exists());
}

#[test]
fn who_forgot_sudo_is_told_so_and_makes_no_other_ledger() {
    let Some(package) = Package::installed() else { return };
    open_to_all(&package.home());
    let history = package.home().join("history.json");
    let exported = package.run(&["slashing-protection", "export", "--output", history.to_str().unwrap()]);
    assert!(exported.status.success(), "{exported:?}");
    let root = "4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95";
    let text = format!(
        r#"{{"metadata": {{"interchange_format_version": "5", "genesis_validators_root": "0x{root}"}}, "data": []}}"#
    );
    fs::write(&history, text).unwrap();
    fs::set_permissions(&history, PermissionsExt::from_mode(0o644)).unwrap();
    for arguments in [
        &["status"][..],
        &["init"],
        &["export"],
        &["import", history.to_str().unwrap()],
        &["raise", "--slot", "1"],
    ] {
        let output = package.run_as(STRANGER, &[&["slashing-protection"], arguments].concat());
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {output:?}");
        let said = said(&output);
        assert!(said.contains("sudo") && said.contains(STATE) && !said.contains("init"), "{output:?}");
    }
    assert!(!package.home().join(".local").exists());
    let own = package.home().join("own").display().to_string();
    let named = package.run_as(STRANGER, &["slashing-protection", "init", "--state-dir", &own]);
    assert!(named.status.success(), "{named:?}");
}

#[test]
fn between_the_package_s_ledger_and_one_of_root_s_own_nothing_is_guessed() {
    let Some(package) = Package::installed() else { return };
    let own = package.home().join(".local/state/bls-signer");
    init(&own);
    let other = package.home().join("other.toml");
    fs::write(&other, "network = 'minimal'\n").unwrap();
    let serve = ["serve", "--listen", "all=127.0.0.1:0"];
    for arguments in [&[][..], &["--config", other.to_str().unwrap()]] {
        let output = package.run(&[&serve[..], arguments].concat());
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let said = said(&output);
        assert!(said.contains(STATE) && said.contains(own.to_str().unwrap()), "{said}");
    }
}

#[test]
fn a_command_about_a_directory_in_use_goes_to_no_other_daemon_than_the_one_that_holds_it() {
    let Some(package) = Package::installed() else { return };
    package.give(package.keymanager().parent().unwrap());
    let keymanager = format!("keymanager=unix:{PACKAGED_KEYMANAGER}");
    let setup = Setup::new().with_state(State::Unnamed).listen("all", "unix:signer.sock");
    let packaged = package.service(setup.args(&["--listen", &keymanager])).start();
    let other = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    for daemon in [&packaged, &other] {
        daemon.import(&[&key]);
        assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    }
    let state = other.directory().join("state").display().to_string();
    let file = package.home().join("history.json");
    for order in [
        &["status"][..],
        &["init"],
        &["raise", "--slot", "100"],
        &["high-watermark", "--slot", "5"],
        &["export", "--output", file.to_str().unwrap()],
    ] {
        let order = [&["slashing-protection"], order].concat();
        let refused = package.run(&[&order[..], &["--network", "minimal", "--state-dir", &state]].concat());
        assert_eq!(refused.status.code(), Some(1), "{order:?}: {refused:?}");
        let said = said(&refused);
        assert!(
            said.contains("--connect") && said.contains(&state) && refused.stdout.is_empty(),
            "{refused:?}"
        );
    }
    assert!(!file.exists());
    for daemon in [&packaged, &other] {
        assert_eq!(daemon.sign(&key, &block_header(11, 1)).status, 200);
    }

    // The packaged one's own, by whatever name.
    let link = package.home().join("link");
    symlink(STATE, &link).unwrap();
    for name in [&[][..], &["--state-dir", STATE], &["--state-dir", link.to_str().unwrap()]] {
        let raise = ["slashing-protection", "raise", "--network", "minimal", "--slot", "20"];
        let raised = package.run(&[&raise[..], name].concat());
        assert!(raised.status.success(), "{name:?}: {raised:?}");
    }
    assert_eq!(packaged.sign(&key, &block_header(20, 1)).status, 412);
    assert_eq!(other.sign(&key, &block_header(20, 1)).status, 200);
}

#[test]
fn a_daemon_and_a_directory_that_do_not_go_together_are_refused() {
    let [daemon, other] = [(); 2].map(|()| Daemon::start(&["--network", "minimal"]));
    let key = Key::number(1);
    for daemon in [&daemon, &other] {
        daemon.import(&[&key]);
    }
    let path = |name: &str| daemon.directory().join(name).display().to_string();
    let others = other.directory().join("state").display().to_string();
    fs::write(path("others.toml"), format!("state_dir = '{others}'\n")).unwrap();
    fs::write(path("own.toml"), format!("state_dir = '{}'\n", path("state"))).unwrap();
    fs::write(path("none.toml"), "network = 'minimal'\n").unwrap();
    symlink(path("state"), path("link")).unwrap();

    let raise = ["slashing-protection", "raise", "--slot", "20"];
    for named in [["--state-dir", &others], ["--config", "others.toml"], ["--state-dir", "nowhere"]] {
        let refused = on(&daemon, &[&raise[..], &named].concat());
        assert_eq!(refused.status.code(), Some(1), "{named:?}: {refused:?}");
        assert!(said(&refused).contains("nothing was done"), "{refused:?}");
    }
    for daemon in [&daemon, &other] {
        assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    }
    for named in [
        ["--state-dir", "state"],
        ["--state-dir", "link"],
        ["--config", "own.toml"],
        ["--config", "none.toml"],
    ] {
        let raised = on(&daemon, &[&raise[..], &named].concat());
        assert!(raised.status.success(), "{named:?}: {raised:?}");
    }
    assert_eq!(daemon.sign(&key, &block_header(20, 1)).status, 412);
    assert_eq!(other.sign(&key, &block_header(20, 1)).status, 200);
}

#[test]
fn an_order_names_its_ledger_in_one_way_only() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let state = fs::metadata(daemon.directory().join("state")).unwrap();
    let ordered = |ledger: &str| {
        let body = format!(r#"{{"order": "status", "keys": []{ledger}}}"#);
        daemon.send(&Request::post("/bls-signer/v1/slashing-protection", body)).status
    };
    let named = |inode: u64| format!(r#", "ledger": {{"device": {}, "inode": {inode}}}"#, state.dev());
    assert_eq!((ordered(""), ordered(&named(state.ino())), ordered(&named(1))), (200, 200, 409));
    for wrong in [r#", "ledger": 5"#, r#", "ledger": {"inode": 1}"#, r#", "leger": {}"#] {
        assert_eq!(ordered(wrong), 400, "{wrong}");
    }
}

/// A keystore, its password, a key configuration and a seal, all of key 1.
fn with_key_files(setup: Setup) -> Setup {
    let path = |name: &str| setup.directory().join(name);
    for name in ["keystores", "configuration"] {
        fs::create_dir(path(name)).unwrap();
    }
    let key = Key::number(1);
    private(&path("keystores/a.json"), &key.keystore("p"));
    private(&path("password"), "p");
    private(
        &path("configuration/a.yaml"),
        &format!("type: file-raw\nkeyType: BLS\nprivateKey: '{}'\n", key.secret_hex()),
    );
    private(&path("seal"), &"0123456789abcdef".repeat(4));
    setup.args(&["--network", "minimal"])
}

fn configure(config: &Path, directory: &Path) {
    let path = |name: &str| directory.join(name).display().to_string();
    let mut text = fs::read_to_string(config).unwrap();
    text.push_str(&format!(
        "keystores_path = '{}'\nkeystores_passwords_path = '{}'\n",
        path("keystores"),
        path("password")
    ));
    fs::write(config, text).unwrap();
}

/// An option and a name in the directory, in turn.
fn options(directory: &Path, sources: &[&str]) -> Vec<String> {
    let path = |name: &str| directory.join(name).display().to_string();
    sources.chunks(2).flat_map(|pair| [pair[0].to_owned(), path(pair[1])]).collect()
}

fn strings(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

fn open_to_all(path: &Path) {
    let mode = if path.is_dir() { 0o777 } else { 0o644 };
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    if path.is_dir() {
        let entries: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.iter().for_each(|entry| open_to_all(entry));
    }
}

const SOURCES: [&[&str]; 3] = [
    &["--keystores-path", "keystores", "--keystores-passwords-path", "password"],
    &["--key-config-path", "configuration"],
    &["--seal-file", "seal"],
];

const STRANGER: u32 = 65_534;
