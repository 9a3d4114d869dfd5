// An execution layer and a builder that accept everything: the engine API, and the few eth_* calls that a beacon node makes
// around the merge. Loopback only.
import http from "node:http";
import {createHash, randomBytes} from "node:crypto";

const ZERO_HASH = "0x" + "00".repeat(32);
const ZERO_BLOOM = "0x" + "00".repeat(256);
const GAS_LIMIT = quantity(30_000_000);
const MOST_PAYLOADS = 64;

export class ExecutionLayer {
  genesisHash = hash("genesis");
  #numbers = new Map([[this.genesisHash, 0n]]); // block hash -> number
  #building = new Map(); // payload id -> payload
  #server;

  static async start() {
    const layer = new ExecutionLayer();
    layer.#server = http.createServer((request, response) => layer.#serve(request, response));
    await new Promise((resolve) => layer.#server.listen(0, "127.0.0.1", resolve));
    layer.url = `http://127.0.0.1:${layer.#server.address().port}`;
    return layer;
  }

  close() {
    this.#server.close();
  }

  async #serve(request, response) {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    if (request.url.startsWith("/eth/v1/builder/")) {
      // It takes registrations and never has a bid.
      return request.url.includes("/header/") ? response.writeHead(204).end() : answerJson(response, {});
    }
    const calls = JSON.parse(Buffer.concat(pieces));
    answerJson(response, Array.isArray(calls) ? calls.map((call) => this.#answer(call)) : this.#answer(calls));
  }

  #answer({id, method, params}) {
    try {
      return {jsonrpc: "2.0", id, result: this.#call(method, params)};
    } catch (error) {
      return {jsonrpc: "2.0", id, error: {code: -32601, message: error.message}};
    }
  }

  #call(method, params) {
    switch (method) {
      case "eth_chainId":
      case "net_version":
        return "0x1";
      case "eth_syncing":
        return false;
      case "eth_blockNumber":
        return "0x0";
      case "eth_getBlockByNumber":
        return ["latest", "0x0"].includes(params[0]) ? this.#powBlock() : null;
      case "eth_getBlockByHash":
        return params[0] === this.genesisHash ? this.#powBlock() : null;
      case "eth_getLogs":
      case "engine_exchangeCapabilities":
        return [];
      case "eth_getCode":
        return "0x00";
      case "engine_exchangeTransitionConfigurationV1":
        return params[0];
      case "engine_newPayloadV1":
      case "engine_newPayloadV2":
        return this.#newPayload(params[0]);
      case "engine_forkchoiceUpdatedV1":
      case "engine_forkchoiceUpdatedV2":
        return this.#forkchoice(params[0], params[1]);
      case "engine_getPayloadV1":
        return this.#building.get(params[0]);
      case "engine_getPayloadV2":
        return {executionPayload: this.#building.get(params[0]), blockValue: "0x0"};
      default:
        throw Error(`no method ${method}`);
    }
  }

  #newPayload({blockHash, blockNumber}) {
    this.#numbers.set(blockHash, BigInt(blockNumber));
    return {status: "VALID", latestValidHash: blockHash, validationError: null};
  }

  #forkchoice({headBlockHash}, attributes) {
    const payloadStatus = {status: "VALID", latestValidHash: headBlockHash, validationError: null};
    if (!attributes) return {payloadStatus, payloadId: null};
    const payloadId = "0x" + randomBytes(8).toString("hex");
    this.#building.set(payloadId, this.#payload(payloadId, headBlockHash, attributes));
    if (this.#building.size > MOST_PAYLOADS) this.#building.delete(this.#building.keys().next().value);
    return {payloadStatus, payloadId};
  }

  #payload(id, parentHash, {suggestedFeeRecipient, prevRandao, timestamp, withdrawals}) {
    return {
      parentHash, feeRecipient: suggestedFeeRecipient, stateRoot: hash("state", id), receiptsRoot: hash("receipts"), logsBloom: ZERO_BLOOM,
      prevRandao, blockNumber: quantity((this.#numbers.get(parentHash) ?? 0n) + 1n), gasLimit: GAS_LIMIT, gasUsed: "0x0", timestamp,
      extraData: "0x", baseFeePerGas: "0x7", blockHash: hash("block", parentHash, timestamp, id), transactions: [],
      ...(withdrawals ? {withdrawals} : {}),
    };
  }

  #powBlock() {
    return {
      number: "0x0", hash: this.genesisHash, parentHash: ZERO_HASH, timestamp: "0x0", difficulty: "0x1", totalDifficulty: "0x1",
      miner: "0x" + "00".repeat(20), extraData: "0x", gasLimit: GAS_LIMIT, gasUsed: "0x0", nonce: "0x0", transactions: [], uncles: [],
      stateRoot: ZERO_HASH, transactionsRoot: ZERO_HASH, receiptsRoot: ZERO_HASH, sha3Uncles: ZERO_HASH, mixHash: ZERO_HASH,
      logsBloom: ZERO_BLOOM, size: "0x0",
    };
  }
}

function answerJson(response, value) {
  response.writeHead(200, {"content-type": "application/json"}).end(JSON.stringify(value));
}

function quantity(number) {
  return "0x" + BigInt(number).toString(16);
}

function hash(...parts) {
  return "0x" + createHash("sha256").update(parts.join("|")).digest("hex");
}
