//! Tests of stores that OpenSSL and keytool made: what is opened, and what is said of the others.

use proptest::prelude::*;
use rustls::pki_types::pem::PemObject;

use super::*;

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tls");
const PASSWORD: &str = "test-password";

fn store(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FILES}/stores/{name}.p12")).unwrap()
}

fn refusal(store: &[u8], password: &str) -> Pkcs12Error {
    let Err(refusal) = Identity::open(store, password) else { panic!("opened") };
    refusal
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(format!("{FILES}/{name}.pem")).unwrap()
}

#[test]
fn opens_what_openssl_and_keytool_make_now_and_made_before() {
    let key = PrivateKeyDer::from_pem_file(format!("{FILES}/server.key")).unwrap();
    for (name, password, chain) in [
        ("openssl", PASSWORD, &["server", "ca"][..]),
        ("openssl-legacy", PASSWORD, &["server", "ca"]),
        ("openssl-3des", PASSWORD, &["server"]),
        ("keytool", PASSWORD, &["server", "ca"]),
        ("keytool-legacy", PASSWORD, &["server", "ca"]),
        ("other-letters", "pässwörd🔑", &["server"]),
    ] {
        let identity =
            Identity::open(&store(name), password).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(identity.key, key, "{name}");
        assert_eq!(identity.chain, chain.iter().map(|name| certificate(name)).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn says_what_is_wrong_with_a_store() {
    let refused = |name| refusal(&store(name), PASSWORD);
    assert!(matches!(refusal(&store("openssl"), "another"), Pkcs12Error::Password));
    assert!(matches!(refusal(&store("openssl-legacy"), ""), Pkcs12Error::Password));
    assert!(matches!(refused("two-keys"), Pkcs12Error::Keys(2)));
    assert!(matches!(refused("no-key"), Pkcs12Error::NoKey));
    assert!(matches!(refused("no-certificate"), Pkcs12Error::NoCertificate));
    assert!(matches!(refused("no-mac"), Pkcs12Error::NoMac));
    let scheme = refused("rc4");
    assert!(
        matches!(&scheme, Pkcs12Error::Scheme { scheme, .. } if scheme == "1.2.840.113549.1.12.1.1"),
        "{scheme}"
    );
    assert!(matches!(refusal(b"-----BEGIN CERTIFICATE-----", PASSWORD), Pkcs12Error::Form));
}

#[test]
fn a_store_that_was_changed_anywhere_is_refused() {
    let store = store("openssl");
    for place in (0..store.len()).step_by(5) {
        let mut changed = store.clone();
        changed[place] ^= 1;
        if let Ok(identity) = Identity::open(&changed, PASSWORD) {
            // The MAC covers all but its own algorithm's parameters, which are NULL.
            assert_eq!(identity.chain[0], certificate("server"), "byte {place}");
        }
    }
    for length in (0..store.len()).step_by(5) {
        assert!(matches!(refusal(&store[..length], PASSWORD), Pkcs12Error::Form), "{length}");
    }
}

#[test]
fn a_derivation_that_would_take_minutes_is_not_begun() {
    // The MAC's 2048 iterations, which end the file, as an integer of four bytes.
    let store = store("openssl");
    let (start, iterations) = store.split_at(store.len() - 4);
    assert_eq!(iterations, [2, 2, 8, 0]);
    let mac = Store::parse(&store).unwrap().mac.unwrap();
    assert!(Mac::parse(mac).is_ok());
    let endless = [&mac[..mac.len() - 4], &[2, 4, 0x7f, 0xff, 0xff, 0xff]].concat();
    assert!(matches!(Mac::parse(&endless), Err(Pkcs12Error::Iterations(0x7fff_ffff))));
    assert!(matches!(refusal(&[start, &[2, 2, 0, 0]].concat(), PASSWORD), Pkcs12Error::Iterations(0)));
}

proptest! {
    #[test]
    fn no_bytes_stop_the_reader(
        place in 0usize..1600,
        byte: u8,
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut store = store("openssl");
        if let Some(octet) = store.get_mut(place) {
            *octet = byte;
        }
        let _ = Identity::open(&store, PASSWORD);
        let _ = Identity::open(&noise, PASSWORD);
        let _ = contents::bags(&noise);
        let _ = Protection::parse(&noise);
    }
}
