// The chain's signers: one on a ledger of its own, which three share later on, each with the same keys. What is done to them and to
// their database is kept, with its time.
import fs from "node:fs";
import path from "node:path";
import {Daemon} from "../support/daemon.mjs";
import {Database} from "./database.mjs";
import {interopKeys, keystore} from "./interop.mjs";
import {configYaml, sleep} from "./lodestar.mjs";
import {Recorder} from "./recorder.mjs";

const HOSTS = 3;
const PASSWORD = "interop";
/** Longer than anything takes; only a test that fails waits for it. */
const PATIENCE_MS = 60_000;
/** A request that was on its way when a daemon or a server came back. */
const GRACE_MS = 1000;

export class Hosts {
  disruptions = []; // {what, from, to}
  #running;
  #keystores;
  #database;

  /** The first of them, with so many keys and these options. What ends all of them is put into `running`. */
  static async start(running, validators, ...options) {
    const hosts = new Hosts();
    hosts.#running = running;
    hosts.#keystores = await Promise.all(interopKeys(validators).map((key) => keystore(key, PASSWORD)));
    hosts.recorder = await Recorder.start(await hosts.#add(...options));
    running.push(() => hosts.recorder.close());
    return hosts;
  }

  /** One of them is killed and started again. */
  async kill(number) {
    const daemon = this.recorder.daemons[number];
    await this.#disrupt(`signer ${number} of ${this.recorder.daemons.length} killed`, async () => {
      await daemon.killAndRestart();
      await this.#importKeys(daemon);
    });
  }

  /** Makes the database of the ledger to be shared. */
  async makeDatabase(genesisValidatorsRoot) {
    this.#database = await Database.start(genesisValidatorsRoot);
    this.#running.push(() => this.#database.stop());
  }

  /** The first one's ledger becomes the one that all share, and the others begin. Answers how many keys have a record then. */
  async share(...options) {
    const [first] = this.recorder.daemons;
    await this.#disrupt("move to the shared ledger", async () => {
      await first.restart("--shared-ledger", this.#database.address());
      await this.#importKeys(first);
      await this.#signs();
    });
    const keys = Number(await this.#database.order("keys"));
    for (let number = 1; number < HOSTS; number++) {
      // The last of them asks the other server first.
      this.recorder.daemons.push(await this.#add("--shared-ledger", this.#database.address(number - 1), ...options));
    }
    return keys;
  }

  /** `fail-over` or `split`: see tests/shared_ledger/ordered.py. Over when one of them signs what can be slashed. */
  async database(order) {
    await this.#disrupt(order, async () => {
      await this.#database.order(order);
      await this.#signs();
    });
  }

  /** What the validator client asked for and did not get, by what was going on; `unexplained` has the rest. */
  lost() {
    const lost = Object.fromEntries(this.disruptions.map(({what}) => [what, []]));
    const unexplained = [];
    for (const request of this.recorder.requests.filter(({statuses}) => statuses.at(-1) !== 200)) {
      (lost[this.during(request.asked, request.at)?.what] ?? unexplained).push(request);
    }
    return {lost, unexplained};
  }

  /** What was going on between these times. */
  during(from, to) {
    return this.disruptions.find((disruption) => from < disruption.to + GRACE_MS && to > disruption.from);
  }

  async #add(...options) {
    const daemon = await Daemon.start((directory) => {
      const network = path.join(directory, "config.yaml");
      fs.writeFileSync(network, configYaml());
      return ["--network", network, "--expected-keys", String(this.#keystores.length), ...options];
    });
    this.#running.push(() => daemon.stop());
    await this.#importKeys(daemon);
    return daemon;
  }

  /** Tried again while the daemon has not joined the others yet. */
  async #importKeys(daemon) {
    const passwords = this.#keystores.map(() => PASSWORD);
    const imported = async () => (await daemon.importKeys(this.#keystores, passwords)).every((status) => status === "imported");
    await until(imported, () => `keys; the log: ${daemon.log.slice(-3000)}`);
  }

  /** Until one of them signs a block or an attestation that is asked for from now on. */
  async #signs() {
    const now = Date.now();
    const isSigned = () => this.recorder.signed.some(({asked}) => asked >= now);
    await until(isSigned, () => `a signature; the logs: ${this.recorder.daemons.map(({log}) => log.slice(-1500))}`);
  }

  async #disrupt(what, act) {
    const from = Date.now();
    await act();
    this.disruptions.push({what, from, to: Date.now()});
  }
}

async function until(condition, what) {
  for (const deadline = Date.now() + PATIENCE_MS; !(await condition()); await sleep(50)) {
    if (Date.now() > deadline) throw Error(`it never came: ${what()}`);
  }
}
