//! `bls-signer slashing-protection`: history in and out, watermarks by hand.
//!
//! With `--connect` the commands go to that daemon and to no file. Without, they go straight to the file, or, while a
//! process holds it, to the packaged daemon's keymanager listener.

mod office;
mod report;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use self::office::Place;
use super::{connect, history, output};
use crate::api::slashing_protection::{Done, FailedKey, Order, OrderError};
use crate::bls::PublicKey;
use crate::config::{self, Environment};
use crate::ledger::{Missing, OpenError};
use crate::network::NetworkError;
use clap::{Args, Subcommand};

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

/// Which keys a command is about.
#[derive(Args)]
pub(super) struct Keys {
    /// Only this public key; may be given several times [default: all]
    #[arg(long = "key", value_name = "PUBLIC_KEY")]
    keys: Vec<PublicKey>,
}

impl Keys {
    fn contains(&self, public_key: &PublicKey) -> bool {
        self.keys.is_empty() || self.keys.contains(public_key)
    }

    fn texts(&self) -> Vec<String> {
        self.keys.iter().map(ToString::to_string).collect()
    }
}

/// Runs one command. What it has to say goes to `output`, what it exports too.
pub(super) fn run(command: Command, environment: &Environment, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        Command::Init { place } => {
            let office = place.open(Missing::Create, environment)?;
            // A daemon has a ledger, unless its slashing protection is off, and then it says so.
            office.carry_out(Order::Status { keys: Vec::new() })?;
            say(output, &format!("there is a ledger {office}"))
        }
        Command::Import { place, keys, file } => {
            let history = history::read(&file)?;
            let office = place.open(Missing::Create, environment)?;
            let interchange = history.minimal(|key| keys.contains(key));
            let done = office.carry_out(Order::Import { interchange, keys: keys.texts() })?;
            let Done::Import { merged, failed: not_taken } = done else { return Err(Error::OtherAnswer) };
            let unreadable = history.unreadable().into_iter().filter(|(key, _)| keys.contains(key));
            let failed: Vec<_> = unreadable
                .map(|(key, reason)| FailedKey { public_key: key.to_string(), reason: reason.to_owned() })
                .chain(not_taken)
                .collect();
            for FailedKey { public_key, reason } in &failed {
                say(output, &format!("{public_key} was NOT imported: {reason}"))?;
            }
            say(output, &format!("merged the history of {merged} keys into the ledger {office}"))?;
            match failed.len() {
                0 => Ok(()),
                failed => Err(Error::Partial { failed, of: failed.saturating_add(merged) }),
            }
        }
        Command::Export { place, keys, output: path } => {
            let done =
                place.open(Missing::Refuse, environment)?.carry_out(Order::Export { keys: keys.texts() })?;
            let Done::Export { interchange } = done else { return Err(Error::OtherAnswer) };
            match path {
                None => output::hand_over(output, format!("{interchange}\n")).map_err(Error::Output),
                Some(path) => write_new(&path, &interchange).map_err(|source| Error::Write { path, source }),
            }
        }
        Command::Status { place, keys, json } => {
            let office = place.open(Missing::Refuse, environment)?;
            let done = office.carry_out(Order::Status { keys: keys.texts() })?;
            let Done::Status(status) = done else { return Err(Error::OtherAnswer) };
            say(output, &if json { report::as_json(&status) } else { report::table(&status, &office) })
        }
        Command::Raise { place, keys, slot, epoch } => {
            let order = Order::Raise { slot, epoch, keys: keys.texts() };
            let office = place.open(Missing::Refuse, environment)?;
            let Done::Raise { raised } = office.carry_out(order)? else { return Err(Error::OtherAnswer) };
            say(output, &format!("raised the watermarks of {raised} keys in the ledger {office}"))
        }
        Command::HighWatermark { place, slot, epoch, remove: _ } => {
            let office = place.open(Missing::Refuse, environment)?;
            let done = office.carry_out(Order::HighWatermark { slot, epoch })?;
            let Done::HighWatermark = done else { return Err(Error::OtherAnswer) };
            say(output, &format!("the ledger {office}: {}", report::describe(slot, epoch)))
        }
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
    Order(#[from] OrderError),
    #[error(transparent)]
    Daemon(#[from] connect::Error),
    #[error(
        "a process holds the ledger and no daemon could be asked: name its keymanager listener with --connect"
    )]
    NoDaemon(#[source] connect::Error),
    #[error("the daemon's answer cannot be read: is it of another version?")]
    Wire(#[source] serde_json::Error),
    #[error("the daemon answered another question: is it of another version?")]
    OtherAnswer,
    #[error(transparent)]
    History(#[from] history::Error),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the history of {failed} of {of} keys was not imported: see above")]
    Partial { failed: usize, of: usize },
    #[error("cannot wait for the ledger")]
    Runtime(#[source] io::Error),
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

/// An older file of that name may be the only copy of another history.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn say(output: &mut dyn Write, line: &str) -> Result<(), Error> {
    output::show(output, format!("{line}\n")).map_err(Error::Output)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::ledger;
    use crate::network::Network;

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
        assert_eq!(ledger::Interchange::parse(printed.as_bytes()).unwrap().len(), 2);
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
        let place = format!("in {}", directory.path().join("state").display());
        assert_eq!(
            done(directory.path(), &["raise", "--slot", "15"]),
            format!("raised the watermarks of 1 keys in the ledger {place}\n")
        );
        done(directory.path(), &["raise", "--epoch", "9", "--key", &"33".repeat(48)]);
        assert_eq!(
            done(directory.path(), &["high-watermark", "--slot", "99"]),
            format!("the ledger {place}: no block is signed at or beyond slot 99\n")
        );
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
        let error = failed(directory.path(), &["raise", "--slot", "1"]);
        assert!(matches!(error, Error::Order(OrderError::NoKeys)), "{error:?}");
    }

    #[test]
    fn a_daemon_that_is_named_is_asked_whether_its_ledger_lies_here_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let nowhere = format!("unix:{}", directory.path().join("keymanager.sock").display());
        for arguments in [&["init"][..], &["status"]] {
            let error = failed(directory.path(), &[arguments, &["--connect", &nowhere]].concat());
            assert!(matches!(error, Error::Daemon(connect::Error::Client(_))), "{error:?}");
        }
        assert!(!directory.path().join("state").exists());
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
