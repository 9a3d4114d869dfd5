//! Steps of a signature's way, each alone: `cargo bench --bench steps --features bench-internals`. What a whole daemon does
//! with them is measured by `tests/bench/slot`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a measurement that meets the unexpected has to stop and say so"
)]
#![allow(missing_docs, reason = "criterion's macros make a function without one")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bls_signer::bench_internals::{HashCache, Ledger, Permissions, Signatory};
use bls_signer::bls::{HashedRoot, PublicKey};
use bls_signer::duty::Duty;
use bls_signer::network::Network;
use bls_signer::primitives::SigningRoot;
use blst::min_pk;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

criterion_group! {
    name = steps;
    // Some seconds each: the machine should be idle, and is so for a minute more easily than for ten.
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = from_body_to_signing_root, permission, curve, ledger
}
criterion_main!(steps);

/// Bodies as Lodestar sent them, all under the latest fork of which there are recordings.
fn from_body_to_signing_root(criterion: &mut Criterion) {
    let network = network();
    let mut group = criterion.benchmark_group("body to signing root");
    for (name, kind) in [
        ("attestation", "ATTESTATION"),
        ("block header", "BLOCK_V2"),
        ("sync committee message", "SYNC_COMMITTEE_MESSAGE"),
        ("aggregate and proof", "AGGREGATE_AND_PROOF_V2"),
    ] {
        let body = recorded(kind).to_string();
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| Duty::parse(black_box(body.as_bytes()), &network).unwrap().signing_root());
        });
    }
}

/// Who asks, and whether he may. A multiplication takes some hundred microseconds.
fn permission(criterion: &mut Criterion) {
    let duty = attestation_in(1, &network());
    let keys: Vec<_> = (0..10_000).map(public_key).collect();
    let mut group = criterion.benchmark_group("permission");
    for clients in [1, 100] {
        let permissions = Permissions::new(clients, &keys);
        group.bench_function(format!("the last of {clients} clients with 10000 keys"), |bencher| {
            bencher.iter(|| assert!(permissions.decide(black_box(keys[7_777]), &duty)));
        });
    }
}

fn curve(criterion: &mut Criterion) {
    let secret = min_pk::SecretKey::key_gen(&[7; 32], &[]).unwrap();
    let duty = Duty::parse(recorded("SYNC_COMMITTEE_MESSAGE").to_string().as_bytes(), &network()).unwrap();
    let (root, cache, plain) = (duty.signing_root(), HashCache::with_tables(), HashCache::without_tables());
    // Asked for a second time, it gets its comb.
    for cache in [&cache, &cache, &plain] {
        cache.hashed(&root);
    }
    let runtime = runtime();
    let signatory = runtime.block_on(Signatory::new(&secret.to_bytes(), duty)).unwrap();
    // A new message each time: what is hashed twice may be found in a cache of the processor's, if not in ours.
    let mut number = 0_u64;
    let mut message = || {
        number += 1;
        let mut message = [0x5a; 32];
        message[..8].copy_from_slice(&number.to_le_bytes());
        message
    };

    let mut group = criterion.benchmark_group("curve");
    group.bench_function("hash to G2", |bencher| {
        bencher.iter(|| HashedRoot::new(&SigningRoot(black_box(message()))));
    });
    group.bench_function("hash found in the cache", |bencher| {
        bencher.iter(|| cache.hashed(black_box(&root)));
    });
    for (name, cache) in [("multiplication", &plain), ("multiplication with a comb", &cache)] {
        group.bench_function(name, |bencher| {
            let permission = || runtime.block_on(signatory.permission()).unwrap();
            bencher.iter_batched(permission, |permission| permission.multiply(cache), BatchSize::SmallInput);
        });
    }
    group.bench_function("blst sign", |bencher| {
        bencher.iter(|| secret.sign(black_box(&message()), CIPHERSUITE, &[]));
    });
}

/// Judged, recorded and on disk. The directory is in `TMPDIR`: the disk is part of what is measured.
fn ledger(criterion: &mut Criterion) {
    let (network, runtime) = (network(), runtime());
    let mut group = criterion.benchmark_group("ledger");
    for (name, keys) in [("an attestation", 1), ("1000 attestations at once", 1000)] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(&directory.path().join("state")).unwrap();
        let public_keys: Vec<_> = (0..keys).map(public_key).collect();
        let mut epoch = 0;
        group.throughput(Throughput::Elements(keys));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                (0..times)
                    .map(|_| {
                        epoch += 1;
                        let duty = attestation_in(epoch, &network);
                        let start = Instant::now();
                        runtime.block_on(ledger.clear(&public_keys, &duty)).unwrap();
                        start.elapsed()
                    })
                    .sum()
            });
        });
    }
}

/// What the newest client sent, as recorded in `tests/vectors`.
fn recorded(kind: &str) -> Value {
    let lines = include_str!("../../vectors/client-requests.jsonl").lines();
    let mut records = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_wanted = |record: &Value| record["client"] == CLIENT && record["request"]["type"] == kind;
    records.rfind(is_wanted).expect("there is a record of this kind")["request"].take()
}

/// A vote that no vote for an epoch before it forbids.
fn attestation_in(epoch: u64, network: &Network) -> Duty {
    let mut request = recorded("ATTESTATION");
    request.as_object_mut().unwrap().remove("signingRoot");
    request["attestation"]["slot"] = json!((8 * epoch).to_string());
    request["attestation"]["source"]["epoch"] = json!((epoch - 1).to_string());
    request["attestation"]["target"]["epoch"] = json!(epoch.to_string());
    Duty::parse(request.to_string().as_bytes(), network).unwrap()
}

/// The ledger knows keys by these bytes and never asks whether they are a point.
fn public_key(number: u64) -> PublicKey {
    let mut bytes = [0; 48];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    PublicKey(bytes)
}

/// The network of the recordings.
fn network() -> Network {
    Network::by_name("minimal").unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

const CLIENT: &str = "lodestar 1.39.1";
const CIPHERSUITE: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
