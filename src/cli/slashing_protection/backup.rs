//! `bls-signer backup` and `bls-signer restore`: history and sealed keys in one file, and a ledger made of it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::ledger_access::{LedgerAccess, LedgerArgs};
use super::{Error, NewFile, say};
use crate::bls::PublicKey;
use crate::config::Environment;
use crate::ledger::{self, Interchange, Missing, Restoration, SealedKeystore};
use crate::text::{Bounded, chain};
use crate::wire::slashing_protection::{Backup, BackupAnswer, SealedKey};

#[derive(clap::Args)]
#[group(skip)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    ledger_args: LedgerArgs,
    /// The file, which 'backup' creates and 'restore' reads
    file: PathBuf,
}

/// What the file holds, as JSON.
#[derive(Serialize, Deserialize)]
struct BackupFile {
    format: String,
    version: u32,
    /// Seconds since 1970 by the clock of the host that made it.
    made: u64,
    #[serde(flatten)]
    content: BackupAnswer,
}

/// Writes the file, of a ledger that is in use, too.
pub(in crate::cli) fn back_up(
    options: Options,
    environment: &Environment,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let Options { ledger_args, file } = options;
    // First of all: it may lie where root alone can write, and root's rights go with the opening of the ledger.
    let new = NewFile::create_private(file.clone())?;
    match backup(ledger_args, environment) {
        Ok((content, ledger)) => {
            let keys = content.keystores.len();
            let made = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let content = BackupFile { format: FORMAT.to_owned(), version: VERSION, made, content };
            new.write(&serde_json::to_string(&content).map_err(Error::Wire)?)?;
            say(
                output,
                &format!(
                    "{keys} sealed keys and the history of the ledger {ledger} are in {}. The secret that opens the \
                     keys is not: keep it, or the original keystores, elsewhere",
                    file.display()
                ),
            )
        }
        Err(error) => {
            new.discard();
            Err(error)
        }
    }
}

fn backup(ledger_args: LedgerArgs, environment: &Environment) -> Result<(BackupAnswer, String), Error> {
    let ledger = ledger_args.open(Missing::Refuse, environment)?;
    Ok((ledger.carry_out(Backup {})?, ledger.to_string()))
}

/// Puts the file's content into a ledger, which is created if there is none. Its next start lifts all watermarks to the
/// present.
pub(in crate::cli) fn restore(
    options: Options,
    environment: &Environment,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let Options { ledger_args, file } = options;
    let restoration = restoration(read(&file)?, &file)?;
    let LedgerAccess::File { ledger, directory, .. } = ledger_args.open(Missing::Create, environment)? else {
        return Err(Error::RestoreInUse);
    };
    if ledger.opened().keys == 0 {
        // Before there is anything that it is about.
        ledger::mark_unproven(&directory, "it was restored from a backup")?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Error::Runtime)?;
    let keys = runtime.block_on(ledger.restore(restoration)).map_err(Error::Fault)??;
    say(
        output,
        &format!(
            "restored {keys} keys into the ledger in {}. Its next start lifts all watermarks to the present. No other \
             signer may have these keys from now on",
            directory.display()
        ),
    )
}

fn read(path: &Path) -> Result<BackupAnswer, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let text = io::read_to_string(File::open(path).map_err(failed)?).map_err(failed)?;
    let BackupFile { format, version, made: _, content } = serde_json::from_str(&text)
        .map_err(|error| Error::NoBackup { path: path.to_owned(), reason: error.to_string() })?;
    if format == FORMAT && version == VERSION {
        return Ok(content);
    }
    let reason = format!("it is version {version} of '{}', not {VERSION} of '{FORMAT}'", Bounded(format));
    Err(Error::NoBackup { path: path.to_owned(), reason })
}

fn restoration(backup: BackupAnswer, path: &Path) -> Result<Restoration, Error> {
    let BackupAnswer {
        genesis_validators_root,
        high_watermark,
        interchange,
        deleted,
        raw_root_signed,
        keystores,
    } = backup;
    let unusable = |reason: String| Error::NoBackup { path: path.to_owned(), reason };
    let key = |text: &String| {
        text.parse::<PublicKey>().map_err(|error| unusable(format!("'{}': {error}", Bounded(text))))
    };
    let history = genesis_validators_root
        .map(|_| Interchange::parse(interchange.as_bytes()))
        .transpose()
        .map_err(|error| unusable(chain(&error)))?;
    let keystore = |kept: SealedKey| {
        Ok(SealedKeystore {
            public_key: key(&kept.public_key)?,
            json: kept.keystore,
            derivation_path: kept.derivation_path,
            copy_of: None,
            source: None,
        })
    };
    Ok(Restoration {
        history,
        high_watermark: high_watermark.into(),
        deleted: deleted.iter().map(key).collect::<Result<_, _>>()?,
        raw_root_signed: raw_root_signed.iter().map(key).collect::<Result<_, _>>()?,
        keystores: keystores.into_iter().map(keystore).collect::<Result<_, Error>>()?,
    })
}

const FORMAT: &str = "bls-signer backup";
const VERSION: u32 = 1;
