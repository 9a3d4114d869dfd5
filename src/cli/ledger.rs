//! `bls-signer ledger`: the ledger that several hosts share.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Subcommand;

use super::{output, owner, packaged};
use crate::config::{self, Durability, Environment, RawSettings, SharedLedgerAddress, SharedLedgerSettings};
use crate::ledger::HighWatermark;
use crate::ledger::postgres::{self, Report, Servers};
use crate::network::{GenesisClock, NamedRoot, Network, NetworkError};
use crate::primitives::Root;

/// What to do with the shared ledger.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make the shared ledger in a database, with the role bls_signer for the daemons
    ///
    /// Run it as the owner of the database, who may make roles. A ledger that is there stays.
    Init {
        /// The database, with the owner's role: postgres://OWNER@/DATABASE?host=/DIRECTORY
        #[arg(value_name = "ADDRESS", required_unless_present = "print")]
        address: Option<String>,
        #[command(flatten)]
        network: OfNetwork,
        /// Genesis validators root of a network whose own is not known: 0x and 64 hexadecimal digits
        #[arg(long, value_name = "ROOT", value_parser = root)]
        genesis_validators_root: Option<Root>,
        #[command(flatten)]
        password: Password,
        /// Only print the SQL, for the administrator of the database
        #[arg(long)]
        print: bool,
    },
    /// Check the database as the daemon would use it, and time some commits
    Check {
        #[command(flatten)]
        daemon: AsDaemon,
    },
    /// Show what the shared ledger has
    Status {
        #[command(flatten)]
        daemon: AsDaemon,
    },
    /// Go on with a shared ledger that has lost records: nothing below the present is signed with any key
    ///
    /// Run it as the owner, when the database is the one to go on with. It costs an epoch or two of attestations.
    AcceptLoss {
        /// The database, with the owner's role: postgres://OWNER@/DATABASE?host=/DIRECTORY
        #[arg(value_name = "ADDRESS")]
        address: String,
        #[command(flatten)]
        network: OfNetwork,
        #[command(flatten)]
        password: Password,
    },
}

#[derive(clap::Args)]
pub(super) struct OfNetwork {
    /// Network of the validators: a name or the path of a consensus config.yaml
    #[arg(long, value_name = "NETWORK")]
    network: String,
}

#[derive(clap::Args)]
pub(super) struct Password {
    /// Password of the role [default: none, for peer authentication]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Certificate authorities (PEM) of the servers [default: none, for this machine]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct AsDaemon {
    /// The database, with the daemon's role [default: shared_ledger, as for 'serve']
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    /// Read options from this TOML file [default: $BLS_SIGNER_CONFIG, else for root the packaged daemon's, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs one command.
pub(super) fn run(command: Command, environment: &Environment, out: &mut dyn Write) -> Result<(), Error> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let text = match command {
        Command::Init { address, network, genesis_validators_root, password, print } => {
            let chain = chain(&Network::load(&network.network)?, genesis_validators_root)?;
            match address.filter(|_| !print) {
                None => postgres::statements(chain),
                Some(address) => {
                    let servers = Servers::of(&owner(&address, password)?)?;
                    runtime.block_on(postgres::initialize(&servers, chain))?;
                    format!("the shared ledger is there, for {}\n", NamedRoot(chain))
                }
            }
        }
        Command::Check { daemon } => {
            let settings = daemon.settings(environment)?;
            let report = runtime.block_on(postgres::report(&Servers::of(&settings)?, PROBES))?;
            let wrong = wrong(&report, settings.durability);
            let text = described(&report) + &timed(&report.commits) + &wrong.concat();
            output::show(out, &text).map_err(Error::Output)?;
            return if wrong.is_empty() { Ok(()) } else { Err(Error::Wrong { problems: wrong.len() }) };
        }
        Command::Status { daemon } => {
            let servers = Servers::of(&daemon.settings(environment)?)?;
            described(&runtime.block_on(postgres::report(&servers, 0))?)
        }
        Command::AcceptLoss { address, network, password } => {
            let clock = GenesisClock::of(&Network::load(&network.network)?).ok_or(Error::NoGenesis)?;
            // Clocks of other hosts may be ahead of this one.
            let now = SystemTime::now();
            let (slot, epoch) = clock.present(now.checked_add(CLOCK_DIFFERENCE).unwrap_or(now));
            let servers = Servers::of(&owner(&address, password)?)?;
            runtime.block_on(postgres::accept_loss(&servers, slot, epoch))?;
            format!("the loss is accepted: nothing up to slot {slot} and epoch {epoch} is signed\n")
        }
    };
    output::show(out, &text).map_err(Error::Output)
}

impl AsDaemon {
    /// The daemon's, whose user root becomes: the database may know it by that.
    fn settings(self, environment: &Environment) -> Result<SharedLedgerSettings, Error> {
        let environment = &packaged::packaged_environment(None, self.config.as_deref(), environment);
        let flags = RawSettings { shared_ledger: self.address, ..RawSettings::default() };
        let ledger = config::load(self.config.as_deref(), flags, environment)?.ledger;
        let shared = ledger.shared.ok_or(Error::NoAddress)?;
        owner::become_owner_of(&ledger.state_dir, None)?;
        Ok(shared)
    }
}

/// What tells the network from all others: as it is known, or as the caller says.
fn chain(network: &Network, said: Option<Root>) -> Result<Root, Error> {
    match (network.genesis_validators_root(), said) {
        (Some(known), Some(said)) if known != said => Err(Error::OtherGenesis { known, said }),
        (Some(chain), _) | (None, Some(chain)) => Ok(chain),
        (None, None) => Err(Error::NoGenesisRoot),
    }
}

fn root(text: &str) -> Result<Root, const_hex::FromHexError> {
    const_hex::decode_to_array(text).map(Root)
}

fn owner(address: &str, password: Password) -> Result<SharedLedgerSettings, Error> {
    let address: SharedLedgerAddress = address.parse().map_err(config::Error::from)?;
    let Password { password_file, ca } = password;
    let settings = SharedLedgerSettings::new(address, Durability::default(), password_file, ca);
    Ok(settings.map_err(config::Error::from)?)
}

fn described(report: &Report) -> String {
    let HighWatermark { slot, epoch } = report.high_watermark;
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        // A String takes everything.
        let _ = writeln!(text, "{name:<16}  {value}");
    };
    line("ledger", &report.ledger_id);
    line("schema", &report.schema_version);
    line("chain", &NamedRoot(report.chain));
    line("keys", &report.keys);
    line("deleted keys", &report.deleted_keys);
    line("replicated", &if report.is_replicated { "yes" } else { "no" });
    line("losses accepted", &report.losses_accepted);
    if let Some(slot) = slot {
        line("stops at slot", &slot);
    }
    if let Some(epoch) = epoch {
        line("stops at epoch", &epoch);
    }
    text
}

/// `commits` from the shortest to the longest.
fn timed(commits: &[Duration]) -> String {
    let middle = commits.get(commits.len().checked_div(2).unwrap_or_default());
    let of = |duration: Option<&Duration>| duration.copied().unwrap_or_default();
    format!("{:<16}  {:?} half of them, {:?} at most\n", "a commit", of(middle), of(commits.last()))
}

fn wrong(report: &Report, durability: Durability) -> Vec<String> {
    let unreplicated = match durability {
        Durability::Replicated => (!report.is_replicated).then_some(
            "WRONG: commits are not replicated synchronously: set synchronous_standby_names, synchronous_commit = on, \
             fsync = on\n",
        ),
        Durability::Engine => None,
    };
    let too_much = report.may_delete.then_some("WRONG: this role may delete records: use bls_signer\n");
    unreplicated.into_iter().chain(too_much).map(str::to_owned).collect()
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("configuration")]
    Configuration(#[from] config::Error),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Owner(#[from] owner::Error),
    #[error(transparent)]
    SharedLedger(#[from] postgres::Error),
    #[error(
        "the network's genesis is not known: name one of the known networks, or a config.yaml that says it"
    )]
    NoGenesis,
    #[error(
        "the network's genesis validators root is not known: give it by --genesis-validators-root, as a beacon node \
         answers it to GET /eth/v1/beacon/genesis"
    )]
    NoGenesisRoot,
    #[error(
        "--genesis-validators-root is {said}, and the network's is {}: leave the option out, or name the network that \
         is meant",
        NamedRoot(*known)
    )]
    OtherGenesis { known: Root, said: Root },
    #[error("there is no shared ledger: give its address, or set shared_ledger")]
    NoAddress,
    #[error("the shared ledger cannot be used as it is: {problems} marked WRONG above")]
    Wrong { problems: usize },
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

/// Commits that are timed.
const PROBES: usize = 20;
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_s_own_root_counts_and_one_of_an_unknown_network_is_what_the_caller_says() {
        let said = Root([7; 32]);
        let hoodi = Network::by_name("hoodi").unwrap();
        let known = hoodi.genesis_validators_root().unwrap();
        assert_eq!(chain(&hoodi, None).unwrap(), known);
        assert_eq!(chain(&hoodi, Some(known)).unwrap(), known);
        let error = chain(&hoodi, Some(said)).unwrap_err().to_string();
        assert!(
            error.contains(&said.to_string()) && error.contains(&NamedRoot(known).to_string()),
            "{error}"
        );
        let minimal = Network::by_name("minimal").unwrap();
        assert_eq!(chain(&minimal, Some(said)).unwrap(), said);
        assert!(matches!(chain(&minimal, None), Err(Error::NoGenesisRoot)));
        assert_eq!(root(&said.to_string()).unwrap(), said);
        assert!(root("0x07").is_err());
    }
}
