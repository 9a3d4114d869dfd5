// The Keymanager API as Lodestar's own client drives it.
import assert from "node:assert/strict";
import {test} from "node:test";

process.env.LODESTAR_PRESET = "minimal"; // only so that a configuration can be made; the API does not depend on it
const {getClient} = await import("@lodestar/api/keymanager");
const {createChainForkConfig} = await import("@lodestar/config");
const {minimalChainConfig} = await import("@lodestar/config/configs");
const {Daemon, TOKEN} = await import("../support/daemon.mjs");
const {interopKeys, keystore, pbkdf2, scrypt} = await import("./keys.mjs");

const GENESIS_VALIDATORS_ROOT = "0x" + "04".repeat(32);
const PASSWORDS = ["plain", "p\u00e4ssw\u00f6rd \u{1f511}", "with\ttab", "x".repeat(100)];

test("imports, lists and deletes keys, and their history goes in and comes out", async (t) => {
  const daemon = await Daemon.start(() => ["--network", "minimal"]); // whose chain is not known in advance
  t.after(() => daemon.stop());
  const config = createChainForkConfig(minimalChainConfig);
  const client = (bearerToken) => getClient({urls: [{baseUrl: daemon.keymanager, bearerToken}]}, {config});
  const keymanager = client(TOKEN);
  const keys = interopKeys(1000, PASSWORDS.length);
  const pubkeys = keys.map((key) => key.name);
  const keystores = await Promise.all(keys.map((key, i) => keystore(key, PASSWORDS[i], i % 2 ? scrypt : pbkdf2)));
  const importKeys = async (request) => (await keymanager.importKeystores(request)).value().map((result) => result.status);
  const listed = async () => (await keymanager.listKeys()).value().map((key) => key.validatingPubkey).sort();

  assert.equal((await client(undefined).listKeys()).status, 401, "without a token");
  assert.ok([401, 403].includes((await client("wrong").listKeys()).status), "with a wrong token");
  assert.deepEqual(await listed(), []);
  assert.deepEqual(await importKeys({keystores: [keystores[0]], passwords: ["nope"]}), ["error"]);
  const slashingProtection = JSON.stringify(interchange(pubkeys));
  assert.deepEqual(await importKeys({keystores, passwords: PASSWORDS, slashingProtection}), pubkeys.map(() => "imported"));
  assert.deepEqual(await importKeys({keystores, passwords: PASSWORDS}), pubkeys.map(() => "duplicate"));
  assert.deepEqual(await listed(), [...pubkeys].sort());

  const deleted = (await keymanager.deleteKeys({pubkeys})).value();
  assert.deepEqual(deleted.statuses.map((result) => result.status), pubkeys.map(() => "deleted"));
  assertHistoryOf(pubkeys, deleted.slashingProtection);
  const again = (await keymanager.deleteKeys({pubkeys})).value();
  assert.deepEqual(again.statuses.map((result) => result.status), pubkeys.map(() => "not_active"));
  assertHistoryOf(pubkeys, again.slashingProtection);
  assert.deepEqual(await listed(), []);
});

const interchange = (pubkeys) => ({
  metadata: {interchange_format_version: "5", genesis_validators_root: GENESIS_VALIDATORS_ROOT},
  data: pubkeys.map((pubkey) => ({
    pubkey,
    signed_blocks: [{slot: "81952"}],
    signed_attestations: [{source_epoch: "2290", target_epoch: "3007"}],
  })),
});

function assertHistoryOf(pubkeys, text) {
  const {metadata, data} = JSON.parse(text);
  assert.equal(metadata.interchange_format_version, "5");
  assert.equal(metadata.genesis_validators_root, GENESIS_VALIDATORS_ROOT);
  for (const pubkey of pubkeys) {
    const history = data.find((entry) => entry.pubkey === pubkey);
    assert.ok(history, `no history of ${pubkey}`);
    assert.ok(history.signed_blocks.some(({slot}) => slot === "81952"), `the block of ${pubkey}`);
    assert.ok(history.signed_attestations.some((vote) => vote.source_epoch === "2290" && vote.target_epoch === "3007"), `the vote of ${pubkey}`);
  }
}
