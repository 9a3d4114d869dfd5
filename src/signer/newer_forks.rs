//! Fork versions that requests name and the network's schedule does not have: signed all the same, with one warning.
//!
//! The schedule is as old as the program. A fork that got its date later must not cost duties, but an operator should
//! know that the clients are ahead of the signer.

use crate::duty::Duty;
use crate::mutex::Mutex;
use crate::network::Network;
use crate::primitives::ForkVersion;

/// The versions seen since the start.
#[derive(Default)]
pub(super) struct NewerForks(Mutex<Vec<ForkVersion>>);

impl NewerForks {
    /// Notes a duty that was signed; the first of its version is a warning in the log.
    pub(super) fn note(&self, duty: &Duty, network: &Network) {
        let Some(version) = duty.newer_version() else { return };
        let mut seen = self.0.lock();
        if seen.contains(&version) || seen.len() >= MAX_VERSIONS {
            return;
        }
        seen.push(version);
        tracing::warn!(
            fork_version = %version,
            "a client names fork version {version}, which is newer than the schedule of the network {} here: its \
             messages are signed; update bls-signer, or give it the chain's own config.yaml as network",
            network.name()
        );
    }

    /// The versions, for the health check.
    pub(super) fn seen(&self) -> Vec<String> {
        self.0.lock().iter().map(ForkVersion::to_string).collect()
    }
}

/// Any caller can make versions up; more of them are neither kept nor logged.
const MAX_VERSIONS: usize = 8;
