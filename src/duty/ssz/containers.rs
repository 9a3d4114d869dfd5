//! The messages a validator signs, and what they are made of, as the consensus specifications write them.
//!
//! Names and order of fields are what is hashed. Limits that differ by preset are functions of it.

use super::Schema::{
    Bitlist, Bitvector, Boolean, ByteList, Bytes, Container, List, ProgressiveBitlist, ProgressiveByteList,
    ProgressiveContainer, ProgressiveList, Root, Uint64, Uint64List, Uint256, Vector,
};
use super::{Length, Schema};
use crate::network::{MAX_VALIDATORS_PER_COMMITTEE, Preset};

// phase0: messages

pub(in crate::duty) const AGGREGATION_SLOT: Schema = Container(&[("slot", Uint64)]);

pub(in crate::duty) const RANDAO_REVEAL: Schema = Container(&[("epoch", Uint64)]);

pub(in crate::duty) const ATTESTATION_DATA: Schema = Container(&[
    ("slot", Uint64),
    ("index", Uint64),
    ("beacon_block_root", Root),
    ("source", CHECKPOINT),
    ("target", CHECKPOINT),
]);

pub(in crate::duty) const AGGREGATE_AND_PROOF: Schema =
    Container(&[("aggregator_index", Uint64), ("aggregate", ATTESTATION), ("selection_proof", SIGNATURE)]);

pub(in crate::duty) const VOLUNTARY_EXIT: Schema =
    Container(&[("epoch", Uint64), ("validator_index", Uint64)]);

pub(in crate::duty) const DEPOSIT_MESSAGE: Schema =
    Container(&[("pubkey", PUBKEY), ("withdrawal_credentials", Root), ("amount", Uint64)]);

pub(in crate::duty) const BEACON_BLOCK_HEADER: Schema = Container(&[
    ("slot", Uint64),
    ("proposer_index", Uint64),
    ("parent_root", Root),
    ("state_root", Root),
    ("body_root", Root),
]);

pub(in crate::duty) const PHASE0_BEACON_BLOCK: Schema = Container(&[
    ("slot", Uint64),
    ("proposer_index", Uint64),
    ("parent_root", Root),
    ("state_root", Root),
    ("body", PHASE0_BEACON_BLOCK_BODY),
]);

// phase0: parts

const CHECKPOINT: Schema = Container(&[("epoch", Uint64), ("root", Root)]);

const ATTESTATION: Schema = Container(&[
    ("aggregation_bits", Bitlist(Length::Fixed(MAX_VALIDATORS_PER_COMMITTEE))),
    ("data", ATTESTATION_DATA),
    ("signature", SIGNATURE),
]);

const PHASE0_BEACON_BLOCK_BODY: Schema = Container(&[
    ("randao_reveal", SIGNATURE),
    ("eth1_data", ETH1_DATA),
    ("graffiti", Root),
    ("proposer_slashings", List(&PROPOSER_SLASHING, 16)),
    ("attester_slashings", List(&ATTESTER_SLASHING, 2)),
    ("attestations", List(&ATTESTATION, 128)),
    ("deposits", List(&DEPOSIT, 16)),
    ("voluntary_exits", List(&SIGNED_VOLUNTARY_EXIT, 16)),
]);

const ETH1_DATA: Schema =
    Container(&[("deposit_root", Root), ("deposit_count", Uint64), ("block_hash", Root)]);

const PROPOSER_SLASHING: Schema =
    Container(&[("signed_header_1", SIGNED_BLOCK_HEADER), ("signed_header_2", SIGNED_BLOCK_HEADER)]);

const SIGNED_BLOCK_HEADER: Schema = Container(&[("message", BEACON_BLOCK_HEADER), ("signature", SIGNATURE)]);

const ATTESTER_SLASHING: Schema =
    Container(&[("attestation_1", INDEXED_ATTESTATION), ("attestation_2", INDEXED_ATTESTATION)]);

const INDEXED_ATTESTATION: Schema = Container(&[
    ("attesting_indices", Uint64List(MAX_VALIDATORS_PER_COMMITTEE)),
    ("data", ATTESTATION_DATA),
    ("signature", SIGNATURE),
]);

const DEPOSIT: Schema = Container(&[("proof", Vector(&Root, 33)), ("data", DEPOSIT_DATA)]);

const DEPOSIT_DATA: Schema = Container(&[
    ("pubkey", PUBKEY),
    ("withdrawal_credentials", Root),
    ("amount", Uint64),
    ("signature", SIGNATURE),
]);

const SIGNED_VOLUNTARY_EXIT: Schema = Container(&[("message", VOLUNTARY_EXIT), ("signature", SIGNATURE)]);

const PUBKEY: Schema = Bytes(48);

const SIGNATURE: Schema = Bytes(96);

const ADDRESS: Schema = Bytes(20);

// Altair

pub(in crate::duty) const ALTAIR_BEACON_BLOCK: Schema = Container(&[
    ("slot", Uint64),
    ("proposer_index", Uint64),
    ("parent_root", Root),
    ("state_root", Root),
    ("body", ALTAIR_BEACON_BLOCK_BODY),
]);

pub(in crate::duty) const SYNC_AGGREGATOR_SELECTION_DATA: Schema =
    Container(&[("slot", Uint64), ("subcommittee_index", Uint64)]);

pub(in crate::duty) const CONTRIBUTION_AND_PROOF: Schema = Container(&[
    ("aggregator_index", Uint64),
    ("contribution", SYNC_COMMITTEE_CONTRIBUTION),
    ("selection_proof", SIGNATURE),
]);

const SYNC_COMMITTEE_CONTRIBUTION: Schema = Container(&[
    ("slot", Uint64),
    ("beacon_block_root", Root),
    ("subcommittee_index", Uint64),
    ("aggregation_bits", Bitvector(Length::Of(Preset::sync_subcommittee_size))),
    ("signature", SIGNATURE),
]);

const ALTAIR_BEACON_BLOCK_BODY: Schema = Container(&[
    ("randao_reveal", SIGNATURE),
    ("eth1_data", ETH1_DATA),
    ("graffiti", Root),
    ("proposer_slashings", List(&PROPOSER_SLASHING, 16)),
    ("attester_slashings", List(&ATTESTER_SLASHING, 2)),
    ("attestations", List(&ATTESTATION, 128)),
    ("deposits", List(&DEPOSIT, 16)),
    ("voluntary_exits", List(&SIGNED_VOLUNTARY_EXIT, 16)),
    ("sync_aggregate", SYNC_AGGREGATE),
]);

const SYNC_AGGREGATE: Schema = Container(&[
    ("sync_committee_bits", Bitvector(Length::Of(Preset::sync_committee_size))),
    ("sync_committee_signature", SIGNATURE),
]);

// Electra

pub(in crate::duty) const ELECTRA_AGGREGATE_AND_PROOF: Schema = Container(&[
    ("aggregator_index", Uint64),
    ("aggregate", ELECTRA_ATTESTATION),
    ("selection_proof", SIGNATURE),
]);

const ELECTRA_ATTESTATION: Schema = Container(&[
    ("aggregation_bits", Bitlist(Length::Of(Preset::max_validators_per_slot))),
    ("data", ATTESTATION_DATA),
    ("signature", SIGNATURE),
    ("committee_bits", COMMITTEE_BITS),
]);

const COMMITTEE_BITS: Schema = Bitvector(Length::Of(Preset::max_committees_per_slot));

// Gloas: messages

pub(in crate::duty) const GLOAS_AGGREGATE_AND_PROOF: Schema = Container(&[
    ("aggregator_index", Uint64),
    ("aggregate", GLOAS_ATTESTATION),
    ("selection_proof", SIGNATURE),
]);

pub(in crate::duty) const PAYLOAD_ATTESTATION_DATA: Schema = Container(&[
    ("beacon_block_root", Root),
    ("slot", Uint64),
    ("payload_present", Boolean),
    ("blob_data_available", Boolean),
]);

pub(in crate::duty) const PROPOSER_PREFERENCES: Schema = Container(&[
    ("dependent_root", Root),
    ("proposal_slot", Uint64),
    ("validator_index", Uint64),
    ("fee_recipient", ADDRESS),
    ("target_gas_limit", Uint64),
]);

/// The same message with the gas limit under the name of earlier drafts.
pub(in crate::duty) const DRAFT_PROPOSER_PREFERENCES: Schema = Container(&[
    ("dependent_root", Root),
    ("proposal_slot", Uint64),
    ("validator_index", Uint64),
    ("fee_recipient", ADDRESS),
    ("gas_limit", Uint64),
]);

pub(in crate::duty) const EXECUTION_PAYLOAD_BID: Schema = ProgressiveContainer(&[
    ("parent_block_hash", Root),
    ("parent_block_root", Root),
    ("block_hash", Root),
    ("prev_randao", Root),
    ("fee_recipient", ADDRESS),
    ("gas_limit", Uint64),
    ("builder_index", Uint64),
    ("slot", Uint64),
    ("value", Uint64),
    ("execution_payment", Uint64),
    ("blob_kzg_commitments", ProgressiveList(&KZG_COMMITMENT)),
    ("execution_requests_root", Root),
]);

pub(in crate::duty) const EXECUTION_PAYLOAD_ENVELOPE: Schema = ProgressiveContainer(&[
    ("payload", EXECUTION_PAYLOAD),
    ("execution_requests", EXECUTION_REQUESTS),
    ("builder_index", Uint64),
    ("beacon_block_root", Root),
    ("parent_beacon_block_root", Root),
]);

// Gloas: parts

const GLOAS_ATTESTATION: Schema = ProgressiveContainer(&[
    ("aggregation_bits", ProgressiveBitlist),
    ("data", ATTESTATION_DATA),
    ("signature", SIGNATURE),
    ("committee_bits", COMMITTEE_BITS),
]);

const EXECUTION_PAYLOAD: Schema = ProgressiveContainer(&[
    ("parent_hash", Root),
    ("fee_recipient", ADDRESS),
    ("state_root", Root),
    ("receipts_root", Root),
    ("logs_bloom", Bytes(256)),
    ("prev_randao", Root),
    ("block_number", Uint64),
    ("gas_limit", Uint64),
    ("gas_used", Uint64),
    ("timestamp", Uint64),
    ("extra_data", ByteList(32)),
    ("base_fee_per_gas", Uint256),
    ("block_hash", Root),
    ("transactions", ProgressiveList(&ProgressiveByteList)),
    ("withdrawals", ProgressiveList(&WITHDRAWAL)),
    ("blob_gas_used", Uint64),
    ("excess_blob_gas", Uint64),
    ("block_access_list", ProgressiveByteList),
    ("slot_number", Uint64),
]);

const WITHDRAWAL: Schema =
    Container(&[("index", Uint64), ("validator_index", Uint64), ("address", ADDRESS), ("amount", Uint64)]);

const EXECUTION_REQUESTS: Schema = ProgressiveContainer(&[
    ("deposits", ProgressiveList(&DEPOSIT_REQUEST)),
    ("withdrawals", ProgressiveList(&WITHDRAWAL_REQUEST)),
    ("consolidations", ProgressiveList(&CONSOLIDATION_REQUEST)),
    ("builder_deposits", ProgressiveList(&BUILDER_DEPOSIT_REQUEST)),
    ("builder_exits", ProgressiveList(&BUILDER_EXIT_REQUEST)),
]);

const DEPOSIT_REQUEST: Schema = Container(&[
    ("pubkey", PUBKEY),
    ("withdrawal_credentials", Root),
    ("amount", Uint64),
    ("signature", SIGNATURE),
    ("index", Uint64),
]);

const WITHDRAWAL_REQUEST: Schema =
    Container(&[("source_address", ADDRESS), ("validator_pubkey", PUBKEY), ("amount", Uint64)]);

const CONSOLIDATION_REQUEST: Schema =
    Container(&[("source_address", ADDRESS), ("source_pubkey", PUBKEY), ("target_pubkey", PUBKEY)]);

const BUILDER_DEPOSIT_REQUEST: Schema = Container(&[
    ("pubkey", PUBKEY),
    ("withdrawal_credentials", Root),
    ("amount", Uint64),
    ("signature", SIGNATURE),
]);

const BUILDER_EXIT_REQUEST: Schema = Container(&[("source_address", ADDRESS), ("pubkey", PUBKEY)]);

const KZG_COMMITMENT: Schema = Bytes(48);

// Builder API

pub(in crate::duty) const VALIDATOR_REGISTRATION: Schema = Container(&[
    ("fee_recipient", ADDRESS),
    ("gas_limit", Uint64),
    ("timestamp", Uint64),
    ("pubkey", PUBKEY),
]);

pub(in crate::duty) const BUILDER_REQUEST_AUTH: Schema =
    Container(&[("data", ByteList(4096)), ("slot", Uint64)]);
