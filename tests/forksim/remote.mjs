// The remote signing API as a validator client uses it; every signature that comes back is verified with blst.
import http from "node:http";
import * as blst from "@chainsafe/blst";
import {SLOTS_PER_EPOCH} from "@lodestar/params";
import {ssz} from "@lodestar/types";
import {hex} from "./keys.mjs";

const WITHOUT_FORK_INFO = new Set(["DEPOSIT", "VALIDATOR_REGISTRATION"]);

/**
 * A message to sign: its `type`, the payload `fields`, and what Lodestar says its root and domain are.
 * `slot` decides the fork_info; `fork` overrides it.
 * @typedef {{type: string, fields: object, objectRoot: Uint8Array, domain: Uint8Array, slot?: number, fork?: object}} Message
 */
export class RemoteSigner {
  /** `style`: fork_info.fork.epoch is the message's epoch ("client", as Lodestar) or the fork's activation ("state", as most). */
  constructor(daemon, {style, withSigningRoot}) {
    this.daemon = daemon;
    this.style = style;
    this.withSigningRoot = withSigningRoot;
    this.agent = new http.Agent({keepAlive: true, maxSockets: 16});
    this.signed = new Map(); // type -> how many
  }

  /** Signs and verifies; anything but a good signature throws. */
  async sign(key, message) {
    const answer = await this.ask(key, message);
    const what = `${message.type} at slot ${message.slot ?? "-"}`;
    if (answer.status !== 200) throw Error(`${what}: answered ${answer.status} ${answer.text}`);
    const signature = Buffer.from(JSON.parse(answer.text).signature.slice(2), "hex");
    const publicKey = blst.PublicKey.fromBytes(key.publicKey);
    if (!blst.verify(signingRoot(message), publicKey, blst.Signature.fromBytes(signature, true))) {
      throw Error(`${what}: the signature does not verify`);
    }
    this.signed.set(message.type, (this.signed.get(message.type) ?? 0) + 1);
    return Uint8Array.from(signature);
  }

  /** Asks for a signature and returns the answer, whatever it is. */
  ask(key, message) {
    const body = {type: message.type, ...message.fields};
    if (this.withSigningRoot) body.signingRoot = hex(signingRoot(message));
    if (!WITHOUT_FORK_INFO.has(message.type)) body.fork_info = this.#forkInfo(message);
    return this.request("POST", `/api/v1/eth2/sign/${key.name}`, JSON.stringify(body));
  }

  request(method, path, body) {
    const headers = {...this.daemon.headers, accept: "application/json"};
    if (body !== undefined) Object.assign(headers, {"content-type": "application/json", "content-length": Buffer.byteLength(body)});
    return new Promise((resolve, reject) => {
      const options = {socketPath: this.daemon.socket, path, method, headers, agent: this.agent, timeout: 20_000};
      const request = http.request(options, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece) => (text += piece)).on("end", () => resolve({status: response.statusCode, text}));
      });
      request.on("error", reject).on("timeout", () => request.destroy(Error(`no answer to ${method} ${path} within 20 s`)));
      request.end(body);
    });
  }

  close() {
    this.agent.destroy();
  }

  #forkInfo({slot, fork}) {
    const {prevVersion, version, epoch} = fork ?? this.config.getForkInfo(slot);
    const shownEpoch = fork || this.style === "state" ? epoch : Math.floor(slot / SLOTS_PER_EPOCH);
    return {
      fork: {previous_version: hex(prevVersion), current_version: hex(version), epoch: String(shownEpoch)},
      genesis_validators_root: hex(this.config.genesisValidatorsRoot),
    };
  }
}

const signingRoot = ({objectRoot, domain}) => ssz.phase0.SigningData.hashTreeRoot({objectRoot, domain});
