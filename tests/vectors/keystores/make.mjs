// Makes chainsafe.json: keystores by another implementation, @chainsafe/bls-keystore (with @chainsafe/blst for the keys).
//   cd tests/forksim && npm ci --ignore-scripts && NODE_PATH=node_modules node ../vectors/keystores/make.mjs > ../vectors/keystores/chainsafe.json
import {createRequire} from "node:module";
import {join} from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const {Keystore, defaultPbkdfModule, defaultScryptModule} = require("@chainsafe/bls-keystore");
const {SecretKey} = require("@chainsafe/blst");

const cheap = (module, params) => ({...module, params: {...module.params, ...params}});
const cases = [
  {password: "plain", kdf: defaultScryptModule()},
  {password: "plain", kdf: defaultPbkdfModule()},
  {password: "p\u00e4ssw\u00f6rd \u{1f511}", kdf: cheap(defaultScryptModule(), {n: 16384})},
  {password: "e\u0301 is \u00e9, \ufb01 is fi, \u1e9b\u0323", kdf: cheap(defaultPbkdfModule(), {c: 1000})},
  {password: "tab\tbell\u0007delete\u007fc1\u0085end", kdf: cheap(defaultPbkdfModule(), {c: 1000})},
  {password: " blanks stay ", kdf: cheap(defaultPbkdfModule(), {c: 1})},
  {password: "x".repeat(1000), kdf: cheap(defaultScryptModule(), {n: 1024, r: 4, p: 3})},
  {password: "\u{1d531}\u{1d522}\u{1d530}\u{1d531}", kdf: cheap(defaultPbkdfModule(), {c: 1000})},
];
const vectors = [];
for (const [i, {password, kdf}] of cases.entries()) {
  const secret = SecretKey.fromKeygen(Buffer.alloc(32, i + 1));
  const path = `m/12381/3600/${i}/0/0`;
  const keystore = await Keystore.create(password, secret.toBytes(), secret.toPublicKey().toBytes(), path, "made elsewhere", kdf);
  vectors.push({password, secret: "0x" + Buffer.from(secret.toBytes()).toString("hex"), keystore: JSON.parse(keystore.stringify())});
}
console.log(JSON.stringify(vectors, null, 1));
