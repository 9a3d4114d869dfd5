//! Clients: who may have what signed with which keys, over real sockets as different users, and that a reload takes it
//! away from open connections too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use serde_json::{Value, json};

use crate::support::{
    Answer, Connection, Daemon, Key, Request, Setup, aggregation_slot, attestation, block_header,
    randao_reveal, run, said, text,
};
use crate::tls::{FILES, client, connect, private_copy};

#[test]
fn each_client_has_its_own_keys_and_duties() {
    let keys = [Key::number(1), Key::number(2), Key::number(3)];
    let own = geteuid();
    let config = format!(
        "[[client]]\nname = 'attester'\nuser = {own}\nkeys = ['{}', '{}']\nduties = ['attest', 'aggregate']\n",
        keys[0].name(),
        keys[2].name(),
    );
    let daemon = start(Setup::new(), &config);
    daemon.import(&[&keys[0], &keys[1]]);

    assert_eq!(daemon.public_keys(), [keys[0].name()]);
    assert_eq!(daemon.sign(&keys[0], &attestation(1, 0, 1, 1)).status, 200);
    assert_eq!(daemon.sign(&keys[0], &aggregation_slot(1)).status, 200);
    for refused in [block_header(1, 1), randao_reveal(1), exit(), deposit(), raw_root()] {
        let message = daemon.sign(&keys[0], &refused).assert_problem(403);
        assert!(message.contains("attester") && message.contains("not among the duties"), "{message}");
    }
    let line = daemon.wait_for_log(|line| line.contains("not among the duties"));
    assert!(line.contains("client=attester") && line.contains(&format!("uid={own}")), "{line}");
    assert!(line.contains("pid="), "{line}");

    // A key of others', one of its own that is not there, and one that nobody has: nothing tells them apart.
    let unknown = [&keys[1], &keys[2], &Key::number(4)].map(|key| {
        let answer = daemon.sign(key, &attestation(1, 0, 1, 1));
        (answer.status, answer.text().replace(&key.name(), "KEY"), bodiless_headers(&answer))
    });
    assert_eq!(unknown[0].0, 404);
    assert!(unknown.iter().all(|answer| *answer == unknown[0]), "{unknown:?}");
    let line = daemon.wait_for_log(|line| line.contains("foreign-key"));
    assert!(line.contains("client=attester"), "{line}");

    let batch = json!({
        "identifiers": [keys[1].name(), keys[0].name(), Key::number(4).name()],
        "signing_request": attestation(2, 1, 2, 1),
    });
    let results = daemon.send(&Request::post("/api/v1/eth2/sign", batch.to_string())).json();
    assert!(results[1]["signature"].is_string(), "{results}");
    let [foreign, absent] = [0, 2].map(|at: usize| {
        let name = results[at]["identifier"].as_str().unwrap().to_owned();
        results[at]["error"].to_string().replace(&name, "KEY")
    });
    assert_eq!(foreign, absent);
    let batch = json!({"identifiers": [keys[0].name()], "signing_request": block_header(3, 1)});
    let results = daemon.send(&Request::post("/api/v1/eth2/sign", batch.to_string())).json();
    assert_eq!(results[0]["error"]["code"], 403, "{results}");
}

#[test]
fn users_and_groups_are_who_the_kernel_says_they_are() {
    assert!(geteuid().is_root(), "run as root: this test has processes of other users");
    let key = Key::number(1);
    let config = format!(
        "[[client]]\nname = 'vc'\nuser = 4001\nkeys = 'all'\nduties = ['randao']\n\
         [[client]]\nname = 'group'\ngroup = [4050]\nkeys = ['{}']\nduties = ['attest']\n",
        Key::number(2).name()
    );
    let daemon = start(Setup::new(), &config);
    daemon.import(&[&key]);
    open_to_all(&daemon);
    let status = |uid: u32, gid: u32, groups: &str, body: &Value| curl(&daemon, uid, gid, groups, &key, body);

    assert_eq!(status(4001, 4001, "", &randao_reveal(1)), 200);
    assert_eq!(status(4001, 4001, "", &attestation(1, 0, 1, 1)), 403);
    assert_eq!(status(4002, 4001, "", &randao_reveal(1)), 403, "its number is a group's");
    let line = daemon.wait_for_log(|line| line.contains("none of the clients"));
    assert!(line.contains("uid=4002 gid=4001 pid="), "{line}");
    assert_eq!(status(4002, 4050, "", &attestation(1, 0, 1, 1)), 404, "a client by its first group");
    assert_eq!(status(4002, 4002, "4049,4050", &attestation(1, 0, 1, 1)), 404, "and by another one");
    assert_eq!(status(4002, 4002, "4049", &attestation(1, 0, 1, 1)), 403);
    // Root is no client either: it may read the keys, but not have them sign by mistake.
    for path in ["/api/v1/eth2/publicKeys", "/api/v1/eth2/highWatermark"] {
        daemon.send(&Request::get(path)).assert_problem(403);
    }
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
    assert_eq!(
        daemon.send(&Request::get("/eth/v1/keystores")).status,
        200,
        "the Keymanager API asks for no client"
    );
}

#[test]
fn a_client_with_one_exit_has_that_one_again_and_no_other() {
    let keys = [Key::number(1), Key::number(2)];
    let config = format!(
        "[[client]]\nname = 'exits'\nuser = {}\nkeys = 'all'\nduties = ['exit']\nexit = 'once'\n",
        geteuid()
    );
    let mut daemon = start(Setup::new(), &config);
    for _ in 0..2 {
        daemon.import(&[&keys[0], &keys[1]]);
        assert_eq!(daemon.sign(&keys[0], &exit()).status, 200);
        let mut other = exit();
        other["voluntary_exit"]["epoch"] = json!("2");
        let message = daemon.sign(&keys[0], &other).assert_problem(412);
        assert!(message.contains("another voluntary exit was signed"), "{message}");
        let batch = json!({"identifiers": [keys[0].name(), keys[1].name()], "signing_request": exit()});
        let results = daemon.send(&Request::post("/api/v1/eth2/sign", batch.to_string())).json();
        assert!(results[0]["signature"].is_string() && results[1]["signature"].is_string(), "{results}");
        daemon = daemon.kill().start();
    }
}

#[test]
fn headers_that_claim_an_identity_make_nobody_a_client() {
    let config = "[[client]]\nname = 'vc'\nuser = 4001\ntoken = 'vc'\nkeys = 'all'\nduties = ['randao']\n";
    let daemon = start(Setup::new(), config);
    for (name, value) in [
        ("X-Client-Cert-DN", "CN=vc"),
        ("X-Forwarded-User", "vc"),
        ("Forwarded", "for=127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"),
        ("Authorization", "Bearer vc"),
    ] {
        daemon.send(&Request::get("/api/v1/eth2/publicKeys").header(name, value)).assert_problem(403);
    }
    daemon.wait_for_log(|line| line.contains("'bls-signer token new vc' makes it"));
}

#[test]
fn a_token_is_shown_once_names_a_client_and_is_taken_away_by_a_reload() {
    let key = Key::number(1);
    let config = "[[client]]\nname = 'one'\ntoken = ['a', 'b']\nkeys = 'all'\nduties = ['randao']\n\
                  [[client]]\nname = 'other'\ntoken = 'c'\nkeys = 'all'\nduties = ['attest']\n";
    let setup = Setup::new().listen("all", "unix:signer.sock").listen("signing", "127.0.0.1:0");
    let made = ["a", "b", "c", "unused"].map(|name| token(setup.directory(), &["new", name]));
    let [a, b, c, unused] = made.map(|output| text(&output).trim_end().to_owned());
    assert!([&a, &b, &c].iter().all(|token| token.len() == 64) && a != b);
    assert!(said(&token(setup.directory(), &["new", "a"])).contains("there is a token a already"));
    assert_eq!(text(&token(setup.directory(), &["list"])), "a\nb\nc\nunused\n");
    let file = setup.directory().join("state/client-tokens");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!([&a, &b, &c].iter().all(|token| !fs::read_to_string(&file).unwrap().contains(token.as_str())));

    let daemon = start(setup, config);
    daemon.import(&[&key]);
    let address = daemon.tcp("signing");
    let sign = |token: &str, body: &Value| {
        sign_request(&key, body).header("Authorization", &format!("Bearer {token}"))
    };
    assert_eq!(address.send(&sign(&a, &randao_reveal(1))).status, 200);
    assert_eq!(address.send(&sign(&b, &randao_reveal(1))).status, 200);
    assert_eq!(address.send(&sign(&c, &randao_reveal(1))).status, 403);
    assert_eq!(address.send(&sign(&c, &attestation(1, 0, 1, 1))).status, 200);
    assert_eq!(address.send(&sign_request(&key, &randao_reveal(1))).status, 403, "no token");
    for wrong in ["wrong", &unused, &a[1..]] {
        assert_eq!(address.send(&sign(wrong, &randao_reveal(1))).status, 401, "{wrong}");
    }

    let mut open = Connection::open(&address);
    assert_eq!(open.exchange(&sign(&a, &randao_reveal(1))).status, 200);
    assert!(token(daemon.directory(), &["remove", "a"]).status.success());
    daemon.reload_access();
    assert_eq!(open.exchange(&sign(&b, &randao_reveal(1))).status, 200);
    assert_eq!(open.exchange(&sign(&a, &randao_reveal(1))).status, 401);
}

#[test]
fn a_certificate_names_a_client_by_its_fingerprint_or_by_a_name_that_an_authority_vouches_for() {
    let key = Key::number(1);
    let known = fs::read_to_string(Path::new(FILES).join("known-clients.txt")).unwrap();
    let fingerprint =
        known.lines().find_map(|line| line.strip_prefix("server-usage ")).unwrap().trim().to_owned();
    let config = format!(
        "[[client]]\nname = 'named'\ncert_san = ['DNS:localhost', 'URI:spiffe://example/vc1']\nkeys = 'all'\n\
         duties = ['aggregate']\n\
         [[client]]\nname = 'pinned'\ncert_sha256 = '{fingerprint}'\nkeys = 'all'\nduties = ['randao']\n"
    );
    let setup = Setup::new();
    let server_key = private_copy("server.key", setup.directory());
    let file = |name: &str| Path::new(FILES).join(name).display().to_string();
    let setup = setup.args(&["--tls-cert", &file("server.pem"), "--tls-key", &server_key]);
    let setup = setup.args(&["--tls-client-ca", &file("ca.pem")]);
    let setup = setup.args(&["--tls-known-clients-file", &file("known-clients.txt")]);
    let daemon = start(setup.listen("keymanager", "unix:signer.sock").listen("all", "127.0.0.1:0"), &config);
    daemon.import(&[&key]);
    let status = |certificate: &str, body: &Value| {
        let mut connection = connect(&daemon, client(&rustls::version::TLS13, true, Some(certificate)));
        connection.exchange(&sign_request(&key, body)).status
    };
    assert_eq!(status("client", &aggregation_slot(1)), 200);
    assert_eq!(status("client", &randao_reveal(1)), 403);
    assert_eq!(status("server-usage", &randao_reveal(1)), 200);
    assert_eq!(
        status("server-usage", &aggregation_slot(1)),
        403,
        "its DNS:localhost is vouched for by nobody"
    );
    assert_eq!(status("version-1", &randao_reveal(1)), 403, "let in, and no client");
}

#[test]
fn what_a_reload_takes_away_is_gone_from_open_connections_and_the_rest_of_a_batch() {
    let keys: Vec<Key> = (1..=3).map(Key::number).collect();
    let own = geteuid();
    let with =
        |duties: &str| format!("[[client]]\nname = 'vc'\nuser = {own}\nkeys = 'all'\nduties = [{duties}]\n");
    let daemon = start(Setup::new(), &with("'attest', 'randao'"));
    daemon.import(&keys.iter().collect::<Vec<_>>());
    let mut open = Connection::open(&daemon.socket());
    assert_eq!(open.exchange(&sign_request(&keys[0], &randao_reveal(1))).status, 200);

    write_config(daemon.directory(), &with("'attest'"));
    daemon.reload_access();
    assert_eq!(open.exchange(&sign_request(&keys[0], &randao_reveal(1))).status, 403);
    assert_eq!(open.exchange(&sign_request(&keys[0], &attestation(1, 0, 1, 1))).status, 200);

    // A file that cannot be used, and one that would let everybody in, change nothing.
    for text in ["[[client]]\nname = 'vc'\n", "# nobody\n"] {
        write_config(daemon.directory(), text);
        let before = daemon.log().matches("those from before hold").count();
        daemon.signal(Signal::SIGHUP);
        daemon.wait_until(|daemon| daemon.log().matches("those from before hold").count() > before);
        assert_eq!(open.exchange(&sign_request(&keys[0], &randao_reveal(1))).status, 403);
        assert_eq!(open.exchange(&sign_request(&keys[0], &attestation(1, 0, 1, 1))).status, 200);
    }

    write_config(daemon.directory(), &with("'attest'").replace(&format!("user = {own}"), "user = 4001"));
    daemon.reload_access();
    assert_eq!(
        open.exchange(&sign_request(&keys[0], &attestation(1, 0, 1, 1))).status,
        403,
        "a stranger now"
    );
}

#[test]
fn a_client_that_cannot_be_used_ends_the_start_and_check_shows_the_others_as_a_table() {
    let setup = Setup::new();
    write_config(setup.directory(), "[[client]]\nname = 'vc'\nkeys = 'all'\nduties = ['attest']\n");
    let config = setup.directory().join("config.toml").display().to_string();
    let (status, log) = setup.args(&["--config", &config]).fails();
    assert_eq!(status.code(), Some(78));
    assert!(log.contains("'vc'") && log.contains("nothing says who it is"), "{log}");

    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("keys.txt");
    fs::write(&list, format!("# two\n{}\n\n{}\n", Key::number(1).name(), Key::number(2).name())).unwrap();
    let text_of = |tokens: &str| {
        format!(
            "[[client]]\nname = 'vc'\nuser = 1\nkeys = 'file:{}'\nduties = ['attest', 'exit']\n\
             [[client]]\nname = 'late'\nuser = 1\ntoken = '{tokens}'\nkeys = 'all'\nduties = ['raw']\n\
             [[client]]\nname = 'leaver'\nuser = 2\nkeys = 'all'\nduties = ['exit']\nexit = 'once'\n",
            list.display()
        )
    };
    write_config(directory.path(), &text_of("t"));
    let checked = run(directory.path(), &["check", "--config", "config.toml"]);
    let report = text(&checked);
    for row in [
        "client             keys attest propose aggregate sync randao registration builder exit deposit proof raw",
        "vc                    2 yes    -       -         -    -      -            -       yes  -       -     -",
        "late                all -      -       -         -    -      -            -       -    -       -     yes",
        "leaver              all -      -       -         -    -      -            -       once -       -     -",
        "nobody is late: whoever could be is vc",
        "'bls-signer token new t' makes it",
    ] {
        assert!(report.contains(row), "{row}\n{report}");
    }
}

/// A daemon whose configuration file says this.
#[track_caller]
fn start(setup: Setup, config: &str) -> Daemon {
    write_config(setup.directory(), config);
    let path = setup.directory().join("config.toml").display().to_string();
    setup.args(&["--network", "minimal", "--raw-roots", "allow", "--config", &path]).start()
}

fn write_config(directory: &Path, text: &str) {
    fs::write(directory.join("config.toml"), text).unwrap();
}

/// `bls-signer token` for the state of a daemon in this directory.
fn token(directory: &Path, arguments: &[&str]) -> Output {
    let state = directory.join("state").display().to_string();
    fs::create_dir_all(&state).unwrap();
    fs::set_permissions(&state, PermissionsExt::from_mode(0o700)).unwrap();
    run(directory, &[&["token"], arguments, &["--state-dir", &state]].concat())
}

/// Lets other users' processes reach its socket.
fn open_to_all(daemon: &Daemon) {
    fs::set_permissions(daemon.directory(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(daemon.directory().join("signer.sock"), PermissionsExt::from_mode(0o666)).unwrap();
}

/// The status that a process of this user gets, with these supplementary groups.
#[track_caller]
fn curl(daemon: &Daemon, uid: u32, gid: u32, groups: &str, key: &Key, body: &Value) -> u16 {
    let groups = if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={groups}") };
    let output = Command::new("setpriv")
        .args([format!("--reuid={uid}"), format!("--regid={gid}"), groups])
        .args(["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--unix-socket"])
        .arg(daemon.directory().join("signer.sock"))
        .args(["--header", "Content-Type: application/json", "--data", &body.to_string()])
        .arg(format!("http://localhost/api/v1/eth2/sign/{}", key.name()))
        .output()
        .unwrap();
    text(&output).parse().unwrap_or_else(|_| panic!("{output:?}"))
}

fn sign_request(key: &Key, body: &Value) -> Request {
    Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), body.to_string())
}

/// The names of the headers, and those values that do not change by themselves.
fn bodiless_headers(answer: &Answer) -> Vec<Option<String>> {
    ["Content-Type", "Connection", "Cache-Control"]
        .map(|name| answer.header(name).map(str::to_owned))
        .to_vec()
}

fn exit() -> Value {
    let mut exit = randao_reveal(1);
    exit["type"] = json!("VOLUNTARY_EXIT");
    exit["voluntary_exit"] = json!({"epoch": "1", "validator_index": "1"});
    exit.as_object_mut().unwrap().remove("randao_reveal");
    exit
}

fn deposit() -> Value {
    json!({"type": "DEPOSIT", "deposit": {
        "pubkey": Key::number(1).name(),
        "withdrawal_credentials": format!("0x{}", "11".repeat(32)),
        "amount": "32",
        "genesis_fork_version": "0x00000001",
    }})
}

fn raw_root() -> Value {
    json!({"signingRoot": format!("0x{}", "11".repeat(32)), "domain_name": "randao"})
}
