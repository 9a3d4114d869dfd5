//! Signing while expensive keystores are imported.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::status_mib;
use crate::support::{Connection, Daemon, Key, Request, attestation};

pub fn measure(count: u64) {
    let daemon = Daemon::start(&["--network", "minimal", "--log-level", "warn"]);
    let signer = Key::number(0);
    daemon.import(&[&signer]);
    let derived = derived_key();
    let keystores: Vec<_> = (1..=count).map(|number| keystore(&Key::number(number), &derived)).collect();

    let mut slot = 0;
    let over = AtomicBool::new(false);
    let before = Instant::now();
    let mut quiet = sign_while(&daemon, &signer, &mut slot, || before.elapsed() < QUIET);
    let resting = status_mib(daemon.pid(), "VmRSS:");
    let (mut busy, taken) = thread::scope(|scope| {
        let importing = scope.spawn(|| {
            let before = Instant::now();
            // Few at a time, so that an answer comes before our patience ends on a busy machine.
            for batch in keystores.chunks(2) {
                import(&daemon, batch);
            }
            over.store(true, Ordering::Relaxed);
            before.elapsed()
        });
        let busy = sign_while(&daemon, &signer, &mut slot, || !over.load(Ordering::Relaxed));
        (busy, importing.join().unwrap())
    });
    println!("| | signatures | p50 ms | p99 ms | max ms |\n| --- | ---: | ---: | ---: | ---: |");
    row("quiet", &mut quiet);
    row("while importing", &mut busy);
    println!("\n{count} scrypt keystores (n = 262144) in {:.1} s", taken.as_secs_f64());
    let (peak, after) = (status_mib(daemon.pid(), "VmHWM:"), status_mib(daemon.pid(), "VmRSS:"));
    println!("resident memory: {resting:.1} MiB before, {peak:.1} MiB at most, {after:.1} MiB after");
}

fn sign_while(daemon: &Daemon, key: &Key, slot: &mut u64, goes_on: impl Fn() -> bool) -> Vec<Duration> {
    let mut connection = Connection::open(&daemon.socket());
    let path = format!("/api/v1/eth2/sign/{}", key.name());
    let mut taken = Vec::new();
    while goes_on() {
        *slot += 8;
        let duty = attestation(*slot, *slot / 8 - 1, *slot / 8, 1);
        let request = Request::post(&path, duty.to_string());
        let before = Instant::now();
        let answer = connection.exchange(&request);
        taken.push(before.elapsed());
        assert_eq!(answer.status, 200, "{answer:?}");
        thread::sleep(Duration::from_millis(2));
    }
    taken
}

fn import(daemon: &Daemon, keystores: &[Value]) {
    let texts: Vec<_> = keystores.iter().map(Value::to_string).collect();
    let body = json!({"keystores": texts, "passwords": vec![PASSWORD; texts.len()]}).to_string();
    let answer = daemon.send(&Request::post("/eth/v1/keystores", body));
    assert!(!answer.text().contains("error"), "{answer:?}");
}

/// The same for all keystores, which may share salt and password: who opens them has to work as hard.
fn derived_key() -> [u8; 32] {
    let mut derived = [0; 32];
    let params = scrypt::Params::new(18, 8, 1, 32).unwrap();
    scrypt::scrypt(PASSWORD.as_bytes(), &SALT, &params, &mut derived).unwrap();
    derived
}

fn keystore(key: &Key, derived: &[u8; 32]) -> Value {
    let mut keystore = key.keystore_value(PASSWORD);
    let mut message: [u8; 32] = const_hex::decode_to_array(&key.secret_hex()[2..]).unwrap();
    Ctr128BE::<Aes128>::new(derived[..16].into(), &[9; 16].into()).apply_keystream(&mut message);
    let checksum = Sha256::new().chain_update(&derived[16..]).chain_update(message).finalize();
    let params = json!({"dklen": 32, "n": 262_144, "r": 8, "p": 1, "salt": const_hex::encode(SALT)});
    keystore["crypto"]["kdf"] = json!({"function": "scrypt", "params": params, "message": ""});
    keystore["crypto"]["cipher"]["message"] = json!(const_hex::encode(message));
    keystore["crypto"]["checksum"]["message"] = json!(const_hex::encode(checksum));
    keystore
}

fn row(what: &str, taken: &mut [Duration]) {
    taken.sort();
    let ms = |part: f64| taken[((taken.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("| {what} | {} | {:.2} | {:.2} | {:.2} |", taken.len(), ms(0.5), ms(0.99), ms(1.0));
}

const PASSWORD: &str = "heavy";
const SALT: [u8; 32] = [3; 32];
const QUIET: Duration = Duration::from_secs(20);
