//! `bls-signer status`: how a running daemon is.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::thread;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::connect::{self, Daemon, KEYMANAGER_SOCKET, SIGNING_SOCKET};
use super::{Error, output};
use crate::config::Environment;
use crate::text::chain;
use crate::wire::health::{Check, Healthcheck, Status};
use crate::wire::status::{self as wire, DaemonStatus, Duties, Keys, Latency, Refused};

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Options {
    #[command(flatten)]
    connect: connect::Options,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Show the table again every two seconds, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

/// Prints how the daemon is; an error if one of its checks is down.
pub(super) fn run(options: Options, environment: &Environment) -> Result<(), Error> {
    let sources = Sources::of(options.connect, environment)?;
    if options.watch {
        return watch(&sources);
    }
    let report = sources.ask().map_err(Error::Status)?;
    let text = if options.json { format!("{:#}\n", report.json) } else { report.table() };
    output::show(&mut io::stdout(), &text).map_err(Error::Output)?;
    report.verdict()
}

/// Ends when nobody reads on. A daemon that is away for a while is shown as such.
fn watch(sources: &Sources) -> Result<(), Error> {
    // To the upper left corner, and everything away.
    let clear = if io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    loop {
        let text = match sources.ask() {
            Ok(report) => report.table(),
            Err(error) => format!("{}\n", chain(&error)),
        };
        match output::hand_over(&mut io::stdout(), format!("{clear}{text}\n")) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(Error::Output)?,
        }
        thread::sleep(WATCH_INTERVAL);
    }
}

/// Whom to ask.
struct Sources {
    daemon: Daemon,
    /// Where less is told, to whom the keymanager socket does not let in.
    signing: Option<Daemon>,
}

impl Sources {
    fn of(options: connect::Options, environment: &Environment) -> Result<Self, Error> {
        let is_named = options.is_named();
        let daemon = options.daemon(KEYMANAGER_SOCKET, environment)?;
        let signing = (!is_named).then(|| Daemon::packaged(SIGNING_SOCKET));
        Ok(Self { daemon, signing })
    }

    /// A listener of another role, or one that wants another token, tells what everybody may know.
    fn ask(&self) -> Result<Report, connect::Error> {
        match (self.daemon.ask(Method::GET, wire::PATH, None), &self.signing) {
            (Ok((StatusCode::OK, json)), _) => Ok(Report { json }),
            (Ok(_), _) => health_of(&self.daemon),
            (Err(error), Some(signing)) if error.is_no_connection() => health_of(signing),
            (Err(error), _) => Err(error),
        }
    }
}

fn health_of(daemon: &Daemon) -> Result<Report, connect::Error> {
    daemon.ask(Method::GET, "/healthcheck", None).map(|(_, json)| Report { json })
}

/// What was answered; perhaps not by a bls-signer.
struct Report {
    json: Value,
}

impl Report {
    fn verdict(&self) -> Result<(), Error> {
        match serde_json::from_value::<Healthcheck>(self.json.clone()) {
            Ok(Healthcheck { status: Status::Up, .. }) => Ok(()),
            Ok(Healthcheck { status: Status::Down, checks, .. }) if !checks.is_empty() => {
                Err(Error::Unhealthy)
            }
            Ok(_) | Err(_) => Err(Error::NoHealth),
        }
    }

    fn table(&self) -> String {
        if let Ok(status) = serde_json::from_value::<DaemonStatus>(self.json.clone()) {
            return whole(&status);
        }
        match serde_json::from_value::<Healthcheck>(self.json.clone()) {
            Ok(Healthcheck { status, checks, .. }) => {
                let more = "more is told to root, and on the keymanager listener";
                format!("{:<20}  {status}  ({more})\n{}{}", "bls-signer", wrong(&checks), lines(&checks))
            }
            Err(_) => format!("{:#}\n", self.json),
        }
    }
}

fn whole(status: &DaemonStatus) -> String {
    let uptime = humantime::format_duration(Duration::from_secs(status.uptime_seconds));
    let mut text = format!(
        "{:<20}  {}  version {}, {}, up for {uptime}\n{}",
        "bls-signer",
        status.health.status,
        status.version,
        status.network,
        wrong(&status.health.checks)
    );
    let Keys { imported, from_files, fetched } = &status.keys;
    let fetched = if *fetched > 0 { format!(", {fetched} fetched") } else { String::new() };
    let keys = format!("{imported} imported, {from_files} from files{fetched}");
    let clients = match status.clients.as_slice() {
        [] => "everybody whom a listener lets in".to_owned(),
        names => names.join(", "),
    };
    let latency = match &status.latency {
        None => "nothing was asked for in the last ten minutes".to_owned(),
        Some(Latency { median, p99, slowest }) => format!(
            "median {}, 99 % within {}, slowest {} (last ten minutes)",
            milliseconds(*median),
            milliseconds(*p99),
            milliseconds(*slowest)
        ),
    };
    let ledger = status.ledger.as_deref().unwrap_or("NONE: slashing protection is off");
    for (what, value) in [("keys", &*keys), ("ledger", ledger), ("clients", &clients), ("latency", &latency)]
    {
        let _ = writeln!(text, "{what:<20}  {value}");
    }
    text.push_str(&lines(&status.health.checks));
    text.push_str(&duties(&status.duties));
    text.push_str(&refusals(&status.refusals));
    text
}

/// What is wrong, then what is not right, and what to do.
fn wrong(checks: &[Check]) -> String {
    let said = |check: &Check, name: &str| check.data.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let down = checks.iter().filter(|check| check.status == Status::Down);
    let problems = down.map(|check| {
        let problem = said(check, "problem").unwrap_or_else(|| "down".to_owned());
        format!("{:<20}  {}: {problem}\n", "WRONG", check.id)
    });
    let notes = checks.iter().filter_map(|check| {
        said(check, "note").map(|note| format!("{:<20}  {}: {note}\n", "NOTE", check.id))
    });
    problems.chain(notes).collect()
}

/// A line for each check: its name, UP or DOWN, and what it says.
fn lines(checks: &[Check]) -> String {
    let mut lines = String::new();
    for Check { id, status, data } in checks {
        let _ = write!(lines, "{id:<20}  {status:<4}");
        let said = data.as_ref().and_then(Value::as_object).into_iter().flatten();
        for (name, value) in said.filter(|(name, _)| !["problem", "note"].contains(&name.as_str())) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = write!(lines, "  {name}: {value}");
        }
        lines.truncate(lines.trim_end().len());
        lines.push('\n');
    }
    lines
}

fn duties(duties: &[Duties]) -> String {
    if duties.is_empty() {
        return "\nno duty was asked for since the start\n".to_owned();
    }
    let mut lines =
        format!("\n{:<20} {:>9} {:>9} {:>9}  last signed\n", "duty", "signed", "refused", "failed");
    for Duties { duty, signed, refused, failed, last_signed_seconds_ago } in duties {
        let last = last_signed_seconds_ago.map_or_else(|| "never".to_owned(), ago);
        let _ = writeln!(lines, "{duty:<20} {signed:>9} {refused:>9} {failed:>9}  {last}");
    }
    lines
}

fn refusals(refusals: &[Refused]) -> String {
    if refusals.is_empty() {
        return String::new();
    }
    let mut lines = "\nrefused or failed of late ('bls-signer explain KEY' says how to go on)\n".to_owned();
    for Refused { seconds_ago, public_key, duty, rule, client, times, reason } in refusals {
        let client = client.as_ref().map(|client| format!(" of {client}")).unwrap_or_default();
        let key = public_key.as_deref().unwrap_or("no key");
        let duty = duty.as_deref().unwrap_or("no duty");
        let _ = writeln!(
            lines,
            "{}: {rule}, {times} times, last {duty}{client}\n    {key}\n    {reason}",
            ago(*seconds_ago)
        );
    }
    lines
}

fn ago(seconds: u64) -> String {
    format!("{} ago", humantime::format_duration(Duration::from_secs(seconds)))
}

fn milliseconds(microseconds: u64) -> String {
    format!("{:.1} ms", Duration::from_micros(microseconds).as_secs_f64() * 1000.0)
}

const WATCH_INTERVAL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_check_is_a_line_and_what_is_wrong_stands_first() {
        let json = json!({"status": "DOWN", "outcome": "DOWN", "checks": [
            {"id": "default-check", "status": "UP"},
            {"id": "tls-check", "status": "UP", "data": {"note": "renew it"}},
            {"id": "keys-check", "status": "DOWN", "data": {"keys-loaded": 3, "kind": "sealed", "problem": "mount it"}},
        ]});
        let report = Report { json };
        let table = report.table();
        let mut lines = table.lines().skip(1);
        assert_eq!(lines.next(), Some("WRONG                 keys-check: mount it"));
        assert_eq!(lines.next(), Some("NOTE                  tls-check: renew it"));
        assert_eq!(lines.next(), Some("default-check         UP"));
        assert_eq!(lines.next(), Some("tls-check             UP"));
        assert_eq!(lines.next(), Some("keys-check            DOWN  keys-loaded: 3  kind: sealed"));
        assert!(matches!(report.verdict(), Err(Error::Unhealthy)));
    }

    #[test]
    fn another_daemon_s_answer_is_shown_as_it_is() {
        let report = Report { json: json!({"a": 1}) };
        assert_eq!(report.table(), "{\n  \"a\": 1\n}\n");
        assert!(matches!(report.verdict(), Err(Error::NoHealth)));
    }
}
