//! From what was measured to figures: the ratio of each slot to the baseline around it first, then the median of the slots.

use std::thread::available_parallelism;
use std::time::Duration;

use crate::baseline::Baseline;
use crate::client::Slot;
use crate::statistics::{median, microseconds, quantile};
use crate::variant::{Ledger, Variant};
use crate::workload::Load;

/// One variant's slots of a workload.
pub struct Measured {
    pub load: Load,
    pub variant: Variant,
    /// The daemon's resident memory: after the slot that warmed it up, and after the last.
    pub resident_kib: (u64, u64),
    pub turns: Vec<Turn>,
}

/// A slot with what it is set against.
pub struct Turn {
    pub slot: Slot,
    /// The daemon's.
    pub cpu: Duration,
    /// The mean of right before and right after.
    pub baseline: Baseline,
}

impl Measured {
    /// The median slot, from the first request to the last answer.
    pub fn slot_time(&self) -> Duration {
        self.median(|turn| turn.slot.duration)
    }

    pub fn signatures_per_second(&self) -> f64 {
        self.median(|turn| turn.slot.signatures as f64 / turn.slot.duration.as_secs_f64())
    }

    /// The daemon's CPU time for a signature, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.median(|turn| microseconds(turn.cpu) / turn.slot.signatures as f64)
    }

    /// That, in plain signatures.
    pub fn cpu_ratio(&self) -> f64 {
        self.median(Turn::cpu_ratio)
    }

    /// A slot's duration, in the time that as many plain signatures take on all cores.
    pub fn slot_ratio(&self) -> f64 {
        self.median(Turn::slot_ratio)
    }

    /// How much longer the median request takes than what it cannot do without, in microseconds: multiplication, hash and,
    /// with the ledger, a sync of what `sync` says. Means something for one request at a time.
    pub fn beyond_least_us(&self, sync: impl Fn(&Baseline) -> Duration) -> f64 {
        self.median(|turn| {
            let sync = match self.variant.ledger {
                Ledger::On => sync(&turn.baseline),
                Ledger::Off => Duration::ZERO,
            };
            let p50 = median(turn.slot.latencies.iter().copied());
            microseconds(p50) - microseconds(turn.baseline.sign + sync)
        })
    }

    /// Of all slots' requests, without the one in the midst.
    pub fn latency(&self, share: f64) -> Duration {
        quantile(self.turns.iter().flat_map(|turn| turn.slot.latencies.iter().copied()), share)
    }

    /// Of the requests in the midst of each slot: the block behind votes.
    pub fn latency_in_the_midst(&self, share: f64) -> Option<Duration> {
        let of_each: Option<Vec<_>> = self.turns.iter().map(|turn| turn.slot.in_the_midst).collect();
        of_each.map(|latencies| quantile(latencies, share))
    }

    pub fn most_in_flight(&self) -> usize {
        self.turns.iter().map(|turn| turn.slot.most_in_flight).max().unwrap_or_default()
    }

    pub fn baseline(&self) -> Baseline {
        Baseline::typical(self.turns.iter().map(|turn| &turn.baseline))
    }

    /// Throughput in parts of another variant's, slot by slot as they took turns.
    pub fn throughput_of(&self, other: &Self) -> f64 {
        let pairs = self.turns.iter().zip(&other.turns);
        median(
            pairs.map(|(mine, theirs)| theirs.slot.duration.as_secs_f64() / mine.slot.duration.as_secs_f64()),
        )
    }

    fn median<T: Copy + Default + PartialOrd>(&self, figure: impl Fn(&Turn) -> T) -> T {
        median(self.turns.iter().map(figure))
    }
}

impl Turn {
    pub fn cpu_ratio(&self) -> f64 {
        self.cpu.as_secs_f64() / self.slot.signatures as f64 / self.baseline.sign.as_secs_f64()
    }

    pub fn slot_ratio(&self) -> f64 {
        let signatures = self.baseline.sign.as_secs_f64() * self.slot.signatures as f64;
        self.slot.duration.as_secs_f64() / (signatures / cores() as f64)
    }
}

/// Two variants of which one waits longer for its disk.
pub struct SlowDisk {
    pub delay_ms: u32,
    pub delayed: Duration,
    /// Without the delay.
    pub plain: Duration,
}

impl SlowDisk {
    /// What the delayed slot may take: three delays of 5 ms, and then little more than it would anyway.
    pub fn allowed(&self) -> Duration {
        Duration::from_millis(15) + self.plain.mul_f64(1.15)
    }

    pub fn holds(&self) -> bool {
        self.delayed <= self.allowed()
    }
}

pub fn cores() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}
