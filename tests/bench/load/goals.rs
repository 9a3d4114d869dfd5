//! The goals of `docs/performance.md`, each beside what was measured: `tests/bench/goals`. Figures are not tests: a goal that
//! is not reached is said and nothing fails.

use std::time::Duration;

use crate::Options;
use crate::goal::Goal;
use crate::measured::{Measured, SlowDisk};
use crate::report::Report;
use crate::soak;
use crate::statistics::{microseconds, milliseconds};
use crate::support::Key;
use crate::turns;
use crate::variant::{Ledger, Syncs, Variant, Watched};
use crate::workload::{Load, Workload};

/// Measures all that [`of`] needs; some minutes, most of them the soak's.
pub fn measure(report: &mut Report, keys: &[Key], options: &Options) {
    let on = Variant::plain(Ledger::On);
    let off = Variant::plain(Ledger::Off);
    let slow_disk =
        [on, Variant { syncs: Syncs::Delayed { ms: options.sync_delay.unwrap_or(DELAY_MS) }, ..on }];
    let watched = Variant { watched: Watched::Yes, ..on };
    let plan: [(Workload, &[Variant]); 8] = [
        (Workload::SharedRoot, &[on, off, watched]),
        (Workload::GroupedRoots, &[on]),
        (Workload::DistinctRoots, &[on, off]),
        (Workload::MixedSlot, &[on, off]),
        (Workload::Batch, &[on]),
        (Workload::OneAtATime, &[on]),
        (Workload::BlockBehindVotes, &[on]),
        (Workload::AllAtOnce, &slow_disk),
    ];
    for (workload, variants) in plan {
        eprintln!("{} ...", workload.name());
        for load in Load::every(workload, options) {
            report.add(turns::run(load, &Variant::with_others(variants, options), keys, options));
        }
    }
    report.soak = Some(soak::run(options.soak.unwrap_or(SOAK), on, keys, options));
}

/// The goals, as far as the report has what they are about.
pub fn of(report: &Report) -> Vec<Goal> {
    let mut goals = Vec::new();
    let on = |workload| report.plain(workload, Ledger::On);
    let keys = report.keys;
    goals.extend(on(Workload::SharedRoot).map(|shared| {
        Goal::at_most("one root, ledger on: CPU per signature / `blst sign`", 0.20, shared.cpu_ratio())
    }));
    goals.extend(
        on(Workload::GroupedRoots)
            .filter(|grouped| grouped.load.keys_a_root == 8)
            .map(|grouped| Goal::at_most("8 keys a root, ledger on: the same", 0.40, grouped.cpu_ratio())),
    );
    goals
        .extend(on(Workload::DistinctRoots).map(|distinct| {
            Goal::at_most("distinct roots, ledger on: the same", 0.98, distinct.cpu_ratio())
        }));
    goals.extend(on(Workload::SharedRoot).map(|shared| {
        let what = format!(
            "{keys} keys, one root, {} connections: slot / (`blst sign` / cores)",
            shared.load.connections
        );
        Goal::at_most(&what, 0.26, shared.slot_ratio())
    }));
    goals.extend(on(Workload::Batch).map(|batch| {
        let what = format!("{keys} keys in one request: time to the answer / (`blst sign` / cores)");
        Goal::at_most(&what, 0.14, batch.slot_ratio())
    }));
    goals.extend(on(Workload::OneAtATime).map(idle_request));
    for (workload, ratio) in report.costs_of_the_ledger() {
        let what = format!("{}: signatures per second, ledger on / off", workload.name());
        goals.push(Goal {
            goal: ">= 0.95".to_owned(),
            measured: format!("{ratio:.2}"),
            reached: Some(ratio >= 0.95),
            what,
        });
    }
    goals.extend(report.costs_of_watching().map(|(watched, ratio)| Goal {
        what: format!(
            "{}: signatures per second, scraped and audited / neither",
            watched.load.workload.name()
        ),
        goal: ">= 0.97".to_owned(),
        measured: format!("{ratio:.3}"),
        reached: Some(ratio >= 0.97),
    }));
    goals.extend(report.slow_disk(Workload::AllAtOnce).map(|slow| slow_syncs(keys, &slow)));
    goals.extend(on(Workload::BlockBehindVotes).and_then(block_behind_votes));
    goals.extend(report.builds_side_by_side().flat_map(|(this, other)| beside(this, other)));
    goals.extend(report.soak.as_ref().map(|soak| Goal {
        what: format!("memory over {} signatures", soak.signatures()),
        goal: "does not grow".to_owned(),
        measured: format!("{} KiB", soak.growth_kib()),
        reached: soak.holds(),
    }));
    goals
}

/// The disk is measured in two ways, since which of them the ledger's own syncs resemble is the file system's matter.
fn idle_request(measured: &Measured) -> Goal {
    let beyond = measured.beyond_least_us(|baseline| baseline.sync);
    let beyond_in_place = measured.beyond_least_us(|baseline| baseline.sync_in_place);
    Goal {
        what: "idle daemon, p50 beyond multiplication, hash and one fdatasync".to_owned(),
        goal: "<= 120 us".to_owned(),
        measured: format!("{beyond:.0} us; {beyond_in_place:.0} us beyond a sync in place"),
        reached: Some(beyond <= 120.0),
    }
}

/// What is to be reached beside the build before there were tables for roots, where `--against` names it.
fn beside(this: &Measured, other: &Measured) -> Vec<Goal> {
    if this.variant != Variant::plain(Ledger::On) {
        return Vec::new();
    }
    let of_time = |name: &str, most: f64, this: Option<Duration>, other: Option<Duration>| {
        let ratio = this?.as_secs_f64() / other?.as_secs_f64();
        Some(Goal::at_most(&format!("{name} / the other build's"), most, ratio))
    };
    match this.load.workload {
        Workload::SharedRoot => {
            let ratio = this.throughput_of(other);
            vec![Goal {
                what: "one root: signatures per second / the other build's".to_owned(),
                goal: ">= 2.40".to_owned(),
                measured: format!("{ratio:.2}"),
                reached: Some(ratio >= 2.4),
            }]
        }
        Workload::AllAtOnce => {
            let times = (Some(this.slot_time()), Some(other.slot_time()));
            of_time("all votes at once", 0.5, times.0, times.1).into_iter().collect()
        }
        Workload::BlockBehindVotes => {
            let of_block = |name, share| {
                of_time(name, 1.0, this.latency_in_the_midst(share), other.latency_in_the_midst(share))
            };
            [of_block("a block amid votes: p50", 0.5), of_block("a block amid votes: max", 1.0)]
                .into_iter()
                .flatten()
                .collect()
        }
        Workload::GroupedRoots
        | Workload::DistinctRoots
        | Workload::MixedSlot
        | Workload::OneAtATime
        | Workload::Batch => Vec::new(),
    }
}

fn slow_syncs(keys: u64, slow: &SlowDisk) -> Goal {
    let ms = |duration: Duration| format!("{:.1} ms", milliseconds(duration));
    Goal {
        what: format!("{keys} votes at once, syncs delayed by {} ms", slow.delay_ms),
        goal: format!("<= 15 ms + 1.15 x {} = {}", ms(slow.plain), ms(slow.allowed())),
        measured: ms(slow.delayed),
        reached: Some(slow.holds()),
    }
}

fn block_behind_votes(measured: &Measured) -> Option<Goal> {
    let block = |share| measured.latency_in_the_midst(share).map(microseconds);
    Some(Goal {
        what: format!(
            "a block in the midst of votes over {} connections: p50, max",
            measured.load.connections
        ),
        goal: String::new(),
        measured: format!(
            "{:.1}, {:.1} ms; votes p50 {:.1}, p99 {:.1} ms",
            block(0.5)? / 1e3,
            block(1.0)? / 1e3,
            milliseconds(measured.latency(0.5)),
            milliseconds(measured.latency(0.99)),
        ),
        reached: None,
    })
}

const DELAY_MS: u32 = 5;
const SOAK: u64 = 1_000_000;
