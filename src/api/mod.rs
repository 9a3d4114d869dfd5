//! Routes and what they do: one file a family of them.
//!
//! `routes` is the table of all of them, `service` the path of a request to its handler, and `problem` the one place
//! where a refusal or a fault becomes a status. Handlers read wire forms and write them; the work is done below.

mod fetched;
mod health;
pub(crate) mod high_watermark;
pub(crate) mod keystores;
pub(crate) mod metrics;
#[cfg(test)]
mod openapi;
pub(crate) mod problem;
pub(crate) mod public_keys;
pub(crate) mod reload;
pub(crate) mod routes;
pub(crate) mod service;
pub(crate) mod sign;
pub(crate) mod sign_batch;
mod sign_proof;
pub(crate) mod slashing_protection;
pub(crate) mod status;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use self::public_keys::WrittenLists;
use crate::config::{ClientSources, ExpectedKeys};
use crate::http::access::Access;
use crate::http::connection_counts::ConnectionCounts;
use crate::repetitions::Repetitions;
use crate::signer::Signer;

/// What the handlers work on: made once by the daemon and shared by all requests.
pub(crate) struct Api {
    pub(crate) signer: Arc<Signer>,
    pub(crate) access: Arc<Access>,
    pub(crate) client_sources: ClientSources,
    /// Held while the files of `access` and the clients are read again.
    pub(crate) reading_access: tokio::sync::Mutex<()>,
    pub(crate) public_keys: WrittenLists,
    /// Without which health is red, where a request says nothing else.
    pub(crate) expected_keys: ExpectedKeys,
    pub(crate) connections: Arc<ConnectionCounts>,
    pub(crate) started: Started,
    /// By the message that callers get.
    pub(crate) faults: Repetitions<String>,
}

/// When the daemon started, by the calendar and by a clock that nobody sets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started {
    pub(crate) at: SystemTime,
    pub(crate) clock: Instant,
}
