//! How fast the built daemon signs a slot's duties, and what that costs it: `tests/bench/slot --help`.
//!
//! One process holds the clients of all connections, on one thread; the daemon is a process of its own with its ledger on
//! disk. Each figure is set against plain `blst` signing in the same run, so that runs on different machines compare.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that meets the unexpected has to stop and say so"
)]
#![allow(
    unreachable_pub,
    dead_code,
    missing_docs,
    reason = "the harness is shared with the black-box tests, which use more of it"
)]

mod baseline;
mod client;
mod figures;
mod process;
mod report;
mod statistics;
#[allow(unused_imports, reason = "as above")]
#[path = "../../black_box/support/mod.rs"]
mod support;
mod workload;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use baseline::Baseline;
use report::Report;
use support::{Daemon, Key, Setup};
use workload::Workload;

/// Measures the signer under the load of a slot
#[derive(Parser)]
#[command(name = "slot")]
pub struct Options {
    /// How many validator keys
    #[arg(long, default_value_t = 1000)]
    keys: u64,
    /// How many connections, each with one request at a time
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How many slots; figures are medians over them
    #[arg(long, default_value_t = 7)]
    slots: u64,
    /// What is asked for in each slot
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Workload::EVERY)]
    workload: Vec<Workload>,
    /// Whether the daemon keeps its slashing-protection ledger
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Ledger::On])]
    ledger: Vec<Ledger>,
    /// Delay every sync of the ledger by this many milliseconds, with strace; CPU figures mean nothing then
    #[arg(long, value_name = "MS")]
    sync_delay: Option<u32>,
    /// Write the figures as JSON to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Instead: size, memory, time to readiness
    #[arg(long)]
    figures: bool,
    /// `cargo bench` adds it
    #[arg(long, hide = true)]
    bench: bool,
}

/// Whether slashing protection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ledger {
    On,
    Off,
}

impl Ledger {
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

fn main() {
    let options = Options::parse();
    if options.figures {
        figures::print(options.keys);
        return;
    }
    let keys: Vec<Key> = (0..options.keys).map(Key::number).collect();
    let mut report = Report::new(&options);
    for &ledger in &options.ledger {
        for &workload in &options.workload {
            let daemon = signer(&keys, ledger, options.sync_delay);
            let before = Baseline::measure(daemon.directory());
            let measured = workload::run(workload, &daemon, &keys, &options);
            let baseline = before.and(&Baseline::measure(daemon.directory()));
            report.add(workload, ledger, measured, baseline);
        }
    }
    print!("{}", report.table());
    if let Some(file) = &options.json {
        std::fs::write(file, report.json()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn signer(keys: &[Key], ledger: Ledger, sync_delay: Option<u32>) -> Daemon {
    let setup = Setup::new().args(&[
        "--network",
        "minimal",
        "--slashing-protection",
        ledger.name(),
        "--log-level",
        "warn",
    ]);
    let daemon = match sync_delay {
        None => setup.start(),
        Some(milliseconds) => {
            let inject = format!("inject=fdatasync,fsync:delay_exit={}", u64::from(milliseconds) * 1000);
            // Should strace be killed, the daemon must not outlive it.
            let trace = [
                "/usr/bin/strace",
                "-f",
                "--seccomp-bpf",
                "-o",
                "/dev/null",
                "-e",
                "trace=fdatasync,fsync",
                "-e",
            ];
            setup.under(&[&trace[..], &[&inject, "/usr/bin/setpriv", "--pdeathsig", "KILL"]].concat()).start()
        }
    };
    for some in keys.chunks(1000) {
        daemon.import(&some.iter().collect::<Vec<_>>());
    }
    daemon
}
