//! The start order, from settings to serving.

use tracing::info;

use crate::config::{Environment, Settings};
use crate::supervisor::listeners;

/// Runs the daemon until it is told to stop.
pub(crate) fn run(settings: Settings, environment: &Environment) -> Result<(), Error> {
    let opened = listeners::open(&settings, environment)?;
    for listener in &opened.listeners {
        info!("listening: {}", listener.description);
    }
    Ok(())
}

/// Why the daemon does not start or does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Listen(#[from] listeners::Error),
}
