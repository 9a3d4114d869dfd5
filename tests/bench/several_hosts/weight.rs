//! What the daemon weighs without a shared ledger, beside another build of it.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::goal::Goal;
use crate::process::status_kib;
use crate::statistics::median;
use crate::support::{Setup, binary};

/// Figures alone where there is no other build.
pub fn measure(other: Option<&Path>) -> [Goal; 3] {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        ours.push(start(None));
        theirs.extend(other.map(|other| start(Some(other))));
    }
    let of = |both: &[(f64, f64)], figure: fn(&(f64, f64)) -> f64| median(both.iter().map(figure));
    let compared = |what: &str, unit: &str, figure: fn(&(f64, f64)) -> f64| {
        let this = of(&ours, figure);
        let other = other.map(|_| of(&theirs, figure));
        row(what, unit, "unchanged", this, other, other.map(|other| this <= other * SAME))
    };
    let size = |path: &Path| fs::metadata(path).unwrap().len() as f64 / MIB;
    let (this, other) = (size(binary().as_ref()), other.map(size));
    [
        compared("without the option: start to READY", "ms", |start| start.0),
        compared("without the option: resident memory", "MiB", |start| start.1),
        row("binary", "MiB", "<= 0.7 MiB more", this, other, other.map(|other| this <= other + 0.7)),
    ]
}

fn row(what: &str, unit: &str, goal: &str, this: f64, other: Option<f64>, reached: Option<bool>) -> Goal {
    let other = other.map_or_else(String::new, |other| format!(" ({other:.2} {unit} of the other build)"));
    Goal {
        what: what.to_owned(),
        goal: if reached.is_some() { goal.to_owned() } else { String::new() },
        measured: format!("{this:.2} {unit}{other}"),
        reached,
    }
}

/// Milliseconds to readiness, and MiB.
fn start(build: Option<&Path>) -> (f64, f64) {
    let setup = Setup::new().args(&["--network", "mainnet", "--log-level", "warn"]);
    let setup = match build {
        None => setup,
        // The shell takes this build's path away and becomes the other one.
        Some(path) => setup.under(&["/bin/sh", "-c", r#"shift; exec "$0" "$@""#, path.to_str().unwrap()]),
    };
    let before = Instant::now();
    let daemon = setup.start();
    let taken = before.elapsed().as_secs_f64() * 1e3;
    (taken, status_kib(daemon.pid(), "VmRSS:") as f64 / 1024.0)
}

const STARTS: usize = 11;
/// Medians of one build differ by as much.
const SAME: f64 = 1.05;
const MIB: f64 = 1_048_576.0;
