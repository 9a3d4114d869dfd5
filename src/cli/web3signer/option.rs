//! An option of Web3Signer: its names, where it stands, what it takes and what becomes of it here.

use super::table::OPTIONS;

/// An option of Web3Signer, or one of ours for its command line.
#[derive(Debug)]
pub(super) struct Web3SignerOption {
    /// Without the dashes; the first one is the usual one.
    pub(super) names: &'static [&'static str],
    pub(super) level: Level,
    pub(super) takes: Takes,
    pub(super) fate: Fate,
}

/// The part of the command line that an option belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Global,
    Eth2,
    Export,
    Import,
    WatermarkRepair,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// `true` or `false`; alone it means `true`.
    Switch,
    Text,
    /// Texts with commas between them, or one after the other.
    List,
}

/// What becomes of an option.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is this option of `bls-signer serve`.
    Flag(&'static str),
    /// It is translated, together with others; what it becomes, in words.
    Translated(Meaning, &'static str),
    /// It is accepted with a warning: why it has no meaning here.
    Accepted(&'static str),
    /// It is refused: what to do instead.
    Refused(&'static str),
    /// It is refused if it is `true`; `false` is what is done here.
    RefusedWhenOn(&'static str),
}

/// What an option means that is not simply one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    ConfigFile,
    Logging,
    ListenHost,
    ListenPort,
    Hosts,
    Origins,
    Metrics,
    MetricsHost,
    MetricsPort,
    MetricsHosts,
    AnyClient,
    Keymanager,
    Protection,
    Database,
    AbandonLedger,
    PasswordDirectory,
    PasswordFile,
    ExportTo,
    ImportFrom,
    Epoch,
    Slot,
    SetHighWatermark,
    RemoveHighWatermark,
}

impl Web3SignerOption {
    /// The option of this name, without dashes.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| option.names.contains(&name))
    }

    /// The name that it goes by.
    pub(super) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    pub(super) fn means(&self, wanted: Meaning) -> bool {
        matches!(self.fate, Fate::Translated(meaning, _) if meaning == wanted)
    }

    /// The environment variables that set it.
    pub(super) fn variables(&self) -> impl Iterator<Item = String> {
        let prefix = self.level.words().replace('.', "_");
        let long = self.names.iter().filter(|name| name.len() > 1);
        long.map(move |name| {
            format!("{VARIABLE_PREFIX}{prefix}{name}").to_ascii_uppercase().replace('-', "_")
        })
    }

    /// The keys of the configuration file that set it.
    pub(super) fn keys(&self) -> impl Iterator<Item = String> {
        self.names.iter().map(|name| format!("{}{name}", self.level.words()))
    }
}

impl Level {
    /// The subcommands before an option, as the configuration file has them.
    fn words(self) -> &'static str {
        match self {
            Self::Global => "",
            Self::Eth2 => "eth2.",
            Self::Export => "eth2.export.",
            Self::Import => "eth2.import.",
            Self::WatermarkRepair => "eth2.watermark-repair.",
        }
    }
}

pub(super) const VARIABLE_PREFIX: &str = "WEB3SIGNER_";
