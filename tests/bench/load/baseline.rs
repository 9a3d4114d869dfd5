//! What the curve and the disk themselves cost on this machine at this moment: plain `blst` on one thread, plain `fdatasync`.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bls_signer::bls::HashedRoot;
use bls_signer::primitives::SigningRoot;

use crate::process::thread_cpu;
use crate::statistics::median;
use crate::support::Key;

/// The cost of one operation.
#[derive(Clone, Copy)]
pub struct Baseline {
    /// CPU time of a whole signature: hashing to the curve and multiplying.
    pub sign: Duration,
    /// CPU time of hashing to the curve alone.
    pub hash: Duration,
    /// Until a page that was appended to a file is on the disk that the ledger is on.
    pub sync: Duration,
}

impl Baseline {
    /// `directory` is on the disk of the ledger.
    pub fn measure(directory: &Path) -> Self {
        let key = Key::number(0);
        Self {
            sign: per_operation(|root| {
                std::hint::black_box(key.sign(&root));
            }),
            hash: per_operation(|root| {
                std::hint::black_box(HashedRoot::new(&SigningRoot(root)));
            }),
            sync: sync(directory),
        }
    }

    /// The scalar multiplication alone.
    pub fn multiplication(&self) -> Duration {
        self.sign.saturating_sub(self.hash)
    }

    /// The mean of two measurements: before and after what they are compared with.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            sign: (self.sign + other.sign) / 2,
            hash: (self.hash + other.hash) / 2,
            sync: (self.sync + other.sync) / 2,
        }
    }
}

/// The median of some rounds, each over different roots.
fn per_operation(operation: impl Fn([u8; 32])) -> Duration {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|round| {
            let start = thread_cpu();
            for number in 0..OPERATIONS {
                operation([round ^ number; 32]);
            }
            (thread_cpu() - start) / u32::from(OPERATIONS)
        })
        .collect();
    median(&mut rounds)
}

fn sync(directory: &Path) -> Duration {
    let path = directory.join("sync");
    let mut file = File::create(&path).unwrap();
    let mut syncs: Vec<_> = (0..SYNCS)
        .map(|_| {
            file.write_all(&[7; 4096]).unwrap();
            let start = Instant::now();
            file.sync_data().unwrap();
            start.elapsed()
        })
        .collect();
    std::fs::remove_file(path).unwrap();
    median(&mut syncs)
}

const ROUNDS: u8 = 9;
const OPERATIONS: u8 = 100;
const SYNCS: usize = 51;
