import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";
import {networks} from "./networks.mjs";

test("the networks that the signer is compared with are those that Lodestar publishes", () => {
  const file = new URL("../vectors/networks.json", import.meta.url);
  assert.deepEqual(JSON.parse(fs.readFileSync(file, "utf8")), networks());
});
