//! Options as a TOML file gives them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::Args;

use super::RawSettings;
use crate::config::Error;
use crate::regular_file::{RegularFile, refuse_exposed};
use crate::text::{self, Bounded, OneLine};

impl RawSettings {
    /// What a TOML file says. Unknown keys are refused; so is a token in a file that every user can read.
    pub(in crate::config) fn from_file(path: &Path) -> Result<Self, Error> {
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
    pub(crate) fn from_toml(text: &str) -> Result<Self, (usize, String)> {
        // The error's own display quotes the line, and the line may hold the token.
        let text = text::unmarked(text);
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            let reason = with_what_was_meant(error.message());
            let reason = match option_of_line(text, before) {
                Some(option) => format!("{option}: {reason}"),
                None => reason,
            };
            (before.matches('\n').count().saturating_add(1), OneLine(reason).to_string())
        })
    }
}

/// The option whose value or second mention the line after `before` has. What is no option's name may be a secret.
fn option_of_line(text: &str, before: &str) -> Option<String> {
    let line = text.get(before.rfind('\n').map_or(0, |end| end.saturating_add(1))..)?.lines().next()?;
    let (key, _) = line.split_once('=')?;
    let long = key.trim().replace('_', "-");
    let options = RawSettings::augment_args(clap::Command::new("file"));
    options.get_arguments().filter_map(clap::Arg::get_long).find(|known| *known == long)?;
    Some(key.trim().to_owned())
}

/// What the parser says of a key that there is not, with the one that is most like it instead of all.
fn with_what_was_meant(message: &str) -> String {
    let unknown =
        message.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, expected one of "));
    let Some((unknown, known)) = unknown else { return message.to_owned() };
    let shown = Bounded(unknown);
    if unknown.len() > LONGEST_KEY_BYTES {
        return format!("unknown field `{shown}`: bls-signer.toml(5) and 'serve --help' list the options");
    }
    let known = known.split(", ").map(|name| name.trim_matches('`'));
    let furthest = unknown.len().div_ceil(3);
    match known.map(|name| (changes(unknown, name), name)).min() {
        Some((changes, name)) if changes <= furthest => {
            format!("unknown field `{shown}`: did you mean `{name}`?")
        }
        Some(_) | None => {
            format!("unknown field `{shown}`: bls-signer.toml(5) and 'serve --help' list the options")
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

/// A longer key is no misspelt option.
const LONGEST_KEY_BYTES: usize = 60;

const FILE: &str = "the configuration file";
/// A usual one has less than 10 KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;
    use crate::config::Switch;

    const EXAMPLE: &str = include_str!("../../../packaging/config.toml");

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
    fn an_error_in_the_file_names_the_option_and_is_short() {
        for (text, expected) in [
            ("\nport = 'x'", (2, "port: ")),
            ("port = 1\nport = 2", (2, "port: duplicate key")),
            ("keystores_path = 3", (1, "keystores_path: ")),
            ("network = []", (1, "network: ")),
        ] {
            let (line, reason) = RawSettings::from_toml(text).err().unwrap();
            assert_eq!(line, expected.0, "{text}");
            assert!(reason.starts_with(expected.1), "{text}: {reason}");
        }
        let (_, reason) = RawSettings::from_toml(&format!("{} = 1", "k".repeat(1 << 19))).err().unwrap();
        assert!(reason.len() < 400 && reason.contains("bls-signer.toml(5)"), "{reason}");
        let (_, reason) = RawSettings::from_toml("c2VjcmV0LWh1c2g=").err().unwrap();
        assert!(!reason.contains("c2VjcmV0"), "{reason}");
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
    fn the_example_file_has_clients_in_a_valid_form() {
        let (_, clients) = EXAMPLE.split_once("# [[client]]").unwrap();
        let clients = format!("# [[client]]{clients}").replace("\n# ", "\n");
        let clients = RawSettings::from_toml(clients.trim_start_matches("# ")).unwrap().client;
        assert_eq!(clients.map(|clients| clients.len()), Some(2));
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
        fn no_error_in_the_file_quotes_its_values(
            before in "[a-z_=\\[\\]\"'\\n ]{0,30}", after in "[a-z_=\\[\\]\"'\\n ]{0,30}"
        ) {
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
}
