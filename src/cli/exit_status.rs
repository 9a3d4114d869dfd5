//! Exit statuses, and which error ends in which.

use std::process::ExitCode;

use super::{Error, fetch, keys, ledger, migrate, packaged, slashing_protection, token};
use crate::daemon;
use crate::keymanager::StartError;
use crate::ledger::{NoPresent, OpenError};
use crate::supervisor::listeners;

/// What the process says to its parent; sysexits(3) where there is a fitting number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    Ok = 0,
    /// A fault of ours or of the machine: trying again may help.
    Fault = 1,
    /// Arguments that cannot be read.
    Usage = 2,
    /// There is no daemon that answers.
    NoDaemon = 69,
    /// Another process holds the state directory.
    StateInUse = 75,
    /// A configuration that cannot be used: trying again does not help.
    Configuration = 78,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

impl Error {
    /// The only map from errors to exit statuses.
    pub(super) fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Configuration(_)
            | Self::Activation(_)
            | Self::Package(packaged::Error::Configuration(_) | packaged::Error::TwoLedgers { .. })
            | Self::Owner(_)
            | Self::Check { .. } => ExitStatus::Configuration,
            Self::Web3Signer(error) if error.is_usage() => ExitStatus::Usage,
            Self::Web3Signer(_) => ExitStatus::Configuration,
            Self::Ledger(error) => shared_ledger_status(error),
            Self::Keys(error) => keys_status(error),
            Self::Migrate(error) => migrate_status(error),
            Self::Token(error) => token_status(error),
            Self::Status(error) if error.is_no_daemon() => ExitStatus::NoDaemon,
            Self::Fetch(fetch::Error::NotInstalled { .. }) => ExitStatus::Configuration,
            Self::Fetch(fetch::Error::Place(_) | fetch::Error::Run { .. })
            | Self::Status(_)
            | Self::Unhealthy
            | Self::NoHealth
            | Self::Output(_)
            | Self::Demo(_) => ExitStatus::Fault,
            Self::Daemon(error) => daemon_status(error),
            Self::SlashingProtection(error) => slashing_protection_status(error),
        }
    }
}

fn daemon_status(error: &daemon::Error) -> ExitStatus {
    match error {
        daemon::Error::Listen(error) => match error {
            listeners::Error::OpenKeymanager(_) | listeners::Error::NotASocket { .. } => {
                ExitStatus::Configuration
            }
            listeners::Error::Inherited(_)
            | listeners::Error::Bind { .. }
            | listeners::Error::NoDirectory { .. }
            | listeners::Error::InUse { .. }
            | listeners::Error::TcpInUse { .. }
            | listeners::Error::Stale { .. } => ExitStatus::Fault,
        },
        daemon::Error::Tls(_)
        | daemon::Error::FetchUser(_)
        | daemon::Error::Network(_)
        | daemon::Error::Clients(_) => ExitStatus::Configuration,
        daemon::Error::Keys(error) => match error {
            StartError::Seal(_) | StartError::SealMissing { .. } | StartError::Unseal(_) => {
                ExitStatus::Configuration
            }
            StartError::Memory(_)
            | StartError::Ledger(_)
            | StartError::Files(_)
            | StartError::DeletionJournal(_) => ExitStatus::Fault,
        },
        daemon::Error::Ledger(error) => ledger_status(error),
        daemon::Error::Hardening(_)
        | daemon::Error::SelfTest(_)
        | daemon::Error::Socket { .. }
        | daemon::Error::Notify(_)
        | daemon::Error::LedgerBroke(_)
        | daemon::Error::Uncounted(_)
        | daemon::Error::Runtime(_)
        | daemon::Error::Fetch(_)
        | daemon::Error::Pool(_)
        | daemon::Error::Signals(_) => ExitStatus::Fault,
    }
}

fn shared_ledger_status(error: &ledger::Error) -> ExitStatus {
    use ledger::Error;
    match error {
        Error::Configuration(_)
        | Error::Network(_)
        | Error::Owner(_)
        | Error::NoGenesis
        | Error::NoGenesisRoot
        | Error::OtherGenesis { .. }
        | Error::NoAddress
        | Error::Wrong { .. } => ExitStatus::Configuration,
        Error::SharedLedger(_) | Error::Runtime(_) | Error::Output(_) => ExitStatus::Fault,
    }
}

fn token_status(error: &token::Error) -> ExitStatus {
    use token::Error;
    match error {
        Error::Configuration(_) | Error::Owner(_) => ExitStatus::Configuration,
        Error::Name => ExitStatus::Usage,
        Error::Exists { .. }
        | Error::Unknown { .. }
        | Error::Busy { .. }
        | Error::Write { .. }
        | Error::Random(_)
        | Error::Output(_) => ExitStatus::Fault,
    }
}

fn keys_status(error: &keys::Error) -> ExitStatus {
    use keys::Error;
    match error {
        Error::Configuration(_) | Error::Owner(_) | Error::NoSeal | Error::Seal(_) | Error::Reseal { .. } => {
            ExitStatus::Configuration
        }
        Error::Open(error) => ledger_status(error),
        Error::Daemon(_)
        | Error::Answer
        | Error::Files(_)
        | Error::History(_)
        | Error::Failed { .. }
        | Error::Unknown { .. }
        | Error::Declined
        | Error::Terminal(_)
        | Error::Save { .. }
        | Error::Output(_)
        | Error::Hardening(_)
        | Error::Memory(_)
        | Error::Fault(_)
        | Error::Changed(_)
        | Error::Runtime(_) => ExitStatus::Fault,
    }
}

fn migrate_status(error: &migrate::Error) -> ExitStatus {
    use migrate::Error;
    match error {
        Error::Web3Signer(error) if error.is_usage() => ExitStatus::Usage,
        Error::Py3Signer(_) => ExitStatus::Usage,
        Error::Web3Signer(_)
        | Error::Configuration(_)
        | Error::Network(_)
        | Error::NoSeal
        | Error::SealFile(_)
        | Error::Seal(_)
        | Error::Owner(_)
        | Error::OtherChain(_)
        | Error::OtherConfiguration { .. } => ExitStatus::Configuration,
        Error::InUse { .. } => ExitStatus::StateInUse,
        Error::Open(error) => ledger_status(error),
        Error::Directory { .. }
        | Error::Hardening(_)
        | Error::Memory(_)
        | Error::Fault(_)
        | Error::Obstacles { .. }
        | Error::NotTaken { .. }
        | Error::Write { .. }
        | Error::Runtime(_)
        | Error::Output(_) => ExitStatus::Fault,
    }
}

fn slashing_protection_status(error: &slashing_protection::Error) -> ExitStatus {
    use slashing_protection::Error;
    match error {
        Error::Configuration(_)
        | Error::Network(_)
        | Error::OfTheService { .. }
        | Error::Owner(_)
        | Error::NoCounter => ExitStatus::Configuration,
        Error::Open(error) => ledger_status(error),
        Error::CounterInUse
        | Error::NotCounted(_)
        | Error::Order(_)
        | Error::Daemon(_)
        | Error::NoDaemon(_)
        | Error::OtherHolder { .. }
        | Error::OtherLedger { .. }
        | Error::NoDirectory { .. }
        | Error::NotThePresent { .. }
        | Error::Wire(_)
        | Error::OtherAnswer
        | Error::History(_)
        | Error::Write { .. }
        | Error::Read { .. }
        | Error::NoBackup { .. }
        | Error::RestoreInUse
        | Error::Restore(_)
        | Error::Fault(_)
        | Error::Partial { .. }
        | Error::StillRefused { .. }
        | Error::NoHistory(_)
        | Error::Runtime(_)
        | Error::Output(_) => ExitStatus::Fault,
    }
}

fn ledger_status(error: &OpenError) -> ExitStatus {
    match error {
        OpenError::InUse { .. } | OpenError::Copied { .. } => ExitStatus::StateInUse,
        OpenError::Missing { .. }
        | OpenError::LogMissing { .. }
        | OpenError::RolledBack { .. }
        | OpenError::CounterLoss { .. }
        | OpenError::Unproven { source: None | Some(NoPresent::UnknownGenesis), .. }
        | OpenError::FileSystem { .. }
        | OpenError::Orphan { .. }
        | OpenError::Exposed { .. }
        | OpenError::Foreign { .. }
        | OpenError::NotALedger { .. }
        | OpenError::Newer { .. }
        | OpenError::SharedLedger(_)
        | OpenError::OtherChain { .. } => ExitStatus::Configuration,
        OpenError::Counter(fault) if fault.is_configuration() => ExitStatus::Configuration,
        // A clock gets right by itself, as a rule.
        OpenError::Unproven {
            source: Some(NoPresent::ClockAhead { .. } | NoPresent::ClockBehind { .. }),
            ..
        }
        | OpenError::Counter(_)
        | OpenError::ReadOnly { .. }
        | OpenError::Damaged { .. }
        | OpenError::Sqlite { .. }
        | OpenError::Io { .. }
        | OpenError::Unsynced { .. }
        | OpenError::Thread(_) => ExitStatus::Fault,
    }
}
