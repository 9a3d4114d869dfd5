//! A host with the package installed, as far as the program can tell: the package's directories stand where they belong,
//! for the processes that are started here alone. That takes mounts, and so root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::unistd::geteuid;
use tempfile::TempDir;

use super::command::ended;
use super::{Setup, binary};

pub struct Package {
    directory: TempDir,
}

impl Package {
    /// Just installed, for the network `minimal`. None for a user who cannot; in CI, which is root, that is a failure.
    pub fn installed() -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("NOT TESTED: only root can put the package's directories in their places");
            assert!(std::env::var_os("CI").is_none(), "in CI this has to be tested");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let package = Self { directory };
        for name in ["etc/bls-signer", "lib/bls-signer", "run/bls-signer", "home"] {
            fs::create_dir_all(package.directory.path().join(name)).unwrap();
        }
        for (name, line) in [
            ("passwd", format!("bls-signer:x:{SERVICE}:{SERVICE}::/var/lib/bls-signer:/usr/sbin/nologin\n")),
            ("group", format!("bls-signer:x:{SERVICE}:\n")),
        ] {
            let text = fs::read_to_string(Path::new("/etc").join(name)).unwrap() + &line;
            fs::write(package.directory.path().join("etc").join(name), text).unwrap();
        }
        let shipped = include_str!("../../../packaging/config.toml");
        fs::write(package.config(), format!("network = 'minimal'\n{shipped}")).unwrap();
        fs::set_permissions(package.state(), PermissionsExt::from_mode(0o700)).unwrap();
        package.give(&package.state());
        let made = package.run_as(SERVICE, &["slashing-protection", "init", "--state-dir", STATE]);
        assert!(made.status.success(), "{made:?}");
        Some(package)
    }

    /// Where the package's state directory is, seen from outside.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("lib/bls-signer")
    }

    /// The packaged configuration, seen from outside.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("etc/bls-signer/config.toml")
    }

    /// The home of whoever runs a command.
    pub fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// The keymanager socket, seen from outside.
    pub fn keymanager(&self) -> PathBuf {
        self.directory.path().join("run/bls-signer/keymanager.sock")
    }

    /// Makes the service's user the owner of all that is there.
    pub fn give(&self, path: &Path) {
        chown(path, Some(SERVICE), Some(SERVICE)).unwrap();
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| self.give(&entry.unwrap().path()));
        }
    }

    /// Lets this user start the daemon on the host, in whose name systemd does so or an administrator.
    pub fn host(&self, setup: Setup, user: u32) -> Setup {
        self.give(setup.directory());
        let words = self.starter(user);
        setup.under(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// As systemd starts it.
    pub fn service(&self, setup: Setup) -> Setup {
        let setup = setup.args(&["--config", CONFIG, "--require-ledger"]).env("STATE_DIRECTORY", STATE);
        self.host(setup, SERVICE)
    }

    /// Runs a subcommand as root, whose home is [`Package::home`].
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_as(0, arguments)
    }

    pub fn run_as(&self, user: u32, arguments: &[&str]) -> Output {
        let starter = self.starter(user);
        let mut command = Command::new(&starter[0]);
        command.args(&starter[1..]).arg(binary()).args(arguments);
        command.env_clear().env("HOME", self.home()).current_dir(self.directory.path()).stdin(Stdio::null());
        ended(command)
    }

    fn starter(&self, user: u32) -> Vec<String> {
        let from = self.directory.path().display();
        let mounts =
            ["etc /etc", "lib /var/lib", "run /run"].map(|pair| format!("mount --bind {from}/{pair}"));
        let user = format!("setpriv --reuid={user} --regid={user} --clear-groups \"$@\"");
        let script = format!("{} && exec {user}", mounts.join(" && "));
        ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", &script, "sh"].map(str::to_owned).into()
    }
}

/// Names of the package, inside.
pub const STATE: &str = "/var/lib/bls-signer";
pub const PACKAGED_KEYMANAGER: &str = "/run/bls-signer/keymanager.sock";
pub const CONFIG: &str = "/etc/bls-signer/config.toml";

/// The service's user.
pub const SERVICE: u32 = 64_998;
