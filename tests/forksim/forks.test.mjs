// A chain from phase0 to Gloas on signatures of the daemon alone, until Gloas itself is finalized.
import assert from "node:assert/strict";
import path from "node:path";
import {test} from "node:test";

process.env.LODESTAR_PRESET = "minimal";
const {SLOTS_PER_EPOCH} = await import("@lodestar/params");
const {Chain} = await import("./chain.mjs");
const {Daemon} = await import("../support/daemon.mjs");
const {digest, interopKeys, keystore} = await import("./keys.mjs");
const {FINAL_FORK_EPOCH, FORKS, chainConfig, writeConfigYaml} = await import("./network.mjs");
const {RemoteSigner} = await import("./remote.mjs");

const VALIDATORS = 24;
const PASSWORD = "interop";

test("every fork's signatures carry a chain to finality: roots computed here, fork_info as most clients send it", async (t) => {
  const chain = await runChain(t, {style: "state", withSigningRoot: false});
  await refusesWhatIsSlashable(chain);
});

test("every fork's signatures carry a chain to finality: roots sent along, fork_info as Lodestar sends it", async (t) => {
  await runChain(t, {style: "client", withSigningRoot: true});
});

async function runChain(t, options) {
  const config = chainConfig(VALIDATORS);
  const keys = interopKeys(0, VALIDATORS);
  const daemon = await Daemon.start((directory) => {
    const file = path.join(directory, "config.yaml");
    writeConfigYaml(file, config);
    return ["--network", file];
  });
  const signer = new RemoteSigner(daemon, options);
  t.after(async () => {
    signer.close();
    await daemon.stop();
  });
  const keystores = await Promise.all(keys.map((key) => keystore(key, PASSWORD)));
  assert.deepEqual(await daemon.importKeys(keystores, keys.map(() => PASSWORD)), keys.map(() => "imported"));

  const chain = await Chain.fromDeposits(config, keys, signer);
  assert.equal(chain.activeValidators, VALIDATORS, "deposits accepted at genesis");
  const finalEpoch = FINAL_FORK_EPOCH + 1;
  const lastSlot = (finalEpoch + 4) * SLOTS_PER_EPOCH;
  for (let slot = 1; slot <= lastSlot && chain.finalizedEpoch < finalEpoch; slot++) await chain.advance(slot);
  assert.equal(chain.finalizedEpoch, finalEpoch, "finalized epoch");
  assert.deepEqual(Object.keys(chain.blocksPerFork), FORKS);
  t.diagnostic(`blocks: ${JSON.stringify(chain.blocksPerFork)}`);
  t.diagnostic(`signatures: ${JSON.stringify(Object.fromEntries(signer.signed))}`);
  return chain;
}

async function refusesWhatIsSlashable({keys, lastBlock, lastVote, messages, signer}) {
  const answers = async (key, message, status) => {
    const answer = await signer.ask(key, message);
    assert.equal(answer.status, status, `${message.type} ${JSON.stringify(message.fields)}: ${answer.text}`);
  };
  const proposer = keys[lastBlock.proposerIndex];
  await answers(proposer, messages.block(lastBlock), 200);
  await answers(proposer, messages.block({...lastBlock, stateRoot: digest("other")}), 412);

  const {key, data} = lastVote;
  const vote = (change) => messages.attestation({...data, ...change});
  const checkpoint = (epoch) => ({epoch, root: digest("checkpoint", epoch)});
  await answers(key, vote({}), 200);
  await answers(key, vote({beaconBlockRoot: digest("other")}), 412);
  const surrounding = {source: checkpoint(data.source.epoch - 1), target: checkpoint(data.target.epoch + 1)};
  await answers(key, vote(surrounding), 412);
  const backwards = {source: checkpoint(data.target.epoch + 5), target: checkpoint(data.target.epoch + 2)};
  await answers(key, vote(backwards), 412);
  await answers(key, vote({slot: data.slot + SLOTS_PER_EPOCH, target: checkpoint(data.target.epoch + 1)}), 200);
}
