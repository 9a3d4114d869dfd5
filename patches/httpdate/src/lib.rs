//! The date of an HTTP answer (RFC 9110, section 5.6.7), for any clock.
//!
//! hyper makes one for every connection, asked or not, with the crate of this name. That one panics on a clock before 1970
//! or beyond 9999, and a panic ends a signer whose board has lost its battery. Here such a clock shows the nearest date
//! that has a form. Only what hyper uses is here.

#![forbid(unsafe_code)]

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A time in whole seconds, shown as `Sun, 06 Nov 1994 08:49:37 GMT`: always 29 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate {
    /// Since 1970, below [`YEAR_10000`].
    seconds: u64,
}

impl From<SystemTime> for HttpDate {
    fn from(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { seconds: seconds.min(YEAR_10000 - 1) }
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.seconds / 86_400, self.seconds % 86_400);
        // 1970 began on a Thursday.
        let weekday = name(&WEEKDAYS, days + 3);
        let (year, month, day) = civil(days);
        let month = name(&MONTHS, month);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

/// Year, month (0 is January) and day (1 is the first) of a day since 1970, in the Gregorian calendar.
///
/// Counted in years that begin in March, so that the day of a leap year comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let (era, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 400 * era + year;
    match month {
        0..10 => (year, month + 2, day),
        _ => (year + 1, month - 10, day),
    }
}

fn name(names: &[&'static str], number: u64) -> &'static str {
    let count = names.len() as u64;
    names.get((number % count) as usize).copied().unwrap_or_default()
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// From March of the year 0.
const DAYS_TO_1970: u64 = 719_468;
const DAYS_IN_400_YEARS: u64 = 146_097;

/// Its first second. From then on a year has five digits, for which the form has no room.
const YEAR_10000: u64 = 253_402_300_800;
