//! Test keys and keystores of them.

use aes::Aes128;
use blst::min_pk::{PublicKey, SecretKey, Signature};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use serde_json::json;
use sha2::{Digest, Sha256};

/// A validator key whose secret everybody may know.
pub struct Key {
    secret: SecretKey,
}

impl Key {
    /// A key made from a number; different numbers give different keys.
    pub fn number(number: u64) -> Self {
        let material = Sha256::digest(number.to_le_bytes());
        Self { secret: SecretKey::key_gen(&material, b"bls-signer tests").unwrap() }
    }

    pub fn from_hex(secret: &str) -> Self {
        let bytes: [u8; 32] = const_hex::decode_to_array(secret).unwrap();
        Self { secret: SecretKey::from_bytes(&bytes).unwrap() }
    }

    /// `0x` and 96 lower-case digits.
    pub fn name(&self) -> String {
        const_hex::encode_prefixed(self.public_key().to_bytes())
    }

    /// `0x` and 64 digits.
    pub fn secret_hex(&self) -> String {
        const_hex::encode_prefixed(self.secret.to_bytes())
    }

    pub fn public_key(&self) -> PublicKey {
        self.secret.sk_to_pk()
    }

    /// Plain blst's signature.
    pub fn sign(&self, root: &[u8; 32]) -> Signature {
        self.secret.sign(root, CIPHERSUITE, &[])
    }

    /// The signature that a signer has to answer: `0x` and 192 lower-case digits.
    pub fn signature(&self, root: &[u8; 32]) -> String {
        const_hex::encode_prefixed(self.sign(root).to_bytes())
    }

    /// The same of a text, which is signed as it stands.
    pub fn signature_of_text(&self, text: &str) -> String {
        const_hex::encode_prefixed(self.secret.sign(text.as_bytes(), CIPHERSUITE, &[]).to_bytes())
    }

    /// The key as EIP-2335 text under a password in plain ASCII, with the cheapest key derivation there is.
    pub fn keystore(&self, password: &str) -> String {
        self.keystore_value(password).to_string()
    }

    pub fn keystore_value(&self, password: &str) -> serde_json::Value {
        let (salt, iv) = ([7; 32], [9; 16]);
        let mut derived = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, ITERATIONS, &mut derived);
        let mut message = self.secret.to_bytes();
        Ctr128BE::<Aes128>::new(derived[..16].into(), &iv.into()).apply_keystream(&mut message);
        let checksum = Sha256::new().chain_update(&derived[16..]).chain_update(message).finalize();
        json!({
            "crypto": {
                "kdf": {
                    "function": "pbkdf2",
                    "params": {"dklen": 32, "c": ITERATIONS, "prf": "hmac-sha256", "salt": const_hex::encode(salt)},
                    "message": "",
                },
                "checksum": {"function": "sha256", "params": {}, "message": const_hex::encode(checksum)},
                "cipher": {
                    "function": "aes-128-ctr",
                    "params": {"iv": const_hex::encode(iv)},
                    "message": const_hex::encode(message),
                },
            },
            "pubkey": const_hex::encode(self.public_key().to_bytes()),
            "path": "m/12381/3600/0/0/0",
            "uuid": "00000000-0000-4000-8000-000000000000",
            "version": 4,
        })
    }
}

const ITERATIONS: u32 = 2;
const CIPHERSUITE: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
