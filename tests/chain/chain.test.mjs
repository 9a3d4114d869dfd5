// A real validator client on a real beacon node, through four forks to finality. It has one signer first, which is killed and started
// again in the middle of an epoch. Then three share a ledger, and answer in turn and at random, while daemons are killed, the
// database's primary is, and a standby is promoted beside one that lives on. A Prometheus scrapes the first signer, and has data for
// every panel at the end. Every answer that any of them ever gave is compared with every other one.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {test} from "node:test";
import {alertedSeries, panelQueries} from "../monitoring/queries.mjs";
import {check} from "./database.mjs";
import {ExecutionLayer} from "./execution.mjs";
import {Hosts} from "./hosts.mjs";
import {FORK_EPOCHS, Lodestar, SECONDS_PER_SLOT, SLOTS_PER_EPOCH, freePort, sleep} from "./lodestar.mjs";
import {dashboardData, startPrometheus} from "./monitoring.mjs";

const VALIDATORS = 8;
const FINAL_EPOCH = FORK_EPOCHS.CAPELLA + 2;
const LAST_SLOT = (FINAL_EPOCH + 6) * SLOTS_PER_EPOCH;
const KILL_SLOT = 2 * SLOTS_PER_EPOCH + 3;
const SHARE_SLOT = KILL_SLOT + 3;
/** Seconds to genesis; the next one is tried when both programs could not start in that time, on a busy machine. */
const GENESIS_DELAYS = [20, 60, 180];
const MOST_EMPTY = 0.1;

test("a validator client finalizes a chain with this signer, alone and as three, whatever is killed on the way", async (t) => {
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
  const {hosts, lodestar, prometheus, started} = chain;
  const {recorder} = hosts;

  await hosts.makeDatabase((await lodestar.get("/eth/v1/beacon/genesis")).genesis_validators_root);
  await midSlot(lodestar, KILL_SLOT);
  await hosts.kill(0);
  await midSlot(lodestar, SHARE_SLOT);
  assert.equal(await hosts.share(), VALIDATORS, "keys whose history the first signer brought into the shared ledger");
  await disruptAll(hosts, lodestar);
  const undisturbed = Date.now();
  await lodestar.until(async () => {
    const {finalized} = await lodestar.get("/eth/v1/beacon/states/head/finality_checkpoints");
    return Number(finalized.epoch) >= FINAL_EPOCH;
  }, LAST_SLOT);

  const {lost, unexplained} = hosts.lost();
  const {filled, empty} = await lodestar.slots();
  t.diagnostic(`${filled.length} blocks, empty slots ${JSON.stringify(empty)}`);
  for (const {what, from, to} of hosts.disruptions) t.diagnostic(`${what}: ${to - from} ms, duties lost: ${lost[what].length}`);
  t.diagnostic(`requests: ${JSON.stringify(recorder.types)}`);
  t.diagnostic(check(recorder.signed));
  assert.throws(() => check([...recorder.signed, contradiction(recorder.signed)]), "the checker finds no contradiction");
  assert.deepEqual(recorder.unverified, []);
  assert.deepEqual(unexplained, [], "requests failed that nothing explains");
  for (const [what, requests] of Object.entries(lost)) {
    if (what.endsWith("of 3 killed")) assert.deepEqual(requests, [], `${what}: the others did not stand in`);
  }
  for (const number of recorder.daemons.keys()) {
    assert.ok(recorder.signed.some(({daemon, asked}) => daemon === number && asked > undisturbed), `signer ${number} signed nothing at the end`);
  }
  // A slot may be empty because the clients were late; those that signers left empty have lost requests, see above.
  const late = empty.filter((slot) => !hosts.during(lodestar.timeOf(slot), lodestar.timeOf(slot + 1)));
  assert.ok(late.length <= filled.length * MOST_EMPTY, `empty slots: ${empty}`);
  for (const type of ["ATTESTATION", "AGGREGATION_SLOT", "RANDAO_REVEAL", "SYNC_COMMITTEE_MESSAGE", "BLOCK_V2 PHASE0", "BLOCK_V2 CAPELLA"]) {
    assert.ok(recorder.types[type] > 0, `no ${type} was asked for`);
  }
  await showsEverything(prometheus, started, lodestar);
});

/** Everything that may happen to three signers with one ledger, from an epoch of theirs on. */
async function disruptAll(hosts, lodestar) {
  const wait = (slots) => midSlot(lodestar, lodestar.slot + slots);
  await wait(2);
  await hosts.kill(1);
  await wait(1);
  await hosts.kill(2);
  hosts.recorder.isRandom = true;
  await wait(2);
  await hosts.database("fail-over");
  await wait(1);
  await hosts.kill(0);
  await wait(1);
  await hosts.database("split");
}

/** Into that slot: duties are on their way. */
async function midSlot(lodestar, slot) {
  await lodestar.until(() => lodestar.slot >= slot, LAST_SLOT);
  await sleep(SECONDS_PER_SLOT * 500);
}

/** Another vote of the same key for the same epoch. */
function contradiction(signed) {
  const {message, ...by} = signed.find(({message}) => message.target !== undefined);
  return {...by, message: {...message, root: "0x" + "99".repeat(32)}};
}

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
  const metrics = await freePort();
  const hosts = await Hosts.start(running, VALIDATORS, "--listen", `metrics=127.0.0.1:${metrics}`);
  const started = Date.now();
  const prometheus = await startPrometheus(running, metrics);

  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "bls-signer-chain-"));
  running.push(() => fs.rmSync(directory, {recursive: true, force: true}));
  const execution = await ExecutionLayer.start();
  running.push(() => execution.close());
  const lodestar = new Lodestar(directory, delay);
  running.push(() => lodestar.stop());
  await lodestar.startBeaconNode(VALIDATORS, execution);
  lodestar.startValidatorClient(hosts.recorder.url);
  return {hosts, lodestar, prometheus, started};
}
