//! Table of all keys' rows, by position and by key. It only grows, and only when a key is seen for the first time.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::row::{KeyState, Row};
use crate::bls::PublicKey;

#[derive(Debug, Default)]
pub(super) struct RowTable(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: Vec<Arc<Row>>,
    index: HashMap<PublicKey, usize>,
}

impl RowTable {
    /// Rows whose states are on disk, in the order of their positions.
    pub(super) fn saved(entries: Vec<KeyState>) -> Self {
        let index = entries.iter().enumerate().map(|(at, entry)| (entry.public_key, at)).collect();
        let all = entries.into_iter().enumerate().map(|(at, entry)| Row::saved(at, entry)).collect();
        Self(RwLock::new(Inner { all, index }))
    }

    pub(super) fn find(&self, public_key: &PublicKey) -> Option<Arc<Row>> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.all.get(*inner.index.get(public_key)?).map(Arc::clone)
    }

    /// The key's row; `list` is given a new one before anybody else sees it, in the order of their positions.
    pub(super) fn open(&self, entry: KeyState, list: impl FnOnce(&Arc<Row>)) -> Arc<Row> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = inner.index.get(&entry.public_key).and_then(|at| inner.all.get(*at)) {
            return Arc::clone(row); // Another thread was faster.
        }
        let position = inner.all.len();
        let row = Row::saved(position, entry);
        list(&row);
        inner.all.push(Arc::clone(&row));
        inner.index.insert(entry.public_key, position);
        row
    }

    /// What `pick` makes of the entries, in the order of their positions.
    pub(super) fn pick<T>(&self, pick: impl FnMut(KeyState) -> Option<T>) -> Vec<T> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.all.iter().map(|row| row.entry()).filter_map(pick).collect()
    }

    /// All entries in the order of their positions.
    pub(super) fn entries(&self) -> Vec<KeyState> {
        self.pick(Some)
    }
}
