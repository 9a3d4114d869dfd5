//! Batches beside others: what one client asks for keeps nobody else waiting, and what is taken away meanwhile is not sent.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::unistd::geteuid;
use serde_json::json;

use crate::support::{Connection, Daemon, Key, Request, Setup, attestation, block_header, randao_reveal};

#[test]
fn anothers_vote_and_block_are_answered_before_a_batch_of_randao_reveals() {
    // One client is the user of a Unix socket, the other comes over TCP.
    let setup = Setup::new().listen("all", "unix:signer.sock").listen("signing", "127.0.0.1:0");
    let (daemon, keys) = start(setup);

    let (other, flooding) = keys.split_last().unwrap();
    let names: Vec<_> = flooding.iter().map(Key::name).collect();
    let batch = json!({"identifiers": names, "signing_request": randao_reveal(1)}).to_string();
    let is_answered = AtomicBool::new(false);
    let at_rest = signing_time(&daemon);
    thread::scope(|scope| {
        scope.spawn(|| {
            let answer = daemon.send(&Request::post("/api/v1/eth2/sign", batch));
            is_answered.store(true, Ordering::SeqCst);
            assert_eq!(answer.status, 200);
        });
        daemon.wait_until(|daemon| signing_time(daemon) > at_rest + BEGUN_NANOSECONDS);
        let mut client = Connection::open(&daemon.tcp("signing"));
        let path = format!("/api/v1/eth2/sign/{}", other.name());
        for duty in [attestation(8, 0, 1, 9), block_header(8, 9)] {
            assert_eq!(client.exchange(&Request::post(&path, duty.to_string())).status, 200);
            assert!(!is_answered.load(Ordering::SeqCst), "the batch was answered first");
        }
    });
}

#[test]
fn a_batch_is_put_on_record_bit_by_bit_and_answered_whole_in_its_order() {
    let setup = Setup::new().listen("all", "unix:signer.sock");
    let (daemon, keys) = start(setup);
    let names: Vec<_> = keys.iter().map(Key::name).collect();
    let vote = |attestation| {
        let batch = json!({"identifiers": names, "signing_request": attestation}).to_string();
        let answer = daemon.send(&Request::post("/api/v1/eth2/sign", batch)).json();
        let results = answer.as_array().unwrap();
        assert_eq!(results.len(), names.len());
        for (name, result) in names.iter().zip(results) {
            assert_eq!(result["identifier"], json!(name));
            assert!(result["signature"].is_string(), "{result}");
        }
    };
    let cores = thread::available_parallelism().unwrap().get();
    let judged_by_then = if 128 * (cores + 1) <= 1024 { "1024" } else { "4096" };
    let commits = format!(r#"bls_signer_ledger_commit_records_bucket{{le="{judged_by_then}"}} "#);
    let counted = || {
        let metrics = daemon.send(&Request::get("/metrics"));
        [commits.as_str(), "bls_signer_ledger_commit_records_sum "].map(|name| {
            let value = metrics.text().lines().find_map(|line| line.strip_prefix(name));
            value.unwrap_or_else(|| panic!("{name} is missing")).trim().parse::<f64>().unwrap()
        })
    };
    // A new key's row may be in two commits, as it is made and with its first record. So the second vote is counted.
    vote(attestation(8, 0, 1, 9));
    let [small_before, records_before] = counted();
    // The first commit begins when the first of them are signed: nobody else's record has to wait for all of them.
    assert!(small_before >= 1.0, "one commit of all");
    vote(attestation(16, 1, 2, 9));
    let [small, records] = counted();
    assert!(small > small_before, "one commit of all");
    assert_eq!(records - records_before, KEYS as f64);
}

#[test]
fn what_a_reload_takes_away_in_the_middle_of_a_batch_is_not_sent() {
    let with = |duties: &str| {
        format!("[[client]]\nname = 'vc'\nuser = {}\nkeys = 'all'\nduties = [{duties}]\n", geteuid())
    };
    let setup = Setup::new().listen("all", "unix:signer.sock");
    let config = setup.directory().join("config.toml");
    fs::write(&config, with("'randao'")).unwrap();
    let config_path = config.display().to_string();
    let (daemon, keys) = start(setup.args(&["--config", &config_path]));
    let names: Vec<_> = keys.iter().map(Key::name).collect();
    // A batch whose answer is on its way before the reload is done says nothing: then there is another one.
    for epoch in 1..=20 {
        fs::write(&config, with("'randao'")).unwrap();
        daemon.reload_access();
        let batch = json!({"identifiers": names, "signing_request": randao_reveal(epoch)}).to_string();
        let at_rest = signing_time(&daemon);
        let answer = thread::scope(|scope| {
            let answer = scope.spawn(|| daemon.send(&Request::post("/api/v1/eth2/sign", batch)));
            daemon.wait_until(|daemon| signing_time(daemon) > at_rest + BEGUN_NANOSECONDS);
            fs::write(&config, with("'attest'")).unwrap();
            daemon.reload_access();
            answer.join().unwrap()
        });
        let results = answer.json();
        let results = results.as_array().unwrap();
        assert_eq!(results.len(), names.len());
        // The signatures had begun, so what is refused was refused after them.
        if results.iter().all(|result| result["error"]["code"] == 403) {
            return;
        }
        assert!(results.iter().all(|result| result["signature"].is_string()), "{}", results[0]);
    }
    panic!("no batch in hand was refused after a reload");
}

/// A daemon with many keys, whose signatures take their time.
#[track_caller]
fn start(setup: Setup) -> (Daemon, Vec<Key>) {
    let keys: Vec<Key> = (1..=KEYS).map(Key::number).collect();
    let directory = setup.directory().join("keys");
    fs::create_dir(&directory).unwrap();
    for (number, key) in keys.iter().enumerate() {
        let file = directory.join(format!("{number}.yaml"));
        fs::write(&file, format!("type: file-raw\nprivateKey: '{}'\n", key.secret_hex())).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let directory = directory.display().to_string();
    let arguments = ["--network", "minimal", "--key-config-path", &directory, "--shared-root-tables", "off"];
    (setup.args(&arguments).start(), keys)
}

/// CPU time in nanoseconds that its signing threads have had (proc(5), `schedstat`).
fn signing_time(daemon: &Daemon) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    threads
        .map(|thread| thread.unwrap().path())
        .filter(|thread| fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == "signing"))
        .map(|thread| {
            let times = fs::read_to_string(thread.join("schedstat")).unwrap();
            times.split(' ').next().unwrap().parse::<u64>().unwrap()
        })
        .sum()
}

/// The last one is the other client's.
const KEYS: u64 = 3001;

/// What the threads do before the batch takes less, and the batch many times as much.
const BEGUN_NANOSECONDS: u64 = 100_000_000;
