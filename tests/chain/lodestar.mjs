// A beacon node and a validator client of Lodestar on a private chain: minimal preset, short slots, forks one epoch apart.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import {spawn} from "node:child_process";
import {fileURLToPath, pathToFileURL} from "node:url";
import {clientOptions} from "../support/daemon.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const LODESTAR = path.join(here, "node_modules/@chainsafe/lodestar/lib/index.js");
const START_LIMIT_MS = 240_000;
export const SLOTS_PER_EPOCH = 8;
export const SECONDS_PER_SLOT = 2;
export const FORK_EPOCHS = {ALTAIR: 1, BELLATRIX: 2, CAPELLA: 3};

/** The same chain for the daemon, as a consensus config.yaml. */
export function configYaml() {
  const forks = Object.entries(FORK_EPOCHS).map(([fork, epoch], i) => `${fork}_FORK_VERSION: 0x0${i + 1}000001\n${fork}_FORK_EPOCH: ${epoch}\n`);
  return `PRESET_BASE: minimal\nCONFIG_NAME: dev\nGENESIS_FORK_VERSION: 0x00000001\nSECONDS_PER_SLOT: ${SECONDS_PER_SLOT}\n${forks.join("")}`;
}

export class Lodestar {
  #directory;
  #children = [];

  /** `delay`: seconds until genesis, for both programs to start in. */
  constructor(directory, delay) {
    this.#directory = directory;
    this.genesisTime = Math.floor(Date.now() / 1000) + delay;
  }

  async startBeaconNode(validators, execution) {
    const jwt = path.join(this.#directory, "jwt.hex");
    fs.writeFileSync(jwt, "00".repeat(32));
    const [rest, p2p] = [await freePort(), await freePort()];
    this.url = `http://127.0.0.1:${rest}`;
    this.#start("beacon", ["dev", "--dataDir", path.join(this.#directory, "beacon"), "--genesisValidators", String(validators),
      "--genesisTime", String(this.genesisTime), "--genesisEth1Hash", execution.genesisHash, "--rest.port", String(rest), "--rest.namespace", "*",
      "--listenAddress", "127.0.0.1", "--port", String(p2p), "--discv5", "false", "--targetPeers", "0", "--eth1", "true",
      "--eth1.providerUrls", execution.url, "--execution.urls", execution.url, "--jwt-secret", jwt, "--eth1.depositContractDeployBlock", "0",
      "--builder", "--builder.urls", execution.url]);
    const deadline = Date.now() + START_LIMIT_MS;
    for (;;) {
      try {
        return await this.get("/eth/v1/beacon/genesis");
      } catch (error) {
        this.#assertRunning();
        if (Date.now() > deadline) throw Error(`the beacon node did not start: ${error.message}\n${this.#log("beacon")}`);
      }
      await sleep(500);
    }
  }

  startValidatorClient(signerUrl) {
    this.#start("validator", ["validator", "--network", "dev", "--dataDir", path.join(this.#directory, "validator"), "--server", this.url,
      ...clientOptions("lodestar", signerUrl), "--suggestedFeeRecipient", "0x" + "ab".repeat(20),
      "--builder", "--builder.selection", "maxprofit"]);
  }

  get slot() {
    return Math.floor((Date.now() / 1000 - this.genesisTime) / SECONDS_PER_SLOT);
  }

  /** When a slot begins, in milliseconds. */
  timeOf(slot) {
    return (this.genesisTime + slot * SECONDS_PER_SLOT) * 1000;
  }

  async get(route) {
    const response = await fetch(this.url + route, {signal: AbortSignal.timeout(5000)});
    if (!response.ok) throw Error(`${response.status} ${route}`);
    return (await response.json()).data;
  }

  /** Waits until `condition`, asked every second, holds. */
  async until(condition, lastSlot) {
    while (!(await condition())) {
      this.#assertRunning();
      if (this.slot > lastSlot) throw Error(`not reached by slot ${lastSlot}\n${this.#log("validator")}`);
      await sleep(1000);
    }
  }

  /**
   * Whether the chain has a block. It will never have one when none came in the first epoch: the beacon node then takes
   * itself for one that lags behind, and waits for peers.
   */
  async hasBegun() {
    while (this.slot <= SLOTS_PER_EPOCH) {
      this.#assertRunning();
      if ((await this.headSlot()) > 0) return true;
      await sleep(500);
    }
    return false;
  }

  async headSlot() {
    return Number((await this.get("/eth/v1/beacon/headers/head")).header.message.slot);
  }

  /** The slots with and without a block, from the first block to the head. */
  async slots() {
    const head = await this.headSlot();
    const [filled, empty] = [[], []];
    for (let slot = 1; slot <= head; slot++) {
      await this.get(`/eth/v2/beacon/blocks/${slot}`).then(() => filled.push(slot), () => empty.push(slot));
    }
    return {filled, empty: empty.filter((slot) => slot > filled[0])};
  }

  async stop() {
    for (const {child} of this.#children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
      await exited;
      clearTimeout(timer);
    }
  }

  #start(name, args) {
    const forks = Object.entries(FORK_EPOCHS).map(([fork, epoch]) => `--params.${fork}_FORK_EPOCH=${epoch}`);
    const chain = [`--params.SECONDS_PER_SLOT=${SECONDS_PER_SLOT}`, "--params.TERMINAL_TOTAL_DIFFICULTY=0", "--params.SHARD_COMMITTEE_PERIOD=0",
      "--params.ETH1_FOLLOW_DISTANCE=1", ...forks];
    const log = fs.openSync(path.join(this.#directory, `${name}.log`), "w");
    const polyfill = pathToFileURL(path.join(here, "polyfill.mjs")).href;
    const env = {...process.env, LODESTAR_PRESET: "minimal", NODE_OPTIONS: `--max-old-space-size=4096 --import ${polyfill}`};
    const child = spawn(process.execPath, [LODESTAR, ...args, "--logLevel", "info", ...chain], {cwd: this.#directory, stdio: ["ignore", log, log], env});
    this.#children.push({name, child});
  }

  #assertRunning() {
    const ended = this.#children.find(({child}) => child.exitCode !== null);
    if (ended) throw Error(`the ${ended.name} ended with status ${ended.child.exitCode}\n${this.#log(ended.name)}`);
  }

  #log(name) {
    return fs.readFileSync(path.join(this.#directory, `${name}.log`), "utf8").split("\n").slice(-30).join("\n");
  }
}

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A TCP port of loopback that nobody listens on. */
export function freePort() {
  return new Promise((resolve) => {
    const server = http.createServer().listen(0, "127.0.0.1", () => {
      const {port} = server.address();
      server.close(() => resolve(port));
    });
  });
}
