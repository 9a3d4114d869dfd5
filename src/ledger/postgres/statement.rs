//! Statement that is asked often: parsed once a connection, unless a pooler may hand each one to another connection.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::error::Error;
use crate::config::Pooling;

/// A value with its type, which the database is told in place of asking for it: one round trip, and no name.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A statement on one connection.
pub(super) struct Statement {
    text: &'static str,
    /// Not behind a pooler that pools transactions: it may not know the name.
    prepared: Option<tokio_postgres::Statement>,
}

impl Statement {
    pub(super) async fn new(client: &Client, text: &'static str, pooling: Pooling) -> Result<Self, Error> {
        let prepared = match pooling {
            Pooling::Session => Some(client.prepare(text).await?),
            Pooling::Transaction => None,
        };
        Ok(Self { text, prepared })
    }

    pub(super) async fn query(
        &self,
        client: &Client,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        let Some(prepared) = &self.prepared else {
            return Ok(client.query_typed(self.text, parameters).await?);
        };
        let values: Vec<_> = parameters.iter().map(|(value, _)| *value).collect();
        Ok(client.query(prepared, &values).await?)
    }
}

/// The only row.
pub(super) fn one(rows: Vec<Row>) -> Result<Row, Error> {
    rows.into_iter().next().ok_or(Error::Garbage { what: "no row" })
}
