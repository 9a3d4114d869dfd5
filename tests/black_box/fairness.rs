//! Fairness between clients: what one asks for keeps nobody else waiting.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::support::{Connection, Daemon, Key, Request, Setup, attestation, block_header, randao_reveal};

#[test]
fn anothers_vote_and_block_are_answered_before_a_batch_of_randao_reveals() {
    // One client is the user of a Unix socket, the other comes over TCP.
    let keys: Vec<Key> = (1..=KEYS).map(Key::number).collect();
    let setup = Setup::new().listen("all", "unix:signer.sock").listen("signing", "127.0.0.1:0");
    let directory = setup.directory().join("keys");
    fs::create_dir(&directory).unwrap();
    for (number, key) in keys.iter().enumerate() {
        let file = directory.join(format!("{number}.yaml"));
        fs::write(&file, format!("type: file-raw\nprivateKey: '{}'\n", key.secret_hex())).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let directory = directory.display().to_string();
    let arguments = ["--network", "minimal", "--key-config-path", &directory, "--shared-root-tables", "off"];
    let daemon = setup.args(&arguments).start();

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
