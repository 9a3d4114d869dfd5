//! The daemon in the variants that are set against each other.

use std::path::Path;

use clap::ValueEnum;

use crate::Options;
use crate::support::{Daemon, Key, Setup, build_preload};

/// How a daemon is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    pub ledger: Ledger,
    pub syncs: Syncs,
    pub build: Build,
    pub watched: Watched,
}

/// Which program runs as the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// The one that cargo has just built.
    This,
    /// Another one, such as an earlier version: `--against`.
    Other(&'static Path),
}

/// Whether anybody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    No,
    /// Its metrics are scraped every second, and the audit has every signature.
    Yes,
}

/// Whether slashing protection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ledger {
    On,
    Off,
}

/// How long the ledger's syncs take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// As long as the disk takes.
    Plain,
    /// This many milliseconds longer, by a library that stands between the daemon and the system.
    Delayed { ms: u32 },
}

impl Variant {
    /// This build's daemon on the disk as it is.
    pub fn plain(ledger: Ledger) -> Self {
        Self { ledger, syncs: Syncs::Plain, build: Build::This, watched: Watched::No }
    }

    /// What the options ask for, in the order of the tables. A delayed daemon has the plain one beside it, and each the
    /// other build's.
    pub fn wanted(options: &Options) -> Vec<Self> {
        let delayed = options.sync_delay.map(|ms| Syncs::Delayed { ms });
        let syncs: Vec<_> = [Syncs::Plain].into_iter().chain(delayed).collect();
        let of = |ledger: Ledger| syncs.iter().map(move |&syncs| Self { syncs, ..Self::plain(ledger) });
        let plain: Vec<_> = options.ledger.iter().flat_map(|&ledger| of(ledger)).collect();
        let watched = plain.iter().filter(|_| options.watched);
        let watched = watched.map(|&variant| Self { watched: Watched::Yes, ..variant });
        let wanted: Vec<_> = plain.iter().copied().chain(watched).collect();
        Self::with_others(&wanted, options)
    }

    /// The same, and with `--against` each of them with the other build, too; but for those that are watched, as earlier
    /// builds have no such audit.
    pub fn with_others(variants: &[Self], options: &Options) -> Vec<Self> {
        let other: Option<&'static Path> =
            options.against.clone().map(|path| &*Box::leak(path.into_boxed_path()));
        let builds = [Build::This].into_iter().chain(other.map(Build::Other));
        let all =
            variants.iter().flat_map(|&variant| builds.clone().map(move |build| Self { build, ..variant }));
        all.filter(|variant| variant.build == Build::This || variant.watched == Watched::No).collect()
    }

    pub fn name(self) -> String {
        let ledger = self.ledger.name();
        let syncs = match self.syncs {
            Syncs::Plain => String::new(),
            Syncs::Delayed { ms } => format!(", syncs +{ms} ms"),
        };
        let build = match self.build {
            Build::This => "",
            Build::Other(_) => ", other build",
        };
        let watched = match self.watched {
            Watched::No => "",
            Watched::Yes => ", watched",
        };
        format!("{ledger}{syncs}{build}{watched}")
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
        let setup = match self.watched {
            Watched::No => setup,
            Watched::Yes => setup.args(&["--audit", "all"]),
        };
        let setup = match self.build {
            Build::This => setup,
            // The shell takes this build's path away and becomes the other one.
            Build::Other(path) => {
                setup.under(&["/bin/sh", "-c", r#"shift; exec "$0" "$@""#, path.to_str().unwrap()])
            }
        };
        let daemon = match self.syncs {
            Syncs::Plain => setup.start(),
            Syncs::Delayed { ms } => {
                let library = build_preload(setup.directory(), "slow_disk");
                let microseconds = (u64::from(ms) * 1000).to_string();
                setup.env("LD_PRELOAD", &library).env("SYNC_DELAY_US", &microseconds).start()
            }
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
            Self::Delayed { ms } => Some(ms),
        }
    }
}
