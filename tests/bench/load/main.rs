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
mod goal;
mod goals;
mod measured;
mod process;
mod report;
mod scraper;
mod soak;
mod statistics;
#[allow(unused_imports, reason = "as above")]
#[path = "../../black_box/support/mod.rs"]
mod support;
mod turns;
mod variant;
mod workload;

use std::path::PathBuf;

use clap::Parser;

use report::Report;
use support::Key;
use variant::{Ledger, Variant};
use workload::{Load, Workload};

/// Measures the signer under the load of a slot
///
/// Ratios are taken slot by slot, each to plain blst and plain fdatasync right before and after it, and the median of the
/// slots is reported. Daemons that are compared take turns, slot by slot.
#[derive(Parser)]
#[command(name = "slot")]
pub struct Options {
    /// How many validator keys
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// How many connections, each with one request at a time; of several numbers, each in turn
    #[arg(long, value_delimiter = ',', default_values_t = [32], value_parser = clap::value_parser!(u16).range(1..))]
    connections: Vec<u16>,
    /// How many keys sign the same in the workload grouped-roots; of several numbers, each in turn
    #[arg(long, value_delimiter = ',', default_values_t = [8], value_parser = clap::value_parser!(u64).range(1..))]
    keys_a_root: Vec<u64>,
    /// How many slots; figures are medians over them
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..))]
    slots: u64,
    /// What is asked for in each slot
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Workload::EVERY)]
    workload: Vec<Workload>,
    /// Whether the daemon keeps its slashing-protection ledger; with both, throughput is compared
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Ledger::On])]
    ledger: Vec<Ledger>,
    /// Also delay every sync of the ledger by this many milliseconds, and compare with none
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    sync_delay: Option<u32>,
    /// Also scrape the metrics every second and audit every signature, and compare with neither
    #[arg(long)]
    watched: bool,
    /// Run this other build of the daemon beside this one, in turn, such as that of an earlier version
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
    /// Write the figures as JSON to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Instead: size, memory, time to readiness
    #[arg(long)]
    figures: bool,
    /// Instead: mixed slots until there are this many signatures, and what becomes of the memory (1000000 take minutes)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    soak: Option<u64>,
    /// Instead: all that docs/performance.md has a goal for, beside the goal, --soak 1000000 included; some minutes. A goal
    /// that is not reached is no failure
    #[arg(long)]
    goals: bool,
    /// `cargo bench` adds it
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    if options.figures {
        figures::print(options.keys);
        return;
    }
    let keys: Vec<Key> = (0..options.keys).map(Key::number).collect();
    let mut report = Report::new(&options);
    let variants = Variant::wanted(&options);
    if options.goals {
        goals::measure(&mut report, &keys, &options);
    } else if let Some(signatures) = options.soak {
        report.soak = Some(soak::run(signatures, variants[0], &keys, &options));
    } else {
        for load in options.workload.iter().flat_map(|&workload| Load::every(workload, &options)) {
            report.add(turns::run(load, &variants, &keys, &options));
        }
    }
    print!("{}", report.table());
    if let Some(file) = &options.json {
        std::fs::write(file, report.json()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}
