// The built daemon as a process, on sockets in a directory of its own: started, killed, started again, stopped.
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import {execFileSync, spawn} from "node:child_process";
import {fileURLToPath} from "node:url";

const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));
// Where cargo, called in the repository, puts it.
const BINARY = process.env.BLS_SIGNER ?? path.resolve(REPOSITORY, process.env.CARGO_TARGET_DIR ?? "target", "debug/bls-signer");
export const TOKEN = "for-tests-only-".padEnd(64, "0");
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;

/** The options that `bls-signer client-config` prints for a client which reaches the signer at `url`. */
export function clientOptions(client, url) {
  const printed = execFileSync(BINARY, ["client-config", client, "--url", url], {encoding: "utf8"});
  return printed.split("\n").filter((line) => line.startsWith("--"));
}

/** Signs on the Unix socket `socket`; imports keys at the URL `keymanager`. Every request but health needs `headers`. */
export class Daemon {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "bls-signer-test-"));
  socket = path.join(this.directory, "signer.sock");
  headers = {authorization: `Bearer ${TOKEN}`};
  log = "";
  #args;
  #child;

  /** `configure` gets the daemon's directory, may put files there and returns further arguments. */
  static async start(configure = () => []) {
    const daemon = new Daemon();
    const tokenFile = path.join(daemon.directory, "token");
    fs.writeFileSync(tokenFile, TOKEN, {mode: 0o600});
    const state = ["--state-dir", path.join(daemon.directory, "state")];
    daemon.#args = ["serve", "--listen", `signing=unix:${daemon.socket}`, "--listen", "keymanager=127.0.0.1:0",
      "--auth-token-file", tokenFile, ...state, ...configure(daemon.directory)];
    try {
      execFileSync(BINARY, ["slashing-protection", "init", ...state], {stdio: "ignore"});
      await daemon.#launch();
    } catch (error) {
      await daemon.stop();
      throw error;
    }
    return daemon;
  }

  /** Kills it without a word and starts it again on the same sockets and state. */
  async killAndRestart() {
    await this.#end("SIGKILL");
    await this.#launch();
  }

  /** Stops it and starts it again with further options. */
  async restart(...options) {
    await this.#end("SIGTERM");
    this.#args.push(...options);
    await this.#launch();
  }

  /** Imports keystores over the Keymanager API; answers the statuses. */
  async importKeys(keystores, passwords) {
    const response = await fetch(`${this.keymanager}/eth/v1/keystores`, {
      method: "POST",
      headers: {...this.headers, "content-type": "application/json"},
      body: JSON.stringify({keystores, passwords}),
    });
    const text = await response.text();
    if (response.status !== 200) throw Error(`import: ${response.status} ${text}`);
    return JSON.parse(text).data.map((result) => result.status);
  }

  async stop() {
    await this.#end("SIGTERM");
    fs.rmSync(this.directory, {recursive: true, force: true});
  }

  async #launch() {
    this.log = "";
    const child = spawn(BINARY, this.#args, {stdio: ["ignore", "ignore", "pipe"], env: {...process.env, NOTIFY_SOCKET: ""}});
    this.#child = child;
    child.stderr.setEncoding("utf8").on("data", (text) => (this.log += text));
    child.on("error", (error) => (this.log += `cannot start ${BINARY}: ${error.message}\n`));
    const deadline = Date.now() + START_LIMIT_MS;
    for (;;) {
      const port = /listening.*?127\.0\.0\.1:(\d+)/.exec(this.log)?.[1];
      if (port && (await this.#answers())) {
        this.keymanager = `http://127.0.0.1:${port}`;
        return;
      }
      if (child.exitCode !== null || child.pid === undefined || Date.now() > deadline) {
        throw Error(`the daemon did not start (exit status ${child.exitCode}); its log:\n${this.log}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #answers() {
    return new Promise((resolve) => {
      const request = http.get({socketPath: this.socket, path: "/upcheck"}, (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      });
      request.on("error", () => resolve(false));
    });
  }

  async #end(signal) {
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
    await exited;
    clearTimeout(timer);
  }
}
