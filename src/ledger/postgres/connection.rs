//! Connection to the shared ledger's database: how it is made, what is compared before anything is asked on it, and
//! what ends it.

use std::collections::HashMap;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::error::{Error, SCHEMA_VERSION};
use super::fence::{Fence, Pins};
use super::rows;
use super::servers::{Link, Servers};
use super::statement::{Statement, one};
use crate::config::Durability;
use crate::ledger::rules::Watermark;
use crate::ledger::shared_order::SharedRecord;
use crate::primitives::Root;

/// A connection on which the ledger was found to be the right one, whole and writable.
pub(super) struct Connection {
    pub(super) link: Link,
    pub(super) attest: Statement,
    pub(super) block: Statement,
    replicates: Statement,
    /// The genesis validators root of the chain that is protected there.
    pub(super) chain: Root,
    pub(super) timeline: u32,
}

impl Connection {
    /// Connects to the first host that takes writes and has the ledger, and compares.
    pub(super) async fn open(
        servers: &Servers,
        durability: Durability,
        chain: Option<Root>,
        fence: &Fence,
    ) -> Result<Self, Error> {
        servers.first(async |link| Self::compared(link, servers, durability, chain, fence).await).await
    }

    async fn compared(
        link: Link,
        servers: &Servers,
        durability: Durability,
        chain: Option<Root>,
        fence: &Fence,
    ) -> Result<Self, Error> {
        // One lane after the other: what one has read is not compared with what another has noted since.
        let _turn = fence.turn().await;
        let client = &link.client;
        let Identity { schema_version, chain: theirs, pins, is_replicated, may_delete, is_waiting } =
            identity(client).await?;
        if schema_version != SCHEMA_VERSION {
            return Err(Error::OtherSchema { found: schema_version });
        }
        if let Some(ours) = chain.filter(|ours| *ours != theirs) {
            return Err(Error::OtherChain { theirs, ours });
        }
        if durability == Durability::Replicated && !is_replicated {
            return Err(Error::Unreplicated);
        }
        if is_waiting {
            return Err(Error::StandbyAway);
        }
        if may_delete {
            tracing::warn!(
                "the role that this signer has at the shared ledger's database may delete records: use bls_signer, \
                 which 'bls-signer ledger init' makes"
            );
        }
        // What was granted before the rows are read: a lane that is open may be granted more meanwhile.
        let granted = fence.granted();
        let keys: Vec<_> = granted.keys().copied().collect();
        let rows = rows::records(client, Some(&keys), false).await?;
        let watermark = |(key, record): (_, SharedRecord)| (key, record.watermark);
        let rows: HashMap<_, Watermark> = rows.into_iter().map(watermark).collect();
        fence.check(&pins, &granted, &rows)?;
        let statement = |text| Statement::new(client, text, servers.pooling());
        let (attest, block, replicates) = tokio::try_join!(
            statement(include_str!("attest.sql")),
            statement(include_str!("block.sql")),
            statement("SELECT current_setting('synchronous_standby_names') <> ''"),
        )?;
        Ok(Self { link, attest, block, replicates, chain: theirs, timeline: pins.timeline })
    }

    /// Resolves when nothing more is to be asked on it, with why.
    pub(super) async fn is_over(&self, fence: &Fence) -> Error {
        tokio::select! {
            () = self.link.ended() => self.link.why(Error::Closed),
            superseded = fence.superseded(self.timeline) => superseded,
        }
    }

    /// Whether commits before this was sent were replicated. A commit that is waiting when the names of the standbys
    /// are taken away succeeds without a word; asked behind it, this says so.
    ///
    /// # Errors
    /// They were not: what was asked before does not count.
    pub(super) async fn replicates(&self, durability: Durability) -> Result<(), Error> {
        match durability {
            Durability::Engine => Ok(()),
            Durability::Replicated => {
                let row = one(self.replicates.query(&self.link.client, &[]).await?)?;
                if row.try_get(0)? { Ok(()) } else { Err(Error::Unreplicated) }
            }
        }
    }
}

/// What a database says of itself.
pub(super) struct Identity {
    pub(super) schema_version: i32,
    pub(super) chain: Root,
    pub(super) pins: Pins,
    pub(super) is_replicated: bool,
    pub(super) may_delete: bool,
    /// Commits of this role have waited long for a standby, and do still.
    pub(super) is_waiting: bool,
}

pub(super) async fn identity(client: &Client) -> Result<Identity, Error> {
    let rows = client.query_typed(include_str!("identity.sql"), &[]).await.map_err(|error| {
        let is_missing = error.code().is_some_and(|code| {
            [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME, SqlState::INSUFFICIENT_PRIVILEGE]
                .contains(code)
        });
        if is_missing { Error::Uninitialized(error) } else { Error::Statement(error) }
    })?;
    let row = one(rows)?;
    let chain: &[u8] = row.try_get(2)?;
    Ok(Identity {
        schema_version: row.try_get(0)?,
        chain: Root(chain.try_into().map_err(|_| Error::Garbage { what: "no chain" })?),
        pins: pins(&row)?,
        is_replicated: row.try_get(6)?,
        may_delete: row.try_get(7)?,
        is_waiting: row.try_get(8)?,
    })
}

fn pins(row: &Row) -> Result<Pins, Error> {
    let timeline: Option<&str> = row.try_get(5)?;
    let timeline = timeline.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    Ok(Pins {
        ledger_id: row.try_get(1)?,
        system_identifier: row.try_get(4)?,
        timeline: timeline.ok_or(Error::Garbage { what: "no timeline: is it a standby?" })?,
        losses_accepted: row.try_get(3)?,
        rewound: None,
        stop: None,
    })
}
