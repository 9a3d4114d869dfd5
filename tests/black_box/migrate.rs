//! `bls-signer migrate`: another signer's keys, history and options, shown first and taken over once.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use serde_json::json;

use crate::support::{Connection, Key, Setup, State, attestation, init, run, said, text};

const SEAL: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee01";

#[test]
fn a_web3signer_s_keys_history_and_options_are_taken_over_once() {
    let old = OldSigner::new();
    old.write("keys/vault.yaml", "type: hashicorp\nkeyType: BLS\nserverHost: vault\ntoken: s3cret\n");
    old.write("keys/module.yaml", "type: yubihsm2\npassword: s3cret\n");
    let take = ["--history=history.json", "--write-config=new.toml"];

    let dry = old.migrate(&take, &[]);
    assert_eq!(dry.status, Some(0), "{dry:?}");
    for line in [
        "3: 3 to be sealed here, 0 sealed here already",
        "2 from keystores, 1 in the clear",
        "1 of type \"hashicorp\": for the fetcher, as below",
        "1 of type \"yubihsm2\": NOT TAKEN",
        "2 keys, from history.json",
        "the record of 2 keys grows by it",
        "1 keys have none, as if they had never signed",
        "idle-connection-timeout-seconds in",
        "vertx-worker-pool-size in",
        "fetcher         /etc/bls-signer/sources.d/web3signer.toml",
        "    type = \"web3signer\"",
        "fetcher         /etc/bls-signer/sources.d/aws.toml",
        "    type = \"aws-secrets-manager\"",
        "REFUSED         1 entries give no key",
        "REFUSED         1 keys are in vaults: the fetcher brings them",
    ] {
        assert!(dry.out.contains(line), "{line}: {}", dry.out);
    }
    assert!(!dry.out.contains("s3cret"), "{}", dry.out);
    let refused = old.migrate(&[&take[..], &["--apply"]].concat(), &[]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(!old.path("state").exists() && !old.path("new.toml").exists(), "nothing is written");

    let apply = [&take[..], &["--apply", "--skip-unusable"]].concat();
    let applied = old.migrate(&apply, &[]);
    assert_eq!(applied.status, Some(0), "{applied:?}");
    assert!(applied.out.ends_with("never start the old signer again.\n"), "{}", applied.out);
    let ledger = old.status_of_ledger();
    assert!(ledger.contains(&Key::number(1).name()), "{ledger}");

    let again = old.migrate(&apply, &[]);
    assert_eq!(again.status, Some(0), "{again:?}");
    assert!(again.out.contains("3: 0 to be sealed here, 3 sealed here already"), "{}", again.out);
    assert!(again.out.contains("the record of 0 keys grows by it"), "{}", again.out);
    assert!(again.out.ends_with("Nothing had to be changed.\n"), "{}", again.out);
    assert_eq!(old.status_of_ledger(), ledger);

    // The configuration that it wrote is one, and the keys sign above their history alone.
    let config = old.path("new.toml").display().to_string();
    let daemon = old.setup.with_state(State::Unnamed).args(&["--config", &config]).start();
    for key in [1, 2, 3].map(Key::number) {
        let vote = |source, target| daemon.sign(&key, &attestation(target * 8, source, target, 1)).status;
        let signed_before = key.name() != Key::number(3).name();
        assert_eq!(vote(5, 6), if signed_before { 412 } else { 200 }, "{}", key.name());
        assert_eq!(vote(6, 7), 200, "{}", key.name());
    }
}

#[test]
fn nothing_is_taken_from_a_web3signer_that_still_answers() {
    let old = OldSigner::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("--address={}", listener.local_addr().unwrap());
    let answering = thread::spawn(move || {
        for _ in 0..2 {
            let mut connection = Connection::over(listener.accept().unwrap().0);
            connection.take_head();
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK");
        }
    });
    let take = ["--history=history.json", address.as_str()];
    let dry = old.migrate(&take, &[]);
    assert_eq!(dry.status, Some(0), "{dry:?}");
    assert!(dry.out.contains("REFUSED         a signer answers at 127.0.0.1:"), "{}", dry.out);
    let refused = old.migrate(&[&take[..], &["--apply"]].concat(), &[]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(!old.path("state").exists(), "nothing is written");
    answering.join().unwrap();
}

#[test]
fn a_migration_to_a_daemon_that_runs_changes_nothing_and_says_how_to_go_on() {
    let old = OldSigner::new();
    init(&old.path("state"));
    let state = old.path("state").display().to_string();
    let beside =
        Setup::new().with_state(State::Unnamed).args(&["--network", "minimal", "--state-dir", &state]);
    let daemon = beside.start();
    let take = ["--history=history.json", "--write-config=new.toml", "--apply"];
    for options in [&take[..2], &take] {
        let refused = old.migrate(options, &[]);
        assert_eq!(refused.status, Some(75), "{refused:?}");
        for way in [
            "the ledger in state open",
            "systemctl stop bls-signer.socket",
            "run this again",
            "bls-signer keys import",
        ] {
            assert!(refused.err.contains(way), "{way}: {}", refused.err);
        }
    }
    assert_eq!(daemon.public_keys(), Vec::<String>::new());
    assert!(!old.path("new.toml").exists(), "nothing is written");
    drop(daemon.kill());
    let applied = old.migrate(&take, &[]);
    assert_eq!(applied.status, Some(0), "{applied:?}");
}

#[test]
fn a_migration_without_a_history_with_another_chain_s_or_with_a_wrong_password_is_refused() {
    let old = OldSigner::new();
    let without = old.migrate(&["--apply"], &[]);
    assert_eq!(without.status, Some(1), "{without:?}");
    assert!(without.out.contains("REFUSED         nothing says where the history is"), "{}", without.out);

    let mainnet = old.migrate(&["--apply", "--history=history.json"], &["eth2", "--network=mainnet"]);
    assert_eq!(mainnet.status, Some(1), "{mainnet:?}");
    assert!(mainnet.out.contains("REFUSED         the history is of the chain"), "{}", mainnet.out);

    old.write("passwords/key.txt", "another");
    let wrong = old.migrate(&["--apply", "--history=history.json"], &[]);
    assert_eq!(wrong.status, Some(1), "{wrong:?}");
    assert!(wrong.out.contains("NOT TAKEN: "), "{}", wrong.out);

    let sealless = old.run(&["migrate", "web3signer", "old", "--state-dir=state", "--no-history"]);
    assert_eq!(sealless.status, Some(78), "{sealless:?}");
    assert!(sealless.err.contains("--seal-file"), "{sealless:?}");
    assert!(!old.path("state").exists(), "nothing is written");
}

#[test]
fn a_database_that_cannot_be_asked_ends_a_migration_without_showing_its_password() {
    let old = OldSigner::new();
    let url = "--slashing-protection-db-url=jdbc:postgresql://w3s:s3cret@127.0.0.1:1/web3signer";
    let refused = old.migrate(&["--apply"], &["eth2", url]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(refused.out.contains("history         cannot be read"), "{}", refused.out);
    assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
    assert!(!old.path("state").exists(), "nothing is written");
}

#[test]
fn a_py3signer_s_keystores_and_options_are_taken_over() {
    let old = OldSigner::new();
    let line =
        ["migrate", "py3signer", "old", "--state-dir=state", "--seal-file=seal", "--no-history", "--apply"];
    let options =
        ["--", "--data-dir=keystores", "--workers=4", "--port=1", "--metrics-port=2", "--log-level=CRITICAL"];
    let applied = old.run(&[&line[..], &options].concat());
    assert_eq!(applied.status, Some(0), "{applied:?}");
    for line in [
        "1: 1 to be sealed here",
        "--workers has no meaning here",
        "log_level = \"error\"",
        "never signed, you say",
    ] {
        assert!(applied.out.contains(line), "{line}: {}", applied.out);
    }
    assert_eq!(old.run(&[&line[..], &["--", "--wrkers=4"]].concat()).status, Some(2));
}

/// A directory with an old signer's in it, in `old`.
struct OldSigner {
    setup: Setup,
}

impl OldSigner {
    /// One key in a directory of keystores, one in a keystore that a key configuration names, one in the clear.
    fn new() -> Self {
        let old = Self { setup: Setup::new() };
        for directory in ["old", "old/keys", "old/keystores", "old/passwords"] {
            fs::create_dir(old.path(directory)).unwrap();
        }
        old.write("keystores/key.json", &Key::number(1).keystore("password"));
        old.write("passwords/key.txt", "password");
        old.write("keystores/key.txt", "password");
        old.write("keys/two.json", &Key::number(2).keystore("password"));
        old.write("keys/two.password", "password\n");
        old.write(
            "keys/two.yaml",
            "type: file-keystore\nkeystoreFile: two.json\nkeystorePasswordFile: two.password\n",
        );
        let raw = format!("type: file-raw\nkeyType: BLS\nprivateKey: \"{}\"\n", Key::number(3).secret_hex());
        old.write("keys/three.yaml", &raw);
        old.write(
            "config.yaml",
            "http-listen-port: 0\nidle-connection-timeout-seconds: 600\nvertx-worker-pool-size: 20\n\
             key-store-path: keys\neth2.network: minimal\neth2.keystores-path: keystores\n\
             eth2.keystores-passwords-path: passwords\neth2.aws-secrets-enabled: true\n",
        );
        let signed = |key: u64| {
            let attestations = json!([{"source_epoch": "5", "target_epoch": "6"}]);
            json!({"pubkey": Key::number(key).name(), "signed_blocks": [], "signed_attestations": attestations})
        };
        let history = json!({
            "metadata": {
                "interchange_format_version": "5",
                "genesis_validators_root": format!("0x{}", "47".repeat(32)),
            },
            "data": [signed(1), signed(2)],
        });
        old.setup.file("history.json", &history.to_string());
        old.setup.private_file("seal", SEAL);
        old
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.setup.directory().join(name)
    }

    /// A file of the old signer's.
    fn write(&self, name: &str, content: &str) {
        let path = self.path(&format!("old/{name}"));
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn migrate(&self, options: &[&str], its_own: &[&str]) -> Ended {
        let line = ["migrate", "web3signer", "old", "--state-dir=state", "--seal-file=seal"];
        self.run(&[&line[..], options, &["--"], its_own].concat())
    }

    fn status_of_ledger(&self) -> String {
        let ended =
            self.run(&["slashing-protection", "status", "--state-dir=state", "--network=minimal", "--json"]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        ended.out
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let output = run(self.setup.directory(), arguments);
        Ended { status: output.status.code(), out: text(&output), err: said(&output) }
    }
}

#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    out: String,
    err: String,
}
