//! `fork_info` of a request, held against the configured network: which chain a message is for, and which fork.
//!
//! A signature under a version that the chain does not have at the message's epoch is valid on no chain, and may cost
//! the duty: the true message would then contradict it. So where the schedule says which version holds, no other one
//! passes. Beyond the schedule's end the request has the word: a fork may have got its date after this program was
//! made.

use super::Refusal;
use super::domain::Domain;
use super::json::At;
use super::kind::DomainType;
use crate::network::{Fork, Network, VersionStanding};
use crate::primitives::{Epoch, ForkVersion, Root};

/// The chain of a request, and its versions around the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForkInfo<'n> {
    previous_version: ForkVersion,
    current_version: ForkVersion,
    epoch: Epoch,
    genesis_validators_root: Root,
    network: &'n Network,
}

/// The version that a message is signed under.
#[derive(Clone, Copy, Debug)]
pub(super) struct SigningVersion {
    pub(super) version: ForkVersion,
    /// The fork that the version belongs to; for a newer one the last that is known.
    pub(super) fork: Fork,
    /// The request's version if no fork of the network has it, so that the request alone vouches for it.
    pub(super) newer: Option<ForkVersion>,
}

/// A domain of one fork of one chain, and what the request said of both.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainDomain {
    pub(super) domain: Domain,
    pub(super) genesis_validators_root: Root,
    /// See [`SigningVersion`].
    pub(super) fork: Fork,
    /// See [`SigningVersion::newer`].
    pub(super) newer_version: Option<ForkVersion>,
}

impl<'n> ForkInfo<'n> {
    /// Reads the member `fork_info` of a request, which must name the network's chain.
    pub(super) fn read(request: &At<'_>, network: &'n Network) -> Result<Self, Refusal> {
        let fork_info = request.member("fork_info")?;
        let fork = fork_info.member("fork")?;
        let read = Self {
            previous_version: fork.member("previous_version")?.fork_version()?,
            current_version: fork.member("current_version")?.fork_version()?,
            epoch: fork.member("epoch")?.epoch()?,
            genesis_validators_root: fork_info.member("genesis_validators_root")?.root()?,
            network,
        };
        let requested = read.genesis_validators_root;
        match network.genesis_validators_root() {
            Some(configured) if configured != requested => Err(Refusal::OtherChain { requested, configured }),
            Some(_) | None => Ok(read),
        }
    }

    /// The version that holds at an epoch: the previous one before the fork (`get_domain`).
    pub(super) fn version_at(&self, epoch: Epoch) -> Result<SigningVersion, Refusal> {
        if epoch < self.epoch {
            return self.judged("previous_version", self.previous_version, epoch, epoch);
        }
        self.judged("current_version", self.current_version, self.epoch, epoch)
    }

    /// The version that an exit is signed under: Capella's once the chain has reached Deneb, whatever the exit's epoch
    /// (EIP-7044).
    pub(super) fn version_of_exit(&self, exit_epoch: Epoch) -> Result<SigningVersion, Refusal> {
        let forks = self.network.forks();
        let Some(capella) = forks.version(Fork::Capella) else { return self.version_at(exit_epoch) };
        let capella = SigningVersion { version: capella, fork: Fork::Capella, newer: None };
        let reached = self.epoch.max(exit_epoch);
        let is_at_deneb = forks.epoch(Fork::Deneb).is_some_and(|deneb| deneb <= reached);
        match forks.by_version(self.current_version) {
            Some(current) if current >= Fork::Deneb || is_at_deneb => Ok(capella),
            // Capella's own version is right for every exit today, so it is taken for any epoch.
            Some(_) if self.stated(exit_epoch) == capella.version => Ok(capella),
            Some(_) => self.version_at(exit_epoch),
            // A fork that this network does not know: newer than Deneb, or none.
            None => {
                let current = self.judged("current_version", self.current_version, self.epoch, reached)?;
                Ok(SigningVersion { newer: current.newer, ..capella })
            }
        }
    }

    /// The version that the request has at an epoch.
    fn stated(&self, epoch: Epoch) -> ForkVersion {
        if epoch < self.epoch { self.previous_version } else { self.current_version }
    }

    /// The domain of a message under a version.
    pub(super) fn domain(&self, kind: DomainType, version: SigningVersion) -> ChainDomain {
        let SigningVersion { version, newer, fork } = version;
        let genesis_validators_root = self.genesis_validators_root;
        let domain = Domain::new(kind, version, genesis_validators_root);
        ChainDomain { domain, genesis_validators_root, fork, newer_version: newer }
    }

    fn judged(
        &self,
        member: &str,
        version: ForkVersion,
        since: Epoch,
        epoch: Epoch,
    ) -> Result<SigningVersion, Refusal> {
        match self.network.forks().judge(version, since, epoch) {
            VersionStanding::Right { fork } => Ok(SigningVersion { version, fork, newer: None }),
            VersionStanding::Newer => {
                let fork = self.network.forks().at(epoch);
                Ok(SigningVersion { version, fork, newer: Some(version) })
            }
            VersionStanding::Wrong { scheduled, expected } => Err(Refusal::Invalid {
                field: format!("fork_info.fork.{member}"),
                problem: format!(
                    "is {version}, but the network {} has {expected} ({scheduled}) at epoch {epoch}: if its schedule \
                     has changed since this program was made, run the signer with the chain's own config.yaml",
                    self.network.name()
                ),
            }),
        }
    }
}
