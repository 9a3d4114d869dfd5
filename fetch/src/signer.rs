//! The signer's end: one JSON object a line (docs/fetch.md).

use std::io;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zeroize::Zeroizing;

use crate::source::Sealed;
use crate::trouble::Trouble;
use crate::value::Item;

/// A connection to the signer.
pub(crate) struct Signer {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    buffer: Zeroizing<Vec<u8>>,
}

/// What the signer says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Delivered(Delivered),
    Retired { left: usize },
    Fetch {},
    Refused { reason: String },
}

/// What a delivery came to.
#[derive(Debug, Deserialize)]
pub(crate) struct Delivered {
    pub(crate) keys: usize,
    pub(crate) entered: usize,
    pub(crate) left: usize,
    pub(crate) missing: usize,
    pub(crate) complete: bool,
}

impl Signer {
    pub(crate) async fn connect(socket: &Path) -> io::Result<Self> {
        let (reader, writer) = UnixStream::connect(socket).await?.into_split();
        let buffer = Zeroizing::new(Vec::with_capacity(BUFFER_BYTES));
        Ok(Self { lines: BufReader::new(reader).lines(), writer, buffer })
    }

    pub(crate) async fn begin(&mut self, source: &str, sealed: Sealed) -> io::Result<()> {
        let begin = json!({"begin": {"protocol": 1, "source": source, "sealed": sealed.to_string()}});
        self.say(&format!("{begin}\n")).await
    }

    /// Sends a key. Written by hand, so that no parser or writer keeps a copy of it.
    pub(crate) async fn bring(&mut self, item: &Item) -> io::Result<()> {
        match item {
            Item::Raw { name, public_key, secret } => {
                let public_key = public_key.as_ref().map(|key| format!(", \"public_key\": {}", json!(key)));
                let head =
                    format!("{{\"key\": {{\"name\": {}{}", json!(name), public_key.unwrap_or_default());
                for piece in [&*head, ", \"secret\": \"", secret.expose(), "\"}}\n"] {
                    self.say(piece).await?;
                }
            }
            Item::Keystore { name, keystore, password } => {
                let password = Zeroizing::new(serde_json::to_string(password.expose())?);
                let head = format!("{{\"keystore\": {{\"name\": {}, \"keystore\": ", json!(name));
                for piece in [&*head, keystore, ", \"password\": ", &password, "}}\n"] {
                    self.say(piece).await?;
                }
            }
            Item::Missing { name, trouble: Trouble { kind, reason } } => {
                let line = json!({"missing": {"name": name, "trouble": kind.to_string(), "reason": reason}});
                self.say(&format!("{line}\n")).await?;
            }
        }
        Ok(())
    }

    /// Ends a delivery of so many items; what the signer made of it.
    pub(crate) async fn end(&mut self, entries: usize) -> io::Result<Delivered> {
        self.say(&format!("{}\n", json!({"end": {"entries": entries}}))).await?;
        self.delivered().await
    }

    /// Ends a delivery: the source could not be read.
    pub(crate) async fn fail(&mut self, Trouble { kind, reason }: &Trouble) -> io::Result<Delivered> {
        let line = json!({"failed": {"trouble": kind.to_string(), "reason": reason}});
        self.say(&format!("{line}\n")).await?;
        self.delivered().await
    }

    /// Takes all keys of a source away; says how many signed until then.
    pub(crate) async fn retire(&mut self, source: &str) -> io::Result<usize> {
        self.say(&format!("{}\n", json!({"retire": {"source": source}}))).await?;
        self.flush().await?;
        loop {
            match self.hear().await? {
                Said::Retired { left } => return Ok(left),
                Said::Fetch {} => {}
                other @ (Said::Delivered(_) | Said::Refused { .. }) => return Err(unexpected(&other)),
            }
        }
    }

    /// Waits until all sources are to be asked again.
    pub(crate) async fn wants_fetch(&mut self) -> io::Result<()> {
        match self.hear().await? {
            Said::Fetch {} => Ok(()),
            other @ (Said::Delivered(_) | Said::Retired { .. } | Said::Refused { .. }) => {
                Err(unexpected(&other))
            }
        }
    }

    async fn delivered(&mut self) -> io::Result<Delivered> {
        self.flush().await?;
        loop {
            match self.hear().await? {
                Said::Delivered(delivered) => return Ok(delivered),
                // It was said before the delivery began to be read, which answers it.
                Said::Fetch {} => {}
                other @ (Said::Retired { .. } | Said::Refused { .. }) => return Err(unexpected(&other)),
            }
        }
    }

    async fn hear(&mut self) -> io::Result<Said> {
        let line = self.lines.next_line().await?;
        let line =
            line.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the signer has closed"))?;
        Ok(serde_json::from_str(&line)?)
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        // The buffer never grows: where it did, its old place would keep keys.
        for piece in text.as_bytes().chunks(BUFFER_BYTES) {
            if self.buffer.len().saturating_add(piece.len()) > BUFFER_BYTES {
                self.flush().await?;
            }
            self.buffer.extend_from_slice(piece);
        }
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.buffer).await?;
        zeroize::Zeroize::zeroize(self.buffer.as_mut_slice());
        self.buffer.clear();
        Ok(())
    }
}

fn unexpected(said: &Said) -> io::Error {
    match said {
        Said::Refused { reason } => io::Error::other(format!("the signer refuses: {reason}")),
        Said::Delivered(_) | Said::Retired { .. } | Said::Fetch {} => io::Error::other(
            "the signer says something else than was asked: install the same version of both",
        ),
    }
}

const BUFFER_BYTES: usize = 64 << 10;
