//! Memory for secret keys that is never swapped, dumped or inherited by a child process.
//!
//! One region holds all secrets of the process, in cells of 32 bytes. Where the kernel has `memfd_secret` (Linux 5.14
//! and newer, on by default since 6.5) the pages are even taken out of the kernel's own map; elsewhere they are
//! anonymous memory with `mlock`, `MADV_DONTDUMP` and `MADV_WIPEONFORK`. The address range of the largest region is
//! reserved once without access rights, so both ends are guarded; pages are put into it in steps as secrets come,
//! because `RLIMIT_MEMLOCK` may be as low as 64 KiB. A cell is wiped when its [`SecretCell`] is dropped and used again
//! after, unless the region is left to another process by then ([`LockedMemory::leave`]).

mod pages;

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::mutex::Mutex;

use self::pages::{Backing, CAPACITY, Content, Pages, STEP};

/// The region. Cheap to share; it is unmapped when the last [`SecretCell`] and the last owner are gone.
pub(crate) struct LockedMemory {
    pages: Pages,
    cells: Mutex<Cells>,
    is_left: AtomicBool,
}

/// One secret of 32 bytes in locked memory; wiped when dropped, unless its region has been left to another process. It
/// cannot be cloned or printed.
pub(crate) struct SecretCell {
    memory: Arc<LockedMemory>,
    index: u32,
}

/// Which cells are taken.
#[derive(Default)]
struct Cells {
    /// Bytes of the region that have pages, a multiple of [`STEP`].
    mapped: usize,
    /// The first cell that was never used.
    next: u32,
    /// Cells that were used and wiped.
    free: Vec<u32>,
}

impl LockedMemory {
    /// Reserves the addresses of an empty region. Nothing is locked before the first secret comes.
    ///
    /// # Errors
    /// When the kernel gives no address space or no file descriptor.
    pub(crate) fn new() -> Result<Arc<Self>, LockedMemoryError> {
        Ok(Self::on(Pages::reserve(Backing::new()?)?))
    }

    /// Copies `secret` into a cell of its own. The caller wipes what it copied from.
    ///
    /// # Errors
    /// When the process may not lock more memory, there is none, or the region is full.
    pub(crate) fn store(self: &Arc<Self>, secret: &[u8; 32]) -> Result<SecretCell, LockedMemoryError> {
        let mut cells = self.cells.lock();
        let index = match cells.free.pop() {
            Some(index) => index,
            None => self.unused_cell(&mut cells)?,
        };
        let pointer = self.address(index);
        // From place to place: passed by value, the secret could leave a copy on the stack.
        // SAFETY: `index` lies in the mapped part and nobody else has it: it was just taken from `cells`, whose lock is
        // held. Both are 32 bytes with alignment 1, and a cell without an owner overlaps nothing that is borrowed.
        unsafe { std::ptr::copy_nonoverlapping(secret, pointer, 1) };
        Ok(SecretCell { memory: Arc::clone(self), index })
    }

    /// `"memfd_secret"` or `"mlock"`, for the log.
    pub(crate) fn kind(&self) -> &'static str {
        match self.pages.backing() {
            Backing::Secret(_) => "memfd_secret",
            Backing::Anonymous => "mlock",
        }
    }

    /// The file behind the region, to be kept alive by somebody else while this process is replaced. None: the memory
    /// ends with the process.
    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        match self.pages.backing() {
            Backing::Secret(fd) => Some(fd.as_fd()),
            Backing::Anonymous => None,
        }
    }

    /// Takes over the region of a process that is gone. The cells named in `taken` keep their content; each may be
    /// named only once. All others in the same steps are wiped.
    ///
    /// # Errors
    /// When the file is not such a region, a cell is outside it, or the memory cannot be locked. Nothing is wiped then.
    pub(crate) fn adopt(file: OwnedFd, taken: &[u32]) -> Result<(Arc<Self>, Vec<SecretCell>), AdoptError> {
        if !pages::is_secret_file(&file).map_err(AdoptError::Examine)? {
            return Err(AdoptError::OtherFile);
        }
        let taken_once: BTreeSet<u32> = taken.iter().copied().collect();
        if taken_once.len() != taken.len() {
            return Err(AdoptError::Cells);
        }
        let memory = Self::on(Pages::reserve(Backing::Secret(file))?);
        let used = taken_once.last().map_or(0, |last| last.saturating_add(1));
        let mapped = (used as usize).saturating_mul(CELL).next_multiple_of(STEP);
        if mapped > CAPACITY {
            return Err(AdoptError::Cells);
        }
        for offset in (0..mapped).step_by(STEP) {
            memory.pages.map_step(offset, Content::Keep)?;
        }
        let next = u32::try_from(mapped.div_euclid(CELL)).map_err(|_| AdoptError::Cells)?;
        let free: Vec<u32> = (0..next).filter(|index| !taken_once.contains(index)).rev().collect();
        for index in &free {
            // SAFETY: mapped just now, and no cell with this index exists: it is not among those taken.
            unsafe { &mut *memory.address(*index) }.zeroize();
        }
        *memory.cells.lock() = Cells { mapped, next, free };
        let cells =
            taken.iter().map(|index| SecretCell { memory: Arc::clone(&memory), index: *index }).collect();
        Ok((memory, cells))
    }

    /// Leaves the region as it is to the process that adopts it: what is dropped from now on is not wiped.
    pub(crate) fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }

    /// How many secrets it holds.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        let cells = self.cells.lock();
        (cells.next as usize).saturating_sub(cells.free.len())
    }

    fn on(pages: Pages) -> Arc<Self> {
        Arc::new(Self { pages, cells: Mutex::default(), is_left: AtomicBool::new(false) })
    }

    /// The next cell that was never used; maps one more step when the mapped part is full.
    fn unused_cell(&self, cells: &mut Cells) -> Result<u32, LockedMemoryError> {
        let index = cells.next;
        let end = (index as usize).saturating_add(1).saturating_mul(CELL);
        if end > CAPACITY {
            return Err(LockedMemoryError::Full { cells: CAPACITY / CELL });
        }
        if end > cells.mapped {
            self.pages.map_step(cells.mapped, Content::Wipe)?;
            cells.mapped = cells.mapped.saturating_add(STEP);
        }
        cells.next = index.saturating_add(1);
        Ok(index)
    }

    fn address(&self, index: u32) -> *mut [u8; CELL] {
        self.pages.address((index as usize).saturating_mul(CELL)).cast()
    }
}

impl fmt::Debug for LockedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedMemory").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl SecretCell {
    /// The secret, where it lies. Do not copy it.
    pub(crate) fn expose(&self) -> &[u8; CELL] {
        // SAFETY: the cell is mapped as long as `memory` lives, and its bytes do not change while this value, the only
        // one with its index, is borrowed.
        unsafe { &*self.memory.address(self.index) }
    }

    /// Its place in the region, by which [`LockedMemory::adopt`] finds it again.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Whether it lies in this region.
    pub(crate) fn is_in(&self, memory: &Arc<LockedMemory>) -> bool {
        Arc::ptr_eq(&self.memory, memory)
    }

    /// Whether the secret equals `other`, in time that does not depend on either.
    pub(crate) fn matches(&self, other: &[u8; CELL]) -> bool {
        self.expose().ct_eq(other).into()
    }
}

impl Drop for SecretCell {
    fn drop(&mut self) {
        if self.memory.is_left.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: this value is the only one with its index and nobody borrows from it any more.
        let secret = unsafe { &mut *self.memory.address(self.index) };
        secret.zeroize();
        self.memory.cells.lock().free.push(self.index);
    }
}

/// Why a secret cannot be kept in memory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockedMemoryError {
    /// `RLIMIT_MEMLOCK` is used up.
    #[error(
        "the process may lock only {limit} bytes of memory and needs more for secret keys (32 bytes each, taken in \
         steps of {STEP}): raise LimitMEMLOCK= in the systemd unit, `ulimit -l` in the shell, or the container's limit \
         (docker run --ulimit memlock=BYTES; in Kubernetes the runtime's)"
    )]
    Limit {
        /// The soft limit in bytes.
        limit: u64,
        /// What the kernel said.
        source: Errno,
    },
    /// Another failure of a system call.
    #[error("no locked memory for secret keys: {call} failed")]
    System {
        /// The name of the call.
        call: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// More keys than the region can ever hold.
    #[error("the memory for secret keys is full: it holds {cells}")]
    Full {
        /// How many secrets fit.
        cells: usize,
    },
}

/// Why a region cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    /// Another kind of file, or another size.
    #[error("the file is not a region of secret memory that this program made")]
    OtherFile,
    /// A cell outside the region, or one named twice.
    #[error("the cells named are not those of a region")]
    Cells,
    /// A failed system call.
    #[error("the region cannot be examined")]
    Examine(#[source] Errno),
    /// It cannot be mapped and locked.
    #[error(transparent)]
    Memory(#[from] LockedMemoryError),
}

/// Bytes of one secret.
const CELL: usize = 32;

#[cfg(test)]
mod tests;
