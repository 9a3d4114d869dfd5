//! How soon the built daemon is ready with many keys, what they weigh, what a scrape of its metrics takes, and what heavy
//! imports cost those who sign: `tests/bench/keys --help`.

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

mod imports;
#[path = "../load/process.rs"]
mod process;
mod scrapes;
mod starts;
#[path = "../load/statistics.rs"]
mod statistics;
#[allow(unused_imports, reason = "as above")]
#[path = "../../black_box/support/mod.rs"]
mod support;

use clap::Parser;

/// Measures starts with many keys, scrapes of the metrics, and imports beside signing
#[derive(Parser)]
#[command(name = "keys")]
struct Options {
    /// How many validator keys
    #[arg(long, default_value_t = 10_000)]
    keys: u64,
    /// How often each start is measured; figures are medians
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// Instead: sign while so many scrypt keystores (n = 262144, 256 MiB and most of a second each) are imported
    #[arg(long, value_name = "N")]
    imports: Option<u64>,
    /// Instead: scrape the metrics so often
    #[arg(long, value_name = "N", conflicts_with = "imports")]
    scrapes: Option<usize>,
    /// `cargo bench` adds it
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    match (options.imports, options.scrapes) {
        (Some(count), _) => imports::measure(count),
        (None, Some(scrapes)) => scrapes::measure(options.keys, scrapes),
        (None, None) => starts::measure(options.keys, options.starts),
    }
}

/// A line of `/proc/PID/status` in MiB.
fn status_mib(pid: u32, name: &str) -> f64 {
    process::status_kib(pid, name) as f64 / 1024.0
}
