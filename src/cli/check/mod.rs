//! `bls-signer check`: reads everything that a start would read, changes nothing, and says what would be served to whom.

mod finding;
mod key_files;
mod state;

use std::io;

use self::finding::{Finding, Verdict};
use super::{Error, output, owner, packaged, serve};
use crate::config::{self, Address, Environment, ListenSpec, Role, Settings, Switch};
use crate::http::tls::Tls;
use crate::network::Network;
use crate::supervisor::listeners;
use crate::sys::hardening;

/// Goes through all checks, also after one has failed, and prints a line for each.
pub(super) fn run(mut options: serve::Options, environment: &Environment) -> Result<(), Error> {
    let state_dir = options.settings.state_dir.as_deref();
    let config = options.config.as_deref();
    let is_service = packaged::is_meant(state_dir, config, environment);
    let environment = &packaged::surroundings(state_dir, config, environment);
    if is_service {
        // As in ExecStart= of the packaged unit.
        options.settings.require_ledger = options.settings.require_ledger.or(Some(Switch::On));
    }
    let subject = if is_service {
        Subject::Service { sealed: packaged::seal_credential().is_some() }
    } else {
        Subject::Start
    };
    let settings = config::load(options.config.as_deref(), options.settings, environment)?;
    // The daemon would do so as well: what it cannot read then, is not found now.
    owner::become_owner_of(&settings.ledger.state_dir)?;
    let findings = match hardening::harden_process() {
        Ok(()) => findings(&settings, subject),
        Err(error) => vec![Finding::wrong("process", &error)],
    };
    let report: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    output::show(&mut io::stdout(), &report).map_err(Error::Output)?;
    match findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).count() {
        0 => Ok(()),
        problems => Err(Error::Check { problems }),
    }
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
    findings.extend(state::findings(settings, subject));
    findings.extend(key_files::findings(&settings.keys));
    findings
}

fn sockets(settings: &Settings, subject: Subject) -> Vec<Finding> {
    const WHAT: &str = "sockets";
    let listeners = settings.listen.iter().map(|spec| listener(settings, spec));
    match (settings.listen_chosen, subject) {
        (true, _) => listeners.collect(),
        (false, Subject::Service { .. }) => vec![Finding::fine(WHAT, "systemd's, as the socket units say")],
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

fn listener(settings: &Settings, spec: &ListenSpec) -> Finding {
    const WHAT: &str = "listen";
    let text = format!("{} on {}, for {}", spec.role, spec.address, callers(settings, spec));
    match &spec.address {
        Address::Tcp(_) => Finding::fine(WHAT, text),
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
    match Tls::load(files) {
        Ok(_) => Finding::fine("tls", format!("with {}", files.certificate.display())),
        Err(error) => Finding::wrong("tls", &error),
    }
}

#[cfg(test)]
mod tests;
