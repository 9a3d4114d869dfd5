//! The daemon is killed under load, again and again: no two answers that it ever gave contradict each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::full_history::{History, Message};
use crate::support::{Address, Connection, Daemon, Key, Request, attestation, block_header};

const ROUNDS: u64 = 200;
const KEYS: u64 = 4;
const CLIENTS: u64 = 6;

#[test]
fn two_hundred_kills_leave_no_two_answers_that_contradict() {
    let seed = getrandom::u64().unwrap();
    eprintln!("seed {seed:#x}");
    let mut random = Random(seed);
    let keys: Vec<_> = (0..KEYS).map(Key::number).collect();
    let mut daemon = Daemon::start(&["--network", "minimal", "--log-level", "error"]);
    let clock = AtomicU64::new(1);
    let mut answered = Answered::default();
    for round in 0..ROUNDS {
        daemon.import(&keys.iter().collect::<Vec<_>>());
        answered.assert_contradictions_are_refused(&daemon, &keys);
        let load = Load { socket: daemon.socket(), keys: &keys, clock: &clock, over: AtomicBool::new(false) };
        let life = Duration::from_micros(random.below(40_000));
        daemon = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let (load, own) = (&load, Random(random.next()));
                    scope.spawn(move || load.run(own))
                })
                .collect();
            thread::sleep(life);
            let daemon = daemon.kill_and_restart();
            load.over.store(true, Ordering::Relaxed);
            for client in clients {
                answered.take(client.join().unwrap());
            }
            daemon
        });
        answered.assert_no_contradiction(round);
    }
    assert!(answered.count > ROUNDS as usize, "only {} answers in {ROUNDS} rounds", answered.count);
}

/// A message that was signed, by the number of its key.
type Signed = (usize, Duty);

/// What a client asks for: small numbers, so that clients contradict each other all the time.
#[derive(Clone, Copy)]
enum Duty {
    Block { slot: u64, root: u8 },
    Attestation { source: u64, target: u64, root: u8 },
}

impl Duty {
    fn random(random: &mut Random, now: u64) -> Self {
        let root = random.below(3) as u8;
        if random.below(3) == 0 {
            return Self::Block { slot: now + random.below(3), root };
        }
        let target = now + random.below(4);
        Self::Attestation { source: target.saturating_sub(random.below(4)), target, root }
    }

    fn request(self) -> Value {
        match self {
            Self::Block { slot, root } => block_header(slot, root),
            Self::Attestation { source, target, root } => attestation(8 * target, source, target, root),
        }
    }

    /// The same for another block: slashable together with this one.
    fn contradiction(self) -> Self {
        match self {
            Self::Block { slot, root } => Self::Block { slot, root: root ^ 0x80 },
            Self::Attestation { source, target, root } => {
                Self::Attestation { source, target, root: root ^ 0x80 }
            }
        }
    }

    /// As the checker sees it; what stands in for the root is all that makes two messages different.
    fn message(self) -> Message {
        match self {
            Self::Block { slot, root } => Message::Block { slot, root: [root; 32] },
            Self::Attestation { source, target, root } => {
                let mut identity = [root; 32];
                identity[..8].copy_from_slice(&source.to_be_bytes());
                Message::Attestation { source, target, root: identity }
            }
        }
    }
}

/// Clients that sign as fast as they can until the daemon is gone.
struct Load<'a> {
    socket: Address,
    keys: &'a [Key],
    /// Moves on with every answer, so that there is always something new to sign.
    clock: &'a AtomicU64,
    over: AtomicBool,
}

impl Load<'_> {
    fn run(&self, mut random: Random) -> Vec<Signed> {
        let mut signed = Vec::new();
        let Ok(mut connection) = Connection::try_open(&self.socket) else { return signed };
        while !self.over.load(Ordering::Relaxed) {
            let key = random.below(KEYS) as usize;
            let duty = Duty::random(&mut random, self.clock.load(Ordering::Relaxed) / 8);
            let request = Request::post(
                &format!("/api/v1/eth2/sign/{}", self.keys[key].name()),
                duty.request().to_string(),
            );
            let Ok(answer) = connection.try_send(&request.bytes()).and_then(|()| connection.try_answer())
            else {
                break;
            };
            match answer.status {
                200 => {
                    self.clock.fetch_add(1, Ordering::Relaxed);
                    signed.push((key, duty));
                }
                412 => {}
                // The restarted daemon has no keys yet.
                404 => break,
                _ => panic!("{answer:?}"),
            }
        }
        signed
    }
}

/// Every answer ever given.
#[derive(Default)]
struct Answered {
    history: History,
    all: Vec<Signed>,
    checked: usize,
    count: usize,
}

impl Answered {
    fn take(&mut self, signed: Vec<Signed>) {
        self.count += signed.len();
        self.all.extend(signed);
    }

    #[track_caller]
    fn assert_no_contradiction(&mut self, round: u64) {
        for &(key, duty) in &self.all[self.checked..] {
            let contradiction = self.history.contradiction(name(key), duty.message());
            assert_eq!(contradiction, None, "round {round}: answered together with {:?}", duty.message());
            if !self.history.has_signed(name(key), duty.message()) {
                self.history.sign(name(key), duty.message());
            }
        }
        self.checked = self.all.len();
    }

    /// Of the newest answers, after a restart.
    #[track_caller]
    fn assert_contradictions_are_refused(&self, daemon: &Daemon, keys: &[Key]) {
        for &(key, duty) in self.all.iter().rev().take(8) {
            let answer = daemon.sign(&keys[key], &duty.contradiction().request());
            assert_eq!(answer.status, 412, "after {:?}: {answer:?}", duty.message());
        }
    }
}

fn name(key: usize) -> [u8; 48] {
    [key as u8; 48]
}

/// SplitMix64: a test's random numbers need a seed that can be used again, nothing more.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
