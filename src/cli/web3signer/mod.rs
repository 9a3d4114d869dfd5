//! `bls-signer web3signer`, and the program under the name `web3signer`: Web3Signer's command line, environment and
//! configuration file, for a signer that takes its place.

mod command_line;
mod fetch_sources;
mod given;
mod migration;
mod option;
mod reference;
mod table;
mod translation;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{FromArgMatches as _, Subcommand as _};

use self::command_line::{CommandLine, Information};
use self::given::Given;
pub(super) use self::migration::old_signer;
use self::option::Meaning;
use self::translation::Translation;
use super::{help, output, packaged, serve, slashing_protection};
use crate::config::{self, Environment, RawSettings, Settings};
use crate::ledger;
use crate::regular_file::FileError;
use crate::supervisor::activation;
use crate::text::Bounded;
use crate::yaml::YamlError;

/// What stands behind the name of the command.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Options and subcommands of Web3Signer; --help lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// The arguments of this process. A program that is called `web3signer` is the command of that name.
pub(super) fn arguments_of_process() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let is_alias = |program: &OsString| Path::new(program).file_name().is_some_and(|name| name == COMMAND);
    if arguments.first().is_some_and(is_alias) {
        arguments.insert(1, COMMAND.into());
    }
    arguments
}

/// Serves, or does to the ledger what a subcommand says.
pub(super) fn run(options: Options, environment: &Environment) -> Result<(), super::Error> {
    let CommandLine { mode, task, values, own, information } = CommandLine::parse(options.arguments)?;
    match information {
        Some(Information::Help) => {
            return help::show(&reference::help(), environment).map_err(super::Error::Output);
        }
        Some(Information::Version) => return print(concat!("bls-signer ", env!("CARGO_PKG_VERSION"), "\n")),
        None => {}
    }
    mode.ok_or(Error::NoMode)?;
    let given = Given::gather(values, environment)?;
    let mut translation = Translation::of(&given)?;
    let unknown = given::unknown_variables(environment);
    if !unknown.is_empty() {
        let names = Bounded(unknown.join(", "));
        translation
            .warnings
            .push(format!("variables that are no options of Web3Signer are passed over: {names}"));
    }
    let Some(words) = translation::history_words(task, &given)? else {
        let mut translation = translation.for_daemon(&given)?;
        translation.flags.extend(own.into_iter().map(|option| (option.clone(), option.into())));
        return serve(translation, given.is_on(Meaning::AbandonLedger)?, environment);
    };
    if let Some(option) = own.into_iter().next() {
        return Err(Error::NotOfATask { option }.into());
    }
    for warning in translation.warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let commands = clap::Command::new("slashing-protection").no_binary_name(true);
    let matches = slashing_protection::Command::augment_subcommands(commands).try_get_matches_from(words);
    let command = matches.and_then(|matches| slashing_protection::Command::from_arg_matches(&matches));
    let command = command.map_err(Error::Task)?;
    Ok(slashing_protection::run(command, environment, &mut io::stdout().lock())?)
}

fn serve(
    translation: Translation,
    abandons_ledger: bool,
    environment: &Environment,
) -> Result<(), super::Error> {
    let inherited = activation::inherit(environment)?;
    let flags = RawSettings::from_flags(translation.flags)?;
    let mut settings = packaged::settings(None, flags, environment)?;
    if !abandons_ledger {
        refuse_to_abandon_a_ledger(&settings)?;
    }
    settings.warnings.extend(translation.warnings);
    serve::serve(&settings, inherited, environment)
}

/// Signing without the ledger that knows what was signed is asked for twice.
fn refuse_to_abandon_a_ledger(settings: &Settings) -> Result<(), Error> {
    if settings.ledger.slashing_protection {
        return Ok(());
    }
    let directory = || settings.ledger.state_dir.clone();
    match fs::read_dir(&settings.ledger.state_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::HiddenLedger { directory: directory(), source }),
        Ok(_) if ledger::is_in(&settings.ledger.state_dir) => Err(Error::Ledger { directory: directory() }),
        Ok(_) => Ok(()),
    }
}

fn print(text: &str) -> Result<(), super::Error> {
    output::hand_over(&mut io::stdout().lock(), text).map_err(super::Error::Output)
}

/// Why a command line of Web3Signer's is not followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("an argument or a WEB3SIGNER_* variable is no UTF-8 text")]
    NoText,
    #[error(
        "{} is no option of Web3Signer {} and none of bls-signer: --help lists them",
        Bounded(origin),
        table::VERSION
    )]
    UnknownOption { origin: String },
    #[error("'{}' is not expected here: --help shows the form of the command line", Bounded(word))]
    UnknownWord { word: String },
    #[error("the subcommand is missing: write eth2 between the global options and those of eth2")]
    NoMode,
    #[error("eth1 signs transactions, which bls-signer does not: leave those keys with Web3Signer")]
    ExecutionLayer,
    #[error("{} has no value: write it as {}=VALUE", Bounded(origin), Bounded(origin))]
    NoValue { origin: String },
    #[error("{} is '{}': write true or false", Bounded(origin), Bounded(text))]
    NoSwitch { origin: String, text: String },
    #[error("{} is given twice: keep one of them", Bounded(origin))]
    Twice { origin: String },
    #[error("{} and {} are given together: keep one of them", Bounded(first), Bounded(second))]
    Conflict { first: String, second: String },
    #[error("{} is missing", missing)]
    Missing { missing: &'static str },
    #[error("{} is for a daemon, not for this subcommand: leave it out", Bounded(option))]
    NotOfATask { option: String },
    #[error("{} is refused: {instead}", Bounded(origin))]
    Refused { origin: String, instead: &'static str },
    #[error("cannot use the configuration file {}", path.display())]
    File { path: PathBuf, source: FileError },
    #[error("the configuration file {} says nothing: write options into it, or leave it out", path.display())]
    EmptyFile { path: PathBuf },
    #[error("the configuration file {}", path.display())]
    Yaml { path: PathBuf, source: YamlError },
    #[error(
        "the configuration file {} has '{}', which is no option of Web3Signer {}; those of eth2 begin with eth2. there",
        path.display(), Bounded(key), table::VERSION
    )]
    UnknownKey { path: PathBuf, key: String },
    #[error("the options of {} do not belong to a signer that is to be replaced: give its own alone", Bounded(.0))]
    NotTheDaemon(String),
    #[error("a value of a subcommand cannot be read: {}", Bounded(.0))]
    Task(clap::Error),
    #[error(
        "slashing protection is to be off, and there is a ledger in {} that knows what its keys have signed: leave \
         --slashing-protection-enabled=false out, or, to sign without it all the same, add --abandon-ledger=true",
        directory.display()
    )]
    Ledger { directory: PathBuf },
    #[error(
        "slashing protection is to be off, and whether there is a ledger in {} cannot be seen: let this user read it, \
         or add --abandon-ledger=true",
        directory.display()
    )]
    HiddenLedger { directory: PathBuf, source: io::Error },
    #[error("configuration")]
    Configuration(#[from] config::Error),
}

impl Error {
    /// Whether the arguments themselves cannot be read.
    pub(super) fn is_usage(&self) -> bool {
        match self {
            Self::NoText
            | Self::UnknownOption { .. }
            | Self::UnknownWord { .. }
            | Self::NoMode
            | Self::ExecutionLayer
            | Self::NoValue { .. }
            | Self::NoSwitch { .. }
            | Self::Twice { .. }
            | Self::Missing { .. }
            | Self::NotOfATask { .. }
            | Self::NotTheDaemon(_)
            | Self::Task(_) => true,
            Self::Conflict { .. }
            | Self::Refused { .. }
            | Self::File { .. }
            | Self::EmptyFile { .. }
            | Self::Yaml { .. }
            | Self::UnknownKey { .. }
            | Self::Ledger { .. }
            | Self::HiddenLedger { .. }
            | Self::Configuration(_) => false,
        }
    }
}

const COMMAND: &str = "web3signer";
