//! Slashing protection as clients meet it: what contradicts a signature is 412, what repeats it is signed again.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::support::{
    Connection, Daemon, Key, Request, attestation, block_header, randao_reveal, run, socket, text,
};

#[test]
fn a_second_block_at_a_slot_is_refused_and_the_first_signed_again() {
    let (daemon, key) = signer(&[]);
    let first = signed(&daemon, &key, &block_header(10, 1));
    let message = refused(&daemon, &key, &block_header(10, 2));
    assert!(message.contains("10"), "the slot is named: {message}");
    refused(&daemon, &key, &block_header(9, 1));
    assert_eq!(signed(&daemon, &key, &block_header(10, 1)), first);
    signed(&daemon, &key, &block_header(11, 2));
}

#[test]
fn votes_that_contradict_are_refused() {
    let (daemon, key) = signer(&[]);
    signed(&daemon, &key, &attestation(32, 2, 4, 1));
    for (what, vote) in [
        ("a double vote", attestation(32, 2, 4, 2)),
        ("a double vote that differs in its source", attestation(32, 3, 4, 1)),
        ("a surrounding vote", attestation(40, 1, 5, 1)),
        ("a surrounded vote", attestation(24, 3, 3, 1)),
        ("a lower target", attestation(24, 2, 3, 1)),
        ("a lower source", attestation(48, 1, 6, 1)),
        ("a source after its target", attestation(64, 9, 8, 1)),
    ] {
        let answer = daemon.sign(&key, &vote);
        assert_eq!(answer.status, 412, "{what}: {answer:?}");
        assert!(answer.assert_problem(412).contains("slashing protection"), "{what}: {answer:?}");
    }
    signed(&daemon, &key, &attestation(32, 2, 4, 1));
    signed(&daemon, &key, &attestation(40, 2, 5, 1));
    signed(&daemon, &key, &attestation(48, 5, 6, 1));
}

#[test]
fn the_vote_at_genesis_is_signed() {
    let (daemon, key) = signer(&[]);
    signed(&daemon, &key, &attestation(0, 0, 0, 1));
    refused(&daemon, &key, &attestation(1, 0, 0, 2));
    signed(&daemon, &key, &attestation(8, 0, 1, 1));
}

#[test]
fn blocks_and_votes_and_keys_do_not_stand_in_each_other_s_way() {
    let (daemon, key) = signer(&[]);
    let other = Key::number(2);
    daemon.import(&[&other]);
    signed(&daemon, &key, &block_header(100, 1));
    signed(&daemon, &key, &attestation(8, 0, 1, 1));
    signed(&daemon, &other, &block_header(100, 2));
    signed(&daemon, &other, &attestation(8, 0, 1, 2));
    signed(&daemon, &key, &randao_reveal(0));
}

#[test]
fn another_chain_is_refused_and_leaves_no_trace() {
    let (daemon, key) = signer(&[]);
    signed(&daemon, &key, &attestation(8, 0, 1, 1));
    let mut foreign = attestation(80, 1, 10, 1);
    foreign["fork_info"]["genesis_validators_root"] = json!(format!("0x{}", "99".repeat(32)));
    refused(&daemon, &key, &foreign);
    signed(&daemon, &key, &attestation(16, 0, 2, 1));
}

#[test]
fn what_was_refused_before_a_kill_is_refused_after_it() {
    let (daemon, key) = signer(&[]);
    signed(&daemon, &key, &block_header(10, 1));
    signed(&daemon, &key, &attestation(32, 2, 4, 1));
    let daemon = daemon.kill_and_restart();
    daemon.import(&[&key]);
    refused(&daemon, &key, &block_header(10, 2));
    refused(&daemon, &key, &attestation(32, 2, 4, 2));
    signed(&daemon, &key, &block_header(10, 1));
    signed(&daemon, &key, &attestation(32, 2, 4, 1));
}

#[test]
fn of_a_thousand_contradictions_at_once_exactly_one_is_signed() {
    // A thousand connections on both sides.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(8192), most).unwrap();
    let (daemon, key) = signer(&["--max-connections", "2000"]);
    let path = format!("/api/v1/eth2/sign/{}", key.name());
    let conflicts: [fn(u8, u64) -> Value; 2] = [
        |root, round| block_header(10 + round, root),
        |root, round| attestation(8 * (1 + round), round, 1 + round, root),
    ];
    for round in 0..2 {
        for conflict in conflicts {
            let mut connections: Vec<_> = (0..1000).map(|_| Connection::open(&daemon.socket())).collect();
            for (number, connection) in connections.iter_mut().enumerate() {
                // Ten clients ask for each of a hundred contradicting messages.
                let duty = conflict((number % 100) as u8, round);
                connection.send(&Request::post(&path, duty.to_string()).bytes());
            }
            let answers: Vec<_> = connections.iter_mut().map(Connection::answer).collect();
            let signed: Vec<_> = (0..).zip(&answers).filter(|(_, answer)| answer.status == 200).collect();
            let winner = signed.first().expect("one is signed").0 % 100;
            for (number, answer) in &signed {
                assert_eq!(number % 100, winner, "a contradiction was signed: {answer:?}");
            }
            assert_eq!(signed.len(), 10, "the ten who asked for the same have the same");
            assert!(answers.iter().all(|answer| [200, 412].contains(&answer.status)));
        }
    }
}

#[test]
fn a_start_says_which_ledger_it_opened_and_warns_of_a_new_one() {
    let (daemon, key) = signer(&[]);
    let id = |line: &str| {
        let (_, rest) = line.split_once("(id ").expect("the ledger's number is named");
        rest.split(',').next().map(str::to_owned).expect("a number")
    };
    let new = daemon.wait_for_log(|line| line.contains("NEW, EMPTY"));
    assert!(
        new.contains("WARN") && new.contains("ledger.sqlite") && new.contains("0 keys on record"),
        "{new}"
    );
    signed(&daemon, &key, &block_header(10, 1));
    let daemon = daemon.kill_and_restart();
    let again = daemon.wait_for_log(|line| line.contains("the slashing protection ledger is"));
    assert!(again.contains("INFO") && again.contains("1 keys on record"), "{again}");
    assert!(again.contains(" ago, ") && again.contains("ledger.sqlite"), "{again}");
    assert_eq!(id(&again), id(&new));
    assert!(!daemon.log().contains("NEW, EMPTY"));
}

#[test]
fn protection_that_is_off_says_so_loudly() {
    let (daemon, key) = signer(&["--slashing-protection", "off"]);
    signed(&daemon, &key, &block_header(10, 1));
    signed(&daemon, &key, &block_header(10, 2));
    daemon.wait_for_log(|line| line.contains("SLASHING PROTECTION IS OFF"));
    let health = daemon.send(&Request::get("/healthcheck"));
    assert!(health.text().to_lowercase().contains("off"), "{health:?}");
}

#[test]
fn what_lies_centuries_ahead_is_refused_unless_that_is_switched_off() {
    for (switch, status) in [
        (&[][..], 412),
        (&["--refuse-far-future=yes"], 412),
        (&["--refuse-far-future=true"], 412),
        (&["--refuse-far-future=no"], 200),
        (&["--refuse-far-future=off"], 200),
    ] {
        let daemon = Daemon::start(&[&["--network", "hoodi"], switch].concat());
        let key = Key::number(1);
        daemon.import(&[&key]);
        assert_eq!(daemon.sign(&key, &vote_on_hoodi(60_000)).status, 200);
        assert_eq!(daemon.sign(&key, &vote_on_hoodi(1 << 40)).status, status, "{switch:?}");
    }
}

#[test]
fn a_key_that_a_record_far_ahead_locks_is_named_and_locks_no_other_key_and_opens_none() {
    let daemon = Daemon::start(&["--network", "hoodi", "--refuse-far-future", "no"]);
    let [locked, other] = [1, 2].map(Key::number);
    daemon.import(&[&locked, &other]);
    assert_eq!(daemon.sign(&locked, &vote_on_hoodi(1 << 40)).status, 200);

    let daemon = daemon.kill().without("--refuse-far-future").start();
    daemon.import(&[&locked, &other]);
    let message = daemon.sign(&locked, &vote_on_hoodi(60_000)).assert_problem(412);
    assert!(message.contains("years ahead of this host's clock"), "{message}");
    daemon.sign(&other, &vote_on_hoodi(1 << 40)).assert_problem(412);
    assert_eq!(daemon.sign(&other, &vote_on_hoodi(60_000)).status, 200);

    daemon.wait_for_log(|line| {
        line.contains("records of 1 keys lie years ahead") && line.contains(&locked.name())
    });
    let health = daemon.send(&Request::get("/healthcheck"));
    assert_eq!(health.status, 200);
    assert!(health.text().contains(&locked.name()) && !health.text().contains(&other.name()), "{health:?}");
    let status = ["slashing-protection", "status", "--connect", &socket(&daemon)];
    let status = text(&run(daemon.directory(), &status));
    let of = |key: &Key| status.lines().find(|line| line.starts_with(&key.name())).unwrap().to_owned();
    assert!(of(&locked).contains("YEARS AHEAD") && !of(&other).contains("YEARS"), "{status}");
}

fn vote_on_hoodi(target: u64) -> Value {
    let mut vote = attestation(target * 32, target - 1, target, 1);
    vote["fork_info"] = json!({
        "fork": {"previous_version": "0x70000910", "current_version": "0x70000910", "epoch": "50688"},
        "genesis_validators_root": "0x212f13fc4df078b6cb7db228f1c8307566dcecf900867401a92023d7ba99cb5f",
    });
    vote
}

fn signer(args: &[&str]) -> (Daemon, Key) {
    let daemon = Daemon::start(&[&["--network", "minimal"], args].concat());
    let key = Key::number(1);
    daemon.import(&[&key]);
    (daemon, key)
}

#[track_caller]
fn signed(daemon: &Daemon, key: &Key, duty: &Value) -> String {
    let answer = daemon.sign(key, duty);
    assert_eq!(answer.status, 200, "{duty}: {answer:?}");
    answer.text().to_owned()
}

#[track_caller]
fn refused(daemon: &Daemon, key: &Key, duty: &Value) -> String {
    let answer = daemon.sign(key, duty);
    assert_eq!(answer.status, 412, "{duty}: {answer:?}");
    answer.assert_problem(412)
}
