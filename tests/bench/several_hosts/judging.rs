//! Votes judged without being signed: by this ledger beside the shared one, by Web3Signer's statements, by one bare statement.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bls_signer::bench_internals::Ledger;
use bls_signer::bls::PublicKey;
use bls_signer::duty::Duty;
use bls_signer::network::Network;
use tempfile::TempDir;
use tokio::task::LocalSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::servers::{LEDGER, Pair};
use crate::support::attestation;
use crate::web3signer;

pub async fn connect(socket: &Path, user: &str, database: &str) -> Client {
    let mut config = Config::new();
    let (client, connection) =
        config.host_path(socket).user(user).dbname(database).connect(NoTls).await.unwrap();
    tokio::spawn(async move { connection.await.expect("the connection lasts") });
    client
}

/// The daemon's statement for one message, with the one that it sends behind it, on a connection of its own.
pub struct Bare {
    client: Client,
    votes: Statement,
    blocks: Statement,
    replicates: Statement,
    next: Cell<i64>,
}

impl Bare {
    pub async fn open(pair: &Pair) -> Self {
        let client = connect(&pair.primary.socket, "bls_signer", LEDGER).await;
        let votes = client.prepare(include_str!("../../../src/ledger/postgres/attest.sql")).await.unwrap();
        let blocks = client.prepare(include_str!("../../../src/ledger/postgres/block.sql")).await.unwrap();
        let replicates = "SELECT current_setting('synchronous_standby_names') <> ''";
        let replicates = client.prepare(replicates).await.unwrap();
        Self { client, votes, blocks, replicates, next: Cell::new(1) }
    }

    pub async fn vote(&self) -> Duration {
        let next = self.next.replace(self.next.get() + 1);
        self.ask(&self.votes, &[&[next].as_slice(), &[next + 1].as_slice()]).await
    }

    pub async fn block(&self) -> Duration {
        let next = self.next.replace(self.next.get() + 1);
        self.ask(&self.blocks, &[&[next].as_slice()]).await
    }

    async fn ask(&self, statement: &Statement, numbers: &[&(dyn ToSql + Sync)]) -> Duration {
        let (chain, keys, roots) = (CHAIN.as_slice(), [[0xAA_u8; 48].as_slice()], [[1_u8; 32].as_slice()]);
        let common: [&(dyn ToSql + Sync); 4] = [&chain, &true, &keys.as_slice(), &roots.as_slice()];
        let parameters = [&common, numbers].concat();
        let asked = Instant::now();
        let (granted, replicated) = tokio::join!(
            self.client.query(statement, &parameters),
            self.client.query_one(&self.replicates, &[])
        );
        replicated.unwrap();
        assert_eq!(granted.unwrap().len(), 1);
        asked.elapsed()
    }
}

/// One way to have votes judged, each next epoch's for all keys.
pub trait Judge {
    /// So many votes a second over a while, with so many under way at any time.
    async fn rate(&self, in_flight: usize, during: Duration) -> f64;
    /// From the first question to the last answer, where each key's vote is asked for at one time.
    async fn all_at_once(&self) -> Duration;
}

/// This ledger, beside the shared one.
pub struct Ours {
    ledger: Rc<Ledger>,
    directory: TempDir,
    address: String,
    keys: Rc<Vec<PublicKey>>,
    duties: Rc<Duties>,
    epoch: Cell<u64>,
}

impl Ours {
    /// A host with a new file and so many keys, all of which end in `last`.
    pub async fn open(address: &str, keys: usize, last: u8) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Rc::new(Ledger::create_beside(&directory.path().join("state"), address).unwrap());
        let keys = (0..keys).map(|number| {
            let mut key = [last; 48];
            key[..8].copy_from_slice(&(number as u64).to_be_bytes());
            PublicKey(key)
        });
        let (keys, duties) = (Rc::new(keys.collect::<Vec<_>>()), Rc::<Duties>::default());
        let this = Self { ledger, directory, address: address.to_owned(), keys, duties, epoch: Cell::new(2) };
        until_it_grants(&this.ledger, this.keys[0], &this.duties.at(1)).await;
        this
    }

    /// Each key votes, a thousand of them together.
    pub async fn everybody_votes(&self) {
        let duty = self.duties.at(self.epoch.replace(self.epoch.get() + 1));
        for keys in self.keys.chunks(1000) {
            self.ledger.clear(keys, &duty).await.unwrap();
        }
    }

    /// How long a new process takes from opening this host's file to its first grant, and one with a file of its own.
    pub async fn joins(self) -> [Duration; 2] {
        let Self { ledger, directory, address, keys, duties, epoch } = self;
        drop(ledger);
        let fresh = tempfile::tempdir().unwrap();
        let mut joins = [Duration::ZERO; 2];
        for (directory, (join, epoch)) in [&directory, &fresh].iter().zip(joins.iter_mut().zip(epoch.get()..))
        {
            let duty = duties.at(epoch);
            let opened = Instant::now();
            let ledger = Ledger::create_beside(&directory.path().join("state"), &address).unwrap();
            until_it_grants(&ledger, keys[0], &duty).await;
            *join = opened.elapsed();
        }
        joins
    }
}

async fn until_it_grants(ledger: &Ledger, key: PublicKey, duty: &Duty) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = ledger.clear(&[key], duty).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl Judge for Ours {
    async fn rate(&self, in_flight: usize, during: Duration) -> f64 {
        let (local, count, begun) = (LocalSet::new(), Rc::new(Cell::new(0_u64)), Instant::now());
        let first = self.epoch.get();
        let last = Rc::new(Cell::new(first));
        for worker in 0..in_flight {
            let (ledger, keys, duties) =
                (Rc::clone(&self.ledger), Rc::clone(&self.keys), Rc::clone(&self.duties));
            let (count, last) = (Rc::clone(&count), Rc::clone(&last));
            local.spawn_local(async move {
                for epoch in first.. {
                    let duty = duties.at(epoch);
                    last.set(last.get().max(epoch + 1));
                    for key in keys.iter().skip(worker).step_by(in_flight) {
                        if begun.elapsed() >= during {
                            return;
                        }
                        ledger.clear(std::slice::from_ref(key), &duty).await.unwrap();
                        count.set(count.get() + 1);
                    }
                }
            });
        }
        local.await;
        self.epoch.set(last.get());
        count.get() as f64 / begun.elapsed().as_secs_f64()
    }

    async fn all_at_once(&self) -> Duration {
        let duty = self.duties.at(self.epoch.replace(self.epoch.get() + 1));
        let (local, begun) = (LocalSet::new(), Instant::now());
        for place in 0..self.keys.len() {
            let (ledger, keys, duty) = (Rc::clone(&self.ledger), Rc::clone(&self.keys), Rc::clone(&duty));
            local.spawn_local(async move {
                ledger.clear(std::slice::from_ref(&keys[place]), &duty).await.unwrap();
            });
        }
        local.await;
        begun.elapsed()
    }
}

/// Web3Signer's statements, by connections that each have a share of the validators.
pub struct Theirs {
    connections: Vec<Rc<web3signer::Connection>>,
    validators: usize,
    epoch: Cell<i64>,
}

impl Theirs {
    pub async fn open(pair: &Pair, validators: usize) -> Self {
        web3signer::make(&pair.primary, validators);
        let mut connections = Vec::new();
        for _ in 0..web3signer::CONNECTIONS {
            connections.push(Rc::new(web3signer::Connection::open(&pair.primary.socket).await));
        }
        Self { connections, validators, epoch: Cell::new(1) }
    }

    async fn run(&self, epochs: i64, until: Option<Instant>) -> u64 {
        let (local, count, first) = (LocalSet::new(), Rc::new(Cell::new(0_u64)), self.epoch.get());
        let last = Rc::new(Cell::new(first));
        for (share, connection) in self.connections.iter().enumerate() {
            let (connection, count, last) = (Rc::clone(connection), Rc::clone(&count), Rc::clone(&last));
            let validators = (1..=self.validators).skip(share).step_by(self.connections.len());
            local.spawn_local(async move {
                for epoch in first..first.saturating_add(epochs) {
                    last.set(last.get().max(epoch + 1));
                    for validator in validators.clone() {
                        if until.is_some_and(|until| Instant::now() >= until) {
                            return;
                        }
                        connection.vote(validator.try_into().unwrap(), epoch, epoch + 1, &[1; 32]).await;
                        count.set(count.get() + 1);
                    }
                }
            });
        }
        local.await;
        self.epoch.set(last.get());
        count.get()
    }
}

impl Judge for Theirs {
    /// However many are under way, no more than it has connections are in the database.
    async fn rate(&self, in_flight: usize, during: Duration) -> f64 {
        assert!(in_flight >= self.connections.len());
        let begun = Instant::now();
        self.run(i64::MAX, Some(begun + during)).await as f64 / begun.elapsed().as_secs_f64()
    }

    async fn all_at_once(&self) -> Duration {
        let begun = Instant::now();
        assert_eq!(self.run(1, None).await, self.validators as u64);
        begun.elapsed()
    }
}

/// The votes of each epoch, parsed once.
#[derive(Default)]
struct Duties(RefCell<Vec<Rc<Duty>>>);

impl Duties {
    fn at(&self, epoch: u64) -> Rc<Duty> {
        let mut made = self.0.borrow_mut();
        while made.len() as u64 <= epoch {
            let epoch = made.len() as u64;
            let body = attestation(8 * (epoch + 1), epoch, epoch + 1, 1).to_string();
            let network = Network::load("minimal").unwrap();
            made.push(Rc::new(Duty::parse(body.as_bytes(), &network).unwrap()));
        }
        Rc::clone(&made[epoch as usize])
    }
}

/// Of the samples' chain.
pub const CHAIN: [u8; 32] = [0x47; 32];
