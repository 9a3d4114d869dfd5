// Everything that dashboards and alerts ask a Prometheus for: our dashboard and rules, and the public dashboards made for Web3Signer.
import fs from "node:fs";
import {fileURLToPath} from "node:url";

const read = (path) => fs.readFileSync(fileURLToPath(new URL(path, import.meta.url)), "utf8");
/** Of alerts and panels about TLS, which a signer without it does not have. */
const ONLY_WITH_TLS = /_tls_certificate_/;

/** Each query of a panel, as `{from, expr}`, with Grafana's variables filled in; one of our own has `title` and `legend` too. */
export function panelQueries() {
  const panels = JSON.parse(read("../../packaging/grafana/bls-signer.json")).panels;
  const ours = panels.flatMap(({title, targets = []}) =>
    targets.map(({expr, legendFormat}) => ({from: `bls-signer: ${title}`, title, legend: legendFormat, expr: filled(expr, {job: "bls-signer.*", instance: ".*"})})));
  const theirs = JSON.parse(read("dashboards.json")).flatMap(({name, job, queries}) =>
    Object.entries(queries).flatMap(([title, exprs]) =>
      exprs.map((expr) => ({from: `${name}: ${title}`, expr: filled(expr, {system: ".*", job})}))));
  return [...ours, ...theirs];
}

/** The names of the series that alerts ask for. */
export function alertedSeries() {
  const rules = read("../../packaging/prometheus/alerts.yml");
  const names = new Set(rules.match(/\b(?:bls_signer|process|signing)_[a-z_]+\b/g));
  return [...names].filter((name) => !ONLY_WITH_TLS.test(name));
}

function filled(expr, variables) {
  const text = expr.replaceAll("$__rate_interval", "1m");
  return Object.entries(variables).reduce((text, [name, value]) => text.replaceAll(`$${name}`, value), text);
}
