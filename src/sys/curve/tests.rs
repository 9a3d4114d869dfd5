//! Every way to multiply gives blst's bytes, and the integers behind the propositions are what they say.

use blst::{
    blst_fr, blst_fr_add, blst_fr_cneg, blst_fr_from_uint64, blst_fr_mul, blst_p2, blst_scalar,
    blst_scalar_from_fr, blst_scalar_from_le_bytes,
};
use proptest::prelude::*;

use super::point::Affine;
use super::subscalars::{Subscalar, Subscalars, Windows, Z};
use super::*;

const WINDOWS: [Window; 2] = [Window::Small, Window::Large];

const DST: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";

#[test]
fn special_scalars_multiply_as_with_blst() {
    let (message, scalars) = (HashedMessage::new(&[7; 32], DST), special_scalars());
    let joint = JointTable::new(&message).unwrap();
    let scalars: Vec<_> = scalars.iter().collect();
    let expected: Vec<_> = scalars.iter().map(|scalar| message.multiply(scalar)).collect();
    for window in WINDOWS {
        let comb = Comb::new(&message, window).unwrap();
        // In batches that mix them, and alone.
        for size in [1, 8, scalars.len()] {
            let signatures: Vec<_> =
                scalars.chunks(size).flat_map(|scalars| comb.multiply(scalars)).collect();
            assert!(
                signatures.iter().zip(&expected).all(|(signature, expected)| *signature == Some(*expected))
            );
        }
    }
    assert!(
        scalars.iter().zip(&expected).all(|(scalar, expected)| joint.multiply(scalar) == Some(*expected))
    );
}

#[test]
fn special_scalars_have_the_subscalars_and_digits_that_the_propositions_say() {
    special_scalars().iter().for_each(assert_propositions);
}

#[test]
fn the_endomorphism_multiplies_by_z() {
    let message = HashedMessage::new(&[1; 32], DST);
    let multiply: [fn(&mut Affine); 2] = [Affine::multiply_by_z, Affine::multiply_by_z_squared];
    for (power, multiply) in (1..).zip(multiply) {
        let mut multiple = Affine::of(&message.0);
        multiply(&mut multiple);
        assert_eq!(multiple.signature_if_valid(), Some(message.multiply(&scalar_of(&z_to_the(power)))));
    }
}

#[test]
fn infinity_has_no_table() {
    let infinity = HashedMessage(blst_p2::default());
    assert!(infinity.is_infinity() && JointTable::new(&infinity).is_none());
    assert!(WINDOWS.iter().all(|window| Comb::new(&infinity, *window).err() == Some(CombError::Infinity)));
}

#[test]
fn a_random_combination_finds_a_wrong_signature_and_two_that_have_changed_places() {
    let (message, scalars) = (HashedMessage::new(&[5; 32], DST), special_scalars());
    let scalars: Vec<_> = scalars.iter().take(120).collect();
    let right: Vec<_> = scalars.iter().map(|scalar| message.multiply(scalar)).collect();
    let factors: Vec<_> = (0..120).map(|number| u16::MAX - 500 * number).collect();
    assert!(message.are_signatures(&scalars, &right, &factors));
    assert!(message.are_signatures(&scalars[..1], &right[..1], &factors[..1]));
    for place in [0, 60, 119] {
        let mut wrong = right.clone();
        wrong[place] = message.multiply(&[0x21; 32]);
        assert!(!message.are_signatures(&scalars, &wrong, &factors), "{place}");
        let mut exchanged = right.clone();
        exchanged.swap(place, 7);
        assert!(!message.are_signatures(&scalars, &exchanged, &factors), "{place}");
    }
    assert!(!message.are_signatures(&scalars[1..], &right, &factors));
    assert!(!message.are_signatures(&[], &[], &[]));
}

#[test]
fn a_point_off_the_curve_and_infinity_are_no_signature() {
    let point = Affine::of(&HashedMessage::new(&[2; 32], DST).0);
    assert!(point.signature_if_valid().is_some());
    assert!(Affine { x: point.x, y: point.x }.signature_if_valid().is_none());
    assert!(Affine::default().signature_if_valid().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn scalars_multiply_as_with_blst(message in any::<[u8; 32]>(), keys in prop::collection::vec(key(), 1..5)) {
        let message = HashedMessage::new(&message, DST);
        let joint = JointTable::new(&message).unwrap();
        let expected: Vec<_> = keys.iter().map(|key| Some(message.multiply(key))).collect();
        for window in WINDOWS {
            let comb = Comb::new(&message, window).unwrap();
            prop_assert_eq!(comb.multiply(&keys.iter().collect::<Vec<_>>()), expected.clone());
        }
        prop_assert_eq!(keys.iter().map(|key| joint.multiply(key)).collect::<Vec<_>>(), expected);
    }
}

proptest! {
    #[test]
    fn scalars_have_the_subscalars_and_digits_that_the_propositions_say(key in key()) {
        assert_propositions(&key);
    }
}

/// Both propositions of `subscalars`, and what those of `comb` and `joint` need of them, in integers.
fn assert_propositions(scalar: &[u8; 32]) {
    let subscalars = Subscalars::of(scalar);
    let mut sum = number(0);
    for (power, subscalar) in (0..).zip(&subscalars.0) {
        let value = subscalar.value();
        assert!(value % 2 != 0 && value.unsigned_abs() < u128::from(Z));
        for bits in [3, 5, 8] {
            assert_windows(subscalar, Windows::of_bits(bits), value);
        }
        assert_joint_sums_are_small(subscalar);
        let magnitude = number(u64::try_from(value.unsigned_abs()).unwrap());
        sum = add(&sum, &multiply(&negated_if(&magnitude, value < 0), &z_to_the(power)));
    }
    assert_eq!(scalar_of(&sum), *scalar);
}

/// The digits of a subscalar in such windows, and their additions.
fn assert_windows(subscalar: &Subscalar, windows: Windows, value: i128) {
    let (bits, count) = (windows.bits(), windows.count());
    assert!(bits * count >= 64 && windows.odd_digits() == 1 << (bits - 1));
    let digits: Vec<i128> = (0..count).map(|j| digit(subscalar, windows, j)).collect();
    assert!(digits.len() == count && digits.iter().all(|digit| digit % 2 != 0 && digit.abs() < 1 << bits));
    assert_eq!(digits.iter().rev().fold(0, |value, digit| (value << bits) + digit), value);
    assert_neighbours_differ(digits.iter().enumerate().map(|(j, digit)| digit << (bits * j)).collect());
}

/// What the digits above each window make, in the joint table's multiplication.
fn assert_joint_sums_are_small(subscalar: &Subscalar) {
    let windows = Windows::of_bits(3);
    let mut above = 0_i128;
    for j in (1..windows.count()).rev() {
        assert!((8 * above + 7 * above.signum()).abs() < i128::from(Z / 4));
        above = 8 * above + digit(subscalar, windows, j);
        assert!(above % 2 != 0);
    }
}

fn digit(subscalar: &Subscalar, windows: Windows, j: usize) -> i128 {
    let digit = subscalar.digit(windows, j);
    let absolute = i128::from(2 * digit.place + 1);
    if digit.sign.bit() == 1 { -absolute } else { absolute }
}

/// The additions of a comb's windows, level by level.
fn assert_neighbours_differ(mut blocks: Vec<i128>) {
    while blocks.len() > 1 {
        blocks = blocks
            .chunks(2)
            .map(|pair| match pair {
                [low, high] => {
                    assert!(low.abs() != high.abs() && low.abs().max(high.abs()) < 1 << 65);
                    low + high
                }
                alone => alone[0],
            })
            .collect();
    }
}

/// Small numbers, their neighbours around powers of Z and of 2, each with both signs.
fn special_scalars() -> Vec<[u8; 32]> {
    let mut numbers: Vec<blst_fr> = Vec::new();
    for power in 0..4 {
        for small in (1..8).chain([31, 32, 33]) {
            let small = number(small);
            numbers.push(multiply(&small, &z_to_the(power)));
            numbers.push(add(&z_to_the(power), &small));
            numbers.push(add(&z_to_the(power), &negated_if(&small, true)));
        }
    }
    let mut power_of_two = number(1);
    for _ in 0..255 {
        power_of_two = add(&power_of_two, &power_of_two);
        numbers.push(power_of_two);
    }
    let scalars =
        numbers.iter().flat_map(|number| [false, true].map(|sign| scalar_of(&negated_if(number, sign))));
    scalars.filter(|scalar| *scalar != [0; 32]).collect()
}

fn key() -> impl Strategy<Value = [u8; 32]> {
    let reduced = any::<[u8; 32]>().prop_map(|bytes| {
        let mut scalar = blst_scalar::default();
        // SAFETY: both are live, and the length is that of `bytes`.
        unsafe { blst_scalar_from_le_bytes(&mut scalar, bytes.as_ptr(), bytes.len()) };
        scalar.b
    });
    reduced.prop_filter("not zero", is_secret_key)
}

fn z_to_the(power: u32) -> blst_fr {
    (0..power).fold(number(1), |product, _| multiply(&product, &number(Z)))
}

fn number(value: u64) -> blst_fr {
    let mut result = blst_fr::default();
    // SAFETY: four limbs are read, and `result` is written.
    unsafe { blst_fr_from_uint64(&mut result, [value, 0, 0, 0].as_ptr()) };
    result
}

fn add(a: &blst_fr, b: &blst_fr) -> blst_fr {
    let mut result = blst_fr::default();
    // SAFETY: all are live.
    unsafe { blst_fr_add(&mut result, a, b) };
    result
}

fn multiply(a: &blst_fr, b: &blst_fr) -> blst_fr {
    let mut result = blst_fr::default();
    // SAFETY: all are live.
    unsafe { blst_fr_mul(&mut result, a, b) };
    result
}

fn negated_if(a: &blst_fr, condition: bool) -> blst_fr {
    let mut result = blst_fr::default();
    // SAFETY: all are live.
    unsafe { blst_fr_cneg(&mut result, a, condition) };
    result
}

/// 32 bytes, little endian.
fn scalar_of(number: &blst_fr) -> [u8; 32] {
    let mut scalar = blst_scalar::default();
    // SAFETY: both are live.
    unsafe { blst_scalar_from_fr(&mut scalar, number) };
    scalar.b
}
