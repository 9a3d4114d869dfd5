//! Daemons that are set against each other take turns, slot by slot, so that what changes on the machine changes for all.

use std::path::Path;
use std::time::Duration;

use crate::Options;
use crate::baseline::{Baseline, Yardstick};
use crate::client::{Clients, Slot};
use crate::measured::{Measured, Turn};
use crate::process;
use crate::scraper::Scraper;
use crate::support::{Daemon, Key};
use crate::variant::{Ledger, Variant, Watched};
use crate::workload::{Load, Validators};

/// Runs a workload on a daemon of each variant: one slot to warm up and then those that count.
pub fn run(load: Load, variants: &[Variant], keys: &[Key], options: &Options) -> Vec<Measured> {
    let validators = Validators::of(keys);
    let connections = load.connections;
    // All of ours are open at one time.
    process::make_room_for((connections + 1) * variants.len());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut players = Vec::new();
        for &variant in variants {
            let daemon = variant.start(keys, connections + 1);
            players.push(Player::new(variant, daemon, load, &validators).await);
        }
        let mut yardstick = Yardstick::new(disk_of_the_ledger(&players));
        let mut before = yardstick.round();
        for slot in 1..=options.slots {
            for index in order(players.len(), slot) {
                let player = &mut players[index];
                let requests = load.requests(&validators, slot);
                let mut taken = player.clients.send(requests).await;
                load.workload.check(&taken);
                taken.answers.clear();
                let after = yardstick.round();
                player.note(taken, before.and(&after));
                before = after;
            }
        }
        players.into_iter().map(|player| player.measured(load)).collect()
    })
}

/// A daemon with its clients, and what its slots took.
struct Player {
    variant: Variant,
    daemon: Daemon,
    _scraper: Option<Scraper>,
    clients: Clients,
    /// The daemon's CPU time when its last turn had ended.
    cpu: Duration,
    /// Its resident memory after the first slot.
    resident_kib: u64,
    turns: Vec<Turn>,
}

impl Player {
    async fn new(variant: Variant, daemon: Daemon, load: Load, validators: &Validators) -> Self {
        let mut clients = Clients::connect(&daemon, load.connections).await;
        clients.send(load.requests(validators, 0)).await;
        let (cpu, resident_kib) = (process::cpu(daemon.pid()), resident_kib(&daemon));
        let scraper = match variant.watched {
            Watched::No => None,
            Watched::Yes => Some(Scraper::of(daemon.socket())),
        };
        Self { variant, daemon, _scraper: scraper, clients, cpu, resident_kib, turns: Vec::new() }
    }

    /// All CPU time since the turn before counts for this one: what the daemon does behind a slot is the slot's, too.
    fn note(&mut self, slot: Slot, baseline: Baseline) {
        let cpu = process::cpu(self.daemon.pid());
        self.turns.push(Turn { slot, cpu: cpu - self.cpu, baseline });
        self.cpu = cpu;
    }

    fn measured(self, load: Load) -> Measured {
        Measured {
            load,
            variant: self.variant,
            resident_kib: (self.resident_kib, resident_kib(&self.daemon)),
            turns: self.turns,
        }
    }
}

fn disk_of_the_ledger(players: &[Player]) -> &Path {
    let with_ledger = players.iter().find(|player| player.variant.ledger == Ledger::On);
    with_ledger.unwrap_or(&players[0]).daemon.directory()
}

fn resident_kib(daemon: &Daemon) -> u64 {
    process::status_kib(daemon.pid(), "VmRSS:")
}

/// There and back again, so that none always comes first.
fn order(players: usize, slot: u64) -> impl Iterator<Item = usize> {
    (0..players).map(move |index| if slot % 2 == 1 { index } else { players - 1 - index })
}
