//! Time of a multiplication with one key and with random ones, compared by Welch's t-test (as dudect does: Reparaz,
//! Balasch, Verbauwhede, "Dude, is my code constant time?", 2017).

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use crate::curve::{Comb, JointTable, Window};
use crate::{message, multiply_in_variable_time};

/// Measures each multiplication, and one that must be found to differ.
pub fn run() -> ExitCode {
    let message = message();
    let [small, large] =
        [Window::Small, Window::Large].map(|window| Comb::new(&message, window).expect("the table is right"));
    let joint = JointTable::new(&message).expect("the point is not infinity");
    let examined: [(&str, &dyn Fn(&[u8; 32])); 4] = [
        ("small comb", &|key| drop(black_box(small.multiply(&[key])))),
        ("large comb", &|key| drop(black_box(large.multiply(&[key])))),
        ("joint table", &|key| _ = black_box(joint.multiply(key))),
        ("blst", &|key| _ = black_box(message.multiply(key))),
    ];
    let control = difference(&|key| _ = black_box(multiply_in_variable_time(key)));
    println!("{:12} |t| = {control:.1}", "control");
    if control < SURE_DIFFERENCE {
        println!("a multiplication in variable time was not found: the measurement finds nothing");
        return ExitCode::FAILURE;
    }
    let mut are_alike = true;
    for (name, multiply) in examined {
        // Other load disturbs a measurement, but hardly each time; a key's influence is there each time.
        are_alike &= (0..ROUNDS).any(|_| {
            let difference = difference(multiply);
            println!("{name:12} |t| = {difference:.1}");
            difference < LARGEST_CHANCE
        });
    }
    if are_alike {
        return ExitCode::SUCCESS;
    }
    println!(
        "the time of a multiplication depends on the key (|t| >= {LARGEST_CHANCE} in {ROUNDS} measurements)"
    );
    ExitCode::FAILURE
}

/// The largest |t| of the times that remain without the slowest half, quarter, tenth and hundredth.
fn difference(multiply: &dyn Fn(&[u8; 32])) -> f64 {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let keys: Vec<[u8; 32]> = (0..KEYS).map(|_| random.key()).collect();
    let mut fixed = [0; 32];
    fixed[0] = 1;
    let mut times: [Vec<f64>; 2] = [const { Vec::new() }; 2];
    for measurement in 0..MEASUREMENTS {
        let class = usize::from(random.next() >> 63 == 1);
        // Both from the same place, so that the caches do not tell them apart.
        let key = [fixed, keys[measurement % KEYS]][class];
        let start = Instant::now();
        multiply(black_box(&key));
        times[class].push(start.elapsed().as_secs_f64());
    }
    let mut all = times.concat();
    all.sort_by(f64::total_cmp);
    [50, 75, 90, 99].map(|percent| t(&times, all[all.len() * percent / 100])).into_iter().fold(0.0, f64::max)
}

/// Welch's |t| of the times up to the limit.
fn t(times: &[Vec<f64>; 2], limit: f64) -> f64 {
    let [(mean, error), (other_mean, other_error)] = times.each_ref().map(|times| {
        let kept: Vec<f64> = times.iter().copied().filter(|time| *time <= limit).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    ((mean - other_mean) / (error + other_error).sqrt()).abs()
}

/// Numbers for keys that protect nothing.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        for bytes in key.chunks_exact_mut(8) {
            bytes.copy_from_slice(&self.next().to_le_bytes());
        }
        key[31] &= 0x3f;
        key
    }
}

const MEASUREMENTS: usize = 10_000;
const ROUNDS: usize = 3;
const KEYS: usize = 1024;

/// Above this dudect speaks of a definite difference.
const LARGEST_CHANCE: f64 = 10.0;

/// What the control must reach: it reaches hundreds.
const SURE_DIFFERENCE: f64 = 50.0;
