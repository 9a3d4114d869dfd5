//! What the daemon weighs: its size, its memory, the time until it is ready.

use std::time::{Duration, Instant};

use crate::process::status_kib;
use crate::statistics::median;
use crate::support::{Daemon, Key, binary};

/// Prints a table for the README.
pub fn print(keys: u64) {
    let size = std::fs::metadata(binary()).unwrap().len();
    let daemon = start();
    let empty = status_kib(daemon.pid(), "VmRSS:");
    let made: Vec<_> = (0..keys).map(Key::number).collect();
    daemon.import(&made.iter().collect::<Vec<_>>());
    let full = status_kib(daemon.pid(), "VmRSS:");
    println!("| | |\n| --- | ---: |");
    println!("| binary | {:.1} MiB |", size as f64 / f64::from(1 << 20));
    println!("| resident memory without keys | {:.1} MiB |", empty as f64 / 1024.0);
    println!("| resident memory with {keys} keys | {:.1} MiB |", full as f64 / 1024.0);
    println!("| start to READY, without keys | {:.1} ms |", time_to_ready().as_secs_f64() * 1e3);
}

fn time_to_ready() -> Duration {
    median((0..STARTS).map(|_| {
        let before = Instant::now();
        let daemon = start();
        let taken = before.elapsed();
        drop(daemon);
        taken
    }))
}

fn start() -> Daemon {
    Daemon::start(&["--network", "mainnet", "--log-level", "warn"])
}

const STARTS: usize = 11;
