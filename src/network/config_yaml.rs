//! The consensus specifications' `config.yaml`: a flat mapping of upper-case keys.
//!
//! Files in the wild quote numbers or do not, and write versions as bare hexadecimal; both forms mean the same here.
//! Keys that are not read never matter, whatever they hold.

use std::time::Duration;

use super::forks::LaterFork;
use super::{Fork, Forks, Network, NetworkError, Preset};
use crate::primitives::{Epoch, ForkVersion};
use crate::yaml::{self, Mapping, Shown};

pub(super) fn parse(text: &str) -> Result<Network, NetworkError> {
    let mut documents = yaml::documents(text);
    let config = Config(documents.next().ok_or_else(|| missing("PRESET_BASE"))??);
    if documents.next().is_some() {
        return Err(NetworkError::SecondDocument);
    }
    Ok(Network {
        name: config.name()?,
        preset: config.preset()?,
        forks: config.forks()?,
        slot_duration: config.slot_duration()?,
        genesis_time: None,
        genesis_validators_root: None,
    })
}

struct Config<'t>(Mapping<'t>);

impl Config<'_> {
    fn name(&self) -> Result<String, NetworkError> {
        let key = "CONFIG_NAME";
        let Some(name) = self.0.text(key)? else { return Ok("unnamed".to_owned()) };
        // A byte order mark is invisible, too.
        let is_blank = name.chars().all(|character| character.is_whitespace() || character == '\u{feff}');
        if is_blank || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(bad(key, &name, "a name of 1 to 64 characters in one line"));
        }
        Ok(name.to_owned())
    }

    /// The preset that is named. Where the file has the preset's constants as well, they must be that preset's.
    fn preset(&self) -> Result<Preset, NetworkError> {
        let key = "PRESET_BASE";
        let name = self.0.text(key)?.ok_or_else(|| missing(key))?;
        let preset = Preset::by_name(&name).ok_or_else(|| bad(key, &name, "mainnet, gnosis or minimal"))?;
        for (key, preset_value) in preset.constants() {
            let value = self.number(key)?.unwrap_or(preset_value);
            if value != preset_value {
                return Err(NetworkError::OtherPreset { key, value, preset, preset_value });
            }
        }
        Ok(preset)
    }

    fn forks(&self) -> Result<Forks, NetworkError> {
        let genesis = self.version("GENESIS_FORK_VERSION")?.ok_or_else(|| missing("GENESIS_FORK_VERSION"))?;
        let mut later = Vec::new();
        for fork in Fork::ALL.into_iter().filter(|fork| *fork != Fork::Phase0) {
            let (version_key, epoch_key) = (format!("{fork}_FORK_VERSION"), format!("{fork}_FORK_EPOCH"));
            match (self.version(&version_key)?, self.number(&epoch_key)?) {
                (Some(version), Some(epoch)) => {
                    let epoch = (epoch != FAR_FUTURE_EPOCH).then_some(Epoch(epoch));
                    later.push(LaterFork { fork, version, epoch });
                }
                (None, None) => {}
                (Some(_), None) => return Err(missing(&epoch_key)),
                (None, Some(_)) => return Err(missing(&version_key)),
            }
        }
        Forks::new(genesis, later)
    }

    fn slot_duration(&self) -> Result<Option<Duration>, NetworkError> {
        for (key, unit) in [("SLOT_DURATION_MS", 1), ("SECONDS_PER_SLOT", 1_000)] {
            let Some(number) = self.number(key)? else { continue };
            let milliseconds = number.checked_mul(unit).filter(|time| (1..=LONGEST_SLOT_MS).contains(time));
            let wrong = || bad(key, &number.to_string(), "the length of a slot, at most a day");
            return milliseconds.map(Duration::from_millis).map(Some).ok_or_else(wrong);
        }
        Ok(None)
    }

    fn number(&self, key: &str) -> Result<Option<u64>, NetworkError> {
        let Some(text) = self.0.text(key)? else { return Ok(None) };
        let number = match text.strip_prefix("0x") {
            Some(digits) => number_of(digits, 16),
            None => number_of(&text, 10),
        };
        let expected = "a whole number from 0 to 18446744073709551615";
        number.map(Some).ok_or_else(|| bad(key, &text, expected))
    }

    /// Four bytes, or a number whose four bytes are meant.
    fn version(&self, key: &str) -> Result<Option<ForkVersion>, NetworkError> {
        let Some(text) = self.0.text(key)? else { return Ok(None) };
        let number = match text.strip_prefix("0x") {
            Some(digits) => number_of(digits, 16),
            None => number_of(&text, 10),
        };
        let version = number.and_then(|number| u32::try_from(number).ok()).map(u32::to_be_bytes);
        version
            .map(|bytes| Some(ForkVersion(bytes)))
            .ok_or_else(|| bad(key, &text, "four bytes such as 0x00000001"))
    }
}

/// Digits without sign or separators. Decimal ones have no zero in front: some readers take such for octal.
fn number_of(digits: &str, radix: u32) -> Option<u64> {
    let is_plain = digits.chars().all(|digit| digit.is_digit(radix));
    let is_octal = radix == 10 && digits.len() > 1 && digits.starts_with('0');
    if is_plain && !is_octal { u64::from_str_radix(digits, radix).ok() } else { None }
}

fn missing(key: &str) -> NetworkError {
    NetworkError::MissingKey(key.to_owned())
}

fn bad(key: &str, value: &str, expected: &'static str) -> NetworkError {
    NetworkError::BadValue { key: key.to_owned(), value: Shown(value).to_string(), expected }
}

/// The most characters of a network's name, which stands in messages and on status pages.
const LONGEST_NAME: usize = 64;

/// A day in milliseconds: more than any chain's slot.
const LONGEST_SLOT_MS: u64 = 86_400_000;

/// An epoch that never comes: the fork is not scheduled.
const FAR_FUTURE_EPOCH: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::Slot;

    const UNQUOTED: &str = r"
# Comment
PRESET_BASE: 'gnosis'
CONFIG_NAME: testnet
MIN_GENESIS_TIME: 1638968400
GENESIS_FORK_VERSION: 0x00000064
ALTAIR_FORK_VERSION: 0x01000064
ALTAIR_FORK_EPOCH: 512
BELLATRIX_FORK_VERSION: 0x02000064
BELLATRIX_FORK_EPOCH: 385536
CAPELLA_FORK_VERSION: 0x03000064
CAPELLA_FORK_EPOCH: 18446744073709551615
TERMINAL_TOTAL_DIFFICULTY: 115792089237316195423570985008687907853269984665640564039457584007913129638912
DEPOSIT_CONTRACT_ADDRESS: 0x0B98057eA310F4d31F2a452B414647007d1645d9
SECONDS_PER_SLOT: 5
BLOB_SCHEDULE:
  - EPOCH: 1
    MAX_BLOBS_PER_BLOCK: 2
";

    #[test]
    fn bare_hexadecimal_and_numbers_are_read() {
        let network = parse(UNQUOTED).unwrap();
        assert_eq!((network.name(), network.preset()), ("testnet", Preset::Gnosis));
        assert_eq!(network.genesis_fork_version(), ForkVersion([0, 0, 0, 0x64]));
        assert_eq!(network.forks().version(Fork::Capella), Some(ForkVersion([3, 0, 0, 0x64])));
        assert_eq!(network.forks().epoch(Fork::Capella), None);
        assert_eq!(network.forks().version(Fork::Gloas), None);
        assert_eq!(network.fork_at(Slot(385_536 * 16)), Fork::Bellatrix);
        assert_eq!(network.slot_duration(), Some(Duration::from_secs(5)));
    }

    #[test]
    fn quoted_values_mean_the_same() {
        let quoted: String = UNQUOTED
            .lines()
            .map(|line| match line.split_once(": ") {
                Some((key, value)) if !line.starts_with([' ', '#']) => {
                    format!("{key}: \"{}\"\n", value.trim_matches('\''))
                }
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(parse(&quoted).unwrap(), parse(UNQUOTED).unwrap());
    }

    #[test]
    fn milliseconds_win_over_seconds() {
        let text =
            "PRESET_BASE: minimal\nGENESIS_FORK_VERSION: 0x1\nSECONDS_PER_SLOT: 6\nSLOT_DURATION_MS: 3000\n";
        assert_eq!(parse(text).unwrap().slot_duration(), Some(Duration::from_millis(3000)));
    }

    #[test]
    fn a_missing_key_is_named() {
        for (text, key) in [
            ("", "PRESET_BASE is missing"),
            ("GENESIS_FORK_VERSION: 0x00000001", "PRESET_BASE is missing"),
            ("PRESET_BASE: mainnet", "GENESIS_FORK_VERSION is missing"),
            (
                "PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: 0x1\nALTAIR_FORK_EPOCH: 1",
                "ALTAIR_FORK_VERSION is missing",
            ),
            (
                "PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: 0x1\nDENEB_FORK_VERSION: 0x2",
                "DENEB_FORK_EPOCH is missing",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), key);
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_what_would_be_right() {
        for (text, shown) in [
            ("PRESET_BASE: huge", "PRESET_BASE is \"huge\""),
            ("PRESET_BASE: [mainnet]", "PRESET_BASE is a list"),
            ("PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: '0xg0'", "GENESIS_FORK_VERSION is \"0xg0\""),
            ("PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: 010", "GENESIS_FORK_VERSION is \"010\""),
            (
                "PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: 4294967296",
                "GENESIS_FORK_VERSION is \"4294967296\"",
            ),
            ("PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: -1", "GENESIS_FORK_VERSION is \"-1\""),
            (
                "PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: 0x1\nALTAIR_FORK_VERSION: 0x2\nALTAIR_FORK_EPOCH: 1.5",
                "ALTAIR_FORK_EPOCH is \"1.5\"",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(shown), "{error}");
        }
    }

    #[test]
    fn text_that_is_no_mapping_is_refused() {
        for text in ["mainnet", "- a\n- b", "{", "PRESET_BASE: mainnet\nPRESET_BASE: minimal"] {
            assert!(matches!(parse(text), Err(NetworkError::Yaml(_))), "{text:?}");
        }
        assert!(matches!(parse("PRESET_BASE: minimal\n---\na: b"), Err(NetworkError::SecondDocument)));
    }

    #[test]
    fn keys_that_are_not_read_never_matter() {
        let wide = "DEPOSIT_CONTRACT_ADDRESS: 0x00000000219ab540356cbb839cbe05303d7705fa\n\
                    TERMINAL_TOTAL_DIFFICULTY: 58750000000000000000000\n\
                    MIN_GENESIS_TIME: -340282366920938463463374607431768211456e99\n\
                    EIP9999_FORK_VERSION: &anchor [1, {a: *nothing, b: !tag 'x'}]\n\
                    MIN_GENESIS_TIME: given twice\nNOTE: |\n  PRESET_BASE: huge\n\
                    BLOBS:\n- EPOCH: 1\n  MAX: *b\nNOT_ASCII: \u{202e}\u{1f600}\nOTHER: *alias\n";
        let start = "PRESET_BASE: minimal\nGENESIS_FORK_VERSION: 0x00000001\n";
        for text in [format!("{wide}{start}"), format!("{start}{wide}"), format!("\u{feff}{start}{wide}")] {
            assert_eq!(parse(&text).unwrap(), parse(start).unwrap(), "{text}");
        }
    }

    #[test]
    fn constants_of_another_preset_are_refused_and_the_presets_own_are_none() {
        let start = "PRESET_BASE: minimal\nGENESIS_FORK_VERSION: 0x00000001\n";
        for (key, value) in Preset::Minimal.constants() {
            let own = format!("{start}{key}: {value}\n");
            assert_eq!(parse(&own).unwrap(), parse(start).unwrap(), "{key}");
            let error = parse(&format!("{start}{key}: {}\n", value + 1)).unwrap_err().to_string();
            let said = format!("{key} is {}, but the preset minimal has {value}", value + 1);
            assert!(error.starts_with(&said), "{error}");
        }
    }

    #[test]
    fn every_message_is_one_short_line() {
        let long = "\u{1b}9\\n".repeat(10_000);
        for text in [
            format!("PRESET_BASE: \"{long}\""),
            format!("PRESET_BASE: minimal\nGENESIS_FORK_VERSION: {long}"),
            format!("PRESET_BASE: minimal\nGENESIS_FORK_VERSION: 1\nCONFIG_NAME: {long}"),
            "PRESET_BASE: minimal\nGENESIS_FORK_VERSION: 1\nCONFIG_NAME: ''".to_owned(),
            "PRESET_BASE: minimal\nGENESIS_FORK_VERSION: 1\nCONFIG_NAME: '\u{feff} '".to_owned(),
            format!("{long}: a\n{long}"),
            format!("PRESET_BASE: minimal\nGENESIS_FORK_VERSION: 1\nSECONDS_PER_SLOT: {}", u64::MAX),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.chars().count() < 200 && !error.contains(char::is_control), "{error}");
        }
    }
}
