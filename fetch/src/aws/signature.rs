//! AWS Signature Version 4 of requests to `/` without a query, as the JSON services are asked.
//!
//! Source: "Create a signed AWS API request" in the IAM User Guide.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::{digest, hmac};
use zeroize::Zeroizing;

/// What signs requests.
pub(super) struct Keys {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Zeroizing<String>,
    /// Temporary keys have one.
    pub(super) session_token: Option<Zeroizing<String>>,
}

/// Where and when a signature counts.
pub(super) struct Scope<'s> {
    pub(super) region: &'s str,
    pub(super) service: &'s str,
    pub(super) time: Timestamp,
}

/// A moment as requests have it: `20150830T123600Z`.
pub(super) struct Timestamp(String);

impl Timestamp {
    pub(super) fn now() -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self::at(seconds)
    }

    fn at(seconds: u64) -> Self {
        let (mut days, time) = (seconds / DAY, seconds % DAY);
        let mut year = 1970_u64;
        while days >= days_of(year) {
            days = days.saturating_sub(days_of(year));
            year = year.saturating_add(1);
        }
        let mut month = 1_u64;
        for length in
            MONTHS.map(|length| if length == 28 { days_of(year).saturating_sub(337) } else { length })
        {
            if days < length {
                break;
            }
            days = days.saturating_sub(length);
            month = month.saturating_add(1);
        }
        let (day, hour, minute, second) = (days.saturating_add(1), time / 3600, time / 60 % 60, time % 60);
        Self(format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn date(&self) -> &str {
        self.0.split('T').next().unwrap_or_default()
    }
}

/// The `Authorization` of a POST with these headers, which stand in the order of their names and have `host` and
/// `x-amz-date`.
pub(super) fn authorization(keys: &Keys, scope: &Scope<'_>, headers: &[(&str, &str)], body: &str) -> String {
    let Scope { region, service, time } = scope;
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let mut canonical = Zeroizing::new("POST\n/\n\n".to_owned());
    for (name, value) in headers {
        for piece in [*name, ":", value.trim(), "\n"] {
            canonical.push_str(piece);
        }
    }
    canonical.push_str(&format!("\n{names}\n{}", hexadecimal(sha256(body).as_ref())));
    let place = format!("{}/{region}/{service}/aws4_request", time.date());
    let to_sign =
        format!("{ALGORITHM}\n{}\n{place}\n{}", time.as_str(), hexadecimal(sha256(&canonical).as_ref()));

    let secret = Zeroizing::new(format!("AWS4{}", *keys.secret_access_key));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    for part in place.split('/') {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    let signature = hexadecimal(hmac::sign(&key, to_sign.as_bytes()).as_ref());
    format!(
        "{ALGORITHM} Credential={}/{place}, SignedHeaders={names}, Signature={signature}",
        keys.access_key_id
    )
}

fn sha256(text: &str) -> digest::Digest {
    digest::digest(&digest::SHA256, text.as_bytes())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn days_of(year: u64) -> u64 {
    let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if leaps { 366 } else { 365 }
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DAY: u64 = 86_400;
/// Of a year that does not leap; in one that does, February is as long as makes 366 days.
const MONTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

#[cfg(test)]
mod tests {
    use super::*;

    /// Of AWS' Signature Version 4 test suite: its keys, time and place, and three of its signatures.
    #[test]
    fn signs_as_the_test_suite_of_aws() {
        let keys = Keys {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: None,
        };
        let time = Timestamp::at(1_440_938_160);
        assert_eq!(time.as_str(), "20150830T123600Z");
        let scope = Scope { region: "us-east-1", service: "service", time };
        let host_and_date = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (name, headers, body, signed, signature) in [
            (
                "post-vanilla",
                host_and_date.to_vec(),
                "",
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-sts-header-before",
                [&host_and_date[..], &[("x-amz-security-token", SESSION_TOKEN)]].concat(),
                "",
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            (
                "post-x-www-form-urlencoded",
                [&[form], &host_and_date[..]].concat(),
                "Param1=value1",
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let wanted = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={signed}, Signature={signature}"
            );
            assert_eq!(authorization(&keys, &scope, &headers, body), wanted, "{name}");
        }
    }

    const SESSION_TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicR\
                                 XmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsb\
                                 urEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0i\
                                 PPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    #[test]
    fn a_timestamp_knows_leap_years() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_164_800, "20240229T000000Z"),
            (1_709_251_200, "20240301T000000Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
            (1_735_689_599, "20241231T235959Z"),
        ] {
            assert_eq!(Timestamp::at(seconds).as_str(), text);
        }
    }
}
