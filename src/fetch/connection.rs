//! Connection of a fetcher: one delivery after the other, and word when the sources are to be asked again.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::lines::{LineError, Lines};
use super::protocol::{self, Said};
use crate::bls::PublicKey;
use crate::keymanager::fetched::{Delivered, Delivery, DeliveryError, NoSourceName, SourceName, Trouble};
use crate::keys::BroughtKey;
use crate::signer::Signer;
use crate::text::{Bounded, OneLine, chain, without_values};

/// Serves a fetcher until it leaves. One that says what it must not is told why, and sent away.
pub(super) async fn serve(stream: UnixStream, signer: &Signer) -> Result<(), Error> {
    let (reader, writer) = stream.into_split();
    let mut connection = Connection { lines: Lines::of(reader), writer, signer };
    let outcome = connection.run().await;
    if let Err(error) = &outcome {
        // It may have left.
        let _ = connection.tell(&protocol::refused(&chain(error))).await;
    }
    outcome
}

struct Connection<'s> {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    signer: &'s Signer,
}

impl Connection<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let mut wanted = self.signer.keystores.fetched().wanted();
        loop {
            let said = tokio::select! {
                said = self.lines.next() => said?,
                _ = wanted.changed() => {
                    self.tell(&protocol::fetch()).await?;
                    continue;
                }
            };
            let Some(line) = said else { return Ok(()) };
            match read(line)? {
                Said::Begin { protocol, source, sealed } => {
                    if protocol != protocol::VERSION {
                        return Err(Error::Version(protocol));
                    }
                    let source: SourceName = source.parse()?;
                    let policy = protocol::policy(&sealed)
                        .ok_or_else(|| Error::Policy(Bounded(&sealed).to_string()))?;
                    let delivery = self.signer.keystores.begin_delivery(source.clone(), policy)?;
                    let delivered = self.receive(delivery).await?;
                    self.tell(&protocol::delivered(&source, &delivered)).await?;
                }
                Said::Retire { source } => {
                    let source = source.parse()?;
                    let left = self.signer.keystores.retire_source(&self.signer.protection, &source).await?;
                    self.tell(&protocol::retired(&source, left)).await?;
                }
                Said::Key { .. }
                | Said::Keystore { .. }
                | Said::Missing { .. }
                | Said::End { .. }
                | Said::Failed { .. } => return Err(Error::NotBegun),
            }
        }
    }

    /// Reads a delivery to its end, some keys at a time.
    async fn receive(&mut self, mut delivery: Delivery) -> Result<Delivered, Error> {
        let memory = self.signer.keystores.locked_memory();
        let protection = &self.signer.protection;
        let mut keys = Vec::new();
        loop {
            let said = timeout(LONGEST_SILENCE, self.lines.next()).await.map_err(|_| Error::Silence)?;
            let Some(line) = said? else { return Err(Error::Left) };
            match read(line)? {
                Said::Key { name, public_key, secret } => {
                    let key = named(public_key.as_deref()).and_then(|named| {
                        BroughtKey::raw(Bounded(&name).to_string(), secret, named, memory)
                            .map_err(|error| chain(&error))
                    });
                    match key {
                        Ok(key) => keys.push(key),
                        Err(reason) => {
                            delivery.miss(Trouble::Malformed, format!("{}: {reason}", Bounded(name)));
                        }
                    }
                }
                Said::Keystore { name, public_key, keystore, password } => match named(public_key.as_deref())
                {
                    Ok(named) => {
                        let name = Bounded(name).to_string();
                        keys.push(BroughtKey::keystore(name, keystore.get(), password, named));
                    }
                    Err(reason) => delivery.miss(Trouble::Malformed, format!("{}: {reason}", Bounded(name))),
                },
                Said::Missing { name, trouble, reason } => {
                    let reason = format!("{}: {}", Bounded(name), OneLine(reason));
                    delivery.miss(protocol::trouble(&trouble), reason);
                }
                Said::End { entries } => {
                    delivery.bring(protection, keys).await?;
                    return Ok(delivery.end(protection, entries).await?);
                }
                Said::Failed { trouble, reason } => {
                    delivery.bring(protection, keys).await?;
                    return Ok(delivery.fail(protocol::trouble(&trouble), OneLine(reason).to_string()));
                }
                Said::Begin { .. } | Said::Retire { .. } => return Err(Error::NotEnded),
            }
            if keys.len() >= KEYS_AT_A_TIME {
                delivery.bring(protection, std::mem::take(&mut keys)).await?;
            }
        }
    }

    async fn tell(&mut self, line: &Value) -> Result<(), Error> {
        let line = format!("{line}\n");
        timeout(LONGEST_WRITE, self.writer.write_all(line.as_bytes()))
            .await
            .map_err(|_| Error::Silence)?
            .map_err(Error::Write)
    }
}

fn read(line: &[u8]) -> Result<Said<'_>, Error> {
    serde_json::from_slice(line).map_err(|error| Error::Line(without_values(&error)))
}

fn named(public_key: Option<&str>) -> Result<Option<PublicKey>, String> {
    let parsed = public_key.map(str::parse).transpose();
    parsed.map_err(|error: crate::bls::BlsError| chain(&error))
}

/// Why a fetcher is sent away.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Lines(#[from] LineError),
    #[error("a line is not understood: {0}")]
    Line(String),
    #[error(
        "the fetcher speaks version {0} of the protocol, and this signer {version}: install the same version \
         of both",
        version = protocol::VERSION
    )]
    Version(u32),
    #[error(transparent)]
    Source(#[from] NoSourceName),
    #[error("'{}' is no policy: use always, until-next-fetch or never", Bounded(.0))]
    Policy(String),
    #[error("a delivery has to begin with 'begin'")]
    NotBegun,
    #[error("a delivery has to end with 'end' or 'failed' before the next one")]
    NotEnded,
    #[error("the fetcher left before the end of a delivery")]
    Left,
    #[error("the fetcher has been silent for too long")]
    Silence,
    #[error("nothing can be said to the fetcher")]
    Write(#[source] io::Error),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

/// Keys that are opened and let in together.
const KEYS_AT_A_TIME: usize = 512;
/// A fetcher waits for its source no longer than a minute, and says so then.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);
const LONGEST_WRITE: Duration = Duration::from_secs(10);
