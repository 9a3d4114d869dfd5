//! A great many signatures from one daemon, and what becomes of its memory.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Options;
use crate::client::Clients;
use crate::process;
use crate::support::{Daemon, Key};
use crate::variant::Variant;
use crate::workload::{Load, Validators, Workload};

/// How a soak went.
pub struct Soak {
    wanted: u64,
    samples: Vec<Sample>,
}

/// The daemon after so many signatures.
struct Sample {
    signatures: u64,
    after: Duration,
    resident_kib: u64,
    /// The part of it that is no file's: where a leak would be.
    anonymous_kib: u64,
}

/// Mixed slots until there are so many signatures, or until half an hour is over.
pub fn run(signatures: u64, variant: Variant, keys: &[Key], options: &Options) -> Soak {
    let validators = Validators::of(keys);
    let load = Load::every(Workload::MixedSlot, options)[0];
    let connections = load.connections;
    process::make_room_for(connections + 1);
    let daemon = variant.start(keys, connections + 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut clients = Clients::connect(&daemon, connections).await;
        let (start, mut signed) = (Instant::now(), 0);
        let mut soak = Soak { wanted: signatures, samples: Vec::new() };
        let mut marks = marks(signatures).into_iter().peekable();
        for slot in 0.. {
            let slot = clients.send(load.requests(&validators, slot)).await;
            signed += slot.signatures as u64;
            if marks.next_if(|&mark| signed >= mark).is_some() {
                let sample = Sample::of(&daemon, signed, start.elapsed());
                eprintln!("soak: {sample}");
                soak.samples.push(sample);
                while marks.next_if(|&mark| signed >= mark).is_some() {}
            }
            if marks.peek().is_none() || start.elapsed() > LONGEST {
                break;
            }
        }
        soak
    })
}

impl Soak {
    pub fn signatures(&self) -> u64 {
        self.ends().1.signatures
    }

    /// From 10 % of the signatures to the end.
    pub fn growth_kib(&self) -> i64 {
        let (first, last) = self.ends();
        last.resident_kib as i64 - first.resident_kib as i64
    }

    /// Whether the daemon kept less than a byte of each signature: what remains is the allocator's to and fro. None where
    /// the soak cannot tell.
    pub fn holds(&self) -> Option<bool> {
        let (first, last) = self.ends();
        let grown = self.growth_kib() * 1024;
        let tells = first.signatures >= WARM && self.is_complete();
        tells.then_some(grown < (last.signatures - first.signatures) as i64)
    }

    pub fn verdict(&self) -> String {
        let (first, last) = self.ends();
        format!(
            "resident memory grew by {} KiB from {} to {} signatures: {}",
            self.growth_kib(),
            first.signatures,
            last.signatures,
            match self.holds() {
                Some(true) => "none, as it is less than a byte a signature",
                Some(false) => "it grows",
                None if self.is_complete() => "too few to tell, as pools and caches fill first",
                None => "stopped by the clock before all were signed",
            },
        )
    }

    pub fn table(&self) -> String {
        let mut table = "| signatures | s | signatures/s | resident KiB | of it anonymous |\n\
             | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
        for sample in &self.samples {
            let seconds = sample.after.as_secs_f64();
            let _ = writeln!(
                table,
                "| {} | {seconds:.0} | {:.0} | {} | {} |",
                sample.signatures,
                sample.signatures as f64 / seconds,
                sample.resident_kib,
                sample.anonymous_kib,
            );
        }
        format!("{table}\n{}\n", self.verdict())
    }

    pub fn json(&self) -> Value {
        let samples = self.samples.iter().map(|sample| {
            json!({
                "signatures": sample.signatures,
                "seconds": sample.after.as_secs_f64(),
                "resident_kib": sample.resident_kib,
                "anonymous_kib": sample.anonymous_kib,
            })
        });
        json!({
            "wanted_signatures": self.wanted,
            "samples": samples.collect::<Vec<_>>(),
            "growth_kib": self.growth_kib(),
            "complete": self.is_complete(),
            "holds": self.holds(),
        })
    }

    fn is_complete(&self) -> bool {
        self.ends().1.signatures >= self.wanted
    }

    fn ends(&self) -> (&Sample, &Sample) {
        let settled = |sample: &&Sample| sample.signatures >= self.wanted / 10;
        let last = self.samples.last().expect("a soak takes samples");
        (self.samples.iter().find(settled).unwrap_or(last), last)
    }
}

impl Sample {
    fn of(daemon: &Daemon, signatures: u64, after: Duration) -> Self {
        let kib = |name| process::status_kib(daemon.pid(), name);
        Self { signatures, after, resident_kib: kib("VmRSS:"), anonymous_kib: kib("RssAnon:") }
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { signatures, after, resident_kib, .. } = self;
        write!(f, "{signatures} signatures in {:.0} s, {resident_kib} KiB resident", after.as_secs_f64())
    }
}

/// When it is warm, and then at every tenth of the whole.
fn marks(signatures: u64) -> Vec<u64> {
    let tenths = (1..=10).map(|tenth| signatures.max(10) / 10 * tenth);
    let mut marks: Vec<_> = tenths.chain([WARM.min(signatures)]).collect();
    marks.sort_unstable();
    marks
}

/// So many signatures fill pools and caches.
const WARM: u64 = 50_000;

/// A soak ends by itself, however slow the machine is.
const LONGEST: Duration = Duration::from_secs(1800);
