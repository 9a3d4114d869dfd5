//! Interchange files: slashing-protection histories as EIP-3076 JSON.
//!
//! With every message that ten thousand keys signed it is some hundred megabytes long, so it is read as a stream, with
//! a progress bar, and only what a ledger takes of it goes to the daemon.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::progress::Progress;
use crate::bls::PublicKey;
use crate::ledger::{Interchange, InterchangeError};

/// Reads EIP-3076 JSON; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Interchange, Error> {
    let interchange = if path == Path::new("-") {
        Interchange::read(BufReader::new(io::stdin().lock()))
    } else {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Interchange::read(BufReader::with_capacity(MEGABYTE, Watched::new(file, length)))
    };
    interchange.map_err(|source| Error::Unusable { place: name(path), source })
}

/// The file's name in messages.
pub(super) fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// The keys whose history is in an interchange that a daemon or a ledger gave. That of a ledger which knows no chain
/// yet is one too, though nobody could import it.
pub(super) fn keys_in(interchange: &str) -> serde_json::Result<HashSet<PublicKey>> {
    #[derive(Deserialize)]
    struct Histories {
        data: Vec<History>,
    }
    #[derive(Deserialize)]
    struct History {
        pubkey: String,
    }
    let Histories { data } = serde_json::from_str(interchange)?;
    Ok(data.iter().filter_map(|history| history.pubkey.parse().ok()).collect())
}

/// A file whose reading is shown, if it takes a while.
struct Watched {
    file: File,
    done: usize,
    progress: Option<Progress>,
}

impl Watched {
    fn new(file: File, length: u64) -> Self {
        let megabytes = usize::try_from(length).unwrap_or(usize::MAX) / MEGABYTE;
        let progress =
            (megabytes >= MIN_MEGABYTES_WITH_PROGRESS).then(|| Progress::new("MB read", megabytes));
        Self { file, done: 0, progress }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.done = self.done.saturating_add(count);
        if let Some(progress) = &mut self.progress {
            progress.show(self.done / MEGABYTE);
        }
        Ok(count)
    }
}

/// A file cannot be read, or is no history that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the history in {place} cannot be used")]
    Unusable { place: String, source: InterchangeError },
}

const MEGABYTE: usize = 1_000_000;

/// A file of this many megabytes takes long enough to show progress.
const MIN_MEGABYTES_WITH_PROGRESS: usize = 20;
