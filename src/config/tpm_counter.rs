//! Counter in a TPM: which index of which device, out of `tpm_counter` and `tpm_device`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use super::Error;
use crate::tpm::{NvCounter, NvIndex};

/// The counter that the two options name, if they do.
pub(super) fn tpm_counter(
    index: Option<NvIndex>,
    device: Option<PathBuf>,
) -> Result<Option<NvCounter>, Error> {
    match (index, device) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::Incomplete { given: "--tpm-device", missing: "--tpm-counter" }),
        (Some(index), device) => {
            Ok(Some(NvCounter { device: device.unwrap_or_else(|| RESOURCE_MANAGER.into()), index }))
        }
    }
}

impl<'de> Deserialize<'de> for NvIndex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The kernel's, which lets several programs use the TPM in turn.
const RESOURCE_MANAGER: &str = "/dev/tpmrm0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_an_index_of_the_kernel_s_tpm_unless_another_is_named() {
        let index: NvIndex = "0x01800b15".parse().unwrap();
        let named = |device: Option<&str>| tpm_counter(Some(index), device.map(PathBuf::from)).ok().unwrap();
        assert_eq!(named(None).unwrap().device, PathBuf::from("/dev/tpmrm0"));
        assert_eq!(named(Some("/run/x")), Some(NvCounter { device: "/run/x".into(), index }));
        assert_eq!(tpm_counter(None, None).ok().unwrap(), None);
        assert!(matches!(tpm_counter(None, Some("/run/x".into())), Err(Error::Incomplete { .. })));
    }

    #[test]
    fn an_index_is_one_of_the_tpm_s_memory() {
        for good in ["0x01800b15", "0X01500B15", "0x1500016"] {
            assert!(good.parse::<NvIndex>().is_ok(), "{good}");
        }
        for wrong in
            ["", "0x", "25168661", "01800b15", "0x81000001", "0x4000000a", "0x101800b15", "0x01800b1g"]
        {
            assert!(wrong.parse::<NvIndex>().is_err(), "{wrong}");
        }
    }
}
