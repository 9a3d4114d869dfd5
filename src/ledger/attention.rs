//! Keys that somebody should look after: they cannot sign all that is asked for until an operator acts.

use std::fmt;

use super::far_future::Horizon;
use super::row::KeyState;
use super::row_table::RowTable;
use crate::bls::PublicKey;

/// The keys that need an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attention {
    /// A raw root was signed with these, so their blocks and attestations are refused until their watermarks are lifted
    /// to the present. Deleted keys, which sign nothing at all, are not among them.
    pub(crate) raw_roots: KeyNames,
    /// These have a record that lies implausibly far ahead of the clock: only what lies above it can be signed. Or the
    /// clock is slow by years.
    pub(crate) far_ahead: KeyNames,
}

impl Attention {
    pub(super) fn of(rows: &RowTable, horizon: Option<Horizon>) -> Self {
        let far_ahead = |entry: &KeyState| horizon.and_then(|horizon| horizon.record_ahead(&entry.watermark));
        let concerned =
            |entry: KeyState| (entry.raw_root_signed || far_ahead(&entry).is_some()).then_some(entry);
        let mut entries = rows.pick(concerned);
        entries.retain(|entry| !entry.deleted);
        let names = |is: &dyn Fn(&KeyState) -> bool| {
            entries.iter().filter(|entry| is(entry)).map(|entry| entry.public_key).collect()
        };
        Self {
            raw_roots: names(&|entry| entry.raw_root_signed),
            far_ahead: names(&|entry| far_ahead(entry).is_some()),
        }
    }
}

/// How many keys, and the first few of them by name: a text of bounded length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyNames {
    count: usize,
    first: Vec<PublicKey>,
}

impl KeyNames {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

impl FromIterator<PublicKey> for KeyNames {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        let mut names = Self::default();
        for key in keys {
            names.count = names.count.saturating_add(1);
            if names.first.len() < NAMED {
                names.first.push(key);
            }
        }
        names
    }
}

impl fmt::Display for KeyNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.first.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(", "))?;
        match self.count.saturating_sub(names.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// So many keys are named.
const NAMED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_keys_the_first_are_named_and_the_others_counted() {
        let names = |count| (1..=count).map(|byte| PublicKey([byte; 48])).collect::<KeyNames>();
        assert!(names(0).is_empty());
        let [one, five] = [names(1), names(5)];
        assert_eq!((one.to_string(), one.count()), (PublicKey([1; 48]).to_string(), 1));
        assert_eq!(five.count(), 5);
        assert!(five.to_string().ends_with(&format!("{} and 2 more", PublicKey([3; 48]))), "{five}");
    }
}
