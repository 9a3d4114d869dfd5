//! Journald's native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): an event's fields as one datagram.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::queue::Outlet;
use super::record::Record;

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
    const BYTES_AT_ONCE: usize = 0;

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        self.socket.send_to(record, &self.path).map(drop)
    }
}

/// The datagram of a record.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(1024);
    for (name, value) in &record.fields {
        put(&mut datagram, name, value);
    }
    datagram
}

/// The form for values with line breaks, which suits any value.
fn put(record: &mut Vec<u8>, name: &str, value: &str) {
    record.extend(name.bytes());
    record.push(b'\n');
    record.extend(u64::try_from(value.len()).unwrap_or(u64::MAX).to_le_bytes());
    record.extend(value.bytes());
    record.push(b'\n');
}

pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io::{BufRead, Read};
    use std::time::Duration;

    use tracing_subscriber::layer::SubscriberExt;

    use super::super::audit;
    use super::super::queue::Queue;
    use super::super::record::RecordLayer;
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
        let subscriber = tracing_subscriber::registry().with(RecordLayer { queue, encode });
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
        assert!(fields.iter().all(|(name, _)| name != "MESSAGE_ID"));
        let fields = received(&listener);
        assert_eq!(value(&fields, "MESSAGE"), "line break\n: a\nb");
        assert!(value(&received(&listener), "MESSAGE").len() < 10_000);
    }

    #[test]
    fn a_decision_has_its_own_fields_and_a_number_for_the_catalog() {
        let (_directory, listener, journal) = journal();
        let queue = Queue::start(journal, |_| {}).unwrap();
        let subscriber = tracing_subscriber::registry().with(RecordLayer { queue, encode });
        tracing::subscriber::with_default(subscriber, || {
            let (none, uid) = (None::<u64>, Some(7_u32));
            tracing::warn!(
                target: audit::TARGET, pubkey = "0xab", duty = "BLOCK_V2", slot = none, verdict = "slashable", uid,
                latency_us = 12_u64, "refused"
            );
        });
        let fields = received(&listener);
        for (name, expected) in [
            ("MESSAGE", "refused pubkey=0xab duty=BLOCK_V2"),
            ("MESSAGE_ID", "31989677de244be5b34cf7eeb88e3308"),
            ("BLS_PUBKEY", "0xab"),
            ("BLS_DUTY", "BLOCK_V2"),
            ("BLS_VERDICT", "slashable"),
            ("BLS_UID", "7"),
            ("LATENCY_US", "12"),
            ("PRIORITY", "4"),
        ] {
            assert_eq!(value(&fields, name), expected);
        }
        assert!(fields.iter().all(|(name, _)| name != "BLS_SLOT"), "it has none: {fields:?}");
    }

    #[test]
    fn a_journal_that_nobody_reads_holds_nobody_and_one_that_is_not_there_is_none() {
        let (directory, listener, journal) = journal();
        let path = directory.path().join("socket");
        let queue = Queue::start(journal, |_| {}).unwrap();
        let line = "x".repeat(4000);
        while queue.dropped() == 0 {
            queue.push(&encode(&Record::error(&line)));
        }
        queue.flush(Duration::from_millis(1));
        assert!(Journal::open(&path).is_some(), "it is only stopped");
        assert_eq!(value(&received(&listener), "MESSAGE"), line);
        assert!(Journal::open(&directory.path().join("other")).is_none());
        drop(listener);
        assert!(Journal::open(&path).is_none());
    }
}
