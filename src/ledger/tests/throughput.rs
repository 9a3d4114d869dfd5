//! How fast the writer alone is, and how large its files get. Not a test: run it with
//!
//! ```text
//! cargo test --release --lib ledger::tests::throughput -- --ignored --nocapture
//! ```
//!
//! on the file system that is to be measured (`TMPDIR`).

use std::time::Instant;

use tokio::task::JoinSet;

use super::*;

#[test]
#[ignore = "a measurement"]
fn attestations_per_second() {
    for (keys, epochs) in [(1, 2_000), (100, 200), (1_000, 100), (10_000, 20)] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = open(directory.path());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        runtime.block_on(all_attest(&ledger, keys, 1));
        let started = Instant::now();
        for epoch in 2..2 + epochs {
            runtime.block_on(all_attest(&ledger, keys, epoch));
        }
        let (elapsed, count) = (started.elapsed(), keys * epochs);
        let repeated = Instant::now();
        runtime.block_on(all_attest(&ledger, keys, 1 + epochs));
        println!(
            "{keys:6} keys at once: {:8.0} recorded/s ({:7.1} us each, {:8.3} ms an epoch), {:8.0} repeated/s; {}",
            count as f64 / elapsed.as_secs_f64(),
            elapsed.as_secs_f64() * 1e6 / count as f64,
            elapsed.as_secs_f64() * 1e3 / epochs as f64,
            keys as f64 / repeated.elapsed().as_secs_f64(),
            sizes(directory.path()),
        );
    }
}

async fn all_attest(ledger: &Ledger, keys: u64, epoch: u64) {
    let mut waiting = JoinSet::new();
    for key in 0..keys {
        let mut request = attestation(0, epoch - 1, epoch, u8::try_from(epoch % 256).unwrap());
        request.public_key.0[..8].copy_from_slice(&key.to_be_bytes());
        // As many as the server lets in at one time.
        while waiting.len() >= 4_096 {
            waiting.join_next().await.unwrap().unwrap();
        }
        match ledger.judge(&request).await.unwrap() {
            Verdict::Allowed(judged) => waiting.spawn(async move { judged.cleared().await.unwrap() }),
            Verdict::Refused(refusal) => panic!("{refusal}"),
        };
    }
    while let Some(cleared) = waiting.join_next().await {
        cleared.unwrap();
    }
}

fn sizes(directory: &Path) -> String {
    let size = |name| std::fs::metadata(directory.join("state").join(name)).unwrap().len() / 1024;
    format!("{} KiB + log {} KiB", size("ledger.sqlite"), size("ledger.sqlite-wal"))
}
