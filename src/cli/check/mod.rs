//! `bls-signer check`: reads everything that a start would read, changes nothing, and says what would be served to
//! whom.

mod clients;
mod disk;
mod fetch;
mod finding;
mod key_files;
mod service;
mod state;

use std::io;
use std::time::SystemTime;

use nix::unistd::geteuid;

use self::finding::{Finding, Verdict};
use super::units::Systemd;
use super::{Error, output, owner, packaged, serve};
use crate::config::{self, Address, Environment, ListenSpec, Role, Settings, Switch};
use crate::http::tls::{Expiry, Tls, Validity};
use crate::ledger;
use crate::network::Network;
use crate::supervisor::listeners;
use crate::sys::hardening;
use crate::text::chain;

/// Goes through all checks, also after one has failed, and prints a line for each.
pub(super) fn run(mut options: serve::Options, environment: &Environment) -> Result<(), Error> {
    let state_dir = options.settings.state_dir.as_deref();
    let config = options.config.as_deref();
    let is_service = packaged::is_meant(state_dir, config, environment);
    let environment = &packaged::packaged_environment(state_dir, config, environment);
    if is_service {
        // As in ExecStart= of the packaged unit.
        options.settings.require_ledger = options.settings.require_ledger.or(Some(Switch::On));
    }
    let subject = if is_service {
        Subject::Service { sealed: packaged::seal_credential().is_some() }
    } else {
        Subject::Start
    };
    let mut found = Vec::new();
    let mut systemd_listens = Vec::new();
    let mut sources = None;
    // Anybody else sees what he sees, the service's own user as the service does but for the walls.
    if is_service && geteuid().is_root() {
        let systemd = Systemd::running();
        found = service::findings(systemd.as_ref());
        systemd_listens = service::tcp_listeners(systemd.as_ref());
        sources = fetch::Sources::look(systemd.as_ref());
        match service::enter(systemd.as_ref()) {
            Ok(finding) => found.push(finding),
            Err(error) => found.push(Finding::wrong("eyes", &error)),
        }
    }
    let settings = match config::load(options.config.as_deref(), options.settings, environment) {
        Ok(settings) => settings,
        Err(error) => {
            show(&found)?;
            return Err(error.into());
        }
    };
    // The daemon would do so as well: what it cannot read then, is not found now.
    owner::become_owner_of(&settings.ledger.state_dir, settings.ledger.tpm_device())?;
    match hardening::harden_process() {
        Ok(()) => {
            found.extend(systemd_listens.iter().flat_map(|spec| exposures(&settings, spec)));
            found.extend(findings(&settings, subject));
            found.extend(sources.into_iter().flat_map(|sources| sources.findings(seals(&settings, subject))));
        }
        Err(error) => found.push(Finding::wrong("process", &error)),
    }
    show(&found)?;
    match found.iter().filter(|finding| finding.verdict == Verdict::Wrong).count() {
        0 => Ok(()),
        problems => Err(Error::Check { problems }),
    }
}

fn show(findings: &[Finding]) -> Result<(), Error> {
    let report: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    output::show(&mut io::stdout(), &report).map_err(Error::Output)
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// A start of this user's with these settings.
    Start,
    /// The packaged service, which gets its sockets and its seal secret from systemd.
    Service {
        /// Whether there is a secret that systemd decrypts for it.
        sealed: bool,
    },
}

fn findings(settings: &Settings, subject: Subject) -> Vec<Finding> {
    let usable = match subject {
        Subject::Start => "can be used",
        Subject::Service { .. } => "can be used; they are the packaged service's",
    };
    let mut findings = vec![Finding::fine("settings", usable)];
    findings.extend(settings.warnings.iter().map(|warning| Finding::notable("settings", warning)));
    findings.push(network(settings));
    findings.extend(sockets(settings, subject));
    if settings.listen_chosen || matches!(subject, Subject::Start) {
        findings.extend(settings.listen.iter().flat_map(|spec| exposures(settings, spec)));
    }
    findings.extend(settings.tls.as_ref().map(tls));
    findings.extend(clients::findings(settings));
    findings.extend(state::findings(settings, subject));
    findings.extend(disk::finding(&settings.ledger.state_dir));
    findings.extend(key_files::findings(&settings.keys));
    findings
}

/// Whether keys can be kept on disk.
fn seals(settings: &Settings, subject: Subject) -> bool {
    let has_credential = match subject {
        Subject::Start => false,
        Subject::Service { sealed } => sealed,
    };
    settings.ledger.slashing_protection && (has_credential || settings.keys.seal_file.is_some())
}

fn sockets(settings: &Settings, subject: Subject) -> Vec<Finding> {
    const WHAT: &str = "sockets";
    let listeners = settings.listen.iter().map(|spec| listener(settings, spec, subject));
    match (settings.listen_chosen, subject) {
        (true, _) => listeners.collect(),
        // What the socket units say was looked at with root's eyes.
        (false, Subject::Service { .. }) => Vec::new(),
        (false, Subject::Start) => {
            let systemd = Finding::fine(WHAT, "systemd's, if it hands any over; else as follows");
            std::iter::once(systemd).chain(listeners).collect()
        }
    }
}

fn network(settings: &Settings) -> Finding {
    match Network::load(&settings.network) {
        Ok(network) => Finding::fine("network", network.name()),
        Err(error) => Finding::wrong("network", &error),
    }
}

fn listener(settings: &Settings, spec: &ListenSpec, subject: Subject) -> Finding {
    const WHAT: &str = "listen";
    let text = format!("{} on {}, for {}", spec.role, spec.address, callers(settings, spec));
    // The running daemon itself may be who listens, or systemd for it.
    let may_be_its_own =
        ledger::is_held(&settings.ledger.state_dir) || matches!(subject, Subject::Service { .. });
    match &spec.address {
        Address::Tcp(_) if may_be_its_own => Finding::fine(WHAT, text),
        Address::Tcp(address) => match (listeners::can_bind(*address), settings.listen_chosen) {
            (Ok(()), _) => Finding::fine(WHAT, text),
            (Err(error), true) => Finding::wrong(WHAT, &error),
            // What systemd hands over would take its place.
            (Err(error), false) => Finding::notable(WHAT, chain(&error)),
        },
        Address::Unix(path) => match listeners::is_taken(path) {
            // A socket that is there may be the running daemon's own.
            Ok(_) => Finding::fine(WHAT, text),
            Err(error) => Finding::wrong(WHAT, &error),
        },
    }
}

/// What a start warns about.
fn exposures(settings: &Settings, spec: &ListenSpec) -> Vec<Finding> {
    match spec.address {
        Address::Unix(_) => Vec::new(),
        Address::Tcp(address) => {
            let exposures = settings.exposures(spec.role, address);
            exposures.into_iter().map(|exposure| Finding::notable("access", exposure.to_string())).collect()
        }
    }
}

/// Who can use a listener.
fn callers(settings: &Settings, spec: &ListenSpec) -> String {
    let token = token_asked_for(settings, spec.role);
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
                Some(tls) if tls.demands_client_certificate() => " with a client certificate",
                Some(_) => " over TLS",
                None => " without TLS",
            };
            format!("{who}{certificate}{token}")
        }
    }
}

fn token_asked_for(settings: &Settings, role: Role) -> &'static str {
    let (signing, keymanager) = (settings.tokens.signing.is_some(), settings.tokens.keymanager.is_some());
    match role {
        Role::Signing if signing => " with the token",
        Role::Keymanager if keymanager => " with the token",
        Role::All => match (signing, keymanager) {
            (true, true) => " with the token",
            (true, false) => ", who need the token to sign only",
            (false, true) => ", who need the token for the Keymanager API only",
            (false, false) => "",
        },
        Role::Signing | Role::Keymanager | Role::Metrics => "",
    }
}

fn tls(files: &config::Tls) -> Finding {
    const WHAT: &str = "tls";
    let tls = match Tls::load(files) {
        Ok(tls) => tls,
        Err(error) => return Finding::wrong(WHAT, &error),
    };
    let shown = files.identity.certificate().display().to_string();
    match tls.expiry() {
        Some(expiry) => certificate(shown, expiry, SystemTime::now()),
        None => Finding::notable(WHAT, format!("with {shown}; when it ends cannot be told")),
    }
}

fn certificate(path: String, expiry: Expiry, now: SystemTime) -> Finding {
    const WHAT: &str = "tls";
    match expiry.at(now) {
        Validity::Long => Finding::fine(WHAT, format!("with {path}, valid until {expiry}")),
        Validity::Ending { days } => {
            Finding::notable(WHAT, format!("with {path}, which ends in {days} days, at {expiry}: renew it"))
        }
        Validity::Over => Finding::wrong(WHAT, &CertificateOver { path, expiry }),
    }
}

/// Clients refuse what the daemon would show them.
#[derive(Debug, thiserror::Error)]
#[error("the certificate {path} ended at {expiry}, and clients refuse it: renew it")]
struct CertificateOver {
    path: String,
    expiry: Expiry,
}

#[cfg(test)]
mod tests;
