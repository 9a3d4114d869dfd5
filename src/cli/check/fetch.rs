//! Sources of keys that a fetcher reads for the packaged service: whether it can read them, whether their keys come in,
//! and whether these outlast a restart.
//!
//! What a source's file means the fetcher knows alone. So it is asked, as the user that it runs as.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::User;
use serde::Deserialize;

use super::finding::Finding;
use crate::cli::program::{self, Heard};
use crate::cli::units::Systemd;
use crate::cli::{self, packaged};
use crate::text::OneLine;

/// The sources of the package, as root finds them.
pub(super) struct Sources {
    unit: Option<Finding>,
    files: Result<Vec<Said>, Error>,
}

/// A line of `bls-signer-fetch check --json`.
#[derive(Debug, Deserialize)]
struct Said {
    source: String,
    #[serde(flatten)]
    verdict: Verdict,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Verdict {
    Usable { says: String, sealed: String },
    Wrong { wrong: String },
}

impl Sources {
    /// Looks at all that needs root. `None` where nobody has written a source.
    pub(super) fn look(systemd: Option<&Systemd>) -> Option<Self> {
        let paths = files_in(Path::new(packaged::SOURCES));
        if paths.is_empty() {
            return None;
        }
        let properties = systemd.map(|systemd| systemd.properties(SERVICE, &["User"])).unwrap_or_default();
        let user = properties.get("User").filter(|name| !name.is_empty()).map_or(USER, String::as_str);
        let files =
            cli::fetch::program().map_err(Error::Place).and_then(|program| ask(&program, user, &paths));
        Some(Self { unit: systemd.and_then(unit), files })
    }

    /// What was found. `is_sealed`: whether the service has a secret to seal keys with.
    pub(super) fn findings(self, is_sealed: bool) -> Vec<Finding> {
        let files = match self.files {
            Ok(said) => said.into_iter().map(|said| said.finding(is_sealed)).collect(),
            Err(error) => vec![Finding::wrong(WHAT, &error)],
        };
        self.unit.into_iter().chain(files).collect()
    }
}

impl Said {
    fn finding(self, is_sealed: bool) -> Finding {
        let name = OneLine(self.source).to_string();
        match self.verdict {
            Verdict::Wrong { wrong } if wrong.contains(CREDENTIALS) => Finding::notable(
                WHAT,
                format!("{name}: {}; systemd puts it there while {SERVICE} runs", OneLine(wrong)),
            ),
            Verdict::Wrong { wrong } => {
                Finding::wrong(WHAT, &Error::Source { name, reason: OneLine(wrong).to_string() })
            }
            Verdict::Usable { sealed, .. } if !is_sealed && sealed != "never" => {
                Finding::wrong(WHAT, &Error::NoSeal { name, sealed: OneLine(sealed).to_string() })
            }
            Verdict::Usable { says, .. } => Finding::fine(WHAT, format!("{name}: {}", OneLine(says))),
        }
    }
}

/// The files of sources, and what else ends like one.
fn files_in(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    paths.sort_unstable();
    paths
}

fn ask(program: &Path, user: &str, files: &[PathBuf]) -> Result<Vec<Said>, Error> {
    // Whoever can write there has a program run, or keys taken away.
    if let Some(open) = files.iter().find(|file| is_open_to_all(file)) {
        return Err(Error::Open { file: open.clone() });
    }
    let look_up = User::from_name(user).map_err(|source| Error::LookUp { name: user.to_owned(), source })?;
    let account = look_up.ok_or_else(|| Error::NoUser { name: user.to_owned() })?;
    let mut command = Command::new(program);
    command.args(["--sources", packaged::SOURCES, "check", "--json"]);
    command.env_clear().current_dir("/").uid(account.uid.as_raw()).gid(account.gid.as_raw());
    let unanswered = || Error::Unanswered { program: program.to_owned(), user: user.to_owned() };
    let ran = program::run(command, Heard::Stdout).ok_or_else(unanswered)?;
    let said: Vec<Said> =
        ran.text.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(|_| unanswered())?;
    if said.is_empty() { Err(unanswered()) } else { Ok(said) }
}

fn is_open_to_all(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.mode() & 0o002 != 0)
}

/// What is wrong with the service that reads the sources; its socket comes and goes with it.
fn unit(systemd: &Systemd) -> Option<Finding> {
    let properties = systemd.properties(SERVICE, &["ActiveState"]);
    let state = properties.get("ActiveState").map(String::as_str).unwrap_or_default();
    match state {
        "active" | "" => None,
        "failed" => {
            let reason = systemd.last_error(SERVICE).map(|reason| format!(": {}", OneLine(reason)));
            Some(Finding::wrong(WHAT, &Error::Failed { reason: reason.unwrap_or_default() }))
        }
        state => Some(Finding::notable(
            WHAT,
            format!(
                "{SERVICE} is {state}, so no key comes from the sources in {}: 'systemctl enable --now {SOCKET} \
                 {SERVICE}'",
                packaged::SOURCES
            ),
        )),
    }
}

/// Why keys of sources do not come, or do not stay.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot find out where this program lies, beside which the fetcher is looked for")]
    Place(#[source] io::Error),
    #[error("every user can write to the source {}: take that right away (chmod o-w)", file.display())]
    Open { file: PathBuf },
    #[error("the fetcher's user {name} cannot be looked up")]
    LookUp { name: String, source: nix::Error },
    #[error("there is no user {name}, whom {SERVICE} names: 'systemd-sysusers' makes the package's")]
    NoUser { name: String },
    #[error(
        "the fetcher {} does not say what it makes of the sources in {}: try '{0} check' as the user {user}",
        program.display(),
        packaged::SOURCES
    )]
    Unanswered { program: PathBuf, user: String },
    #[error("{name}: {reason}")]
    Source { name: String, reason: String },
    #[error(
        "{name}: its keys are to be kept (sealed: {sealed}), and there is no seal secret: after a restart they sign \
         only when it has listed them again; make a secret, or say sealed = \"never\""
    )]
    NoSeal { name: String, sealed: String },
    #[error("{SERVICE} has failed{reason}")]
    Failed { reason: String },
}

const WHAT: &str = "fetch";
const SOCKET: &str = "bls-signer-fetch.socket";
const SERVICE: &str = "bls-signer-fetch.service";
const USER: &str = "bls-signer-fetch";
/// Where its credentials are while it runs (systemd.exec(5)).
const CREDENTIALS: &str = "/run/credentials/bls-signer-fetch.service";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use nix::unistd::geteuid;

    use super::*;

    /// What is made of the lines that a fetcher prints, with a seal secret and without.
    fn findings(script: &str) -> [String; 2] {
        [true, false].map(|is_sealed| {
            let directory = tempfile::tempdir().unwrap();
            fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
            let program = directory.path().join("fetcher");
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
            let own = User::from_uid(geteuid()).unwrap().unwrap().name;
            let sources = Sources { unit: None, files: ask(&program, &own, &[]) };
            sources.findings(is_sealed).iter().map(|finding| format!("{finding}\n")).collect()
        })
    }

    #[test]
    fn each_source_is_said_and_one_whose_keys_could_not_be_kept_is_wrong() {
        let script = r#"[ "$*" = "--sources /etc/bls-signer/sources.d check --json" ] || exit 1
            echo '{"source": "a", "says": "of a vault", "sealed": "always"}'
            echo '{"source": "b", "says": "printed", "sealed": "never"}'"#;
        let [sealed, unsealed] = findings(script);
        assert_eq!(sealed, "ok    fetch     a: of a vault\nok    fetch     b: printed\n");
        assert!(
            unsealed.starts_with("WRONG fetch     a: its keys are to be kept (sealed: always)"),
            "{unsealed}"
        );
        assert!(unsealed.ends_with("ok    fetch     b: printed\n"), "{unsealed}");
    }

    #[test]
    fn a_source_that_is_wrong_is_so_and_a_credential_that_is_not_there_yet_is_no_fault() {
        let script = r#"echo '{"source": "a", "wrong": "it is not understood"}'
            echo '{"source": "b", "wrong": "the credential /run/credentials/bls-signer-fetch.service/t cannot be used"}'
            exit 78"#;
        let [said, _] = findings(script);
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines[0], "WRONG fetch     a: it is not understood");
        assert!(lines[1].starts_with("note  fetch     b: the credential"), "{said}");
    }

    #[test]
    fn a_fetcher_that_does_not_answer_and_a_user_who_is_not_there_are_wrong() {
        for script in ["exit 1", "echo no JSON"] {
            let [said, _] = findings(script);
            assert!(said.starts_with("WRONG fetch     the fetcher "), "{said}");
        }
        let nobody = ask(Path::new("/bin/true"), "no-such-user", &[]);
        assert!(matches!(nobody, Err(Error::NoUser { .. })));
    }

    #[test]
    fn a_source_that_every_user_can_write_to_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.toml");
        fs::write(&file, "").unwrap();
        fs::write(directory.path().join("a.txt"), "").unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(files_in(directory.path()), std::slice::from_ref(&file));
        assert!(matches!(ask(Path::new("/bin/true"), "root", &[file]), Err(Error::Open { .. })));
        assert!(files_in(Path::new("/nonexistent")).is_empty());
    }
}
