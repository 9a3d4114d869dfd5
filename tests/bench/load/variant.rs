//! The daemon in the variants that are set against each other.

use std::path::Path;

use clap::ValueEnum;

use crate::Options;
use crate::support::{Daemon, Key, Setup};

/// How a daemon is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    pub ledger: Ledger,
    pub syncs: Syncs,
}

/// Whether slashing protection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ledger {
    On,
    Off,
}

/// What stands between the daemon and the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// Nothing.
    Plain,
    /// strace, which stops the daemon at each sync for some 0.1 ms and then for this many milliseconds more.
    Traced { delay_ms: u32 },
}

impl Variant {
    /// What the options ask for, in the order of the tables. A delayed daemon has the plain and the undelayed but traced
    /// one beside it, so that what strace itself costs is not taken for the delay's.
    pub fn wanted(options: &Options) -> Vec<Self> {
        let mut syncs = vec![Syncs::Plain];
        if let Some(delay_ms) = options.sync_delay {
            syncs.extend([Syncs::Traced { delay_ms: 0 }, Syncs::Traced { delay_ms }]);
        }
        let of = |ledger: Ledger| syncs.iter().map(move |&syncs| Self { ledger, syncs });
        options.ledger.iter().flat_map(|&ledger| of(ledger)).collect()
    }

    pub fn name(self) -> String {
        let ledger = self.ledger.name();
        match self.syncs {
            Syncs::Plain => ledger.to_owned(),
            Syncs::Traced { delay_ms: 0 } => format!("{ledger}, strace"),
            Syncs::Traced { delay_ms } => format!("{ledger}, strace, syncs +{delay_ms} ms"),
        }
    }

    /// Starts a daemon that holds the keys and takes so many connections with a request each.
    pub fn start(self, keys: &[Key], connections: usize) -> Daemon {
        // The daemon's own limits, if they are enough.
        let (most_connections, most_requests) = ((connections + 16).max(1024), (connections + 1).max(512));
        let setup = Setup::new().args(&[
            "--network",
            "minimal",
            "--slashing-protection",
            self.ledger.name(),
            "--log-level",
            "warn",
            "--max-connections",
            &most_connections.to_string(),
            "--max-requests",
            &most_requests.to_string(),
        ]);
        let daemon = match self.syncs {
            Syncs::Plain => setup.start(),
            Syncs::Traced { delay_ms } => traced(setup, delay_ms).start(),
        };
        for some in keys.chunks(1000) {
            daemon.import(&some.iter().collect::<Vec<_>>());
        }
        daemon
    }
}

impl Ledger {
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

impl Syncs {
    pub fn delay_ms(self) -> Option<u32> {
        match self {
            Self::Plain => None,
            Self::Traced { delay_ms } => Some(delay_ms),
        }
    }
}

/// `-D` lets strace be the daemon's grandchild and not its parent, so the process that we know is the daemon itself. The
/// filter in the kernel lets every other system call pass without a stop.
fn traced(setup: Setup, delay_ms: u32) -> Setup {
    assert!(Path::new(STRACE).exists(), "{STRACE} is missing: install the package strace");
    let inject = format!("inject=fdatasync,fsync:delay_exit={}", u64::from(delay_ms) * 1000);
    let trace =
        ["-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &inject];
    setup.under(&[&[STRACE], &trace[..]].concat())
}

const STRACE: &str = "/usr/bin/strace";
