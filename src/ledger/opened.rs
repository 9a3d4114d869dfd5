//! What an opening found: which ledger it is, where, how old and with how many keys.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::counter::ShownCounter;
use super::sqlite::{DirectoryId, LedgerId};
use super::unproven::{Doubt, Lifted};

/// A ledger as it was opened, for the log of a start and for those who must not take one ledger for another.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// The file, without links.
    pub(crate) path: PathBuf,
    /// The directory that the file is in.
    pub(crate) directory: DirectoryId,
    /// Its number, which no other ledger has but a copy of it.
    pub(crate) id: LedgerId,
    /// Seconds since 1970 by the clock of the host that created it. None: an older version did, which kept no time.
    pub(crate) created: Option<u64>,
    /// Whether this opening created it: it was missing.
    pub(crate) is_new: bool,
    /// So many keys it has a row of.
    pub(crate) keys: usize,
    /// Why nothing shows that it is the newest, where that was left as it is.
    pub(crate) doubt: Option<Doubt>,
    /// What was lifted because nothing showed that.
    pub(crate) lifted: Option<Lifted>,
    /// What counts its sessions outside of all disks, if a counter is named.
    pub(crate) counter: Option<ShownCounter>,
    pub(super) now: SystemTime,
}

impl Opened {
    fn age(&self) -> Option<Duration> {
        let now = self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        now.checked_sub(Duration::from_secs(self.created?))
    }
}

impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, directory: _, id, created, is_new, keys, doubt: _, lifted: _, counter: _, now: _ } =
            self;
        write!(f, "{} (id {id}, ", path.display())?;
        match (is_new, created, self.age()) {
            (true, _, _) => f.write_str("created now")?,
            (false, None, _) => f.write_str("created by an older version")?,
            (false, Some(created), None) => {
                write!(f, "created at {created} s after 1970, which this host's clock has yet to reach")?;
            }
            (false, Some(_), Some(age)) => write!(f, "created {} ago", rough(age))?,
        }
        write!(f, ", {keys} keys on record)")
    }
}

/// A time in its largest unit.
fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..=119 => (seconds, "s"),
        120..=7_199 => (seconds / 60, "min"),
        7_200..=172_799 => (seconds / 3_600, "hours"),
        172_800.. => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_largest_unit() {
        for (seconds, text) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 hours"), (172_800, "2 days")]
        {
            assert_eq!(rough(Duration::from_secs(seconds)), text);
        }
    }
}
