//! Whether the multiplications of `src/sys/curve` take the same way for every key.
//!
//! `taint CASE` runs under valgrind, with keys marked as undefined memory: memcheck reports every branch and every
//! address that depends on them. `timing` measures whether one key takes another time than random ones do.

#[path = "../../../src/sys/curve/mod.rs"]
#[allow(dead_code, unused_imports, reason = "not everything of it is examined")]
mod curve;
mod taint;
mod timing;

use std::hint::black_box;
use std::process::ExitCode;

use crate::curve::HashedMessage;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["taint", case] => taint::run(case),
        ["timing"] => timing::run(),
        _ => {
            eprintln!(
                "usage: constant-time taint CASE, constant-time timing\n\
                 cases: small-comb, large-comb, joint, combination, secret-address, secret-branch"
            );
            ExitCode::from(2)
        }
    }
}

/// A message to sign.
fn message() -> HashedMessage {
    HashedMessage::new(&[7; 32], b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_")
}

/// What a multiplication must not be: each bit of the key that is set takes its time.
fn multiply_in_variable_time(key: &[u8; 32]) -> u64 {
    let mut sum = 0_u64;
    for bit in 0..256 {
        sum = black_box(sum.rotate_left(1));
        if (key[bit / 8] >> (bit % 8)) & 1 == 1 {
            for step in 0..100 {
                sum = black_box(sum.wrapping_mul(3).wrapping_add(step));
            }
        }
    }
    sum
}
