//! Outcome of a signing request: all that is known of its end.

use std::fmt;
use std::time::{Duration, Instant};

use tracing::field::DisplayValue;

use super::Grant;
use super::error::SignError;
use crate::bls::PublicKey;
use crate::caller::Caller;
use crate::clients::ClientName;
use crate::duty::Duty;
use crate::metrics::named_variants;

/// The end of a signing request for one key, or for all its keys where it failed as a whole.
pub(crate) struct Outcome<'a> {
    pub(crate) grant: &'a Grant<'a>,
    /// None where no public key was named, and where the request failed for all keys.
    pub(crate) public_key: Option<PublicKey>,
    /// None where the body was no duty.
    pub(crate) duty: Option<&'a Duty>,
    /// None where it was signed.
    pub(crate) error: Option<&'a SignError>,
    pub(crate) latencies: Latencies,
}

impl Outcome<'_> {
    /// The verdict, as a counter or a log calls it.
    pub(crate) fn kind(&self) -> OutcomeKind {
        self.error.map_or(OutcomeKind::Signed, SignError::kind)
    }

    pub(super) fn caller(&self) -> &Caller {
        self.grant.requester.caller
    }

    /// The client's name, where clients are named.
    pub(super) fn client_name(&self) -> Option<&ClientName> {
        self.grant.client_name()
    }

    /// The same for the log.
    pub(super) fn client(&self) -> Option<DisplayValue<&ClientName>> {
        self.client_name().map(tracing::field::display)
    }
}

named_variants! {
    /// The verdict on a signing request.
    pub(crate) enum OutcomeKind {
        Signed = "signed",
        /// The body is no duty, or one of another chain.
        NoDuty = "no-duty",
        UnknownKey = "unknown-key",
        /// It is not the client's key; the caller is told that it is unknown.
        ForeignKey = "foreign-key",
        /// By policy.
        Forbidden = "forbidden",
        /// By slashing protection.
        Slashable = "slashable",
        Fault = "fault",
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How long each step took; zero for those that were not reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latencies {
    /// From the body to the duty.
    pub(crate) parse: Duration,
    /// The key, the policy and slashing protection's judgement.
    pub(crate) judge: Duration,
    /// The multiplication, with the wait for a core.
    pub(crate) multiply: Duration,
    /// The rest of the wait for the record.
    pub(crate) wait: Duration,
}

/// Times steps that follow each other.
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the last lap.
    pub(super) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.saturating_duration_since(std::mem::replace(&mut self.0, now))
    }
}
