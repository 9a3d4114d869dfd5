// What watches the signer of the chain: a Prometheus, which knows it by the names that dashboards ask for.
import http from "node:http";
import {panelQueries} from "../monitoring/queries.mjs";
import {Prometheus} from "../monitoring/prometheus.mjs";
import {Daemon} from "../support/daemon.mjs";
import {interopKeys, keystore} from "./interop.mjs";
import {freePort} from "./lodestar.mjs";

const DAPPNODE = "web3signer.web3signer.dappnode:9091"; // the instance that DappNode's dashboard names

/** A Prometheus that scrapes the signer whose metrics are at port `metrics`; what ends it is put into `running`. */
export async function startPrometheus(running, metrics) {
  const clocked = await startClockedSigner(running);
  const prometheus = await Prometheus.start(await freePort(), [
    {job: "bls-signer", port: metrics},
    {job: "web3signer-node", port: metrics},
    {job: "web3signer", port: metrics, instance: DAPPNODE},
    {job: "bls-signer-mainnet", port: clocked},
  ]);
  running.push(() => prometheus.stop());
  return prometheus;
}

/** The series of our dashboard's panels since then, by title: for a picture of it. */
export async function dashboardData(prometheus, started) {
  const panels = {};
  for (const {title, legend, expr} of panelQueries().filter(({title}) => title)) {
    const ofTheChain = await prometheus.series(expr.replaceAll("bls-signer.*", "bls-signer"), started, 2);
    const series = ofTheChain.length ? ofTheChain : await prometheus.series(expr, started, 2);
    (panels[title] ??= []).push({legend, series});
  }
  return {started: started / 1000, ended: Date.now() / 1000, panels};
}

/**
 * A signer on mainnet that signs registrations; answers the port of its metrics. The chain's configuration does not say when its first
 * slot began, so the signer of the chain does not know how far into the slot it answers.
 */
async function startClockedSigner(running) {
  const port = await freePort();
  const daemon = await Daemon.start(() => ["--network", "mainnet", "--listen", `metrics=127.0.0.1:${port}`]);
  running.push(() => daemon.stop());
  const [key] = interopKeys(1);
  await daemon.importKeys([await keystore(key, "interop")], ["interop"]);
  const registration = JSON.stringify({
    type: "VALIDATOR_REGISTRATION",
    validator_registration: {fee_recipient: "0x" + "ab".repeat(20), gas_limit: "30000000", timestamp: "1700000000", pubkey: key.name},
  });
  const timer = setInterval(() => sign(daemon, key, registration), 1000);
  running.push(() => clearInterval(timer));
  return port;
}

function sign(daemon, key, body) {
  const headers = {...daemon.headers, host: "localhost", "content-type": "application/json"};
  const options = {socketPath: daemon.socket, path: `/api/v1/eth2/sign/${key.name}`, method: "POST", headers};
  // One that fails is missed in the panel.
  http.request(options, (answer) => answer.resume()).on("error", () => {}).end(body);
}
