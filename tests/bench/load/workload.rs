//! What validator clients ask for in a slot.

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::Options;
use crate::client::{Requests, Slot, body};
use crate::support::{Key, Request};
use crate::support::{aggregation_slot, attestation, block_header, sync_committee_message};

/// The duties of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Every key attests to the same: since Electra the rule, as a vote names no committee
    SharedRoot,
    /// Every few keys attest to the same, as many as `--keys-a-root` says
    GroupedRoots,
    /// Every key attests to something else: the worst that can be asked for
    DistinctRoots,
    /// Every key attests, proves its selection and signs a sync committee message; one proposes a block
    MixedSlot,
    /// One request at a time on an idle daemon
    OneAtATime,
    /// Every key attests to the same, in one request for all of them
    Batch,
    /// Every key attests to the same over a connection of its own, all of them at once
    AllAtOnce,
    /// A block proposal that arrives when half of all other keys' votes have been answered
    BlockBehindVotes,
}

/// How a workload is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub workload: Workload,
    pub connections: usize,
    /// So many keys sign the same vote, one after the other.
    pub keys_a_root: u64,
}

impl Workload {
    pub const EVERY: [Self; 8] = [
        Self::SharedRoot,
        Self::GroupedRoots,
        Self::DistinctRoots,
        Self::MixedSlot,
        Self::OneAtATime,
        Self::Batch,
        Self::AllAtOnce,
        Self::BlockBehindVotes,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::SharedRoot => "shared root",
            Self::GroupedRoots => "grouped roots",
            Self::DistinctRoots => "distinct roots",
            Self::MixedSlot => "mixed slot",
            Self::OneAtATime => "one at a time",
            Self::Batch => "batch",
            Self::AllAtOnce => "all at once",
            Self::BlockBehindVotes => "block behind votes",
        }
    }

    fn connections(self, options: &Options) -> Vec<usize> {
        match self {
            Self::SharedRoot
            | Self::GroupedRoots
            | Self::DistinctRoots
            | Self::MixedSlot
            | Self::BlockBehindVotes => options.connections.iter().copied().map(usize::from).collect(),
            Self::OneAtATime | Self::Batch => vec![1],
            Self::AllAtOnce => vec![options.keys as usize],
        }
    }

    fn keys_a_root(self, options: &Options) -> Vec<u64> {
        match self {
            Self::GroupedRoots => options.keys_a_root.clone(),
            Self::DistinctRoots | Self::OneAtATime => vec![1],
            Self::SharedRoot | Self::MixedSlot | Self::Batch | Self::AllAtOnce | Self::BlockBehindVotes => {
                vec![options.keys]
            }
        }
    }

    /// Whether all votes of a slot can share one sync of the ledger, so that a slow one delays the slot only so often.
    pub fn is_one_wave(self) -> bool {
        match self {
            Self::AllAtOnce | Self::Batch => true,
            Self::SharedRoot
            | Self::GroupedRoots
            | Self::DistinctRoots
            | Self::MixedSlot
            | Self::OneAtATime
            | Self::BlockBehindVotes => false,
        }
    }

    /// That every key's signature came is in the status of the answers, except where one answer is for many.
    pub fn check(self, slot: &Slot) {
        match self {
            Self::SharedRoot
            | Self::GroupedRoots
            | Self::DistinctRoots
            | Self::MixedSlot
            | Self::OneAtATime
            | Self::AllAtOnce
            | Self::BlockBehindVotes => {}
            Self::Batch => {
                let answer: Vec<Value> = serde_json::from_slice(body(&slot.answers[0])).unwrap();
                let is_signature = |text: &str| text.len() == 2 + 2 * 96 && text.starts_with("0x");
                let unsigned =
                    answer.iter().find(|item| !item["signature"].as_str().is_some_and(is_signature));
                assert!(unsigned.is_none(), "no signature: {unsigned:?}");
                assert_eq!(answer.len(), slot.signatures);
            }
        }
    }
}

impl Load {
    /// A workload once for each number of connections and of keys a root that the options have and that it heeds.
    pub fn every(workload: Workload, options: &Options) -> Vec<Self> {
        let all = workload.connections(options).into_iter().flat_map(|connections| {
            let keys = workload.keys_a_root(options).into_iter();
            keys.map(move |keys_a_root| Self { workload, connections, keys_a_root })
        });
        all.collect()
    }

    /// The requests of a slot. An epoch has one slot here, as a validator attests once an epoch.
    pub fn requests(self, validators: &Validators, slot: u64) -> Requests {
        let (source, target) = (slot, slot + 1);
        let vote = attestation(8 * target, source, target, 1);
        let block = || block_header(8 * target, 1);
        let mut in_the_midst = None;
        let queue = match self.workload {
            Workload::SharedRoot | Workload::AllAtOnce => validators.all_sign(&vote),
            Workload::GroupedRoots | Workload::DistinctRoots | Workload::OneAtATime => {
                let votes = (0..).map(|place| distinct(&vote, place / self.keys_a_root).to_string());
                validators.names.iter().zip(votes).map(|(name, vote)| sign(name, &vote)).collect()
            }
            Workload::MixedSlot => {
                let (selection, sync) = (aggregation_slot(8 * target), sync_committee_message(8 * target, 1));
                let duties = [vote, selection, sync].map(|duty| duty.to_string());
                let each =
                    validators.names.iter().flat_map(|name| duties.each_ref().map(|duty| sign(name, duty)));
                each.chain([sign(&validators.names[0], &block().to_string())]).collect()
            }
            Workload::Batch => {
                let request = Request::post(
                    "/api/v1/eth2/sign",
                    json!({"identifiers": validators.names, "signing_request": vote}).to_string(),
                );
                let signatures = validators.names.len();
                return Requests { queue: vec![request.bytes()], in_the_midst, signatures };
            }
            Workload::BlockBehindVotes => {
                let mut requests = validators.all_sign(&vote);
                requests[0] = sign(&validators.names[0], &block().to_string());
                in_the_midst = Some(requests.remove(0));
                requests
            }
        };
        let signatures = queue.len() + usize::from(in_the_midst.is_some());
        Requests { queue, in_the_midst, signatures }
    }
}

/// The keys as requests name them, made once: a public key takes as long as a signature.
pub struct Validators {
    names: Vec<String>,
}

impl Validators {
    pub fn of(keys: &[Key]) -> Self {
        Self { names: keys.iter().map(Key::name).collect() }
    }

    fn all_sign(&self, duty: &Value) -> Vec<Vec<u8>> {
        let duty = duty.to_string();
        self.names.iter().map(|name| sign(name, &duty)).collect()
    }
}

fn distinct(shared: &Value, number: u64) -> Value {
    let mut own = shared.clone();
    own["attestation"]["beacon_block_root"] = json!(format!("0x{number:064x}"));
    own
}

fn sign(name: &str, duty: &str) -> Vec<u8> {
    let request = Request::post(&format!("/api/v1/eth2/sign/{name}"), duty);
    request.header("Accept", "application/json").bytes()
}
