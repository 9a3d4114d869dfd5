//! `bls-signer migrate`: keys, protection history and options of another signer, taken over while neither runs.
//!
//! Everything is read and judged first, and shown. Only `--apply` writes, and only if nothing stands against it: the
//! history in one transaction, then the keys, sealed, in another, then the configuration. Whenever it is broken off, no
//! key is here without its history; run again it takes what is missing, and changes nothing else.

mod answering;
mod configuration;
mod error;
mod history;
mod keys;
mod plan;
mod py3signer;
mod target;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;

pub(super) use self::error::Error;

use self::configuration::Configuration;
use self::history::History;
use self::keys::OldKeys;
use self::plan::Plan;
use self::target::Target;
use super::old_signer::{Database, OldSigner};
use super::{output, web3signer};
use crate::config::Environment;

/// The signer that is to be replaced.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Take over from a Web3Signer: its keys, its history from PostgreSQL or a file, its options
    ///
    /// Reads its configuration file (config.yaml or web3signer.yaml in DIRECTORY, unless --config-file names another),
    /// its WEB3SIGNER_* variables, and its command line behind --.
    Web3signer(Options),
    /// Take over from a py3signer, which this program's first design was like: its keystores, its options
    ///
    /// Reads its command line behind --.
    Py3signer(Options),
}

/// Where the old signer is, and what to do with what it has.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// The directory that it ran in: relative paths of its options start there
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// Its own command line, behind --
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
    /// Do it; without this nothing is written, and all that would be done is shown
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    source: HistorySource,
    /// Take what can be taken, though some key files give no key
    #[arg(long)]
    skip_unusable: bool,
    /// Where it answers, if its options do not say that as seen from here
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// File for the configuration that takes the place of its options; one with another content is left as it is
    #[arg(long, value_name = "FILE")]
    write_config: Option<PathBuf>,
    #[command(flatten)]
    target: target::Options,
}

/// Where the history of its keys is.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(super) struct HistorySource {
    /// Its exported history (EIP-3076)
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Its PostgreSQL, which is read and not changed, by /usr/bin/psql [default: as its options say]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Its keys have never signed
    #[arg(long)]
    no_history: bool,
}

/// Shows what would be done, and does it if that is wanted and nothing stands against it.
pub(super) fn run(command: Command, environment: &Environment) -> Result<(), Error> {
    let (options, old) = match command {
        Command::Web3signer(mut options) => {
            let directory = absolute(&options.directory)?;
            let arguments = std::mem::take(&mut options.arguments);
            (options, web3signer::old_signer(&directory, arguments, environment)?)
        }
        Command::Py3signer(mut options) => {
            let directory = absolute(&options.directory)?;
            let arguments = std::mem::take(&mut options.arguments);
            (options, py3signer::old_signer(directory, arguments)?)
        }
    };
    migrate(options, old, environment)
}

fn absolute(directory: &Path) -> Result<PathBuf, Error> {
    directory.canonicalize().map_err(|source| Error::Directory { directory: directory.to_owned(), source })
}

fn migrate(options: Options, old: OldSigner, environment: &Environment) -> Result<(), Error> {
    let Options { source, apply, skip_unusable, address, write_config, target, .. } = options;
    let network = old.options.iter().find(|(_, long, _)| long == "network").map(|(_, _, text)| text.clone());
    let (target, seal_file) = Target::named(target, network, environment)?;
    let configuration = Configuration::of(&old.options, &target, seal_file.as_deref(), write_config);
    let answering = answering::look(address.as_deref().unwrap_or(&old.address));
    let history = History::read(&source, old.database.as_ref());
    let keys = OldKeys::open(&old.sources, target.settings(), target.memory());

    let obstacles = plan::obstacles(
        &old,
        &answering,
        &keys,
        &history,
        target.unmergeable(history.found()),
        skip_unusable,
    );
    let goes_on = apply && obstacles.is_empty();

    // The old signer's files may be another user's, and root's what is written; what is here is its owner's.
    let file = configuration.open(goes_on)?;
    let ledger = target.open(goes_on)?;
    let changes = ledger.changes(&keys, history.found())?;
    let plan = Plan::new(&old, &answering, &keys, &history, &changes, &configuration, &obstacles);
    output::show(&mut io::stdout().lock(), plan.to_string()).map_err(Error::Output)?;
    match (apply, obstacles.len()) {
        (false, _) => return Ok(()),
        (true, 0) => {}
        (true, obstacles) => return Err(Error::Obstacles { obstacles }),
    }
    ledger.apply(keys, history.into_found(), &changes)?;
    let written = configuration.write(file)?;
    let said = match changes.is_none && !written {
        true => "Nothing had to be changed.\n",
        false => "Done. Start the daemon, then let the clients ask it; never start the old signer again.\n",
    };
    io::stdout().lock().write_all(said.as_bytes()).map_err(Error::Output)
}
