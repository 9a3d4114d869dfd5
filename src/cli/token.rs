//! `bls-signer token`: the tokens that clients are known by. One is shown when it is made; its digest is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::packaged::packaged_environment;
use super::{output, owner};
use crate::config::{self, ClientTokens, Environment, RawSettings, is_token_name};
use crate::credentials::TokenDigest;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a token of 256 random bits, print it, and keep its SHA-256
    ///
    /// It is printed this once. Clients with token = "NAME" in the configuration are known by it as soon as the daemon
    /// reads its files again.
    New {
        /// What the configuration calls it: letters, digits, dots, hyphens and underscores, at most 32
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Print the names of all tokens, one a line
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Take a token away: from the daemon's next reload on it opens nothing
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Place {
    /// Directory of the state, where the file client-tokens is [default: for root the packaged daemon's, else as for
    /// 'serve']
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Read options from this TOML file [default: $BLS_SIGNER_CONFIG, else for root the packaged daemon's, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Makes, shows or removes tokens.
pub(super) fn run(command: Command, environment: &Environment) -> Result<(), Error> {
    match command {
        Command::New { name, place } => new(&name, &place.enter(environment)?),
        Command::List { place } => list(&place.enter(environment)?),
        Command::Remove { name, place } => remove(&name, &place.enter(environment)?),
    }
}

impl Place {
    /// The state directory, whose owner this process is from now on.
    fn enter(self, environment: &Environment) -> Result<PathBuf, Error> {
        let Self { state_dir, config } = self;
        let environment = &packaged_environment(state_dir.as_deref(), config.as_deref(), environment);
        let flags = RawSettings { state_dir, ..RawSettings::default() };
        let state_dir = config::load(config.as_deref(), flags, environment)?.ledger.state_dir;
        owner::become_owner_of(&state_dir, None)?;
        Ok(state_dir)
    }
}

fn new(name: &str, state_dir: &Path) -> Result<(), Error> {
    if !is_token_name(name) {
        return Err(Error::Name);
    }
    let mut secret = Zeroizing::new([0; TOKEN_BYTES]);
    getrandom::fill(secret.as_mut()).map_err(Error::Random)?;
    let token = Zeroizing::new(const_hex::encode(*secret));
    let mut change = Change::begin(state_dir)?;
    if !change.tokens.insert(name, TokenDigest::of(&token)) {
        return Err(Error::Exists { name: name.to_owned() });
    }
    change.commit()?;
    output::hand_over(&mut io::stdout(), Zeroizing::new(format!("{}\n", *token)).as_bytes())?;
    Ok(())
}

fn list(state_dir: &Path) -> Result<(), Error> {
    let tokens = ClientTokens::read(state_dir)?;
    let names: String = tokens.names().map(|name| format!("{name}\n")).collect();
    Ok(output::show(&mut io::stdout(), names)?)
}

fn remove(name: &str, state_dir: &Path) -> Result<(), Error> {
    let mut change = Change::begin(state_dir)?;
    if !change.tokens.remove(name) {
        return Err(Error::Unknown { name: name.to_owned() });
    }
    change.commit()
}

/// A new file of tokens beside the old one. One at a time: the second finds the first one's.
struct Change {
    tokens: ClientTokens,
    path: PathBuf,
    new_path: PathBuf,
    new_file: File,
}

impl Change {
    fn begin(state_dir: &Path) -> Result<Self, Error> {
        let path = ClientTokens::path(state_dir);
        let new_path = path.with_extension("new");
        let new_file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new_path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Busy { path: new_path });
            }
            Err(source) => return Err(Error::Write { path: new_path, source }),
        };
        let mut change = Self { tokens: ClientTokens::default(), path, new_path, new_file };
        // From here on the new file goes with the change.
        change.tokens = ClientTokens::read(state_dir)?;
        Ok(change)
    }

    /// Makes it durable.
    fn commit(mut self) -> Result<(), Error> {
        self.put_in_place().map_err(|source| Error::Write { path: self.path.clone(), source })
    }

    fn put_in_place(&mut self) -> io::Result<()> {
        self.new_file.write_all(self.tokens.to_text().as_bytes())?;
        self.new_file.sync_all()?;
        fs::rename(&self.new_path, &self.path)?;
        match self.path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        // After a commit there is none.
        let _ = fs::remove_file(&self.new_path);
    }
}

/// Why tokens could not be made, shown or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("configuration")]
    Configuration(#[from] config::Error),
    #[error(transparent)]
    Owner(#[from] owner::Error),
    #[error("a token's name has 1 to 32 letters, digits, dots, hyphens and underscores")]
    Name,
    #[error(
        "there is a token {name} already: remove it, or make one of another name and let the client take both"
    )]
    Exists { name: String },
    #[error(
        "there is no token of this name ({}): 'bls-signer token list' shows them",
        crate::text::OneLine(name)
    )]
    Unknown { name: String },
    #[error(
        "another bls-signer token is at work, or one was broken off: if none runs, remove {}",
        path.display()
    )]
    Busy { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the kernel gives no random numbers")]
    Random(#[source] getrandom::Error),
    #[error("cannot write the output")]
    Output(#[from] io::Error),
}

const TOKEN_BYTES: usize = 32;
