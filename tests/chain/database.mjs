// The database of a shared ledger: a primary and a synchronous standby, and what happens to them.
import path from "node:path";
import readline from "node:readline";
import {execFileSync, spawn} from "node:child_process";
import {fileURLToPath} from "node:url";

const TESTS = fileURLToPath(new URL("../shared_ledger", import.meta.url));
const env = {...process.env, PYTHONDONTWRITEBYTECODE: "1"};

export class Database {
  #child;
  #lines;
  #sockets;

  /** For the chain whose genesis validators root is `chain`. */
  static async start(chain) {
    const database = new Database();
    const child = spawn("python3", [path.join(TESTS, "ordered.py"), chain.slice(2)], {stdio: ["pipe", "pipe", "inherit"], env});
    database.#child = child;
    database.#lines = readline.createInterface({input: child.stdout})[Symbol.asyncIterator]();
    database.#sockets = (await database.#answer()).split(" ");
    return database;
  }

  /** For `shared_ledger`: both servers, the `first` of them first. */
  address(first = 0) {
    const sockets = first === 0 ? this.#sockets : this.#sockets.toReversed();
    return `postgres://bls_signer@/ledger?${sockets.map((directory) => `host=${directory}`).join("&")}`;
  }

  /** `keys`, `fail-over` or `split`: see tests/shared_ledger/ordered.py. Answers when it is carried out. */
  async order(name) {
    this.#child.stdin.write(`${name}\n`);
    return this.#answer();
  }

  async stop() {
    const exited = new Promise((resolve) => this.#child.once("exit", resolve));
    if (this.#child.exitCode !== null) return;
    this.#child.stdin.end();
    await exited;
  }

  async #answer() {
    const {value, done} = await this.#lines.next();
    if (done) throw Error("the database's servers are gone: what went wrong stands above");
    return value;
  }
}

/** What the brute-force checker finds in what was signed, as text; throws when any would be slashed. */
export function check(signed) {
  const input = signed.map(({message}) => JSON.stringify(message)).join("\n");
  return execFileSync("python3", [path.join(TESTS, "checker.py")], {input, env, encoding: "utf8"}).trim();
}
