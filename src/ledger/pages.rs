//! All keys' pages, by position and by key. They only grow, and only when a key is seen for the first time.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::page::{Entry, Page};
use crate::bls::PublicKey;

#[derive(Debug, Default)]
pub(super) struct Pages(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: Vec<Arc<Page>>,
    index: HashMap<PublicKey, usize>,
}

impl Pages {
    /// Pages whose entries are on disk, in the order of their positions.
    pub(super) fn saved(entries: Vec<Entry>) -> Self {
        let index = entries.iter().enumerate().map(|(at, entry)| (entry.public_key, at)).collect();
        let all = entries.into_iter().enumerate().map(|(at, entry)| Page::saved(at, entry)).collect();
        Self(RwLock::new(Inner { all, index }))
    }

    pub(super) fn find(&self, public_key: &PublicKey) -> Option<Arc<Page>> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.all.get(*inner.index.get(public_key)?).map(Arc::clone)
    }

    /// The key's page; `list` is given a new one before anybody else sees it, in the order of their positions.
    pub(super) fn open(&self, public_key: PublicKey, list: impl FnOnce(&Arc<Page>)) -> Arc<Page> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = inner.index.get(&public_key).and_then(|at| inner.all.get(*at)) {
            return Arc::clone(page); // Another thread was faster.
        }
        let position = inner.all.len();
        let page = Page::saved(position, Entry::new(public_key));
        list(&page);
        inner.all.push(Arc::clone(&page));
        inner.index.insert(public_key, position);
        page
    }

    /// What `pick` makes of the entries, in the order of their positions.
    pub(super) fn pick<T>(&self, pick: impl FnMut(Entry) -> Option<T>) -> Vec<T> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.all.iter().map(|page| page.entry()).filter_map(pick).collect()
    }

    /// All entries in the order of their positions.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.pick(Some)
    }
}
