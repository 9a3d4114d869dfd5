//! What the curve itself costs on this machine at this moment: plain `blst`, one thread.

use std::time::Duration;

use bls_signer::bls::HashedRoot;
use bls_signer::primitives::SigningRoot;

use crate::process::thread_cpu;
use crate::statistics::median;
use crate::support::Key;

/// CPU time of one operation.
#[derive(Clone, Copy)]
pub struct Baseline {
    /// A whole signature: hashing to the curve and multiplying.
    pub sign: Duration,
    /// Hashing to the curve alone.
    pub hash: Duration,
}

impl Baseline {
    pub fn measure() -> Self {
        let key = Key::number(0);
        Self {
            sign: per_operation(|root| {
                std::hint::black_box(key.sign(&root));
            }),
            hash: per_operation(|root| {
                std::hint::black_box(HashedRoot::new(&SigningRoot(root)));
            }),
        }
    }

    /// The scalar multiplication alone.
    pub fn multiplication(&self) -> Duration {
        self.sign.saturating_sub(self.hash)
    }

    /// The mean of two measurements: before and after what they are compared with.
    pub fn and(&self, other: &Self) -> Self {
        Self { sign: (self.sign + other.sign) / 2, hash: (self.hash + other.hash) / 2 }
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

const ROUNDS: u8 = 9;
const OPERATIONS: u8 = 100;
