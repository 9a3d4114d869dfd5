//! Runtime that everything asynchronous runs on, and the signals that end it.

use std::num::NonZeroUsize;
use std::thread;

use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::Error;

/// The runtime: connections and what waits.
///
/// Reading a request and sending its answer take a tenth of the time of its signature. With a thread for it on every
/// core, those would mostly wake each other and get in the way of the signing threads
/// ([`SigningPool`](crate::signer::pool::SigningPool)).
pub(crate) fn runtime() -> Result<Runtime, Error> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = cores.div_ceil(CORES_PER_CONNECTION_THREAD);
    runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(Error::Runtime)
}

/// Resolves at SIGTERM or SIGINT. Call it within a runtime; from then on the signals do not kill the process.
pub(crate) fn terminated() -> Result<impl Future<Output = ()>, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// One thread serves the connections of so many signing cores.
const CORES_PER_CONNECTION_THREAD: usize = 4;

/// Threads for what blocks: imports (`http::capacity` bounds them), reloads, a look at the ledger's directory.
const BLOCKING_THREADS: usize = 16;
