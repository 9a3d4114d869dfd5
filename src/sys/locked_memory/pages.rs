//! The addresses of the region and the pages behind them.

use std::num::NonZeroUsize;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::ftruncate;

use super::LockedMemoryError;

/// Addresses for [`CAPACITY`] bytes with a guard on both ends, of which some have pages.
pub(super) struct Pages {
    /// Start of the first guard.
    reserved: NonNull<u8>,
    backing: Backing,
}

/// Where the pages come from.
pub(super) enum Backing {
    /// A `memfd_secret` of [`CAPACITY`] bytes, of which only what is mapped has pages.
    Secret(OwnedFd),
    /// Private anonymous memory, locked.
    Anonymous,
}

/// What is to become of what lies in a step already.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Wipe,
    Keep,
}

impl Backing {
    /// The best that this kernel has.
    pub(super) fn new() -> Result<Self, LockedMemoryError> {
        match memfd_secret() {
            Ok(fd) => Ok(Self::Secret(fd)),
            // Not in this kernel, switched off at boot, or hidden by a system call filter.
            Err(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL) => Ok(Self::Anonymous),
            Err(source) => Err(LockedMemoryError::System { call: "memfd_secret", source }),
        }
    }
}

impl Pages {
    /// Takes the addresses. None of them has a page yet, and nothing is locked.
    pub(super) fn reserve(backing: Backing) -> Result<Self, LockedMemoryError> {
        Ok(Self { reserved: reserve_addresses()?, backing })
    }

    pub(super) fn backing(&self) -> &Backing {
        &self.backing
    }

    /// The byte at `offset` of the region. Only what [`Pages::map_step`] has mapped may be used.
    pub(super) fn address(&self, offset: usize) -> *mut u8 {
        self.reserved.as_ptr().wrapping_add(GUARD).wrapping_add(offset)
    }

    /// Gives pages to the `STEP` bytes at `offset` of the region, readable, writable and locked.
    pub(super) fn map_step(&self, offset: usize, content: Content) -> Result<(), LockedMemoryError> {
        let result = match &self.backing {
            Backing::Secret(fd) => self.map_secret(fd, offset, content),
            Backing::Anonymous => self.map_anonymous(offset),
        };
        if result.is_err() {
            self.take_back(offset);
        }
        result
    }

    fn map_secret(&self, fd: &OwnedFd, offset: usize, content: Content) -> Result<(), LockedMemoryError> {
        let file_offset = libc::off_t::try_from(offset)
            .map_err(|_| LockedMemoryError::System { call: "mmap", source: Errno::EOVERFLOW })?;
        // SAFETY: MAP_FIXED replaces addresses inside our own reservation only (`offset + STEP <= CAPACITY`), which
        // hold no cell yet. Nobody else maps the file: whoever keeps it alive for our successor does not look into it.
        let mapped = unsafe {
            mmap(
                Some(self.fixed(offset)),
                STEP_SIZE,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED | MapFlags::MAP_FIXED,
                fd,
                file_offset,
            )
        };
        let start = mapped.map_err(|source| refused("mmap", source))?;
        // SAFETY: the range was mapped just now. A child process gets no copy of the mapping.
        unsafe { madvise(start, STEP, MmapAdvise::MADV_DONTFORK) }
            .map_err(|source| LockedMemoryError::System { call: "madvise", source })?;
        match content {
            Content::Wipe => self.wipe_step(offset),
            Content::Keep => Ok(()),
        }
    }

    fn map_anonymous(&self, offset: usize) -> Result<(), LockedMemoryError> {
        // SAFETY: as in `map_secret`: fixed addresses inside our own reservation without a cell in them.
        let mapped = unsafe {
            mmap_anonymous(
                Some(self.fixed(offset)),
                STEP_SIZE,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED,
            )
        };
        let start = mapped.map_err(|source| refused("mmap", source))?;
        // SAFETY: the range was mapped just now; locking has no effect on its content.
        unsafe { mlock(start, STEP) }.map_err(|source| refused("mlock", source))?;
        for advice in [MmapAdvise::MADV_DONTDUMP, MmapAdvise::MADV_WIPEONFORK] {
            // SAFETY: the range was mapped just now; both hints only concern dumps and child processes.
            unsafe { madvise(start, STEP, advice) }
                .map_err(|source| LockedMemoryError::System { call: "madvise", source })?;
        }
        Ok(())
    }

    /// Makes the kernel put a page behind each address now, and fills the step with zeros. A page that is first touched
    /// by our own code kills the process with SIGBUS when there is no memory; a system call that writes there reports
    /// it.
    fn wipe_step(&self, offset: usize) -> Result<(), LockedMemoryError> {
        for page in (offset..offset.saturating_add(STEP)).step_by(SMALLEST_PAGE) {
            // SAFETY: one byte at a mapped, unused address of our region; the kernel checks that it may write there.
            let written = unsafe { libc::getrandom(self.address(page).cast(), 1, 0) };
            if written != 1 {
                return Err(LockedMemoryError::System { call: "getrandom", source: Errno::last() });
            }
        }
        // SAFETY: `STEP` mapped bytes of our region in which no cell lies yet.
        unsafe { self.address(offset).write_bytes(0, STEP) };
        Ok(())
    }

    /// Turns a step whose mapping failed half-way into reserved addresses again.
    fn take_back(&self, offset: usize) {
        // SAFETY: as in `map_secret`: inside our own reservation, and no cell lies there because the step failed.
        let result = unsafe {
            mmap_anonymous(
                Some(self.fixed(offset)),
                STEP_SIZE,
                ProtFlags::PROT_NONE,
                MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE | MapFlags::MAP_FIXED,
            )
        };
        if let Err(error) = result {
            // The step stays mapped without being used; a later attempt maps over it.
            tracing::debug!(%error, "could not give back a step of locked memory");
        }
    }

    fn fixed(&self, offset: usize) -> NonZeroUsize {
        self.reserved.addr().saturating_add(GUARD).saturating_add(offset)
    }
}

// SAFETY: the pointer names memory that lives as long as the value; which thread uses it makes no difference.
unsafe impl Send for Pages {}
// SAFETY: shared use of this type alone reads or writes none of the cells; who does so answers for it.
unsafe impl Sync for Pages {}

impl Drop for Pages {
    fn drop(&mut self) {
        // Every cell keeps its region alive, so all of them are wiped by now.
        // SAFETY: the reservation was made with this address and length and nothing points into it any more.
        if let Err(error) = unsafe { munmap(self.reserved.cast(), RESERVED) } {
            tracing::debug!(%error, "could not unmap the locked memory");
        }
    }
}

/// Whether it is a secret memory file of [`CAPACITY`] bytes.
pub(super) fn is_secret_file(file: &OwnedFd) -> Result<bool, Errno> {
    let file_system = fstatfs(file)?.filesystem_type();
    Ok(file_system == SECRET_MEMORY && fstat(file)?.st_size == CAPACITY as libc::off_t)
}

/// The descriptor of a new secret memory file of [`CAPACITY`] bytes, none of which has a page yet.
fn memfd_secret() -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes one integer and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let fd = i32::try_from(Errno::result(result)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel gave us this descriptor just now and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // The size of a secret memory file can be set only once.
    ftruncate(&fd, CAPACITY as libc::off_t)?;
    Ok(fd)
}

/// Takes addresses for the largest region with a guard on each side. Costs no memory.
fn reserve_addresses() -> Result<NonNull<u8>, LockedMemoryError> {
    const SIZE: NonZeroUsize = NonZeroUsize::new(RESERVED).expect("not zero");
    // SAFETY: the kernel chooses the addresses, so nothing of ours is replaced.
    let start = unsafe {
        mmap_anonymous(None, SIZE, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE)
    };
    start.map(NonNull::cast).map_err(|source| LockedMemoryError::System { call: "mmap", source })
}

/// Tells the limit from other reasons. The kernel says EAGAIN, ENOMEM or EPERM when `RLIMIT_MEMLOCK` is in the way.
fn refused(call: &'static str, source: Errno) -> LockedMemoryError {
    let Ok((limit, _)) = getrlimit(Resource::RLIMIT_MEMLOCK) else {
        return LockedMemoryError::System { call, source };
    };
    match source {
        Errno::EAGAIN | Errno::ENOMEM | Errno::EPERM if limit < CAPACITY as u64 => {
            LockedMemoryError::Limit { limit, source }
        }
        _ => LockedMemoryError::System { call, source },
    }
}

/// The most the region can hold: a million secrets.
pub(super) const CAPACITY: usize = 32 << 20;

/// Growth: 2,048 secrets. A multiple of every page size in use, and all that a limit of 64 KiB allows.
pub(super) const STEP: usize = 64 << 10;
const STEP_SIZE: NonZeroUsize = NonZeroUsize::new(STEP).expect("not zero");

/// Bytes without access rights before and after the region.
const GUARD: usize = STEP;
const RESERVED: usize = CAPACITY + 2 * GUARD;

/// The kernel's name for the file system of secret memory (`linux/magic.h`).
const SECRET_MEMORY: FsType = FsType(0x5345_434d);

/// No Linux page is smaller.
const SMALLEST_PAGE: usize = 4096;
