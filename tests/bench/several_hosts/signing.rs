//! Daemons on the shared ledger, and one without: what a signature costs and takes, what a batch asks, what an outage does.

use std::cell::Cell;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::baseline::{Baseline, Yardstick};
use crate::client::{Clients, Requests};
use crate::judging::Bare;
use crate::process;
use crate::servers::Pair;
use crate::statistics::{median, microseconds};
use crate::support::{Connection, Daemon, Key, Request, Setup, State, attestation, block_header};
use crate::wire::{Counts, Proxy};

/// A daemon with keys. Each vote is of an epoch above all others'.
pub struct Host<'a> {
    pub daemon: Daemon,
    names: &'a [String],
    epoch: &'a Cell<u64>,
    _own: Option<TempDir>,
}

impl<'a> Host<'a> {
    /// `shared`: the address of a shared ledger; `own`: where its own ledger lies, if not where temporary files do.
    pub fn start(
        shared: Option<&str>,
        own: Option<&Path>,
        keys: &[Key],
        names: &'a [String],
        epoch: &'a Cell<u64>,
    ) -> Self {
        let room = (keys.len() + 16).to_string();
        let setup = Setup::new().args(&["--network", "minimal", "--log-level", "error"]);
        let mut setup = setup.args(&["--max-connections", &room, "--max-requests", &room]);
        if let Some(address) = shared {
            setup = setup.args(&["--shared-ledger", address]);
        }
        let own = own.map(|place| tempfile::tempdir_in(place).unwrap());
        if let Some(own) = &own {
            let state = own.path().join("state").display().to_string();
            setup = setup.with_state(State::Unnamed).args(&["--state-dir", &state, "--state-fs", "any"]);
        }
        let daemon = setup.env("BLS_SIGNER_SIGNING_TIMEOUT", "4").start();
        // It joins meanwhile.
        daemon.wait_until(|daemon| daemon.send(&Request::get("/healthcheck")).status == 200);
        for some in keys.chunks(500) {
            daemon.import(&some.iter().collect::<Vec<_>>());
        }
        Self { daemon, names, epoch, _own: own }
    }

    /// One vote after the other, here and on a host without a shared ledger, and one bare statement after the other, in
    /// turns: the medians.
    pub async fn one_vote(&self, alone: &Self, bare: &Bare) -> Times {
        let mut clients = [Clients::connect(&self.daemon, 1).await, Clients::connect(&alone.daemon, 1).await];
        let (mut votes, mut statements) = ([Vec::new(), Vec::new()], Vec::new());
        for _ in 0..ROUNDS {
            for (clients, votes) in clients.iter_mut().zip(&mut votes) {
                let vote = |_| {
                    let epoch = self.next();
                    sign(&self.names[0], &attestation(8 * (epoch + 1), epoch, epoch + 1, 1).to_string())
                };
                let queue = (0..VOTES_A_ROUND).map(vote).collect();
                votes.extend(clients.send(requests(queue, None)).await.latencies);
            }
            for _ in 0..VOTES_A_ROUND {
                statements.push(bare.vote().await);
            }
        }
        let [shared, alone] = votes.map(median);
        Times { shared, alone, statement: median(statements) }
    }

    /// All keys sign one root over 32 connections: signatures a second, and CPU time a signature in plain signatures.
    pub async fn one_root(&self) -> (f64, f64) {
        let mut clients = Clients::connect(&self.daemon, CONNECTIONS).await;
        let mut yardstick = Yardstick::new(self.daemon.directory());
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        clients.send(self.everybody(None)).await;
        for _ in 0..ROUNDS {
            let (before, cpu) = (yardstick.round(), process::cpu(self.daemon.pid()));
            let slot = clients.send(self.everybody(None)).await;
            let cpu = process::cpu(self.daemon.pid()) - cpu;
            let Baseline { sign, .. } = before.and(&yardstick.round());
            rates.push(slot.signatures as f64 / slot.duration.as_secs_f64());
            costs.push(microseconds(cpu) / slot.signatures as f64 / microseconds(sign));
        }
        (median(rates), median(costs))
    }

    /// A block amid all keys' votes over 32 connections, likewise, and the bare statement for one on an idle server.
    pub async fn block_amid_votes(&self, alone: &Self, bare: &Bare) -> Times {
        let hosts = [self, alone];
        let mut clients = [
            Clients::connect(&self.daemon, CONNECTIONS).await,
            Clients::connect(&alone.daemon, CONNECTIONS).await,
        ];
        let (mut blocks, mut statements) = ([Vec::new(), Vec::new()], Vec::new());
        for _ in 0..2 * ROUNDS {
            for ((host, clients), blocks) in hosts.iter().zip(&mut clients).zip(&mut blocks) {
                let block = block_header(8 * self.epoch.get(), 1).to_string();
                let all = host.everybody(Some(sign(&self.names[0], &block)));
                blocks.push(clients.send(all).await.in_the_midst.unwrap());
            }
            for _ in 0..VOTES_A_ROUND {
                statements.push(bare.block().await);
            }
        }
        let [shared, alone] = blocks.map(median);
        Times { shared, alone, statement: median(statements) }
    }

    /// What is asked behind a proxy for one request with so many keys.
    pub fn batch(&self, proxy: &Proxy, keys: usize) -> Counts {
        let epoch = self.next();
        let vote = attestation(8 * (epoch + 1), epoch, epoch + 1, 1);
        let body = json!({"identifiers": self.names[..keys], "signing_request": vote}).to_string();
        proxy.count(|| {
            let answer = self.daemon.send(&Request::post("/api/v1/eth2/sign", body));
            assert_eq!(answer.text().matches("\"signature\"").count(), keys, "{}", answer.text());
        })
    }

    /// What comes of votes while no process of the primary moves.
    pub fn outage(&self, pair: &Pair) -> Outage {
        let (epoch, socket) = (self.next(), self.daemon.socket());
        let timed = |name: &str, root: u8| {
            let (vote, asked) = (attestation(8 * (epoch + 1), epoch, epoch + 1, root), Instant::now());
            let status = Connection::open(&socket).exchange(&post(name, &vote.to_string())).status;
            (status, asked.elapsed())
        };
        let (under_way, late) = (&self.names[0], &self.names[1..=LATE_VOTES]);
        let timed = &timed;
        let (first, longest) = pair.primary.frozen(|| {
            scope(|scope| {
                let first = scope.spawn(move || timed(under_way, 1));
                sleep(LATE);
                // Together, as each waits for as long as a request may.
                let late: Vec<_> = late.iter().map(|name| scope.spawn(move || timed(name, 1))).collect();
                let late = late.into_iter().map(|vote| vote.join().unwrap());
                let longest =
                    late.inspect(|(status, _)| assert_eq!(*status, 500)).map(|(_, time)| time).max();
                (first.join().unwrap(), longest.unwrap())
            })
        });
        assert_eq!(first.0, 500);
        self.daemon.wait_until(|daemon| daemon.send(&Request::get("/healthcheck")).status == 200);
        // Who was judged has a record, and is refused another vote at that height.
        let judged = late.iter().filter(|name| timed(name, 2).0 != 200).count();
        Outage { answered: first.1.max(longest), judged }
    }

    /// The primary dies and its standby takes its place: from when that has a standby to the first signature.
    pub fn fail_over(&self, pair: &mut Pair) -> Duration {
        let (grants, confirming) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let (first, socket, name) = (self.epoch.get(), self.daemon.socket(), &self.names[0]);
        let (asked, confirmed) = scope(|scope| {
            let asking = scope.spawn(|| {
                for epoch in first.. {
                    let vote = attestation(8 * (epoch + 1), epoch, epoch + 1, 1).to_string();
                    let was_confirming = confirming.load(Ordering::Acquire);
                    let status = Connection::open(&socket).exchange(&post(name, &vote)).status;
                    if status == 200 {
                        grants.lock().unwrap().push(Instant::now());
                        if was_confirming {
                            return epoch + 1;
                        }
                    }
                    sleep(Duration::from_millis(1));
                }
                first
            });
            let confirmed = pair.fail_over();
            confirming.store(true, Ordering::Release);
            (asking.join().unwrap(), confirmed)
        });
        self.epoch.set(asked);
        let grants = grants.into_inner().unwrap();
        grants.iter().find_map(|granted| granted.checked_duration_since(confirmed)).expect("a grant")
    }

    fn everybody(&self, in_the_midst: Option<Vec<u8>>) -> Requests {
        let epoch = self.next();
        let vote = attestation(8 * (epoch + 1), epoch, epoch + 1, 1).to_string();
        requests(self.names.iter().map(|name| sign(name, &vote)).collect(), in_the_midst)
    }

    fn next(&self) -> u64 {
        self.epoch.replace(self.epoch.get() + 1)
    }
}

/// To a signature beside a shared ledger and without one, and to the bare statement's answer.
pub struct Times {
    pub shared: Duration,
    pub alone: Duration,
    pub statement: Duration,
}

/// What an outage does.
pub struct Outage {
    /// The longest time to a 500.
    pub answered: Duration,
    /// So many of those that came after it began have a record.
    pub judged: usize,
}

fn requests(queue: Vec<Vec<u8>>, in_the_midst: Option<Vec<u8>>) -> Requests {
    let signatures = queue.len() + usize::from(in_the_midst.is_some());
    Requests { queue, in_the_midst, signatures }
}

fn sign(name: &str, duty: &str) -> Vec<u8> {
    post(name, duty).header("Accept", "application/json").bytes()
}

fn post(name: &str, duty: &str) -> Request {
    Request::post(&format!("/api/v1/eth2/sign/{name}"), duty)
}

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 9;
const VOTES_A_ROUND: usize = 40;
/// Nothing new is judged after a tenth of a second.
const LATE: Duration = Duration::from_millis(150);
const LATE_VOTES: usize = 50;
