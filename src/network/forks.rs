//! The forks of the consensus layer and a network's schedule of them.

use std::fmt;

use super::NetworkError;
use crate::primitives::{Epoch, ForkVersion};

/// A fork of the consensus layer, in order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fork {
    /// Genesis.
    Phase0,
    /// Sync committees.
    Altair,
    /// The merge.
    Bellatrix,
    /// Withdrawals.
    Capella,
    /// Blobs; exits are signed under Capella's version from here on (EIP-7044).
    Deneb,
    /// Aggregates over committees (EIP-7549).
    Electra,
    /// Data columns.
    Fulu,
    /// Proposer-builder separation (EIP-7732), progressive hashing.
    Gloas,
}

impl Fork {
    /// All forks, the oldest first.
    pub const ALL: [Self; 8] = [
        Self::Phase0,
        Self::Altair,
        Self::Bellatrix,
        Self::Capella,
        Self::Deneb,
        Self::Electra,
        Self::Fulu,
        Self::Gloas,
    ];

    /// The fork of a name as the signing API writes it in `version`: upper case, matched exactly.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fork| fork.name() == name)
    }

    /// The name in upper case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Phase0 => "PHASE0",
            Self::Altair => "ALTAIR",
            Self::Bellatrix => "BELLATRIX",
            Self::Capella => "CAPELLA",
            Self::Deneb => "DENEB",
            Self::Electra => "ELECTRA",
            Self::Fulu => "FULU",
            Self::Gloas => "GLOAS",
        }
    }
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A network's forks: versions, and the epochs from which they are active.
///
/// The epochs never decrease, and a fork that is scheduled has every earlier one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forks {
    genesis_version: ForkVersion,
    /// After genesis, in order of time.
    later: Vec<LaterFork>,
}

/// A fork after genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaterFork {
    pub(super) fork: Fork,
    pub(super) version: ForkVersion,
    /// `None`: not scheduled.
    pub(super) epoch: Option<Epoch>,
}

impl Forks {
    /// Checks the order of `later`, which lists each known fork after genesis at most once, the oldest first.
    pub(super) fn new(genesis_version: ForkVersion, later: Vec<LaterFork>) -> Result<Self, NetworkError> {
        let mut active = Epoch(0);
        for (fork, earlier) in Fork::ALL.into_iter().skip(1).zip(Fork::ALL) {
            let Some(later_epoch) = epoch_in(&later, fork) else { continue };
            let wrong_order =
                |problem| NetworkError::ForkOrder { later: fork, later_epoch, earlier, problem };
            if earlier != Fork::Phase0 && epoch_in(&later, earlier).is_none() {
                return Err(wrong_order("is not scheduled"));
            }
            if later_epoch < active {
                return Err(wrong_order("starts later"));
            }
            active = later_epoch;
        }
        Ok(Self { genesis_version, later })
    }

    /// The forks after genesis, the oldest first.
    #[cfg(test)]
    pub(super) fn later(&self) -> &[LaterFork] {
        &self.later
    }

    /// A table of our own that is known to be in order (a test checks it).
    pub(super) fn in_order(genesis_version: ForkVersion, later: Vec<LaterFork>) -> Self {
        Self { genesis_version, later }
    }

    /// The version at genesis.
    pub fn genesis_version(&self) -> ForkVersion {
        self.genesis_version
    }

    /// The fork that is active at an epoch.
    pub fn at(&self, epoch: Epoch) -> Fork {
        let active = self.later.iter().rev().find(|later| later.epoch.is_some_and(|start| start <= epoch));
        active.map_or(Fork::Phase0, |later| later.fork)
    }

    /// The epoch from which a fork is active; `None` while it is not scheduled.
    pub fn epoch(&self, fork: Fork) -> Option<Epoch> {
        if fork == Fork::Phase0 { Some(Epoch(0)) } else { epoch_in(&self.later, fork) }
    }

    /// A fork's version; `None` when this network does not know the fork.
    pub fn version(&self, fork: Fork) -> Option<ForkVersion> {
        if fork == Fork::Phase0 {
            return Some(self.genesis_version);
        }
        self.later.iter().find(|later| later.fork == fork).map(|later| later.version)
    }

    /// The fork that a version belongs to; `None` when it is none of this network's.
    pub fn by_version(&self, version: ForkVersion) -> Option<Fork> {
        if version == self.genesis_version {
            return Some(Fork::Phase0);
        }
        self.later.iter().find(|later| later.version == version).map(|later| later.fork)
    }
}

fn epoch_in(later: &[LaterFork], fork: Fork) -> Option<Epoch> {
    later.iter().find(|entry| entry.fork == fork).and_then(|entry| entry.epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(fork: Fork, epoch: u64) -> LaterFork {
        LaterFork { fork, version: ForkVersion([fork as u8, 0, 0, 9]), epoch: Some(Epoch(epoch)) }
    }

    #[test]
    fn names_are_upper_case_and_matched_exactly() {
        for fork in Fork::ALL {
            assert_eq!(Fork::by_name(fork.name()), Some(fork));
            assert_eq!(Fork::by_name(&fork.name().to_lowercase()), None);
        }
    }

    #[test]
    fn epochs_that_go_backwards_are_refused() {
        let error = Forks::new(ForkVersion([0; 4]), vec![later(Fork::Altair, 5), later(Fork::Bellatrix, 4)]);
        assert!(error.unwrap_err().to_string().contains("BELLATRIX"));
    }

    #[test]
    fn a_skipped_fork_is_refused() {
        let error = Forks::new(ForkVersion([0; 4]), vec![later(Fork::Altair, 0), later(Fork::Deneb, 4)]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "the fork DENEB cannot be active from epoch 4: CAPELLA before it is not scheduled"
        );
    }

    #[test]
    fn of_forks_that_start_together_the_newest_is_active() {
        let forks =
            Forks::new(ForkVersion([0; 4]), vec![later(Fork::Altair, 0), later(Fork::Bellatrix, 0)]).unwrap();
        assert_eq!(forks.at(Epoch(0)), Fork::Bellatrix);
    }
}
