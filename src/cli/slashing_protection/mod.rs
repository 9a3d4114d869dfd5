//! `bls-signer slashing-protection`: history in and out, watermarks by hand.
//!
//! With `--connect` the commands go to that daemon and to no file. Without, they go straight to the file, or, while a
//! process holds it, to the packaged daemon's keymanager listener.

mod backup;
mod explain;
mod keys;
mod ledger_access;
mod report;
mod tpm_counter;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

pub(super) use self::backup::{Options as BackupOptions, back_up, restore};
pub(super) use self::explain::{Options as ExplainOptions, run as explain};
use self::keys::{Keys, NoHistory};
use self::ledger_access::LedgerArgs;
use super::{connect, interchange_file, output, owner};
use crate::api::slashing_protection::OrderError;
use crate::config::{self, Environment};
use crate::ledger::{Fault, Loss, Missing, OpenError, RestoreRefusal};
use crate::network::NetworkError;
use crate::primitives::{Epoch, Slot};
use crate::wire::slashing_protection::{
    Export, ExportAnswer, FailedKey, HighWatermark, Import, ImportAnswer, Raise, RaiseAnswer, SomeKeys,
    Status,
};
use clap::Subcommand;

/// What to do with the ledger.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Create an empty ledger, for keys that have never signed anywhere
    ///
    /// Does nothing if there is one already.
    Init {
        #[command(flatten)]
        ledger_args: LedgerArgs,
    },
    /// Merge slashing protection history (EIP-3076 JSON) into the ledger, which is created if it does not exist
    ///
    /// Watermarks only ever go up. Exits with status 1 if the history of a key cannot be read, or a key that was named
    /// has none in the file; the others are merged.
    Import {
        #[command(flatten)]
        ledger_args: LedgerArgs,
        #[command(flatten)]
        keys: Keys,
        /// The file to read; - for standard input
        file: PathBuf,
    },
    /// Write slashing protection history as EIP-3076 JSON
    ///
    /// Whoever imports it must be the only one to sign from then on: stop the daemon first and do not start it again
    /// with these keys. Exits with status 1 if a key that was named has no history here; that of the others is written.
    Export {
        #[command(flatten)]
        ledger_args: LedgerArgs,
        #[command(flatten)]
        keys: Keys,
        /// The file to write, which must not exist yet [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show the ledger's state and every key's watermarks
    Status {
        #[command(flatten)]
        ledger_args: LedgerArgs,
        #[command(flatten)]
        keys: Keys,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Lift watermarks, so that only blocks and attestations above are signed; nothing is ever lowered
    ///
    /// Where the network's genesis is known, more than a week beyond the present is refused without --yes.
    ///
    /// Keys with which raw roots were signed sign blocks and attestations again when both --slot and --epoch lift them
    /// to the present or beyond; else the exit status is 1.
    #[command(
        group = clap::ArgGroup::new("floor").required(true).multiple(true),
        override_usage = "bls-signer slashing-protection raise [OPTIONS] [--slot N] [--epoch N]"
    )]
    Raise {
        #[command(flatten)]
        ledger_args: LedgerArgs,
        #[command(flatten)]
        keys: Keys,
        /// Sign blocks only above this slot
        #[arg(long, value_name = "SLOT", group = "floor")]
        slot: Option<u64>,
        /// Sign attestations only with a target above this epoch, and a source not below it
        #[arg(long, value_name = "EPOCH", group = "floor")]
        epoch: Option<u64>,
        /// Also far beyond the present: until then the keys sign nothing
        #[arg(long)]
        yes: bool,
        /// Go on with a ledger that was rolled back or lost its log, with the watermarks of all its keys lifted to
        /// --slot and --epoch. Both have to be the present at least
        #[arg(long, requires_all = ["slot", "epoch"])]
        accept_loss: bool,
    },
    /// Make the counter in this host's TPM that tpm_counter names in the configuration: it counts the ledger's sessions
    ///
    /// Once, while no daemon runs. Does nothing if the ledger has its counter already.
    TpmCounter {
        #[command(flatten)]
        options: tpm_counter::Options,
    },
    /// Stop signing at a slot or an epoch, for a planned hand-over
    ///
    /// Takes the place of an earlier high watermark.
    #[command(
        group = clap::ArgGroup::new("stop").required(true).multiple(true),
        override_usage = "bls-signer slashing-protection high-watermark [--slot N] [--epoch N]\n       \
                          bls-signer slashing-protection high-watermark --remove"
    )]
    HighWatermark {
        #[command(flatten)]
        ledger_args: LedgerArgs,
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

/// Runs one command. What it has to say goes to `output`, what it exports too.
pub(super) fn run(command: Command, environment: &Environment, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        Command::Init { ledger_args } => {
            let ledger = ledger_args.open(Missing::Create, environment)?;
            // A daemon has a ledger, unless its slashing protection is off, and then it says so.
            ledger.carry_out(Status { keys: Vec::new() })?;
            let said = if ledger.is_new() { "created an empty ledger" } else { "there already is a ledger" };
            say(output, &format!("{said} {ledger}"))
        }
        Command::Import { ledger_args, keys, file } => import(ledger_args, &keys, &file, environment, output),
        Command::Export { ledger_args, keys, output: path } => {
            export(ledger_args, &keys, path, environment, output)
        }
        Command::Status { ledger_args, keys, json } => {
            let ledger = ledger_args.open(Missing::Refuse, environment)?;
            let status = ledger.carry_out(Status { keys: keys.texts() })?;
            say(output, &if json { report::as_json(&status) } else { report::table(&status, &ledger) })
        }
        Command::Raise { ledger_args, keys, slot, epoch, yes, accept_loss } => {
            let loss = match (accept_loss, slot, epoch) {
                (true, Some(slot), Some(epoch)) => Loss::Lift { slot: Slot(slot), epoch: Epoch(epoch) },
                (true | false, Some(_) | None, Some(_) | None) => Loss::Refuse,
            };
            let ledger = ledger_args.open_after(loss, Missing::Refuse, environment)?;
            let order = Raise { slot, epoch, keys: keys.texts(), far_ahead: yes };
            let RaiseAnswer { raised, still_refused, present } = ledger.carry_out(order)?;
            say(output, &format!("raised the watermarks of {raised} keys in the ledger {ledger}"))?;
            still_refused.map_or(Ok(()), |keys| Err(Error::StillRefused { keys, present }))
        }
        Command::TpmCounter { options } => tpm_counter::run(options, environment, output),
        Command::HighWatermark { ledger_args, slot, epoch, remove: _ } => {
            let ledger = ledger_args.open(Missing::Refuse, environment)?;
            ledger.carry_out(HighWatermark { slot, epoch })?;
            say(output, &format!("the ledger {ledger}: {}", report::describe(slot, epoch)))
        }
    }
}

fn import(
    ledger_args: LedgerArgs,
    keys: &Keys,
    file: &Path,
    environment: &Environment,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let history = interchange_file::read(file)?;
    let missing = keys.demand(interchange_file::name(file), |key| history.history(key).is_some())?;
    let ledger = ledger_args.open(Missing::Create, environment)?;
    let interchange = history.minimal(|key| keys.contains(key));
    let ImportAnswer { merged, failed: not_taken } =
        ledger.carry_out(Import { interchange, keys: keys.texts() })?;
    let unreadable = history.unreadable().into_iter().filter(|(key, _)| keys.contains(key));
    let failed: Vec<_> = unreadable
        .map(|(key, reason)| FailedKey { public_key: key.to_string(), reason: reason.to_owned() })
        .chain(not_taken)
        .collect();
    for FailedKey { public_key, reason } in &failed {
        say(output, &format!("{public_key} was NOT imported: {reason}"))?;
    }
    say(output, &format!("merged the history of {merged} keys into the ledger {ledger}"))?;
    match (failed.len(), missing) {
        (0, None) => Ok(()),
        (0, Some(missing)) => Err(missing.into()),
        (failed, missing) => Err(Error::Partial { failed, of: failed.saturating_add(merged), missing }),
    }
}

fn export(
    ledger_args: LedgerArgs,
    keys: &Keys,
    path: Option<PathBuf>,
    environment: &Environment,
    output: &mut dyn Write,
) -> Result<(), Error> {
    // First of all: it may lie where root alone can write, and root's rights go with the opening of the ledger.
    let file = path.map(NewFile::create).transpose()?;
    let (interchange, missing) = match exported(ledger_args, keys, environment) {
        Ok(exported) => exported,
        Err(error) => {
            if let Some(file) = file {
                file.discard();
            }
            return Err(error);
        }
    };
    match file {
        None => output::hand_over(output, format!("{interchange}\n")).map_err(Error::Output)?,
        Some(file) => file.write(&interchange)?,
    }
    missing.map_or(Ok(()), |missing| Err(missing.into()))
}

/// The history, and the keys that were named and have none.
fn exported(
    ledger_args: LedgerArgs,
    keys: &Keys,
    environment: &Environment,
) -> Result<(String, Option<NoHistory>), Error> {
    let ledger = ledger_args.open(Missing::Refuse, environment)?;
    let ExportAnswer { interchange, raw_roots } = ledger.carry_out(Export { keys: keys.texts() })?;
    let exported = interchange_file::keys_in(&interchange).map_err(Error::Wire)?;
    let missing = keys.demand(format!("the ledger {ledger}"), |key| exported.contains(key))?;
    if let Some(SomeKeys { count, names }) = raw_roots {
        // Standard output may be the history itself.
        let _ = writeln!(
            io::stderr(),
            "warning: raw roots were signed with {count} of the keys, and no history can say what they said: lift the \
             watermarks to the present wherever these keys are to sign ({names})"
        );
    }
    Ok((interchange, missing))
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("configuration")]
    Configuration(#[from] config::Error),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(
        "the packaged service's ledger in {} is for root: run this with sudo. It is about no other ledger unless you \
         name one, and there is none in {} (--state-dir)",
        packaged.display(),
        own.display()
    )]
    OfTheService { packaged: PathBuf, own: PathBuf },
    #[error(transparent)]
    Owner(#[from] owner::Error),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Daemon(#[from] connect::Error),
    #[error(
        "the ledger in {} is in use by another process than the daemon at {daemon}, which has another ledger, so \
         nothing was done: name the keymanager listener of the daemon that holds it with --connect, or end that one",
        directory.display()
    )]
    OtherHolder { daemon: String, directory: PathBuf },
    #[error(
        "the daemon at {daemon} has another ledger than the one in {}, so nothing was done: leave --connect or \
         --state-dir (with a --config that names one) out",
        directory.display()
    )]
    OtherLedger { daemon: String, directory: PathBuf },
    #[error(
        "after a loss the watermarks are lifted to the present, or up to a week beyond, and to nothing else: the \
         present is slot {slot}, epoch {epoch} by this host's clock; nothing was done"
    )]
    NotThePresent { slot: Slot, epoch: Epoch },
    #[error("cannot look at the state directory {}, so nothing was done", directory.display())]
    NoDirectory { directory: PathBuf, source: io::Error },
    #[error(
        "a process holds the ledger and no daemon could be asked: name its keymanager listener with --connect"
    )]
    NoDaemon(#[source] connect::Error),
    #[error("the daemon's answer cannot be read: is it of another version?")]
    Wire(#[source] serde_json::Error),
    #[error("the daemon answered another question: is it of another version?")]
    OtherAnswer,
    #[error(transparent)]
    History(#[from] interchange_file::Error),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no backup that can be restored: {reason}", path.display())]
    NoBackup { path: PathBuf, reason: String },
    #[error(
        "a daemon has the ledger, so nothing was restored: end it first (systemctl stop bls-signer.service), and name \
         no daemon"
    )]
    RestoreInUse,
    #[error("a daemon has the ledger: end it first (systemctl stop bls-signer.service), and name no daemon")]
    CounterInUse,
    #[error(
        "no counter is named: choose a free index, such as tpm_counter = \"0x01800b15\" in the configuration"
    )]
    NoCounter,
    #[error("the counter is made, and does not count")]
    NotCounted(#[source] Fault),
    #[error(transparent)]
    Restore(#[from] RestoreRefusal),
    #[error("the ledger did not take the backup")]
    Fault(#[source] Fault),
    #[error("the history of {failed} of {of} keys was not imported: see above")]
    Partial {
        failed: usize,
        of: usize,
        #[source]
        missing: Option<NoHistory>,
    },
    #[error("{}", still_refused(keys, present.as_ref()))]
    StillRefused { keys: SomeKeys, present: Option<[String; 2]> },
    #[error(transparent)]
    NoHistory(#[from] NoHistory),
    #[error("cannot wait for the ledger")]
    Runtime(#[source] io::Error),
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

fn still_refused(keys: &SomeKeys, present: Option<&[String; 2]>) -> String {
    let SomeKeys { count, names } = keys;
    let present = match present {
        Some([slot, epoch]) => format!("slot {slot}, epoch {epoch}"),
        None => "the present".to_owned(),
    };
    format!(
        "raw roots were signed with {count} of the keys, so their blocks and attestations stay refused until --slot \
         and --epoch are given together, both at {present} or later: {names}"
    )
}

/// A file for a history. An older file of that name may be the only copy of another one, so there must be none.
struct NewFile {
    path: PathBuf,
    file: File,
}

impl NewFile {
    fn create(path: PathBuf) -> Result<Self, Error> {
        Self::create_with(path, 0o666)
    }

    /// For its owner's eyes alone.
    fn create_private(path: PathBuf) -> Result<Self, Error> {
        Self::create_with(path, 0o600)
    }

    fn create_with(path: PathBuf, mode: u32) -> Result<Self, Error> {
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(Error::Write { path, source }),
        }
    }

    fn write(mut self, text: &str) -> Result<(), Error> {
        let written = writeln!(self.file, "{text}").and_then(|()| self.file.sync_all());
        written.map_err(|source| Error::Write { path: self.path, source })
    }

    /// Takes it away again, for there is nothing to write.
    fn discard(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            let _ =
                writeln!(io::stderr(), "bls-signer: {path} is left empty, as it cannot be removed ({error})");
        }
    }
}

fn say(output: &mut dyn Write, line: &str) -> Result<(), Error> {
    output::show(output, format!("{line}\n")).map_err(Error::Output)
}

#[cfg(test)]
mod tests;
