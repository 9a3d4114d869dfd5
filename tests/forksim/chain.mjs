// A beacon chain in one process, without clock or network. Lodestar's state transition applies every block with all signature
// checks on; each signature is the remote signer's.
import * as blst from "@chainsafe/blst";
import {Tree} from "@chainsafe/persistent-merkle-tree";
import {BitArray} from "@chainsafe/ssz";
import {createBeaconConfig} from "@lodestar/config";
import * as P from "@lodestar/params";
import * as st from "@lodestar/state-transition";
import {ssz} from "@lodestar/types";
import {digest} from "./keys.mjs";
import {Messages} from "./messages.mjs";
import {FINAL_FORK_EPOCH, isFrom} from "./network.mjs";
import {builderBid, envelope, payloadSeen, preferences} from "./payload.mjs";

const SUBCOMMITTEE_SIZE = P.SYNC_COMMITTEE_SIZE / P.SYNC_COMMITTEE_SUBNET_COUNT;
const EXTERNAL_DATA = {executionPayloadStatus: "valid", dataAvailabilityStatus: "Available"};
const UNCHECKED = {verifyStateRoot: false, verifyProposer: false, verifySignatures: false};
const CHECKED = {verifyStateRoot: true, verifyProposer: true, verifySignatures: true};

export class Chain {
  blocksPerFork = {};
  lastBlock;
  lastVote; // {key, data}
  #attestations = []; // of the slot before, for the next block
  #exits = 0;

  /** Genesis from deposits that the signer signed; a bad one would leave its validator out. */
  static async fromDeposits(chainConfig, keys, signer) {
    const messages = new Messages(createBeaconConfig(chainConfig, new Uint8Array(32)));
    const tree = ssz.phase0.DepositDataRootList.defaultViewDU();
    const deposits = [];
    for (const [i, key] of keys.entries()) {
      const message = {pubkey: key.publicKey, withdrawalCredentials: withdrawalCredentials(i), amount: 32e9};
      const data = {...message, signature: await signer.sign(key, messages.deposit(message))};
      tree.push(ssz.phase0.DepositData.hashTreeRoot(data));
      tree.commit();
      deposits.push({proof: new Tree(tree.node).getSingleProof(tree.type.getPropertyGindex(i)), data});
    }
    const context = {config: messages.config, pubkeyCache: st.createPubkeyCache()};
    const genesis = st.initializeBeaconStateFromEth1(chainConfig, context, digest("eth1"), 1_700_000_000, deposits, tree);
    const config = createBeaconConfig(chainConfig, genesis.genesisValidatorsRoot);
    const state = ssz.phase0.BeaconState.deserializeToViewDU(genesis.serialize());
    signer.config = config;
    return new Chain(config, keys, signer, st.createCachedBeaconState(state, {config, pubkeyCache: st.createPubkeyCache()}));
  }

  constructor(config, keys, signer, state) {
    this.config = config;
    this.keys = keys;
    this.signer = signer;
    this.state = state;
    this.messages = new Messages(config);
  }

  get activeValidators() {
    return st.getActiveValidatorIndices(this.state, 0).length;
  }

  get finalizedEpoch() {
    return this.state.finalizedCheckpoint.epoch;
  }

  /** One slot: a block with everything that belongs into it, then the duties that follow on it. */
  async advance(slot) {
    const fork = this.config.getForkName(slot);
    const block = await this.#propose(slot, fork);
    await this.#attest(slot, fork, block);
    if (slot % P.SLOTS_PER_EPOCH === 1) await this.#register(slot);
    if (isFrom("gloas", fork)) await this.#payloadDuties(slot, block);
    this.blocksPerFork[fork] = (this.blocksPerFork[fork] ?? 0) + 1;
    this.lastBlock = block;
  }

  #sign(validator, message) {
    return this.signer.sign(this.keys[validator], message);
  }

  async #propose(slot, fork) {
    const before = st.processSlots(this.state, slot);
    const proposer = before.epochCtx.getBeaconProposer(slot);
    const parentRoot = st.getBlockRootAtSlot(before, slot - 1);
    const body = this.config.getForkTypes(slot).BeaconBlockBody.defaultValue();
    body.randaoReveal = await this.#sign(proposer, this.messages.randaoReveal(slot));
    body.eth1Data = before.eth1Data.toValue();
    body.graffiti = digest("graffiti", slot);
    body.attestations = this.#attestations.map((a) => attestation(fork, a));
    if (isFrom("altair", fork)) body.syncAggregate = await this.#syncAggregate(before, slot - 1, parentRoot);
    if (isFrom("bellatrix", fork) && !isFrom("gloas", fork)) this.#fillPayload(body.executionPayload, before, slot, fork);
    if (isFrom("gloas", fork)) body.signedExecutionPayloadBid = selfBuiltBid(before, slot, parentRoot);
    const exit = await this.#voluntaryExit(slot);
    if (exit) body.voluntaryExits = [exit];

    const block = {slot, proposerIndex: proposer, parentRoot, stateRoot: new Uint8Array(32), body};
    const unsigned = {message: block, signature: new Uint8Array(96)};
    block.stateRoot = st.stateTransition(this.state, unsigned, {...EXTERNAL_DATA, ...UNCHECKED}).hashTreeRoot();
    const signature = await this.#sign(proposer, this.messages.block(block));
    this.state = st.stateTransition(this.state, {message: block, signature}, {...EXTERNAL_DATA, ...CHECKED});
    return block;
  }

  /** The sync committee's votes for the slot before, and its aggregators' duties on them. */
  async #syncAggregate(state, slot, blockRoot) {
    const bits = BitArray.fromBitLen(P.SYNC_COMMITTEE_SIZE);
    if (!isFrom("altair", this.config.getForkName(slot))) {
      return {syncCommitteeBits: bits, syncCommitteeSignature: st.G2_POINT_AT_INFINITY};
    }
    const members = [...state.epochCtx.currentSyncCommitteeIndexed.validatorIndices];
    const message = this.messages.syncCommitteeMessage(slot, blockRoot);
    const byMember = new Map();
    await Promise.all([...new Set(members)].map(async (v) => byMember.set(v, await this.#sign(v, message))));
    const signatures = members.map((v) => byMember.get(v));
    members.forEach((_, position) => bits.set(position, true));
    for (let subcommittee = 0; subcommittee < P.SYNC_COMMITTEE_SUBNET_COUNT; subcommittee++) {
      const first = subcommittee * SUBCOMMITTEE_SIZE;
      const aggregator = members[first + (slot % SUBCOMMITTEE_SIZE)];
      await this.#contribute(slot, blockRoot, subcommittee, aggregator, signatures.slice(first, first + SUBCOMMITTEE_SIZE));
    }
    return {syncCommitteeBits: bits, syncCommitteeSignature: aggregate(signatures)};
  }

  async #contribute(slot, beaconBlockRoot, subcommitteeIndex, aggregatorIndex, signatures) {
    const selectionProof = await this.#sign(aggregatorIndex, this.messages.syncSelection(slot, subcommitteeIndex));
    const aggregationBits = allSet(SUBCOMMITTEE_SIZE);
    const contribution = {slot, beaconBlockRoot, subcommitteeIndex, aggregationBits, signature: aggregate(signatures)};
    await this.#sign(aggregatorIndex, this.messages.syncContribution({aggregatorIndex, contribution, selectionProof}));
  }

  #fillPayload(payload, state, slot, fork) {
    payload.parentHash = st.isMergeTransitionComplete(state) ? state.latestExecutionPayloadHeader.blockHash : digest("pow");
    payload.prevRandao = st.getRandaoMix(state, Math.floor(slot / P.SLOTS_PER_EPOCH));
    payload.timestamp = st.computeTimeAtSlot(this.config, slot, state.genesisTime);
    payload.blockHash = digest("block", slot);
    payload.blockNumber = slot;
    payload.gasLimit = 30_000_000;
    if (isFrom("capella", fork)) {
      payload.withdrawals = st.getExpectedWithdrawals(this.config.getForkSeq(slot), state).expectedWithdrawals;
    }
  }

  /** One exit a fork, by the last validator still there. */
  async #voluntaryExit(slot) {
    const epoch = Math.floor(slot / P.SLOTS_PER_EPOCH);
    if (slot % P.SLOTS_PER_EPOCH !== 5 || epoch > FINAL_FORK_EPOCH) return undefined;
    this.#exits += 1;
    const message = {epoch, validatorIndex: this.keys.length - this.#exits};
    return {message, signature: await this.#sign(message.validatorIndex, this.messages.voluntaryExit(slot, message))};
  }

  async #attest(slot, fork, block) {
    const epoch = Math.floor(slot / P.SLOTS_PER_EPOCH);
    const start = epoch * P.SLOTS_PER_EPOCH;
    const beaconBlockRoot = this.config.getForkTypes(slot).BeaconBlock.hashTreeRoot(block);
    const root = start === slot ? beaconBlockRoot : st.getBlockRootAtSlot(this.state, start);
    const source = this.state.currentJustifiedCheckpoint;
    this.#attestations = [];
    for (let index = 0; index < this.state.epochCtx.getCommitteeCountPerSlot(epoch); index++) {
      const committee = [...this.state.epochCtx.getBeaconCommittee(slot, index)];
      const data = {slot, index: isFrom("electra", fork) ? 0 : index, beaconBlockRoot,
        source: {epoch: source.epoch, root: source.root}, target: {epoch, root}};
      const message = this.messages.attestation(data);
      const signatures = await Promise.all(committee.map((v) => this.#sign(v, message)));
      const vote = {committee: index, bits: allSet(committee.length), data, signature: aggregate(signatures)};
      this.#attestations.push(vote);
      this.lastVote = {key: this.keys[committee[0]], data};
      await this.#aggregateVote(slot, fork, committee, attestation(fork, vote));
    }
  }

  async #aggregateVote(slot, fork, committee, vote) {
    const proofs = await Promise.all(committee.map((v) => this.#sign(v, this.messages.aggregationSlot(slot))));
    const value = {aggregatorIndex: committee[0], aggregate: vote, selectionProof: proofs[0]};
    await this.#sign(committee[0], this.messages.aggregate(value));
    await this.#sign(committee[0], this.messages.aggregateV2(value));
  }

  async #register(slot) {
    const validator = Math.floor(slot / P.SLOTS_PER_EPOCH) % this.keys.length;
    const value = {feeRecipient: digest("fee", validator).subarray(0, 20), gasLimit: 36_000_000,
      timestamp: 1_700_000_000 + slot, pubkey: this.keys[validator].publicKey};
    await this.#sign(validator, this.messages.validatorRegistration(value));
  }

  /** Gloas: duties around the payload, which no block of this chain carries; the signatures are verified all the same. */
  async #payloadDuties(slot, block) {
    const {proposerIndex: validator} = block;
    const beaconBlockRoot = this.config.getForkTypes(slot).BeaconBlock.hashTreeRoot(block);
    const {message: bid} = block.body.signedExecutionPayloadBid;
    await this.#sign(validator, this.messages.payloadAttestation(payloadSeen(slot, beaconBlockRoot)));
    await this.#sign(validator, this.messages.proposerPreferences(preferences(slot, validator, block.parentRoot)));
    await this.#sign(validator, this.messages.payloadBid(builderBid(slot, bid)));
    await this.#sign(validator, this.messages.payloadEnvelope(envelope(slot, bid, beaconBlockRoot, block.parentRoot)));
  }
}

const withdrawalCredentials = (i) => Uint8Array.from([1, ...new Uint8Array(11), ...digest("withdrawal", i).subarray(0, 20)]);

const aggregate = (signatures) => blst.aggregateSignatures(signatures.map((s) => blst.Signature.fromBytes(s))).toBytes();

function allSet(length) {
  const bits = BitArray.fromBitLen(length);
  for (let i = 0; i < length; i++) bits.set(i, true);
  return bits;
}

/** Electra moved the committee from the vote's data into bits of their own. */
function attestation(fork, {committee, bits, data, signature}) {
  const vote = {aggregationBits: bits, data, signature};
  if (!isFrom("electra", fork)) return vote;
  return {...vote, committeeBits: BitArray.fromSingleBit(P.MAX_COMMITTEES_PER_SLOT, committee)};
}

function selfBuiltBid(state, slot, parentBlockRoot) {
  const message = {
    ...ssz.gloas.ExecutionPayloadBid.defaultValue(),
    parentBlockHash: state.latestBlockHash,
    parentBlockRoot,
    blockHash: digest("bid", slot),
    prevRandao: st.getRandaoMix(state, Math.floor(slot / P.SLOTS_PER_EPOCH)),
    builderIndex: P.BUILDER_INDEX_SELF_BUILD,
    slot,
    gasLimit: 30_000_000n,
    executionRequestsRoot: ssz.gloas.ExecutionRequests.hashTreeRoot(ssz.gloas.ExecutionRequests.defaultValue()),
  };
  return {message, signature: st.G2_POINT_AT_INFINITY};
}
