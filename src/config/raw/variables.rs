//! Options as `BLS_SIGNER_*` variables give them.

use std::ffi::OsString;

use clap::{Args, FromArgMatches};

use super::RawSettings;
use crate::config::{Environment, Error};

impl RawSettings {
    /// What `BLS_SIGNER_*` variables say. One that is set to nothing counts as absent, except for the token: an empty
    /// one is a mistake that would leave the door open.
    pub(in crate::config) fn from_environment(environment: &Environment) -> Result<Self, Error> {
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
            let mut flag = OsString::from(format!("--{long}="));
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

    /// What these flags (`--name=value`) say, each with the name of what it was made of, which an error shows.
    pub(crate) fn from_flags(flags: Vec<(String, OsString)>) -> Result<Self, Error> {
        let command = Self::augment_args(clap::Command::new("flags").no_binary_name(true));
        for (name, flag) in &flags {
            command
                .clone()
                .try_get_matches_from([flag])
                .map_err(|error| Error::Flag { name: name.clone(), reason: one_line(&error) })?;
        }
        command
            .try_get_matches_from(flags.into_iter().map(|(_, flag)| flag))
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| Error::Flag { name: "the options".to_owned(), reason: one_line(&error) })
    }

    /// Whether there is an option of this name, which is given without dashes.
    pub(crate) fn has_option(name: &str) -> bool {
        let command = Self::augment_args(clap::Command::new("flags"));
        command.get_arguments().any(|argument| argument.get_long() == Some(name))
    }

    /// Whether the option of this name, which is given without dashes, takes several values.
    pub(crate) fn is_list(name: &str) -> bool {
        let command = Self::augment_args(clap::Command::new("flags"));
        let option = command.get_arguments().find(|argument| argument.get_long() == Some(name));
        option.is_some_and(|option| option.get_value_delimiter().is_some())
    }

    /// The `BLS_SIGNER_*` variables that mean nothing: perhaps misspelt, perhaps another program's.
    pub(in crate::config) fn unknown_variables(environment: &Environment) -> Vec<String> {
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
    pub(in crate::config) fn service_link(environment: &Environment) -> Option<&str> {
        environment.names_with_prefix(PREFIX).find(|name| ServiceLinks::include(name, environment))
    }
}

/// The variables that Kubernetes and Docker give every container beside a service `bls-signer`: no options of ours.
struct ServiceLinks;

impl ServiceLinks {
    /// Whether the variable of this name is one of them: `BLS_SIGNER_PORT` where it is a URL, `BLS_SIGNER_SERVICE_*`
    /// and `BLS_SIGNER_PORT_9000_TCP*`.
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

/// The statement of clap's error, without its advice about `--help`.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let statement = text.split("\n\n").next().unwrap_or_default();
    let statement = statement.strip_prefix("error: ").unwrap_or(statement);
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

const PREFIX: &str = "BLS_SIGNER_";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogLevel, Switch};

    fn from_environment(variables: &[(&str, &str)]) -> Result<RawSettings, Error> {
        RawSettings::from_environment(&variables.iter().copied().collect())
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
