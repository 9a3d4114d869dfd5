//! Clock of the host for rustls, whose own panics on a time before 1970.

use std::time::SystemTime;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

#[derive(Debug)]
pub(super) struct HostClock;

impl HostClock {
    /// Before 1970 it is 1970, when no certificate is valid yet.
    pub(super) fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch(
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        )
    }
}

impl TimeProvider for HostClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}
