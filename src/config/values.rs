//! Options that are one word of a few.

use clap::ValueEnum;
use serde::{Deserialize, Deserializer};
use tracing::level_filters::LevelFilter;

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Nothing.
    Off,
    /// What ends the service or costs a signature.
    Error,
    /// What an operator should look at, and what slashing protection refuses.
    #[value(alias = "warning")]
    Warn,
    /// Start, stop, keys that come and go, signed raw roots.
    #[default]
    Info,
    /// Every signature and every refusal.
    Debug,
    /// No more than debug.
    Trace,
}

/// What the state directory may lie on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StateFs {
    /// File systems of this host: no nfs, cifs, fuse, 9p or ceph; tmpfs and overlayfs are warned about.
    #[default]
    Local,
    /// Any file system.
    Any,
}

/// What a start does about a ledger that nothing shows to be the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UnprovenStart {
    /// Lift all watermarks to the present: a key may miss one vote, and one block that is due at once.
    #[default]
    Lift,
    /// End: an operator looks first.
    Refuse,
}

/// Which decisions about signatures are logged, each with its key, duty, caller and reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Audit {
    /// Every one, whatever the log level.
    All,
    /// What slashing protection refuses, what a client may not have and what fails: the first of a sort in a minute.
    #[default]
    Refusals,
}

/// What log lines look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Text on standard error, fields where that is the journal.
    #[default]
    Text,
    /// One JSON object a line on standard error, with the fields of the journal.
    Json,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// Something that is on or off, in any of the usual words. In the file `true` and `false` do as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// On.
    #[value(aliases = ["true", "yes", "1"])]
    On,
    /// Off.
    #[value(aliases = ["false", "no", "0"])]
    Off,
}

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
        }
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected \"on\", \"off\", true or false")]
        enum Form {
            Bool(bool),
            Word(Word),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Word {
            #[serde(alias = "true", alias = "yes", alias = "1")]
            On,
            #[serde(alias = "false", alias = "no", alias = "0")]
            Off,
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Bool(true) | Form::Word(Word::On) => Self::On,
            Form::Bool(false) | Form::Word(Word::Off) => Self::Off,
        })
    }
}
