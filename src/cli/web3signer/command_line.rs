//! Command line as Web3Signer's users write it, down to options and their texts.

use std::ffi::OsString;
use std::iter::Peekable;
use std::vec::IntoIter;

use super::Error;
use super::option::{Takes, Web3SignerOption};
use crate::config::RawSettings;

/// What a command line asks for.
#[derive(Debug, Default)]
pub(super) struct CommandLine {
    pub(super) mode: Option<Mode>,
    pub(super) task: Task,
    pub(super) values: Vec<Value>,
    /// Options of `bls-signer serve`, as they were given.
    pub(super) own: Vec<String>,
    pub(super) information: Option<Information>,
}

/// `eth2` stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode;

/// What `eth2` is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Task {
    #[default]
    Serve,
    Export,
    Import,
    WatermarkRepair,
}

/// What somebody wants to read, in place of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Information {
    Help,
    Version,
}

/// An option that was given.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) option: &'static Web3SignerOption,
    /// Where it was given, for messages.
    pub(super) origin: String,
    pub(super) text: String,
}

impl Value {
    /// Whether a switch is on.
    pub(super) fn is_on(&self) -> Result<bool, Error> {
        match self.text.trim() {
            text if text.eq_ignore_ascii_case("true") => Ok(true),
            text if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(Error::NoSwitch { origin: self.origin.clone(), text: self.text.clone() }),
        }
    }
}

impl CommandLine {
    pub(super) fn parse(arguments: Vec<OsString>) -> Result<Self, Error> {
        let words: Result<Vec<String>, _> = arguments.into_iter().map(OsString::into_string).collect();
        let mut words = words.map_err(|_| Error::NoText)?.into_iter().peekable();
        let mut line = Self::default();
        while let Some(word) = words.next() {
            match option_name(&word) {
                Some(name) => line.take_option(name, &word, &mut words)?,
                None => line.take_word(&word)?,
            }
        }
        Ok(line)
    }

    fn take_word(&mut self, word: &str) -> Result<(), Error> {
        match (word, self.mode, self.task) {
            ("help", _, _) => self.information = Some(Information::Help),
            ("eth2", None, Task::Serve) => self.mode = Some(Mode),
            ("eth1", None, Task::Serve) => return Err(Error::ExecutionLayer),
            ("export", Some(Mode), Task::Serve) => self.task = Task::Export,
            ("import", Some(Mode), Task::Serve) => self.task = Task::Import,
            ("watermark-repair", Some(Mode), Task::Serve) => self.task = Task::WatermarkRepair,
            _ => return Err(Error::UnknownWord { word: word.to_owned() }),
        }
        Ok(())
    }

    fn take_option(&mut self, name: &str, word: &str, words: &mut Words) -> Result<(), Error> {
        match name {
            "help" | "h" | "Xhelp" | "X" => {
                self.information = Some(Information::Help);
                return Ok(());
            }
            "version" | "V" => {
                self.information = Some(Information::Version);
                return Ok(());
            }
            _ => {}
        }
        let origin = word.split_once('=').map_or(word, |(origin, _)| origin).to_owned();
        let Some(option) = Web3SignerOption::named(name) else {
            if ["listen", "host", "port"].contains(&name) {
                let instead = "say where to listen with --http-listen-host and --http-listen-port";
                return Err(Error::Refused { origin, instead });
            }
            if !RawSettings::has_option(name) {
                return Err(Error::UnknownOption { origin });
            }
            self.own.push(word.to_owned());
            return Ok(());
        };
        let text = match word.split_once('=') {
            Some((_, text)) => text.to_owned(),
            None => following(option.takes, words).ok_or(Error::NoValue { origin: origin.clone() })?,
        };
        match self.values.iter_mut().find(|value| value.option.name() == option.name()) {
            None => self.values.push(Value { option, origin, text }),
            Some(list) if option.takes == Takes::List => {
                list.text.push(',');
                list.text.push_str(&text);
            }
            Some(_) => return Err(Error::Twice { origin }),
        }
        Ok(())
    }
}

type Words = Peekable<IntoIter<String>>;

/// The name of an option, without its dashes and its value.
fn option_name(word: &str) -> Option<&str> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    Some(name.split_once('=').map_or(name, |(name, _)| name))
}

/// The value that stands behind an option, in words of its own.
fn following(takes: Takes, words: &mut Words) -> Option<String> {
    let is_value = |word: &String| !word.starts_with("--");
    match takes {
        Takes::Switch => {
            let is_truth =
                |word: &String| ["true", "false"].iter().any(|truth| word.eq_ignore_ascii_case(truth));
            Some(words.next_if(is_truth).unwrap_or_else(|| "true".to_owned()))
        }
        Takes::Text => words.next_if(is_value),
        Takes::List => {
            let is_item =
                |word: &String| !word.starts_with('-') && !["eth2", "eth1"].contains(&word.as_str());
            let mut items = vec![words.next_if(is_value)?];
            while let Some(item) = words.next_if(is_item) {
                items.push(item);
            }
            Some(items.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<CommandLine, Error> {
        CommandLine::parse(line.split_whitespace().map(OsString::from).collect())
    }

    fn values(line: &str) -> Vec<(&'static str, String)> {
        parse(line).unwrap().values.into_iter().map(|value| (value.option.name(), value.text)).collect()
    }

    #[test]
    fn an_option_is_read_in_each_spelling() {
        for line in ["--metrics-port=9091 eth2", "--metrics-port 9091 eth2", "eth2 --metrics-port 9091"] {
            assert_eq!(values(line), [("metrics-port", "9091".to_owned())], "{line}");
        }
        for line in ["--metrics-enabled eth2", "--metrics-enabled=true eth2", "--metrics-enabled true eth2"] {
            assert_eq!(values(line), [("metrics-enabled", "true".to_owned())], "{line}");
        }
        for line in ["-l debug eth2", "-l=debug eth2", "--logging debug eth2"] {
            assert_eq!(values(line), [("logging", "debug".to_owned())], "{line}");
        }
        for line in ["eth2 --enable-key-manager-api=true", "eth2 --key-manager-api-enabled"] {
            assert_eq!(values(line), [("key-manager-api-enabled", "true".to_owned())], "{line}");
        }
        for line in [
            "--http-host-allowlist=a,b eth2",
            "--http-host-allowlist a b eth2",
            "--http-host-allowlist a eth2 --http-host-allowlist=b",
        ] {
            assert_eq!(values(line), [("http-host-allowlist", "a,b".to_owned())], "{line}");
        }
    }

    #[test]
    fn tasks_stand_behind_eth2() {
        assert_eq!(parse("eth2").unwrap().task, Task::Serve);
        assert_eq!(parse("eth2 export --to=f").unwrap().task, Task::Export);
        assert_eq!(parse("eth2 watermark-repair --slot 1").unwrap().task, Task::WatermarkRepair);
        assert!(matches!(parse("export"), Err(Error::UnknownWord { .. })));
        assert!(matches!(parse("eth1"), Err(Error::ExecutionLayer)));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert!(
            matches!(parse("eth2 --no-such=1"), Err(Error::UnknownOption { origin }) if origin == "--no-such")
        );
        assert!(
            matches!(parse("eth2 --network --data-path=x"), Err(Error::NoValue { origin }) if origin == "--network")
        );
        assert!(matches!(parse("--logging=INFO -l=INFO"), Err(Error::Twice { .. })));
        assert!(matches!(parse("--listen=all=127.0.0.1:1"), Err(Error::Refused { .. })));
    }

    #[test]
    fn options_of_ours_are_kept_as_they_are() {
        let own = parse("eth2 --auth-token-file=keymanager=/t --require-ledger").unwrap().own;
        assert_eq!(own, ["--auth-token-file=keymanager=/t", "--require-ledger"]);
    }
}
