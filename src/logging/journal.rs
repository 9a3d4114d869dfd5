//! Journald's native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): an event's fields as one datagram.
//!
//! `MESSAGE` is what `journalctl` shows by default, so the cause of an event stands there too and not in a field alone.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::bounded;
use super::queue::{Outlet, Queue};
use crate::text::chain;

/// The journal's socket.
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// `None` if nobody listens at `path`. A journal that is stopped for the moment counts as one that listens.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        // An empty datagram is no record.
        match socket.send_to(&[], path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
        socket.set_nonblocking(false).ok()?;
        Some(Self { socket, path: path.to_owned() })
    }
}

impl Outlet for Journal {
    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        self.socket.send_to(record, &self.path).map(drop)
    }
}

/// Makes a record of each event; its fields become `BLS_SIGNER_<FIELD>`.
pub(super) struct JournalLayer(pub(super) Arc<Queue>);

impl<S: Subscriber> Layer<S> for JournalLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.push(fields.into_record(event.metadata()));
    }
}

/// A record of one message at the priority of errors.
pub(super) fn error_record(message: &str) -> Vec<u8> {
    let mut record = begin(&Level::ERROR);
    put(&mut record, "MESSAGE", message);
    record
}

/// An event's fields while they are collected.
#[derive(Default)]
struct Fields {
    message: String,
    causes: Vec<String>,
    /// The others, in the protocol's form.
    record: Vec<u8>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => {
                put(&mut self.record, &format!("{PREFIX}{}", name.to_ascii_uppercase()), &value);
                if CAUSES.contains(&name) && !self.message.contains(&value) {
                    self.causes.push(value);
                }
            }
        }
    }

    fn into_record(self, event: &Metadata<'_>) -> Vec<u8> {
        let mut record = begin(event.level());
        put(&mut record, "TARGET", event.target());
        if let (Some(file), Some(line)) = (event.file(), event.line()) {
            put(&mut record, "CODE_FILE", file);
            put(&mut record, "CODE_LINE", &line.to_string());
        }
        record.extend(self.record);
        let mut message = self.message;
        for cause in self.causes {
            let _ = write!(message, ": {cause}");
        }
        put(&mut record, "MESSAGE", &message);
        record
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.take(field, chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

fn begin(level: &Level) -> Vec<u8> {
    let mut record = Vec::with_capacity(512);
    put(&mut record, "PRIORITY", priority(level));
    put(&mut record, "SYSLOG_IDENTIFIER", "bls-signer");
    record
}

/// As in syslog(3).
fn priority(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// The form for values with line breaks, which suits any value.
fn put(record: &mut Vec<u8>, name: &str, value: &str) {
    let value = bounded(value);
    record.extend(name.bytes());
    record.push(b'\n');
    record.extend(u64::try_from(value.len()).unwrap_or(u64::MAX).to_le_bytes());
    record.extend(value.bytes());
    record.push(b'\n');
}

pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
const PREFIX: &str = "BLS_SIGNER_";
/// Fields that say why something happened.
const CAUSES: [&str; 3] = ["error", "cause", "fault"];

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Read};
    use std::time::Duration;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn journal() -> (tempfile::TempDir, UnixDatagram, Journal) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::open(&path).unwrap();
        let mut probe = [0; 1];
        assert_eq!(listener.recv(&mut probe).unwrap(), 0);
        (directory, listener, journal)
    }

    /// The fields of a record in the protocol's binary form.
    fn parsed(mut record: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while !record.is_empty() {
            let (mut name, mut length) = (String::new(), [0; 8]);
            record.read_line(&mut name).unwrap();
            record.read_exact(&mut length).unwrap();
            let (value, rest) = record.split_at(u64::from_le_bytes(length).try_into().unwrap());
            record = rest.strip_prefix(b"\n").unwrap();
            fields.push((name.trim_end().to_owned(), String::from_utf8(value.to_vec()).unwrap()));
        }
        fields
    }

    fn received(listener: &UnixDatagram) -> Vec<(String, String)> {
        let mut record = vec![0; 1 << 20];
        let length = listener.recv(&mut record).unwrap();
        parsed(&record[..length])
    }

    fn value<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
        let found = fields.iter().find(|(field, _)| field == name);
        &found.unwrap_or_else(|| panic!("no {name} in {fields:?}")).1
    }

    #[test]
    fn an_event_s_fields_arrive_and_its_cause_is_in_the_message() {
        let (_directory, listener, journal) = journal();
        let queue = Queue::start(journal, |_| {}).unwrap();
        let subscriber = tracing_subscriber::registry().with(JournalLayer(queue));
        let error = crate::config::Error::Read {
            what: "the file",
            path: "/x".into(),
            source: io::Error::from(io::ErrorKind::StorageFull),
        };
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(keys = 3, error = &error as &dyn Error, "it broke");
            tracing::warn!(cause = "a\nb", "line {}", "break\n");
            tracing::info!("{}", "long".repeat(100_000));
        });
        let fields = received(&listener);
        assert_eq!(value(&fields, "MESSAGE"), "it broke: cannot read the file /x: no storage space");
        assert_eq!(value(&fields, "BLS_SIGNER_KEYS"), "3");
        assert_eq!(value(&fields, "PRIORITY"), "3");
        assert_eq!(value(&fields, "SYSLOG_IDENTIFIER"), "bls-signer");
        assert!(value(&fields, "CODE_FILE").ends_with("journal.rs"));
        let fields = received(&listener);
        assert_eq!(value(&fields, "MESSAGE"), "line break\n: a\nb");
        assert!(value(&received(&listener), "MESSAGE").len() < 10_000);
    }

    #[test]
    fn a_journal_that_nobody_reads_holds_nobody_and_one_that_is_not_there_is_none() {
        let (directory, listener, journal) = journal();
        let path = directory.path().join("socket");
        let queue = Queue::start(journal, |_| {}).unwrap();
        let line = "x".repeat(4000);
        while queue.dropped() == 0 {
            queue.push(error_record(&line));
        }
        queue.flush(Duration::from_millis(1));
        assert!(Journal::open(&path).is_some(), "it is only stopped");
        assert_eq!(value(&received(&listener), "MESSAGE"), line);
        assert!(Journal::open(&directory.path().join("other")).is_none());
        drop(listener);
        assert!(Journal::open(&path).is_none());
    }
}
