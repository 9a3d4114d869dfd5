//! `bls-signer status`: how a running daemon is.

use std::fmt::Write as _;
use std::io;

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::connect::{self, SIGNING_SOCKET};
use super::{Error, output};
use crate::config::Environment;
use crate::wire::health::{Check, Healthcheck, Status};

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Options {
    #[command(flatten)]
    connect: connect::Options,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Prints the daemon's own checks; an error if one of them is down.
pub(super) fn run(options: Options, environment: &Environment) -> Result<(), Error> {
    let daemon = options.connect.daemon(SIGNING_SOCKET, environment)?;
    let (status, health) = daemon.ask(Method::GET, "/healthcheck", None).map_err(Error::Status)?;
    // What answers there may be another program, or a daemon that says one thing by its status and another in its body.
    let is_up =
        serde_json::from_value::<Healthcheck>(health.clone()).is_ok_and(|health| health.status == Status::Up);
    let text = if options.json { format!("{health:#}\n") } else { table(health) };
    output::show(&mut io::stdout(), &text).map_err(Error::Output)?;
    if status != StatusCode::OK {
        return Err(Error::Unhealthy { status });
    }
    if is_up { Ok(()) } else { Err(Error::NoHealth) }
}

/// A line for each check: its name, UP or DOWN, and what it says.
fn table(health: Value) -> String {
    let fallback = format!("{health:#}\n");
    let Ok(Healthcheck { status, checks, outcome: _ }) = serde_json::from_value(health) else {
        return fallback;
    };
    let mut table = format!("{:<20}  {status}\n", "bls-signer");
    for Check { id, status, data } in checks {
        let _ = write!(table, "{id:<20}  {status:<4}");
        for (name, value) in data.as_ref().and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = write!(table, "  {name}: {value}");
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_check_is_a_line() {
        let health = json!({"status": "DOWN", "outcome": "DOWN", "checks": [
            {"id": "default-check", "status": "UP"},
            {"id": "keys-check", "status": "UP", "data": {"keys-loaded": 3, "kind": "sealed"}},
        ]});
        assert_eq!(
            table(health),
            "bls-signer            DOWN\ndefault-check         UP\n\
             keys-check            UP    keys-loaded: 3  kind: sealed\n"
        );
    }

    #[test]
    fn another_daemon_s_answer_is_shown_as_it_is() {
        assert_eq!(table(json!({"a": 1})), "{\n  \"a\": 1\n}\n");
    }
}
