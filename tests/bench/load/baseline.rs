//! What the curve and the disk themselves cost on this machine at this moment: plain `blst` on one thread, plain `fdatasync`.
//!
//! A machine is not the same from one second to the next, so this is measured in short rounds between the slots, and a slot
//! is set against the rounds right before and after it.

use std::fs::File;
use std::hint::black_box;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::thread::{available_parallelism, scope};
use std::time::{Duration, Instant};

use bls_signer::bls::HashedRoot;
use bls_signer::primitives::SigningRoot;

use crate::process::thread_cpu;
use crate::statistics::median;
use crate::support::Key;

/// The cost of one operation.
#[derive(Clone, Copy, Default)]
pub struct Baseline {
    /// CPU time of a whole signature: hashing to the curve and multiplying.
    pub sign: Duration,
    /// CPU time of hashing to the curve alone.
    pub hash: Duration,
    /// Until a page that was appended to a file is on the disk that the ledger is on.
    pub sync: Duration,
    /// Until a page of a file that has it already is: the file system has nothing to write down about the file itself.
    pub sync_in_place: Duration,
}

impl Baseline {
    /// The scalar multiplication alone.
    pub fn multiplication(&self) -> Duration {
        self.sign.saturating_sub(self.hash)
    }

    /// The mean of two rounds: before and after what they are compared with.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            sign: (self.sign + other.sign) / 2,
            hash: (self.hash + other.hash) / 2,
            sync: (self.sync + other.sync) / 2,
            sync_in_place: (self.sync_in_place + other.sync_in_place) / 2,
        }
    }

    /// The median of each operation over many rounds.
    pub fn typical<'a>(rounds: impl Iterator<Item = &'a Self> + Clone) -> Self {
        Self {
            sign: median(rounds.clone().map(|round| round.sign)),
            hash: median(rounds.clone().map(|round| round.hash)),
            sync: median(rounds.clone().map(|round| round.sync)),
            sync_in_place: median(rounds.map(|round| round.sync_in_place)),
        }
    }
}

/// Measures rounds.
pub struct Yardstick {
    key: Key,
    appended: File,
    in_place: File,
    roots: u64,
}

impl Yardstick {
    /// `directory` is on the disk of the ledger.
    pub fn new(directory: &Path) -> Self {
        let file = |name| File::create(directory.join(name)).unwrap();
        let (appended, mut in_place) = (file("appended"), file("in-place"));
        in_place.write_all(&PAGE).unwrap();
        in_place.sync_all().unwrap();
        Self { key: Key::number(0), appended, in_place, roots: 0 }
    }

    /// Takes some 50 ms: short, so that the machine has no time to change.
    pub fn round(&mut self) -> Baseline {
        let key = &self.key;
        let sign = per_operation(&mut self.roots, |root| {
            black_box(key.sign(&root));
        });
        let hash = per_operation(&mut self.roots, |root| {
            black_box(HashedRoot::new(&SigningRoot(root)));
        });
        let sync = median((0..SYNCS).map(|_| synced(&mut self.appended)));
        let sync_in_place = median((0..SYNCS).map(|_| {
            self.in_place.rewind().unwrap();
            synced(&mut self.in_place)
        }));
        Baseline { sign, hash, sync, sync_in_place }
    }
}

/// CPU time of a signature while all cores compute signatures. Where it is more than alone, cores share something (a
/// pipeline, a clock), and ratios to [`Baseline`] show that as well.
pub fn sign_on_all_cores() -> Duration {
    let threads = available_parallelism().map_or(1, std::num::NonZero::get);
    scope(|scope| {
        let sign = |thread: u64| {
            let (key, mut roots) = (Key::number(thread), thread << 32);
            per_operation(&mut roots, |root| {
                black_box(key.sign(&root));
            })
        };
        let threads: Vec<_> = (0..threads as u64).map(|thread| scope.spawn(move || sign(thread))).collect();
        median(threads.into_iter().map(|thread| thread.join().unwrap()))
    })
}

/// The median of some groups, each operation on another root.
fn per_operation(roots: &mut u64, operation: impl Fn([u8; 32])) -> Duration {
    median((0..GROUPS).map(|_| {
        let start = thread_cpu();
        for _ in 0..OPERATIONS {
            *roots += 1;
            let mut root = [0x5a; 32];
            root[..8].copy_from_slice(&roots.to_le_bytes());
            operation(root);
        }
        (thread_cpu() - start) / OPERATIONS
    }))
}

fn synced(file: &mut File) -> Duration {
    file.write_all(&PAGE).unwrap();
    let start = Instant::now();
    file.sync_data().unwrap();
    start.elapsed()
}

const GROUPS: usize = 5;
const OPERATIONS: u32 = 12;
const SYNCS: usize = 7;
const PAGE: [u8; 4096] = [7; 4096];
