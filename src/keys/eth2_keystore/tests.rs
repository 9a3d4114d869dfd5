//! The standard's vectors, keystores of other programs, and what hostile ones are answered.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn opens_the_standards_own_vectors_and_keystores_of_another_implementation() {
    let memory = memory();
    for vector in vectors().into_iter().chain(vectors_by_another_implementation()) {
        let text = vector["keystore"].to_string();
        let keystore = Keystore::parse(&text).unwrap();
        let secret = keystore.decrypt(vector["password"].as_str().unwrap(), &memory).unwrap();
        assert_eq!(
            const_hex::encode_prefixed(secret.to_big_endian()),
            vector["secret"].as_str().unwrap(),
            "{text}"
        );
        assert_eq!(keystore.public_key(), Some(secret.public_key()));
        let wrong = keystore.decrypt("not the password", &memory);
        assert!(matches!(wrong, Err(KeystoreError::WrongPassword { empty: false })));
    }
}

/// The other direction: `tests/forksim/keystores.test.mjs` opens what this writes.
#[test]
#[ignore = "writes tests/vectors/keystores/made-here.json, which is committed"]
fn makes_keystores_for_another_implementation() {
    let memory = memory();
    let seal = "5f".repeat(32);
    let cases = [
        ("plain", KdfCost::Scrypt, Some("m/12381/3600/0/0/0")),
        ("plain", KdfCost::Pbkdf2, None),
        (&*seal, KdfCost::Light, None),
        ("p\u{e4}ssw\u{f6}rd \u{1f511}", KdfCost::Light, Some("m/12381/3600/1/0")),
        ("e\u{301} is \u{e9}, \u{fb01} is fi, \u{1e9b}\u{323}", KdfCost::Light, None),
        ("tab\tbell\u{7}delete\u{7f}c1\u{85}end", KdfCost::Light, None),
    ];
    let vectors: Vec<Value> = (1..)
        .zip(cases)
        .map(|(number, (password, cost, path))| {
            let secret = secret(number, &memory);
            let keystore = encrypt(&secret, password, cost, path).unwrap();
            json!({
                "password": password,
                "secret": const_hex::encode_prefixed(secret.to_big_endian()),
                "keystore": serde_json::from_str::<Value>(&keystore).unwrap(),
            })
        })
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/keystores/made-here.json");
    std::fs::write(path, serde_json::to_string_pretty(&vectors).unwrap()).unwrap();
}

#[test]
fn knows_what_opening_costs_before_it_opens() {
    let costs: Vec<u64> = vectors()
        .iter()
        .map(|vector| Keystore::parse(&vector["keystore"].to_string()).unwrap().memory() >> 20)
        .collect();
    assert_eq!(costs, [256, 0, 256, 0]);
}

#[test]
fn opens_what_it_made_at_the_standards_cost() {
    let memory = memory();
    for cost in [KdfCost::Scrypt, KdfCost::Pbkdf2] {
        let secret = secret(5, &memory);
        let text = encrypt(&secret, "pässwörd", cost, Some("m/12381/3600/0/0/0")).unwrap();
        let keystore = Keystore::parse(&text).unwrap();
        assert_eq!(keystore.weakness(), None);
        assert_eq!(keystore.derivation_path(), Some("m/12381/3600/0/0/0"));
        assert_eq!(keystore.decrypt("pässwörd", &memory).unwrap().public_key(), secret.public_key());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_encrypted_under_any_password_opens_with_it_and_with_no_other(
        number in 1u8..,
        password in any::<String>(),
        other in any::<String>(),
    ) {
        let memory = memory();
        let secret = secret(number, &memory);
        let text = encrypt(&secret, &password, KdfCost::Light, None).unwrap();
        let keystore = Keystore::parse(&text).unwrap();
        let opened = keystore.decrypt(&password, &memory).unwrap();
        prop_assert_eq!(opened.to_big_endian(), secret.to_big_endian());
        // The same password as another keyboard or a file with a line end gives it.
        let decomposed = format!("{}\r\n", password::normalized(&password).as_str());
        prop_assert!(keystore.decrypt(&decomposed, &memory).is_ok());
        if *password::normalized(&other) != *password::normalized(&password) {
            let refused = matches!(keystore.decrypt(&other, &memory), Err(KeystoreError::WrongPassword { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        prop_assert!(Keystore::parse(&text).is_err());
    }

    #[test]
    fn a_keystore_with_any_one_byte_changed_never_gives_another_key(
        place in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let memory = memory();
        let secret = secret(9, &memory);
        let mut bytes = encrypt(&secret, "password", KdfCost::Light, None).unwrap().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Some(Ok(keystore)) = std::str::from_utf8(&bytes).ok().map(Keystore::parse) {
            // A member's name may have changed into an unknown one; the key stays the same or is refused.
            if keystore.memory() < 1 << 20 && keystore.weakness() == Some(Weakness::Pbkdf2 { iterations: 1 }) {
                if let Ok(opened) = keystore.decrypt("password", &memory) {
                    prop_assert_eq!(opened.public_key(), secret.public_key());
                }
            }
        }
    }
}

#[test]
fn reads_a_public_key_with_and_without_0x_in_any_case_absent_or_empty() {
    let memory = memory();
    let plain = light();
    let digits = plain["pubkey"].as_str().unwrap().to_owned();
    let forms = [
        json!(digits),
        json!(format!("0x{digits}")),
        json!(digits.to_uppercase()),
        json!(format!("0x{}", digits.to_uppercase())),
        json!(""),
        Value::Null,
    ];
    for form in forms {
        let mut keystore = plain.clone();
        keystore["pubkey"] = form;
        assert!(open(&keystore, &memory).is_ok(), "{keystore}");
    }
    let mut keystore = plain;
    keystore.as_object_mut().unwrap().remove("pubkey");
    assert!(open(&keystore, &memory).is_ok());
}

#[test]
fn refuses_a_keystore_whose_pubkey_is_another_keys() {
    let memory = memory();
    let mut keystore = light();
    keystore["pubkey"] = json!(const_hex::encode(secret(200, &memory).public_key().0));
    let error = open(&keystore, &memory).err().unwrap();
    assert!(matches!(error, KeystoreError::OtherKey { .. }), "{error}");
}

#[test]
fn refuses_a_derivation_that_is_impossible_or_too_expensive_before_it_tries() {
    let salt = "00".repeat(32);
    let scrypt = |n: u64, r: u64, p: u64, dklen: u64| {
        json!({"function": "scrypt", "message": "",
               "params": {"dklen": dklen, "n": n, "r": r, "p": p, "salt": salt}})
    };
    let pbkdf2 = |c: u64, dklen: u64, prf: &str| {
        json!({"function": "pbkdf2", "message": "",
               "params": {"dklen": dklen, "c": c, "prf": prf, "salt": salt}})
    };
    let refused = [
        (scrypt(1 << 31, 8, 1, 32), "scrypt memory"),
        (scrypt(262_144, 1 << 20, 1, 32), "scrypt memory"),
        (scrypt(262_144, 8, 1 << 20, 32), "scrypt memory"),
        (scrypt(2, 8, 1 << 21, 32), "scrypt memory"),
        (scrypt(1 << 20, 1, 64, 32), "too large for its r"),
        (scrypt(262_144, 8, 9, 32), "scrypt work"),
        (scrypt(1 << 40, 1 << 40, 1 << 40, 32), "scrypt r"),
        (scrypt(1 << 20, 8, 1 << 40, 32), "scrypt p"),
        (scrypt(u64::MAX, 8, 1, 32), "power of two"),
        (scrypt(1 << 63, 1 << 31, 1 << 31, 32), "scrypt memory"),
        (scrypt(262_143, 8, 1, 32), "power of two"),
        (scrypt(0, 8, 1, 32), "power of two"),
        (scrypt(1, 8, 1, 32), "power of two"),
        (scrypt(262_144, 0, 1, 32), "scrypt r of 0"),
        (scrypt(262_144, 8, 0, 32), "scrypt p of 0"),
        (scrypt(1 << 16, 1, 1, 32), "too large for its r"),
        (scrypt(262_144, 8, 1, 0), "dklen of 0"),
        (scrypt(262_144, 8, 1, 31), "dklen of 31"),
        (scrypt(262_144, 8, 1, 1 << 40), "dklen of"),
        (pbkdf2(u64::from(u32::MAX), 32, "hmac-sha256"), "pbkdf2 c of 4294967295"),
        (pbkdf2((1 << 32) + 1, 32, "hmac-sha256"), "pbkdf2 c"),
        (pbkdf2((1 << 24) + 1, 32, "hmac-sha256"), "pbkdf2 c"),
        (pbkdf2(0, 32, "hmac-sha256"), "pbkdf2 c of 0"),
        (pbkdf2(262_144, 0, "hmac-sha256"), "dklen of 0"),
        (pbkdf2(262_144, 32, "hmac-sha1"), "\"hmac-sha1\" is not supported"),
    ];
    for (kdf, reason) in refused {
        let mut keystore = light();
        keystore["crypto"]["kdf"] = kdf;
        // Parsing alone refuses; nothing was derived or allocated.
        let error = Keystore::parse(&keystore.to_string()).err().unwrap().to_string();
        assert!(error.contains(reason), "{error:?} does not say {reason:?}");
    }
}

#[test]
fn accepts_heavy_and_weak_derivations_and_tells_of_the_weak() {
    let salt = "00".repeat(32);
    let mut keystore = light();
    keystore["crypto"]["kdf"] = json!({"function": "scrypt", "message": "",
        "params": {"dklen": 32, "n": 1 << 20, "r": 8, "p": 1, "salt": salt}});
    let heavy = Keystore::parse(&keystore.to_string()).unwrap();
    assert_eq!(heavy.memory() >> 30, 1);
    assert_eq!(heavy.weakness(), None);
    keystore["crypto"]["kdf"]["params"]["n"] = json!(16_384);
    let weak = Keystore::parse(&keystore.to_string()).unwrap();
    assert_eq!(weak.weakness(), Some(Weakness::Scrypt { work: 131_072 }));
    let weak = Keystore::parse(&light().to_string()).unwrap();
    assert_eq!(weak.weakness(), Some(Weakness::Pbkdf2 { iterations: 1 }));
}

#[test]
fn a_longer_derived_key_begins_with_the_same_bytes() {
    let memory = memory();
    let mut keystore = light();
    keystore["crypto"]["kdf"]["params"]["dklen"] = json!(64);
    assert!(open(&keystore, &memory).is_ok());
}

#[test]
fn each_cause_has_its_own_error() {
    let memory = memory();
    let order = "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";
    let change = |pointer: &str, value: Value| {
        let mut keystore = light();
        *keystore.pointer_mut(pointer).unwrap() = value;
        open(&keystore, &memory).err().unwrap().to_string()
    };
    let errors = [
        change("/version", json!(3)),
        change("/crypto/cipher/params/iv", json!("00".repeat(12))),
        change("/crypto/cipher/message", json!("00".repeat(31))),
        change("/crypto/cipher/message", json!("00".repeat(33))),
        change("/crypto/cipher/message", json!("zz".repeat(32))),
        change("/crypto/cipher/function", json!("aes-256-gcm")),
        change("/crypto/kdf/function", json!("argon2id")),
        change("/crypto/checksum/function", json!("sha512")),
        change("/crypto/checksum/message", json!("00".repeat(31))),
        change("/crypto/checksum/message", json!("00".repeat(32))),
        change("/crypto/kdf/params/salt", json!("00".repeat(2000))),
        change("/pubkey", json!("0x1234")),
        change("/version", json!("4")),
        change("/version", json!(4.0)),
        change("/crypto/kdf/params/c", json!(-1)),
        open(&json!({}), &memory).err().unwrap().to_string(),
        open(&json!({"version": 4}), &memory).err().unwrap().to_string(),
        open(&json!([]), &memory).err().unwrap().to_string(),
        Keystore::parse("{\"version\":4").err().unwrap().to_string(),
        Keystore::parse(&" ".repeat(70_000)).err().unwrap().to_string(),
        raw_secret([0; 32], &memory),
        raw_secret(const_hex::decode_to_array(order).unwrap(), &memory),
    ];
    for error in &errors {
        println!("{error}");
    }
    let wrong_type = "wrong type";
    let distinct: HashSet<&String> = errors.iter().filter(|error| !error.contains(wrong_type)).collect();
    let same_cause = errors.iter().filter(|error| error.contains(wrong_type)).count();
    // The last two are one cause as well: a secret out of range.
    assert_eq!(distinct.len() + same_cause + 1, errors.len());
    assert!(errors.last().unwrap().contains("below the order of the group"));
}

#[test]
fn tells_an_empty_password_from_a_wrong_one() {
    let memory = memory();
    let text = light().to_string();
    let keystore = Keystore::parse(&text).unwrap();
    for (password, reads) in [("nonsense", "wrong password"), ("", "empty"), ("\u{7f}\n", "empty")] {
        let error = keystore.decrypt(password, &memory).err().unwrap().to_string();
        assert!(error.contains(reads), "{error}");
    }
    // Legal all the same, if it is what the keystore was made with.
    let empty = encrypt(&secret(1, &memory), "", KdfCost::Light, None).unwrap();
    assert!(Keystore::parse(&empty).unwrap().decrypt("\n", &memory).is_ok());
}

#[test]
fn refuses_members_that_come_twice_and_ignores_unknown_ones() {
    let memory = memory();
    let mut keystore = light();
    keystore["name"] = json!("somebody's own member");
    keystore["crypto"]["kdf"]["params"]["comment"] = json!({"deep": [1, 2, 3]});
    keystore["description"] = json!("../../etc/passwd");
    keystore["uuid"] = json!("../../etc/passwd");
    keystore["path"] = json!("../../etc/passwd");
    let opened = Keystore::parse(&keystore.to_string()).unwrap();
    assert!(opened.decrypt("password", &memory).is_ok());
    assert_eq!(opened.derivation_path(), None, "a path that is none is not passed on");

    for (member, twice) in [
        ("version", "\"version\":4,\"version\":4"),
        ("c", "\"c\":1,\"c\":1"),
        ("message", "\"message\":\"\",\"message\":\"\""),
    ] {
        let text = light().to_string();
        let once = twice.split_once(',').unwrap().0;
        assert!(text.contains(once), "{text}");
        let error = Keystore::parse(&text.replacen(once, twice, 1)).err().unwrap().to_string();
        assert!(error.contains(&format!("duplicate field `{member}`")), "{error}");
    }
}

#[test]
fn survives_deep_nesting() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(5_000), close.repeat(5_000));
        assert!(Keystore::parse(&deep).is_err());
        let inside = light().to_string().replacen('{', &format!("{{\"x\":{deep},"), 1);
        // Ignored or refused: either way without running out of stack.
        let _ = Keystore::parse(&inside);
    }
}

#[test]
fn no_error_shows_a_value_of_the_keystore() {
    let canary = "c0ffee".repeat(10);
    for pointer in [
        "/version",
        "/pubkey",
        "/path",
        "/crypto",
        "/crypto/kdf",
        "/crypto/kdf/function",
        "/crypto/kdf/params/c",
        "/crypto/kdf/params/prf",
        "/crypto/kdf/params/salt",
        "/crypto/cipher/function",
        "/crypto/cipher/message",
        "/crypto/cipher/params/iv",
        "/crypto/checksum/message",
    ] {
        for value in [json!(canary), json!([canary]), json!({"a": canary})] {
            let mut keystore = light();
            *keystore.pointer_mut(pointer).unwrap() = value;
            if let Err(error) = open(&keystore, &memory()) {
                assert!(!error.to_string().contains("c0ffee"), "{pointer}: {error}");
                assert!(!format!("{error:?}").contains("c0ffee"), "{pointer}: {error:?}");
            }
        }
    }
}

/// A keystore with these 32 bytes for a secret, which `encrypt` would not make; the error that opening it gives.
fn raw_secret(bytes: [u8; 32], memory: &Arc<LockedMemory>) -> String {
    let mut keystore = light();
    let text = keystore.to_string();
    let parsed = Keystore::parse(&text).unwrap();
    let key = parsed.kdf.derive(b"password").unwrap();
    let mut ciphertext = bytes;
    apply_cipher(&key, &parsed.iv, &mut ciphertext);
    keystore["crypto"]["cipher"]["message"] = json!(const_hex::encode(ciphertext));
    keystore["crypto"]["checksum"]["message"] = json!(const_hex::encode(checksum(&key, &ciphertext)));
    open(&keystore, memory).err().unwrap().to_string()
}

fn open(keystore: &Value, memory: &Arc<LockedMemory>) -> Result<SecretKey, KeystoreError> {
    Keystore::parse(&keystore.to_string())?.decrypt("password", memory)
}

/// A keystore under "password" that opens fast.
fn light() -> Value {
    let text = encrypt(&secret(77, &memory()), "password", KdfCost::Light, None).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn secret(number: u8, memory: &Arc<LockedMemory>) -> SecretKey {
    let mut bytes = [0; 32];
    bytes[31] = number;
    SecretKey::new(&bytes, memory).unwrap()
}

fn memory() -> Arc<LockedMemory> {
    LockedMemory::new().unwrap()
}

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("../../../tests/vectors/eip2335.json")).unwrap()
}

fn vectors_by_another_implementation() -> Vec<Value> {
    serde_json::from_str(include_str!("../../../tests/vectors/keystores/chainsafe.json")).unwrap()
}
