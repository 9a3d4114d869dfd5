//! `bls-signer check`: reads everything that a start would read, changes nothing, and says what would be served to whom.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::{Error, chain, output, serve};
use crate::config::{self, Address, Environment, ListenSpec, Role, Settings};
use crate::http::tls::Tls;
use crate::ledger::{self, Ledger, Missing, OpenError};
use crate::network::Network;

/// Goes through all checks, also after one has failed, and prints a line for each.
pub(super) fn run(options: serve::Options, environment: &Environment) -> Result<(), Error> {
    let settings = config::load(options.config.as_deref(), options.settings, environment)?;
    let findings = findings(&settings);
    let report: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    output::show(&mut io::stdout(), &report).map_err(Error::Output)?;
    match findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).count() {
        0 => Ok(()),
        problems => Err(Error::Check { problems }),
    }
}

/// One line of the report.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    what: &'static str,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// It works, but perhaps not as meant.
    Notable,
    /// The daemon would not start, or not serve what was asked for.
    Wrong,
}

impl Finding {
    fn fine(what: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fine, what, text: text.into() }
    }

    fn notable(what: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Notable, what, text: text.into() }
    }

    fn wrong(what: &'static str, error: &dyn std::error::Error) -> Self {
        Self { verdict: Verdict::Wrong, what, text: chain(error) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Fine => "ok",
            Verdict::Notable => "note",
            Verdict::Wrong => "WRONG",
        };
        write!(f, "{verdict:<6}{:<10}{}", self.what, self.text)
    }
}

fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![Finding::fine("settings", "can be used")];
    findings.extend(settings.warnings.iter().map(|warning| Finding::notable("settings", warning)));
    findings.push(network(settings));
    if !settings.listen_chosen {
        findings.push(Finding::fine("sockets", "systemd's, if it hands any over; else as follows"));
    }
    findings.extend(settings.listen.iter().map(|spec| listener(settings, spec)));
    findings.extend(settings.tls.as_ref().map(tls));
    findings.push(ledger(settings));
    findings.extend(key_sources(settings));
    findings
}

fn network(settings: &Settings) -> Finding {
    match Network::load(&settings.network) {
        Ok(network) => Finding::fine("network", network.name()),
        Err(error) => Finding::wrong("network", &error),
    }
}

fn listener(settings: &Settings, spec: &ListenSpec) -> Finding {
    let text = format!("{} on {}, for {}", spec.role, spec.address, callers(settings, spec));
    let Address::Unix(path) = &spec.address else { return Finding::fine("listen", text) };
    let Some(directory) = path.parent() else { return Finding::fine("listen", text) };
    match fs::metadata(directory) {
        Ok(_) => Finding::fine("listen", text),
        Err(source) => {
            Finding::wrong("listen", &Unusable { what: "the socket's directory", path: directory, source })
        }
    }
}

/// Who can use a listener (design D7).
fn callers(settings: &Settings, spec: &ListenSpec) -> String {
    let token = if settings.auth_token.is_some() { " with the token" } else { "" };
    match spec.address {
        Address::Unix(_) if spec.role == Role::Keymanager => format!("the daemon's own user and root{token}"),
        Address::Unix(_) => format!("the daemon's own user and group, and root{token}"),
        Address::Tcp(address) => {
            let who = if address.ip().to_canonical().is_loopback() {
                "every user of this host"
            } else {
                "everybody who reaches it"
            };
            let certificate = match &settings.tls {
                Some(tls) if tls.client_ca.is_some() => " with a client certificate",
                Some(_) => " over TLS",
                None => " without TLS",
            };
            format!("{who}{certificate}{token}")
        }
    }
}

fn tls(files: &config::Tls) -> Finding {
    match Tls::load(files) {
        Ok(_) => Finding::fine("tls", format!("with {}", files.certificate.display())),
        Err(error) => Finding::wrong("tls", &error),
    }
}

/// The ledger as the daemon would read it. An existing one is opened and closed, a missing one is not created.
fn ledger(settings: &Settings) -> Finding {
    const WHAT: &str = "ledger";
    let directory = &settings.ledger.state_dir;
    if !settings.ledger.slashing_protection {
        return Finding::notable(WHAT, "SLASHING PROTECTION IS OFF");
    }
    if !directory.exists() && !settings.ledger.required {
        // Opening would make the directory.
        return Finding::notable(
            WHAT,
            format!("the start would create {} and a ledger in it", directory.display()),
        );
    }
    let network = Network::load(&settings.network).ok();
    let opened = Ledger::open(ledger::Settings {
        missing: Missing::Refuse,
        genesis_validators_root: network.and_then(|network| network.genesis_validators_root()),
        ..ledger::Settings::new(directory.clone())
    });
    match opened {
        Ok(_) => Finding::fine(WHAT, format!("in {}", directory.display())),
        Err(OpenError::InUse { .. }) => {
            Finding::notable(WHAT, format!("in {}, in use by a daemon: not looked into", directory.display()))
        }
        Err(OpenError::Missing { .. }) if !settings.ledger.required => {
            Finding::notable(WHAT, format!("none yet in {}: the start would create one", directory.display()))
        }
        Err(error) => Finding::wrong(WHAT, &error),
    }
}

fn key_sources(settings: &Settings) -> Vec<Finding> {
    const WHAT: &str = "keys";
    let sealed = match &settings.keys.seal_file {
        Some(path) => Finding::fine(WHAT, format!("imported ones are kept, sealed with {}", path.display())),
        None => Finding::notable(WHAT, "imported ones live in memory only: there is no seal"),
    };
    let mut findings = vec![sealed];
    if let Some(directory) = &settings.keys.keystores {
        findings.push(readable(WHAT, "keystores", &directory.keystores));
        findings.push(readable(WHAT, "passwords", &directory.passwords));
    }
    if let Some(directory) = &settings.keys.key_config {
        findings.push(readable(WHAT, "key configuration", directory));
    }
    findings
}

/// A directory that can be listed or a file that can be opened.
fn readable(what: &'static str, name: &'static str, path: &Path) -> Finding {
    let read = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::read_dir(path).map(drop),
        Ok(_) => fs::File::open(path).map(drop),
        Err(error) => Err(error),
    };
    match read {
        Ok(()) => Finding::fine(what, format!("{name} from {}", path.display())),
        Err(source) => Finding::wrong(what, &Unusable { what: name, path, source }),
    }
}

/// A path that is named in the settings and cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what} {} cannot be read", path.display())]
struct Unusable<'path> {
    what: &'static str,
    path: &'path Path,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::RawSettings;

    fn findings_of(toml: &str, directory: &Path) -> Vec<Finding> {
        let file = directory.join("config.toml");
        fs::write(&file, format!("state_dir = '{}'\n{toml}", directory.join("state").display())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let settings = config::load(Some(&file), RawSettings::default(), &Environment::default());
        findings(&settings.ok().unwrap())
    }

    fn wrong(findings: &[Finding]) -> Vec<&str> {
        findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Wrong)
            .map(|finding| finding.what)
            .collect()
    }

    fn text(findings: &[Finding]) -> String {
        findings.iter().map(|finding| format!("{finding}\n")).collect()
    }

    #[test]
    fn a_first_start_is_fine_and_nothing_is_created() {
        let directory = tempfile::tempdir().unwrap();
        let findings = findings_of("", directory.path());
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
        assert_eq!(wrong(&findings), ["tls"]);
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
        assert!(
            text.contains("0.0.0.0:1, for everybody who reaches it without TLS with the token"),
            "{text}"
        );
        assert!(!text.contains("0123456789abcdef"), "{text}");
    }

    #[test]
    fn an_existing_ledger_is_read_and_one_in_use_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let ledger = Ledger::open(ledger::Settings {
            missing: Missing::Create,
            ..ledger::Settings::new(state.clone())
        })
        .unwrap();
        let findings_in_use = findings_of("require_ledger = true", directory.path());
        assert!(text(&findings_in_use).contains("in use by a daemon"), "{}", text(&findings_in_use));
        drop(ledger);
        let findings = findings_of("require_ledger = true", directory.path());
        assert_eq!(wrong(&findings), Vec::<&str>::new());
        assert!(
            text(&findings).contains(&format!("ledger    in {}", state.display())),
            "{}",
            text(&findings)
        );
    }

    #[test]
    fn protection_that_is_off_is_said_loudly() {
        let directory = tempfile::tempdir().unwrap();
        assert!(
            text(&findings_of("slashing_protection = 'off'", directory.path())).contains("PROTECTION IS OFF")
        );
    }
}
