//! The care of one source: asked at its interval, when the signer wants it, and when the signer has started anew.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::command;
use crate::log::{chain, say};
use crate::reading::READERS;
use crate::signer::{Delivered, Signer};
use crate::source::{Kind, Source};
use crate::trouble::{self, Trouble};
use crate::value::Item;

/// Asks it until the task is dropped.
pub(crate) async fn serve(source: Source, socket: Arc<Path>) {
    let mut pause = FIRST_PAUSE;
    let mut has_told = false;
    loop {
        match connection(&source, &socket, &mut pause).await {
            Ok(never) => match never {},
            Err(error) if !has_told => {
                say(&format!("{}: no connection to the signer: {}", source.name, chain(&error)))
            }
            Err(_) => {}
        }
        has_told = pause > FIRST_PAUSE;
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// Asks it once. Says whether it listed all.
pub(crate) async fn once(source: &Source, socket: &Path) -> bool {
    let delivered = async {
        let mut signer = Signer::connect(socket).await?;
        deliver(source, &mut signer).await
    };
    match delivered.await {
        Ok(is_complete) => is_complete,
        Err(error) => {
            say(&format!("{}: no delivery to the signer: {}", source.name, chain(&error)));
            false
        }
    }
}

async fn connection(
    source: &Source,
    socket: &Path,
    pause: &mut Duration,
) -> io::Result<std::convert::Infallible> {
    let mut signer = Signer::connect(socket).await?;
    let mut retry = FIRST_RETRY;
    loop {
        let is_complete = deliver(source, &mut signer).await?;
        // Whoever takes a delivery is there for the next one.
        *pause = FIRST_PAUSE;
        retry = if is_complete { FIRST_RETRY } else { retry.saturating_mul(2) };
        let next = if is_complete { source.interval } else { retry.min(source.interval) };
        tokio::select! {
            wanted = signer.wants_fetch() => wanted?,
            () = sleep(next) => {}
        }
    }
}

async fn deliver(source: &Source, signer: &mut Signer) -> io::Result<bool> {
    let name = &source.name;
    match &source.kind {
        Kind::Retired => {
            let left = signer.retire(name).await?;
            if left > 0 {
                say(&format!("{name}: retired, {left} keys left"));
            }
            Ok(true)
        }
        Kind::Command { command, timeout } => {
            let read = command::read(command, *timeout).await;
            signer.begin(name, source.sealed).await?;
            let delivered = match read {
                Ok(items) => {
                    for item in &items {
                        signer.bring(item).await?;
                    }
                    signer.end(items.len()).await?
                }
                Err(trouble) => told(name, &trouble, signer).await?,
            };
            Ok(done(name, &delivered))
        }
        Kind::Store(store) => {
            signer.begin(name, source.sealed).await?;
            // What it lists is read by several at a time, and sent on as it comes.
            let mut reading = match store.read().await {
                Ok(reading) => reading,
                Err(trouble) => {
                    let delivered = told(name, &trouble, signer).await?;
                    return Ok(done(name, &delivered));
                }
            };
            let (mut entries, mut in_vain) = (0_usize, 0_usize);
            let delivered = loop {
                match timeout(LONGEST_SILENCE, reading.next()).await {
                    Ok(Some(items)) => {
                        for item in &items {
                            tell_missing(name, item);
                            signer.bring(item).await?;
                        }
                        entries = entries.saturating_add(items.len());
                        let Some(trouble) = unanswered(&items) else {
                            in_vain = 0;
                            continue;
                        };
                        in_vain = in_vain.saturating_add(1);
                        if in_vain >= MOST_IN_VAIN {
                            break told(name, trouble, signer).await?;
                        }
                    }
                    Ok(None) => break signer.end(entries).await?,
                    Err(_) => {
                        let reason = format!("nothing came within {} s", LONGEST_SILENCE.as_secs());
                        let trouble = Trouble::new(trouble::Kind::Timeout, reason);
                        break told(name, &trouble, signer).await?;
                    }
                }
            };
            reading.end().await;
            Ok(done(name, &delivered))
        }
    }
}

async fn told(name: &str, trouble: &Trouble, signer: &mut Signer) -> io::Result<Delivered> {
    say(&format!("{name}: {trouble}"));
    signer.fail(trouble).await
}

/// What kept the server from answering; `None` when it answered.
fn unanswered(items: &[Item]) -> Option<&Trouble> {
    match items.first()? {
        Item::Missing { trouble, .. } => Some(trouble).filter(|trouble| trouble.kind.may_pass()),
        Item::Raw { .. } | Item::Keystore { .. } => None,
    }
}

fn tell_missing(name: &str, item: &Item) {
    match item {
        Item::Missing { name: entry, trouble } => say(&format!("{name}: {entry}: {trouble}")),
        Item::Raw { .. } | Item::Keystore { .. } => {}
    }
}

fn done(name: &str, Delivered { keys, entered, left, missing, complete }: &Delivered) -> bool {
    if *entered > 0 || *left > 0 || !complete {
        let is = if *complete { "complete" } else { "NOT complete, so no key leaves" };
        say(&format!("{name}: {keys} keys, {entered} new, {left} left, {missing} missing: {is}"));
    }
    *complete
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// Entries in a row, each asked for several times. A moment of absence costs as many as there are readers.
const MOST_IN_VAIN: usize = 2 * READERS;
/// Longer than one entry takes with all its retries.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);
