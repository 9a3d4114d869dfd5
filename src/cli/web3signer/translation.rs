//! Options of Web3Signer as options of `bls-signer serve`, and as words of `bls-signer slashing-protection`.

use std::ffi::OsString;
use std::net::IpAddr;

use super::Error;
use super::command_line::{Task, Value};
use super::given::Given;
use super::option::{Fate, Meaning};

/// What options of Web3Signer come to here.
#[derive(Debug, Default)]
pub(super) struct Translation {
    /// Options of `serve`, each with what it was made of.
    pub(super) flags: Vec<(String, OsString)>,
    pub(super) warnings: Vec<String>,
    /// Options that are not followed, each with what to do instead.
    pub(super) refused: Vec<(String, &'static str)>,
}

impl Translation {
    /// What holds for every task: options that are simply ours, and those that have no meaning here.
    ///
    /// # Errors
    /// An option is refused, or it has a value that it cannot have.
    pub(super) fn of(given: &Given) -> Result<Self, Error> {
        refuse_database(given)?;
        let mut translation = Self::with_refusals(given, |_| true)?;
        if translation.refused.is_empty() {
            return Ok(translation);
        }
        let (origin, instead) = translation.refused.swap_remove(0);
        Err(Error::Refused { origin, instead })
    }

    /// The same where what is refused ends nothing, for the options that are looked at.
    ///
    /// # Errors
    /// An option has a value that it cannot have.
    pub(super) fn with_refusals(given: &Given, looks_at: impl Fn(&Value) -> bool) -> Result<Self, Error> {
        let mut translation = Self::default();
        for value in given.values().filter(|value| looks_at(value)) {
            let Value { option, origin, text } = value;
            match option.fate {
                Fate::Flag(long) => translation.flag(value, long, text),
                Fate::Accepted(why) => translation.warn(format!("{origin} has no meaning here: {why}")),
                Fate::Refused(instead) => translation.refused.push((origin.clone(), instead)),
                Fate::RefusedWhenOn(instead) if value.is_on()? => {
                    translation.refused.push((origin.clone(), instead));
                }
                Fate::RefusedWhenOn(_) | Fate::Translated(..) => {}
            }
        }
        Ok(translation)
    }

    /// What more a daemon has to know.
    pub(super) fn for_daemon(mut self, given: &Given) -> Result<Self, Error> {
        self.listeners(given)?;
        self.access(given)?;
        self.passwords(given)?;
        if let Some(value) = given.meaning(Meaning::Protection) {
            self.flag(value, "slashing-protection", if value.is_on()? { "on" } else { "off" });
        }
        if let Some(value) = given.meaning(Meaning::Logging) {
            let level = match value.text.to_ascii_lowercase().as_str() {
                "fatal" => "error".to_owned(),
                "all" => "trace".to_owned(),
                level => level.to_owned(),
            };
            self.flag(value, "log-level", &level);
        }
        Ok(self)
    }

    fn listeners(&mut self, given: &Given) -> Result<(), Error> {
        let role = if given.is_on(Meaning::Keymanager)? { "all" } else { "signing" };
        let mut listen = format!("--listen={role}={}", http_address(given));
        if given.is_on(Meaning::Metrics)? {
            let metrics = address(given, Meaning::MetricsHost, Meaning::MetricsPort, METRICS);
            listen.push_str(&format!(",metrics={metrics}"));
        }
        self.flags.push((LISTENERS.to_owned(), listen.into()));
        Ok(())
    }

    fn access(&mut self, given: &Given) -> Result<(), Error> {
        let hosts = given.meaning(Meaning::Hosts);
        if let Some(value) = hosts {
            let entries = entries(&value.text);
            if entries == ["none"] {
                let instead = "leave it out: with no host allowed no request would be answered";
                return Err(Error::Refused { origin: value.origin.clone(), instead });
            }
            self.flag(value, "http-host-allowlist", &entries.join(","));
        }
        let is_same =
            |metrics: &Value| hosts.is_some_and(|hosts| entries(&hosts.text) == entries(&metrics.text));
        if let Some(value) = given.meaning(Meaning::MetricsHosts).filter(|metrics| !is_same(metrics)) {
            self.warn(format!(
                "{} has no meaning here: --http-host-allowlist holds for every listener",
                value.origin
            ));
        }
        if let Some(value) = given.meaning(Meaning::Origins) {
            match entries(&value.text)[..] {
                ["none"] => {}
                ["*"] => self.warn(format!(
                    "{}: * is not taken over, as any web page could then reach the signer: no origin is allowed. Name \
                     the origins of programs that send one",
                    value.origin
                )),
                ref origins => self.flag(value, "http-origin-allowlist", &origins.join(",")),
            }
        }
        match given.meaning(Meaning::AnyClient) {
            Some(any) if any.is_on()? => {
                match given.values().find(|value| value.option.name() == KNOWN_CLIENTS) {
                    Some(known) => {
                        Err(Error::Conflict { first: any.origin.clone(), second: known.origin.clone() })
                    }
                    None => Ok(()),
                }
            }
            Some(_) | None => Ok(()),
        }
    }

    fn passwords(&mut self, given: &Given) -> Result<(), Error> {
        let (directory, file) =
            (given.meaning(Meaning::PasswordDirectory), given.meaning(Meaning::PasswordFile));
        if let (Some(directory), Some(file)) = (directory, file) {
            return Err(Error::Conflict { first: directory.origin.clone(), second: file.origin.clone() });
        }
        if let Some(value) = directory.or(file) {
            self.flag(value, "keystores-passwords-path", &value.text);
        }
        Ok(())
    }

    fn flag(&mut self, value: &Value, long: &str, text: &str) {
        self.flags.push((value.origin.clone(), format!("--{long}={text}").into()));
    }

    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
}

/// The words of `bls-signer slashing-protection` that do a task; none for a daemon.
pub(super) fn history_words(task: Task, given: &Given) -> Result<Option<Vec<String>>, Error> {
    let text = |meaning| given.meaning(meaning).map(|value| value.text.clone());
    let wanted = |meaning, missing| text(meaning).ok_or(Error::Missing { missing });
    let mut words = match task {
        Task::Serve => return Ok(None),
        Task::Export => {
            vec!["export".to_owned(), format!("--output={}", wanted(Meaning::ExportTo, "--to=FILE")?)]
        }
        Task::Import => vec!["import".to_owned()],
        Task::WatermarkRepair => watermarks(given)?,
    };
    for value in given.values() {
        if let Fate::Flag(long @ ("state-dir" | "network")) = value.option.fate {
            words.push(format!("--{long}={}", value.text));
        }
    }
    if task == Task::Import {
        words.extend(["--".to_owned(), wanted(Meaning::ImportFrom, "--from=FILE")?]);
    }
    Ok(Some(words))
}

fn watermarks(given: &Given) -> Result<Vec<String>, Error> {
    if given.is_on(Meaning::RemoveHighWatermark)? {
        return Ok(vec!["high-watermark".to_owned(), "--remove".to_owned()]);
    }
    let command = if given.is_on(Meaning::SetHighWatermark)? { "high-watermark" } else { "raise" };
    let mut words = vec![command.to_owned()];
    for (meaning, long) in [(Meaning::Slot, "slot"), (Meaning::Epoch, "epoch")] {
        words.extend(given.meaning(meaning).map(|value| format!("--{long}={}", value.text)));
    }
    if words.len() == 1 {
        return Err(Error::Missing { missing: "--slot=SLOT and --epoch=EPOCH, or --remove-high-watermark" });
    }
    Ok(words)
}

/// A database is of no use without slashing protection: Web3Signer then does not open it.
fn refuse_database(given: &Given) -> Result<(), Error> {
    let Some(database) = given.meaning(Meaning::Database) else { return Ok(()) };
    match given.meaning(Meaning::Protection) {
        Some(protection) if !protection.is_on()? => Ok(()),
        Some(_) | None => Err(Error::Refused { origin: database.origin.clone(), instead: NO_DATABASE }),
    }
}

/// The address of the signing API, with Web3Signer's defaults.
pub(super) fn http_address(given: &Given) -> String {
    address(given, Meaning::ListenHost, Meaning::ListenPort, HTTP)
}

/// A listener's address, with Web3Signer's defaults.
fn address(given: &Given, host: Meaning, port: Meaning, default_port: &str) -> String {
    let host = given.meaning(host).map_or(LOOPBACK, |value| value.text.as_str());
    let port = given.meaning(port).map_or(default_port, |value| value.text.as_str());
    match host.parse() {
        Ok(IpAddr::V6(host)) => format!("[{host}]:{port}"),
        Ok(IpAddr::V4(_)) | Err(_) => format!("{host}:{port}"),
    }
}

/// The entries of a list; `all` is another word for `*`.
fn entries(list: &str) -> Vec<&str> {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(|entry| if entry == "all" { "*" } else { entry }).collect()
}

const LOOPBACK: &str = "127.0.0.1";
const HTTP: &str = "9000";
const METRICS: &str = "9001";
const LISTENERS: &str = "--http-listen-host, --http-listen-port, --metrics-host and --metrics-port";
const KNOWN_CLIENTS: &str = "tls-known-clients-file";
const NO_DATABASE: &str = "slashing protection is a file in --data-path here, not a database. Stop Web3Signer, bring \
                           its history over with `bls-signer migrate web3signer`, or with `web3signer eth2 export \
                           --to=FILE` and `bls-signer slashing-protection import --state-dir DIRECTORY FILE`, and \
                           leave the --slashing-protection-db options out. For several signers on one database: make \
                           a ledger of ours in another one (`bls-signer ledger init postgres://OWNER@HOST/ledger \
                           --network NAME`), give each signer \
                           BLS_SIGNER_SHARED_LEDGER=postgres://bls_signer@HOST/ledger and import the \
                           history on one of them (docs/shared-ledger.md)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::web3signer::command_line::CommandLine;
    use crate::config::Environment;

    fn given(line: &str) -> (Task, Given) {
        let line = CommandLine::parse(line.split_whitespace().map(Into::into).collect()).unwrap();
        (line.task, Given::gather(line.values, &Environment::default()).unwrap())
    }

    fn translated(line: &str) -> Result<(Vec<String>, Vec<String>), Error> {
        let (_, given) = given(line);
        let Translation { flags, warnings, refused: _ } = Translation::of(&given)?.for_daemon(&given)?;
        Ok((flags.into_iter().map(|(_, flag)| flag.into_string().unwrap()).collect(), warnings))
    }

    fn words(line: &str) -> Result<String, Error> {
        let (task, given) = given(line);
        history_words(task, &given).map(|words| words.unwrap().join(" "))
    }

    #[test]
    fn listeners_have_web3signer_s_defaults_and_the_role_that_is_asked_for() {
        for (line, listen) in [
            ("eth2", "--listen=signing=127.0.0.1:9000"),
            ("eth2 --enable-key-manager-api=true", "--listen=all=127.0.0.1:9000"),
            ("--http-listen-host=:: --http-listen-port=6174 eth2", "--listen=signing=[::]:6174"),
            (
                "--metrics-enabled --metrics-host=0.0.0.0 eth2",
                "--listen=signing=127.0.0.1:9000,metrics=0.0.0.0:9001",
            ),
            ("--metrics-port=1 eth2", "--listen=signing=127.0.0.1:9000"),
        ] {
            assert_eq!(translated(line).unwrap().0, [listen], "{line}");
        }
    }

    #[test]
    fn what_has_no_meaning_here_is_said_once_each() {
        let (_, warnings) =
            translated("--vertx-worker-pool-size=20 eth2 --slashing-protection-pruning-enabled").unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(translated("--metrics-push-enabled=false eth2").unwrap().1.is_empty());
    }

    #[test]
    fn every_host_may_be_allowed_and_every_origin_not() {
        let (flags, warnings) =
            translated("--http-host-allowlist=all --metrics-host-allowlist=* eth2").unwrap();
        assert!(flags.contains(&"--http-host-allowlist=*".to_owned()), "{flags:?}");
        assert!(warnings.is_empty(), "{warnings:?}");
        let (flags, warnings) = translated("--http-cors-origins=* eth2").unwrap();
        assert!(!flags.iter().any(|flag| flag.contains("origin")), "{flags:?}");
        assert!(warnings[0].contains("no origin is allowed"), "{warnings:?}");
        let (flags, _) = translated("--http-cors-origins http://a:1 http://b eth2").unwrap();
        assert!(flags.contains(&"--http-origin-allowlist=http://a:1,http://b".to_owned()), "{flags:?}");
        let (_, warnings) = translated("--metrics-host-allowlist=prometheus eth2").unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    #[test]
    fn a_database_is_refused_unless_there_is_no_protection() {
        let url = "eth2 --slashing-protection-db-url=jdbc:postgresql://db/web3signer";
        let Err(Error::Refused { instead, .. }) = translated(url) else { panic!("taken") };
        assert!(instead.contains("slashing-protection import"), "{instead}");
        assert!(translated(&format!("{url} --slashing-protection-enabled=true")).is_err());
        let (flags, _) = translated(&format!("{url} --slashing-protection-enabled=false")).unwrap();
        assert!(flags.contains(&"--slashing-protection=off".to_owned()), "{flags:?}");
    }

    #[test]
    fn what_is_not_done_here_is_refused_with_what_to_do() {
        for (line, what) in [
            ("--tls-allow-ca-clients=true eth2", "--tls-client-ca"),
            ("eth2 --aws-secrets-enabled=true", "bls-signer-fetch"),
            ("eth2 --Xnetwork-gloas-fork-epoch=5", "config.yaml"),
            ("--http-host-allowlist=none eth2", "leave it out"),
        ] {
            let error = translated(line).unwrap_err().to_string();
            assert!(error.contains(what), "{line}: {error}");
        }
        let both = "eth2 --keystores-passwords-path=a --keystores-password-file=b";
        assert!(matches!(translated(both), Err(Error::Conflict { .. })));
        let both = "--tls-known-clients-file=a --tls-allow-any-client=true eth2";
        assert!(matches!(translated(both), Err(Error::Conflict { .. })));
    }

    #[test]
    fn the_ledger_s_tasks_are_ours() {
        for (line, ours) in [
            ("--data-path=/d eth2 export --to=f", "export --output=f --state-dir=/d"),
            ("eth2 --network=hoodi import --from f", "import --network=hoodi -- f"),
            ("eth2 watermark-repair --slot=1 --epoch=2", "raise --slot=1 --epoch=2"),
            (
                "eth2 watermark-repair --set-high-watermark=true --slot=1 --epoch=2",
                "high-watermark --slot=1 --epoch=2",
            ),
            ("eth2 watermark-repair --remove-high-watermark --slot=1", "high-watermark --remove"),
        ] {
            assert_eq!(words(line).unwrap(), ours, "{line}");
        }
        assert!(matches!(words("eth2 export"), Err(Error::Missing { .. })));
        assert!(matches!(words("eth2 watermark-repair"), Err(Error::Missing { .. })));
    }
}
