//! Protection of a PKCS#12 store by its password: the MAC of the whole, and what encrypts certificates and keys.
//!
//! PBES2 (RFC 8018, 6.2) is what keytool since Java 17 and OpenSSL since 3.0 write; the schemes of RFC 7292, appendix
//! C, are what those before them wrote. They are only read.

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipher, BlockDecryptMut, InnerIvInit, KeyInit};
use des::TdesEde3;
use hmac::digest::core_api::BlockSizeUser;
use hmac::{Mac as _, SimpleHmac};
use pbkdf2::pbkdf2;
use rc2::Rc2;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::Pkcs12Error;
use crate::der::{self, Elements, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};

/// What shows that a store is as its password's owner made it.
pub(super) struct Mac<'a> {
    hash: Hash,
    expected: &'a [u8],
    salt: &'a [u8],
    iterations: u32,
}

/// How something is encrypted.
pub(super) enum Protection<'a> {
    Pbes2 { pbkdf2: Pbkdf2<'a>, cipher: Cipher, iv: &'a [u8] },
    Pkcs12 { salt: &'a [u8], iterations: u32, cipher: Cipher },
}

/// A key derivation.
pub(super) struct Pbkdf2<'a> {
    salt: &'a [u8],
    iterations: u32,
    prf: Hash,
}

/// A block cipher, always in CBC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
    Rc2With40Bits,
    Rc2With128Bits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl<'a> Mac<'a> {
    /// `MacData`.
    pub(super) fn parse(mac: &'a [u8]) -> Result<Self, Pkcs12Error> {
        let mut mac = Elements(mac);
        let mut digest = Elements(mac.take(SEQUENCE).ok_or(Pkcs12Error::Form)?);
        let (name, _) = algorithm(digest.take(SEQUENCE).ok_or(Pkcs12Error::Form)?)?;
        let hash = Hash::of_mac(name).ok_or_else(|| unknown("MAC", name))?;
        let expected = digest.take(OCTET_STRING).ok_or(Pkcs12Error::Form)?;
        let salt = mac.take(OCTET_STRING).ok_or(Pkcs12Error::Form)?;
        let iterations = if mac.is_empty() { 1 } else { iterations(&mut mac)? };
        Ok(Self { hash, expected, salt, iterations })
    }

    /// Whether it is of this content under this password.
    pub(super) fn holds(&self, password: &str, content: &[u8]) -> bool {
        let (password, length) = (&utf_16(password), self.hash.length());
        let key = self.hash.pkcs12_key(password, self.salt, self.iterations, MAC_KEY, length);
        match self.hash {
            Hash::Sha1 => mac_holds::<Sha1>(&key, content, self.expected),
            Hash::Sha256 => mac_holds::<Sha256>(&key, content, self.expected),
            Hash::Sha384 => mac_holds::<Sha384>(&key, content, self.expected),
            Hash::Sha512 => mac_holds::<Sha512>(&key, content, self.expected),
        }
    }
}

impl<'a> Protection<'a> {
    /// What an `AlgorithmIdentifier` contains.
    pub(super) fn parse(identifier: &'a [u8]) -> Result<Self, Pkcs12Error> {
        let (name, mut parameters) = algorithm(identifier)?;
        if name == PBES2 {
            return Self::pbes2(parameters);
        }
        let cipher = match name {
            PKCS12_3DES => Cipher::TripleDes,
            PKCS12_RC2_40 => Cipher::Rc2With40Bits,
            PKCS12_RC2_128 => Cipher::Rc2With128Bits,
            _ => return Err(unknown("encryption", name)),
        };
        let mut parameters = Elements(parameters.take(SEQUENCE).ok_or(Pkcs12Error::Form)?);
        let salt = parameters.take(OCTET_STRING).ok_or(Pkcs12Error::Form)?;
        Ok(Self::Pkcs12 { salt, iterations: iterations(&mut parameters)?, cipher })
    }

    fn pbes2(mut parameters: Elements<'a>) -> Result<Self, Pkcs12Error> {
        let mut schemes = Elements(parameters.take(SEQUENCE).ok_or(Pkcs12Error::Form)?);
        let (name, derivation) = algorithm(schemes.take(SEQUENCE).ok_or(Pkcs12Error::Form)?)?;
        if name != PBKDF2 {
            return Err(unknown("key derivation", name));
        }
        let pbkdf2 = Pbkdf2::parse(derivation)?;
        let (name, mut iv) = algorithm(schemes.take(SEQUENCE).ok_or(Pkcs12Error::Form)?)?;
        let cipher = match name {
            AES_128_CBC => Cipher::Aes128,
            AES_192_CBC => Cipher::Aes192,
            AES_256_CBC => Cipher::Aes256,
            DES_EDE3_CBC => Cipher::TripleDes,
            _ => return Err(unknown("encryption", name)),
        };
        Ok(Self::Pbes2 { pbkdf2, cipher, iv: iv.take(OCTET_STRING).ok_or(Pkcs12Error::Form)? })
    }

    /// What is under it.
    pub(super) fn remove(&self, password: &str, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Pkcs12Error> {
        match self {
            Self::Pbes2 { pbkdf2, cipher, iv } => {
                let key = pbkdf2.key(password, cipher.key_length());
                cipher.decrypt(&key, iv, bytes)
            }
            Self::Pkcs12 { salt, iterations, cipher } => {
                let password = utf_16(password);
                let derived =
                    |purpose, length| Hash::Sha1.pkcs12_key(&password, salt, *iterations, purpose, length);
                let key = derived(ENCRYPTION_KEY, cipher.key_length());
                cipher.decrypt(&key, &derived(INITIAL_VECTOR, DES_AND_RC2_BLOCK), bytes)
            }
        }
        .ok_or(Pkcs12Error::Protection)
    }
}

impl<'a> Pbkdf2<'a> {
    fn parse(mut parameters: Elements<'a>) -> Result<Self, Pkcs12Error> {
        let mut parameters = Elements(parameters.take(SEQUENCE).ok_or(Pkcs12Error::Form)?);
        let salt = parameters.take(OCTET_STRING).ok_or(Pkcs12Error::Form)?;
        let iterations = iterations(&mut parameters)?;
        // The length of the key, which the cipher says anyway.
        let _ = parameters.take(INTEGER);
        let prf = match parameters.take(SEQUENCE) {
            None => Hash::Sha1,
            Some(identifier) => {
                let (name, _) = algorithm(identifier)?;
                Hash::of_prf(name).ok_or_else(|| unknown("key derivation", name))?
            }
        };
        Ok(Self { salt, iterations, prf })
    }

    fn key(&self, password: &str, length: usize) -> Zeroizing<Vec<u8>> {
        let mut key = Zeroizing::new(vec![0; length]);
        let (password, salt, iterations) = (password.as_bytes(), self.salt, self.iterations);
        // An HMAC has a key of any length, so there is nothing that could fail.
        let _ = match self.prf {
            Hash::Sha1 => pbkdf2::<SimpleHmac<Sha1>>(password, salt, iterations, &mut key),
            Hash::Sha256 => pbkdf2::<SimpleHmac<Sha256>>(password, salt, iterations, &mut key),
            Hash::Sha384 => pbkdf2::<SimpleHmac<Sha384>>(password, salt, iterations, &mut key),
            Hash::Sha512 => pbkdf2::<SimpleHmac<Sha512>>(password, salt, iterations, &mut key),
        };
        key
    }
}

impl Cipher {
    /// In bytes.
    fn key_length(self) -> usize {
        match self {
            Self::Rc2With40Bits => 5,
            Self::Aes128 | Self::Rc2With128Bits => 16,
            Self::Aes192 | Self::TripleDes => 24,
            Self::Aes256 => 32,
        }
    }

    fn decrypt(self, key: &[u8], iv: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut buffer = Zeroizing::new(bytes.to_vec());
        let length = match self {
            Self::Aes128 => decrypted_length(Aes128::new_from_slice(key).ok()?, iv, &mut buffer),
            Self::Aes192 => decrypted_length(Aes192::new_from_slice(key).ok()?, iv, &mut buffer),
            Self::Aes256 => decrypted_length(Aes256::new_from_slice(key).ok()?, iv, &mut buffer),
            Self::TripleDes => decrypted_length(TdesEde3::new_from_slice(key).ok()?, iv, &mut buffer),
            Self::Rc2With40Bits => decrypted_length(Rc2::new_with_eff_key_len(key, 40), iv, &mut buffer),
            Self::Rc2With128Bits => decrypted_length(Rc2::new_with_eff_key_len(key, 128), iv, &mut buffer),
        };
        buffer.truncate(length?);
        Some(buffer)
    }
}

impl Hash {
    fn of_mac(name: &[u8]) -> Option<Self> {
        match name {
            SHA_1 => Some(Self::Sha1),
            SHA_256 => Some(Self::Sha256),
            SHA_384 => Some(Self::Sha384),
            SHA_512 => Some(Self::Sha512),
            _ => None,
        }
    }

    fn of_prf(name: &[u8]) -> Option<Self> {
        match name {
            HMAC_SHA_1 => Some(Self::Sha1),
            HMAC_SHA_256 => Some(Self::Sha256),
            HMAC_SHA_384 => Some(Self::Sha384),
            HMAC_SHA_512 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// In bytes.
    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn pkcs12_key(
        self,
        password: &[u8],
        salt: &[u8],
        iterations: u32,
        purpose: u8,
        length: usize,
    ) -> Zeroizing<Vec<u8>> {
        let mut key = Zeroizing::new(vec![0; length]);
        match self {
            Self::Sha1 => derive::<Sha1>(password, salt, iterations, purpose, &mut key),
            Self::Sha256 => derive::<Sha256>(password, salt, iterations, purpose, &mut key),
            Self::Sha384 => derive::<Sha384>(password, salt, iterations, purpose, &mut key),
            Self::Sha512 => derive::<Sha512>(password, salt, iterations, purpose, &mut key),
        }
        key
    }
}

fn mac_holds<D: Digest + BlockSizeUser>(key: &[u8], content: &[u8], expected: &[u8]) -> bool {
    let mac = <SimpleHmac<D> as hmac::Mac>::new_from_slice(key);
    mac.is_ok_and(|mac| mac.chain_update(content).verify_slice(expected).is_ok())
}

/// The length of what the buffer then begins with; `None` if it is not padded as PKCS#7 says.
fn decrypted_length<C: BlockCipher + BlockDecryptMut>(
    cipher: C,
    iv: &[u8],
    buffer: &mut [u8],
) -> Option<usize> {
    let decryptor = Decryptor::inner_iv_slice_init(cipher, iv).ok()?;
    decryptor.decrypt_padded_mut::<Pkcs7>(buffer).ok().map(|plain| plain.len())
}

/// The key derivation of PKCS#12 (RFC 7292, appendix B.2).
fn derive<D: Digest + BlockSizeUser>(
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    purpose: u8,
    key: &mut [u8],
) {
    let block = D::block_size();
    let diversifier = vec![purpose; block];
    let mut input =
        Zeroizing::new(Vec::with_capacity(filled(salt, block).saturating_add(filled(password, block))));
    for text in [salt, password] {
        input.extend(text.iter().cycle().take(filled(text, block)));
    }
    for part in key.chunks_mut(<D as Digest>::output_size()) {
        let mut output = D::new().chain_update(&diversifier).chain_update(&*input).finalize();
        for _ in 1..iterations {
            output = D::digest(&output);
        }
        part.iter_mut().zip(&output).for_each(|(byte, derived)| *byte = *derived);
        for number in input.chunks_mut(block) {
            add_and_one(number, output.iter().cycle().take(block).copied().collect::<Vec<u8>>().as_slice());
        }
    }
}

/// The length of a text that is repeated until blocks are full.
fn filled(text: &[u8], block: usize) -> usize {
    text.len().checked_next_multiple_of(block).unwrap_or_default()
}

/// Adds a number of the same length, and 1, to a number; both big-endian, and what does not fit is dropped.
fn add_and_one(number: &mut [u8], other: &[u8]) {
    let mut carry = 1;
    for (byte, other) in number.iter_mut().zip(other).rev() {
        let [high, low] = u16::from(*byte).wrapping_add((*other).into()).wrapping_add(carry).to_be_bytes();
        *byte = low;
        carry = high.into();
    }
}

/// A password as PKCS#12 has it: UTF-16, most significant byte first, with a zero at the end.
fn utf_16(password: &str) -> Zeroizing<Vec<u8>> {
    let units = || password.encode_utf16().chain([0]);
    let mut bytes = Zeroizing::new(Vec::with_capacity(units().count().saturating_mul(2)));
    units().for_each(|unit| bytes.extend(unit.to_be_bytes()));
    bytes
}

/// The name and the parameters of an algorithm.
fn algorithm(identifier: &[u8]) -> Result<(&[u8], Elements<'_>), Pkcs12Error> {
    let mut identifier = Elements(identifier);
    let name = identifier.take(OBJECT_IDENTIFIER).ok_or(Pkcs12Error::Form)?;
    Ok((name, identifier))
}

fn iterations(parameters: &mut Elements<'_>) -> Result<u32, Pkcs12Error> {
    let digits = parameters.take(INTEGER).ok_or(Pkcs12Error::Form)?;
    let number =
        digits.iter().try_fold(0u64, |number, &digit| number.checked_mul(256)?.checked_add(digit.into()));
    let number = number.ok_or(Pkcs12Error::Form)?;
    match u32::try_from(number) {
        Ok(iterations @ 1..=MOST_ITERATIONS) => Ok(iterations),
        Ok(_) | Err(_) => Err(Pkcs12Error::Iterations(number)),
    }
}

fn unknown(what: &'static str, name: &[u8]) -> Pkcs12Error {
    Pkcs12Error::Scheme { what, scheme: der::dotted(name) }
}

/// What a key is derived for (RFC 7292, appendix B.3).
const ENCRYPTION_KEY: u8 = 1;
const INITIAL_VECTOR: u8 = 2;
const MAC_KEY: u8 = 3;
/// In bytes.
const DES_AND_RC2_BLOCK: usize = 8;
/// As many as Java tries.
const MOST_ITERATIONS: u32 = 5_000_000;

/// 1.2.840.113549.1.5.13 and .12 (RFC 8018).
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// 1.2.840.113549.1.12.1.3, .5 and .6 (RFC 7292, appendix C).
const PKCS12_3DES: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01, 0x03];
const PKCS12_RC2_128: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01, 0x05];
const PKCS12_RC2_40: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01, 0x06];
/// 2.16.840.1.101.3.4.1.2, .22 and .42, and 1.2.840.113549.3.7.
const AES_128_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02];
const AES_192_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x16];
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
const DES_EDE3_CBC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, 0x07];
/// 1.3.14.3.2.26 and 2.16.840.1.101.3.4.2.1 to .3.
const SHA_1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA_384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
const SHA_512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
/// 1.2.840.113549.2.7, .9, .10 and .11.
const HMAC_SHA_1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x07];
const HMAC_SHA_256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
const HMAC_SHA_384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x0a];
const HMAC_SHA_512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x0b];
