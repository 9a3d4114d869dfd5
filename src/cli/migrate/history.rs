//! Protection history of the old signer: out of a file, or out of Web3Signer's PostgreSQL by psql.

use std::io::{self, BufReader, Write as _};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::thread;

use super::{Database, HistorySource};
use crate::cli::interchange_file;
use crate::ledger::{Interchange, InterchangeError};

/// What is known of the history.
pub(super) enum History {
    /// It was read, from there.
    Found { place: String, interchange: Interchange },
    /// The keys have never signed, as somebody says.
    None,
    /// Nothing says where it is.
    NotNamed,
    /// It could not be read.
    Unreadable(Error),
}

impl History {
    /// Reads it from where it was named, else from the database that the old signer's options name.
    pub(super) fn read(source: &HistorySource, database: Option<&Database>) -> Self {
        if source.no_history {
            return Self::None;
        }
        let named = source.database.as_deref().map(|url| Database::new(url, None, None));
        let read = match (&source.history, named.as_ref().or(database)) {
            (Some(file), _) => {
                let read = interchange_file::read(file).map_err(Error::File);
                read.map(|interchange| (interchange_file::name(file), interchange))
            }
            (None, Some(database)) => query(database).map(|interchange| (database.to_string(), interchange)),
            (None, None) => return Self::NotNamed,
        };
        match read {
            Ok((place, interchange)) => Self::Found { place, interchange },
            Err(error) => Self::Unreadable(error),
        }
    }

    pub(super) fn found(&self) -> Option<&Interchange> {
        match self {
            Self::Found { interchange, .. } => Some(interchange),
            Self::None | Self::NotNamed | Self::Unreadable(_) => None,
        }
    }

    pub(super) fn into_found(self) -> Option<Interchange> {
        match self {
            Self::Found { interchange, .. } => Some(interchange),
            Self::None | Self::NotNamed | Self::Unreadable(_) => None,
        }
    }
}

/// Runs the script in a transaction that only reads. What it has to say of the database goes to standard error.
fn query(database: &Database) -> Result<Interchange, Error> {
    let mut psql = Command::new(PSQL);
    psql.args(["--no-psqlrc", "--no-password", "--file=-", &database.url]);
    psql.envs(database.user.iter().map(|user| ("PGUSER", user)));
    psql.envs(database.password.iter().map(|password| ("PGPASSWORD", password.as_str())));
    let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(Error::Psql)?;
    let (script, answer) = (psql.stdin.take(), psql.stdout.take());
    let feeding = thread::spawn(move || script.map_or(Ok(()), feed));
    let interchange = answer.map(|answer| Interchange::read(BufReader::new(answer)));
    let status = psql.wait().map_err(Error::Psql)?;
    // Whether it took the whole script shows in how it ended.
    let _ = feeding.join();
    if !status.success() {
        return Err(Error::Refused { status });
    }
    interchange.ok_or(Error::NoAnswer)?.map_err(Error::Unusable)
}

fn feed(mut script: ChildStdin) -> io::Result<()> {
    script.write_all(SCRIPT.as_bytes())
}

/// Why a history could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    File(#[from] interchange_file::Error),
    #[error("cannot run {PSQL}: install PostgreSQL's client, or export the history to a file")]
    Psql(#[source] io::Error),
    #[error("the database does not give its history ({status}): what psql says stands above")]
    Refused { status: ExitStatus },
    #[error("psql gave no answer")]
    NoAnswer,
    #[error("what the database gives is no history")]
    Unusable(#[source] InterchangeError),
}

const PSQL: &str = "/usr/bin/psql";
const SCRIPT: &str = include_str!("web3signer-history.sql");
