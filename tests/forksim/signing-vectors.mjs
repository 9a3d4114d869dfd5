// Makes tests/vectors/lodestar-requests.jsonl: sign requests with random content, and the signing roots that Lodestar's SSZ
// types give them. Lodestar fixes the preset when it is loaded, so there is one run for each:
//
//     for preset in mainnet gnosis minimal; do LODESTAR_PRESET=$preset node signing-vectors.mjs; done > ../vectors/lodestar-requests.jsonl
//
// The randomness is seeded, so the same preset gives the same lines. One line in three is kept, which is every type, fork, network
// and form several times; EVERY=1 keeps all of them, for a closer look than a repository should hold.
import {
  BitArray, BitListType, BitVectorType, BooleanType, ByteListType, ByteVectorType, ContainerType, ListBasicType, ListCompositeType,
  ProgressiveBitListType, ProgressiveByteListType, ProgressiveContainerType, ProgressiveListBasicType, ProgressiveListCompositeType,
  UintBigintType, UintNumberType, VectorBasicType, VectorCompositeType,
} from "@chainsafe/ssz";
import {minimalChainConfig} from "@lodestar/config/configs";
import {networksChainConfig, genesisData} from "@lodestar/config/networks";
import * as P from "@lodestar/params";
import {ssz} from "@lodestar/types";

const FORKS = ["phase0", "altair", "bellatrix", "capella", "deneb", "electra", "fulu", "gloas"];
const NETWORKS = {mainnet: ["mainnet", "sepolia", "hoodi"], gnosis: ["gnosis", "chiado"], minimal: ["minimal"]}[P.ACTIVE_PRESET];
const ZERO_ROOT = new Uint8Array(32);
const EVERY = Number(process.env.EVERY ?? 3);

// Randomness: mulberry32 under a fixed seed.

let state = {mainnet: 1, gnosis: 2, minimal: 3}[P.ACTIVE_PRESET];
const random = () => {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};
const below = (n) => Math.floor(random() * n);
const bytes = (n) => Uint8Array.from({length: n}, () => below(256));
const pick = (list) => list[below(list.length)];

/** A random value of a type. `lengths` gives the lengths of lists by field name; others get up to three items. */
function value(type, lengths = {}, name = "") {
  const length = (limit) => Math.min(limit, lengths[name] ?? below(4));
  const items = (n) => Array.from({length: n}, () => value(type.elementType, lengths, name));
  switch (true) {
    case type instanceof UintNumberType: return below(2 ** pick([4, 20, 40, 53]));
    case type instanceof UintBigintType: return BigInt.asUintN(8 * pick([1, 8, type.byteLength]), bigint());
    case type instanceof BooleanType: return random() < 0.5;
    case type instanceof ByteVectorType: return bytes(type.lengthBytes);
    case type instanceof ByteListType: return bytes(Math.min(type.limitBytes, lengths[name] ?? below(70)));
    case type instanceof ProgressiveByteListType: return bytes(lengths[name] ?? below(200));
    case type instanceof BitVectorType: return bits(type.lengthBits);
    case type instanceof BitListType: return bits(Math.min(type.limitBits, lengths[name] ?? below(70)));
    case type instanceof ProgressiveBitListType: return bits(lengths[name] ?? below(70));
    case type instanceof VectorBasicType: case type instanceof VectorCompositeType: return items(type.length);
    case type instanceof ListBasicType: case type instanceof ListCompositeType: return items(length(type.limit));
    case type instanceof ProgressiveListBasicType: case type instanceof ProgressiveListCompositeType: return items(length(Infinity));
    case type instanceof ContainerType: case type instanceof ProgressiveContainerType:
      return Object.fromEntries(Object.entries(type.fields).map(([field, of]) => [field, value(of, lengths, field)]));
    default: throw new Error(`no values of ${type.typeName}`);
  }
}

const bigint = () => bytes(32).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
const bits = (n) => BitArray.fromBoolArray(Array.from({length: n}, () => random() < 0.5));

// Requests

const hex = (array) => "0x" + Buffer.from(array).toString("hex");
let count = 0;

function emit(chain, tags, fields, objectRoot, domain) {
  const signing_root = hex(ssz.phase0.SigningData.hashTreeRoot({objectRoot, domain}));
  if (count++ % EVERY !== 0) return;
  const id = `${P.ACTIVE_PRESET}-${String(count - 1).padStart(3, "0")}`;
  console.log(JSON.stringify({id, network: chain.name, tags, request: fields, signing_root}));
}

function domainOf(type, version, genesisValidatorsRoot) {
  const root = ssz.phase0.ForkData.hashTreeRoot({currentVersion: version, genesisValidatorsRoot});
  return Uint8Array.from([...type, ...root.slice(0, 28)]);
}

class Chain {
  constructor(name) {
    this.name = name;
    this.config = name === "minimal" ? minimalChainConfig : networksChainConfig[name];
    const root = genesisData[name]?.genesisValidatorsRoot;
    this.root = root ? Buffer.from(root.slice(2), "hex") : bytes(32);
  }

  version(fork) {
    return this.config[fork === "phase0" ? "GENESIS_FORK_VERSION" : `${fork.toUpperCase()}_FORK_VERSION`];
  }

  start(fork) {
    return fork === "phase0" ? 0 : (this.config[`${fork.toUpperCase()}_FORK_EPOCH`] ?? Infinity);
  }

  dated(fork) {
    return this.start(fork) !== Infinity;
  }

  /** Whether the schedule has the fork active at some epoch, or does not know when it will be. */
  has(fork) {
    const next = FORKS[FORKS.indexOf(fork) + 1];
    return this.version(fork) !== undefined && (!this.dated(fork) || next === undefined || this.start(next) > this.start(fork));
  }

  /** An epoch of the fork, and the fork_info of one of the styles that clients have. */
  at(fork, style = pick(["client", "state"])) {
    const index = FORKS.indexOf(fork);
    const start = this.dated(fork) ? this.start(fork) : 2_000_000 + 1000 * index;
    const next = FORKS[index + 1];
    const room = next && this.dated(next) ? this.start(next) - start : 900;
    const epoch = start + below(Math.min(room, 5000));
    const before = FORKS[Math.max(0, index - 1)];
    const fork_info = (message, forkEpoch, now, previous) => ({
      epoch: message,
      version: message < forkEpoch ? this.version(previous) : this.version(now),
      json: {
        fork: {previous_version: hex(this.version(previous)), current_version: hex(this.version(now)), epoch: String(forkEpoch)},
        genesis_validators_root: hex(this.root),
      },
    });
    if (style === "client") return fork_info(epoch, epoch, fork, before);
    if (style === "state") return fork_info(epoch, start, fork, before);
    // previous: the message is of this fork, the fork_info already of the next.
    const following = next ?? fork;
    return fork_info(epoch, epoch + 1 + below(50), following, fork);
  }

  slotIn(epoch) {
    return epoch * P.SLOTS_PER_EPOCH + below(P.SLOTS_PER_EPOCH);
  }

  sign(tags, at, domainType, fields, objectRoot) {
    emit(this, tags, {...fields, fork_info: at.json}, objectRoot, domainOf(domainType, at.version, this.root));
  }
}

const AGGREGATE = {electra: ssz.electra.AggregateAndProof, fulu: ssz.electra.AggregateAndProof, gloas: ssz.gloas.AggregateAndProof};

function aggregate(chain, fork, {style, wrapped, name, length, tags = []}) {
  const at = chain.at(fork, style);
  const type = AGGREGATE[fork] ?? ssz.phase0.AggregateAndProof;
  const message = value(type, {aggregationBits: length ?? pick([1, 7, 8, 9, 200, 255, 256, 257, 300])});
  message.aggregate.data.slot = chain.slotIn(at.epoch);
  const json = type.toJson(message);
  const aggregate_and_proof = wrapped ? {version: fork.toUpperCase(), data: json} : json;
  chain.sign([fork, ...tags], at, P.DOMAIN_AGGREGATE_AND_PROOF, {type: name, aggregate_and_proof}, type.hashTreeRoot(message));
}

function aggregates(chain) {
  for (const fork of FORKS.filter((fork) => chain.has(fork))) {
    for (const [name, wrapped] of [["AGGREGATE_AND_PROOF", false], ["AGGREGATE_AND_PROOF_V2", true]]) {
      aggregate(chain, fork, {name, wrapped});
    }
    // The other way round, and a fork_info of the fork to come.
    aggregate(chain, fork, {name: "AGGREGATE_AND_PROOF_V2", wrapped: false, style: chain.dated(fork) ? "previous" : "client"});
    aggregate(chain, fork, {name: "AGGREGATE_AND_PROOF", wrapped: true, style: "previous"});
  }
  if (chain.name !== NETWORKS[0]) return;
  const most = P.MAX_VALIDATORS_PER_COMMITTEE * P.MAX_COMMITTEES_PER_SLOT;
  for (const length of [0, 511, 512, 2047, 2048]) {
    aggregate(chain, "deneb", {name: "AGGREGATE_AND_PROOF", wrapped: true, length, tags: ["bits"]});
  }
  for (const fork of ["electra", "gloas"]) {
    for (const length of [0, 1024, 1279, 1280, 1281, 5 * 256, 21 * 256, 21 * 256 + 1, P.ACTIVE_PRESET === "minimal" ? most : 20000]) {
      aggregate(chain, fork, {name: "AGGREGATE_AND_PROOF_V2", wrapped: true, length, tags: ["bits"]});
    }
  }
}

function headers(chain) {
  for (const fork of FORKS.filter((fork) => chain.has(fork))) {
    for (const style of ["client", "state", "previous"]) {
      const at = chain.at(fork, style);
      const header = {...value(ssz.phase0.BeaconBlockHeader), slot: chain.slotIn(at.epoch)};
      const beacon_block = {version: fork.toUpperCase(), block_header: ssz.phase0.BeaconBlockHeader.toJson(header)};
      const root = ssz.phase0.BeaconBlockHeader.hashTreeRoot(header);
      chain.sign([fork, "header"], at, P.DOMAIN_BEACON_PROPOSER, {type: "BLOCK_V2", beacon_block}, root);
    }
  }
}

function wholeBlocks(chain) {
  const contents = [
    {tags: ["empty"], lengths: {proposerSlashings: 0, attesterSlashings: 0, attestations: 0, deposits: 0, voluntaryExits: 0}},
    {tags: ["proposer-slashings"], lengths: {proposerSlashings: 5, attesterSlashings: 0, attestations: 0, deposits: 0, voluntaryExits: 0}},
    {tags: ["attester-slashings"], lengths: {proposerSlashings: 0, attesterSlashings: 2, attestingIndices: 129, attestations: 0, deposits: 0, voluntaryExits: 0}},
    {tags: ["attestations"], lengths: {proposerSlashings: 0, attesterSlashings: 0, attestations: 6, aggregationBits: 500, deposits: 0, voluntaryExits: 0}},
    {tags: ["deposits"], lengths: {proposerSlashings: 0, attesterSlashings: 0, attestations: 0, deposits: 3, voluntaryExits: 0}},
    {tags: ["exits"], lengths: {proposerSlashings: 0, attesterSlashings: 0, attestations: 0, deposits: 0, voluntaryExits: 9}},
    {tags: ["all"], lengths: {proposerSlashings: 2, attesterSlashings: 1, attestingIndices: 5, attestations: 3, aggregationBits: 64, deposits: 2, voluntaryExits: 3}},
  ];
  for (const [fork, type] of [["phase0", ssz.phase0.BeaconBlock], ["altair", ssz.altair.BeaconBlock]]) {
    if (!chain.has(fork)) continue;
    const first = chain.name === NETWORKS[0];
    const all = first ? contents : contents.slice(-1);
    for (const {tags, lengths} of all) {
      const at = chain.at(fork, pick(["client", "state", "previous"]));
      const block = {...value(type, lengths), slot: chain.slotIn(at.epoch)};
      const json = type.toJson(block);
      const root = type.hashTreeRoot(block);
      const domain = P.DOMAIN_BEACON_PROPOSER;
      chain.sign([fork, ...tags], at, domain, {type: "BLOCK_V2", beacon_block: {version: fork.toUpperCase(), block: json}}, root);
      if (fork === "phase0" && tags.includes("all")) chain.sign([fork, ...tags], at, domain, {type: "BLOCK", block: json}, root);
    }
  }
}

function duties(chain) {
  for (const fork of FORKS.filter((fork) => chain.has(fork))) {
    const style = () => pick(["client", "state", "previous"]);
    {
      const at = chain.at(fork, style());
      const data = value(ssz.phase0.AttestationData);
      data.target.epoch = at.epoch;
      const fields = {type: "ATTESTATION", attestation: ssz.phase0.AttestationData.toJson(data)};
      chain.sign([fork], at, P.DOMAIN_BEACON_ATTESTER, fields, ssz.phase0.AttestationData.hashTreeRoot(data));
    }
    {
      const at = chain.at(fork, style());
      const fields = {type: "RANDAO_REVEAL", randao_reveal: {epoch: String(at.epoch)}};
      chain.sign([fork], at, P.DOMAIN_RANDAO, fields, ssz.Epoch.hashTreeRoot(at.epoch));
    }
    {
      const at = chain.at(fork, style());
      const slot = chain.slotIn(at.epoch);
      const fields = {type: "AGGREGATION_SLOT", aggregation_slot: {slot: String(slot)}};
      chain.sign([fork], at, P.DOMAIN_SELECTION_PROOF, fields, ssz.Slot.hashTreeRoot(slot));
    }
    voluntaryExit(chain, fork);
    if (fork === "phase0") continue;
    {
      const at = chain.at(fork, style());
      const beaconBlockRoot = bytes(32);
      const sync_committee_message = {beacon_block_root: hex(beaconBlockRoot), slot: String(chain.slotIn(at.epoch))};
      chain.sign([fork], at, P.DOMAIN_SYNC_COMMITTEE, {type: "SYNC_COMMITTEE_MESSAGE", sync_committee_message}, beaconBlockRoot);
    }
    {
      const at = chain.at(fork, style());
      const type = ssz.altair.SyncAggregatorSelectionData;
      const data = {...value(type), slot: chain.slotIn(at.epoch)};
      const fields = {type: "SYNC_COMMITTEE_SELECTION_PROOF", sync_aggregator_selection_data: type.toJson(data)};
      chain.sign([fork], at, P.DOMAIN_SYNC_COMMITTEE_SELECTION_PROOF, fields, type.hashTreeRoot(data));
    }
    {
      const at = chain.at(fork, style());
      const type = ssz.altair.ContributionAndProof;
      const message = value(type);
      message.contribution.slot = chain.slotIn(at.epoch);
      const fields = {type: "SYNC_COMMITTEE_CONTRIBUTION_AND_PROOF", contribution_and_proof: type.toJson(message)};
      chain.sign([fork], at, P.DOMAIN_CONTRIBUTION_AND_PROOF, fields, type.hashTreeRoot(message));
    }
  }
}

/** EIP-7044: once the chain has reached Deneb, exits are under Capella's version, whatever fork_info says. */
function voluntaryExit(chain, fork) {
  const at = chain.at(fork);
  const late = FORKS.indexOf(fork) >= FORKS.indexOf("deneb");
  if (late) at.version = chain.version("capella");
  const exit = {...value(ssz.phase0.VoluntaryExit), epoch: at.epoch};
  const fields = {type: "VOLUNTARY_EXIT", voluntary_exit: ssz.phase0.VoluntaryExit.toJson(exit)};
  chain.sign([fork, ...(late ? ["eip7044"] : [])], at, P.DOMAIN_VOLUNTARY_EXIT, fields, ssz.phase0.VoluntaryExit.hashTreeRoot(exit));
}

function withoutChain(chain) {
  const genesis = chain.version("phase0");
  const type = ssz.bellatrix.ValidatorRegistrationV1;
  const registration = value(type);
  const fields = {type: "VALIDATOR_REGISTRATION", validator_registration: type.toJson(registration)};
  emit(chain, [], fields, type.hashTreeRoot(registration), domainOf(P.DOMAIN_APPLICATION_BUILDER, genesis, ZERO_ROOT));

  // The request's own version counts, so a deposit of another network is signed for that one.
  for (const version of [genesis, Uint8Array.from([0x10, 0, 0, 0x38])]) {
    const deposit = value(ssz.phase0.DepositMessage);
    const json = {...ssz.phase0.DepositMessage.toJson(deposit), genesis_fork_version: hex(version)};
    const root = ssz.phase0.DepositMessage.hashTreeRoot(deposit);
    emit(chain, [], {type: "DEPOSIT", deposit: json}, root, domainOf(P.DOMAIN_DEPOSIT, version, ZERO_ROOT));
  }
  builderRequestAuth(chain, genesis);
}

/** Lodestar's package has no type for it; this is the container of ethereum/builder-specs, specs/gloas/validator.md. */
function builderRequestAuth(chain, genesis) {
  const type = new ContainerType({data: new ByteListType(4096), slot: ssz.Slot});
  const domain = domainOf([0x0b, 0, 0, 1], genesis, ZERO_ROOT);
  for (const data of [Buffer.from("https://builder.example.com"), bytes(32), bytes(33), bytes(4096)]) {
    const auth = {data, slot: below(2 ** 40)};
    const json = {data: hex(data), slot: String(auth.slot)};
    const root = type.hashTreeRoot(auth);
    emit(chain, [], {type: "BUILDER_REQUEST_AUTH", builder_request_auth: {version: "GLOAS", data: json}}, root, domain);
    if (data.length === 32) emit(chain, ["older-name", "bare"], {type: "REQUEST_AUTH", request_auth: json}, root, domain);
  }
}

function gloas(chain) {
  if (chain.version("gloas") === undefined) return;
  const message = (tags, type, domain, name, member, older, setSlot, lengths) => {
    for (const style of ["client", "state"]) {
      const at = chain.at("gloas", style);
      const content = value(type, lengths);
      setSlot(content, chain.slotIn(at.epoch));
      const root = type.hashTreeRoot(content);
      const json = type.toJson(content);
      chain.sign(["gloas", ...tags], at, domain, {type: name, [member]: {version: "GLOAS", data: json}}, root);
      if (style === "client") chain.sign(["gloas", "bare", ...tags], at, domain, {type: name, [member]: json}, root);
      for (const [olderName, olderMember] of style === "client" ? older : []) {
        chain.sign(["gloas", "older-name", "bare", ...tags], at, domain, {type: olderName, [olderMember]: json}, root);
      }
    }
  };
  const setSlot = (content, slot) => { content.slot = slot; };
  for (const blobKzgCommitments of [0, 1, 6, 22]) {
    const type = ssz.gloas.ExecutionPayloadBid;
    message([], type, P.DOMAIN_BEACON_BUILDER, "EXECUTION_PAYLOAD_BID", "execution_payload_bid", [], setSlot, {blobKzgCommitments});
  }
  message([], ssz.gloas.PayloadAttestationData, P.DOMAIN_PTC_ATTESTER, "PAYLOAD_ATTESTATION_MESSAGE", "payload_attestation_message",
    [["PAYLOAD_ATTESTATION", "payload_attestation_data"], ["PAYLOAD_ATTESTATION", "payload_attestation"]], setSlot);
  message([], ssz.gloas.ProposerPreferences, P.DOMAIN_PROPOSER_PREFERENCES, "PROPOSER_PREFERENCES", "proposer_preferences", [],
    (content, slot) => { content.proposalSlot = slot; });
  const envelopes = [
    {extraData: 0, transactions: 0, withdrawals: 0, blockAccessList: 0, deposits: 0, consolidations: 0, builderDeposits: 0, builderExits: 0},
    {extraData: 32, withdrawals: 16, deposits: 2, consolidations: 2, builderDeposits: 2, builderExits: 3},
    {extraData: 31, withdrawals: 5, blockAccessList: 2000},
  ];
  for (const lengths of envelopes) {
    message([], ssz.gloas.ExecutionPayloadEnvelope, P.DOMAIN_BEACON_BUILDER, "EXECUTION_PAYLOAD_ENVELOPE", "execution_payload_envelope", [],
      (content, slot) => { content.payload.slotNumber = slot; }, lengths);
  }
}

for (const name of NETWORKS) {
  const chain = new Chain(name);
  for (const part of [duties, aggregates, headers, wholeBlocks, withoutChain, gloas]) part(chain);
}
