//! Clients as a table: who can have what signed, and who can have nothing.

use super::finding::Finding;
use crate::clients::{Client, Clients, Identity, Keys};
use crate::config::{Address, Settings};
use crate::duty::Kind;
use crate::duty_group::DutyGroup;

/// A line for each client, and what is remarkable about some.
pub(super) fn findings(settings: &Settings) -> Vec<Finding> {
    let clients = match Clients::load(&settings.client_sources) {
        Ok(clients) => clients,
        Err(error) => return vec![Finding::wrong(WHAT, &error)],
    };
    if !clients.are_named() {
        return vec![Finding::fine(WHAT, "none is named: whoever is let in may have everything signed")];
    }
    let mut findings = vec![Finding::fine(WHAT, heading())];
    findings.extend(
        clients.named_clients().map(|(name, client)| Finding::fine(WHAT, row(&name.to_string(), client))),
    );
    findings.extend(clients.warnings().iter().map(|warning| Finding::notable(WHAT, warning)));
    let mut earlier: Vec<(String, &Identity)> = Vec::new();
    for (name, client) in clients.named_clients() {
        let identity = client.identity();
        if let Some((first, _)) = earlier.iter().find(|(_, other)| other.is_met_by_all_of(identity)) {
            let text = format!("nobody is {name}: whoever could be is {first}, which stands before it");
            findings.push(Finding::notable(WHAT, text));
        }
        findings.extend(without_listener(settings, &name.to_string(), identity));
        earlier.push((name.to_string(), identity));
    }
    findings
}

fn heading() -> String {
    format!(
        "{:<NAME_COLUMNS$} {:>KEYS_COLUMNS$} {}",
        "client",
        "keys",
        DutyGroup::ALL.iter().map(|group| group.name()).collect::<Vec<_>>().join(" ")
    )
}

/// A client's keys, and a mark below each duty that it may have signed.
fn row(name: &str, client: &Client) -> String {
    let keys = match client.keys() {
        Keys::All => "all".to_owned(),
        Keys::Listed(keys) => keys.len().to_string(),
    };
    let marks = DutyGroup::ALL.iter().map(|group| {
        let is_once = *group == DutyGroup::Exit && client.has_one_of(Kind::VoluntaryExit);
        let mark = match (client.may(*group), is_once) {
            (true, true) => "once",
            (true, false) => "yes",
            (false, true | false) => "-",
        };
        format!("{mark:<width$}", width = group.name().len())
    });
    format!("{name:<NAME_COLUMNS$} {keys:>KEYS_COLUMNS$} {}", marks.collect::<Vec<_>>().join(" "))
        .trim_end()
        .to_owned()
}

/// A client that is known by what no listener can tell.
fn without_listener(settings: &Settings, name: &str, identity: &Identity) -> Option<Finding> {
    let demands_certificate = settings.tls.as_ref().is_some_and(|tls| tls.demands_client_certificate());
    if identity.demands_certificate() && !demands_certificate {
        let text = format!(
            "nobody is {name}: it is known by a certificate, and none is asked for without --tls-client-ca or \
             --tls-known-clients-file"
        );
        return Some(Finding::notable(WHAT, text));
    }
    let all_tcp = settings.listen.iter().all(|spec| matches!(spec.address, Address::Tcp(_)));
    if identity.demands_process() && settings.listen_chosen && all_tcp {
        let text =
            format!("nobody is {name}: it is known by its user or group, which only a Unix socket tells");
        return Some(Finding::notable(WHAT, text));
    }
    None
}

const WHAT: &str = "clients";
const NAME_COLUMNS: usize = 16;
const KEYS_COLUMNS: usize = 6;
