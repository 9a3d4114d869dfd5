//! Errors of the shared ledger, in words for its operator.

use std::io;
use std::path::PathBuf;

use crate::network::NamedRoot;
use crate::primitives::Root;
use crate::regular_file::FileError;

/// Why the shared ledger does not answer, or what it has answered does not count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the shared ledger's database cannot be reached")]
    Connect(#[source] tokio_postgres::Error),
    #[error("the shared ledger's database did not answer within {seconds} s")]
    Slow { seconds: u64 },
    #[error("the shared ledger's database had the same records changed by others in {attempts} attempts")]
    Contended { attempts: usize },
    #[error("the shared ledger's database refused a statement, or the connection broke")]
    Statement(#[from] tokio_postgres::Error),
    #[error(
        "the shared ledger's database warned ({warning}), as it does when a commit did not reach its standby: what was \
         asked on that connection does not count"
    )]
    Warned { warning: String },
    #[error("the connection to the shared ledger's database was closed")]
    Closed,
    #[error(
        "the shared ledger's database does not replicate its commits synchronously: set synchronous_standby_names, \
         synchronous_commit = on and fsync = on, or shared_ledger_durability = \"engine\" if something else makes them \
         survive its loss"
    )]
    Unreplicated,
    #[error(
        "commits in the shared ledger's database wait for a synchronous standby that does not answer: bring one back, \
         or another"
    )]
    StandbyAway,
    #[error("the shared ledger's database refused a message and shows no reason for it: it is asked again")]
    Unexplained,
    #[error(
        "the shared ledger's database is on timeline {found}, and this host has seen timeline {known}: it is a primary \
         in whose place another was promoted, or an old copy. If it is the one to go on with: 'bls-signer ledger \
         accept-loss'"
    )]
    OlderTimeline { found: u32, known: u32 },
    #[error(
        "there is no shared ledger in this database, or this role may not read it: run 'bls-signer ledger init' as its \
         owner"
    )]
    Uninitialized(#[source] tokio_postgres::Error),
    #[error(
        "this is Web3Signer's own database, and a shared ledger in it would begin without its history: make another \
         database for the shared ledger, and bring the history over first ('bls-signer migrate web3signer')"
    )]
    Web3SignersDatabase,
    #[error(
        "the shared ledger has schema version {found} and this program works with {}: run 'bls-signer ledger init' of \
         the newer program, and the newer program on all hosts",
        SCHEMA_VERSION
    )]
    OtherSchema { found: i32 },
    #[error(
        "the shared ledger protects the chain with genesis validators root {}, and this signer is configured for {}: \
         give each network a ledger of its own", NamedRoot(*.theirs), NamedRoot(*.ours)
    )]
    OtherChain { theirs: Root, ours: Root },
    #[error(
        "the database has shared ledger {found}, and this host has joined {pinned}: check the address. To leave the \
         old one for good, stop all signers, lift all keys to the present ('slashing-protection raise'), and remove \
         shared-ledger.json in the state directory"
    )]
    OtherLedger { found: String, pinned: String },
    #[error(
        "the shared ledger has LOST records ({reason}): other hosts may sign what contradicts them, so nothing is \
         signed that it protects. Find out why, then 'bls-signer ledger accept-loss'"
    )]
    Rewound { reason: String },
    #[error("the shared ledger's database gave a value that cannot be: {what}")]
    Garbage { what: &'static str },
    #[error("shared-ledger.json in the state directory cannot be used")]
    Pins(#[source] io::Error),
    #[error("the shared ledger's password file {} cannot be used", path.display())]
    Password { path: PathBuf, source: FileError },
    #[error("the authorities for the shared ledger's database, {}, cannot be used", path.display())]
    Authorities { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the shared ledger's thread or runtime cannot be started")]
    Thread(#[source] io::Error),
}

/// The version of the schema that this program makes and works with.
pub(crate) const SCHEMA_VERSION: i32 = 1;

impl Error {
    /// Whether a commit may be on one server alone.
    pub(super) fn is_of_replication(&self) -> bool {
        matches!(self, Self::Warned { .. } | Self::Unreplicated)
    }

    /// Whether another connection may do better.
    pub(super) fn is_of_one_connection(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Statement(_) | Self::Warned { .. } | Self::Closed => true,
            Self::Slow { .. }
            | Self::Contended { .. }
            | Self::Unreplicated
            | Self::StandbyAway
            | Self::Unexplained
            | Self::OlderTimeline { .. }
            | Self::Uninitialized(_)
            | Self::Web3SignersDatabase
            | Self::OtherSchema { .. }
            | Self::OtherChain { .. }
            | Self::OtherLedger { .. }
            | Self::Rewound { .. }
            | Self::Garbage { .. }
            | Self::Pins(_)
            | Self::Password { .. }
            | Self::Authorities { .. }
            | Self::Thread(_) => false,
        }
    }
}
