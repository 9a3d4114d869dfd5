// One function a message type: the JSON payload as clients send it, beside the root and domain that Lodestar computes for it.
import * as P from "@lodestar/params";
import {computeDomain} from "@lodestar/state-transition";
import {ssz} from "@lodestar/types";
import {hex} from "./keys.mjs";
import {isFrom} from "./network.mjs";

const ZERO_ROOT = new Uint8Array(32);

/** Messages of one chain. `config` is Lodestar's beacon configuration, whose genesis validators root may still be zero. */
export class Messages {
  constructor(config) {
    this.config = config;
  }

  deposit(message) {
    const version = this.config.GENESIS_FORK_VERSION;
    return {
      type: "DEPOSIT",
      fields: {deposit: {...ssz.phase0.DepositMessage.toJson(message), genesis_fork_version: hex(version)}},
      objectRoot: ssz.phase0.DepositMessage.hashTreeRoot(message),
      domain: computeDomain(P.DOMAIN_DEPOSIT, version, ZERO_ROOT),
    };
  }

  randaoReveal(slot) {
    const epoch = Math.floor(slot / P.SLOTS_PER_EPOCH);
    return this.#at(slot, "RANDAO_REVEAL", P.DOMAIN_RANDAO, {randao_reveal: {epoch: String(epoch)}}, ssz.Epoch.hashTreeRoot(epoch));
  }

  /** Full blocks before Bellatrix, headers from then on, as the API asks for. */
  block(block) {
    const fork = this.config.getForkName(block.slot);
    const types = this.config.getForkTypes(block.slot);
    const version = fork.toUpperCase();
    const header = {...block, bodyRoot: types.BeaconBlockBody.hashTreeRoot(block.body)};
    const beacon_block = isFrom("bellatrix", fork)
      ? {version, block_header: ssz.phase0.BeaconBlockHeader.toJson(header)}
      : {version, block: types.BeaconBlock.toJson(block)};
    return this.#at(block.slot, "BLOCK_V2", P.DOMAIN_BEACON_PROPOSER, {beacon_block}, types.BeaconBlock.hashTreeRoot(block));
  }

  attestation(data) {
    const slot = data.target.epoch * P.SLOTS_PER_EPOCH;
    const type = ssz.phase0.AttestationData;
    return this.#at(slot, "ATTESTATION", P.DOMAIN_BEACON_ATTESTER, {attestation: type.toJson(data)}, type.hashTreeRoot(data));
  }

  aggregationSlot(slot) {
    const fields = {aggregation_slot: {slot: String(slot)}};
    return this.#at(slot, "AGGREGATION_SLOT", P.DOMAIN_SELECTION_PROOF, fields, ssz.Slot.hashTreeRoot(slot));
  }

  /** The bare aggregate, under the type's first name. */
  aggregate(value) {
    return this.#aggregate(value, "AGGREGATE_AND_PROOF", (json) => json);
  }

  /** The aggregate in a wrapper that names the fork. */
  aggregateV2(value) {
    const version = this.config.getForkName(value.aggregate.data.slot).toUpperCase();
    return this.#aggregate(value, "AGGREGATE_AND_PROOF_V2", (data) => ({version, data}));
  }

  syncCommitteeMessage(slot, beaconBlockRoot) {
    const fields = {sync_committee_message: {beacon_block_root: hex(beaconBlockRoot), slot: String(slot)}};
    return this.#at(slot, "SYNC_COMMITTEE_MESSAGE", P.DOMAIN_SYNC_COMMITTEE, fields, beaconBlockRoot);
  }

  syncSelection(slot, subcommitteeIndex) {
    const type = ssz.altair.SyncAggregatorSelectionData;
    const value = {slot, subcommitteeIndex};
    const fields = {sync_aggregator_selection_data: type.toJson(value)};
    const domain = P.DOMAIN_SYNC_COMMITTEE_SELECTION_PROOF;
    return this.#at(slot, "SYNC_COMMITTEE_SELECTION_PROOF", domain, fields, type.hashTreeRoot(value));
  }

  syncContribution(value) {
    const type = ssz.altair.ContributionAndProof;
    const fields = {contribution_and_proof: type.toJson(value)};
    const domain = P.DOMAIN_CONTRIBUTION_AND_PROOF;
    return this.#at(value.contribution.slot, "SYNC_COMMITTEE_CONTRIBUTION_AND_PROOF", domain, fields, type.hashTreeRoot(value));
  }

  validatorRegistration(value) {
    const type = ssz.bellatrix.ValidatorRegistrationV1;
    return {
      type: "VALIDATOR_REGISTRATION",
      fields: {validator_registration: type.toJson(value)},
      objectRoot: type.hashTreeRoot(value),
      domain: computeDomain(P.DOMAIN_APPLICATION_BUILDER, this.config.GENESIS_FORK_VERSION, ZERO_ROOT),
    };
  }

  /** From Deneb on every exit is signed for the Capella fork (EIP-7044). */
  voluntaryExit(slot, value) {
    const type = ssz.phase0.VoluntaryExit;
    const fields = {voluntary_exit: type.toJson(value)};
    const message = this.#at(slot, "VOLUNTARY_EXIT", P.DOMAIN_VOLUNTARY_EXIT, fields, type.hashTreeRoot(value));
    if (!isFrom("deneb", this.config.getForkName(slot))) return message;
    const domain = computeDomain(P.DOMAIN_VOLUNTARY_EXIT, this.config.CAPELLA_FORK_VERSION, this.config.genesisValidatorsRoot);
    return {...message, domain, fork: this.config.forks.capella};
  }

  /** Gloas: what a member of the payload timeliness committee says it saw. */
  payloadAttestation(data) {
    const name = "payload_attestation_message";
    return this.#gloas(data.slot, "PAYLOAD_ATTESTATION_MESSAGE", name, ssz.gloas.PayloadAttestationData, data, P.DOMAIN_PTC_ATTESTER);
  }

  proposerPreferences(value) {
    const {DOMAIN_PROPOSER_PREFERENCES: domain} = P;
    return this.#gloas(value.proposalSlot, "PROPOSER_PREFERENCES", "proposer_preferences", ssz.gloas.ProposerPreferences, value, domain);
  }

  payloadBid(bid) {
    const {DOMAIN_BEACON_BUILDER: domain} = P;
    return this.#gloas(bid.slot, "EXECUTION_PAYLOAD_BID", "execution_payload_bid", ssz.gloas.ExecutionPayloadBid, bid, domain);
  }

  payloadEnvelope(envelope) {
    const type = ssz.gloas.ExecutionPayloadEnvelope;
    const slot = Number(envelope.payload.slotNumber);
    return this.#gloas(slot, "EXECUTION_PAYLOAD_ENVELOPE", "execution_payload_envelope", type, envelope, P.DOMAIN_BEACON_BUILDER);
  }

  #aggregate(value, name, wrap) {
    const {slot} = value.aggregate.data;
    const type = this.config.getForkTypes(slot).AggregateAndProof;
    const fields = {aggregate_and_proof: wrap(type.toJson(value))};
    return this.#at(slot, name, P.DOMAIN_AGGREGATE_AND_PROOF, fields, type.hashTreeRoot(value));
  }

  #gloas(slot, name, field, type, value, domain) {
    return this.#at(slot, name, domain, {[field]: {version: "GLOAS", data: type.toJson(value)}}, type.hashTreeRoot(value));
  }

  #at(slot, type, domainType, fields, objectRoot) {
    return {type, fields, objectRoot, domain: this.config.getDomain(slot, domainType), slot};
  }
}
