// Public test keys (the interop series, secrets known to everybody), keystores of them, and a check of signatures by a second
// library.
import {createHash} from "node:crypto";
import {create} from "@chainsafe/bls-keystore";
import {bls12_381} from "@noble/curves/bls12-381";

const ORDER = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001n;
const CIPHERSUITE = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
const {longSignatures} = bls12_381;

export function interopKeys(count) {
  return Array.from({length: count}, (_, index) => {
    const secret = secretKey(index);
    const publicKey = longSignatures.getPublicKey(secret).toBytes(true);
    return {index, secret, publicKey, name: "0x" + Buffer.from(publicKey).toString("hex")};
  });
}

/** The key as EIP-2335 text, with a light key derivation: everybody knows these keys anyway. */
export async function keystore(key, password) {
  const kdf = {function: "pbkdf2", params: {dklen: 32, c: 1024, prf: "hmac-sha256", salt: "00".repeat(32)}, message: ""};
  return JSON.stringify(await create(password, new Uint8Array(key.secret), key.publicKey, `m/12381/3600/${key.index}/0/0`, null, kdf));
}

export function verifies(publicKey, root, signature) {
  const bytes = (text) => Buffer.from(text.slice(2), "hex");
  try {
    return longSignatures.verify(bytes(signature), longSignatures.hash(bytes(root), CIPHERSUITE), bytes(publicKey));
  } catch {
    return false;
  }
}

function secretKey(index) {
  const number = Buffer.alloc(32);
  number.writeUInt32LE(index, 0);
  const digest = createHash("sha256").update(number).digest().reverse();
  const secret = BigInt("0x" + digest.toString("hex")) % ORDER;
  return Buffer.from(secret.toString(16).padStart(64, "0"), "hex");
}
