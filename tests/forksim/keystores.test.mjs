// Keystores that this project makes, opened by another implementation of EIP-2335.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {test} from "node:test";
import {Keystore} from "@chainsafe/bls-keystore";
import blst from "@chainsafe/blst";

const file = new URL("../vectors/keystores/made-here.json", import.meta.url);

test("opens every keystore made here, and finds the key it names", async () => {
  const vectors = JSON.parse(readFileSync(file, "utf8"));
  assert.ok(vectors.length >= 6);
  for (const {password, secret, keystore} of vectors) {
    const opened = await Keystore.fromObject(keystore).decrypt(password);
    assert.equal("0x" + Buffer.from(opened).toString("hex"), secret);
    const publicKey = blst.SecretKey.fromBytes(opened).toPublicKey().toBytes();
    assert.equal(Buffer.from(publicKey).toString("hex"), keystore.pubkey);
    await assert.rejects(Keystore.fromObject(keystore).decrypt(password + "!"));
  }
});
