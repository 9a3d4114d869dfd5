// Stands between the validator client, which speaks TCP, and the daemon's Unix socket, and keeps what went over it.
import http from "node:http";
import {verifies} from "./interop.mjs";

const VERIFY_ONE_IN = 16;

export class Recorder {
  answers = []; // {type, status, at, body}
  unverified = []; // signatures that a second library does not accept
  #server;
  #agent = new http.Agent({keepAlive: true});

  static async start(daemon) {
    const recorder = new Recorder();
    recorder.#server = http.createServer((request, response) => recorder.#forward(daemon, request, response));
    await new Promise((resolve) => recorder.#server.listen(0, "127.0.0.1", resolve));
    recorder.url = `http://127.0.0.1:${recorder.#server.address().port}`;
    return recorder;
  }

  /** How many answers of each type. */
  get types() {
    return this.answers.reduce((counts, {type}) => ({...counts, [type]: (counts[type] ?? 0) + 1}), {});
  }

  close() {
    this.#server.close();
    this.#agent.destroy();
  }

  async #forward(daemon, request, response) {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const headers = {...request.headers, ...daemon.headers, host: "localhost", connection: "keep-alive"};
    const options = {socketPath: daemon.socket, path: request.url, method: request.method, headers, agent: this.#agent};
    const forwarded = http.request(options, async (answer) => {
      const answered = [];
      for await (const piece of answer) answered.push(piece);
      const text = Buffer.concat(answered);
      response.writeHead(answer.statusCode, answer.headers).end(text);
      this.#keep(request, body, answer.statusCode, text);
    });
    forwarded.on("error", (error) => {
      this.#keep(request, body, 502, error.message);
      if (!response.headersSent) response.writeHead(502);
      response.end();
    });
    forwarded.end(body);
  }

  #keep(request, body, status, answer) {
    const duty = body.length ? JSON.parse(body) : {};
    const version = duty.beacon_block?.version ?? duty.aggregate_and_proof?.version;
    const type = duty.type ? duty.type + (version ? ` ${version}` : "") : `${request.method} ${request.url}`;
    this.answers.push({type, status, at: Date.now(), body: status === 200 ? "" : String(answer).slice(0, 300)});
    if (status === 200 && duty.signingRoot && this.answers.length % VERIFY_ONE_IN === 0) {
      const {signature} = JSON.parse(answer);
      if (!verifies(request.url.split("/").pop(), duty.signingRoot, signature)) this.unverified.push({type, signature});
    }
  }
}
