//! Validity of the server's certificate: `notAfter` of an X.509 certificate (RFC 5280, section 4.1).
//!
//! rustls keeps the field to itself, and a crate that reads the whole format would be much for one field. The
//! certificate is the operator's own and rustls has taken it; what is not understood here is no fault.

use std::fmt;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use crate::der::{INTEGER, SEQUENCE, VERSION, next};

/// The moment from which on clients refuse the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry(SystemTime);

impl Expiry {
    /// `None` if it cannot be told.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        not_after(certificate).map(Self)
    }

    /// When that is.
    pub(crate) fn not_after(self) -> SystemTime {
        self.0
    }

    /// What has to be said about it at that time.
    pub(crate) fn at(self, now: SystemTime) -> Validity {
        match self.0.duration_since(now) {
            Err(_) => Validity::Over,
            Ok(left) if left < SOON => Validity::Ending { days: left.as_secs() / SECONDS_PER_DAY },
            Ok(_) => Validity::Long,
        }
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(self.0).fmt(f)
    }
}

/// Whether a certificate is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    Long,
    /// It ends soon, after so many whole days.
    Ending {
        days: u64,
    },
    Over,
}

fn not_after(certificate: &[u8]) -> Option<SystemTime> {
    let (certificate, _) = next(certificate, SEQUENCE)?;
    let (to_be_signed, _) = next(certificate.content, SEQUENCE)?;
    let mut fields = to_be_signed.content;
    // Version 1 is left out where it is meant.
    if let Some((_version, rest)) = next(fields, VERSION) {
        fields = rest;
    }
    // Serial number, signature, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        fields = next(fields, tag)?.1;
    }
    let (validity, _) = next(fields, SEQUENCE)?;
    let (_not_before, rest) = time(validity.content)?;
    time(rest)?.0
}

/// The time that comes first, if it is one that humantime knows, and what follows it.
fn time(der: &[u8]) -> Option<(Option<SystemTime>, &[u8])> {
    let (text, rest, year_digits) = match (next(der, UTC_TIME), next(der, GENERALIZED_TIME)) {
        (Some((text, rest)), _) => (text, rest, 2),
        (None, Some((text, rest))) => (text, rest, 4),
        (None, None) => return None,
    };
    let text = std::str::from_utf8(text.content).ok()?.strip_suffix('Z')?;
    let (year, digits) = text.split_at_checked(year_digits)?;
    let century = match year_digits {
        // RFC 5280, section 4.1.2.5.1.
        2 if year < "50" => "20",
        2 => "19",
        _ => "",
    };
    let pairs: Vec<_> = (0..5_usize).map_while(|pair| digits.get(pair.checked_mul(2)?..)?.get(..2)).collect();
    let [month, day, hour, minute, second] = pairs.as_slice() else { return None };
    let time = format!("{century}{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    Some((humantime::parse_rfc3339(&time).ok(), rest))
}

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
/// Long enough to renew it by hand.
const SOON: Duration = Duration::from_secs(14 * SECONDS_PER_DAY);

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn expiry(pem: &str) -> String {
        Expiry::of(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap().to_string()
    }

    #[test]
    fn both_forms_of_time_are_read_as_openssl_reads_them() {
        assert_eq!(expiry(UNTIL_2048), "2048-10-21T15:15:42Z");
        assert_eq!(expiry(UNTIL_2109), "2109-01-15T15:15:42Z");
    }

    #[test]
    fn two_weeks_before_the_end_it_is_said() {
        let expiry = Expiry(humantime::parse_rfc3339("2026-12-01T00:00:00Z").unwrap());
        let at = |now: &str| expiry.at(humantime::parse_rfc3339(now).unwrap());
        assert_eq!(at("2026-11-16T00:00:00Z"), Validity::Long);
        assert_eq!(at("2026-11-17T00:00:01Z"), Validity::Ending { days: 13 });
        assert_eq!(at("2026-11-30T23:59:59Z"), Validity::Ending { days: 0 });
        assert_eq!(at("2026-12-01T00:00:01Z"), Validity::Over);
    }

    proptest! {
        #[test]
        fn no_bytes_stop_it(bytes: Vec<u8>, at in any::<usize>(), byte: u8) {
            let _ = not_after(&bytes);
            let mut certificate = CertificateDer::from_pem_slice(UNTIL_2048.as_bytes()).unwrap().to_vec();
            let at = at.checked_rem(certificate.len()).unwrap();
            certificate[at] = byte;
            let _ = not_after(&certificate);
            let _ = not_after(&certificate[..at]);
        }
    }

    const UNTIL_2048: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIUEI5N6PU/6uSSwliPsBKqDRIGPCUwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGc2lnbmVyMB4XDTI2MTEyNjE1MTU0MloXDTQ4MTAyMTE1MTU0
MlowETEPMA0GA1UEAwwGc2lnbmVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
EhoH5nw84HOFkf9R5+AtyLlT7svBrwBQymts5oPMchGM8TAQIhrHvuEuDTn2g5Hh
NW9oEXokG+DM7sNDkuL1R6NTMFEwHQYDVR0OBBYEFI4yt1FyRCaRiTtkfdLkwuu7
qXBJMB8GA1UdIwQYMBaAFI4yt1FyRCaRiTtkfdLkwuu7qXBJMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgDa940X7x7mQu781wq8g+B6ny+T+5EQFl
Ed47Jn17HWECIQCbL61yTXBUXgXxOEuIACY8lJAHL6i3aSAXuCfe27idxg==
-----END CERTIFICATE-----
";
    const UNTIL_2109: &str = "\
-----BEGIN CERTIFICATE-----
MIIBeTCCAR+gAwIBAgIUFAHyslm6lfWNIi+l/i3WqWw4l1QwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGc2lnbmVyMCAXDTI2MTEyNjE1MTU0MloYDzIxMDkwMTE1MTUx
NTQyWjARMQ8wDQYDVQQDDAZzaWduZXIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AARNv7BM4bpcAMZTFZXnfm5JC9OCkD6l8M//5VXbBQvFEYrh9xrWIUfNTtyWzd9i
sc6ASyMubnr5jdWvW7U9KZcQo1MwUTAdBgNVHQ4EFgQUwc3w69VFX12oJdyyc5EW
URMs4ckwHwYDVR0jBBgwFoAUwc3w69VFX12oJdyyc5EWURMs4ckwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAvSljwrOwABM+uEo4rYb5qRIPlrHI
HiSsIjfUVuL0jBMCICKZIgSaQshYl/VG1zKZOHADGKEpl3o/n/7vJk+24df6
-----END CERTIFICATE-----
";
}
