//! First stage: what one source says, every option optional. Each field is a flag, a variable and a key of the file.

use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, FromArgMatches};
use serde::Deserialize;

use super::tokens::{TokenFile, token_files};
use super::{AuthToken, Environment, Error, ListenSpec, LogLevel, RawRoots, Switch};

use crate::regular_file::{RegularFile, refuse_exposed};
use crate::text::{self, OneLine};

/// The options of the daemon, as one source gives them.
#[derive(Args, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSettings {
    /// Listen for a role: ROLE=unix:/path or ROLE=host:port [default: --host and --port]
    ///
    /// Roles are signing, keymanager, metrics (health alone, which every role has) and all. Give it once for each
    /// listener. Sockets that systemd hands over take its place.
    #[arg(long, value_name = "ROLE=ADDR", value_delimiter = ',', help_heading = LISTENING)]
    pub(crate) listen: Option<Vec<ListenSpec>>,
    /// Address to serve everything on: an IP address or localhost [default: 127.0.0.1]
    #[arg(long, value_name = "HOST", help_heading = LISTENING)]
    pub(crate) host: Option<String>,
    /// Port to serve everything on; 0 takes a free one [default: 8080]
    #[arg(long, value_name = "PORT", help_heading = LISTENING)]
    pub(crate) port: Option<u16>,

    /// Certificate chain for TLS on TCP listeners (PEM)
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_key: Option<PathBuf>,
    /// Demand client certificates that these authorities signed (PEM)
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Lists of the certificates that these authorities have revoked (PEM)
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_client_crl: Option<PathBuf>,
    /// Demand client certificates with these fingerprints: lines of a name and a SHA-256, as for Web3Signer
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_known_clients_file: Option<PathBuf>,
    /// Bearer token that every request but health must carry; other users can see it here, so better use a file
    #[arg(long, value_name = "TOKEN", value_parser = token, help_heading = ACCESS)]
    pub(crate) auth_token: Option<AuthToken>,
    /// File with the bearer token; signing=FILE or keymanager=FILE for the routes of one role [default: the systemd credentials
    /// auth-token, auth-token-signing and auth-token-keymanager]
    ///
    /// Give it once for each role. A FILE without a role holds for every one that has none of its own. Every user may not
    /// read it, and only its owner may write it.
    #[arg(long, value_name = "[ROLE=]FILE", value_delimiter = ',', help_heading = ACCESS)]
    #[serde(default, deserialize_with = "token_files")]
    pub(crate) auth_token_file: Option<Vec<TokenFile>>,
    // Not a doc comment: rustdoc would take the address for a link.
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', help_heading = ACCESS, help = HOST_ALLOWLIST)]
    pub(crate) http_host_allowlist: Option<Vec<String>>,
    /// Origins that requests may name, such as http://tool.example:8000, for tools that name one although they are no browsers
    /// [default: none]
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',', help_heading = ACCESS)]
    pub(crate) http_origin_allowlist: Option<Vec<String>>,

    /// Network of the validators: a name or the path of a consensus config.yaml [default: mainnet]
    #[arg(long, value_name = "NETWORK", help_heading = SIGNING)]
    pub(crate) network: Option<String>,
    /// Directory of the slashing-protection ledger and the sealed keys
    /// [default: $STATE_DIRECTORY; for root and the service's user where the package is installed, the package's; else
    /// $XDG_STATE_HOME/bls-signer or ~/.local/state/bls-signer]
    #[arg(long, value_name = "DIRECTORY", help_heading = SIGNING)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Refuse what could get a validator slashed [default: on]
    #[arg(long, value_name = "SWITCH", help_heading = SIGNING)]
    pub(crate) slashing_protection: Option<Switch>,
    /// Do not start without an existing ledger, instead of creating one. With --keystores-path, --key-config-path or
    /// --seal-file that is always so: 'slashing-protection init' creates one
    #[arg(long, value_name = "SWITCH", num_args = 0..=1, require_equals = true, default_missing_value = "on",
          help_heading = SIGNING)]
    pub(crate) require_ledger: Option<Switch>,
    /// Whether to sign roots that come without their duty [default: unprotected-keys]
    #[arg(long, value_name = "POLICY", help_heading = SIGNING)]
    pub(crate) raw_roots: Option<RawRoots>,

    /// Refuse blocks and attestations more than two years ahead of clock and records, where the network's genesis is known: a
    /// broken client could otherwise lock a key until then [default: on]
    #[arg(long, value_name = "SWITCH", help_heading = SIGNING)]
    pub(crate) refuse_far_future: Option<Switch>,
    /// Secret that seals imported keys on disk [default: the systemd credential seal; else keys live in memory only]
    #[arg(long, value_name = "FILE", help_heading = KEYS)]
    pub(crate) seal_file: Option<PathBuf>,
    /// Directory of EIP-2335 keystores to load
    #[arg(long, value_name = "DIRECTORY", help_heading = KEYS)]
    pub(crate) keystores_path: Option<PathBuf>,
    /// Their passwords: one file for all, or a directory of NAME.txt, NAME or 0xPUBKEY
    #[arg(long, value_name = "PATH", help_heading = KEYS)]
    pub(crate) keystores_passwords_path: Option<PathBuf>,
    /// Directory of Web3Signer key configuration files (YAML)
    #[arg(long, value_name = "DIRECTORY", help_heading = KEYS)]
    pub(crate) key_config_path: Option<PathBuf>,
    /// Hand keys in memory to systemd's file descriptor store, so that they survive a restart [default: on without a
    /// seal secret]
    #[arg(long, value_name = "SWITCH", help_heading = KEYS)]
    pub(crate) fd_store: Option<Switch>,
    /// Memory for decrypting keystores, in MiB [default: 512]
    #[arg(long, value_name = "MIB", help_heading = KEYS)]
    pub(crate) kdf_memory: Option<NonZeroU32>,

    /// Connections open at one time on each listener, a quarter of it where no signatures are asked for; then idle ones are
    /// closed for new ones [default: 1024]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(crate) max_connections: Option<NonZeroUsize>,
    /// Requests signed for at one time, on the listeners of each role; more wait [default: 512]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(crate) max_requests: Option<NonZeroUsize>,
    /// Seconds that a request's head may take [default: 10]
    #[arg(long, value_name = "SECONDS", help_heading = LIMITS)]
    pub(crate) header_timeout: Option<NonZeroU32>,
    /// Seconds after which an idle connection is closed [default: 900]
    #[arg(long, value_name = "SECONDS", help_heading = LIMITS)]
    pub(crate) idle_timeout: Option<NonZeroU32>,
    /// Seconds that a block or an attestation may wait for its record on disk, before the answer is 500 [default: 4]
    #[arg(long, value_name = "SECONDS", help_heading = LIMITS)]
    pub(crate) ledger_timeout: Option<NonZeroU32>,

    /// How much to log [default: info]
    #[arg(long, value_name = "LEVEL", ignore_case = true, help_heading = LOGGING)]
    pub(crate) log_level: Option<LogLevel>,
}

impl RawSettings {
    /// What a TOML file says. Unknown keys are refused; so is a token in a file that every user can read.
    pub(super) fn from_file(path: &Path) -> Result<Self, Error> {
        let text = RegularFile::open(path)
            .and_then(|file| file.read_text(MAX_FILE_BYTES))
            .map_err(|source| Error::File { what: FILE, path: path.to_owned(), source })?;
        let settings = Self::from_toml(&text).map_err(|(line, reason)| Error::Parse {
            path: path.to_owned(),
            line,
            reason,
        })?;
        if settings.auth_token.is_some() {
            let what = "the configuration file with its auth_token";
            let metadata =
                fs::metadata(path).map_err(|source| Error::Read { what, path: path.to_owned(), source })?;
            refuse_exposed(metadata.permissions().mode()).map_err(|source| Error::File {
                what,
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(settings)
    }

    /// The same for the text itself; an error is a line and a reason.
    pub(super) fn from_toml(text: &str) -> Result<Self, (usize, String)> {
        // The error's own display quotes the line, and the line may hold the token.
        let text = text::unmarked(text);
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            (
                before.matches('\n').count().saturating_add(1),
                OneLine(with_what_was_meant(error.message())).to_string(),
            )
        })
    }

    /// What `BLS_SIGNER_*` variables say. One that is set to nothing counts as absent, except for the token: an empty
    /// one is a mistake that would leave the door open.
    pub(super) fn from_environment(environment: &Environment) -> Result<Self, Error> {
        let command = Self::augment_args(clap::Command::new("environment").no_binary_name(true));
        let mut flags = Vec::new();
        for long in command.get_arguments().filter_map(clap::Arg::get_long) {
            let variable = variable(long);
            let value = match long {
                "auth-token" => environment.given(&variable),
                _ if ServiceLinks::include(&variable, environment) => None,
                _ => environment.value(&variable),
            };
            let Some(value) = value else { continue };
            let mut flag = std::ffi::OsString::from(format!("--{long}="));
            flag.push(value);
            command
                .clone()
                .try_get_matches_from([&flag])
                .map_err(|error| Error::Variable { variable, reason: one_line(&error) })?;
            flags.push(flag);
        }
        command
            .try_get_matches_from(flags)
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| Error::Variable { variable: PREFIX.to_owned(), reason: one_line(&error) })
    }

    /// The `BLS_SIGNER_*` variables that mean nothing: perhaps misspelt, perhaps another program's.
    pub(super) fn unknown_variables(environment: &Environment) -> Vec<String> {
        let command = Self::augment_args(clap::Command::new("environment"));
        let known: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).map(variable).collect();
        environment
            .names_with_prefix(PREFIX)
            .filter(|name| *name != "BLS_SIGNER_CONFIG" && !known.iter().any(|known| known == name))
            .filter(|name| !ServiceLinks::include(name, environment))
            .map(str::to_owned)
            .collect()
    }

    /// A variable that Kubernetes or Docker set because a service is named like the program, if there is one.
    pub(super) fn service_link(environment: &Environment) -> Option<&str> {
        environment.names_with_prefix(PREFIX).find(|name| ServiceLinks::include(name, environment))
    }
}

/// The variables that Kubernetes and Docker give every container beside a service `bls-signer`: no options of ours.
struct ServiceLinks;

impl ServiceLinks {
    /// Whether the variable of this name is one of them: `BLS_SIGNER_PORT` where it is a URL, `BLS_SIGNER_SERVICE_*` and
    /// `BLS_SIGNER_PORT_9000_TCP*`.
    fn include(variable: &str, environment: &Environment) -> bool {
        let Some(name) = variable.strip_prefix(PREFIX) else { return false };
        if name == "PORT" {
            return environment.text(variable).is_some_and(|value| value.contains("://"));
        }
        let number = name.strip_prefix("PORT_").and_then(|rest| rest.split_once('_'));
        number.is_some_and(|(port, _)| port.parse::<u16>().is_ok())
            || name == "SERVICE_HOST"
            || name == "SERVICE_PORT"
            || name.starts_with("SERVICE_PORT_")
    }
}

fn variable(long: &str) -> String {
    format!("{PREFIX}{}", long.to_ascii_uppercase().replace('-', "_"))
}

/// What the parser says of a key that there is not, with the one that is most like it instead of all.
fn with_what_was_meant(message: &str) -> String {
    let unknown =
        message.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, expected one of "));
    let Some((unknown, known)) = unknown else { return message.to_owned() };
    let known = known.split(", ").map(|name| name.trim_matches('`'));
    let furthest = unknown.len().div_ceil(3);
    match known.map(|name| (changes(unknown, name), name)).min() {
        Some((changes, name)) if changes <= furthest => {
            format!("unknown field `{unknown}`: did you mean `{name}`?")
        }
        Some(_) | None => {
            format!("unknown field `{unknown}`: bls-signer.toml(5) and 'serve --help' list the options")
        }
    }
}

/// How many characters have to be put in, taken out or replaced to make one text of the other.
fn changes(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, left) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), at.saturating_add(1));
        let mut before = at.saturating_add(1);
        for (cell, right) in row.iter_mut().skip(1).zip(other.chars()) {
            let replaced = diagonal.saturating_add(usize::from(left != right));
            diagonal = *cell;
            *cell = replaced.min(before.saturating_add(1)).min(cell.saturating_add(1));
            before = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Never fails, because clap shows a value that its parser refuses.
fn token(text: &str) -> Result<AuthToken, std::convert::Infallible> {
    Ok(AuthToken::unchecked(text.to_owned()))
}

/// The statement of clap's error, without its advice about `--help`.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let statement = text.split("\n\n").next().unwrap_or_default();
    let statement = statement.strip_prefix("error: ").unwrap_or(statement);
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

const PREFIX: &str = "BLS_SIGNER_";
const FILE: &str = "the configuration file";
/// A usual one has less than 10 KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;
const LISTENING: &str = "Listening";
const ACCESS: &str = "Access";
const SIGNING: &str = "Signing";
const KEYS: &str = "Keys";
const LIMITS: &str = "Limits";
const LOGGING: &str = "Logging";

const HOST_ALLOWLIST: &str =
    "Host names that TCP requests may name; * for any [default: localhost,127.0.0.1,[::1]]";

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    const EXAMPLE: &str = include_str!("../../packaging/config.toml");

    fn from_environment(variables: &[(&str, &str)]) -> Result<RawSettings, Error> {
        RawSettings::from_environment(&variables.iter().copied().collect())
    }

    #[test]
    fn the_file_refuses_unknown_keys_with_the_line() {
        let (line, reason) = RawSettings::from_toml("port = 1\n\nprot = 2\n").err().unwrap();
        assert_eq!(line, 3);
        assert_eq!(reason, "unknown field `prot`: did you mean `port`?");
        for (key, meant) in
            [("log-level", "log_level"), ("netwerk", "network"), ("keystore_path", "keystores_path")]
        {
            let (_, reason) = RawSettings::from_toml(&format!("{key} = 1")).err().unwrap();
            assert!(reason.ends_with(&format!("did you mean `{meant}`?")), "{reason}");
        }
        let (_, reason) = RawSettings::from_toml("zebra = 1").err().unwrap();
        assert!(reason.contains("bls-signer.toml(5)"), "{reason}");
    }

    #[test]
    fn changes_between_words_are_counted() {
        for (one, other, expected) in
            [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
        {
            assert_eq!(changes(one, other), expected, "{one} {other}");
            assert_eq!(changes(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn the_example_file_is_valid_as_shipped_and_sets_what_a_package_must_not_leave_open() {
        assert!(RawSettings::from_toml(EXAMPLE).is_ok());
        let shipped: toml::Table = EXAMPLE.parse().unwrap();
        let expected: toml::Table =
            "state_dir = '/var/lib/bls-signer'\nrequire_ledger = true\nraw_roots = 'refuse'".parse().unwrap();
        assert_eq!(shipped, expected);
    }

    #[test]
    fn the_example_file_has_every_key_in_a_valid_form() {
        // A key's line may have a comment sign, but no space after it; prose has one.
        let keys: Vec<_> = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix('#').unwrap_or(line))
            .filter(|line| !line.is_empty() && !line.starts_with(' '))
            .collect();
        let uncommented: toml::Table = keys.join("\n").parse().unwrap();
        let command = RawSettings::augment_args(clap::Command::new("test"));
        let mut options: Vec<_> =
            command.get_arguments().map(|option| option.get_long().unwrap().replace('-', "_")).collect();
        options.sort();
        assert_eq!(uncommented.keys().cloned().collect::<Vec<_>>(), options);
        for key in keys {
            assert!(RawSettings::from_toml(key).is_ok(), "{key}");
        }
    }

    #[test]
    fn an_error_in_the_file_never_shows_the_token() {
        for text in [
            "auth_token = \"hush-hush",
            "auth_token = 4711",
            "auth_token = [\"hush-hush\"]",
            "auth_token = hush-hush",
        ] {
            let (_, reason) = RawSettings::from_toml(text).err().unwrap();
            assert!(!reason.contains("hush") && !reason.contains("4711"), "{text}: {reason}");
        }
    }

    proptest! {
        #[test]
        fn no_error_in_the_file_quotes_its_values(before in "[a-z_=\\[\\]\"'\\n ]{0,30}", after in "[a-z_=\\[\\]\"'\\n ]{0,30}") {
            if let Err((_, reason)) = RawSettings::from_toml(&format!("{before}\nauth_token = \"4711hush\"{after}")) {
                prop_assert!(!reason.contains("4711hush"), "{}", reason);
            }
        }
    }

    #[test]
    fn a_token_in_a_world_readable_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let with_mode = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            RawSettings::from_file(&path)
        };
        assert!(matches!(with_mode("auth_token = 'x'", 0o644).err(), Some(Error::File { .. })));
        assert!(matches!(with_mode("auth_token = 'x'", 0o660).err(), Some(Error::File { .. })));
        assert!(with_mode("auth_token = 'x'", 0o640).is_ok());
        assert!(with_mode("port = 1", 0o644).is_ok());
    }

    #[test]
    fn switches_are_words_or_booleans_in_the_file() {
        for (text, expected) in ["\"on\"", "\"yes\"", "\"true\"", "\"1\"", "true"]
            .map(|text| (text, Switch::On))
            .into_iter()
            .chain(["\"off\"", "\"no\"", "\"false\"", "\"0\"", "false"].map(|text| (text, Switch::Off)))
        {
            let settings = RawSettings::from_toml(&format!("slashing_protection = {text}")).ok().unwrap();
            assert_eq!(settings.slashing_protection, Some(expected), "{text}");
        }
        assert!(RawSettings::from_toml("slashing_protection = \"maybe\"").is_err());
    }

    #[test]
    fn every_kind_of_option_is_read_from_the_environment() {
        let settings = from_environment(&[
            ("BLS_SIGNER_PORT", "9000"),
            ("BLS_SIGNER_LISTEN", "signing=unix:/a,keymanager=unix:/b"),
            ("BLS_SIGNER_LOG_LEVEL", "DEBUG"),
            ("BLS_SIGNER_REQUIRE_LEDGER", "true"),
            ("BLS_SIGNER_AUTH_TOKEN", "--looks-like-a-flag"),
            ("BLS_SIGNER_NETWORK", ""),
            ("PORT", "1"),
        ])
        .ok()
        .unwrap();
        assert_eq!(settings.port, Some(9000));
        assert_eq!(settings.listen.map(|listen| listen.len()), Some(2));
        assert_eq!(settings.log_level, Some(LogLevel::Debug));
        assert_eq!(settings.require_ledger, Some(Switch::On));
        assert_eq!(settings.auth_token.unwrap().reveal(), "--looks-like-a-flag");
        assert_eq!(settings.network, None);
    }

    #[test]
    fn a_bad_variable_is_named_with_its_value() {
        let error = from_environment(&[("BLS_SIGNER_PORT", "nine thousand")]).err().unwrap().to_string();
        assert!(error.contains("BLS_SIGNER_PORT") && error.contains("nine thousand"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        let error = from_environment(&[("BLS_SIGNER_LOG_LEVEL", "loud")]).err().unwrap().to_string();
        assert!(error.contains("off, error, warn"), "{error}");
    }

    #[test]
    fn an_empty_token_in_the_environment_is_not_the_same_as_none() {
        assert_eq!(
            from_environment(&[("BLS_SIGNER_AUTH_TOKEN", "")]).ok().unwrap().auth_token.unwrap().reveal(),
            ""
        );
    }

    #[test]
    fn unknown_variables_are_listed() {
        let environment =
            [("BLS_SIGNER_PROT", "1"), ("BLS_SIGNER_PORT", "1"), ("BLS_SIGNER_CONFIG", "x"), ("HOME", "/")];
        assert_eq!(RawSettings::unknown_variables(&environment.into_iter().collect()), ["BLS_SIGNER_PROT"]);
    }

    #[test]
    fn the_links_of_a_service_of_this_name_are_no_options() {
        let environment: Environment = [
            ("BLS_SIGNER_PORT", "tcp://10.0.0.1:9000"),
            ("BLS_SIGNER_PORT_9000_TCP", "tcp://10.0.0.1:9000"),
            ("BLS_SIGNER_PORT_9000_TCP_ADDR", "10.0.0.1"),
            ("BLS_SIGNER_SERVICE_HOST", "10.0.0.1"),
            ("BLS_SIGNER_SERVICE_PORT", "9000"),
            ("BLS_SIGNER_SERVICE_PORT_HTTP", "9000"),
        ]
        .into_iter()
        .collect();
        assert_eq!(RawSettings::from_environment(&environment).ok().unwrap().port, None);
        assert_eq!(RawSettings::unknown_variables(&environment), Vec::<String>::new());
        assert_eq!(RawSettings::service_link(&environment), Some("BLS_SIGNER_PORT"));

        let own: Environment =
            [("BLS_SIGNER_PORT", "9000"), ("BLS_SIGNER_PORT_X", "1")].into_iter().collect();
        assert_eq!(RawSettings::from_environment(&own).ok().unwrap().port, Some(9000));
        assert_eq!(RawSettings::unknown_variables(&own), ["BLS_SIGNER_PORT_X"]);
        assert_eq!(RawSettings::service_link(&own), None);
    }
}
