//! Administration of the shared ledger, by its owner or as the daemon: made, looked at, gone on with after a loss.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::connection::{Identity, identity};
use super::error::{Error, SCHEMA_VERSION};
use super::rows::{self, Head};
use super::servers::{Servers, in_time};
use super::statement::one;
use crate::ledger::HighWatermark;
use crate::primitives::{Epoch, Root, Slot};

/// The statements that make a shared ledger for a chain, or bring one up to date.
pub(crate) fn statements(chain: Root) -> String {
    let schema = include_str!("schema.sql");
    let chain = const_hex::encode(chain.0);
    format!(
        "{schema}\nINSERT INTO bls_signer.head (schema_version, genesis_validators_root)\nVALUES ({SCHEMA_VERSION}, \
         '\\x{chain}')\nON CONFLICT DO NOTHING;\n"
    )
}

/// Makes a shared ledger for a chain, as its owner. One that is there stays, with all its records.
///
/// # Errors
/// It is of another chain, the role may not, or the database is Web3Signer's.
pub(crate) async fn initialize(servers: &Servers, chain: Root) -> Result<(), Error> {
    let link = servers.connect().await?;
    if in_time(PATIENCE, is_web3signers(&link.client)).await? {
        return Err(Error::Web3SignersDatabase);
    }
    // In one transaction, as they are sent together.
    let made = async { Ok(link.client.batch_execute(&statements(chain)).await?) };
    in_time(PATIENCE, made).await.map_err(|error| link.why(error))?;
    let Identity { schema_version, chain: theirs, .. } = in_time(PATIENCE, identity(&link.client)).await?;
    if schema_version != SCHEMA_VERSION {
        return Err(Error::OtherSchema { found: schema_version });
    }
    if theirs == chain { Ok(()) } else { Err(Error::OtherChain { theirs, ours: chain }) }
}

/// Whether Web3Signer keeps its history there: an empty ledger beside that would look as if it had taken it over.
async fn is_web3signers(client: &Client) -> Result<bool, Error> {
    let tables =
        "SELECT to_regclass('signed_attestations') IS NOT NULL AND to_regclass('low_watermarks') IS NOT NULL";
    Ok(one(client.query_typed(tables, &[]).await?)?.try_get(0)?)
}

/// What is found in a database.
pub(crate) struct Report {
    pub(crate) ledger_id: String,
    pub(crate) schema_version: i32,
    pub(crate) chain: Root,
    pub(crate) is_replicated: bool,
    /// The role may do more than a daemon needs.
    pub(crate) may_delete: bool,
    pub(crate) losses_accepted: i32,
    pub(crate) high_watermark: HighWatermark,
    pub(crate) keys: usize,
    pub(crate) deleted_keys: usize,
    /// How long commits took, one after the other; none were made if none were asked for.
    pub(crate) commits: Vec<Duration>,
}

/// Looks at a shared ledger. `probes`: so many commits that change nothing are timed.
pub(crate) async fn report(servers: &Servers, probes: usize) -> Result<Report, Error> {
    let link = servers.connect().await?;
    let client = &link.client;
    let Identity { schema_version, chain, pins, is_replicated, may_delete, is_waiting: _ } =
        in_time(PATIENCE, identity(client)).await?;
    let Head { chain: _, high_watermark, floor: _ } = in_time(PATIENCE, Head::read(client, "")).await?;
    let records = in_time(PATIENCE, rows::records(client, None, false)).await?;
    let mut commits = Vec::new();
    for _ in 0..probes {
        let begun = Instant::now();
        let probe =
            async { Ok(client.batch_execute("UPDATE bls_signer.head SET stop_slot = stop_slot").await?) };
        in_time(PATIENCE, probe).await.map_err(|error| link.why(error))?;
        commits.push(begun.elapsed());
    }
    commits.sort_unstable();
    Ok(Report {
        ledger_id: pins.ledger_id,
        schema_version,
        chain,
        is_replicated,
        may_delete,
        losses_accepted: pins.losses_accepted,
        high_watermark,
        keys: records.len(),
        deleted_keys: records.values().filter(|record| record.deleted).count(),
        commits,
    })
}

/// Has everybody go on with a ledger that lost records, as its owner: nothing is signed below a slot and an epoch, with
/// whatever key. They have to be the present.
pub(crate) async fn accept_loss(servers: &Servers, slot: Slot, epoch: Epoch) -> Result<(), Error> {
    let statement = "UPDATE bls_signer.head SET floor_slot = GREATEST(floor_slot, $1), \
                     floor_epoch = GREATEST(floor_epoch, $2), losses_accepted = losses_accepted + 1";
    let (slot, epoch) = (rows::saturated(slot.0), rows::saturated(epoch.0));
    let link = servers.connect().await?;
    let accepted =
        async { Ok(link.client.query_typed(statement, &[(&slot, Type::INT8), (&epoch, Type::INT8)]).await?) };
    in_time(PATIENCE, accepted).await.map_err(|error| link.why(error))?;
    Ok(())
}

/// For one statement: an operator waits for it, and may try again.
const PATIENCE: Duration = Duration::from_secs(30);
