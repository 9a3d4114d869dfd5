// A Prometheus of Debian's package on loopback, with a directory of its own, that scrapes signers every second.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {spawn} from "node:child_process";

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;

export class Prometheus {
  #directory = fs.mkdtempSync(path.join(os.tmpdir(), "bls-signer-prometheus-"));
  #child;
  #log = "";

  /** `jobs`: `{job, port, instance?}` each, whose `/metrics` is at 127.0.0.1:port. `port` is a free one for Prometheus itself. */
  static async start(port, jobs) {
    const prometheus = new Prometheus();
    prometheus.url = `http://127.0.0.1:${port}`;
    try {
      await prometheus.#launch(port, jobs);
    } catch (error) {
      await prometheus.stop();
      throw error;
    }
    return prometheus;
  }

  /** The series of a query from `since` (ms) until now, each `{metric, values}` with those samples that are numbers; none is left out else. */
  async series(expr, since, step = 5) {
    const query = new URLSearchParams({query: expr, start: since / 1000, end: Date.now() / 1000, step});
    const {result} = await this.#get(`/api/v1/query_range?${query}`);
    const finite = result.map(({metric, values}) => ({metric, values: values.filter(([, value]) => Number.isFinite(Number(value)))}));
    return finite.filter(({values}) => values.length > 0);
  }

  /** Targets that the last scrape did not reach, with the reason. */
  async unreached() {
    const {activeTargets} = await this.#get("/api/v1/targets?state=active");
    return activeTargets.filter(({health}) => health !== "up").map(({labels, health, lastError}) => ({labels, health, lastError}));
  }

  async stop() {
    const child = this.#child;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
      await exited;
      clearTimeout(timer);
    }
    fs.rmSync(this.#directory, {recursive: true, force: true});
  }

  async #launch(port, jobs) {
    const configuration = path.join(this.#directory, "prometheus.json"); // JSON is YAML
    const scrapes = jobs.map(({job, port, instance}) => ({
      job_name: job,
      static_configs: [{targets: [`127.0.0.1:${port}`], labels: instance ? {instance} : {}}],
    }));
    fs.writeFileSync(configuration, JSON.stringify({global: {scrape_interval: "1s", scrape_timeout: "1s"}, scrape_configs: scrapes}));
    const args = [`--config.file=${configuration}`, `--storage.tsdb.path=${path.join(this.#directory, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`, "--log.level=warn"];
    const child = spawn("prometheus", args, {stdio: ["ignore", "pipe", "pipe"], cwd: this.#directory});
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (this.#log += text));
    child.on("error", (error) => (this.#log += `cannot start prometheus (Debian's package of that name): ${error.message}\n`));
    const deadline = Date.now() + START_LIMIT_MS;
    while (!(await fetch(`${this.url}/-/ready`).then((response) => response.ok, () => false))) {
      if (child.exitCode !== null || child.pid === undefined || Date.now() > deadline) {
        throw Error(`Prometheus did not start (exit status ${child.exitCode}); its log:\n${this.#log}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async #get(route) {
    const response = await fetch(this.url + route, {signal: AbortSignal.timeout(30_000)});
    const answer = await response.json();
    if (answer.status !== "success") throw Error(`${route}: ${answer.error}`);
    return answer.data;
  }
}
