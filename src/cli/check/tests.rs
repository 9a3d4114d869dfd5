//! Findings of the check.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::config::RawSettings;
use crate::ledger::{self, Ledger, Missing};

fn findings_of(toml: &str, directory: &Path) -> Vec<Finding> {
    findings(&settings_of(toml, directory), Subject::Start)
}

fn settings_of(toml: &str, directory: &Path) -> Settings {
    let file = directory.join("config.toml");
    fs::write(&file, format!("state_dir = '{}'\n{toml}", directory.join("state").display())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    config::load(Some(&file), RawSettings::default(), &Environment::default()).ok().unwrap()
}

fn wrong(findings: &[Finding]) -> Vec<&str> {
    findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).map(|finding| finding.what).collect()
}

fn text(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

#[test]
fn a_first_start_wants_a_ledger_or_leave_to_make_one_and_nothing_is_created() {
    let directory = tempfile::tempdir().unwrap();
    let findings = findings_of("", directory.path());
    assert_eq!(wrong(&findings), ["ledger"]);
    assert!(text(&findings).contains("slashing-protection init --state-dir /"), "{}", text(&findings));
    let findings = findings_of("require_ledger = false", directory.path());
    assert_eq!(wrong(&findings), Vec::<&str>::new());
    assert!(text(&findings).contains("all on 127.0.0.1:8080, for every user of this host without TLS"));
    assert!(!directory.path().join("state").exists());
}

#[test]
fn all_problems_are_reported_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let findings = findings_of(
        "network = 'atlantis'\nrequire_ledger = true\nlisten = ['signing=unix:/nonexistent/a.sock']\n\
         keystores_path = '/nonexistent/k'\nkeystores_passwords_path = '/dev/null'",
        directory.path(),
    );
    assert_eq!(wrong(&findings), ["network", "listen", "ledger", "keys"]);
}

#[test]
fn a_certificate_that_is_none_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let pem = directory.path().join("pem");
    fs::write(&pem, "no PEM").unwrap();
    fs::set_permissions(&pem, fs::Permissions::from_mode(0o600)).unwrap();
    let findings =
        findings_of(&format!("tls_cert = '{0}'\ntls_key = '{0}'", pem.display()), directory.path());
    assert_eq!(wrong(&findings), ["tls", "ledger"]);
}

#[test]
fn who_can_call_is_said_for_each_listener() {
    let directory = tempfile::tempdir().unwrap();
    let listen = format!(
        "auth_token = '0123456789abcdef'\nlisten = ['signing=unix:{0}/s', 'keymanager=unix:{0}/k', \
         'all=0.0.0.0:1']\n",
        directory.path().display()
    );
    let text = text(&findings_of(&listen, directory.path()));
    assert!(text.contains("/s, for the daemon's own user and group, and root with the token"), "{text}");
    assert!(text.contains("/k, for the daemon's own user and root with the token"), "{text}");
    assert!(text.contains("0.0.0.0:1, for everybody who reaches it without TLS with the token"), "{text}");
    assert!(!text.contains("0123456789abcdef"), "{text}");
}

#[test]
fn an_existing_ledger_is_read_and_one_in_use_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let ledger =
        Ledger::open(ledger::Settings { missing: Missing::Create, ..ledger::Settings::new(state.clone()) })
            .unwrap();
    let findings_in_use = findings_of("require_ledger = true", directory.path());
    assert!(text(&findings_in_use).contains("in use by a daemon"), "{}", text(&findings_in_use));
    drop(ledger);
    let findings = findings_of("require_ledger = true", directory.path());
    assert_eq!(wrong(&findings), Vec::<&str>::new());
    assert!(text(&findings).contains(&format!("ledger    in {}", state.display())), "{}", text(&findings));
}

#[test]
fn protection_that_is_off_is_said_loudly() {
    let directory = tempfile::tempdir().unwrap();
    assert!(
        text(&findings_of("slashing_protection = 'off'", directory.path())).contains("PROTECTION IS OFF")
    );
}

#[test]
fn the_packaged_service_has_its_sockets_from_systemd() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings_of("require_ledger = false", directory.path());
    let service = text(&findings(&settings, Subject::Service { sealed: false }));
    assert!(!service.contains("127.0.0.1"), "{service}");
    let settings = settings_of("listen = ['signing=unix:/nonexistent/s']", directory.path());
    assert_eq!(wrong(&findings(&settings, Subject::Service { sealed: false })), ["listen", "ledger"]);
}
