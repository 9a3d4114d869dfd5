//! What a scrape of the metrics takes with many keys, in time and in bytes, when every duty has been asked for.

use std::time::{Duration, Instant};

use crate::statistics::median;
use crate::support::{Connection, Daemon, Key, Request, Setup, sign_vectors};

pub fn measure(count: u64, scrapes: usize) {
    let setup = Setup::new().args(&["--network", "mainnet", "--log-level", "error"]);
    let daemon = setup.listen("metrics", "unix:metrics.sock").listen("all", "unix:signer.sock").start();
    let keys: Vec<Key> = (0..count).map(Key::number).collect();
    for batch in keys.chunks(500) {
        daemon.import_at(&daemon.socket(), &batch.iter().collect::<Vec<_>>());
    }
    ask_for_every_duty(&daemon);

    println!("| a scrape, {count} keys | KiB | median ms | longest ms |\n| --- | ---: | ---: | ---: |");
    println!("| goal | 64 | 5 | |");
    let openmetrics = "application/openmetrics-text;version=1.0.0";
    for (format, accept) in [("Prometheus' text", "text/plain"), ("OpenMetrics", openmetrics)] {
        let request = Request::get("/metrics").header("Accept", accept);
        let mut connection = Connection::open(&daemon.unix("metrics.sock"));
        let (mut times, mut largest) = (Vec::new(), 0);
        for _ in 0..scrapes {
            let before = Instant::now();
            let answer = connection.exchange(&request);
            times.push(before.elapsed());
            assert_eq!(answer.status, 200, "{answer:?}");
            largest = answer.text().len().max(largest);
        }
        let longest = times.iter().copied().max().unwrap();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let kib = largest as f64 / 1024.0;
        println!("| {format} | {kib:.1} | {:.2} | {:.2} |", ms(median(times)), ms(longest));
    }
}

/// So that all histograms are there. Whether the key is, and whether the message is taken, plays no part.
fn ask_for_every_duty(daemon: &Daemon) {
    for vector in sign_vectors().into_values().flatten() {
        let path = format!("/api/v1/eth2/sign/{}", vector.public_key);
        daemon.send(&Request::post(&path, vector.request.to_string()));
    }
}
