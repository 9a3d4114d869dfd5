// Public test keys (the interop series, secrets known to everybody), keystores of them, and bytes made of nothing.
import {createHash} from "node:crypto";
import {create} from "@chainsafe/bls-keystore";
import {interopSecretKey} from "@lodestar/state-transition";

/** 32 bytes that depend on nothing but the parts. */
export const digest = (...parts) => Uint8Array.from(createHash("sha256").update(parts.join("|")).digest());

export const hex = (bytes) => "0x" + Buffer.from(bytes).toString("hex");

export function interopKeys(first, count) {
  return Array.from({length: count}, (_, i) => {
    const secret = interopSecretKey(first + i);
    const publicKey = secret.toPublicKey().toBytes();
    return {index: first + i, secret, publicKey, name: hex(publicKey)};
  });
}

export const pbkdf2 = {function: "pbkdf2", params: {dklen: 32, c: 4096, prf: "hmac-sha256", salt: "ab".repeat(32)}, message: ""};
export const scrypt = {function: "scrypt", params: {dklen: 32, n: 4096, r: 8, p: 1, salt: "cd".repeat(32)}, message: ""};

/** The key as EIP-2335 text. */
export async function keystore(key, password, kdf = pbkdf2) {
  const made = await create(password, key.secret.toBytes(), key.publicKey, `m/12381/3600/${key.index}/0/0`, null, kdf);
  return JSON.stringify(made);
}
