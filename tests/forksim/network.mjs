// The chain's configuration: the minimal preset, one fork an epoch from phase0 to Gloas, as a config.yaml that the daemon reads.
import fs from "node:fs";
import {chainConfigToJson, createChainForkConfig} from "@lodestar/config";
import {minimalChainConfig} from "@lodestar/config/configs";

export const FORKS = ["phase0", "altair", "bellatrix", "capella", "deneb", "electra", "fulu", "gloas"];
export const FINAL_FORK_EPOCH = FORKS.indexOf("gloas");

/** Whether `fork` is `since` or later. */
export const isFrom = (since, fork) => FORKS.indexOf(fork) >= FORKS.indexOf(since);

export function chainConfig(validators) {
  const epochs = Object.fromEntries(FORKS.slice(1).map((fork, i) => [`${fork.toUpperCase()}_FORK_EPOCH`, i + 1]));
  return createChainForkConfig({
    ...minimalChainConfig,
    ...epochs,
    GENESIS_DELAY: 0,
    SHARD_COMMITTEE_PERIOD: 0,
    MIN_GENESIS_ACTIVE_VALIDATOR_COUNT: validators,
    TERMINAL_TOTAL_DIFFICULTY: 0n,
  });
}

/** Writes the configuration in the consensus specification's own form. */
export function writeConfigYaml(file, config) {
  const yaml = (value) => (Array.isArray(value) ? JSON.stringify(value) : /^[\w.]+$/.test(value) ? value : `"${value}"`);
  const lines = Object.entries(chainConfigToJson(config)).map(([name, value]) => `${name}: ${yaml(value)}\n`);
  fs.writeFileSync(file, lines.join(""));
}
