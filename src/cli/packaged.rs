//! The packaged daemon's environment, for root and for the service's own user, who run the program beside it.
//!
//! systemd tells the service where its state is, and the unit which configuration to read. A shell tells a command
//! neither: it would look for the ledger in the user's own home, for mainnet. An import would make a second ledger
//! there that the daemon knows nothing of, and a daemon would sign again what the first one has on record.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, geteuid};

use crate::config::{self, Environment, RawSettings, Settings, Tokens};
use crate::ledger;

/// The environment as the packaged daemon has it, as far as nothing else is named, if this user manages that daemon;
/// else the one that there is. What is named always wins.
pub(super) fn packaged_environment(
    state_dir: Option<&Path>,
    config: Option<&Path>,
    environment: &Environment,
) -> Environment {
    if PACKAGE.is_managed_by(geteuid()) {
        PACKAGE.around(state_dir, config, environment)
    } else {
        environment.clone()
    }
}

/// Whether a command is about the packaged daemon: this user manages it, and nothing names another state directory or
/// another configuration.
pub(super) fn is_meant(state_dir: Option<&Path>, config: Option<&Path>, environment: &Environment) -> bool {
    PACKAGE.is_managed_by(geteuid()) && PACKAGE.is_meant(state_dir, config, environment)
}

/// The settings of a daemon that this user starts.
///
/// # Errors
/// Nothing names a ledger, and there is the packaged one and one of the user's own: whichever is taken, the other one
/// has records.
pub(super) fn settings(
    config: Option<&Path>,
    flags: RawSettings,
    environment: &Environment,
) -> Result<Settings, Error> {
    let around = packaged_environment(flags.state_dir.as_deref(), config, environment);
    let settings = config::load(config, flags.clone(), &around)?;
    let packaged = &settings.ledger.state_dir;
    let own = environment.state_directory().filter(|own| own != packaged && ledger::is_in(own));
    let Some(own) = own else { return Ok(settings) };
    if config::load(config, flags, environment)?.ledger.state_dir == own {
        return Err(Error::TwoLedgers { packaged: packaged.clone(), own });
    }
    Ok(settings)
}

/// The packaged daemon's state directory, if another user may mean it and cannot have it: the package is installed,
/// this user does not manage it, and nothing names a state directory or a configuration.
pub(super) fn of_others(
    state_dir: Option<&Path>,
    config: Option<&Path>,
    environment: &Environment,
) -> Option<&'static Path> {
    let is_named = named(state_dir, &STATE_VARIABLES, environment)
        .or_else(|| named(config, &CONFIG_VARIABLES, environment))
        .is_some();
    let is_of_others = Path::new(PACKAGE.state).is_dir() && !PACKAGE.is_managed_by(geteuid());
    (is_of_others && !is_named).then_some(Path::new(PACKAGE.state))
}

/// The tokens that the packaged daemon asks for, if this user manages it and can read them. What cannot be read is
/// none: the daemon then says what it misses.
pub(super) fn tokens() -> Option<Tokens> {
    if !PACKAGE.is_managed_by(geteuid()) {
        return None;
    }
    let environment = Environment::default().with("CREDENTIALS_DIRECTORY", CREDENTIALS);
    config::tokens(Path::new(PACKAGE.config), &environment).ok()
}

/// Where the seal secret lies that systemd decrypts for the service alone, if there is one (systemd.exec(5),
/// `LoadCredentialEncrypted=`).
pub(super) fn seal_credential() -> Option<PathBuf> {
    CREDENTIAL_STORES.iter().map(|store| Path::new(store).join(SEAL)).find(|path| path.exists())
}

/// Where the package keeps what its daemon uses.
struct Package<'a> {
    state: &'a str,
    config: &'a str,
}

impl Package<'_> {
    /// Whether the package is installed, and this is root or the user of its service.
    fn is_managed_by(&self, user: Uid) -> bool {
        let Ok(state) = Path::new(self.state).metadata() else { return false };
        state.is_dir() && (user.is_root() || state.uid() == user.as_raw())
    }

    fn is_meant(&self, state_dir: Option<&Path>, config: Option<&Path>, environment: &Environment) -> bool {
        self.is_state(state_dir, environment)
            && named(config, &CONFIG_VARIABLES, environment)
                .is_none_or(|named| named == Path::new(self.config))
    }

    /// Whether no other state directory is named, unless the configuration does.
    fn is_state(&self, state_dir: Option<&Path>, environment: &Environment) -> bool {
        named(state_dir, &STATE_VARIABLES, environment).is_none_or(|named| named == Path::new(self.state))
    }

    fn around(
        &self,
        state_dir: Option<&Path>,
        config: Option<&Path>,
        environment: &Environment,
    ) -> Environment {
        if !self.is_state(state_dir, environment) {
            return environment.clone();
        }
        let around = environment
            .clone()
            .with("STATE_DIRECTORY", self.state)
            .with("RUNTIME_DIRECTORY", ANCHORS_IN_MEMORY)
            .with("CACHE_DIRECTORY", ANCHORS_ON_DISK);
        // Removed by an administrator who needs none of it, the defaults hold.
        if named(config, &CONFIG_VARIABLES, environment).is_none() && Path::new(self.config).exists() {
            return around.with("BLS_SIGNER_CONFIG", self.config);
        }
        around
    }
}

fn named(flag: Option<&Path>, variables: &[&str], environment: &Environment) -> Option<PathBuf> {
    flag.map(Path::to_owned).or_else(|| variables.iter().find_map(|name| environment.path(name)))
}

/// Why it is not clear which ledger a daemon is to have.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("configuration")]
    Configuration(#[from] config::Error),
    #[error(
        "there are two slashing protection ledgers, the packaged service's in {} and one in {}: name the one that has \
         the keys' history with --state-dir",
        packaged.display(),
        own.display()
    )]
    TwoLedgers { packaged: PathBuf, own: PathBuf },
}

/// Where an administrator writes down what the fetcher reads.
pub(super) const SOURCES: &str = "/etc/bls-signer/sources.d";

const PACKAGE: Package<'static> =
    Package { state: "/var/lib/bls-signer", config: "/etc/bls-signer/config.toml" };
const STATE_VARIABLES: [&str; 2] = ["BLS_SIGNER_STATE_DIR", "STATE_DIRECTORY"];
const CONFIG_VARIABLES: [&str; 1] = ["BLS_SIGNER_CONFIG"];
/// Where the service keeps its ledger's anchors: `RuntimeDirectory=` and `CacheDirectory=` of its unit.
const ANCHORS_IN_MEMORY: &str = "/run/bls-signer-ledger";
const ANCHORS_ON_DISK: &str = "/var/cache/bls-signer";
/// Where systemd puts what it decrypts for the service while that runs (systemd.exec(5)).
const CREDENTIALS: &str = "/run/credentials/bls-signer.service";
const SEAL: &str = "bls-signer.seal";
const CREDENTIAL_STORES: [&str; 6] = [
    "/etc/credstore.encrypted",
    "/etc/credstore",
    "/run/credstore.encrypted",
    "/run/credstore",
    "/usr/lib/credstore.encrypted",
    "/usr/lib/credstore",
];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_command_is_about_the_packaged_daemon_unless_another_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let [state, config] = ["state", "config.toml"].map(|name| directory.path().join(name));
        let package = Package { state: state.to_str().unwrap(), config: config.to_str().unwrap() };
        let other = Path::new("/other");
        let shell: Environment = [("HOME", "/root")].into_iter().collect();
        assert!(package.is_meant(None, None, &shell));
        assert!(package.is_meant(Some(&state), Some(&config), &shell));
        assert!(!package.is_meant(Some(other), None, &shell));
        assert!(!package.is_meant(None, Some(other), &shell));
        for variable in ["BLS_SIGNER_STATE_DIR", "STATE_DIRECTORY", "BLS_SIGNER_CONFIG"] {
            assert!(!package.is_meant(None, None, &shell.clone().with(variable, other)), "{variable}");
        }
        let own = shell.with("BLS_SIGNER_STATE_DIR", &state).with("BLS_SIGNER_CONFIG", &config);
        assert!(package.is_meant(None, None, &own));
        assert!(package.is_meant(Some(&state), None, &own.with("STATE_DIRECTORY", other)), "the flag wins");
    }

    #[test]
    fn the_packaged_daemon_is_managed_by_root_and_by_its_user_where_it_is_installed() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let package = Package { state: state.to_str().unwrap(), config: "" };
        let [root, stranger] = [0, geteuid().as_raw().wrapping_add(1)].map(Uid::from_raw);
        assert!(!package.is_managed_by(root) && !package.is_managed_by(geteuid()));
        fs::create_dir(&state).unwrap();
        assert!(package.is_managed_by(root) && package.is_managed_by(geteuid()));
        assert!(!package.is_managed_by(stranger));
    }

    #[test]
    fn the_packaged_daemon_s_state_is_used_with_any_configuration_and_its_configuration_with_its_state() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.toml");
        let package = Package { state: directory.path().to_str().unwrap(), config: config.to_str().unwrap() };
        let other = Path::new("/other");
        let shell: Environment = [("HOME", "/root")].into_iter().collect();
        let around = package.around(None, None, &shell);
        assert_eq!(around.state_directory().as_deref(), Some(directory.path()));
        assert_eq!(around.path("BLS_SIGNER_CONFIG"), None);
        fs::write(&config, "").unwrap();
        assert_eq!(package.around(None, None, &shell).path("BLS_SIGNER_CONFIG").as_ref(), Some(&config));

        let around = package.around(None, Some(other), &shell);
        assert_eq!(around.state_directory().as_deref(), Some(directory.path()));
        assert_eq!(around.path("BLS_SIGNER_CONFIG"), None);
        let around = package.around(Some(other), None, &shell);
        assert_eq!(around.path("STATE_DIRECTORY"), None);
        assert_eq!(around.path("BLS_SIGNER_CONFIG"), None);
    }
}
