//! Record of one event: names and values, in whatever form they are written.
//!
//! `MESSAGE` is what `journalctl` shows by default, so the cause of an event stands there too and not in a field alone,
//! and of a decision the key and the duty.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::audit;
use super::bounded;
use super::queue::Queue;
use crate::text::chain;

/// An event's fields, by the names that they have in the journal.
pub(super) struct Record {
    /// `MESSAGE` is the last.
    pub(super) fields: Vec<(Cow<'static, str>, String)>,
}

impl Record {
    /// One message at the priority of errors.
    pub(super) fn error(message: &str) -> Self {
        let mut record = Self::begin(&Level::ERROR);
        record.put("MESSAGE", message.to_owned());
        record
    }

    fn of(event: &Event<'_>) -> Self {
        let mut visitor = Visitor::new(event.metadata());
        event.record(&mut visitor);
        visitor.into_record()
    }

    fn begin(level: &Level) -> Self {
        let mut record = Self { fields: Vec::with_capacity(20) };
        record.put("PRIORITY", priority(level).to_owned());
        record.put("SYSLOG_IDENTIFIER", "bls-signer".to_owned());
        record
    }

    fn put(&mut self, name: impl Into<Cow<'static, str>>, mut value: String) {
        value.truncate(bounded(&value).len());
        self.fields.push((name.into(), value));
    }
}

/// Makes a record of each event, and puts it into the queue in the form that `encode` gives it.
pub(super) struct RecordLayer {
    pub(super) queue: Arc<Queue>,
    pub(super) encode: fn(&Record) -> Vec<u8>,
}

impl<S: Subscriber> Layer<S> for RecordLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.queue.push(&(self.encode)(&Record::of(event)));
    }
}

/// An event's fields while they are collected.
struct Visitor {
    is_audit: bool,
    message: String,
    /// What is said of them in the message.
    causes: Vec<String>,
    record: Record,
}

impl Visitor {
    fn new(event: &Metadata<'_>) -> Self {
        let mut record = Record::begin(event.level());
        record.put("TARGET", event.target().to_owned());
        if let (Some(file), Some(line)) = (event.file(), event.line()) {
            record.put("CODE_FILE", file.to_owned());
            record.put("CODE_LINE", line.to_string());
        }
        let is_audit = event.target() == audit::TARGET;
        Self { is_audit, message: String::new(), causes: Vec::new(), record }
    }

    fn take(&mut self, field: &Field, value: String) {
        let name = field.name();
        if name == "message" {
            self.message = value;
            return;
        }
        if self.is_audit {
            if let Some(id) = audit::message_id(name, &value) {
                self.record.put("MESSAGE_ID", id.to_owned());
            }
            if audit::IN_MESSAGE.contains(&name) {
                let _ = write!(self.message, " {name}={value}");
            }
            self.record.put(audit::journal_name(name), value);
            return;
        }
        if CAUSES.contains(&name) && !self.message.contains(&value) {
            self.causes.push(value.clone());
        }
        self.record.put(format!("{PREFIX}{}", name.to_ascii_uppercase()), value);
    }

    fn into_record(self) -> Record {
        let Self { mut message, mut record, causes, .. } = self;
        for cause in causes {
            let _ = write!(message, ": {cause}");
        }
        record.put("MESSAGE", message);
        record
    }
}

impl Visit for Visitor {
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

/// As in syslog(3).
fn priority(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

const PREFIX: &str = "BLS_SIGNER_";
/// Fields that say why something happened.
const CAUSES: [&str; 3] = ["error", "cause", "fault"];
