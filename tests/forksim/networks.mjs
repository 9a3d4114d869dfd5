// The public networks as Lodestar publishes them, as far as a signer needs them, in the form of tests/vectors/networks.json:
//   node networks.mjs >../vectors/networks.json
// The newest configuration, beside the older packages that the chain is made of.
import {pathToFileURL} from "node:url";
import {chainConfigToJson} from "published-config";
import {genesisData, networksChainConfig} from "published-config/networks";

const FORKS = ["ALTAIR", "BELLATRIX", "CAPELLA", "DENEB", "ELECTRA", "FULU", "GLOAS", "HEZE"];
const NEVER = "18446744073709551615";
// It begins anew every few weeks.
const WITHOUT_GENESIS = ["ephemery"];

export function networks() {
  const mainnet = chainConfigToJson(networksChainConfig.mainnet);
  return Object.fromEntries(
    Object.entries(networksChainConfig).map(([name, chainConfig]) => {
      const config = chainConfigToJson(chainConfig);
      // A fork without a date that has mainnet's version only stands for one to come.
      const isNamed = (fork) =>
        config[`${fork}_FORK_EPOCH`] !== NEVER ||
        name === "mainnet" ||
        config[`${fork}_FORK_VERSION`] !== mainnet[`${fork}_FORK_VERSION`];
      const forks = FORKS.filter(isNamed).map((fork) => {
        const epoch = config[`${fork}_FORK_EPOCH`];
        return [fork, {version: config[`${fork}_FORK_VERSION`], epoch: epoch === NEVER ? null : Number(epoch)}];
      });
      const genesis = WITHOUT_GENESIS.includes(name) ? null : genesisData[name];
      return [
        name,
        {
          preset: config.PRESET_BASE,
          slot_ms: Number(config.SLOT_DURATION_MS),
          genesis_version: config.GENESIS_FORK_VERSION,
          genesis_time: genesis?.genesisTime ?? null,
          genesis_validators_root: genesis?.genesisValidatorsRoot ?? null,
          forks: Object.fromEntries(forks),
        },
      ];
    })
  );
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) console.log(JSON.stringify(networks(), null, 1));
