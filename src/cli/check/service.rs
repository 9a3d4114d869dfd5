//! What only the packaged service has: its sockets, its seal secret, and how little its user sees from inside of the
//! unit.
//!
//! Root looks at the first two and then goes where the service is: behind the same walls, as the same user, for good.
//! What is found after that is what the service would find.

use std::collections::BTreeMap;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::User;

use super::finding::Finding;
use crate::cli::units::{Credential, SERVICE, Systemd};
use crate::cli::{owner, packaged};
use crate::config::{Address, ListenSpec, Role};

/// What root alone can see of the service: its socket units and whether this host opens its seal.
pub(super) fn findings(systemd: Option<&Systemd>) -> Vec<Finding> {
    let Some(systemd) = systemd else {
        return vec![Finding::notable("sockets", "systemd does not run here, and the service needs it")];
    };
    let sockets = SOCKETS.iter().map(|socket| listens(socket, &properties_of(socket.unit, systemd), systemd));
    sockets.chain(seal(systemd)).collect()
}

/// Where the sockets that systemd listens on for the service can be reached over TCP, with what is served there.
pub(super) fn tcp_listeners(systemd: Option<&Systemd>) -> Vec<ListenSpec> {
    let Some(systemd) = systemd else { return Vec::new() };
    // An administrator's own sockets are among them.
    let service = systemd.properties(SERVICE, &["TriggeredBy"]);
    let units = service.get("TriggeredBy").map(|units| units.split_whitespace()).into_iter().flatten();
    let names = ["ActiveState", "FileDescriptorName", "Listen"];
    units.flat_map(|unit| tcp_listeners_of(&systemd.properties(unit, &names))).collect()
}

fn tcp_listeners_of(socket: &BTreeMap<String, String>) -> Vec<ListenSpec> {
    let value = |name: &str| socket.get(name).map(String::as_str).unwrap_or_default();
    let Ok(role) = value("FileDescriptorName").parse::<Role>() else { return Vec::new() };
    if value("ActiveState") != "active" {
        return Vec::new();
    }
    // As in "[::]:9000 (Stream)".
    let words = value("Listen").split([' ', ',', '\n']);
    let addresses = words.filter_map(|word| word.parse().ok());
    addresses.map(|address| ListenSpec { role, address: Address::Tcp(address) }).collect()
}

/// Makes this process see what the service sees. Works once, before there is a second thread.
///
/// # Errors
/// The service has no user, or its rights cannot be taken on.
pub(super) fn enter(systemd: Option<&Systemd>) -> Result<Finding, Error> {
    let names = ["User", "ProtectHome", "PrivateTmp", "BindPaths", "BindReadOnlyPaths"];
    let unit = systemd.map(|systemd| systemd.properties(SERVICE, &names)).unwrap_or_default();
    let name = unit.get("User").filter(|name| !name.is_empty()).map_or(USER, String::as_str);
    let user = User::from_name(name).map_err(|source| Error::LookUp { name: name.to_owned(), source })?;
    let user = user.ok_or_else(|| Error::NoUser { name: name.to_owned() })?;
    let hidden = hidden_by(&unit);
    let walls = wall_off(&hidden);
    owner::become_user(user)?;
    let paths: Vec<_> = hidden.iter().map(|hidden| hidden.path).collect();
    Ok(match (walls, paths.is_empty()) {
        (Ok(()), true) => Finding::fine(EYES, format!("looked at as the user {name}")),
        (Ok(()), false) => {
            let text = format!("looked at as the user {name}, from whom the unit hides {}", paths.join(", "));
            Finding::fine(EYES, text)
        }
        (Err(error), _) => {
            let text = format!(
                "looked at as the user {name}, but not from inside of the unit, which hides {}: {error}",
                paths.join(", ")
            );
            Finding::notable(EYES, text)
        }
    })
}

struct Socket {
    unit: &'static str,
    /// What is lost while it does not listen.
    serves: Serves,
}

#[derive(Clone, Copy)]
enum Serves {
    Signing,
    Keymanager,
    /// Only where it is asked for.
    SigningOnTcp,
    /// As well.
    Metrics,
    /// As well.
    FetchedKeys,
}

fn properties_of(unit: &str, systemd: &Systemd) -> BTreeMap<String, String> {
    systemd.properties(unit, &["ActiveState", "UnitFileState", "Result", "Listen"])
}

fn listens(socket: &Socket, properties: &BTreeMap<String, String>, systemd: &Systemd) -> Finding {
    const WHAT: &str = "sockets";
    let value = |name: &str| properties.get(name).map(String::as_str).unwrap_or_default();
    let (unit, file) = (socket.unit, value("UnitFileState"));
    match value("ActiveState") {
        "active" => Finding::fine(WHAT, format!("{unit} listens on {}", value("Listen"))),
        "failed" => {
            let (result, reason) = (value("Result").to_owned(), systemd.last_error(unit));
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            Finding::wrong(WHAT, &Error::SocketFailed { unit, result, reason })
        }
        "inactive" if file.starts_with("enabled") => Finding::wrong(WHAT, &Error::SocketDown { unit }),
        "inactive" => match socket.serves {
            Serves::Signing => Finding::wrong(WHAT, &Error::SocketOff { unit, file: file.to_owned() }),
            Serves::Keymanager => Finding::notable(
                WHAT,
                format!("{unit} does not listen and is {file}: no keys can be managed"),
            ),
            Serves::SigningOnTcp | Serves::Metrics | Serves::FetchedKeys => {
                Finding::fine(WHAT, format!("{unit} is {file}"))
            }
        },
        "" => Finding::notable(WHAT, format!("systemd does not say how {unit} is")),
        state => Finding::notable(WHAT, format!("{unit} is {state}")),
    }
}

fn seal(systemd: &Systemd) -> Option<Finding> {
    const WHAT: &str = "seal";
    let path = packaged::seal_credential()?;
    let is_encrypted = path.parent().is_some_and(|store| store.extension().is_some());
    if !is_encrypted {
        return None;
    }
    let shown = path.display().to_string();
    Some(match systemd.credential("seal", &path) {
        Credential::Opens => Finding::fine(WHAT, format!("{shown} opens on this host")),
        Credential::Closed { reason } => Finding::wrong(WHAT, &Error::Seal { path: shown, reason }),
        Credential::Untried => {
            Finding::notable(WHAT, format!("{shown}: systemd-creds does not say whether it opens"))
        }
    })
}

/// A directory that the unit hides from the service, and how.
struct Hidden {
    path: &'static str,
    options: &'static str,
}

fn hidden_by(unit: &BTreeMap<String, String>) -> Vec<Hidden> {
    let value = |name: &str| unit.get(name).map(String::as_str);
    // Holes in the walls are the administrator's own; nobody can say from here what is behind them.
    if ["BindPaths", "BindReadOnlyPaths"]
        .into_iter()
        .any(|name| value(name).is_some_and(|paths| !paths.is_empty()))
    {
        return Vec::new();
    }
    // As packaged, where systemd does not say.
    let homes = match value("ProtectHome") {
        None | Some("yes") => Some("mode=000"),
        Some("tmpfs") => Some("mode=755"),
        Some(_) => None,
    };
    let temporary = matches!(value("PrivateTmp"), None | Some("yes" | "disconnected"));
    let homes = homes.into_iter().flat_map(|options| HOMES.map(|path| Hidden { path, options }));
    let temporary =
        TEMPORARY.into_iter().filter(|_| temporary).map(|path| Hidden { path, options: "mode=1777" });
    homes.chain(temporary).collect()
}

/// Lays an empty file system over each directory, for this process alone.
fn wall_off(hidden: &[Hidden]) -> nix::Result<()> {
    if hidden.is_empty() {
        return Ok(());
    }
    let nothing = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_SLAVE, nothing)?;
    for Hidden { path, options } in hidden.iter().filter(|hidden| Path::new(hidden.path).is_dir()) {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("tmpfs"), *path, Some("tmpfs"), flags, Some(*options))?;
    }
    Ok(())
}

/// What keeps the service from being what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{unit} has failed ({result}): does another program listen at its address?{reason}")]
    SocketFailed { unit: &'static str, result: String, reason: String },
    #[error("{unit} is enabled and does not listen: 'systemctl start {unit}'")]
    SocketDown { unit: &'static str },
    #[error(
        "{unit} does not listen and is {file}, so nobody can sign through it: 'systemctl unmask {unit}', then \
         'systemctl enable --now {unit}'"
    )]
    SocketOff { unit: &'static str, file: String },
    #[error(
        "the seal secret {path} does not open on this host: {reason}. It opens only where it was made, by that host's \
         key or TPM: restore the secret itself there, or make a new one and import the keys again"
    )]
    Seal { path: String, reason: String },
    #[error("the service's user {name} cannot be looked up")]
    LookUp { name: String, source: nix::Error },
    #[error("there is no user {name}, whom the unit names: 'systemd-sysusers' makes the package's")]
    NoUser { name: String },
    #[error(transparent)]
    Become(#[from] owner::Error),
}

const SOCKETS: [Socket; 5] = [
    Socket { unit: "bls-signer.socket", serves: Serves::Signing },
    Socket { unit: "bls-signer-keymanager.socket", serves: Serves::Keymanager },
    Socket { unit: "bls-signer-tcp.socket", serves: Serves::SigningOnTcp },
    Socket { unit: "bls-signer-metrics.socket", serves: Serves::Metrics },
    Socket { unit: "bls-signer-fetch.socket", serves: Serves::FetchedKeys },
];
const EYES: &str = "eyes";
const USER: &str = "bls-signer";
/// What `ProtectHome=` is about (systemd.exec(5)).
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn said(socket: &Socket, active: &str, file: &str) -> String {
        let properties = properties(&[
            ("ActiveState", active),
            ("UnitFileState", file),
            ("Listen", "/s"),
            ("Result", "resources"),
        ]);
        listens(socket, &properties, &Systemd::nowhere()).to_string()
    }

    #[test]
    fn a_socket_that_does_not_listen_is_never_fine_unless_nobody_asked_for_it() {
        let [signing, keymanager, tcp, metrics, fetch] = SOCKETS;
        for socket in [&signing, &keymanager, &tcp, &metrics, &fetch] {
            assert!(said(socket, "active", "enabled").starts_with("ok"));
            assert!(said(socket, "failed", "enabled").starts_with("WRONG"));
            assert!(said(socket, "failed", "enabled").contains("resources"));
            assert!(said(socket, "inactive", "enabled").contains("systemctl start"));
            assert!(said(socket, "", "").starts_with("note"));
        }
        assert!(said(&signing, "inactive", "masked").starts_with("WRONG"));
        assert!(said(&signing, "inactive", "disabled").contains("systemctl enable --now"));
        assert!(said(&keymanager, "inactive", "masked").starts_with("note"));
        for socket in [&tcp, &metrics, &fetch] {
            assert!(said(socket, "inactive", "disabled").starts_with("ok"));
        }
    }

    #[test]
    fn what_a_socket_unit_opens_over_tcp_is_read_from_it() {
        let listeners = |active: &str, name: &str, listen: &str| -> Vec<_> {
            let socket =
                properties(&[("ActiveState", active), ("FileDescriptorName", name), ("Listen", listen)]);
            tcp_listeners_of(&socket).iter().map(|spec| format!("{}={}", spec.role, spec.address)).collect()
        };
        let two = "127.0.0.1:9000 (Stream), [::]:9001 (Stream)";
        assert_eq!(listeners("active", "signing", two), ["signing=127.0.0.1:9000", "signing=[::]:9001"]);
        assert_eq!(listeners("active", "keymanager", "10.0.0.1:1 (Stream)"), ["keymanager=10.0.0.1:1"]);
        assert!(listeners("active", "signing", "/run/bls-signer/signer.sock (Stream)").is_empty());
        assert!(listeners("inactive", "signing", two).is_empty());
        assert!(listeners("", "", "").is_empty());
    }

    #[test]
    fn what_the_unit_hides_is_read_from_it_and_else_as_packaged() {
        let paths = |pairs: &[(&str, &str)]| -> Vec<_> {
            hidden_by(&properties(pairs)).into_iter().map(|hidden| hidden.path).collect()
        };
        assert_eq!(paths(&[]), ["/home", "/root", "/run/user", "/tmp", "/var/tmp"]);
        assert_eq!(paths(&[("ProtectHome", "no"), ("PrivateTmp", "yes")]), TEMPORARY);
        assert_eq!(paths(&[("ProtectHome", "tmpfs"), ("PrivateTmp", "no")]), HOMES);
        assert!(paths(&[("ProtectHome", "read-only"), ("PrivateTmp", "no")]).is_empty());
        assert!(paths(&[("BindReadOnlyPaths", "/home/x/keys")]).is_empty());
        let unit = include_str!("../../../systemd/system/bls-signer.service");
        for line in ["ProtectHome=yes", "PrivateTmp=yes", "User=bls-signer"] {
            assert!(unit.lines().any(|other| other == line), "{line}");
        }
    }
}
