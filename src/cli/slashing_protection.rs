//! `bls-signer slashing-protection`: history in and out, watermarks by hand.
//!
//! The commands work on the ledger's file, which a running daemon holds for itself.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::bls::PublicKey;
use crate::config::{self, Environment, RawSettings};
use crate::ledger::{
    self, Fault, HighWatermark, ImportRefusal, Interchange, InterchangeError, KeyStatus, Ledger, Missing,
    OpenError, Selection,
};
use crate::network::{Network, NetworkError};
use crate::primitives::{Epoch, Slot};

/// What to do with the ledger.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Create an empty ledger, for keys that have never signed anywhere
    ///
    /// Does nothing if there is one already.
    Init {
        #[command(flatten)]
        place: Place,
    },
    /// Merge slashing protection history (EIP-3076 JSON) into the ledger, which is created if it does not exist
    ///
    /// Watermarks only ever go up. Exits with status 1 if the history of a key cannot be read; the others are merged.
    Import {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        keys: Keys,
        /// The file to read; - for standard input
        file: PathBuf,
    },
    /// Write slashing protection history as EIP-3076 JSON
    ///
    /// Whoever imports it must be the only one to sign from then on: stop the daemon first and do not start it again
    /// with these keys.
    Export {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        keys: Keys,
        /// The file to write, which must not exist yet [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show the ledger's state and every key's watermarks
    Status {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        keys: Keys,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Lift watermarks, so that only blocks and attestations above are signed; nothing is ever lowered
    #[command(group = clap::ArgGroup::new("floor").required(true).multiple(true))]
    Raise {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        keys: Keys,
        /// Sign blocks only above this slot
        #[arg(long, value_name = "SLOT", group = "floor")]
        slot: Option<u64>,
        /// Sign attestations only with a target above this epoch, and a source not below it
        #[arg(long, value_name = "EPOCH", group = "floor")]
        epoch: Option<u64>,
    },
    /// Stop signing at a slot or an epoch, for a planned hand-over
    ///
    /// Takes the place of an earlier high watermark.
    #[command(group = clap::ArgGroup::new("stop").required(true).multiple(true))]
    HighWatermark {
        #[command(flatten)]
        place: Place,
        /// Sign no block at or beyond this slot
        #[arg(long, value_name = "SLOT", group = "stop")]
        slot: Option<u64>,
        /// Sign no attestation with a target at or beyond this epoch
        #[arg(long, value_name = "EPOCH", group = "stop")]
        epoch: Option<u64>,
        /// Sign on without an end
        #[arg(long, group = "stop", conflicts_with_all = ["slot", "epoch"])]
        remove: bool,
    },
}

/// Where the ledger is and which chain it is for.
#[derive(Args)]
pub(super) struct Place {
    /// Read options from this TOML file [default: $BLS_SIGNER_CONFIG, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the ledger [default: as for 'serve']
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Network of the validators: a name or the path of a consensus config.yaml [default: as for 'serve']
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
}

/// Which keys a command is about.
#[derive(Args)]
pub(super) struct Keys {
    /// Only this public key; may be given several times [default: all]
    #[arg(long = "key", value_name = "PUBLIC_KEY")]
    keys: Vec<PublicKey>,
}

impl From<Keys> for Selection {
    fn from(Keys { keys }: Keys) -> Self {
        if keys.is_empty() { Self::All } else { Self::Only(keys.into_iter().collect::<HashSet<_>>()) }
    }
}

/// Runs one command. What it has to say goes to `output`, what it exports too.
pub(super) fn run(command: Command, environment: &Environment, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        Command::Init { place } => {
            let (_, directory) = place.open(Missing::Create, environment)?;
            say(output, &format!("the ledger is in {}", directory.display()))
        }
        Command::Import { place, keys, file } => {
            let interchange = Interchange::parse(&read(&file)?)?;
            let (ledger, directory) = place.open(Missing::Create, environment)?;
            let imported = wait(ledger.import(interchange, keys.into()))???;
            for (public_key, reason) in &imported.failed {
                say(output, &format!("{public_key} was NOT imported: {reason}"))?;
            }
            let merged = imported.merged;
            say(
                output,
                &format!("merged the history of {merged} keys into the ledger in {}", directory.display()),
            )?;
            match imported.failed.len() {
                0 => Ok(()),
                failed => Err(Error::Partial { failed, of: failed.saturating_add(merged) }),
            }
        }
        Command::Export { place, keys, output: None } => {
            let (ledger, _) = place.open(Missing::Refuse, environment)?;
            say(output, &wait(ledger.export(keys.into()))??)
        }
        Command::Export { place, keys, output: Some(path) } => {
            let (ledger, _) = place.open(Missing::Refuse, environment)?;
            let json = wait(ledger.export(keys.into()))??;
            write_new(&path, &json).map_err(|source| Error::Write { path, source })
        }
        Command::Status { place, keys, json } => {
            let (ledger, directory) = place.open(Missing::Refuse, environment)?;
            let status = wait(ledger.status(keys.into()))??;
            let shown = Shown::from(status);
            let text = if json { shown.json() } else { shown.table(&directory) };
            say(output, &text)
        }
        Command::Raise { place, keys, slot, epoch } => {
            let (ledger, _) = place.open(Missing::Refuse, environment)?;
            let keys = Selection::from(keys);
            if matches!(keys, Selection::All) && wait(ledger.status(Selection::All))??.keys.is_empty() {
                return Err(Error::NoKeys);
            }
            let raised = wait(ledger.raise(slot.map(Slot), epoch.map(Epoch), keys))??;
            say(output, &format!("raised the watermarks of {raised} keys"))
        }
        Command::HighWatermark { place, slot, epoch, remove: _ } => {
            let (ledger, _) = place.open(Missing::Refuse, environment)?;
            let high_watermark = HighWatermark { slot: slot.map(Slot), epoch: epoch.map(Epoch) };
            wait(ledger.set_high_watermark(high_watermark))??;
            say(output, &describe(&high_watermark))
        }
    }
}

impl Place {
    fn open(self, missing: Missing, environment: &Environment) -> Result<(Ledger, PathBuf), Error> {
        let flags =
            RawSettings { state_dir: self.state_dir, network: self.network, ..RawSettings::default() };
        let settings = config::load(self.config.as_deref(), flags, environment)?;
        let directory = settings.ledger.state_dir;
        let ledger = Ledger::open(ledger::Settings {
            missing,
            genesis_validators_root: Network::load(&settings.network)?.genesis_validators_root(),
            ..ledger::Settings::new(directory.clone())
        })?;
        Ok((ledger, directory))
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("configuration")]
    Configuration(#[from] config::Error),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Interchange(#[from] InterchangeError),
    #[error(transparent)]
    Import(#[from] ImportRefusal),
    #[error("the history of {failed} of {of} keys was not imported: see above")]
    Partial { failed: usize, of: usize },
    #[error(
        "the ledger knows no key yet, so nothing was raised: name the keys with --key, or import their history"
    )]
    NoKeys,
    #[error("cannot wait for the ledger")]
    Runtime(#[source] io::Error),
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

/// The status as it is printed.
#[derive(Serialize)]
struct Shown {
    genesis_validators_root: Option<String>,
    high_watermark: ShownHighWatermark,
    keys: Vec<ShownKey>,
}

#[derive(Serialize)]
struct ShownHighWatermark {
    slot: Option<String>,
    epoch: Option<String>,
}

#[derive(Serialize)]
struct ShownKey {
    public_key: String,
    state: &'static str,
    block_slot: Option<String>,
    source_epoch: Option<String>,
    target_epoch: Option<String>,
}

impl Shown {
    fn json(&self) -> String {
        // Strings and lists of strings always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn table(&self, directory: &Path) -> String {
        let deleted = self.keys.iter().filter(|key| key.state == DELETED).count();
        let chain = self.genesis_validators_root.as_deref().unwrap_or("not known yet");
        let ShownHighWatermark { slot, epoch } = &self.high_watermark;
        let mut lines = vec![
            format!("ledger                   {}", directory.display()),
            format!("genesis validators root  {chain}"),
            format!("high watermark           slot {}, epoch {}", or_none(slot), or_none(epoch)),
            format!("keys                     {} ({deleted} of them deleted)", self.keys.len()),
        ];
        if !self.keys.is_empty() {
            lines.push(format!(
                "{:98} {:>12} {:>10} {:>10}  state",
                "public key", "block slot", "source", "target"
            ));
        }
        lines.extend(self.keys.iter().map(|key| {
            let ShownKey { public_key, state, block_slot, source_epoch, target_epoch } = key;
            let (slot, source, target) = (or_none(block_slot), or_none(source_epoch), or_none(target_epoch));
            format!("{public_key:98} {slot:>12} {source:>10} {target:>10}  {state}")
        }));
        lines.join("\n")
    }
}

impl From<ledger::Status> for Shown {
    fn from(status: ledger::Status) -> Self {
        Self {
            genesis_validators_root: status.genesis_validators_root.map(|root| root.to_string()),
            high_watermark: ShownHighWatermark {
                slot: status.high_watermark.slot.map(|slot| slot.to_string()),
                epoch: status.high_watermark.epoch.map(|epoch| epoch.to_string()),
            },
            keys: status.keys.iter().map(ShownKey::from).collect(),
        }
    }
}

impl From<&KeyStatus> for ShownKey {
    fn from(key: &KeyStatus) -> Self {
        let attestation = key.watermark.attestation;
        Self {
            public_key: key.public_key.to_string(),
            state: if key.deleted { DELETED } else { "active" },
            block_slot: key.watermark.block.map(|block| block.slot.to_string()),
            source_epoch: attestation.map(|attestation| attestation.source.to_string()),
            target_epoch: attestation.map(|attestation| attestation.target.to_string()),
        }
    }
}

fn or_none(number: &Option<String>) -> &str {
    number.as_deref().unwrap_or("none")
}

fn describe(high_watermark: &HighWatermark) -> String {
    match high_watermark {
        HighWatermark { slot: None, epoch: None } => "there is no high watermark any more".to_owned(),
        HighWatermark { slot: Some(slot), epoch: None } => {
            format!("no block is signed at or beyond slot {slot}")
        }
        HighWatermark { slot: None, epoch: Some(epoch) } => {
            format!("no attestation is signed for a target at or beyond epoch {epoch}")
        }
        HighWatermark { slot: Some(slot), epoch: Some(epoch) } => format!(
            "no block is signed at or beyond slot {slot}, and no attestation for a target at or beyond epoch {epoch}"
        ),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    read.map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// An older file of that name may be the only copy of another history.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn say(output: &mut dyn Write, line: &str) -> Result<(), Error> {
    writeln!(output, "{line}").map_err(Error::Output)
}

/// Waits for an answer of the ledger's thread.
fn wait<T>(answer: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Error::Runtime)?;
    Ok(runtime.block_on(answer))
}

const DELETED: &str = "deleted";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    /// Runs a command line on the ledger in `directory`; gives what it printed and how it ended.
    fn slashing_protection(directory: &Path, arguments: &[&str]) -> (String, Result<(), Error>) {
        let line = Line::try_parse_from([&["slashing-protection"], arguments].concat()).unwrap();
        let variables =
            [("BLS_SIGNER_STATE_DIR", directory.join("state")), ("BLS_SIGNER_NETWORK", "hoodi".into())];
        let mut output = Vec::new();
        let outcome = run(line.command, &variables.into_iter().collect(), &mut output);
        (String::from_utf8(output).unwrap(), outcome)
    }

    fn done(directory: &Path, arguments: &[&str]) -> String {
        let (output, outcome) = slashing_protection(directory, arguments);
        assert!(outcome.is_ok(), "{arguments:?}: {outcome:?}");
        output
    }

    fn failed(directory: &Path, arguments: &[&str]) -> Error {
        slashing_protection(directory, arguments).1.unwrap_err()
    }

    fn history(slots: [&str; 2]) -> String {
        let keys = [("11", slots[0]), ("22", slots[1])].map(|(key, slot)| {
            format!(
                r#"{{"pubkey": "{}", "signed_blocks": [{{"slot": "{slot}"}}],
                    "signed_attestations": [{{"source_epoch": "2", "target_epoch": "3"}}]}}"#,
                key.repeat(48)
            )
        });
        let chain = Network::by_name("hoodi").unwrap().genesis_validators_root().unwrap();
        format!(
            r#"{{"metadata": {{"interchange_format_version": "5", "genesis_validators_root": "{chain}"}},
                "data": [{}]}}"#,
            keys.join(",")
        )
    }

    #[test]
    fn history_goes_in_and_out() {
        let directory = tempfile::tempdir().unwrap();
        let [file, out] = ["in.json", "out.json"].map(|name| directory.path().join(name));
        let [file, out] = [file.to_str().unwrap(), out.to_str().unwrap()];
        fs::write(file, history(["10", "20"])).unwrap();
        assert!(done(directory.path(), &["import", file]).contains("the history of 2 keys"));
        assert_eq!(done(directory.path(), &["export", "--output", out]), "");
        let printed = done(directory.path(), &["export"]);
        assert_eq!(fs::read_to_string(out).unwrap(), printed);
        assert_eq!(Interchange::parse(printed.as_bytes()).unwrap().len(), 2);
        let one = done(directory.path(), &["export", "--key", &"22".repeat(48)]);
        assert!(one.contains(r#""slot":"20""#) && !one.contains(r#""slot":"10""#), "{one}");
        assert!(matches!(failed(directory.path(), &["export", "--output", out]), Error::Write { .. }));
    }

    #[test]
    fn an_import_that_fails_in_part_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("in.json");
        fs::write(&file, history(["10", "twenty"])).unwrap();
        let (output, outcome) = slashing_protection(directory.path(), &["import", file.to_str().unwrap()]);
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Partial { failed: 1, of: 2 }));
        assert!(output.contains("0x2222") && output.contains("NOT imported"), "{output}");
        assert!(
            done(directory.path(), &["status"]).contains("keys                     1 (0 of them deleted)")
        );
    }

    #[test]
    fn watermarks_are_shown_and_lifted() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("in.json");
        fs::write(&file, history(["10", "20"])).unwrap();
        done(directory.path(), &["import", file.to_str().unwrap()]);
        assert_eq!(done(directory.path(), &["raise", "--slot", "15"]), "raised the watermarks of 1 keys\n");
        done(directory.path(), &["raise", "--epoch", "9", "--key", &"33".repeat(48)]);
        done(directory.path(), &["high-watermark", "--slot", "99"]);
        let status: serde_json::Value =
            serde_json::from_str(&done(directory.path(), &["status", "--json"])).unwrap();
        let slots = status["keys"].as_array().unwrap().iter().map(|key| key["block_slot"].as_str());
        assert_eq!(slots.collect::<Vec<_>>(), [Some("15"), Some("20"), None]);
        assert_eq!(status["keys"][2]["source_epoch"], "9");
        assert_eq!(status["high_watermark"]["slot"], "99");
        done(directory.path(), &["high-watermark", "--remove"]);
        assert!(done(directory.path(), &["status"]).contains("slot none, epoch none"));
    }

    #[test]
    fn only_init_and_import_create_a_ledger() {
        let directory = tempfile::tempdir().unwrap();
        for arguments in
            [&["export"][..], &["status"], &["raise", "--slot", "1"], &["high-watermark", "--remove"]]
        {
            let error = failed(directory.path(), arguments);
            assert!(matches!(error, Error::Open(OpenError::Missing { .. })), "{error:?}");
        }
        assert!(!directory.path().join("state").exists());
        done(directory.path(), &["init"]);
        done(directory.path(), &["init"]);
        assert!(matches!(failed(directory.path(), &["raise", "--slot", "1"]), Error::NoKeys));
    }

    #[test]
    fn a_ledger_in_use_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        done(directory.path(), &["init"]);
        let _daemon = Ledger::open(ledger::Settings::new(directory.path().join("state"))).unwrap();
        let error = failed(directory.path(), &["status"]);
        assert!(matches!(error, Error::Open(OpenError::InUse { .. })), "{error:?}");
    }

    #[test]
    fn a_command_must_say_how_far() {
        for arguments in [&["raise"][..], &["high-watermark"], &["high-watermark", "--remove", "--slot", "1"]]
        {
            assert!(
                Line::try_parse_from([&["slashing-protection"], arguments].concat()).is_err(),
                "{arguments:?}"
            );
        }
    }
}
