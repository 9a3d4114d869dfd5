//! The figures as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Options;
use crate::baseline::{Baseline, sign_on_all_cores};
use crate::goal::{self, Goal};
use crate::goals;
use crate::measured::{Measured, SlowDisk, cores};
use crate::soak::Soak;
use crate::statistics::{microseconds, milliseconds};
use crate::variant::{Build, Ledger, Syncs, Variant, Watched};
use crate::workload::Workload;

/// All that was measured in a run.
pub struct Report {
    pub keys: u64,
    pub soak: Option<Soak>,
    slots: u64,
    with_goals: bool,
    sign_on_all_cores: Duration,
    measured: Vec<Measured>,
}

impl Report {
    pub fn new(options: &Options) -> Self {
        Self {
            keys: options.keys,
            soak: None,
            slots: options.slots,
            with_goals: options.goals,
            sign_on_all_cores: sign_on_all_cores(),
            measured: Vec::new(),
        }
    }

    pub fn add(&mut self, measured: Vec<Measured>) {
        self.measured.extend(measured);
    }

    /// What was measured without a delay.
    pub fn plain(&self, workload: Workload, ledger: Ledger) -> Option<&Measured> {
        self.of(workload, Variant::plain(ledger))
    }

    /// Throughput with the ledger in parts of that without, where both took turns.
    pub fn costs_of_the_ledger(&self) -> impl Iterator<Item = (Workload, f64)> {
        Workload::EVERY.into_iter().filter_map(|workload| {
            let off = self.plain(workload, Ledger::Off)?;
            Some((workload, self.plain(workload, Ledger::On)?.throughput_of(off)))
        })
    }

    /// Throughput of a daemon that is watched in parts of one that is not, where both took turns.
    pub fn costs_of_watching(&self) -> impl Iterator<Item = (&Measured, f64)> {
        let watched = self.measured.iter().filter(|it| it.variant.watched == Watched::Yes);
        watched.filter_map(|it| {
            let is_unwatched = |other: &&Measured| {
                other.load == it.load && other.variant == Variant { watched: Watched::No, ..it.variant }
            };
            Some((it, it.throughput_of(self.measured.iter().find(is_unwatched)?)))
        })
    }

    /// What a delay of the ledger's syncs costs, where that was measured.
    pub fn slow_disk(&self, workload: Workload) -> Option<SlowDisk> {
        let ms = self.measured.iter().find_map(|measured| measured.variant.syncs.delay_ms())?;
        let delayed = Variant { syncs: Syncs::Delayed { ms }, ..Variant::plain(Ledger::On) };
        let delayed = self.of(workload, delayed)?;
        Some(SlowDisk {
            delay_ms: ms,
            delayed: delayed.slot_time(),
            plain: self.plain(workload, Ledger::On)?.slot_time(),
        })
    }

    pub fn table(&self) -> String {
        let mut text = String::new();
        if self.with_goals {
            let _ = writeln!(text, "{}", goal::table(&goals::of(self)));
        }
        let _ = writeln!(
            text,
            "{} keys, {} cores of {}; load generator on the same cores",
            self.keys,
            cores(),
            processor()
        );
        if !self.measured.is_empty() {
            let _ = write!(text, "medians of {} slots\n\n{HEAD}", self.slots);
            self.measured.iter().for_each(|measured| text.push_str(&row(measured)));
            self.say_the_baseline(&mut text);
            self.say_the_comparisons(&mut text);
        }
        if let Some(soak) = &self.soak {
            let _ = write!(text, "\n{}", soak.table());
        }
        text
    }

    pub fn json(&self) -> String {
        let workloads: Vec<_> = self.measured.iter().map(measured_json).collect();
        let costs: Vec<_> = self
            .costs_of_the_ledger()
            .map(|(workload, ratio)| json!({"workload": workload.name(), "throughput_on_over_off": ratio}))
            .collect();
        let watched = self.costs_of_watching().map(|(it, ratio)| {
            json!({"workload": it.load.workload.name(), "ledger": it.variant.name(), "throughput_over_unwatched": ratio})
        });
        let watched: Vec<_> = watched.collect();
        let slow = Workload::EVERY.into_iter().filter_map(|workload| {
            let slow = self.slow_disk(workload)?;
            Some(json!({
                "workload": workload.name(),
                "delay_ms": slow.delay_ms,
                "slot_us": {
                    "delayed": microseconds(slow.delayed),
                    "plain": microseconds(slow.plain),
                    "allowed": microseconds(slow.allowed()),
                },
                "holds": slow.holds(),
            }))
        });
        let all = json!({
            "keys": self.keys,
            "slots": self.slots,
            "cores": cores(),
            "processor": processor(),
            "blst_sign_on_all_cores_us": microseconds(self.sign_on_all_cores),
            "workloads": workloads,
            "ledger": costs,
            "watched": watched,
            "slow_disk": slow.collect::<Vec<_>>(),
            "soak": self.soak.as_ref().map(Soak::json),
            "goals": self.with_goals.then(|| goals::of(self).iter().map(Goal::json).collect::<Vec<_>>()),
        });
        format!("{all:#}\n")
    }

    fn of(&self, workload: Workload, variant: Variant) -> Option<&Measured> {
        self.measured
            .iter()
            .find(|measured| measured.load.workload == workload && measured.variant == variant)
    }

    /// What this build took and what the other one took in turn with it.
    pub fn builds_side_by_side(&self) -> impl Iterator<Item = (&Measured, &Measured)> {
        self.measured.iter().filter(|this| this.variant.build == Build::This).filter_map(|this| {
            let is_other = |it: &&Measured| {
                Variant { build: Build::This, ..it.variant } == this.variant && it.variant != this.variant
            };
            let other = self.measured.iter().filter(|it| it.load == this.load).find(is_other)?;
            Some((this, other))
        })
    }

    fn say_the_baseline(&self, text: &mut String) {
        let turns = self.measured.iter().flat_map(|measured| &measured.turns);
        let baseline = Baseline::typical(turns.map(|turn| &turn.baseline));
        let _ = writeln!(
            text,
            "\nblst on one core: sign {:.0} us ({:.0} us on all cores at once), of which hash to curve {:.0} us and \
             multiplication {:.0} us; fdatasync of an appended page {:.0} us, of a page in place {:.0} us",
            microseconds(baseline.sign),
            microseconds(self.sign_on_all_cores),
            microseconds(baseline.hash),
            microseconds(baseline.multiplication()),
            microseconds(baseline.sync),
            microseconds(baseline.sync_in_place),
        );
    }

    fn say_the_comparisons(&self, text: &mut String) {
        for (workload, ratio) in self.costs_of_the_ledger() {
            let _ = writeln!(text, "{}: {ratio:.2} of the throughput without the ledger", workload.name());
        }
        for (watched, ratio) in self.costs_of_watching() {
            let (workload, variant) = (watched.load.workload.name(), watched.variant.name());
            let _ = writeln!(text, "{workload}, ledger {variant}: {ratio:.3} of the throughput unwatched");
        }
        for (this, other) in self.builds_side_by_side() {
            let _ = writeln!(
                text,
                "{}, ledger {}: {:.3} of the other build's signatures/s, {:.3} of its CPU time a signature, p50 {:.2} against \
                 {:.2} ms, p99 {:.2} against {:.2} ms",
                this.load.workload.name(),
                this.variant.name(),
                this.throughput_of(other),
                this.cpu_ratio() / other.cpu_ratio(),
                milliseconds(this.latency(0.5)),
                milliseconds(other.latency(0.5)),
                milliseconds(this.latency(0.99)),
                milliseconds(other.latency(0.99)),
            );
        }
        for measured in self.measured.iter().filter(|it| it.load.workload == Workload::OneAtATime) {
            let _ = writeln!(
                text,
                "one at a time, ledger {}: p50 is {:.0} us more than signing and, with the ledger, one fdatasync of an \
                 appended page ({:.0} us, if in place)",
                measured.variant.name(),
                measured.beyond_least_us(|baseline| baseline.sync),
                measured.beyond_least_us(|baseline| baseline.sync_in_place),
            );
        }
        for measured in &self.measured {
            let block = |share| measured.latency_in_the_midst(share).map(milliseconds);
            let (Some(p50), Some(max)) = (block(0.5), block(1.0)) else { continue };
            let _ = writeln!(
                text,
                "{}, ledger {}: the block p50 {p50:.2} ms, max {max:.2} ms; the votes p50 {:.2} ms, p99 {:.2} ms",
                measured.load.workload.name(),
                measured.variant.name(),
                milliseconds(measured.latency(0.5)),
                milliseconds(measured.latency(0.99)),
            );
        }
        for workload in Workload::EVERY {
            let Some(slow) = self.slow_disk(workload) else { continue };
            let _ = write!(
                text,
                "{}, syncs delayed by {} ms: {:.1} ms a slot, {:.1} ms without the delay",
                workload.name(),
                slow.delay_ms,
                milliseconds(slow.delayed),
                milliseconds(slow.plain),
            );
            if workload.is_one_wave() {
                let _ = write!(
                    text,
                    "; delayed <= 15 ms + 1.15 x undelayed = {:.1} ms {}",
                    milliseconds(slow.allowed()),
                    if slow.holds() { "holds" } else { "does not hold" },
                );
            }
            text.push('\n');
        }
    }
}

fn row(measured: &Measured) -> String {
    format!(
        "| {} | {} | {} | {} | {} | {:.1} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} | {:.1} -> {:.1} |\n",
        measured.load.workload.name(),
        measured.load.keys_a_root,
        measured.variant.name(),
        measured.load.connections,
        measured.most_in_flight(),
        milliseconds(measured.slot_time()),
        measured.signatures_per_second(),
        milliseconds(measured.latency(0.5)),
        milliseconds(measured.latency(0.99)),
        milliseconds(measured.latency(1.0)),
        measured.cpu_us(),
        measured.cpu_ratio(),
        measured.slot_ratio(),
        measured.resident_kib.0 as f64 / 1024.0,
        measured.resident_kib.1 as f64 / 1024.0,
    )
}

fn measured_json(measured: &Measured) -> Value {
    let baseline = measured.baseline();
    let slots = measured.turns.iter().map(|turn| {
        json!({
            "slot_us": microseconds(turn.slot.duration),
            "cpu_per_signature_over_blst_sign": turn.cpu_ratio(),
            "slot_over_blst_signs_on_all_cores": turn.slot_ratio(),
        })
    });
    json!({
        "workload": measured.load.workload.name(),
        "build": match measured.variant.build {
            Build::This => "this",
            Build::Other(_) => "other",
        },
        "ledger": measured.variant.ledger.name(),
        "sync_delay_ms": measured.variant.syncs.delay_ms(),
        "connections": measured.load.connections,
        "keys_a_root": measured.load.keys_a_root,
        "most_in_flight": measured.most_in_flight(),
        "slot_us": microseconds(measured.slot_time()),
        "signatures_per_second": measured.signatures_per_second(),
        "latency_us": {
            "p50": microseconds(measured.latency(0.5)),
            "p99": microseconds(measured.latency(0.99)),
            "max": microseconds(measured.latency(1.0)),
        },
        "block_latency_us": measured.latency_in_the_midst(1.0).map(|max| {
            json!({"p50": measured.latency_in_the_midst(0.5).map(microseconds), "max": microseconds(max)})
        }),
        "cpu_us_per_signature": measured.cpu_us(),
        "cpu_per_signature_over_blst_sign": measured.cpu_ratio(),
        "slot_over_blst_signs_on_all_cores": measured.slot_ratio(),
        "p50_beyond_signing_and_sync_us": (measured.load.workload == Workload::OneAtATime).then(|| {
            json!({
                "appended": measured.beyond_least_us(|baseline| baseline.sync),
                "in_place": measured.beyond_least_us(|baseline| baseline.sync_in_place),
            })
        }),
        "resident_kib": {
            "after_first_slot": measured.resident_kib.0,
            "after_last_slot": measured.resident_kib.1,
        },
        "blst_us": {
            "sign": microseconds(baseline.sign),
            "hash_to_curve": microseconds(baseline.hash),
            "multiplication": microseconds(baseline.multiplication()),
        },
        "fdatasync_us": {
            "appended": microseconds(baseline.sync),
            "in_place": microseconds(baseline.sync_in_place),
        },
        "slots": slots.collect::<Vec<_>>(),
    })
}

fn processor() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown".to_owned(), |(_, model)| model.to_owned())
}

const HEAD: &str = "\
| workload | keys a root | ledger | connections | in flight | slot ms | signatures/s | p50 ms | p99 ms | max ms | CPU us/signature | / blst sign | slot / `blst sign` | memory MiB |
| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
";
