//! `bls-signer keys`: lists, imports and deletes keys of a running daemon over the Keymanager API, and reseals those of
//! one that does not run.

mod files;
mod import;
mod reseal;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::connect::{self, Daemon, KEYMANAGER_SOCKET};
use super::{interchange_file, output, owner, prompt};
use crate::bls::PublicKey;
use crate::config::{self, Environment};
use crate::keys::{SealError, SealFileError};
use crate::ledger::{Fault, OpenError, ResealRefusal};
use crate::sys::hardening::HardeningError;
use crate::sys::locked_memory::LockedMemoryError;
use crate::wire::keymanager::{self, Data, Deleted, KeyResult, KeyStatus, ListedKey};

/// `bls-signer keys ...`
#[derive(Subcommand)]
pub(super) enum Command {
    /// List the keys that the daemon holds
    List(ListOptions),
    /// Import EIP-2335 keystores, and the keys' slashing-protection history
    ///
    /// What is wrong with one keystore stops no other; failures are listed last. Exits with status 1 if any was not
    /// imported. Of a directory, and of those right below it, the .json files are taken: the directories of deposit
    /// tools, Lighthouse, Lodestar, Nimbus and Teku import as they are. JSON that is no keystore is passed over there,
    /// and said, unless it is called one.
    Import(import::Options),
    /// Delete keys, and save their slashing-protection history for whoever signs with them next
    ///
    /// Keys that have never signed have no history; if none of them has, no file is left. Exits with status 1 if a key
    /// could not be deleted, or is unknown to the daemon (not_found), so that a key that was mistyped is not taken for
    /// deleted. A key that was deleted before (not_active) is no failure: its history is saved again.
    Delete(DeleteOptions),
    /// Seal the keys on disk with a new secret, while no daemon runs
    ///
    /// All keys change at once or none does. Start the daemon with the new secret afterwards; the old one opens nothing
    /// in the state directory any more, but still opens whatever backups there are of it.
    Reseal(reseal::Options),
}

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct ListOptions {
    #[command(flatten)]
    connect: connect::Options,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct DeleteOptions {
    /// Public keys, with or without 0x
    #[arg(required = true, value_name = "PUBKEY")]
    public_keys: Vec<PublicKey>,
    /// New file for the history (EIP-3076): import it wherever the keys are to sign next
    #[arg(long, value_name = "FILE")]
    history: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    connect: connect::Options,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Does what the subcommand says.
pub(super) fn run(command: Command, environment: &Environment) -> Result<(), Error> {
    match command {
        Command::List(options) => list(options, environment),
        Command::Import(options) => import::run(options, environment),
        Command::Delete(options) => delete(options, environment),
        Command::Reseal(options) => reseal::run(options, environment),
    }
}

fn list(options: ListOptions, environment: &Environment) -> Result<(), Error> {
    let daemon = options.connect.daemon(KEYMANAGER_SOCKET, environment)?;
    let answer = daemon.ask_for(Method::GET, keymanager::PATH, None)?;
    if options.json {
        return print(&format!("{:#}\n", answer.get("data").unwrap_or(&Value::Null)));
    }
    let keys: Vec<ListedKey> = data(answer)?;
    let mut table = format!("{:<98}  {:<8}  DERIVATION PATH\n", "PUBLIC KEY", "SOURCE");
    for key in &keys {
        let source = if key.readonly == Some(true) { "file" } else { "imported" };
        let path = key.derivation_path.as_deref().unwrap_or_default();
        table.push_str(format!("{:<98}  {source:<8}  {path}", key.validating_pubkey).trim_end());
        table.push('\n');
    }
    print(&table)?;
    say(&counted(keys.len(), "key"));
    Ok(())
}

fn delete(options: DeleteOptions, environment: &Environment) -> Result<(), Error> {
    let daemon = options.connect.daemon(KEYMANAGER_SOCKET, environment)?;
    let count = options.public_keys.len();
    if !options.yes
        && !prompt::confirm(&format!("Delete {} from the daemon?", counted(count, "key")))
            .map_err(Error::Terminal)?
    {
        return Err(Error::Declined);
    }
    // Before anything is deleted: a history that cannot be saved is how validators get slashed.
    let file = create_new(&options.history)?;
    let outcome = ask_to_delete(&daemon, &options.public_keys);
    let (results, history) = match outcome {
        Ok(answered) => answered,
        Err(error) => {
            // Nothing was answered, so nothing can be in it.
            let _ = std::fs::remove_file(&options.history);
            return Err(error);
        }
    };
    let holds_history = holds_history(&history);
    if !holds_history {
        // A file without any history would only be in the way of the next attempt.
        let _ = std::fs::remove_file(&options.history);
    } else if let Err(source) = save(&file, &history) {
        output::hand_over(&mut io::stdout(), &history).map_err(Error::Output)?;
        return Err(Error::Save { path: options.history, source });
    }
    let rows: Vec<_> = options.public_keys.iter().map(|key| (key.to_string(), String::new())).collect();
    report(&rows, &results, options.json)?;
    let path = options.history.display();
    say(&if holds_history {
        format!("their history is in {path}")
    } else {
        format!("there is no history of them, so {path} was not made")
    });
    failures(&results)?;
    match results.iter().filter(|result| result.status == KeyStatus::NotFound).count() {
        0 => Ok(()),
        unknown => Err(Error::Unknown { unknown, of: results.len() }),
    }
}

/// Whether any key's history is in an interchange file. What cannot be read is kept: it may be one.
fn holds_history(interchange: &str) -> bool {
    interchange_file::keys_in(interchange).map_or(true, |keys| !keys.is_empty())
}

fn ask_to_delete(daemon: &Daemon, public_keys: &[PublicKey]) -> Result<(Vec<KeyResult>, String), Error> {
    let names: Vec<_> = public_keys.iter().map(PublicKey::to_string).collect();
    let answer = daemon.ask_for(Method::DELETE, keymanager::PATH, Some(&json!({ "pubkeys": names })))?;
    let Deleted { data, slashing_protection } = serde_json::from_value(answer).map_err(|_| Error::Answer)?;
    if data.len() == public_keys.len() { Ok((data, slashing_protection)) } else { Err(Error::Answer) }
}

fn data<T: for<'de> Deserialize<'de>>(answer: Value) -> Result<Vec<T>, Error> {
    let Data { data } = serde_json::from_value(answer).map_err(|_| Error::Answer)?;
    Ok(data)
}

/// One line for each key, the failed ones last, or all in their order as JSON; a row is a public key and, for an
/// import, its file.
fn report(rows: &[(String, String)], results: &[KeyResult], json: bool) -> Result<(), Error> {
    let lines = rows.iter().zip(results);
    if json {
        let values: Vec<_> = lines
            .map(|((pubkey, file), result)| {
                let mut value = json!({ "pubkey": pubkey, "status": result.status });
                if let Some(object) = value.as_object_mut() {
                    object.extend((!file.is_empty()).then(|| ("file".to_owned(), json!(file))));
                    object.extend(
                        result.message.as_ref().map(|message| ("message".to_owned(), json!(message))),
                    );
                }
                value
            })
            .collect();
        return print(&format!("{:#}\n", Value::Array(values)));
    }
    let mut table = String::new();
    let (failed, done): (Vec<_>, Vec<_>) = lines.partition(|(_, result)| result.is_failure());
    for ((pubkey, file), KeyResult { status, message }) in done.into_iter().chain(failed) {
        let message = message.as_deref().unwrap_or("");
        table.push_str(format!("{status:<9}  {pubkey}  {file}  {message}").trim_end());
        table.push('\n');
    }
    print(&table)
}

/// An error if any key could not be dealt with.
fn failures(results: &[KeyResult]) -> Result<(), Error> {
    match results.iter().filter(|result| result.is_failure()).count() {
        0 => Ok(()),
        failed => Err(Error::Failed { failed, of: results.len() }),
    }
}

fn create_new(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| Error::Save { path: path.to_owned(), source })
}

fn save(mut file: &File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn print(text: &str) -> Result<(), Error> {
    output::show(&mut io::stdout(), text).map_err(Error::Output)
}

/// A number and what there is of it.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A word to the person at the terminal; no part of the output.
fn say(text: &str) {
    if io::stderr().is_terminal() {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Why keys could not be listed, imported, deleted or resealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Configuration(#[from] config::Error),
    #[error(transparent)]
    Owner(#[from] owner::Error),
    #[error(transparent)]
    Daemon(#[from] connect::Error),
    #[error("the daemon's answer is not what the Keymanager API says")]
    Answer,
    #[error(transparent)]
    Files(#[from] files::Error),
    #[error(transparent)]
    History(#[from] interchange_file::Error),
    #[error("{failed} of {of} keys failed")]
    Failed { failed: usize, of: usize },
    #[error("{unknown} of {of} keys are unknown to the daemon: there was nothing to delete for them")]
    Unknown { unknown: usize, of: usize },
    #[error("nothing was deleted")]
    Declined,
    #[error("cannot ask: no terminal; give --passwords for an import, --yes for a deletion")]
    Terminal(#[source] io::Error),
    #[error("cannot save the history as the new file {}", path.display())]
    Save { path: PathBuf, source: io::Error },
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    #[error("there is no seal secret: give --seal-file with the one that the keys are sealed with now")]
    NoSeal,
    #[error(transparent)]
    Seal(#[from] SealFileError),
    #[error("the keys cannot be opened with {}, so nothing was changed", path.display())]
    Reseal { path: PathBuf, source: SealError },
    #[error("the process cannot be hardened")]
    Hardening(#[source] HardeningError),
    #[error(transparent)]
    Memory(LockedMemoryError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Changed(#[from] ResealRefusal),
    #[error("cannot wait for the ledger")]
    Runtime(#[source] io::Error),
}
