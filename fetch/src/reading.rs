//! Reading of many entries by several readers at a time; their keys come as they are read.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::trouble::{Kind, Trouble};
use crate::value::Item;

/// A reading that is under way. Dropped, it ends.
pub(crate) struct Reading {
    items: mpsc::Receiver<Vec<Item>>,
    farewell: Option<Farewell>,
    _readers: JoinSet<()>,
}

/// What is to be done when all has been read, such as to give a token back.
pub(crate) type Farewell = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One of those that read at the same time, with a connection of its own.
pub(crate) trait Reader: Send + 'static {
    /// What is read at once: a name, or several.
    type Entry: Send + 'static;

    /// Its keys. What cannot be read is an `Item::Missing`.
    fn read(&mut self, entry: Self::Entry) -> impl Future<Output = Vec<Item>> + Send;
}

/// A reader whose entries are secrets of one name each.
pub(crate) trait SecretReader: Send + 'static {
    /// The keys in the secret of this name.
    fn secret(&mut self, name: &str) -> impl Future<Output = Result<Vec<Item>, Trouble>> + Send;
}

impl<R: SecretReader> Reader for R {
    type Entry = String;

    async fn read(&mut self, name: String) -> Vec<Item> {
        match self.secret(&name).await {
            Ok(items) => items,
            Err(trouble) => vec![Item::Missing { name, trouble }],
        }
    }
}

/// A source that lists more than [`MOST_NAMES`].
pub(crate) fn too_many_names() -> Trouble {
    let reason = format!("there are more than {MOST_NAMES} secrets: make several sources of it");
    Trouble::new(Kind::TooLarge, reason)
}

impl Reading {
    /// Begins to read the entries, each by the one of [`READERS`] that is free next.
    pub(crate) fn start<R: Reader>(
        entries: Vec<R::Entry>,
        new_reader: impl FnMut() -> R,
        farewell: Option<Farewell>,
    ) -> Self {
        let (sender, items) = mpsc::channel(READ_AHEAD);
        let entries = Arc::new(Mutex::new(entries.into_iter()));
        let mut tasks = JoinSet::new();
        for mut reader in std::iter::repeat_with(new_reader).take(READERS) {
            let (entries, sender) = (Arc::clone(&entries), sender.clone());
            tasks.spawn(async move {
                loop {
                    let next = entries.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(entry) = next else { return };
                    if sender.send(reader.read(entry).await).await.is_err() {
                        return;
                    }
                }
            });
        }
        Self { items, farewell, _readers: tasks }
    }

    /// Passes on what several readings give, a few at a time, after these items. A reading that does not begin is
    /// missing by its names.
    pub(crate) fn gather<F>(first: Vec<Item>, parts: Vec<(Vec<String>, F)>) -> Self
    where
        F: Future<Output = Result<Self, Trouble>> + Send + 'static,
    {
        let (sender, items) = mpsc::channel(READ_AHEAD);
        let mut tasks = JoinSet::new();
        let turns = Arc::new(Semaphore::new(READINGS));
        for (names, part) in parts {
            let (turns, sender) = (Arc::clone(&turns), sender.clone());
            tasks.spawn(async move {
                let _turn = turns.acquire().await;
                match part.await {
                    Ok(reading) => reading.pass_on(&sender).await,
                    Err(trouble) => {
                        let missing = |name| Item::Missing { name, trouble: trouble.clone() };
                        // Whoever asked may have given up.
                        let _ = sender.send(names.into_iter().map(missing).collect()).await;
                    }
                }
            });
        }
        tasks.spawn(async move {
            let _ = sender.send(first).await;
        });
        Self { items, farewell: None, _readers: tasks }
    }

    async fn pass_on(mut self, sender: &mpsc::Sender<Vec<Item>>) {
        while let Some(items) = self.next().await {
            if sender.send(items).await.is_err() {
                return;
            }
        }
        self.end().await;
    }

    /// The next keys; `None` when all have come.
    pub(crate) async fn next(&mut self) -> Option<Vec<Item>> {
        self.items.recv().await
    }

    pub(crate) async fn end(self) {
        if let Some(farewell) = self.farewell {
            farewell.await;
        }
    }
}

/// Connections to one server.
pub(crate) const READERS: usize = 16;
/// Readings that go on at the same time.
const READINGS: usize = 4;
/// What one source of the signer's may have.
pub(crate) const MOST_NAMES: usize = 32_768;
/// Answers that wait for the signer.
const READ_AHEAD: usize = 64;
