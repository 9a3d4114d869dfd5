//! Options of Web3Signer, all of them, and what becomes of each.
//!
//! Source: Web3Signer's option classes (`Web3SignerBaseCommand`, `Eth2SubCommand`, `PicoCli*`, `Pico*Parameters`) as of
//! July 2026, 26.4.2 and what came after it.

use super::option::Fate::{Accepted, Flag, Refused, RefusedWhenOn, Translated};
use super::option::Level::{Eth2, Export, Global, Import, WatermarkRepair};
use super::option::Meaning;
use super::option::Takes::{List, Switch, Text};
use super::option::{Fate, Level, Takes, Web3SignerOption};

/// The version whose options these are.
pub(super) const VERSION: &str = "26.4.2";

#[rustfmt::skip]
pub(super) const OPTIONS: &[Web3SignerOption] = &[
    row(&["config-file"], Global, Text, Translated(Meaning::ConfigFile, "read, as YAML")),
    row(&["data-path"], Global, Text, Flag("state-dir")),
    row(&["key-config-path", "key-store-path"], Global, Text, Flag("key-config-path")),
    row(&["key-store-config-file-max-size"], Global, Text, Accepted("the bound of a key configuration file is fixed")),
    row(&["logging", "l"], Global, Text, Translated(Meaning::Logging,
        "`--log-level`; `FATAL` is `error`, `ALL` is `trace`")),
    row(&["logging-format"], Global, Text, Accepted("log lines are plain text, and in the journal they have fields")),
    row(&["http-listen-host"], Global, Text, Translated(Meaning::ListenHost, "`--listen`: an IP address or localhost")),
    row(&["http-listen-port"], Global, Text, Translated(Meaning::ListenPort, "`--listen`; 9000 unless given")),
    row(&["http-host-allowlist"], Global, List, Translated(Meaning::Hosts, "`--http-host-allowlist`; `all` is `*`")),
    row(&["http-cors-origins"], Global, List, Translated(Meaning::Origins,
        "`--http-origin-allowlist`, exact origins; `*` and `all` allow none, with a warning")),
    row(&["idle-connection-timeout-seconds"], Global, Text, Flag("idle-timeout")),
    row(&["access-logs-enabled"], Global, Switch, Accepted("--logging=DEBUG logs every signature and every refusal")),
    row(&["vertx-worker-pool-size"], Global, Text, Accepted("signing has a thread for each core")),
    row(&["metrics-enabled"], Global, Switch, Translated(Meaning::Metrics, "`--listen metrics=HOST:PORT`")),
    row(&["metrics-host"], Global, Text, Translated(Meaning::MetricsHost, "`--listen metrics=`")),
    row(&["metrics-port"], Global, Text, Translated(Meaning::MetricsPort, "`--listen metrics=`; 9001 unless given")),
    row(&["metrics-host-allowlist"], Global, List, Translated(Meaning::MetricsHosts,
        "a warning, unless it is the same as `--http-host-allowlist`: that one holds for every listener")),
    row(&["metrics-category", "metrics-categories"], Global, List, Accepted("every metric is always there")),
    row(&["metrics-push-enabled"], Global, Switch, RefusedWhenOn(NO_PUSH)),
    row(&["metrics-push-host"], Global, Text, Accepted(PULL)),
    row(&["metrics-push-port"], Global, Text, Accepted(PULL)),
    row(&["metrics-push-interval"], Global, Text, Accepted(PULL)),
    row(&["metrics-push-prometheus-job"], Global, Text, Accepted(PULL)),
    row(&["reload-timeout"], Global, Text, Accepted("a reload ends when every file has been read")),
    row(&["signer-load-timeout"], Global, Text, Accepted(LOADING)),
    row(&["signer-load-batch-size"], Global, Text, Accepted(LOADING)),
    row(&["signer-load-sequential-threshold"], Global, Text, Accepted(LOADING)),
    row(&["signer-load-parallel"], Global, Switch, Accepted(LOADING)),
    row(&["swagger-ui-enabled"], Global, Switch, Accepted("Web3Signer itself has removed it")),
    row(&["tls-keystore-file"], Global, Text, Flag("tls-keystore-file")),
    row(&["tls-keystore-password-file"], Global, Text, Flag("tls-keystore-password-file")),
    row(&["tls-known-clients-file"], Global, Text, Flag("tls-known-clients-file")),
    row(&["tls-allow-ca-clients"], Global, Switch, RefusedWhenOn(
        "name the authorities' certificates (PEM) with --tls-client-ca=FILE, in place of a JVM's trust store")),
    row(&["tls-allow-any-client"], Global, Switch, Translated(Meaning::AnyClient,
        "no client certificate is asked for; refused beside `--tls-known-clients-file`")),

    row(&["network"], Eth2, Text, Flag("network")),
    row(&["Xnetwork-altair-fork-epoch"], Eth2, Text, Refused(FORK)),
    row(&["Xnetwork-bellatrix-fork-epoch"], Eth2, Text, Refused(FORK)),
    row(&["Xnetwork-capella-fork-epoch"], Eth2, Text, Refused(FORK)),
    row(&["Xnetwork-deneb-fork-epoch"], Eth2, Text, Refused(FORK)),
    row(&["Xnetwork-electra-fork-epoch"], Eth2, Text, Refused(FORK)),
    row(&["Xnetwork-fulu-fork-epoch"], Eth2, Text, Refused(FORK)),
    row(&["Xnetwork-gloas-fork-epoch"], Eth2, Text, Refused(FORK)),
    row(&["Xtrusted-setup"], Eth2, Text, Accepted("no blob is verified here")),
    row(&["Xsigning-ext-enabled"], Eth2, Switch, Flag("proofs-of-validation")),
    row(&["Xkey-manager-skip-keystore-storage"], Eth2, Switch, Accepted(
        "imported keys are kept on disk where there is a seal secret (--seal-file), else in memory only")),
    row(&["key-manager-api-enabled", "enable-key-manager-api"], Eth2, Switch, Translated(Meaning::Keymanager,
        "`--listen` with role `all`, else `signing`; beyond loopback `--auth-token-file` is demanded")),
    row(&["slashing-protection-enabled"], Eth2, Switch, Translated(Meaning::Protection,
        "`--slashing-protection`; `false` is refused where there is a ledger, unless `--abandon-ledger` is given")),
    row(&["abandon-ledger"], Eth2, Switch, Translated(Meaning::AbandonLedger,
        "an option of bls-signer alone: sign without the ledger that is there")),
    row(&["slashing-protection-db-url"], Eth2, Text, Translated(Meaning::Database,
        "refused: the ledger is a file in `--data-path`; import the history first. Several signers: \
         beside that `shared_ledger`")),
    row(&["slashing-protection-db-username"], Eth2, Text, Accepted(NO_DATABASE)),
    row(&["slashing-protection-db-password"], Eth2, Text, Accepted(NO_DATABASE)),
    row(&["slashing-protection-db-pool-configuration-file"], Eth2, Text, Accepted(NO_DATABASE)),
    row(&["slashing-protection-pruning-db-pool-configuration-file"], Eth2, Text, Accepted(NO_DATABASE)),
    row(&["Xslashing-protection-db-connection-pool-enabled"], Eth2, Switch, Accepted(NO_DATABASE)),
    row(&["slashing-protection-db-health-check-timeout-milliseconds"], Eth2, Text, Accepted(NO_DATABASE)),
    row(&["slashing-protection-db-health-check-interval-milliseconds"], Eth2, Text, Accepted(NO_DATABASE)),
    row(&["slashing-protection-pruning-enabled"], Eth2, Switch, Accepted(NO_PRUNING)),
    row(&["slashing-protection-pruning-at-boot-enabled"], Eth2, Switch, Accepted(NO_PRUNING)),
    row(&["slashing-protection-pruning-epochs-to-keep"], Eth2, Text, Accepted(NO_PRUNING)),
    row(&["slashing-protection-pruning-slots-per-epoch"], Eth2, Text, Accepted(NO_PRUNING)),
    row(&["slashing-protection-pruning-interval"], Eth2, Text, Accepted(NO_PRUNING)),
    row(&["keystores-path"], Eth2, Text, Flag("keystores-path")),
    row(&["keystores-passwords-path"], Eth2, Text, Translated(Meaning::PasswordDirectory,
        "`--keystores-passwords-path`")),
    row(&["keystores-password-file"], Eth2, Text, Translated(Meaning::PasswordFile, "`--keystores-passwords-path`")),
    row(&["commit-boost-api-enabled"], Eth2, Switch, RefusedWhenOn("leave it out: there is no Commit-Boost API here")),
    row(&["proxy-keystores-path"], Eth2, Text, Accepted("there is no Commit-Boost API here")),
    row(&["proxy-keystores-password-file"], Eth2, Text, Accepted("there is no Commit-Boost API here")),
    row(&["azure-vault-enabled"], Eth2, Switch, RefusedWhenOn(FETCHED)),
    row(&["azure-vault-auth-mode"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["azure-vault-name"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["azure-client-id"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["azure-tenant-id"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["azure-client-secret"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["azure-response-timeout"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["azure-tags"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["aws-secrets-enabled"], Eth2, Switch, RefusedWhenOn(FETCHED)),
    row(&["aws-secrets-auth-mode"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["aws-secrets-access-key-id"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["aws-secrets-secret-access-key"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["aws-secrets-region"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["aws-endpoint-override"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["aws-secrets-prefixes-filter"], Eth2, List, Accepted(OF_FETCHER)),
    row(&["aws-secrets-tag"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["aws-connection-cache-size"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["gcp-secrets-enabled"], Eth2, Switch, RefusedWhenOn(FETCHED)),
    row(&["gcp-project-id"], Eth2, Text, Accepted(OF_FETCHER)),
    row(&["gcp-secrets-filter"], Eth2, Text, Accepted(OF_FETCHER)),

    row(&["to"], Export, Text, Translated(Meaning::ExportTo, "`slashing-protection export --output`")),
    row(&["from"], Import, Text, Translated(Meaning::ImportFrom,
        "`slashing-protection import`; the exit status is 1 where the history of a key was not taken")),
    row(&["epoch"], WatermarkRepair, Text, Translated(Meaning::Epoch, "`slashing-protection raise --epoch`")),
    row(&["slot"], WatermarkRepair, Text, Translated(Meaning::Slot, "`slashing-protection raise --slot`")),
    row(&["set-high-watermark"], WatermarkRepair, Switch, Translated(Meaning::SetHighWatermark,
        "`slashing-protection high-watermark`, with `--slot` and `--epoch`")),
    row(&["remove-high-watermark"], WatermarkRepair, Switch, Translated(Meaning::RemoveHighWatermark,
        "`slashing-protection high-watermark --remove`")),
];

const fn row(names: &'static [&'static str], level: Level, takes: Takes, fate: Fate) -> Web3SignerOption {
    Web3SignerOption { names, level, takes, fate }
}

const NO_PUSH: &str = "let Prometheus ask the listener of --metrics-enabled: nothing is pushed";
const PULL: &str = "metrics are asked for, never pushed";
const LOADING: &str = "keystores are opened side by side, as --kdf-memory allows";
const FORK: &str = "write the fork's epoch into a config.yaml and give its path with --network";
const NO_DATABASE: &str = "slashing protection is a file of bls-signer's own, not a database";
const NO_PRUNING: &str = "the ledger keeps a watermark for each key, so there is nothing to prune";
const FETCHED: &str = "bls-signer-fetch brings such keys, from sources that `bls-signer migrate web3signer` prints \
                       (docs/fetch.md)";
const OF_FETCHER: &str = "it is for a source of bls-signer-fetch";
