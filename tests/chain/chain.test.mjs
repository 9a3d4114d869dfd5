// A real validator client on a real beacon node, with the daemon as its only signer, through four forks to finality. In the
// middle of an epoch the daemon is killed and started again. A Prometheus scrapes it, and has data for every panel at the end.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {test} from "node:test";
import {alertedSeries, panelQueries} from "../monitoring/queries.mjs";
import {Prometheus} from "../monitoring/prometheus.mjs";
import {Daemon} from "../support/daemon.mjs";
import {ExecutionLayer} from "./execution.mjs";
import {interopKeys, keystore} from "./interop.mjs";
import {FORK_EPOCHS, Lodestar, SECONDS_PER_SLOT, SLOTS_PER_EPOCH, configYaml, freePort, sleep} from "./lodestar.mjs";
import {dashboardData, startPrometheus} from "./monitoring.mjs";
import {Recorder} from "./recorder.mjs";

const VALIDATORS = 8;
const PASSWORD = "interop";
const FINAL_EPOCH = FORK_EPOCHS.CAPELLA + 1;
const LAST_SLOT = (FINAL_EPOCH + 4) * SLOTS_PER_EPOCH;
const KILL_SLOT = 2 * SLOTS_PER_EPOCH + 3;
/** Seconds to genesis; the next one is tried when both programs could not start in that time, on a busy machine. */
const GENESIS_DELAYS = [20, 60, 180];
const MOST_EMPTY = 0.1;

test("a validator client finalizes a chain with this signer, which is killed and restarted on the way", async (t) => {
  const running = [];
  const stop = async () => {
    while (running.length) await running.pop()();
  };
  t.after(stop);
  let chain;
  for (const delay of GENESIS_DELAYS) {
    chain = await startChain(running, delay);
    if (await chain.lodestar.hasBegun()) break;
    t.diagnostic(`no block in the first epoch: ${delay} s were not enough to start in`);
    await stop();
    chain = undefined;
  }
  assert.ok(chain, "the chain did not begin");
  const {daemon, recorder, lodestar, importKeys, prometheus, started} = chain;

  await lodestar.until(() => lodestar.slot >= KILL_SLOT, LAST_SLOT);
  await sleep(SECONDS_PER_SLOT * 500); // into the slot: duties are on their way
  const killed = Date.now();
  await daemon.killAndRestart();
  await importKeys();
  const restarted = Date.now();

  await lodestar.until(async () => {
    const {finalized} = await lodestar.get("/eth/v1/beacon/states/head/finality_checkpoints");
    return Number(finalized.epoch) >= FINAL_EPOCH;
  }, LAST_SLOT);

  const {filled, empty} = await lodestar.slots();
  t.diagnostic(`${filled.length} blocks, empty slots ${JSON.stringify(empty)}, signer away for ${restarted - killed} ms`);
  t.diagnostic(`answers: ${JSON.stringify(recorder.types)}`);
  assert.deepEqual(recorder.unverified, []);
  const unanswered = recorder.answers.filter(({status}) => status !== 200);
  const outside = unanswered.filter(({at}) => at < killed || at > restarted + 1000);
  assert.deepEqual(outside, [], "requests failed that the restart does not explain");
  // A slot may be empty because the clients were late; those that the signer left empty have failed requests, see above.
  assert.ok(empty.length <= filled.length * MOST_EMPTY, `empty slots: ${empty}`);
  for (const type of ["ATTESTATION", "AGGREGATION_SLOT", "RANDAO_REVEAL", "SYNC_COMMITTEE_MESSAGE", "BLOCK_V2 PHASE0", "BLOCK_V2 CAPELLA"]) {
    assert.ok(recorder.types[type] > 0, `no ${type} was asked for`);
  }
  await showsEverything(prometheus, started, lodestar);
});

/** Every panel of our dashboard and of the public ones has data, and every series that an alert asks for is there. */
async function showsEverything(prometheus, started, lodestar) {
  assert.deepEqual(await prometheus.unreached(), []);
  const asked = [...panelQueries(), ...alertedSeries().map((name) => ({from: "alerts", expr: name}))];
  const empty = [];
  for (const {from, expr} of asked) {
    if ((await prometheus.series(expr, started)).length === 0) empty.push(`${from}: ${expr}`);
  }
  const {DASHBOARD_DATA: file} = process.env;
  if (file) fs.writeFileSync(file, JSON.stringify(await dashboardData(prometheus, lodestar.genesisTime * 1000)));
  assert.deepEqual(empty, [], "Prometheus has no data for these");
}

/** Starts everything; puts what ends it into `running`. */
async function startChain(running, delay) {
  const keys = interopKeys(VALIDATORS);
  const keystores = await Promise.all(keys.map((key) => keystore(key, PASSWORD)));
  const metrics = await freePort();
  const daemon = await Daemon.start((directory) => {
    const network = path.join(directory, "config.yaml");
    fs.writeFileSync(network, configYaml());
    return ["--network", network, "--listen", `metrics=127.0.0.1:${metrics}`, "--expected-keys", String(VALIDATORS)];
  });
  running.push(() => daemon.stop());
  const importKeys = async () => {
    assert.deepEqual(await daemon.importKeys(keystores, keys.map(() => PASSWORD)), keys.map(() => "imported"));
  };
  await importKeys();
  const started = Date.now();
  const prometheus = await startPrometheus(running, metrics);

  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "bls-signer-chain-"));
  running.push(() => fs.rmSync(directory, {recursive: true, force: true}));
  const execution = await ExecutionLayer.start();
  running.push(() => execution.close());
  const recorder = await Recorder.start(daemon);
  running.push(() => recorder.close());
  const lodestar = new Lodestar(directory, delay);
  running.push(() => lodestar.stop());
  await lodestar.startBeaconNode(VALIDATORS, execution);
  lodestar.startValidatorClient(recorder.url);
  return {daemon, recorder, lodestar, importKeys, prometheus, started};
}
