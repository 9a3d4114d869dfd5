//! Arguments to subcommand, one file each; and the one place where an error becomes a line on stderr and an exit
//! status.

mod check;
mod client;
mod client_config;
mod completions;
mod connect;
mod demo;
mod exit_status;
mod fetch;
mod help;
mod interchange_file;
mod keys;
mod ledger;
mod migrate;
mod old_signer;
mod output;
mod owner;
mod packaged;
mod program;
mod progress;
mod prompt;
mod serve;
mod slashing_protection;
mod status;
mod token;
mod units;
mod web3signer;

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{FromArgMatches as _, Parser, Subcommand};

pub(crate) use self::exit_status::ExitStatus;

use crate::config::{self, Environment};
use crate::daemon;
use crate::logging;
use crate::supervisor::activation;
use crate::sys::hardening;
use crate::text::chain;

/// Runs the program with the process's own arguments and environment.
pub fn run() -> ExitCode {
    // Before anything that may be a secret is read: a token can stand in the environment.
    let hardened = hardening::harden_process().map_err(daemon::Error::from);
    let environment = Environment::of_process();
    let matches = help::command().try_get_matches_from(web3signer::arguments_of_process());
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error, &environment),
    };
    let serves = matches!(arguments.command, None | Some(Command::Serve(_) | Command::Web3signer(_)));
    let outcome = hardened.map_err(Error::from).and_then(|()| carry_out(arguments, &environment));
    let status = match outcome {
        Ok(()) => ExitStatus::Ok,
        Err(error) => {
            let line = format!("bls-signer: {}", chain(&error));
            match serves {
                // A daemon ends though nobody reads what it says; a command waits for its reader.
                true => logging::say_last(&line, &environment),
                false => drop(writeln!(io::stderr(), "{}{line}", logging::stderr_prefix(&environment))),
            }
            error.exit_status()
        }
    };
    logging::flush();
    status.into()
}

fn carry_out(arguments: Arguments, environment: &Environment) -> Result<(), Error> {
    match arguments.command {
        None => serve::run(arguments.serve, environment),
        Some(Command::Serve(options)) => serve::run(*options, environment),
        Some(Command::Check(options)) => check::run(*options, environment),
        Some(Command::SlashingProtection(command)) => {
            slashing_protection::run(command, environment, &mut io::stdout().lock()).map_err(Error::from)
        }
        Some(Command::Backup(options)) => {
            slashing_protection::back_up(options, environment, &mut io::stdout().lock()).map_err(Error::from)
        }
        Some(Command::Restore(options)) => {
            slashing_protection::restore(options, environment, &mut io::stdout().lock()).map_err(Error::from)
        }
        Some(Command::Ledger(command)) => {
            ledger::run(command, environment, &mut io::stdout().lock()).map_err(Error::from)
        }
        Some(Command::Keys(command)) => keys::run(command, environment).map_err(Error::Keys),
        Some(Command::Token(command)) => token::run(command, environment).map_err(Error::from),
        Some(Command::Status(options)) => status::run(options, environment),
        Some(Command::Explain(options)) => {
            slashing_protection::explain(options, environment, &mut io::stdout().lock()).map_err(Error::from)
        }
        Some(Command::Fetch(options)) => match fetch::run(options)? {},
        Some(Command::ClientConfig(options)) => client_config::run(&options),
        Some(Command::Completions { shell }) => completions::run(shell),
        Some(Command::Web3signer(options)) => web3signer::run(options, environment),
        Some(Command::Migrate(command)) => migrate::run(command, environment).map_err(Error::Migrate),
        Some(Command::Demo { once }) => demo::run(once).map_err(Error::from),
    }
}

/// Remote BLS signer for Ethereum validators
///
/// Without a subcommand it serves, with the options of 'serve'. Each option NAME of 'serve' can also be given as the
/// environment variable BLS_SIGNER_NAME or in the TOML file of --config (or BLS_SIGNER_CONFIG), in capitals or small
/// letters and with _ for -. Flags win over the environment, and the environment over the file.
#[derive(Parser)]
#[command(name = "bls-signer", version, args_conflicts_with_subcommands = true, after_long_help = EXIT_STATUS)]
struct Arguments {
    #[command(flatten)]
    serve: serve::Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Hold keys and sign for validator clients until told to stop (the default)
    Serve(Box<serve::Options>),
    /// Check the configuration as 'serve' would use it, and say what would be served to whom
    ///
    /// Takes the options of 'serve'. Exits with status 0, or with 78 if the daemon would not start or would serve less
    /// than it was asked for. Sealed keys are opened; of other keystores only their form and that they have a password
    /// is looked at. For root, where the package is installed, it is about the packaged service, unless another state
    /// directory or configuration is named.
    Check(Box<serve::Options>),
    /// Bring slashing protection history in and out, see and lift watermarks
    ///
    /// With --connect the commands go to that daemon and to no file. Without, they go to the ledger's file, or, while a
    /// process has it open, to the packaged daemon's keymanager socket if that daemon holds this very directory.
    #[command(subcommand)]
    SlashingProtection(slashing_protection::Command),
    /// Write sealed keys and protection history to a file, of a running daemon, too
    ///
    /// The keys are encrypted under the seal secret, which is not in the file. Finds the ledger as
    /// 'slashing-protection' does.
    Backup(slashing_protection::BackupOptions),
    /// Make a ledger of a backup, where there is none or an empty one and no daemon runs
    ///
    /// Its next start lifts all watermarks to the present: what was signed after the backup is not in it.
    Restore(slashing_protection::BackupOptions),
    /// Make, check and see the ledger that several hosts share (--shared-ledger)
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// List, import and delete the keys of a running daemon, and change the secret that seals them
    #[command(subcommand)]
    Keys(keys::Command),
    /// Make, list and remove the tokens that clients are known by
    #[command(subcommand)]
    Token(token::Command),
    /// Show how a running daemon is: keys, ledger, clients, last duties and refusals, and what is wrong
    ///
    /// Asks the keymanager listener, or, where that does not let in, the signing one, which tells less. Exits with
    /// status 0 if all is well, with 1 if something is wrong, and with 69 if no daemon answers.
    Status(status::Options),
    /// Say what slashing protection has on record of a key, what it would refuse, and how to go on
    ///
    /// Asks the daemon that holds the ledger, or reads the file where none does.
    Explain(slashing_protection::ExplainOptions),
    /// Bring keys from vaults: bls-signer-fetch
    #[command(disable_help_flag = true)]
    Fetch(fetch::Options),
    /// Print the options of a validator client that signs here
    ClientConfig(client_config::Options),
    /// Print the completion script of a shell
    Completions { shell: clap_complete::Shell },
    /// Serve with Web3Signer's command line, to take its place
    ///
    /// Its variables and its configuration file count as well. The program under the name web3signer does the same.
    #[command(disable_help_flag = true)]
    Web3signer(web3signer::Options),
    /// Take over another signer's keys, history and options
    ///
    /// Shows what would be done; --apply does it, while neither runs. Every key is opened and sealed at once, its
    /// history is merged into the ledger, and the options that take the place of its own are shown, or written with
    /// --write-config. Refused while anybody answers where the old signer did. Run again, it changes nothing.
    #[command(subcommand)]
    Migrate(migrate::Command),
    /// Show the whole way of a key, from a keystore to verified signatures, with a daemon in a temporary directory
    Demo {
        /// End after the last step instead of serving until Ctrl-C
        #[arg(long)]
        once: bool,
    },
}

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("configuration")]
    Configuration(#[from] config::Error),
    #[error(transparent)]
    Activation(#[from] activation::Error),
    #[error(transparent)]
    Package(packaged::Error),
    #[error(transparent)]
    Owner(#[from] owner::Error),
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    #[error(transparent)]
    SlashingProtection(#[from] slashing_protection::Error),
    #[error("the daemon would not do what it is configured for: {problems} marked WRONG above")]
    Check { problems: usize },
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error(transparent)]
    Keys(keys::Error),
    #[error(transparent)]
    Token(#[from] token::Error),
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    #[error(transparent)]
    Status(connect::Error),
    #[error("the daemon says that it is not well: see what is WRONG above")]
    Unhealthy,
    #[error("what answers there does not say that it is well, as a bls-signer does: is it one?")]
    NoHealth,
    #[error(transparent)]
    Web3Signer(#[from] web3signer::Error),
    #[error(transparent)]
    Migrate(migrate::Error),
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    #[error("demo")]
    Demo(#[from] demo::DemoError),
}

impl From<packaged::Error> for Error {
    fn from(error: packaged::Error) -> Self {
        match error {
            packaged::Error::Configuration(error) => Self::Configuration(error),
            two @ packaged::Error::TwoLedgers { .. } => Self::Package(two),
        }
    }
}

/// Help and version go to stdout with status 0, anything else to stderr with status 2.
fn usage(error: &clap::Error, environment: &Environment) -> ExitCode {
    let is_help = error.kind() == ErrorKind::DisplayHelp;
    let _ = match is_help && io::stdout().is_terminal() {
        true => help::show(&error.render().ansi().to_string(), environment),
        false => error.print(),
    };
    if error.use_stderr() { ExitStatus::Usage.into() } else { ExitStatus::Ok.into() }
}

const EXIT_STATUS: &str = "\
Exit status:
  0   done
  1   a fault: trying again may help
  2   arguments that cannot be read
  69  status: no daemon answers
  75  another process has the state directory
  78  a configuration that cannot be used: trying again does not help";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from([&["bls-signer"], arguments].concat())
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default() {
        let arguments = parse(&["--port", "9000"]).ok().unwrap();
        assert!(arguments.command.is_none());
        assert_eq!(arguments.serve.settings.port, Some(9000));
        let Some(Command::Serve(options)) = parse(&["serve", "--port=9000"]).ok().unwrap().command else {
            panic!("not serve");
        };
        assert_eq!(options.settings.port, Some(9000));
        assert!(parse(&["--port", "9000", "serve"]).is_err());
    }

    #[test]
    fn a_switch_may_stand_alone_and_takes_no_other_argument_for_its_value() {
        use crate::config::Switch;
        let switch = |arguments: &[&str]| parse(arguments).ok().unwrap().serve.settings.require_ledger;
        assert_eq!(switch(&["--require-ledger"]), Some(Switch::On));
        assert_eq!(switch(&["--require-ledger=off"]), Some(Switch::Off));
        assert_eq!(switch(&["--require-ledger", "--port", "1"]), Some(Switch::On));
        assert_eq!(switch(&[]), None);
    }

    #[test]
    fn listeners_add_up() {
        let arguments = parse(&["--listen", "signing=unix:/a", "--listen=keymanager=unix:/b"]).ok().unwrap();
        assert_eq!(arguments.serve.settings.listen.unwrap().len(), 2);
    }

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let path = "/nonexistent/config.toml".into();
        let source = io::Error::from(io::ErrorKind::NotFound);
        let error = Error::from(config::Error::Read { what: "the configuration file", path, source });
        assert_eq!(
            chain(&error),
            "configuration: cannot read the configuration file /nonexistent/config.toml: entity not found"
        );
        assert_eq!(error.exit_status(), ExitStatus::Configuration);
    }

    #[test]
    fn help_shows_no_value_of_the_environment() {
        let help = Arguments::command().render_long_help().to_string();
        assert!(help.contains("--auth-token") && !help.contains("[env"), "{help}");
    }
}
