//! The ledger as its callers see it, on real files.

use std::path::Path;

use super::order::Deletion;
use super::watermarks::Request;
use super::{Cleared, Fault, Ledger, Missing, OfKey, OutOfUse, Refusal, Settings, Verdict, Withheld};
use crate::bls::PublicKey;
use crate::duty::Claim;
use crate::primitives::{Epoch, Root, SigningRoot, Slot};

mod alone;
#[allow(clippy::duplicate_mod)] // The suite is run in two ways.
mod beside;
mod counted;
mod counted_place;
mod fault_events;
mod fault_vfs;
mod memory_judge;
mod postgres;
mod postgres_server;
mod power_loss;
mod promises;
mod raw_roots;
mod rollback;
mod throughput;
mod tpm_double;
mod two_judges;
mod unproven;

/// Settings for a directory that may still be empty.
fn settings(directory: &Path) -> Settings {
    Settings { missing: Missing::Create, ..Settings::new(directory.join("state")) }
}

fn open(directory: &Path) -> Ledger {
    Ledger::open(settings(directory)).unwrap()
}

fn block(key: u8, slot: u64, root: u8) -> Request {
    request(key, root, Claim::Block { slot: Slot(slot) })
}

fn attestation(key: u8, source: u64, target: u64, root: u8) -> Request {
    request(key, root, Claim::Attestation { source: Epoch(source), target: Epoch(target) })
}

fn raw_root(key: u8, root: u8) -> Request {
    Request { chain: None, ..request(key, root, Claim::RawRoot) }
}

fn request(key: u8, root: u8, claim: Claim) -> Request {
    Request {
        public_key: public_key(key),
        signing_root: SigningRoot([root; 32]),
        claim,
        chain: Some(CHAIN),
        only_once: false,
    }
}

impl OfKey for Deletion {
    fn public_key(&self) -> PublicKey {
        self.public_key
    }
}

impl OutOfUse for Deletion {
    fn was_active(&self) -> bool {
        self.active
    }
}

fn public_key(byte: u8) -> PublicKey {
    PublicKey([byte; 48])
}

/// Asks, and waits until the record is durable.
fn ask(ledger: &Ledger, request: Request) -> Result<Result<Cleared, Refusal>, Fault> {
    wait(async {
        match ledger.judge(&request).await? {
            Verdict::Allowed(judged) => cleared_or_refused(judged.cleared().await),
            Verdict::Refused(refusal) => Ok(Err(refusal)),
        }
    })
}

fn cleared_or_refused(result: Result<Cleared, Withheld>) -> Result<Result<Cleared, Refusal>, Fault> {
    match result {
        Ok(cleared) => Ok(Ok(cleared)),
        Err(Withheld::Refused(refusal)) => Ok(Err(refusal)),
        Err(Withheld::Fault(fault)) => Err(fault),
    }
}

/// Asks, and expects the message to pass.
fn sign(ledger: &Ledger, request: Request) {
    ask(ledger, request).unwrap().unwrap();
}

/// Asks, and expects a refusal.
fn refuse(ledger: &Ledger, request: Request) -> Refusal {
    ask(ledger, request).unwrap().unwrap_err()
}

/// Asks, and expects a fault.
fn fail(ledger: &Ledger, request: Request) -> Fault {
    ask(ledger, request).unwrap_err()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

const CHAIN: Root = Root([0xC4; 32]);
