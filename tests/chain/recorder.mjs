// Stands between the validator client, which speaks TCP, and the daemons' Unix sockets, spreads its requests over them as a
// balancer does, and keeps what went over it.
import http from "node:http";
import {verifies} from "./interop.mjs";

const VERIFY_ONE_IN = 16;
/** What one daemon says is no other's to better: the request is wrong, or contradicts what was signed. */
const FINAL = [200, 400, 412];

export class Recorder {
  requests = []; // {type, asked, at, statuses, body}: as the validator client was answered; a status for each daemon that was asked
  signed = []; // {daemon, asked, message}: every block and attestation that any daemon signed, as the checker takes it
  unverified = []; // signatures that a second library does not accept
  daemons;
  isRandom = false;
  #turn = 0;
  #server;
  #agent = new http.Agent({keepAlive: true});

  static async start(...daemons) {
    const recorder = new Recorder();
    recorder.daemons = daemons;
    recorder.#server = http.createServer((request, response) => recorder.#answer(request, response));
    await new Promise((resolve) => recorder.#server.listen(0, "127.0.0.1", resolve));
    recorder.url = `http://127.0.0.1:${recorder.#server.address().port}`;
    return recorder;
  }

  /** How many requests of each type. */
  get types() {
    return this.requests.reduce((counts, {type}) => ({...counts, [type]: (counts[type] ?? 0) + 1}), {});
  }

  close() {
    this.#server.close();
    this.#agent.destroy();
  }

  /** The answer of the first daemon that has one, in turn or at random. */
  async #answer(request, response) {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const kept = {type: typeOf(request, body), asked: Date.now(), statuses: []};
    const first = this.isRandom ? Math.floor(Math.random() * this.daemons.length) : this.#turn++;
    const order = this.daemons.map((_, n) => (first + n) % this.daemons.length);
    let answer;
    for (const number of order) {
      const asked = Date.now();
      answer = await this.#ask(this.daemons[number], request, body);
      kept.statuses.push(answer.status);
      if (answer.status === 200) this.#keepSigned({daemon: number, asked}, request, body, answer.text);
      if (FINAL.includes(answer.status)) break;
    }
    kept.at = Date.now();
    kept.body = answer.status === 200 ? "" : String(answer.text).slice(0, 300);
    this.requests.push(kept);
    response.writeHead(answer.status, answer.headers).end(answer.text);
  }

  #ask(daemon, request, body) {
    const headers = {...request.headers, ...daemon.headers, host: "localhost", connection: "keep-alive"};
    const options = {socketPath: daemon.socket, path: request.url, method: request.method, headers, agent: this.#agent};
    return new Promise((resolve) => {
      const gone = (error) => resolve({status: 502, headers: {}, text: error.message});
      const forwarded = http.request(options, async (answer) => {
        try {
          const pieces = [];
          for await (const piece of answer) pieces.push(piece);
          resolve({status: answer.statusCode, headers: answer.headers, text: Buffer.concat(pieces)});
        } catch (error) {
          gone(error);
        }
      });
      forwarded.on("error", gone);
      forwarded.end(body);
    });
  }

  #keepSigned(by, request, body, answer) {
    const duty = body.length ? JSON.parse(body) : {};
    const key = request.url.split("/").pop();
    if (duty.type === "ATTESTATION") {
      const {source, target} = duty.attestation;
      const message = {key, source: Number(source.epoch), target: Number(target.epoch), root: duty.signingRoot};
      this.signed.push({...by, message});
    } else if (duty.type === "BLOCK_V2") {
      const {slot} = duty.beacon_block.block_header ?? duty.beacon_block.block;
      this.signed.push({...by, message: {key, slot: Number(slot), root: duty.signingRoot}});
    }
    if (duty.signingRoot && this.requests.length % VERIFY_ONE_IN === 0) {
      const {signature} = JSON.parse(answer);
      if (!verifies(key, duty.signingRoot, signature)) this.unverified.push({type: duty.type, signature});
    }
  }
}

function typeOf(request, body) {
  const duty = body.length ? JSON.parse(body) : {};
  const version = duty.beacon_block?.version ?? duty.aggregate_and_proof?.version;
  return duty.type ? duty.type + (version ? ` ${version}` : "") : `${request.method} ${request.url}`;
}
