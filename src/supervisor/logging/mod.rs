//! Logs: to the journal with fields when stderr is the journal, else as text on stderr.
//!
//! Only our own events are logged. Libraries' traces show whole requests, and a request can carry a token.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Environment, LogLevel};

/// Starts logging for the whole process; a second call does nothing.
pub(crate) fn start(level: LogLevel, environment: &Environment) {
    let own_events = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let registry = tracing_subscriber::registry().with(own_events);
    let under_journal = stderr_is_journal(environment);
    // Without the journal's socket the text on stderr still gets there, only without fields.
    if let Some(journal) = under_journal.then(journal).flatten() {
        let _ = registry.with(journal).try_init();
        return;
    }
    let text = fmt::layer().with_writer(io::stderr).with_target(false).with_ansi(io::stderr().is_terminal());
    // The journal has its own clock.
    let _ = match under_journal {
        true => registry.with(text.without_time()).try_init(),
        false => registry.with(text).try_init(),
    };
}

/// Writes to the journal: events' fields become `BLS_SIGNER_<FIELD>`.
fn journal() -> Option<tracing_journald::Layer> {
    let priorities =
        PriorityMappings { info: Priority::Informational, debug: Priority::Debug, ..PriorityMappings::new() };
    let layer = tracing_journald::layer().ok()?;
    Some(
        layer
            .with_syslog_identifier("bls-signer".to_owned())
            .with_field_prefix(Some("BLS_SIGNER".to_owned()))
            .with_priority_mappings(priorities),
    )
}

/// Whether stderr is the stream that systemd connected to the journal, and not redirected since (systemd.exec(5),
/// `$JOURNAL_STREAM`: device and inode in decimal).
pub(crate) fn stderr_is_journal(environment: &Environment) -> bool {
    let Some(stream) = environment.text("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() else { return false };
    File::from(stderr).metadata().is_ok_and(|metadata| is_stream(stream, metadata.dev(), metadata.ino()))
}

fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    let Some((stream_device, stream_inode)) = stream.split_once(':') else { return false };
    stream_device.parse() == Ok(device) && stream_inode.parse() == Ok(inode)
}

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

    #[test]
    fn libraries_are_never_logged() {
        use tracing_subscriber::filter::LevelFilter;
        let targets = Targets::new().with_target(env!("CARGO_CRATE_NAME"), LogLevel::Trace);
        let trace = LevelFilter::TRACE.into_level().unwrap();
        assert!(targets.would_enable("bls_signer::http::server", &trace));
        for library in ["h2::codec", "hyper", "rustls", "tokio"] {
            assert!(!targets.would_enable(library, &tracing::Level::ERROR), "{library}");
        }
    }
}
