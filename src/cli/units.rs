//! The packaged units as systemd sees them, asked with a time limit: a command that looks must not hang.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::program::{self, Heard, Ran};
use crate::text::OneLine;

/// systemd's own programs on this host.
pub(super) struct Systemd {
    programs: PathBuf,
}

impl Systemd {
    /// `None` where systemd does not run.
    pub(super) fn running() -> Option<Self> {
        // As sd_booted(3) decides.
        let booted = Path::new("/run/systemd/system").is_dir();
        booted.then(|| Self { programs: PathBuf::from("/usr/bin") })
    }

    /// A unit's properties by name; none of them if systemd does not say.
    pub(super) fn properties(&self, unit: &str, names: &[&str]) -> BTreeMap<String, String> {
        let wanted = format!("--property={}", names.join(","));
        let shown = self.output("systemctl", &["show", &wanted, "--", unit]).unwrap_or_default();
        let mut properties = BTreeMap::<String, String>::new();
        for (name, value) in shown.lines().filter_map(|line| line.split_once('=')) {
            // One that has several values has a line for each.
            let values = properties.entry(name.to_owned()).or_default();
            values.push_str(if values.is_empty() { "" } else { ", " });
            values.push_str(value);
        }
        properties
    }

    /// How a service is, and its last line where it does not run: for a sentence.
    pub(super) fn service(&self, unit: &str) -> Option<String> {
        let properties = self
            .properties(unit, &["LoadState", "ActiveState", "SubState", "ExecMainCode", "ExecMainStatus"]);
        let value = |name: &str| properties.get(name).map(String::as_str).unwrap_or_default();
        if value("LoadState") == "not-found" {
            return Some(format!("there is no {unit}"));
        }
        let (active, sub) = (value("ActiveState"), value("SubState"));
        if active.is_empty() {
            return None;
        }
        let mut said = format!("{unit} is {active} ({sub})");
        if (active, sub) == ("active", "running") {
            return Some(said);
        }
        // 1: CLD_EXITED, the status is the process's own.
        if value("ExecMainCode") == "1" && value("ExecMainStatus") != "0" {
            said.push_str(&format!(", its last exit status was {}", value("ExecMainStatus")));
        }
        if let Some(line) = self.last_error(unit) {
            said.push_str(&format!(", its last error: {}", OneLine(line)));
        }
        Some(said)
    }

    /// How a socket unit is: for a sentence.
    pub(super) fn socket(&self, unit: &str) -> Option<String> {
        let properties = self.properties(unit, &["ActiveState", "SubState", "UnitFileState", "Result"]);
        let value = |name: &str| properties.get(name).map(String::as_str).unwrap_or_default();
        let (active, file) = (value("ActiveState"), value("UnitFileState"));
        (!active.is_empty()).then(|| format!("{unit} is {active} ({file})"))
    }

    /// The last line with an error's priority that says why, from the service or from systemd about it.
    pub(super) fn last_error(&self, unit: &str) -> Option<String> {
        let arguments =
            ["--no-pager", "--quiet", "--output=cat", "--priority=err", "--lines=8", "--unit", unit];
        let lines = self.output("journalctl", &arguments)?;
        let says_why = |line: &&str| !NO_REASONS.iter().any(|start| line.starts_with(start));
        lines.lines().rev().filter(|line| !line.trim().is_empty()).find(says_why).map(str::to_owned)
    }

    /// Whether this host decrypts a credential. What it decrypts to goes nowhere.
    pub(super) fn credential(&self, name: &str, path: &Path) -> Credential {
        let (name, path) = (format!("--name={name}"), path.display().to_string());
        match self.run("systemd-creds", &["decrypt", &name, "--", &path, "-"], Heard::Stderr) {
            None => Credential::Untried,
            Some(Ran { well: true, .. }) => Credential::Opens,
            Some(Ran { well: false, text }) => {
                let reason =
                    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
                Credential::Closed { reason: OneLine(reason).to_string() }
            }
        }
    }

    /// What one of systemd's programs prints, if it ends in time and well.
    fn output(&self, program: &str, arguments: &[&str]) -> Option<String> {
        self.run(program, arguments, Heard::Stdout).filter(|ran| ran.well).map(|ran| ran.text)
    }

    /// `None` if there is no such program, or it did not end in time.
    fn run(&self, program: &str, arguments: &[&str], heard: Heard) -> Option<Ran> {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments);
        program::run(command, heard)
    }

    /// One that answers nothing.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Self { programs: PathBuf::from("/nonexistent") }
    }
}

/// What becomes of a credential on this host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credential {
    Opens,
    Closed {
        reason: String,
    },
    /// systemd-creds is not there, or did not end in time.
    Untried,
}

/// The packaged service.
pub(super) const SERVICE: &str = "bls-signer.service";

/// How systemd's own lines begin that only say that the start failed.
const NO_REASONS: [&str; 3] = ["Failed to start ", "Failed to listen on ", "Dependency failed for "];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn systemd(systemctl: &str, journalctl: &str) -> (tempfile::TempDir, Systemd) {
        let directory = tempfile::tempdir().unwrap();
        for (name, script) in [("systemctl", systemctl), ("journalctl", journalctl)] {
            let path = directory.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let programs = directory.path().to_owned();
        (directory, Systemd { programs })
    }

    #[test]
    fn a_failed_service_s_state_and_last_reason_are_said() {
        let show = "printf 'LoadState=loaded\\nActiveState=failed\\nSubState=failed\\nExecMainCode=1\\n'; \
                    echo ExecMainStatus=78";
        let journal =
            "echo 'bls-signer: older'; echo 'bls-signer: no such network'; echo 'Failed to start x.'";
        let (_directory, systemd) = systemd(show, journal);
        assert_eq!(
            systemd.service("a.service").unwrap(),
            "a.service is failed (failed), its last exit status was 78, its last error: bls-signer: no such network"
        );
    }

    #[test]
    fn a_service_that_runs_and_one_that_is_not_there_are_said() {
        let (_directory, running) = systemd("echo ActiveState=active; echo SubState=running", "echo x");
        assert_eq!(running.service("a.service").unwrap(), "a.service is active (running)");
        let (_directory, none) = systemd("echo LoadState=not-found; echo ActiveState=inactive", "");
        assert_eq!(none.service("a.service").unwrap(), "there is no a.service");
    }

    #[test]
    fn a_masked_socket_is_said() {
        let (_directory, systemd) = systemd("echo ActiveState=inactive; echo UnitFileState=masked", "");
        assert_eq!(systemd.socket("a.socket").unwrap(), "a.socket is inactive (masked)");
    }

    #[test]
    fn programs_that_hang_fail_or_are_not_there_say_nothing() {
        for script in ["exec sleep 1000", "echo ActiveState=active; exit 1"] {
            let (_directory, systemd) = systemd(script, script);
            assert_eq!(systemd.service("a.service"), None, "{script}");
        }
        assert_eq!(Systemd::nowhere().socket("a.socket"), None);
        assert_eq!(Systemd::nowhere().credential("seal", Path::new("/x")), Credential::Untried);
    }

    #[test]
    fn a_credential_opens_or_the_reason_is_said_and_never_what_is_in_it() {
        let (directory, systemd) = systemd("", "");
        let creds = |script: &str| {
            let path = directory.path().join("systemd-creds");
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            systemd.credential("seal", Path::new("/x"))
        };
        assert_eq!(creds("echo SECRET"), Credential::Opens);
        let reason = "Failed to decrypt: wrong key".to_owned();
        assert_eq!(
            creds("echo SECRET; echo 'Failed to decrypt: wrong key' >&2; exit 1"),
            Credential::Closed { reason }
        );
    }
}
