//! The goals of the ledger that several hosts share, each beside what is measured: `tests/bench/shared_ledger`.
//!
//! A PostgreSQL primary and its synchronous standby run on this machine. What is compared takes turns on them: this ledger,
//! the statements that Web3Signer documents, one bare statement.

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
    reason = "the harness is shared with the black-box tests and other measurements, which use more of it"
)]

#[path = "../load/baseline.rs"]
mod baseline;
#[path = "../load/client.rs"]
mod client;
#[path = "../load/goal.rs"]
mod goal;
mod judging;
#[path = "../load/process.rs"]
mod process;
mod servers;
mod signing;
#[path = "../load/statistics.rs"]
mod statistics;
#[allow(unused_imports, reason = "as above")]
#[path = "../../black_box/support/mod.rs"]
mod support;
mod web3signer;
mod weight;
mod wire;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use goal::Goal;
use judging::{Bare, CHAIN, Judge, Ours, Theirs};
use servers::{LEDGER, Pair};
use signing::{Host, Outage, Times};
use statistics::{median, milliseconds};
use support::Key;
use wire::{Counts, Proxy};

/// Measures the goals of the shared ledger on a PostgreSQL of its own
#[derive(Parser)]
#[command(name = "shared_ledger")]
struct Options {
    /// How many validator keys
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(200..))]
    keys: u64,
    /// How many votes the table's size is measured after, by 10,000 keys
    #[arg(long, default_value_t = 1_000_000)]
    votes: u64,
    /// Measure these parts alone
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Where both servers have their data, in place of the directory for temporary files
    #[arg(long, value_name = "DIRECTORY")]
    servers: Option<PathBuf>,
    /// Where the signer has its own ledger, likewise
    #[arg(long, value_name = "DIRECTORY")]
    own: Option<PathBuf>,
    /// What the daemon weighs without a shared ledger is set against this other build, such as that of an earlier version
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
    /// Write the figures as JSON to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// `cargo bench` adds it
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// A daemon that signs
    Signing,
    /// This ledger and Web3Signer's statements
    Web3signer,
    /// The table after many votes
    Table,
    /// An outage and a promotion
    Outage,
    /// What the daemon weighs without a shared ledger
    Weight,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

fn main() {
    let options = Options::parse();
    process::make_room_for(options.keys as usize);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let goals = measure(&options, &runtime);
    print!("{}", goal::table(&goals));
    if let Some(file) = &options.json {
        let goals: Vec<Value> = goals.iter().map(Goal::json).collect();
        let text = format!("{:#}\n", json!({"keys": options.keys, "votes": options.votes, "goals": goals}));
        std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn measure(options: &Options, runtime: &Runtime) -> Vec<Goal> {
    let mut goals = Vec::new();
    let servers = options.servers.clone().unwrap_or_else(std::env::temp_dir);
    let mut pair = Pair::start(&servers, &const_hex::encode(CHAIN));
    let (keys, epoch) = ((0..options.keys).map(Key::number).collect::<Vec<_>>(), Cell::new(1));
    let names: Vec<_> = keys.iter().map(Key::name).collect();
    let own = options.own.as_deref();

    if options.wants(Part::Signing) {
        say("one host that signs");
        let (host, alone) = (
            Host::start(Some(&pair.address()), own, &keys, &names, &epoch),
            Host::start(None, own, &keys, &names, &epoch),
        );
        goals.push(round_trips(&pair, own, &keys, &names, &epoch));
        runtime.block_on(async {
            let bare = Bare::open(&pair).await;
            goals.push(one_vote(&host.one_vote(&alone, &bare).await));
            let (rate, cost) = host.one_root().await;
            goals.push(Goal::at_most("CPU of the signer a signature / `blst sign`, one root", 0.66, cost));
            goals.push(figure("the same: signatures/s over 32 connections", format!("{rate:.0}")));
            goals.push(block(&host.block_amid_votes(&alone, &bare).await));
        });
    }
    if options.wants(Part::Web3signer) {
        say("votes by this ledger and by Web3Signer's statements");
        goals.extend(runtime.block_on(against_web3signer(&pair, options.keys as usize)));
    }
    if options.wants(Part::Table) {
        say("a table after many votes");
        goals.extend(runtime.block_on(table(&pair, options.votes)));
    }
    if options.wants(Part::Outage) {
        say("an outage and a promotion");
        let host = Host::start(Some(&pair.address()), own, &keys, &names, &epoch);
        goals.extend(outage(host.outage(&pair)));
        goals.push(within(
            "first signature after a new primary has its standby",
            1.5,
            host.fail_over(&mut pair),
        ));
    }
    drop(pair);
    if options.wants(Part::Weight) {
        say("without a shared ledger");
        goals.extend(weight::measure(options.against.as_deref()));
    }
    goals
}

/// By requests for one key, for some, and for all.
fn round_trips(pair: &Pair, own: Option<&Path>, keys: &[Key], names: &[String], epoch: &Cell<u64>) -> Goal {
    let directory = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(directory.path(), &pair.primary.socket);
    let host = Host::start(Some(&servers::address(&[directory.path()])), own, keys, names, epoch);
    let counts = [1, 32, keys.len()].map(|keys| host.batch(&proxy, keys));
    let Counts { batches, round_trips } = counts.iter().copied().reduce(|one, other| one + other).unwrap();
    Goal {
        what: "round trips for a batch of attestations".to_owned(),
        goal: "1".to_owned(),
        measured: format!("{} ({round_trips} for {batches} batches)", round_trips as f64 / batches as f64),
        reached: Some(round_trips == batches),
    }
}

fn one_vote(times: &Times) -> Goal {
    beyond("one vote on an idle daemon: p50 beyond the bare statement", 0.25, times)
}

fn block(times: &Times) -> Goal {
    beyond("a block amid all keys' votes: p50 beyond one statement", 1.0, times)
}

fn beyond(what: &str, goal: f64, Times { shared, alone, statement }: &Times) -> Goal {
    let [shared, alone, statement] = [shared, alone, statement].map(|time| milliseconds(*time));
    let beyond = shared - statement;
    Goal {
        what: what.to_owned(),
        goal: format!("<= {goal} ms"),
        measured: format!(
            "{beyond:.2} ms ({shared:.2} and {statement:.2}; {alone:.2} without a shared ledger)"
        ),
        reached: Some(beyond <= goal),
    }
}

/// Both without signing, as the statements of the one are all that is compared with the other.
async fn against_web3signer(pair: &Pair, keys: usize) -> [Goal; 2] {
    let (ours, theirs) = (Ours::open(&pair.address(), keys, 1).await, Theirs::open(pair, keys).await);
    let (mut rates, mut times) = (Vec::new(), Vec::new());
    // The first is to warm up.
    for turn in 0..=TURNS {
        let rate = (ours.rate(IN_FLIGHT, A_TURN).await, theirs.rate(IN_FLIGHT, A_TURN).await);
        let time = (theirs.all_at_once().await.as_secs_f64(), ours.all_at_once().await.as_secs_f64());
        if turn > 0 {
            rates.push(rate);
            times.push(time);
        }
    }
    let of = |samples: &[(f64, f64)]| {
        let ratio = median(samples.iter().map(|(more, less)| more / less));
        (ratio, median(samples.iter().map(|both| both.0)), median(samples.iter().map(|both| both.1)))
    };
    let ((rate, our_rate, their_rate), (time, their_time, our_time)) = (of(&rates), of(&times));
    let goal = |what: String, least: f64, ratio: f64, measured: String| Goal {
        what,
        goal: format!(">= {least:.0} x"),
        measured: format!("{ratio:.1} x ({measured})"),
        reached: Some(ratio >= least),
    };
    [
        goal(
            format!("votes/s, {IN_FLIGHT} in flight, against Web3Signer's statements"),
            5.0,
            rate,
            format!("{our_rate:.0} and {their_rate:.0}"),
        ),
        goal(
            format!("{keys} votes at once, likewise"),
            15.0,
            time,
            format!("{:.1} and {:.0} ms", our_time * 1e3, their_time * 1e3),
        ),
    ]
}

async fn table(pair: &Pair, votes: u64) -> [Goal; 2] {
    let ours = Ours::open(&pair.address(), MANY_KEYS, 2).await;
    let size = || {
        let size = pair.primary.ask(LEDGER, "SELECT pg_total_relation_size('bls_signer.keys')");
        size.parse::<u64>().unwrap() as f64 / f64::from(1 << 20)
    };
    let rounds = votes.div_ceil(MANY_KEYS as u64);
    for _ in 0..rounds.div_ceil(2) {
        ours.everybody_votes().await;
    }
    let half = size();
    for _ in 0..rounds / 2 {
        ours.everybody_votes().await;
    }
    let all = size();
    let [own, fresh] = ours.joins().await;
    [
        Goal {
            what: format!("{MANY_KEYS} keys: the table after {votes} votes"),
            goal: "<= 8 MiB, does not grow".to_owned(),
            measured: format!("{all:.2} MiB ({half:.2} after half of them)"),
            reached: Some(all <= 8.0 && all <= half * 1.1),
        },
        within(
            &format!("{MANY_KEYS} keys: from a start to the first grant, what is joined included"),
            1.0,
            own.max(fresh),
        ),
    ]
}

fn outage(Outage { answered, judged }: Outage) -> [Goal; 2] {
    [
        within("the database does not answer: 500 after", 4.1, answered),
        Goal {
            what: "the same: judged after the first 100 ms".to_owned(),
            goal: "0".to_owned(),
            measured: judged.to_string(),
            reached: Some(judged == 0),
        },
    ]
}

fn within(what: &str, seconds: f64, measured: Duration) -> Goal {
    Goal {
        what: what.to_owned(),
        goal: format!("<= {seconds:.1} s"),
        measured: format!("{:.2} s", measured.as_secs_f64()),
        reached: Some(measured.as_secs_f64() <= seconds),
    }
}

fn figure(what: &str, measured: String) -> Goal {
    Goal { what: what.to_owned(), goal: String::new(), measured, reached: None }
}

fn say(what: &str) {
    eprintln!("{what} ...");
}

const IN_FLIGHT: usize = 32;
const TURNS: usize = 5;
const A_TURN: Duration = Duration::from_secs(2);
const MANY_KEYS: usize = 10_000;
