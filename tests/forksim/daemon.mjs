// Starts the built daemon on sockets in a directory of its own, and stops it again.
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import {spawn} from "node:child_process";
import {fileURLToPath} from "node:url";

const BINARY = process.env.BLS_SIGNER ?? fileURLToPath(new URL("../../target/debug/bls-signer", import.meta.url));
export const TOKEN = "forksim-token-".padEnd(64, "0");
const START_LIMIT_MS = 30_000;

/**
 * Signing on a Unix socket, keymanager on a loopback port with a token.
 * `configure` gets the daemon's directory, may put files there and returns further arguments.
 */
export async function startDaemon(configure = () => []) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "bls-signer-forksim-"));
  const socket = path.join(directory, "signer.sock");
  const tokenFile = path.join(directory, "token");
  fs.writeFileSync(tokenFile, TOKEN, {mode: 0o600});
  const args = ["serve", "--listen", `signing=unix:${socket}`, "--listen", "keymanager=127.0.0.1:0",
    "--auth-token-file", tokenFile, "--state-dir", path.join(directory, "state"), ...configure(directory)];
  const child = spawn(BINARY, args, {stdio: ["ignore", "ignore", "pipe"], env: {...process.env, NOTIFY_SOCKET: ""}});
  const daemon = {child, directory, socket, log: "", headers: {authorization: `Bearer ${TOKEN}`}};
  child.stderr.setEncoding("utf8").on("data", (text) => (daemon.log += text));
  child.on("error", (error) => (daemon.log += `cannot start ${BINARY}: ${error.message}\n`));
  daemon.stop = () => stop(daemon);
  try {
    await started(daemon);
  } catch (error) {
    await daemon.stop();
    throw error;
  }
  return daemon;
}

async function started(daemon) {
  const deadline = Date.now() + START_LIMIT_MS;
  for (;;) {
    const port = /listening.*?127\.0\.0\.1:(\d+)/.exec(daemon.log)?.[1];
    if (port && (await upcheck(daemon))) {
      daemon.keymanager = `http://127.0.0.1:${port}`;
      return;
    }
    if (daemon.child.exitCode !== null || daemon.child.pid === undefined || Date.now() > deadline) {
      throw Error(`the daemon did not start (exit status ${daemon.child.exitCode}); its log:\n${daemon.log}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function upcheck(daemon) {
  return new Promise((resolve) => {
    const request = http.get({socketPath: daemon.socket, path: "/upcheck"}, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on("error", () => resolve(false));
  });
}

async function stop({child, directory}) {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await exited;
    clearTimeout(timer);
  }
  fs.rmSync(directory, {recursive: true, force: true});
}
