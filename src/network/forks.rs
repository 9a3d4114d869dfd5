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
    /// Inclusion lists (EIP-7805).
    Heze,
}

impl Fork {
    /// All forks, the oldest first.
    pub const ALL: [Self; 9] = [
        Self::Phase0,
        Self::Altair,
        Self::Bellatrix,
        Self::Capella,
        Self::Deneb,
        Self::Electra,
        Self::Fulu,
        Self::Gloas,
        Self::Heze,
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
            Self::Heze => "HEZE",
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
    /// The fork whose date lay ahead when it was written down: it may have been moved since.
    announced: Option<Fork>,
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
        Ok(Self { genesis_version, later, announced: None })
    }

    /// The forks after genesis, the oldest first.
    #[cfg(test)]
    pub(super) fn later(&self) -> &[LaterFork] {
        &self.later
    }

    /// A table of our own that is known to be in order (a test checks it).
    pub(super) fn in_order(
        genesis_version: ForkVersion,
        later: Vec<LaterFork>,
        announced: Option<Fork>,
    ) -> Self {
        Self { genesis_version, later, announced }
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

    /// The fork that a version belongs to; `None` when it is none of this network's. Of several the newest.
    pub fn by_version(&self, version: ForkVersion) -> Option<Fork> {
        if let Some(later) = self.later.iter().rev().find(|later| later.version == version) {
            return Some(later.fork);
        }
        (version == self.genesis_version).then_some(Fork::Phase0)
    }

    /// What the schedule says of a message of `epoch` under `version`, which its sender has active since `since`.
    pub(crate) fn judge(&self, version: ForkVersion, since: Epoch, epoch: Epoch) -> VersionStanding {
        let scheduled = self.at(epoch);
        let expected = self.version(scheduled).unwrap_or(self.genesis_version);
        if version == expected {
            return VersionStanding::Right { fork: scheduled };
        }
        let (last, begin) = self.last_settled();
        match self.by_version(version) {
            // What was announced has not come yet.
            Some(fork) if fork == last && begin <= epoch => VersionStanding::Right { fork },
            // A schedule without any date leaves all of them to the sender.
            Some(fork) if last < fork && (begin < since || last == Fork::Phase0) => {
                VersionStanding::Right { fork }
            }
            None if begin < since => VersionStanding::Newer,
            Some(_) | None => VersionStanding::Wrong { scheduled, expected },
        }
    }

    /// The newest fork whose date is settled, and from when it is active.
    fn last_settled(&self) -> (Fork, Epoch) {
        let settled = self.later.iter().rev().filter(|later| Some(later.fork) != self.announced);
        let mut dated = settled.filter_map(|later| later.epoch.map(|epoch| (later.fork, epoch)));
        dated.next().unwrap_or((Fork::Phase0, Epoch(0)))
    }
}

/// How a fork version of a message stands to a network's schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionStanding {
    /// It is the one of the message's epoch, or of a later fork that has no settled date here.
    Right {
        /// The fork that it belongs to.
        fork: Fork,
    },
    /// No fork here has it, and its sender has it active after the last one of the schedule.
    Newer,
    /// The schedule has another one at the message's epoch.
    Wrong {
        /// The fork that is active then.
        scheduled: Fork,
        /// Its version.
        expected: ForkVersion,
    },
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
    fn a_version_must_be_that_of_its_epoch_unless_the_schedule_ends_before() {
        let version = |fork: Fork| ForkVersion([fork as u8, 0, 0, 9]);
        let undated = LaterFork { epoch: None, ..later(Fork::Capella, 0) };
        let forks = vec![later(Fork::Altair, 10), later(Fork::Bellatrix, 20), undated];
        let forks = Forks::new(ForkVersion([0; 4]), forks).unwrap();
        let judge =
            |version: ForkVersion, since: u64, epoch: u64| forks.judge(version, Epoch(since), Epoch(epoch));
        let right = |fork: Fork| VersionStanding::Right { fork };
        let wrong =
            |fork: Fork| VersionStanding::Wrong { scheduled: fork, expected: forks.version(fork).unwrap() };
        let made_up = ForkVersion([0x98, 0, 0, 0]);
        for (given, since, epoch, standing) in [
            (ForkVersion([0; 4]), 0, 9, right(Fork::Phase0)),
            (version(Fork::Altair), 10, 10, right(Fork::Altair)),
            // Some clients give the message's own epoch.
            (version(Fork::Altair), 19, 19, right(Fork::Altair)),
            (version(Fork::Altair), 10, 20, wrong(Fork::Bellatrix)),
            (version(Fork::Bellatrix), 10, 19, wrong(Fork::Altair)),
            (version(Fork::Capella), 21, 25, right(Fork::Capella)),
            (version(Fork::Capella), 20, 25, wrong(Fork::Bellatrix)),
            (made_up, 21, 25, VersionStanding::Newer),
            (made_up, 20, 25, wrong(Fork::Bellatrix)),
            (made_up, 0, 5, wrong(Fork::Phase0)),
        ] {
            assert_eq!(judge(given, since, epoch), standing, "{given} since {since} at {epoch}");
        }
        let undated =
            Forks::new(ForkVersion([0; 4]), vec![LaterFork { epoch: None, ..later(Fork::Altair, 0) }]);
        let standing = undated.unwrap().judge(version(Fork::Altair), Epoch(0), Epoch(3));
        assert_eq!(standing, right(Fork::Altair));
    }

    #[test]
    fn an_announced_fork_may_come_later_or_earlier() {
        let version = |fork: Fork| ForkVersion([fork as u8, 0, 0, 9]);
        let forks = vec![later(Fork::Altair, 10), later(Fork::Bellatrix, 20)];
        let forks = Forks::in_order(ForkVersion([0; 4]), forks, Some(Fork::Bellatrix));
        for (fork, since, epoch, is_right) in [
            (Fork::Altair, 10, 25, true),
            (Fork::Bellatrix, 20, 25, true),
            (Fork::Bellatrix, 15, 16, true),
            (Fork::Bellatrix, 10, 16, false),
            (Fork::Altair, 0, 9, false),
        ] {
            let standing = forks.judge(version(fork), Epoch(since), Epoch(epoch));
            assert_eq!(
                standing == VersionStanding::Right { fork },
                is_right,
                "{fork} since {since} at {epoch}"
            );
        }
        assert_eq!(
            forks.judge(ForkVersion([0; 4]), Epoch(0), Epoch(25)),
            VersionStanding::Wrong { scheduled: Fork::Bellatrix, expected: version(Fork::Bellatrix) }
        );
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
