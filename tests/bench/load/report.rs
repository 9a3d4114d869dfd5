//! The figures as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

use serde_json::{Value, json};

use crate::baseline::Baseline;
use crate::statistics::{median, microseconds, quantile};
use crate::workload::{Measured, Workload};
use crate::{Ledger, Options};

/// All workloads of a run.
pub struct Report {
    keys: u64,
    slots: u64,
    cores: usize,
    rows: Vec<Row>,
}

struct Row {
    workload: &'static str,
    ledger: &'static str,
    connections: usize,
    signatures_per_second: f64,
    p50: Duration,
    p99: Duration,
    max: Duration,
    /// The daemon's CPU time for a signature.
    cpu: Duration,
    /// That, in plain signatures.
    cpu_ratio: f64,
    /// The median slot's duration, in the time that its multiplications take on all cores.
    slot_ratio: f64,
    /// In KiB, after the first slot and after the last.
    resident: (u64, u64),
    baseline: Baseline,
}

impl Report {
    pub fn new(options: &Options) -> Self {
        let cores = available_parallelism().map_or(1, std::num::NonZero::get);
        Self { keys: options.keys, slots: options.slots, cores, rows: Vec::new() }
    }

    pub fn add(&mut self, workload: Workload, ledger: Ledger, measured: Measured, baseline: Baseline) {
        let signatures = measured.signatures();
        let cpu = measured.cpu / u32::try_from(signatures).unwrap();
        let per_slot = signatures / measured.slots.len();
        let slot = median(&mut measured.slots.iter().map(|slot| slot.duration).collect::<Vec<_>>());
        let mut latencies: Vec<_> =
            measured.slots.iter().flat_map(|slot| slot.latencies.iter().copied()).collect();
        let multiplications = baseline.multiplication().as_secs_f64() * per_slot as f64;
        self.rows.push(Row {
            workload: workload.name(),
            ledger: ledger.name(),
            connections: measured.connections,
            signatures_per_second: per_slot as f64 / slot.as_secs_f64(),
            p50: median(&mut latencies),
            p99: quantile(&mut latencies, 0.99),
            max: quantile(&mut latencies, 1.0),
            cpu,
            cpu_ratio: cpu.as_secs_f64() / baseline.sign.as_secs_f64(),
            slot_ratio: slot.as_secs_f64() / (multiplications / self.cores as f64),
            resident: measured.resident,
            baseline,
        });
    }

    pub fn table(&self) -> String {
        let mut table = format!(
            "{} keys, {} slots, {} cores of {}; load generator on the same cores\n\n",
            self.keys,
            self.slots,
            self.cores,
            processor()
        );
        table.push_str(
            "| workload | ledger | connections | signatures/s | p50 ms | p99 ms | max ms | CPU us/signature | / blst sign | slot / multiplications | memory MiB |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for row in &self.rows {
            let _ = writeln!(
                table,
                "| {} | {} | {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} | {:.1} -> {:.1} |",
                row.workload,
                row.ledger,
                row.connections,
                row.signatures_per_second,
                microseconds(row.p50) / 1e3,
                microseconds(row.p99) / 1e3,
                microseconds(row.max) / 1e3,
                microseconds(row.cpu),
                row.cpu_ratio,
                row.slot_ratio,
                row.resident.0 as f64 / 1024.0,
                row.resident.1 as f64 / 1024.0,
            );
        }
        if let Some(row) = self.rows.last() {
            let _ = writeln!(
                table,
                "\nblst on one core: sign {:.0} us, of which hash to curve {:.0} us and multiplication {:.0} us; fdatasync {:.0} us",
                microseconds(row.baseline.sign),
                microseconds(row.baseline.hash),
                microseconds(row.baseline.multiplication()),
                microseconds(row.baseline.sync),
            );
        }
        for (workload, ratio) in self.cost_of_the_ledger() {
            let _ = writeln!(table, "{workload}: {ratio:.2} of the throughput without the ledger");
        }
        for row in self.rows.iter().filter(|row| row.workload == Workload::OneAtATime.name()) {
            let _ = writeln!(
                table,
                "{}, ledger {}: p50 is {:.0} us more than signing and, with the ledger, one fdatasync",
                row.workload,
                row.ledger,
                microseconds(row.p50) - row.least_us(),
            );
        }
        table
    }

    /// Throughput with the ledger over that without, where both were measured.
    fn cost_of_the_ledger(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let with = self.rows.iter().filter(|row| row.ledger == Ledger::On.name());
        with.filter_map(|on| {
            let mut without = self.rows.iter().filter(|row| row.ledger == Ledger::Off.name());
            let off = without.find(|off| off.workload == on.workload)?;
            Some((on.workload, on.signatures_per_second / off.signatures_per_second))
        })
    }

    pub fn json(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::json).collect();
        let all = json!({"keys": self.keys, "slots": self.slots, "cores": self.cores, "processor": processor(), "workloads": rows});
        format!("{all:#}\n")
    }
}

impl Row {
    /// What a request cannot do without.
    fn least_us(&self) -> f64 {
        let sync = if self.ledger == Ledger::On.name() { self.baseline.sync } else { Duration::ZERO };
        microseconds(self.baseline.sign + sync)
    }

    fn json(&self) -> Value {
        json!({
            "workload": self.workload,
            "ledger": self.ledger,
            "connections": self.connections,
            "signatures_per_second": self.signatures_per_second,
            "latency_us": {"p50": microseconds(self.p50), "p99": microseconds(self.p99), "max": microseconds(self.max)},
            "fdatasync_us": microseconds(self.baseline.sync),
            "cpu_us_per_signature": microseconds(self.cpu),
            "cpu_per_signature_over_blst_sign": self.cpu_ratio,
            "slot_over_multiplications_on_all_cores": self.slot_ratio,
            "resident_kib": {"after_first_slot": self.resident.0, "after_last_slot": self.resident.1},
            "blst_us": {
                "sign": microseconds(self.baseline.sign),
                "hash_to_curve": microseconds(self.baseline.hash),
                "multiplication": microseconds(self.baseline.multiplication()),
            },
        })
    }
}

fn processor() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown".to_owned(), |(_, model)| model.to_owned())
}
