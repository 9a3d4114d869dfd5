//! The environment as a value, so that nothing below `cli` reads a global.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A process's environment variables.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// This process's own.
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// The same with a variable set.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.insert(name.into(), value.as_ref().to_owned());
        self
    }

    /// A variable's value; one that is set to nothing counts as absent.
    pub(crate) fn value(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// A variable's value, even if it is set to nothing.
    pub(crate) fn given(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// A variable's value as text, absent if it is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(OsStr::to_str)
    }

    /// A variable's value as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    /// A credential that systemd delivered under this name, if it did.
    pub(crate) fn credential(&self, name: &str) -> Option<PathBuf> {
        self.path("CREDENTIALS_DIRECTORY").map(|directory| directory.join(name)).filter(|path| path.is_file())
    }

    /// The state directory that the surroundings name: systemd's `StateDirectory=`, else the XDG base directories.
    ///
    /// A relative `XDG_STATE_HOME` is ignored, as the XDG specification demands.
    pub(crate) fn state_directory(&self) -> Option<PathBuf> {
        self.service_directory("STATE_DIRECTORY")
            .or_else(|| self.user_directory("XDG_STATE_HOME", ".local/state"))
    }

    /// A directory for what a reboot may take, as the surroundings name it: systemd's `RuntimeDirectory=`, else that of
    /// the XDG base directories.
    pub(crate) fn runtime_directory(&self) -> Option<PathBuf> {
        let of_user = || Some(self.absolute_path("XDG_RUNTIME_DIR")?.join(PROGRAM));
        self.service_directory("RUNTIME_DIRECTORY").or_else(of_user)
    }

    /// A directory on a disk for what may be lost and comes back by itself: systemd's `CacheDirectory=`, else that of
    /// the XDG base directories. Backups leave it out.
    pub(crate) fn cache_directory(&self) -> Option<PathBuf> {
        self.service_directory("CACHE_DIRECTORY").or_else(|| self.user_directory("XDG_CACHE_HOME", ".cache"))
    }

    /// A directory that systemd names. With several entries the first is the service's own.
    fn service_directory(&self, variable: &str) -> Option<PathBuf> {
        self.text(variable)?.split(':').next().map(PathBuf::from)
    }

    /// The program's directory in a base directory of the user's: `fallback` in the home, where none is named.
    fn user_directory(&self, variable: &str, fallback: &str) -> Option<PathBuf> {
        let in_home = || Some(self.absolute_path("HOME")?.join(fallback));
        Some(self.absolute_path(variable).or_else(in_home)?.join(PROGRAM))
    }

    /// A variable's value as a path, absent if that is relative.
    fn absolute_path(&self, name: &str) -> Option<PathBuf> {
        self.path(name).filter(|path| path.is_absolute())
    }

    /// The variables whose name starts with `prefix`.
    pub(crate) fn names_with_prefix(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|name| name.to_str()).filter(move |name| name.starts_with(prefix))
    }
}

impl<Name: AsRef<OsStr>, Value: AsRef<OsStr>> FromIterator<(Name, Value)> for Environment {
    fn from_iter<I: IntoIterator<Item = (Name, Value)>>(variables: I) -> Self {
        let owned = |text: &OsStr| text.to_owned();
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (owned(name.as_ref()), owned(value.as_ref())))
                .collect(),
        )
    }
}

const PROGRAM: &str = "bls-signer";

#[cfg(test)]
mod tests {
    use super::*;

    fn state_directory(variables: &[(&str, &str)]) -> Option<PathBuf> {
        variables.iter().copied().collect::<Environment>().state_directory()
    }

    #[test]
    fn state_goes_where_systemd_says_then_xdg_then_home() {
        let all = [
            ("STATE_DIRECTORY", "/var/lib/bls-signer:/var/lib/other"),
            ("XDG_STATE_HOME", "/xdg"),
            ("HOME", "/home/me"),
        ];
        assert_eq!(state_directory(&all), Some(PathBuf::from("/var/lib/bls-signer")));
        assert_eq!(state_directory(&all[1..]), Some(PathBuf::from("/xdg/bls-signer")));
        assert_eq!(state_directory(&all[2..]), Some(PathBuf::from("/home/me/.local/state/bls-signer")));
        assert_eq!(state_directory(&[]), None);
    }

    #[test]
    fn ignores_relative_and_empty_directories() {
        assert_eq!(state_directory(&[("STATE_DIRECTORY", ""), ("XDG_STATE_HOME", "x"), ("HOME", "y")]), None);
    }

    #[test]
    fn anchors_go_where_systemd_says_then_xdg() {
        let environment = |variables: &[(&str, &str)]| variables.iter().copied().collect::<Environment>();
        let all =
            [("RUNTIME_DIRECTORY", "/run/a:/run/b"), ("XDG_RUNTIME_DIR", "/run/user/1"), ("HOME", "/h")];
        let runtime_directory = |variables: &[(&str, &str)]| environment(variables).runtime_directory();
        assert_eq!(runtime_directory(&all), Some(PathBuf::from("/run/a")));
        assert_eq!(runtime_directory(&all[1..]), Some(PathBuf::from("/run/user/1/bls-signer")));
        assert_eq!(runtime_directory(&all[2..]), None);
        let all = [("CACHE_DIRECTORY", "/var/cache/a"), ("XDG_CACHE_HOME", "/c"), ("HOME", "/h")];
        let cache_directory = |variables: &[(&str, &str)]| environment(variables).cache_directory();
        assert_eq!(cache_directory(&all), Some(PathBuf::from("/var/cache/a")));
        assert_eq!(cache_directory(&all[1..]), Some(PathBuf::from("/c/bls-signer")));
        assert_eq!(cache_directory(&all[2..]), Some(PathBuf::from("/h/.cache/bls-signer")));
    }

    #[test]
    fn finds_a_credential_only_where_there_is_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let environment: Environment = [("CREDENTIALS_DIRECTORY", directory.path())].into_iter().collect();
        assert_eq!(environment.credential("seal"), None);
        std::fs::write(directory.path().join("seal"), "x").unwrap();
        assert_eq!(environment.credential("seal"), Some(directory.path().join("seal")));
        assert_eq!(Environment::default().credential("seal"), None);
    }
}
