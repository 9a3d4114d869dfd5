//! The packaged daemon's surroundings, for the commands about a ledger that root runs beside it.
//!
//! systemd tells the service where its state is, and the unit which configuration to read. A shell tells a command
//! neither: it would look for the ledger in root's own home, for mainnet, and an import would make a second one there that
//! the daemon knows nothing of.

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::config::Environment;

/// The environment as the packaged daemon has it, if the command is about that one, else the one that there is.
pub(super) fn surroundings(
    state_dir: Option<&Path>,
    config: Option<&Path>,
    environment: &Environment,
) -> Environment {
    of_service(state_dir, config, environment).unwrap_or_else(|| environment.clone())
}

/// The environment as the packaged daemon has it, if the command is about that one: root runs it where the package is
/// installed, and nothing names another state directory or another configuration. What is named always wins.
pub(super) fn of_service(
    state_dir: Option<&Path>,
    config: Option<&Path>,
    environment: &Environment,
) -> Option<Environment> {
    let package = Package { state: Path::new(STATE), config: Path::new(CONFIG) };
    let is_meant = geteuid().is_root() && package.is_meant(state_dir, config, environment);
    is_meant.then(|| package.around(environment))
}

/// Where the seal secret lies that systemd decrypts for the service alone, if there is one (systemd.exec(5),
/// `LoadCredentialEncrypted=`).
pub(super) fn seal_credential() -> Option<PathBuf> {
    CREDENTIAL_STORES.iter().map(|store| Path::new(store).join(SEAL)).find(|path| path.exists())
}

/// Where the package keeps what its daemon uses.
struct Package<'a> {
    state: &'a Path,
    config: &'a Path,
}

impl Package<'_> {
    fn is_meant(&self, state_dir: Option<&Path>, config: Option<&Path>, environment: &Environment) -> bool {
        let named = |flag: Option<&Path>, variables: &[&str]| -> Option<PathBuf> {
            flag.map(Path::to_owned).or_else(|| variables.iter().find_map(|name| environment.path(name)))
        };
        let state_dir = named(state_dir, &["BLS_SIGNER_STATE_DIR", "STATE_DIRECTORY"]);
        let config = named(config, &["BLS_SIGNER_CONFIG"]);
        state_dir.is_none_or(|named| named == self.state)
            && config.is_none_or(|named| named == self.config)
            && self.state.is_dir()
    }

    fn around(&self, environment: &Environment) -> Environment {
        let environment = environment.clone().with("STATE_DIRECTORY", self.state);
        // Removed by an administrator who needs none of it, the defaults hold.
        if self.config.exists() { environment.with("BLS_SIGNER_CONFIG", self.config) } else { environment }
    }
}

const STATE: &str = "/var/lib/bls-signer";
const CONFIG: &str = "/etc/bls-signer/config.toml";
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
    fn root_s_command_is_about_the_packaged_daemon_unless_another_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let (state, config) = (directory.path().join("state"), directory.path().join("config.toml"));
        let package = Package { state: &state, config: &config };
        let other = Path::new("/other");
        let shell: Environment = [("HOME", "/root")].into_iter().collect();
        assert!(!package.is_meant(None, None, &shell), "there is no package here");

        fs::create_dir(&state).unwrap();
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
    fn the_packaged_daemon_s_state_and_configuration_are_used() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.toml");
        let package = Package { state: directory.path(), config: &config };
        let shell: Environment = [("HOME", "/root")].into_iter().collect();
        let around = package.around(&shell);
        assert_eq!(around.state_directory().as_deref(), Some(directory.path()));
        assert_eq!(around.path("BLS_SIGNER_CONFIG"), None);
        fs::write(&config, "").unwrap();
        assert_eq!(package.around(&shell).path("BLS_SIGNER_CONFIG"), Some(config));
    }
}
