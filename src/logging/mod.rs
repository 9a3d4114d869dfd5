//! Logs: to the journal with fields when stderr is the journal, else on stderr, as text or as JSON.
//!
//! Only our own events are logged. Libraries' traces show whole requests, and a request can carry a token. Nobody waits
//! for the log's reader: see [`queue`].

pub(crate) mod audit;
mod journal;
mod json;
mod queue;
mod record;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::panic;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::journal::Journal;
use self::queue::{Outlet, Queue};
use self::record::{Record, RecordLayer};
use crate::config::{Audit, Environment, LogFormat, LogLevel};

/// What is logged, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSettings {
    pub(crate) level: LogLevel,
    pub(crate) audit: Audit,
    pub(crate) format: LogFormat,
}

/// Starts logging for the whole process; a second call does nothing.
pub(crate) fn start(settings: LogSettings, environment: &Environment) {
    let under_journal = stderr_is_journal(environment);
    // Without the journal's socket the text on stderr still gets there, only without fields.
    let outlet = match settings.format {
        LogFormat::Json => Choice::Json,
        LogFormat::Text if under_journal => {
            Journal::open(Path::new(journal::SOCKET)).map_or(Choice::Text, Choice::Journal)
        }
        LogFormat::Text => Choice::Text,
    };
    let Some(Log { queue, form }) = log(outlet) else { return };
    let own_events = targets(settings.level, settings.audit);
    let registry = tracing_subscriber::registry().with(own_events);
    let text = || {
        let lines = Lines(Arc::clone(queue));
        fmt::layer().with_writer(lines).with_target(false).with_ansi(io::stderr().is_terminal())
    };
    let _ = match form {
        Form::Journal => {
            let (queue, encode) = (Arc::clone(queue), journal::encode as _);
            registry.with(RecordLayer { queue, encode }).try_init()
        }
        Form::Json => {
            let (queue, encode) = (Arc::clone(queue), json::encode as _);
            registry.with(RecordLayer { queue, encode }).try_init()
        }
        // The journal has its own clock.
        Form::Text if under_journal => registry.with(text().without_time()).try_init(),
        Form::Text => registry.with(text()).try_init(),
    };
    // The standard hook writes to stderr itself, and would wait there.
    let prefix = priority_prefix(under_journal);
    panic::set_hook(Box::new(move |panic| last_words(prefix, &format!("bls-signer: {panic}"))));
}

/// Our own events, and none of libraries. An audit of all that is asked for does not depend on the level.
fn targets(level: LogLevel, audit: Audit) -> Targets {
    let of_audit = match audit {
        Audit::All => LevelFilter::from(level).max(LevelFilter::INFO),
        Audit::Refusals => level.into(),
    };
    Targets::new().with_target(env!("CARGO_CRATE_NAME"), level).with_target(audit::TARGET, of_audit)
}

/// How many lines were dropped so far, because nobody read them in time.
pub(crate) fn dropped() -> u64 {
    LOG.get().map_or(0, |log| log.queue.dropped())
}

/// Says one line with the priority of an error, whatever the log level, and gives it and all before it a moment to get
/// out.
pub(crate) fn say_last(line: &str, environment: &Environment) {
    last_words(stderr_prefix(environment), line);
}

/// Gives what was logged a moment to get out: for the end of the process.
pub(crate) fn flush() {
    if let Some(log) = LOG.get() {
        log.queue.flush(LAST_MOMENT);
    }
}

fn last_words(prefix: &str, line: &str) {
    let Some(Log { queue, form }) = log(Choice::Text) else { return };
    let line = bounded(line).replace('\n', " ");
    let text = || format!("{prefix}{line}\n").into_bytes();
    match form {
        Form::Text => queue.push(&text()),
        Form::Json => queue.push(&json::encode(&Record::error(&line))),
        // What comes over its socket, the journal counts to a unit only if the process is still there when it looks.
        // The stream is the unit's from the beginning, so `journalctl -u` has the reason of an end.
        Form::Journal => match Stderr::open().and_then(|stream| Queue::start(stream, tell_dropped)) {
            Ok(stream) => {
                queue.flush(LAST_MOMENT);
                stream.push(&text());
                stream.flush(LAST_MOMENT);
                return;
            }
            Err(_) => queue.push(&journal::encode(&Record::error(&line))),
        },
    }
    queue.flush(LAST_MOMENT);
}

/// What an error's line on stderr begins with: the journal takes the priority from there (sd-daemon(3)).
pub(crate) fn stderr_prefix(environment: &Environment) -> &'static str {
    priority_prefix(stderr_is_journal(environment))
}

fn priority_prefix(under_journal: bool) -> &'static str {
    if under_journal { "<3>" } else { "" }
}

/// Where the process's log may go.
enum Choice {
    Text,
    Json,
    Journal(Journal),
}

/// The process's log, made at the first call.
fn log(choice: Choice) -> Option<&'static Log> {
    if LOG.get().is_none() {
        let (queue, form) = match choice {
            Choice::Journal(journal) => (Queue::start(journal, tell_dropped), Form::Journal),
            Choice::Json => (Queue::start(Stderr::open().ok()?, tell_dropped), Form::Json),
            Choice::Text => (Queue::start(Stderr::open().ok()?, tell_dropped), Form::Text),
        };
        let log = Log { queue: queue.ok()?, form };
        let _ = LOG.set(log);
    }
    LOG.get()
}

fn tell_dropped(lines: u64) {
    tracing::warn!(lines, "{lines} log lines were dropped: they were not read as fast as they came");
}

/// Where log records wait, and in which form.
struct Log {
    queue: Arc<Queue>,
    form: Form,
}

#[derive(Clone, Copy)]
enum Form {
    Text,
    Json,
    Journal,
}

/// Standard error under a file descriptor of its own: the thread that may wait in it holds no lock that others want.
struct Stderr(File);

impl Stderr {
    fn open() -> io::Result<Self> {
        Ok(Self(File::from(io::stderr().as_fd().try_clone_to_owned()?)))
    }
}

impl Outlet for Stderr {
    /// A pipe takes so much whole or not at all, so that lines of others never stand within ours.
    const BYTES_AT_ONCE: usize = nix::libc::PIPE_BUF;

    fn write(&mut self, records: &[u8]) -> io::Result<()> {
        self.0.write_all(records)
    }
}

/// Takes the lines that events were made into.
struct Lines(Arc<Queue>);

impl fmt::MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Arc::clone(&self.0))
    }
}

/// One event's line: it is written at once.
struct Line(Arc<Queue>);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.len() <= LONGEST_TEXT {
            self.0.push(line);
        } else {
            let text = String::from_utf8_lossy(line);
            self.0.push(&[bounded(&text).as_bytes(), b"\n"].concat());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The beginning of a text that is too long for the log.
fn bounded(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// Whether stderr is the stream that systemd connected to the journal, and not redirected since (systemd.exec(5),
/// `$JOURNAL_STREAM`: device and inode in decimal).
fn stderr_is_journal(environment: &Environment) -> bool {
    let Some(stream) = environment.text("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() else { return false };
    File::from(stderr).metadata().is_ok_and(|metadata| is_stream(stream, metadata.dev(), metadata.ino()))
}

fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    let Some((stream_device, stream_inode)) = stream.split_once(':') else { return false };
    stream_device.parse() == Ok(device) && stream_inode.parse() == Ok(inode)
}

static LOG: OnceLock<Log> = OnceLock::new();

/// For the log's reader, when the process ends.
const LAST_MOMENT: Duration = Duration::from_millis(200);
/// In bytes, of a line or a field.
const LONGEST_TEXT: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stderr_is_the_journal_only_if_device_and_inode_agree() {
        assert!(is_stream("8:1234", 8, 1234));
        for other in ["8:1235", "9:1234", "8", "", ":", "8:1234:5", "x:y"] {
            assert!(!is_stream(other, 8, 1234), "{other}");
        }
    }

    #[test]
    fn stderr_is_not_the_journal_without_the_variable() {
        assert!(!stderr_is_journal(&Environment::default()));
        assert!(!stderr_is_journal(&[("JOURNAL_STREAM", "0:0")].into_iter().collect()));
    }

    /// `%error` would leave out why: an error's display says what failed, its sources say why.
    #[test]
    fn no_event_of_ours_leaves_the_causes_of_an_error_out() {
        let mut files = 0;
        let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(directory) = directories.pop() {
            for path in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    directories.push(path);
                } else {
                    files += 1;
                    let text = std::fs::read_to_string(&path).unwrap();
                    let events = text.split("error!(").skip(1).chain(text.split("warn!(").skip(1));
                    for event in events.map(|rest| rest.split(");").next().unwrap()) {
                        let bare = ["error", "fault", "cause"].into_iter().find(|name| {
                            event.contains(&format!("%{name}")) || event.contains(&format!("%&{name}"))
                        });
                        assert_eq!(bare, None, "{}: write chain(&...) there: {event}", path.display());
                    }
                }
            }
        }
        assert!(files > 100, "{files} files were read");
    }

    #[test]
    fn an_audit_of_everything_is_logged_whatever_the_level() {
        let is_logged =
            |level, audit, target| targets(level, audit).would_enable(target, &tracing::Level::INFO);
        assert!(is_logged(LogLevel::Error, Audit::All, audit::TARGET));
        assert!(!is_logged(LogLevel::Error, Audit::All, "bls_signer::daemon"));
        assert!(!is_logged(LogLevel::Warn, Audit::Refusals, audit::TARGET));
        assert!(is_logged(LogLevel::Info, Audit::Refusals, audit::TARGET));
    }

    #[test]
    fn libraries_are_never_logged() {
        let targets = targets(LogLevel::Trace, Audit::Refusals);
        let trace = LevelFilter::TRACE.into_level().unwrap();
        assert!(targets.would_enable("bls_signer::http::server", &trace));
        for library in ["h2::codec", "hyper", "rustls", "tokio"] {
            assert!(!targets.would_enable(library, &tracing::Level::ERROR), "{library}");
        }
    }
}
