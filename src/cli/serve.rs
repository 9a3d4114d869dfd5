//! `bls-signer serve`: what systemd handed over, settings, logging, then the daemon.

use std::path::PathBuf;

use tracing::{info, warn};

use super::owner::{self, Became};
use super::{Error, packaged};
use crate::config::{Environment, RawSettings, Settings};
use crate::daemon;
use crate::logging::{self, LogSettings};
use crate::supervisor::activation::{self, Inherited};
use crate::sys::open_files;
use crate::text::chain;

/// The options of the daemon.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// Read options from this TOML file [default: $BLS_SIGNER_CONFIG, else none]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) settings: RawSettings,
}

/// Serves until the process is told to stop.
pub(super) fn run(options: Options, environment: &Environment) -> Result<(), Error> {
    let inherited = activation::inherit(environment)?;
    let settings = packaged::settings(options.config.as_deref(), options.settings, environment)?;
    serve(&settings, inherited, environment)
}

/// The same with settings from elsewhere, and what systemd handed over.
pub(super) fn serve(
    settings: &Settings,
    inherited: Inherited,
    environment: &Environment,
) -> Result<(), Error> {
    let became = owner::become_owner_of(&settings.ledger.state_dir, settings.ledger.tpm_device())?;
    let log = LogSettings { level: settings.log_level, audit: settings.audit, format: settings.log_format };
    logging::start(log, environment);
    if let Became::Owner(owner) = became {
        let directory = settings.ledger.state_dir.display();
        info!("root's rights are given up: this process is uid {owner} now, the owner of {directory}");
    }
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    if let Err(error) = open_files::make_room(settings.limits.connections) {
        warn!("{}", chain(&error));
    }
    daemon::run(settings, inherited, environment)?;
    Ok(())
}
