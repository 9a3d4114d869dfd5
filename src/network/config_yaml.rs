//! The consensus specifications' `config.yaml`: a flat mapping of upper-case keys.
//!
//! Files in the wild quote numbers or do not, and write versions as bare hexadecimal, which YAML reads as an integer;
//! both forms mean the same here.

use std::time::Duration;

use serde_yaml_ng::{Mapping, Value};

use super::forks::LaterFork;
use super::{Fork, Forks, Network, NetworkError, Preset};
use crate::primitives::{Epoch, ForkVersion};

pub(super) fn parse(text: &str) -> Result<Network, NetworkError> {
    let config = Config(serde_yaml_ng::from_str(text)?);
    Ok(Network {
        name: config.text("CONFIG_NAME")?.unwrap_or_else(|| "unnamed".to_owned()),
        preset: config.preset()?,
        forks: config.forks()?,
        slot_duration: config.slot_duration()?,
        genesis_time: None,
        genesis_validators_root: None,
    })
}

struct Config(Mapping);

impl Config {
    fn preset(&self) -> Result<Preset, NetworkError> {
        let key = "PRESET_BASE";
        let name = self.text(key)?.ok_or_else(|| missing(key))?;
        Preset::by_name(&name).ok_or_else(|| bad(key, name, "mainnet, gnosis or minimal"))
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
        if let Some(milliseconds) = self.number("SLOT_DURATION_MS")? {
            return Ok(Some(Duration::from_millis(milliseconds)));
        }
        Ok(self.number("SECONDS_PER_SLOT")?.map(Duration::from_secs))
    }

    fn text(&self, key: &str) -> Result<Option<String>, NetworkError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(other) => Err(bad(key, shown(other), "a name")),
        }
    }

    fn number(&self, key: &str) -> Result<Option<u64>, NetworkError> {
        let expected = "a whole number from 0 to 18446744073709551615";
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) if number.is_u64() => Ok(number.as_u64()),
            Some(Value::String(text)) => {
                text.parse().map(Some).map_err(|_| bad(key, format!("{text:?}"), expected))
            }
            Some(other) => Err(bad(key, shown(other), expected)),
        }
    }

    fn version(&self, key: &str) -> Result<Option<ForkVersion>, NetworkError> {
        let expected = "four bytes such as 0x00000001";
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => {
                let version = number.as_u64().and_then(|number| u32::try_from(number).ok());
                let version = version.ok_or_else(|| bad(key, number.to_string(), expected))?;
                Ok(Some(ForkVersion(version.to_be_bytes())))
            }
            Some(Value::String(text)) => const_hex::decode_to_array(text)
                .map(|bytes| Some(ForkVersion(bytes)))
                .map_err(|_| bad(key, format!("{text:?}"), expected)),
            Some(other) => Err(bad(key, shown(other), expected)),
        }
    }
}

fn missing(key: &str) -> NetworkError {
    NetworkError::MissingKey(key.to_owned())
}

fn bad(key: &str, value: String, expected: &'static str) -> NetworkError {
    NetworkError::BadValue { key: key.to_owned(), value, expected }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Tagged(_) => "a tagged value".to_owned(),
    }
}

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
            ("PRESET_BASE: huge", "PRESET_BASE is huge"),
            ("PRESET_BASE: [mainnet]", "PRESET_BASE is a list"),
            ("PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: '0x00'", "GENESIS_FORK_VERSION is \"0x00\""),
            ("PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: 4294967296", "GENESIS_FORK_VERSION is 4294967296"),
            ("PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: -1", "GENESIS_FORK_VERSION is -1"),
            (
                "PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: 0x1\nALTAIR_FORK_VERSION: 0x2\nALTAIR_FORK_EPOCH: 1.5",
                "ALTAIR_FORK_EPOCH is 1.5",
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
    }
}
