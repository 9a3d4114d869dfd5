//! `bls-signer keys import`: keystores from files to the daemon, some at a time, so that progress can be shown.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use hyper::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::files::{self, Found, Keystore, Passwords, Search};
use super::{Error, counted, data, failures, report, say};
use crate::cli::connect::{self, Daemon, KEYMANAGER_SOCKET};
use crate::cli::progress::Progress;
use crate::cli::{interchange_file, prompt};
use crate::config::Environment;
use crate::ledger::Interchange;
use crate::text::{OneLine, chain};
use crate::wire::keymanager::{self, KeyResult, KeyStatus};

#[derive(clap::Args)]
#[group(skip)]
pub(in crate::cli) struct Options {
    /// Keystore files, or directories of them, such as a validator client's
    #[arg(required = true, value_name = "PATH")]
    keystores: Vec<PathBuf>,
    /// Their passwords: one file for all, or a directory of files called as the keystores (NAME.txt or NAME for
    /// NAME.json) or as the public keys (0xPUBKEY) [default: asked for]
    #[arg(long, value_name = "PATH")]
    passwords: Option<PathBuf>,
    /// The keys' slashing-protection history (EIP-3076), as the signer before exported it
    #[arg(long, value_name = "FILE")]
    slashing_protection: Option<PathBuf>,
    #[command(flatten)]
    connect: connect::Options,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Imports all that can be imported; what is wrong with one keystore does not stop the others.
pub(super) fn run(options: Options, environment: &Environment) -> Result<(), Error> {
    let daemon = options.connect.daemon(KEYMANAGER_SOCKET, environment)?;
    let Search { found, passed_over } = files::search(&options.keystores, options.passwords.as_deref())?;
    for path in &passed_over {
        say(&format!("passed over: {}, which is no keystore by name or content", OneLine(path.display())));
    }
    let history = options.slashing_protection.as_deref().map(interchange_file::read).transpose()?;
    if let (Some(history), Some(path)) = (&history, options.slashing_protection) {
        demand_history(&found, history, &path)?;
    }
    let openable = found.iter().filter(|found| found.keystore.is_ok()).count();
    let passwords = match &options.passwords {
        Some(path) => Passwords::at(path)?,
        None if openable == 0 => Passwords::One(Zeroizing::default()),
        None => {
            let asked = prompt::password(&format!("Password of {}: ", counted(openable, "keystore")));
            Passwords::One(asked.map_err(Error::Terminal)?)
        }
    };

    let mut progress = Progress::new("imported", found.len());
    let mut results = Vec::new();
    let mut stopped = None;
    for batch in found.chunks(BATCH) {
        match import(&daemon, batch, &passwords, history.as_ref()) {
            Ok(imported) => results.extend(imported),
            Err(error) => {
                stopped = Some(error);
                break;
            }
        }
        progress.show(results.len());
    }
    drop(progress);
    let rows: Vec<_> = found.iter().map(row).collect();
    report(&rows, &results, options.json)?;
    match stopped {
        Some(error) => Err(error),
        None => failures(&results),
    }
}

/// Whoever gives a history says that the keys have signed: one without an entry is more likely the wrong file than new.
fn demand_history(found: &[Found], history: &Interchange, file: &Path) -> Result<(), Error> {
    for Found { path, keystore } in found {
        let Ok(keystore) = keystore else { continue };
        let (path, history_path) = (path.clone(), file.to_owned());
        let Some(public_key) = keystore.public_key else {
            return Err(files::Error::Anonymous { path }.into());
        };
        match history.history(&public_key) {
            Some(Ok(_)) => {}
            Some(Err(reason)) => {
                let reason = reason.to_owned();
                return Err(files::Error::Unreadable { history: history_path, public_key, reason }.into());
            }
            None => return Err(files::Error::Unknown { path, history: history_path, public_key }.into()),
        }
    }
    Ok(())
}

/// One result for each file, in their order: the daemon's, or why there was nothing to send.
fn import(
    daemon: &Daemon,
    batch: &[Found],
    passwords: &Passwords,
    history: Option<&Interchange>,
) -> Result<Vec<KeyResult>, Error> {
    let openable: Vec<Result<_, KeyResult>> = batch
        .iter()
        .map(|Found { path, keystore }| {
            let keystore = keystore.as_ref().map_err(unusable)?;
            Ok((keystore, passwords.of(path, keystore.public_key).map_err(|error| unusable(&error))?))
        })
        .collect();
    let sent: Vec<_> = openable.iter().flatten().collect();
    let imported = if sent.is_empty() { Vec::new() } else { send(daemon, &sent, history)? };
    let mut imported = imported.into_iter();
    openable
        .into_iter()
        .map(|openable| match openable {
            Ok(_) => imported.next().ok_or(Error::Answer),
            Err(unusable) => Ok(unusable),
        })
        .collect()
}

fn unusable(error: &files::Error) -> KeyResult {
    KeyResult { status: KeyStatus::Error, message: Some(chain(error)) }
}

fn send(
    daemon: &Daemon,
    batch: &[&(&Keystore, Zeroizing<String>)],
    history: Option<&Interchange>,
) -> Result<Vec<KeyResult>, Error> {
    let texts: Vec<_> = batch.iter().map(|(keystore, _)| keystore.text.as_str()).collect();
    let passwords: Vec<_> = batch.iter().map(|(_, password)| password.as_str()).collect();
    let mut request = json!({ "keystores": texts, "passwords": passwords });
    if let (Some(history), Some(request)) = (history, request.as_object_mut()) {
        let keys: HashSet<_> = batch.iter().filter_map(|(keystore, _)| keystore.public_key).collect();
        let history = history.minimal(|public_key| keys.contains(public_key));
        request.insert("slashing_protection".to_owned(), Value::String(history));
    }
    let results: Vec<KeyResult> = data(daemon.ask_for(Method::POST, keymanager::PATH, Some(&request))?)?;
    if results.len() == batch.len() { Ok(results) } else { Err(Error::Answer) }
}

fn row(Found { path, keystore }: &Found) -> (String, String) {
    let public_key = keystore.as_ref().ok().and_then(|keystore| keystore.public_key);
    let public_key = public_key.map_or_else(|| "unknown key".to_owned(), |key| key.to_string());
    (public_key, path.display().to_string())
}

/// A usual keystore takes the daemon most of a second, so that progress moves; small enough for its body limit.
const BATCH: usize = 16;
