//! Which chain the daemon signs for: preset, fork schedule, fork versions, genesis.
//!
//! A network decides four things about a signature: how slots map to epochs, which lengths enter a hash tree root,
//! under which version exits and registrations are signed, and which layout an aggregate without a version has. It
//! is read once at the start, from a built-in name or from a `config.yaml` of the consensus specifications.

mod builtin;
mod clock;
mod config_yaml;
mod forks;
mod named_root;
mod preset;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::primitives::{Epoch, ForkVersion, Root, Slot};
use crate::regular_file::RegularFile;
use crate::text::Bounded;
use crate::yaml::YamlError;

pub(crate) use clock::GenesisClock;
pub(crate) use forks::VersionStanding;
pub use forks::{Fork, Forks};
pub(crate) use named_root::NamedRoot;
pub(crate) use preset::MAX_VALIDATORS_PER_COMMITTEE;
pub use preset::Preset;

/// A chain's parameters, as far as a signer needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    name: String,
    preset: Preset,
    forks: Forks,
    slot_duration: Option<Duration>,
    genesis_time: Option<u64>,
    genesis_validators_root: Option<Root>,
}

impl Network {
    /// The network that an operator asked for: a built-in name, else the path of a `config.yaml`.
    ///
    /// What has a `/` or ends in `.yaml` or `.yml` is a path; anything else must be a name.
    pub fn load(name_or_path: &str) -> Result<Self, NetworkError> {
        if let Some(network) = Self::by_name(name_or_path) {
            return Ok(network);
        }
        if name_or_path.contains("://") {
            return Err(NetworkError::Url(name_or_path.to_owned()));
        }
        if !looks_like_a_path(name_or_path) {
            return Err(NetworkError::UnknownName(name_or_path.to_owned()));
        }
        let path = Path::new(name_or_path);
        let text =
            read_config(path).map_err(|source| NetworkError::Unreadable { path: path.to_owned(), source })?;
        Self::from_config_yaml(&text)
            .map_err(|source| NetworkError::Config { path: path.to_owned(), source: Box::new(source) })
    }

    /// A built-in network by its name (lower case); [`Network::names`] lists them.
    pub fn by_name(name: &str) -> Option<Self> {
        builtin::NETWORKS.iter().find(|network| network.name == name).map(builtin::Builtin::to_network)
    }

    /// The name of the built-in network that has this genesis validators root.
    pub fn name_of_root(root: Root) -> Option<&'static str> {
        let has_root = |network: &&builtin::Builtin| network.genesis_validators_root() == Some(root);
        builtin::NETWORKS.iter().find(has_root).map(|network| network.name)
    }

    /// The names that [`Network::by_name`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        builtin::NETWORKS.iter().map(|network| network.name)
    }

    /// Reads a `config.yaml` of the consensus specifications (`configs/mainnet.yaml` and its like).
    ///
    /// `PRESET_BASE`, `GENESIS_FORK_VERSION` and, for each fork that is named, both `*_FORK_VERSION` and
    /// `*_FORK_EPOCH` are needed; `CONFIG_NAME`, `SLOT_DURATION_MS` and `SECONDS_PER_SLOT` are used when present;
    /// constants of the preset must be the preset's where they are given; every other key is ignored. Such a file says
    /// neither the genesis time nor the genesis validators root.
    pub fn from_config_yaml(text: &str) -> Result<Self, NetworkError> {
        config_yaml::parse(text)
    }

    /// The name: built in, or the file's `CONFIG_NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The preset: the constants that are the same on all networks of a kind.
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// The forks, their versions and when they become active.
    pub fn forks(&self) -> &Forks {
        &self.forks
    }

    /// The length of a slot, if known.
    pub fn slot_duration(&self) -> Option<Duration> {
        self.slot_duration
    }

    /// The genesis time in Unix seconds, if known.
    pub fn genesis_time(&self) -> Option<u64> {
        self.genesis_time
    }

    /// The root that tells this chain from all others, if known.
    pub fn genesis_validators_root(&self) -> Option<Root> {
        self.genesis_validators_root
    }

    /// The version of the chain's first fork: the domain of deposits and registrations.
    pub fn genesis_fork_version(&self) -> ForkVersion {
        self.forks.genesis_version()
    }

    /// The epoch that a slot belongs to (`compute_epoch_at_slot`).
    pub fn epoch_at(&self, slot: Slot) -> Epoch {
        Epoch(slot.0 / self.preset.slots_per_epoch())
    }

    /// The fork that the schedule has active at a slot.
    pub fn fork_at(&self, slot: Slot) -> Fork {
        self.forks.at(self.epoch_at(slot))
    }
}

/// Why there is no network to sign for.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Neither a name we know nor a path.
    #[error("unknown network {0:?}: known names are {names}; or give the path of a config.yaml", names = known())]
    UnknownName(String),
    /// An address where a file is wanted.
    #[error("the network is an address, and nothing is fetched here: `curl --fail --location --output config.yaml \
             '{url}'` does, and --network=config.yaml then reads the file; known names are {names}",
            url = Bounded(.0), names = known())]
    Url(String),
    /// The file could not be read.
    #[error("cannot read the network configuration {path}; known names are \
             {names}", path = path.display(), names = known())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file was read and is no usable configuration.
    #[error("the network configuration {path} is unusable", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with its text.
        source: Box<NetworkError>,
    },
    /// The text is not a YAML mapping, or a key in it is no text.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// There are several documents, so which one is meant is a guess.
    #[error("it has more than one YAML document: give a file with one")]
    SecondDocument,
    /// A constant that enters signatures differs from the preset's.
    #[error(
        "{key} is {value}, but the preset {preset} has {preset_value}: a chain with constants of its own cannot be \
         signed for"
    )]
    OtherPreset {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// The preset that the file names.
        preset: Preset,
        /// The preset's value.
        preset_value: u64,
    },
    /// A key that decides signatures is not there.
    #[error("{0} is missing")]
    MissingKey(String),
    /// A key's value has the wrong form.
    #[error("{key} is {value}, which is not {expected}")]
    BadValue {
        /// The key.
        key: String,
        /// The value as found.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The forks' epochs go backwards, or a fork is skipped.
    #[error("the fork {later} cannot be active from epoch {later_epoch}: {earlier} before it {problem}")]
    ForkOrder {
        /// The fork that is out of order.
        later: Fork,
        /// Its epoch.
        later_epoch: Epoch,
        /// The fork that should come first.
        earlier: Fork,
        /// What is wrong with the earlier one.
        problem: &'static str,
    },
}

/// The text of a regular file, no larger than any configuration is.
fn read_config(path: &Path) -> io::Result<String> {
    let text = RegularFile::open(path).and_then(|file| file.read_text(CONFIG_LIMIT));
    text.map(|text| text.to_string()).map_err(io::Error::other)
}

/// The most bytes of a `config.yaml`; a usual one has less than 10 KiB.
const CONFIG_LIMIT: u64 = 1 << 20;

fn looks_like_a_path(text: &str) -> bool {
    text.contains('/') || text.ends_with(".yaml") || text.ends_with(".yml")
}

fn known() -> String {
    Network::names().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = Network::load("mainet").unwrap_err().to_string();
        assert!(error.contains("\"mainet\"") && error.contains("mainnet, sepolia, hoodi"), "{error}");
    }

    #[test]
    fn an_address_is_refused_with_what_to_do() {
        let error = Network::load("https://example.org/config.yaml").unwrap_err().to_string();
        assert!(error.contains("curl") && error.contains("'https://example.org/config.yaml'"), "{error}");
    }

    #[test]
    fn a_path_is_read_and_a_missing_file_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        let text = "PRESET_BASE: minimal\nCONFIG_NAME: devnet\nGENESIS_FORK_VERSION: 0x10000038\n";
        std::fs::write(&path, text).unwrap();
        let network = Network::load(path.to_str().unwrap()).unwrap();
        assert_eq!((network.name(), network.preset()), ("devnet", Preset::Minimal));

        let missing = directory.path().join("missing.yaml");
        let error = Network::load(missing.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("missing.yaml"), "{error}");
    }

    #[test]
    fn slots_belong_to_epochs_of_the_presets_length() {
        for (name, slot, epoch) in
            [("mainnet", 31, 0), ("mainnet", 32, 1), ("gnosis", 16, 1), ("chiado", 15, 0), ("minimal", 8, 1)]
        {
            assert_eq!(Network::by_name(name).unwrap().epoch_at(Slot(slot)), Epoch(epoch), "{name} {slot}");
        }
    }

    #[test]
    fn the_schedule_decides_the_fork_of_a_slot() {
        let mainnet = Network::by_name("mainnet").unwrap();
        assert_eq!(mainnet.fork_at(Slot(74_240 * 32 - 1)), Fork::Phase0);
        assert_eq!(mainnet.fork_at(Slot(74_240 * 32)), Fork::Altair);
        assert_eq!(mainnet.fork_at(Slot(u64::MAX)), Fork::Fulu);
    }
}
