//! The JSON form of a keystore, in both directions.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::kdf::Kdf;
use super::{Keystore, KeystoreError};
use crate::bls::PublicKey;
use crate::text;

/// A keystore's members, as far as we know them. serde refuses those that come twice.
#[derive(Deserialize, Serialize)]
pub(super) struct Wire<'a> {
    #[serde(borrow)]
    pub(super) crypto: Crypto<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) pubkey: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) path: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) uuid: Option<Cow<'a, str>>,
    pub(super) version: u64,
}

#[derive(Deserialize, Serialize)]
pub(super) struct Crypto<'a> {
    #[serde(borrow)]
    pub(super) kdf: Module<'a>,
    #[serde(borrow)]
    pub(super) checksum: Module<'a>,
    #[serde(borrow)]
    pub(super) cipher: Module<'a>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct Module<'a> {
    #[serde(borrow)]
    pub(super) function: Cow<'a, str>,
    /// Which members it has depends on the function.
    #[serde(borrow)]
    pub(super) params: Cow<'a, RawValue>,
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct ScryptParams<'a> {
    pub(super) dklen: u64,
    pub(super) n: u64,
    pub(super) p: u64,
    pub(super) r: u64,
    #[serde(borrow)]
    pub(super) salt: Cow<'a, str>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct Pbkdf2Params<'a> {
    pub(super) dklen: u64,
    pub(super) c: u64,
    #[serde(borrow)]
    pub(super) prf: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) salt: Cow<'a, str>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct CipherParams<'a> {
    #[serde(borrow)]
    pub(super) iv: Cow<'a, str>,
}

/// Reads and checks all that can be checked without the password.
pub(super) fn read(json: &str) -> Result<Keystore, KeystoreError> {
    let json = text::unmarked(json);
    if json.len() > MAX_KEYSTORE_BYTES {
        return Err(KeystoreError::TooLarge { bytes: json.len(), limit: MAX_KEYSTORE_BYTES });
    }
    let wire: Wire<'_> = match parse(json) {
        Ok(wire) => wire,
        Err(error) => return Err(other_version(json).unwrap_or(error)),
    };
    if wire.version != 4 {
        return Err(KeystoreError::Version(wire.version));
    }
    let Crypto { kdf, checksum, cipher } = &wire.crypto;
    Ok(Keystore {
        kdf: read_kdf(kdf)?,
        checksum: read_checksum(checksum)?,
        iv: read_iv(cipher)?,
        ciphertext: bytes("cipher message", &cipher.message, "32")?,
        public_key: read_public_key(wire.pubkey.as_deref())?,
        derivation_path: wire.path.filter(|path| is_derivation_path(path)).map(|path| path.into()),
    })
}

/// Other versions have other members, and their absence would hide the reason.
fn other_version(json: &str) -> Option<KeystoreError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    match parse(json) {
        Ok(Versioned { version: 4 }) => None,
        Ok(Versioned { version }) => Some(KeystoreError::Version(version)),
        Err(error) => Some(error),
    }
}

fn read_kdf(module: &Module<'_>) -> Result<Kdf, KeystoreError> {
    match &*module.function {
        "scrypt" => {
            let ScryptParams { dklen, n, p, r, salt } = parse(module.params.get())?;
            Kdf::scrypt(n, r, p, dklen, hex("kdf salt", &salt)?)
        }
        "pbkdf2" => {
            let Pbkdf2Params { dklen, c, prf, salt } = parse(module.params.get())?;
            if prf != "hmac-sha256" {
                return Err(unknown_function("kdf prf", &prf, "hmac-sha256"));
            }
            Kdf::pbkdf2(c, dklen, hex("kdf salt", &salt)?)
        }
        other => Err(unknown_function("kdf", other, "scrypt and pbkdf2")),
    }
}

fn read_checksum(module: &Module<'_>) -> Result<[u8; 32], KeystoreError> {
    match &*module.function {
        "sha256" => bytes("checksum message", &module.message, "32"),
        other => Err(unknown_function("checksum", other, "sha256")),
    }
}

fn read_iv(module: &Module<'_>) -> Result<[u8; 16], KeystoreError> {
    match &*module.function {
        "aes-128-ctr" => {
            let CipherParams { iv } = parse(module.params.get())?;
            bytes("cipher iv", &iv, "16")
        }
        other => Err(unknown_function("cipher", other, "aes-128-ctr")),
    }
}

/// The standard lets the member be absent or empty.
fn read_public_key(text: Option<&str>) -> Result<Option<PublicKey>, KeystoreError> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => bytes("pubkey", text, "48").map(|bytes| Some(PublicKey(bytes))),
    }
}

/// `m/` and numbers (EIP-2334). Anything else is somebody's free text and is not repeated to anyone.
fn is_derivation_path(path: &str) -> bool {
    let mut steps = path.split('/');
    let is_number = |step: &str| !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    path.len() <= MAX_PATH_BYTES && path != "m" && steps.next() == Some("m") && steps.all(is_number)
}

fn bytes<const N: usize>(
    member: &'static str,
    text: &str,
    expected: &'static str,
) -> Result<[u8; N], KeystoreError> {
    let bytes = hex(member, text)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| KeystoreError::Length { member, bytes: bytes.len(), expected })
}

fn hex(member: &'static str, text: &str) -> Result<Vec<u8>, KeystoreError> {
    const_hex::decode(text).map_err(|_| KeystoreError::Hex(member))
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, KeystoreError> {
    serde_json::from_str(json).map_err(|error| KeystoreError::Json {
        problem: text::without_values(&error),
        line: error.line(),
        column: error.column(),
    })
}

fn unknown_function(module: &'static str, function: &str, known: &'static str) -> KeystoreError {
    let showable = function.len() <= 24
        && function.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let function = if showable { format!("{function:?}") } else { "(not shown)".to_owned() };
    KeystoreError::Function { module, function, known }
}

/// Bytes of a keystore; a usual one has less than one KiB.
const MAX_KEYSTORE_BYTES: usize = 64 << 10;

const MAX_PATH_BYTES: usize = 128;
