//! Kills and restarts under load: every duty is signed in the end, no contradiction is, and anchors and ledger agree.
//!
//! A few of each by default, more by hand:
//! `SOAK_KILLS=200 SOAK_RESTARTS=100 cargo test --test black_box soak`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rusqlite::Connection as Database;

use crate::support::{Address, Connection, Key, Request, Setup, attestation_on_hoodi};

const KEYS: u64 = 3;
/// Signed between two ends of the daemon.
const DUTIES: u64 = 12;

#[test]
fn kills_and_restarts_under_load_lose_no_duty_and_keep_anchors_and_ledger_together() {
    let [kills, restarts] = [("SOAK_KILLS", 8), ("SOAK_RESTARTS", 4)]
        .map(|(name, default)| std::env::var(name).map_or(default, |number| number.parse::<u64>().unwrap()));
    let keys: Vec<_> = (0..KEYS).map(Key::number).collect();
    let mut daemon = anchored().start();
    daemon.import(&keys.iter().collect::<Vec<_>>());
    let load = Load { socket: daemon.socket(), signed: AtomicU64::new(0), over: AtomicBool::new(false) };
    thread::scope(|scope| {
        let clients: Vec<_> = keys.iter().map(|key| scope.spawn(|| load.run(key))).collect();
        for round in 0..kills + restarts {
            load.wait_for_more();
            let was_killed =
                round * restarts / (kills + restarts) == (round + 1) * restarts / (kills + restarts);
            if !was_killed {
                daemon.signal(Signal::SIGTERM);
                assert!(daemon.wait().success());
            }
            let setup = daemon.kill();
            assert_in_step(setup.directory(), was_killed, round);
            daemon = setup.start();
            let log = daemon.log();
            assert!(!log.contains("WERE LIFTED") && !log.contains("anchor"), "round {round}: {log}");
        }
        load.wait_for_more();
        load.over.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
    });
    eprintln!("{} duties over {kills} kills and {restarts} restarts", load.signed.load(Ordering::Relaxed));
}

/// Clients of one key each, that ask for one vote after the other, and for each until it is signed.
struct Load {
    socket: Address,
    signed: AtomicU64,
    over: AtomicBool,
}

impl Load {
    fn run(&self, key: &Key) {
        let path = format!("/api/v1/eth2/sign/{}", key.name());
        for target in 60_000.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let request = |root| Request::post(&path, attestation_on_hoodi(target, root).to_string());
            assert_eq!(self.ask(&request(1)), 200, "lost: target {target} of {}", key.name());
            self.signed.fetch_add(1, Ordering::Relaxed);
            assert_eq!(self.ask(&request(2)), 412, "contradicted: target {target} of {}", key.name());
        }
    }

    /// The status, once there is one that is no fault.
    fn ask(&self, request: &Request) -> u16 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = Connection::try_open(&self.socket).and_then(|mut connection| {
                connection.try_send(&request.bytes())?;
                connection.try_answer()
            });
            match answer {
                Ok(answer) if answer.status < 500 => return answer.status,
                Ok(_) | Err(_) => {}
            }
            assert!(Instant::now() < deadline, "no answer");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn wait_for_more(&self) {
        let (before, deadline) = (self.signed.load(Ordering::Relaxed), Instant::now() + PATIENCE);
        while self.signed.load(Ordering::Relaxed) < before + DUTIES {
            assert!(Instant::now() < deadline, "nothing is signed");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// No anchor says more than the ledger, and after a stop both say the same.
fn assert_in_step(directory: &Path, was_killed: bool, round: u64) {
    // SQLite would move the log of the original.
    let copy = directory.join("copy");
    let copied = Command::new("cp").arg("-r").arg(directory.join("state")).arg(&copy).status().unwrap();
    assert!(copied.success());
    let (commits, is_open) = Database::open(copy.join("ledger.sqlite"))
        .unwrap()
        .query_row("SELECT commits, is_open FROM session", (), |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, bool>(1)?))
        })
        .unwrap();
    fs::remove_dir_all(&copy).unwrap();
    for place in ["run", "cache"] {
        let anchor = fs::read_dir(directory.join(place)).unwrap().next().unwrap().unwrap().path();
        let noted: u64 = fs::read_to_string(anchor).unwrap().split(' ').next().unwrap().parse().unwrap();
        let agree = if was_killed { noted <= commits } else { noted == commits && !is_open };
        assert!(agree, "round {round}: {place} says {noted}, the ledger {commits}, open: {is_open}");
    }
}

/// With sealed keys, so that none has to be imported again, and where a lift would be noticed.
fn anchored() -> Setup {
    let setup = Setup::new().args(&["--network", "hoodi"]);
    let seal = setup.private_file("seal", &format!("{:064x}\n", 0xfeed_u32));
    let cache = setup.directory().join("cache").display().to_string();
    let setup = setup.args(&["--seal-file", seal.to_str().unwrap()]);
    setup.with_runtime_directory().env("CACHE_DIRECTORY", &cache)
}

/// Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
