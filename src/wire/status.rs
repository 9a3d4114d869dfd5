//! `GET /bls-signer/v1/status`: what `bls-signer status` shows of a running daemon.
//!
//! Ours, not part of any standard. Names of clients and keys are for the operator, so keymanager listeners serve it.

use serde::{Deserialize, Serialize};

use super::health::Healthcheck;

/// The route.
pub(crate) const PATH: &str = "/bls-signer/v1/status";

/// How a daemon is, at a glance.
#[derive(Serialize, Deserialize)]
pub(crate) struct DaemonStatus {
    /// As `/healthcheck` has it; a check that is down says what is wrong and what to do.
    #[serde(flatten)]
    pub(crate) health: Healthcheck,
    pub(crate) version: String,
    pub(crate) network: String,
    pub(crate) uptime_seconds: u64,
    pub(crate) keys: Keys,
    /// The ledger's file; none with slashing protection off.
    pub(crate) ledger: Option<String>,
    /// The clients that the configuration names; none means everybody whom a listener lets in.
    pub(crate) clients: Vec<String>,
    /// Of groups of duties that were asked for since the start.
    pub(crate) duties: Vec<Duties>,
    /// The latest refusals and faults, the last one first.
    pub(crate) refusals: Vec<Refused>,
    /// None where nothing was asked for in the last ten minutes.
    pub(crate) latency: Option<Latency>,
}

/// Keys that can sign, by where they come from.
#[derive(Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) imported: usize,
    pub(crate) from_files: usize,
    /// Of sources that a fetcher reads; absent from daemons before there were any.
    #[serde(default)]
    pub(crate) fetched: usize,
}

/// What became of the duties of one group since the start.
#[derive(Serialize, Deserialize)]
pub(crate) struct Duties {
    pub(crate) duty: String,
    pub(crate) signed: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) last_signed_seconds_ago: Option<u64>,
}

/// Requests for one key that ended alike.
#[derive(Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) seconds_ago: u64,
    pub(crate) public_key: Option<String>,
    pub(crate) duty: Option<String>,
    /// The rule, by its name in counters and in the audit; `fault` for what failed here.
    pub(crate) rule: String,
    pub(crate) client: Option<String>,
    /// How often, of late.
    pub(crate) times: u64,
    pub(crate) reason: String,
}

/// Times from request to answer over the last ten minutes, in microseconds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) median: u64,
    /// Exceeded by one request in a hundred.
    pub(crate) p99: u64,
    pub(crate) slowest: u64,
}
