//! Keys that outlive the process: what one daemon leaves for the next when the service manager keeps its files.
//!
//! Two files stay behind: the region of secret memory, and an index that says which key lies in which cell. The index
//! is no secret and lies in ordinary memory, but it is not believed either: each entry has a tag over the cell, the
//! public key and the secret itself, made with a random key that lies in the region. So an entry that is out of date,
//! torn by SIGKILL, exchanged or made up is told from a good one without deriving a public key, and only that entry is
//! lost.
//!
//! The files are handed to the service manager once; [`FdStore::insert`] and [`FdStore::remove`] write through to them.
//! Once it keeps them, dropping the [`FdStore`] leaves them as they are, and so does dropping the keys after it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use zeroize::Zeroizing;

use super::key::{Key, OpenedKey};
use super::mac::mac;
use super::secret::SecretKey;
use crate::bls::PublicKey;
use crate::sys::locked_memory::{AdoptError, LockedMemory, LockedMemoryError, SecretCell};

/// The near end: keeps region and index in step with what is to survive. Drop it before the keys.
pub(crate) struct FdStore {
    memory: Arc<LockedMemory>,
    index: File,
    /// The key of the tags.
    authority: SecretCell,
    /// Whether the service manager has the files.
    is_kept: bool,
}

/// What a predecessor left. Dropped, it is left to a successor.
pub(crate) struct Inherited {
    /// To go on with, and to make new keys in its memory.
    pub(crate) fd_store: FdStore,
    /// Its keys, in the order of their cells.
    pub(crate) keys: Vec<Key>,
    /// Entries that were not good: keys that were going or coming when it ended.
    pub(crate) lost: usize,
}

impl FdStore {
    /// Begins an empty one in `memory`. `None`: this kernel has no secret memory that could be handed over.
    pub(crate) fn begin(memory: &Arc<LockedMemory>) -> Result<Option<Self>, FdStoreError> {
        if memory.file().is_none() {
            return Ok(None);
        }
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(FdStoreError::Random)?;
        let authority = memory.store(&key)?;
        let index: File = memfd_create(c"bls-signer-index", MFdFlags::MFD_CLOEXEC)
            .map_err(|error| FdStoreError::Index(error.into()))?
            .into();
        index.write_all_at(&header(authority.index()), 0).map_err(FdStoreError::Index)?;
        Ok(Some(Self { memory: Arc::clone(memory), index, authority, is_kept: false }))
    }

    /// Takes over what a predecessor left. What it did not mean to leave is wiped.
    ///
    /// # Errors
    /// When the files are not such a pair, or the region cannot be locked. Single bad entries are no error.
    pub(crate) fn resume(region: OwnedFd, index: OwnedFd) -> Result<Inherited, FdStoreError> {
        let size = usize::try_from(fstat(&index)?.st_size).unwrap_or(usize::MAX);
        if size > MAX_INDEX_BYTES {
            return Err(FdStoreError::Form);
        }
        let index = File::from(index);
        let mut bytes = vec![0; size];
        index.read_exact_at(&mut bytes, 0).map_err(FdStoreError::Index)?;
        let (header, rest) = bytes.split_at_checked(RECORD_BYTES).ok_or(FdStoreError::Form)?;
        let authority = read_header(header)?;
        let records: Vec<(u32, Record)> = (0..)
            .zip(rest.chunks_exact(RECORD_BYTES))
            .filter_map(|(cell, bytes)| Some((cell, Record::read(bytes)?)))
            .filter(|(cell, _)| *cell != authority)
            .collect();

        let taken: Vec<u32> =
            std::iter::once(authority).chain(records.iter().map(|(cell, _)| *cell)).collect();
        let (memory, mut cells) = LockedMemory::adopt(region, &taken)?;
        let secrets = cells.split_off(1);
        let authority = cells.pop().filter(|cell| !cell.matches(&[0; 32])).ok_or(FdStoreError::Form)?;
        let fd_store = Self { memory, index, authority, is_kept: true };
        let named = records.len();
        let keys: Vec<Key> = records
            .into_iter()
            .zip(secrets)
            .filter_map(|((_, record), cell)| fd_store.inherit(&record, cell))
            .collect();
        let lost = named.saturating_sub(keys.len());
        Ok(Inherited { fd_store, keys, lost })
    }

    /// The memory that survives; only keys in it can be inserted.
    pub(crate) fn memory(&self) -> &Arc<LockedMemory> {
        &self.memory
    }

    /// Region and index, for the service manager. They stay the same for the life of the process.
    pub(crate) fn files(&self) -> Option<(BorrowedFd<'_>, BorrowedFd<'_>)> {
        Some((self.memory.file()?, self.index.as_fd()))
    }

    /// The service manager has the files now.
    pub(crate) fn kept(mut self) -> Self {
        self.is_kept = true;
        self
    }

    /// From now on the key survives this process. A longer derivation path than 100 bytes does not.
    ///
    /// # Errors
    /// When the key lies in other memory, or the index cannot grow. The key itself is unaffected.
    pub(crate) fn insert(&self, key: &Key) -> Result<(), FdStoreError> {
        let cell = key.opened().secret().cell();
        if !cell.is_in(&self.memory) {
            return Err(FdStoreError::Elsewhere);
        }
        let path = key.derivation_path().filter(|path| path.len() <= MAX_PATH_BYTES).unwrap_or("");
        let mut record = Record { tag: [0; 32], public_key: key.public_key(), path: path.to_owned() };
        record.tag = self.tag(&record, cell);
        self.write(cell.index(), &record.bytes())
    }

    /// From now on the key does not survive this process, whoever still holds it.
    pub(crate) fn remove(&self, key: &Key) -> Result<(), FdStoreError> {
        let cell = key.opened().secret().cell();
        if !cell.is_in(&self.memory) {
            return Ok(());
        }
        self.write(cell.index(), &[0; RECORD_BYTES])
    }

    fn inherit(&self, record: &Record, cell: SecretCell) -> Option<Key> {
        use subtle::ConstantTimeEq;
        if !bool::from(self.tag(record, &cell).ct_eq(&record.tag)) {
            return None;
        }
        let secret = SecretKey::inherited(cell, record.public_key)?;
        let path = Some(record.path.as_str()).filter(|path| !path.is_empty()).map(Into::into);
        Some(Key::inherited(OpenedKey::new(secret, path)))
    }

    fn tag(&self, record: &Record, cell: &SecretCell) -> [u8; 32] {
        let (index, path) = (cell.index().to_le_bytes(), record.path.as_bytes());
        mac(&self.authority, &[PURPOSE, &index, &record.public_key.0, cell.expose(), path])
    }

    fn write(&self, cell: u32, record: &[u8; RECORD_BYTES]) -> Result<(), FdStoreError> {
        let place = u64::from(cell).saturating_add(1).saturating_mul(RECORD_BYTES as u64);
        self.index.write_all_at(record, place).map_err(FdStoreError::Index)
    }
}

impl Drop for FdStore {
    fn drop(&mut self) {
        if self.is_kept {
            self.memory.leave();
        }
    }
}

/// Why keys cannot be handed over or taken back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FdStoreError {
    /// Not an index of this version.
    #[error("the index of the kept keys is not one that this version of the program made")]
    Form,
    /// The index cannot be made, read or written.
    #[error("the index of the kept keys failed: {0}")]
    Index(#[source] io::Error),
    /// The region is not one, or cannot be mapped.
    #[error(transparent)]
    Region(#[from] AdoptError),
    /// No locked memory.
    #[error(transparent)]
    Memory(#[from] LockedMemoryError),
    /// The key was made in memory that ends with the process.
    #[error("the key does not lie in the memory that is kept")]
    Elsewhere,
    /// No random bytes.
    #[error("the kernel gives no random bytes: {0}")]
    Random(getrandom::Error),
}

impl From<Errno> for FdStoreError {
    fn from(error: Errno) -> Self {
        Self::Index(error.into())
    }
}

/// One entry: tag, public key, length of the path, path.
struct Record {
    tag: [u8; 32],
    public_key: PublicKey,
    path: String,
}

impl Record {
    /// `None` for an empty entry, and for one that cannot be.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first_chunk::<32>()?;
        let (public_key, rest) = rest.split_first_chunk::<48>()?;
        let (length, rest) = rest.split_first()?;
        let path = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?;
        (*tag != [0; 32]).then(|| Self {
            tag: *tag,
            public_key: PublicKey(*public_key),
            path: path.to_owned(),
        })
    }

    fn bytes(&self) -> [u8; RECORD_BYTES] {
        let length = u8::try_from(self.path.len()).unwrap_or(0);
        let mut record = [0; RECORD_BYTES];
        let parts = self.tag.iter().chain(&self.public_key.0).chain([&length]).chain(self.path.as_bytes());
        for (to, from) in record.iter_mut().zip(parts) {
            *to = *from;
        }
        record
    }
}

/// The header takes the place of one record.
fn header(authority: u32) -> [u8; RECORD_BYTES] {
    let mut header = [0; RECORD_BYTES];
    for (to, from) in header.iter_mut().zip(MAGIC.iter().chain(&authority.to_le_bytes())) {
        *to = *from;
    }
    header
}

fn read_header(bytes: &[u8]) -> Result<u32, FdStoreError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(FdStoreError::Form)?;
    let authority = rest.first_chunk::<4>().ok_or(FdStoreError::Form)?;
    Ok(u32::from_le_bytes(*authority))
}

/// Names the format and its version.
const MAGIC: &[u8; 16] = b"bls-signer/1\0\0\0\0";
const PURPOSE: &[u8] = b"bls-signer kept key 1";

/// Bytes of an entry.
const RECORD_BYTES: usize = 192;
const MAX_PATH_BYTES: usize = 100;

/// As many entries as the region has cells.
const MAX_INDEX_BYTES: usize = RECORD_BYTES * ((1 << 20) + 1);

#[cfg(test)]
mod tests;
