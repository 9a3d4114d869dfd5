// Gloas: the messages around an execution payload. Each slot fills the lists differently, so that every one enters a root
// empty, with one entry and with several.
import {ssz} from "@lodestar/types";
import {digest} from "./keys.mjs";

export const payloadSeen = (slot, beaconBlockRoot) => ({
  beaconBlockRoot,
  slot,
  payloadPresent: slot % 2 === 0,
  blobDataAvailable: slot % 3 === 0,
});

export const preferences = (slot, validatorIndex, dependentRoot) => ({
  dependentRoot,
  proposalSlot: slot + 8,
  validatorIndex,
  feeRecipient: address("fee", slot),
  targetGasLimit: 45_000_000n + BigInt(slot),
});

/** A builder's bid in place of the proposer's own. */
export const builderBid = (slot, bid) => ({
  ...bid,
  feeRecipient: address("fee", slot),
  builderIndex: slot,
  value: slot * 7,
  executionPayment: BigInt(slot) * 3n,
  blobKzgCommitments: list(slot % 7, (i) => bytes48("kzg", i)),
});

export function envelope(slot, bid, beaconBlockRoot, parentBeaconBlockRoot) {
  return {
    payload: payload(slot, bid),
    executionRequests: executionRequests(slot),
    builderIndex: bid.builderIndex,
    beaconBlockRoot,
    parentBeaconBlockRoot,
  };
}

const payload = (slot, bid) => ({
  ...ssz.gloas.ExecutionPayloadEnvelope.fields.payload.defaultValue(),
  parentHash: bid.parentBlockHash,
  feeRecipient: address("fee", slot),
  logsBloom: repeat(8, "bloom"),
  blockNumber: slot,
  gasUsed: 21_000 * slot,
  extraData: digest("extra").subarray(0, slot % 33),
  baseFeePerGas: 7n + BigInt(slot) * 10n ** 18n,
  blockHash: bid.blockHash,
  transactions: list(slot % 6, (i) => repeat(i, "transaction")),
  withdrawals: list(slot % 3, (i) => ({index: i, validatorIndex: i, address: address("to", i), amount: 9n})),
  blobGasUsed: BigInt(slot),
  blockAccessList: repeat(slot % 40, "access"),
  slotNumber: slot,
});

const executionRequests = (slot) => ({
  deposits: list(slot % 2, (i) => ({...deposit(i), index: BigInt(i)})),
  withdrawals: list(slot % 3, (i) => ({sourceAddress: address("source", i), validatorPubkey: bytes48("key", i), amount: 5n})),
  consolidations: list(slot % 4, (i) => ({sourceAddress: address("source", i), sourcePubkey: bytes48("from", i), targetPubkey: bytes48("to", i)})),
  builderDeposits: list(slot % 5, deposit),
  builderExits: list(slot % 6, (i) => ({sourceAddress: address("source", i), pubkey: bytes48("key", i)})),
});

const deposit = (i) => ({
  pubkey: bytes48("key", i),
  withdrawalCredentials: digest("withdrawal", i),
  amount: 32e9,
  signature: repeat(3, "signature", i),
});

const list = (length, entry) => Array.from({length}, (_, i) => entry(i));
const address = (...parts) => digest("address", ...parts).subarray(0, 20);
const bytes48 = (...parts) => repeat(2, ...parts).subarray(0, 48);
const repeat = (times, ...parts) => Uint8Array.from(Buffer.concat(list(times, (i) => digest(...parts, i))));
