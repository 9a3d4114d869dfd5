//! The limit of open files, raised for the connections that we promise to take: the soft one is 1024 for historical
//! reasons only (select(2)), and a process may raise it up to the hard one by itself.

use std::num::NonZeroUsize;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit as far as that many connections need and as far as the hard limit lets it.
pub(crate) fn make_room(connections: NonZeroUsize) -> Result<(), Error> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(Error::Limit)?;
    let needed = u64::try_from(connections.get()).unwrap_or(u64::MAX).saturating_add(BESIDE_CONNECTIONS);
    if let Some(raised) = raised(soft, hard, needed) {
        setrlimit(Resource::RLIMIT_NOFILE, raised, hard).map_err(Error::Limit)?;
    }
    if hard < needed { Err(Error::Short { needed, hard }) } else { Ok(()) }
}

/// The soft limit to set, if it has to change.
fn raised(soft: u64, hard: u64, needed: u64) -> Option<u64> {
    let target = needed.min(hard);
    (soft < target).then_some(target)
}

/// There may be fewer connections than configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the limit of open files cannot be changed")]
    Limit(#[source] Errno),
    #[error(
        "{needed} open files are needed and {hard} allowed: raise LimitNOFILE= or lower --max-connections"
    )]
    Short { needed: u64, hard: u64 },
}

/// Listeners, the ledger's files, the runtime, and key files while they are read.
const BESIDE_CONNECTIONS: u64 = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    proptest! {
        #[test]
        fn the_limit_never_sinks_and_never_passes_the_hard_one(soft: u64, hard: u64, needed: u64) {
            let soft = soft.min(hard);
            let after = raised(soft, hard, needed).unwrap_or(soft);
            prop_assert!(after >= soft && after <= hard && after >= needed.min(hard));
        }
    }

    #[test]
    fn a_limit_that_cannot_be_met_is_said_with_what_to_do() {
        let error = make_room(NonZeroUsize::MAX).unwrap_err();
        assert!(matches!(error, Error::Short { .. }));
        assert!(error.to_string().contains("LimitNOFILE="));
    }
}
