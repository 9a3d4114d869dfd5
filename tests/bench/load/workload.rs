//! What validator clients ask for in a slot.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::Options;
use crate::client::{Clients, Slot};
use crate::process;
use crate::support::{Address, Daemon, Key, Request};
use crate::support::{aggregation_slot, attestation, block_header, sync_committee_message};

/// The duties of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Every key attests to the same: since Electra the rule, as a vote names no committee.
    SharedRoot,
    /// Every key attests to something else: the worst that can be asked for.
    DistinctRoots,
    /// Every key attests, proves its selection and signs a sync committee message; one proposes a block.
    MixedSlot,
    /// One request at a time on an idle daemon.
    OneAtATime,
}

impl Workload {
    pub const EVERY: [Self; 4] = [Self::SharedRoot, Self::DistinctRoots, Self::MixedSlot, Self::OneAtATime];

    pub fn name(self) -> &'static str {
        match self {
            Self::SharedRoot => "shared root",
            Self::DistinctRoots => "distinct roots",
            Self::MixedSlot => "mixed slot",
            Self::OneAtATime => "one at a time",
        }
    }

    fn connections(self, wanted: usize) -> usize {
        match self {
            Self::SharedRoot | Self::DistinctRoots | Self::MixedSlot => wanted,
            Self::OneAtATime => 1,
        }
    }

    /// The requests of a slot. An epoch has one slot here, as a validator attests once an epoch.
    fn requests(self, keys: &[Key], slot: u64) -> Vec<Vec<u8>> {
        let (source, target) = (slot, slot + 1);
        let shared = attestation(8 * target, source, target, 1);
        match self {
            Self::SharedRoot => keys.iter().map(|key| sign(key, &shared)).collect(),
            Self::DistinctRoots | Self::OneAtATime => {
                keys.iter().zip(0_u64..).map(|(key, number)| sign(key, &distinct(&shared, number))).collect()
            }
            Self::MixedSlot => {
                let selection = aggregation_slot(8 * target);
                let sync = sync_committee_message(8 * target, 1);
                let each =
                    keys.iter().flat_map(|key| [&shared, &selection, &sync].map(|duty| sign(key, duty)));
                each.chain(keys.first().map(|key| sign(key, &block_header(8 * target, 1)))).collect()
            }
        }
    }
}

/// What a workload took.
pub struct Measured {
    pub slots: Vec<Slot>,
    /// The daemon's, over all slots.
    pub cpu: Duration,
    pub connections: usize,
    /// The daemon's resident memory in KiB: after the first slot, and after the last.
    pub resident: (u64, u64),
}

impl Measured {
    pub fn signatures(&self) -> usize {
        self.slots.iter().map(|slot| slot.latencies.len()).sum()
    }
}

/// Runs one slot to warm up and then those that count.
pub fn run(workload: Workload, daemon: &Daemon, keys: &[Key], options: &Options) -> Measured {
    let Address::Unix(socket) = daemon.socket() else { panic!("the daemon listens on a Unix socket") };
    let connections = workload.connections(options.connections);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let mut clients = Clients::connect(&socket, connections).await;
        clients.send(workload.requests(keys, 0)).await;
        let resident = || process::status_kib(daemon.pid(), "VmRSS:");
        let after_first = resident();
        let mut measured = Measured {
            slots: Vec::new(),
            cpu: Duration::ZERO,
            connections,
            resident: (after_first, after_first),
        };
        for slot in 1..=options.slots {
            let requests = workload.requests(keys, slot);
            let before = process::cpu(daemon.pid());
            measured.slots.push(clients.send(requests).await);
            measured.cpu += process::cpu(daemon.pid()) - before;
        }
        measured.resident.1 = resident();
        measured
    })
}

fn distinct(shared: &Value, number: u64) -> Value {
    let mut own = shared.clone();
    own["attestation"]["beacon_block_root"] = json!(format!("0x{number:064x}"));
    own
}

fn sign(key: &Key, duty: &Value) -> Vec<u8> {
    let request = Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), duty.to_string());
    request.header("Accept", "application/json").bytes()
}
