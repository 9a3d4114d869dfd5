//! Web3Signer's command line, variables and configuration file, as public deployments have them.
//!
//! The facts are those of the deployments; ports are free ones, and the addresses of what starts are loopback ones.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::networks::DEVNET;
use crate::support::{Daemon, Key, Request, Setup, attestation, binary, ended, init, run, said, text};
use crate::tls;

#[test]
fn eth_docker_starts_once_the_history_is_imported() {
    let line = "--key-store-path=keys --metrics-enabled --metrics-host-allowlist=* --http-host-allowlist=* \
                --logging=info --data-path=state eth2 --network=hoodi --enable-key-manager-api=true \
                --slashing-protection-pruning-enabled=true";
    let database = "--slashing-protection-db-url=jdbc:postgresql://postgres/web3signer \
                    --slashing-protection-db-username=postgres --slashing-protection-db-password=s3cret-of-postgres";
    let refused = deployment(&format!("{line} {database}")).fails_with("slashing-protection import");
    assert!(!refused.contains("s3cret-of-postgres"), "{refused}");
    assert!(
        refused.contains("bls-signer ledger init") && refused.contains("BLS_SIGNER_SHARED_LEDGER"),
        "{refused}"
    );

    let daemon = deployment(line).with_key_configuration().with_ledger().start();
    assert_eq!(at(&daemon, "all", "/eth/v1/keystores"), 200);
    assert_eq!(at(&daemon, "metrics", "/metrics"), 200);
    assert_eq!(warned(&daemon, "has no meaning here"), 1, "{}", daemon.log());
}

#[test]
fn ethereum_package_starts_as_it_is() {
    let line = "--http-host-allowlist=* --metrics-enabled=true --metrics-host-allowlist=* --metrics-host=127.0.0.1 \
                --metrics-port=0 eth2 --network=config.yaml --keystores-path=keys --keystores-passwords-path=secrets \
                --slashing-protection-enabled=false";
    let deployment = deployment(line).with_keystores().variable("WEB3SIGNER_HTTP_LISTEN_HOST", "127.0.0.1");
    let daemon = deployment.file("config.yaml", DEVNET).start();
    assert_eq!(at(&daemon, "signing", "/api/v1/eth2/publicKeys"), 200);
    assert_eq!(at(&daemon, "signing", "/eth/v1/keystores"), 404);
    assert!(daemon.log().contains("SLASHING PROTECTION IS OFF"), "{}", daemon.log());
}

#[test]
fn dappnode_starts_with_the_origins_of_its_tool() {
    let line = "--key-store-path keys --http-cors-origins http://brain.dappnode,http://web3signer.dappnode \
                --http-host-allowlist * --idle-connection-timeout-seconds=900 --metrics-enabled \
                --metrics-host 127.0.0.1 --metrics-port 0 --metrics-host-allowlist * --data-path=state \
                eth2 --network=gnosis \
                --key-manager-api-enabled=true --slashing-protection-pruning-epochs-to-keep=500";
    let pool = ("WEB3SIGNER_VERTX_WORKER_POOL_SIZE", "20");
    let url =
        format!("{line} --slashing-protection-db-url=jdbc:postgresql://postgres:5432/web3signer-gnosis");
    deployment(&url).variable(pool.0, pool.1).fails_with("slashing-protection import");

    let daemon = deployment(line).variable(pool.0, pool.1).with_key_configuration().with_ledger().start();
    let from_tool = Request::get("/eth/v1/keystores").header("Origin", "http://brain.dappnode");
    assert_eq!(daemon.tcp("all").send(&from_tool).status, 200);
    let from_page = Request::get("/eth/v1/keystores").header("Origin", "http://page.example");
    assert_eq!(daemon.tcp("all").send(&from_page).status, 403);
    assert_eq!(
        warned(&daemon, "WEB3SIGNER_VERTX_WORKER_POOL_SIZE has no meaning here"),
        1,
        "{}",
        daemon.log()
    );
}

#[test]
fn stereum_starts_without_protection_and_never_opens_the_database() {
    let line = "--data-path=state --key-store-path=keys --http-listen-host=127.0.0.1 --http-cors-origins=* \
                --http-host-allowlist=* --metrics-enabled=true --metrics-host=127.0.0.1 --metrics-port=0 \
                --metrics-host-allowlist=* --swagger-ui-enabled=true eth2 --network=mainnet \
                --key-manager-api-enabled=true --slashing-protection-enabled=false \
                --slashing-protection-db-url=jdbc:postgresql://db/web3signer";
    let daemon = deployment(line).with_key_configuration().start();
    assert_eq!(at(&daemon, "all", "/upcheck"), 200);
    assert_eq!(warned(&daemon, "no origin is allowed"), 1, "{}", daemon.log());
    assert_eq!(warned(&daemon, "--swagger-ui-enabled has no meaning here"), 1, "{}", daemon.log());
}

#[test]
fn a_chart_with_a_configuration_file_starts_once_the_history_is_imported() {
    let file = "http-host-allowlist: [\"*\"]\nhttp-listen-host: 127.0.0.1\nlogging: INFO\nmetrics-enabled: true\n\
                metrics-host: 127.0.0.1\nmetrics-port: 0\nmetrics-host-allowlist:\n  - \"*\"\nkey-store-path: keys\n\
                data-path: state\neth2.slashing-protection-pruning-enabled: true\n";
    let url = "eth2.slashing-protection-db-url: jdbc:postgresql://db/web3signer\n";
    let line = "--config-file=config.yaml eth2";
    deployment(line)
        .file("config.yaml", &format!("{file}{url}"))
        .fails_with("eth2.slashing-protection-db-url in");
    let unprotected = format!("{file}{url}eth2.slashing-protection-enabled: \"false\"\n");
    deployment(line).file("config.yaml", &unprotected).with_key_configuration().start();
    deployment(line).file("config.yaml", "netwerk: hoodi\n").fails_with("'netwerk'");

    let daemon = deployment(line).file("config.yaml", file).with_key_configuration().with_ledger().start();
    assert_eq!(at(&daemon, "signing", "/upcheck"), 200);
    assert_eq!(at(&daemon, "metrics", "/upcheck"), 200);
}

#[test]
fn charts_with_the_database_s_password_in_a_variable_are_refused_without_showing_it() {
    // Two of them, which differ in where the URL stands and in their ports.
    for (line, variables) in [
        (
            "--http-listen-port=6174 --http-listen-host=127.0.0.1 --http-host-allowlist=* --key-store-path=keys \
             --metrics-enabled --metrics-port=9000 eth2 --network=mainnet \
             --slashing-protection-db-url=jdbc:postgresql://db/web3signer --slashing-protection-db-username=w3s",
            &[("WEB3SIGNER_ETH2_SLASHING_PROTECTION_DB_PASSWORD", "s3cret-of-postgres")][..],
        ),
        (
            "--http-listen-port=6174 --http-listen-host=127.0.0.1 --key-store-path=keys eth2 --network=mainnet \
             --slashing-protection-db-pool-configuration-file=hikari.properties",
            &[
                (
                    "WEB3SIGNER_ETH2_SLASHING_PROTECTION_DB_URL",
                    "jdbc:postgresql://w3s:s3cret-of-postgres@db/w3s",
                ),
                ("WEB3SIGNER_ETH2_SLASHING_PROTECTION_DB_PASSWORD", "s3cret-of-postgres"),
            ],
        ),
        // A README, and an operator's own with keys in a vault.
        (
            "--key-store-path=keys eth2 --network=hoodi --slashing-protection-db-url=jdbc:postgresql://127.0.0.1/w3s \
             --slashing-protection-db-username=postgres --slashing-protection-db-password=s3cret-of-postgres",
            &[],
        ),
        (
            "--http-listen-host=0.0.0.0 --key-store-path=keys --access-logs-enabled=true eth2 --network=hoodi \
             --slashing-protection-db-url=jdbc:postgresql://db/w3s --slashing-protection-pruning-at-boot-enabled=true \
             --slashing-protection-pruning-interval=24 --slashing-protection-pruning-slots-per-epoch=32",
            &[],
        ),
    ] {
        let mut deployment = deployment(line);
        for (name, value) in variables {
            deployment = deployment.variable(name, value);
        }
        let log = deployment.fails_with("slashing-protection import");
        assert!(!log.contains("s3cret-of-postgres"), "{log}");
    }
}

#[test]
fn lighthouse_s_tests_start_with_their_pkcs12_store_and_answer_the_client_that_is_known() {
    let line = "--key-store-path=keys --http-listen-host=127.0.0.1 --http-listen-port=0 \
                --tls-known-clients-file=known_clients --tls-keystore-file=key.p12 \
                --tls-keystore-password-file=password.txt eth2 --network=mainnet --slashing-protection-enabled=false";
    let known_clients = fs::read_to_string(format!("{}/known-clients.txt", tls::FILES)).unwrap();
    for store in ["openssl", "keytool", "keytool-legacy"] {
        let deployment = deployment(line).with_key_configuration().file("known_clients", &known_clients);
        let directory = deployment.setup.directory();
        fs::copy(format!("{}/stores/{store}.p12", tls::FILES), directory.join("key.p12")).unwrap();
        secret(&directory.join("password.txt"), "test-password\n");
        let daemon = deployment.setup.start();

        let list = Request::get("/api/v1/eth2/publicKeys");
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let known = tls::client(version, true, Some("authority"));
            let mut connection = tls::connect_to(&daemon.tcp("signing"), known);
            assert!(connection.exchange(&list).text().contains(&Key::number(1).name()), "{store}");
            let stranger = tls::client(version, true, Some("client"));
            let mut connection = tls::connect_to(&daemon.tcp("signing"), stranger);
            let answered = connection.try_send(&list.bytes()).and_then(|()| connection.try_answer());
            assert!(answered.is_err(), "{store}: {answered:?}");
        }
    }
}

#[test]
fn lodestar_s_tests_start_and_sign() {
    let line = "--http-listen-host=127.0.0.1 eth2 --network=minimal --keystores-path=keys \
                --keystores-password-file=secrets/key.txt --slashing-protection-enabled=false";
    let daemon = deployment(line).with_keystores().start();
    assert_eq!(at(&daemon, "signing", "/healthcheck"), 200);
    let sign = format!("/api/v1/eth2/sign/{}", Key::number(1).name());
    let answer = daemon.tcp("signing").send(&Request::post(&sign, attestation(8, 0, 1, 1).to_string()));
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn key_management_for_the_whole_network_needs_a_token() {
    let line = "--http-listen-host=0.0.0.0 --http-host-allowlist=* eth2 --network=hoodi --key-manager-api-enabled=true \
                --slashing-protection-enabled=false";
    let log = deployment(line).fails_with("--auth-token-file");
    assert!(log.contains("--allow-open-keymanager"), "{log}");

    let daemon = deployment(&format!("{line} --allow-open-keymanager")).start();
    // As eth-docker and StakingBrain ask: with a header, and no token in it.
    for nothing in ["Bearer NIL", "Bearer undefined"] {
        let list = Request::get("/eth/v1/keystores").header("Authorization", nothing);
        assert_eq!(daemon.tcp("all").send(&list).status, 200, "{nothing}");
    }
    assert_eq!(
        warned(&daemon, "LETS EVERYBODY WHO REACHES IT IMPORT AND DELETE KEYS"),
        1,
        "{}",
        daemon.log()
    );
    let health = daemon.tcp("all").send(&Request::get("/healthcheck"));
    assert!(health.text().contains("LETS EVERYBODY WHO REACHES IT"), "{health:?}");
}

#[test]
fn protection_is_not_switched_off_where_there_is_a_ledger_unless_it_is_said_twice() {
    let line = "--http-listen-host=127.0.0.1 --data-path=state eth2 --slashing-protection-enabled=false";
    let log = deployment(line).with_ledger().fails_with("--abandon-ledger=true");
    assert!(log.contains("state"), "{log}");
    let daemon = deployment(&format!("{line} --abandon-ledger=true")).with_ledger().start();
    assert!(daemon.log().contains("SLASHING PROTECTION IS OFF"), "{}", daemon.log());
}

#[test]
fn what_cannot_be_read_or_has_a_wrong_value_is_named_as_it_was_given() {
    for (line, status, what) in [
        ("--http-listen-port=9000", 2, "write eth2"),
        ("eth1", 2, "eth1 signs transactions"),
        ("eth2 --slashing-protection-enabld=false", 2, "--slashing-protection-enabld is no option"),
        ("eth2 --slashing-protection-enabled=maybe", 2, "write true or false"),
        ("--http-listen-port=x eth2", 78, "--http-listen-port"),
        ("--logging=LOUD eth2", 78, "--logging"),
        (
            "eth2 --network=https://example.org/config.yaml",
            78,
            "curl --fail --location --output config.yaml 'https://example.org/config.yaml'",
        ),
    ] {
        let (code, log) = deployment(line).setup.fails();
        assert_eq!(code.code(), Some(status), "{line}: {log}");
        assert!(log.contains(what), "{line}: {log}");
    }
}

#[test]
fn options_of_ours_are_taken_beside_web3signer_s() {
    let line = "--http-listen-host=127.0.0.1 eth2 --seal-file=/nonexistent/seal";
    deployment(line).fails_with("/nonexistent/seal");
}

#[test]
fn the_program_named_web3signer_answers_like_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("web3signer");
    symlink(fs::canonicalize(binary()).unwrap(), &program).unwrap();
    let mut command = Command::new(&program);
    command.arg("--help").env_clear().stdin(Stdio::null());
    let help = ended(command);
    assert!(help.status.success(), "{help:?}");
    assert_eq!(text(&help), text(&run(directory.path(), &["web3signer", "--help"])));
    assert!(text(&help).contains("`--slashing-protection-db-url`"), "{help:?}");
    assert!(run(directory.path(), &["web3signer", "--version"]).status.success());
}

#[test]
fn the_ledger_s_subcommands_work_on_the_ledger_in_the_data_path() {
    let directory = tempfile::tempdir().unwrap();
    let web3signer = |task: &[&str]| {
        let output = run(
            directory.path(),
            &[&["web3signer", "--data-path=state", "eth2", "--network=mainnet"], task].concat(),
        );
        (output.status.code(), said(&output), text(&output))
    };
    let key = Key::number(1).name();
    let history = format!(
        r#"{{"metadata": {{"interchange_format_version": "5", "genesis_validators_root":
            "0x4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95"}}, "data": [{{"pubkey": "{key}",
            "signed_blocks": [{{"slot": "1000"}}],
            "signed_attestations": [{{"source_epoch": "30", "target_epoch": "31"}}]}}]}}"#
    );
    fs::write(directory.path().join("history.json"), history).unwrap();
    assert_eq!(web3signer(&["import", "--from=history.json"]).0, Some(0));
    assert_eq!(web3signer(&["watermark-repair", "--slot=2000", "--epoch", "62"]).0, Some(0));
    assert_eq!(web3signer(&["export", "--to", "out.json"]).0, Some(0));
    let exported = fs::read_to_string(directory.path().join("out.json")).unwrap();
    assert!(exported.contains(&key) && exported.contains("2000") && exported.contains("62"), "{exported}");
    let set = web3signer(&["watermark-repair", "--set-high-watermark=true", "--slot=9000", "--epoch=281"]);
    assert_eq!(set.0, Some(0), "{set:?}");
    assert!(set.2.contains("9000"), "{set:?}");
    assert_eq!(web3signer(&["watermark-repair", "--remove-high-watermark"]).0, Some(0));
    assert_eq!(web3signer(&["export"]).0, Some(2));
    let again = web3signer(&["export", "--to=out.json"]);
    assert_eq!(again.0, Some(1), "{again:?}");
}

/// A start in a directory of its own, by this command line.
fn deployment(line: &str) -> Deployment {
    let setup = Setup::new();
    let directory = setup.directory().display().to_string();
    let line = absolute(line, &directory);
    let words: Vec<&str> = line.split_whitespace().collect();
    let setup = setup.web3signer(&words);
    Deployment { setup: setup.env("WEB3SIGNER_HTTP_LISTEN_PORT", "0").env("WEB3SIGNER_METRICS_PORT", "0") }
}

/// The same text with the names of files in the deployment's directory, as it is started from elsewhere.
fn absolute(text: &str, directory: &str) -> String {
    let names = [
        "=keys",
        "=secrets",
        "=state",
        "=config.yaml",
        "=known_clients",
        "=key.p12",
        "=password.txt",
        " keys",
        " state",
    ];
    names.iter().fold(text.to_owned(), |text, name| {
        let (sign, name) = name.split_at(1);
        text.replace(&format!("{sign}{name}"), &format!("{sign}{directory}/{name}"))
    })
}

struct Deployment {
    setup: Setup,
}

impl Deployment {
    fn file(self, name: &str, content: &str) -> Self {
        let directory = self.setup.directory().display().to_string();
        self.setup.file(name, &absolute(content, &directory));
        self
    }

    fn variable(self, name: &str, value: &str) -> Self {
        Self { setup: self.setup.env(name, value) }
    }

    /// One keystore and its password, as Teku lays them out.
    fn with_keystores(self) -> Self {
        let directory = self.setup.directory();
        for name in ["keys", "secrets"] {
            fs::create_dir(directory.join(name)).unwrap();
        }
        fs::write(directory.join("keys/key.json"), Key::number(1).keystore("password")).unwrap();
        secret(&directory.join("secrets/key.txt"), "password");
        self
    }

    /// One key configuration file, with the key itself.
    fn with_key_configuration(self) -> Self {
        fs::create_dir(self.setup.directory().join("keys")).unwrap();
        let key = format!("type: file-raw\nkeyType: BLS\nprivateKey: \"{}\"\n", Key::number(1).secret_hex());
        secret(&self.setup.directory().join("keys/key.yaml"), &key);
        self
    }

    fn with_ledger(self) -> Self {
        init(&self.setup.directory().join("state"));
        self
    }

    #[track_caller]
    fn start(self) -> Daemon {
        let daemon = self.setup.start();
        // The last line of a start: those before it have come through the pipe then.
        daemon.wait_for_log(|line| line.contains("ready:"));
        let role = if daemon.log().contains("all on") { "all" } else { "signing" };
        assert_eq!(at(&daemon, role, "/upcheck"), 200);
        daemon
    }

    /// Answers what it said.
    #[track_caller]
    fn fails_with(self, what: &str) -> String {
        let (status, log) = self.setup.fails();
        assert_eq!(status.code(), Some(78), "{log}");
        assert!(log.contains(what), "{what}: {log}");
        log
    }
}

fn secret(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The status of a GET on the listener of a role.
#[track_caller]
fn at(daemon: &Daemon, role: &str, path: &str) -> u16 {
    daemon.tcp(role).send(&Request::get(path)).status
}

/// How many warnings say this.
fn warned(daemon: &Daemon, what: &str) -> usize {
    daemon.log().lines().filter(|line| line.contains("WARN") && line.contains(what)).count()
}
