//! Options from all of their sources: the command line wins over the environment, and that over the configuration file.

use std::collections::BTreeMap;
use std::path::Path;

use super::Error;
use super::command_line::Value;
use super::option::{Fate, Meaning, Takes, VARIABLE_PREFIX, Web3SignerOption};
use super::table::OPTIONS;
use crate::config::Environment;
use crate::regular_file::RegularFile;
use crate::yaml::{self, Mapping};

/// The options that were given, each once.
#[derive(Debug)]
pub(super) struct Given(BTreeMap<&'static str, Value>);

impl Given {
    pub(super) fn gather(line: Vec<Value>, environment: &Environment) -> Result<Self, Error> {
        let mut given = Self(BTreeMap::new());
        given.add(line);
        given.add(from_environment(environment)?);
        let file = given.meaning(Meaning::ConfigFile).map(|value| value.text.clone());
        if let Some(file) = file {
            given.add(from_file(Path::new(&file))?);
        }
        Ok(given)
    }

    /// Those that no stronger source gave.
    fn add(&mut self, weaker: Vec<Value>) {
        for value in weaker {
            self.0.entry(value.option.name()).or_insert(value);
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.0.values()
    }

    pub(super) fn meaning(&self, meaning: Meaning) -> Option<&Value> {
        self.values().find(|value| value.option.means(meaning))
    }

    /// Whether a switch was given and is on.
    pub(super) fn is_on(&self, meaning: Meaning) -> Result<bool, Error> {
        self.meaning(meaning).map_or(Ok(false), Value::is_on)
    }
}

/// The variables that have the prefix of Web3Signer's and are none of its options.
pub(super) fn unknown_variables(environment: &Environment) -> Vec<&str> {
    let known: Vec<String> = OPTIONS.iter().flat_map(Web3SignerOption::variables).collect();
    let named = environment.names_with_prefix(VARIABLE_PREFIX);
    named.filter(|name| !known.iter().any(|known| known == name)).collect()
}

fn from_environment(environment: &Environment) -> Result<Vec<Value>, Error> {
    let mut values = Vec::new();
    for option in OPTIONS {
        for origin in option.variables() {
            let Some(text) = environment.value(&origin) else { continue };
            let text = text.to_str().ok_or(Error::NoText)?.to_owned();
            values.push(Value { option, origin, text });
        }
    }
    Ok(values)
}

fn from_file(path: &Path) -> Result<Vec<Value>, Error> {
    let read = RegularFile::open(path).and_then(|file| file.read_text(LONGEST_FILE_BYTES));
    let text = read.map_err(|source| Error::File { path: path.to_owned(), source })?;
    let document = yaml::documents(&text).next().ok_or_else(|| Error::EmptyFile { path: path.to_owned() })?;
    let failed = |source| Error::Yaml { path: path.to_owned(), source };
    let mapping = document.map_err(failed)?;
    let mut values = Vec::new();
    for key in mapping.names() {
        let option = OPTIONS.iter().find(|option| option.keys().any(|known| known == key));
        let option =
            option.ok_or_else(|| Error::UnknownKey { path: path.to_owned(), key: key.to_owned() })?;
        let Some(text) = text_of(&mapping, key, option).map_err(failed)? else { continue };
        values.push(Value { option, origin: format!("{key} in {}", path.display()), text });
    }
    Ok(values)
}

/// What a key of the file says. What has no meaning here may be of any form.
fn text_of(
    mapping: &Mapping<'_>,
    key: &str,
    option: &Web3SignerOption,
) -> Result<Option<String>, yaml::YamlError> {
    match (&option.fate, option.takes) {
        (Fate::Accepted(_) | Fate::Refused(_), _) => {
            let text = mapping.text(key).ok().flatten();
            Ok(Some(text.map(|text| (*text).to_owned()).unwrap_or_default()))
        }
        (Fate::Flag(_) | Fate::Translated(..) | Fate::RefusedWhenOn(_), Takes::List) => {
            let texts = mapping.texts(key)?;
            let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
            Ok((!texts.is_empty()).then(|| texts.join(",")))
        }
        (Fate::Flag(_) | Fate::Translated(..) | Fate::RefusedWhenOn(_), Takes::Switch | Takes::Text) => {
            Ok(mapping.text(key)?.map(|text| (*text).to_owned()))
        }
    }
}

/// The longest configuration file.
const LONGEST_FILE_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::web3signer::command_line::CommandLine;

    fn given(line: &str, variables: &[(&str, &str)]) -> Result<Given, Error> {
        let line = CommandLine::parse(line.split_whitespace().map(Into::into).collect())?;
        Given::gather(line.values, &variables.iter().copied().collect())
    }

    fn port(given: &Given) -> Option<&str> {
        given.meaning(Meaning::ListenPort).map(|value| value.text.as_str())
    }

    #[test]
    fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("web3signer.yaml");
        std::fs::write(
            &file,
            "http-listen-port: 3\neth2.network: \"hoodi\"\nhttp-host-allowlist: [\"a\", \"b\"]\n",
        )
        .unwrap();
        let file = format!("--config-file={}", file.display());
        let variables =
            [("WEB3SIGNER_HTTP_LISTEN_PORT", "2"), ("WEB3SIGNER_ETH2_ENABLE_KEY_MANAGER_API", "true")];
        let all = given(&format!("{file} --http-listen-port=1 eth2"), &variables).unwrap();
        assert_eq!(port(&all), Some("1"));
        let two = given(&format!("{file} eth2"), &variables).unwrap();
        assert_eq!(port(&two), Some("2"));
        assert!(two.is_on(Meaning::Keymanager).unwrap());
        let one = given(&format!("{file} eth2"), &[]).unwrap();
        assert_eq!(port(&one), Some("3"));
        assert_eq!(one.meaning(Meaning::Hosts).unwrap().text, "a,b");
        assert!(one.values().any(|value| value.option.name() == "network" && value.text == "hoodi"));
    }

    #[test]
    fn a_file_that_says_nothing_or_too_much_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let read = |content: &str| {
            let file = directory.path().join("web3signer.yaml");
            std::fs::write(&file, content).unwrap();
            from_file(&file).unwrap_err()
        };
        assert!(matches!(read("# nothing\n"), Error::EmptyFile { .. }));
        assert!(matches!(read("network: hoodi\n"), Error::UnknownKey { key, .. } if key == "network"));
        assert!(matches!(read("http-listen-port: [a]\n"), Error::Yaml { .. }));
        assert!(matches!(read("logging: a\nlogging: b\n"), Error::Yaml { .. }));
    }

    #[test]
    fn variables_of_no_option_are_found() {
        let variables = [("WEB3SIGNER_OPTS", "-Xmx6g"), ("WEB3SIGNER_LOGGING", "INFO"), ("JAVA_OPTS", "")];
        assert_eq!(unknown_variables(&variables.into_iter().collect()), ["WEB3SIGNER_OPTS"]);
    }
}
