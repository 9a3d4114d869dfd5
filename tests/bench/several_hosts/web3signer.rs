//! What Web3Signer asks a database for each attestation, by its documentation: eleven statements in one transaction, of
//! ten connections, on tables that keep every vote. In words of our own.

use std::path::Path;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use crate::judging::connect;
use crate::servers::Server;

/// Makes its tables with so many validators, in a database of their own.
pub fn make(server: &Server, validators: usize) {
    server.ask("postgres", &format!("CREATE DATABASE {DATABASE}"));
    server.ask(DATABASE, SCHEMA);
    server.ask(
        DATABASE,
        &format!(
            "INSERT INTO validators (public_key) SELECT decode(lpad(to_hex(n), 96, '0'), 'hex') \
             FROM generate_series(1, {validators}) n"
        ),
    );
    server.ask(
        DATABASE,
        "INSERT INTO low_watermarks (validator_id, source_epoch, target_epoch) SELECT id, 0, 0 FROM validators",
    );
    server.ask(DATABASE, "ANALYZE");
}

/// A connection of its pool, on which everything is prepared.
pub struct Connection {
    client: Client,
    statements: [Statement; 9],
}

impl Connection {
    pub async fn open(socket: &Path) -> Self {
        let client = connect(socket, "postgres", DATABASE).await;
        let mut statements = Vec::new();
        for text in STATEMENTS {
            statements.push(client.prepare(text).await.unwrap());
        }
        let statements = statements.try_into().unwrap_or_else(|_| panic!("nine statements"));
        Self { client, statements }
    }

    /// Has a vote judged and recorded.
    pub async fn vote(&self, validator: i32, source: i64, target: i64, root: &[u8]) {
        let Self { client, statements } = self;
        let [lock, enabled, high, low, conflict, surrounded, surrounding, same, insert] = statements;
        // Its driver sends BEGIN in front of the first one, without waiting.
        let validators: [&(dyn ToSql + Sync); 1] = [&validator];
        let (begun, locked) = tokio::join!(client.batch_execute("BEGIN"), client.query(lock, &validators));
        begun.unwrap();
        locked.unwrap();
        assert!(client.query_one(enabled, &[&validator]).await.unwrap().get::<_, bool>(0));
        client.query(high, &[]).await.unwrap();
        assert_eq!(client.query(low, &[&validator]).await.unwrap().len(), 1);
        assert!(client.query(conflict, &[&validator, &target, &root]).await.unwrap().is_empty());
        for other in [surrounded, surrounding] {
            assert!(client.query(other, &[&validator, &source, &target]).await.unwrap().is_empty());
        }
        assert!(client.query(same, &[&validator, &target, &root]).await.unwrap().is_empty());
        client.execute(insert, &[&validator, &source, &target, &root]).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
    }
}

/// How many connections its pool has.
pub const CONNECTIONS: usize = 10;
pub const DATABASE: &str = "web3signer";

const SCHEMA: &str = "
CREATE TABLE validators (
    id serial PRIMARY KEY, public_key bytea NOT NULL UNIQUE, enabled boolean NOT NULL DEFAULT true);
CREATE TABLE signed_attestations (
    id bigserial PRIMARY KEY, validator_id int NOT NULL REFERENCES validators, source_epoch numeric(20) NOT NULL,
    target_epoch numeric(20) NOT NULL, signing_root bytea, UNIQUE (validator_id, target_epoch));
CREATE INDEX ON signed_attestations (validator_id, target_epoch);
CREATE TABLE low_watermarks (
    validator_id int NOT NULL UNIQUE REFERENCES validators, slot numeric(20), source_epoch numeric(20),
    target_epoch numeric(20), CHECK ((source_epoch IS NULL) = (target_epoch IS NULL)));
CREATE TABLE metadata (
    id int PRIMARY KEY CHECK (id = 1), genesis_validators_root bytea NOT NULL, high_watermark_epoch numeric(20),
    high_watermark_slot numeric(20));
INSERT INTO metadata VALUES (1, decode(repeat('47', 32), 'hex'))";

const STATEMENTS: [&str; 9] = [
    "SELECT pg_advisory_xact_lock(1, $1)",
    "SELECT enabled FROM validators WHERE id = $1",
    "SELECT high_watermark_epoch::text, high_watermark_slot::text FROM metadata WHERE id = 1",
    "SELECT source_epoch::text, target_epoch::text FROM low_watermarks WHERE validator_id = $1",
    "SELECT id FROM signed_attestations
     WHERE validator_id = $1 AND target_epoch = $2::int8 AND (signing_root IS NULL OR signing_root <> $3)",
    "SELECT id FROM signed_attestations
     WHERE validator_id = $1 AND source_epoch < $2::int8 AND target_epoch > $3::int8 LIMIT 1",
    "SELECT id FROM signed_attestations
     WHERE validator_id = $1 AND source_epoch > $2::int8 AND target_epoch < $3::int8 LIMIT 1",
    "SELECT id FROM signed_attestations WHERE validator_id = $1 AND target_epoch = $2::int8 AND signing_root = $3",
    "INSERT INTO signed_attestations (validator_id, source_epoch, target_epoch, signing_root)
     VALUES ($1, $2::int8, $3::int8, $4)",
];
