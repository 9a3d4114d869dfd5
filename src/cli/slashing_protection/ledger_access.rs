//! Access to the ledger for a command: through the daemon that is named, else on its file, or through the daemon that
//! holds the file.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use hyper::Method;

use super::Error;
use crate::api::slashing_protection::CarryOut;
use crate::bls::PublicKey;
use crate::cli::client::ClientError;
use crate::cli::connect::{self, Daemon, KEYMANAGER_SOCKET};
use crate::cli::{owner, packaged};
use crate::config::{self, Environment, RawSettings};
use crate::ledger::{self, CounterChange, Counting, DirectoryId, Ledger, Loss, Missing, OpenError};
use crate::ledger_settings;
use crate::network::{GenesisClock, Network};
use crate::signer::LedgerAdmin;
use crate::wire::keymanager::{self, Data, ListedKey};
use crate::wire::slashing_protection::{Answered, PATH, Request};

/// Where the ledger is, which chain it is for, and whom to ask while it is in use.
#[derive(Args)]
pub(in crate::cli) struct LedgerArgs {
    /// Read options from this TOML file [default: $BLS_SIGNER_CONFIG, else for root the packaged daemon's, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the ledger [default: for root the packaged daemon's, else as for 'serve']
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Network of the validators: a name or the path of a consensus config.yaml [default: as for 'serve']
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    #[command(flatten)]
    connect: connect::Options,
}

impl LedgerArgs {
    /// Turns to the daemon that is named. Without one: opens the file, or turns to the packaged daemon while the file
    /// is in use.
    pub(super) fn open(self, missing: Missing, environment: &Environment) -> Result<LedgerAccess, Error> {
        self.open_after(Loss::Refuse, missing, environment)
    }

    /// The same to make or take away the ledger's counter, which has to be named.
    pub(super) fn open_for_counter(
        self,
        change: CounterChange,
        missing: Missing,
        environment: &Environment,
    ) -> Result<LedgerAccess, Error> {
        self.open_with(Loss::Refuse, Some(change), missing, environment)
    }

    /// The same for a ledger that may have lost commits. One that is in use has lost none.
    pub(super) fn open_after(
        self,
        loss: Loss,
        missing: Missing,
        environment: &Environment,
    ) -> Result<LedgerAccess, Error> {
        self.open_with(loss, None, missing, environment)
    }

    fn open_with(
        self,
        loss: Loss,
        change: Option<CounterChange>,
        missing: Missing,
        environment: &Environment,
    ) -> Result<LedgerAccess, Error> {
        if self.connect.is_named() {
            let directory = self.named_directory()?;
            let ledger = directory.map(known).transpose()?;
            return Ok(LedgerAccess::Named {
                daemon: self.connect.daemon(KEYMANAGER_SOCKET, environment)?,
                ledger,
            });
        }
        let (state_dir, config) = (self.state_dir.as_deref(), self.config.as_deref());
        let of_others = packaged::of_others(state_dir, config, environment);
        let environment = &packaged::packaged_environment(state_dir, config, environment);
        let flags =
            RawSettings { state_dir: self.state_dir, network: self.network, ..RawSettings::default() };
        let settings = config::load(self.config.as_deref(), flags, environment)?;
        let directory = settings.ledger.state_dir.clone();
        if let (Some(packaged), false) = (of_others, ledger::is_in(&directory)) {
            return Err(Error::OfTheService { packaged: packaged.to_owned(), own: directory });
        }
        let network = Box::new(Network::load(&settings.network)?);
        check_present(loss, &network)?;
        let holder = self.connect.daemon(KEYMANAGER_SOCKET, environment);
        if ledger::is_held(&directory) {
            return Ok(LedgerAccess::Holder { daemon: holder?, ledger: known(directory)? });
        }
        owner::become_owner_of(&directory, settings.ledger.tpm_device())?;
        let settings = ledger_settings::with_shared(&settings, &network, missing)?;
        let counting = match (change, settings.counting) {
            (None, counting) => counting,
            (Some(_), Counting::Off) => return Err(Error::NoCounter),
            (Some(change), Counting::On(counter) | Counting::Change(_, counter)) => {
                Counting::Change(change, counter)
            }
        };
        let opened = Ledger::open(ledger::Settings { loss, counting, ..settings });
        match opened {
            Ok(ledger) => Ok(LedgerAccess::File { ledger: Box::new(ledger), network, directory }),
            Err(OpenError::InUse { .. }) => {
                Ok(LedgerAccess::Holder { daemon: holder?, ledger: known(directory)? })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The state directory that an option names, or the file of one.
    fn named_directory(&self) -> Result<Option<PathBuf>, config::Error> {
        let (Some(config), None) = (&self.config, &self.state_dir) else { return Ok(self.state_dir.clone()) };
        match config::load(Some(config), RawSettings::default(), &Environment::default()) {
            Ok(settings) => Ok(Some(settings.ledger.state_dir)),
            // Without the user's environment there is no default: the file names none.
            Err(config::Error::NoStateDirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What is lifted after a loss has to be the present, as far as that is known: below lies what may have been signed,
/// and far above the keys would sign nothing.
fn check_present(loss: Loss, network: &Network) -> Result<(), Error> {
    let (Loss::Lift { slot, epoch }, Some(clock)) = (loss, GenesisClock::of(network)) else { return Ok(()) };
    let now = SystemTime::now();
    let (first, last) = (clock.present(now), clock.present(now.checked_add(A_WEEK).unwrap_or(now)));
    if (first.0..=last.0).contains(&slot) && (first.1..=last.1).contains(&epoch) {
        return Ok(());
    }
    Err(Error::NotThePresent { slot: first.0, epoch: first.1 })
}

/// A ledger's directory that was named, and which one that is.
pub(super) struct Known {
    directory: PathBuf,
    id: DirectoryId,
}

fn known(directory: PathBuf) -> Result<Known, Error> {
    match DirectoryId::of(&directory) {
        Ok(id) => Ok(Known { directory, id }),
        Err(source) => Err(Error::NoDirectory { directory, source }),
    }
}

/// Access to a ledger: on its file, or through a daemon.
pub(super) enum LedgerAccess {
    File {
        ledger: Box<Ledger>,
        network: Box<Network>,
        directory: PathBuf,
    },
    /// The one that was named, and the ledger that it has to have, if one was named as well.
    Named {
        daemon: Daemon,
        ledger: Option<Known>,
    },
    /// The one that may hold the ledger which is in use.
    Holder {
        daemon: Daemon,
        ledger: Known,
    },
}

impl LedgerAccess {
    /// Whether there was no ledger, and we created one.
    pub(super) fn is_new(&self) -> bool {
        match self {
            Self::File { ledger, .. } => ledger.opened().is_new,
            Self::Named { .. } | Self::Holder { .. } => false,
        }
    }

    /// Whether the daemon has the key; `None` if there is none.
    pub(super) fn holds(&self, public_key: &PublicKey) -> Result<Option<bool>, Error> {
        let daemon = match self {
            Self::File { .. } => return Ok(None),
            Self::Named { daemon, .. } | Self::Holder { daemon, .. } => daemon,
        };
        let listed = daemon.ask_for(Method::GET, keymanager::PATH, None)?;
        let Data { data: keys } =
            serde_json::from_value::<Data<ListedKey<'_>>>(listed).map_err(Error::Wire)?;
        let is_it = |key: &ListedKey<'_>| {
            key.validating_pubkey.parse().is_ok_and(|key: PublicKey| key == *public_key)
        };
        Ok(Some(keys.iter().any(is_it)))
    }

    pub(super) fn carry_out<O: CarryOut>(&self, order: O) -> Result<O::Answer, Error> {
        match self {
            Self::File { ledger, network, .. } => {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
                let admin = LedgerAdmin { ledger, network };
                Ok(runtime.map_err(Error::Runtime)?.block_on(order.carry_out(&admin))?)
            }
            Self::Named { daemon, ledger } => {
                ask(daemon, ledger.as_ref(), order).map_err(|error| match (error, ledger) {
                    (Error::Daemon(error), Some(ledger)) if error.is_conflict() => {
                        let (daemon, directory) = (daemon.to_string(), ledger.directory.clone());
                        Error::OtherLedger { daemon, directory }
                    }
                    (error, Some(_) | None) => error,
                })
            }
            Self::Holder { daemon, ledger } => {
                ask(daemon, Some(ledger), order).map_err(|error| match error {
                    Error::Daemon(error @ connect::Error::Client(ClientError::Connect { .. })) => {
                        Error::NoDaemon(error)
                    }
                    Error::Daemon(error) if error.is_conflict() => {
                        let (daemon, directory) = (daemon.to_string(), ledger.directory.clone());
                        Error::OtherHolder { daemon, directory }
                    }
                    error => error,
                })
            }
        }
    }
}

/// Asks the daemon, which refuses if it has another ledger.
fn ask<O: Answered>(daemon: &Daemon, ledger: Option<&Known>, order: O) -> Result<O::Answer, Error> {
    let request = Request { ledger: ledger.map(|ledger| ledger.id), order: order.into() };
    let request = serde_json::to_value(request).map_err(Error::Wire)?;
    let answer = daemon.ask_for(Method::POST, PATH, Some(&request))?;
    O::answer(serde_json::from_value(answer).map_err(Error::Wire)?).ok_or(Error::OtherAnswer)
}

impl fmt::Display for LedgerAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { directory, .. } => write!(f, "in {}", directory.display()),
            Self::Named { daemon, .. } | Self::Holder { daemon, .. } => {
                write!(f, "of the daemon at {daemon}")
            }
        }
    }
}

const A_WEEK: Duration = Duration::from_secs(7 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::slashing_protection::Status;

    #[test]
    fn only_where_nobody_was_named_and_nobody_is_there_a_daemon_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let nobody = directory.path().join("nobody.sock");
        let daemon = || {
            let options = connect::Options::default();
            options.daemon(nobody.to_str().unwrap(), &Environment::default()).ok().unwrap()
        };
        let order = Status { keys: Vec::new() };
        let ledger = known(directory.path().to_owned()).unwrap();
        let error = LedgerAccess::Holder { daemon: daemon(), ledger }.carry_out(order.clone()).unwrap_err();
        assert!(matches!(error, Error::NoDaemon(connect::Error::Client(ClientError::Connect { .. }))));
        let error = LedgerAccess::Named { daemon: daemon(), ledger: None }.carry_out(order).unwrap_err();
        assert!(matches!(error, Error::Daemon(connect::Error::Client(ClientError::Connect { .. }))));
    }
}
