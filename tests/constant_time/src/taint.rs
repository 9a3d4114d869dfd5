//! Keys as undefined memory under valgrind.

use std::ffi::c_void;
use std::hint::black_box;
use std::process::ExitCode;

use crate::curve::{Comb, JointTable, SignaturePoint, Window};
use crate::{message, multiply_in_variable_time};

/// Runs a case with secret keys. Its signatures are compared with blst's once they are public.
pub fn run(case: &str) -> ExitCode {
    let message = message();
    let keys = keys();
    keys.iter().for_each(|key| mark(key, mark_secret));
    let signatures: Vec<Option<SignaturePoint>> = match case {
        "small-comb" | "large-comb" => {
            let window = if case == "small-comb" { Window::Small } else { Window::Large };
            let comb = Comb::new(&message, window).expect("the table is right");
            let mut signatures = comb.multiply(&keys.iter().collect::<Vec<_>>());
            signatures.append(&mut comb.multiply(&[&keys[0]]));
            signatures
        }
        "joint" => {
            let table = JointTable::new(&message).expect("the point is not infinity");
            keys.iter().map(|key| table.multiply(key)).collect()
        }
        // The combined scalar is a secret, whether the signatures are right is not.
        "combination" => {
            let signatures: Vec<_> = self::keys().iter().map(|key| message.multiply(key)).collect();
            let factors = [1, 2, 3, 40_000, u16::MAX];
            let are_right = message.are_signatures(&keys.each_ref(), &signatures, &factors);
            mark(&are_right, mark_public);
            let are_right = *black_box(&are_right); // from the memory that was marked
            println!("{case}: {}", if are_right { "as blst's" } else { "WRONG" });
            return if are_right { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        // What valgrind must find, lest its silence mean nothing.
        "secret-address" => {
            let table = black_box([3_u8; 256]);
            black_box(table[usize::from(keys[0][0])]);
            return ExitCode::SUCCESS;
        }
        "secret-branch" => {
            black_box(multiply_in_variable_time(&keys[0]));
            return ExitCode::SUCCESS;
        }
        _ => return ExitCode::from(2),
    };
    signatures.iter().for_each(|signature| mark(signature, mark_public));
    keys.iter().for_each(|key| mark(key, mark_public));
    let expected: Vec<_> = keys.iter().map(|key| Some(message.multiply(key))).collect();
    let are_right = signatures.iter().zip(expected.iter().cycle()).all(|(one, other)| one == other);
    println!("{case}: {} signatures, {}", signatures.len(), if are_right { "as blst's" } else { "WRONG" });
    if are_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn keys() -> [[u8; 32]; 5] {
    [[1, 0], [2, 0], [0x35, 0x21], [0x92, 0x5c], [0xff, 0x6f]].map(|[low, high]| {
        let mut key = [high; 32];
        key[0] = low;
        key
    })
}

fn mark<T>(value: &T, how: unsafe extern "C" fn(*const c_void, usize)) {
    // SAFETY: a request to valgrind about memory that is alive; it changes nothing there.
    unsafe { how(std::ptr::from_ref(value).cast(), size_of::<T>()) };
}

unsafe extern "C" {
    fn mark_secret(bytes: *const c_void, length: usize);
    fn mark_public(bytes: *const c_void, length: usize);
}
