//! Memory for secret keys that is never swapped, dumped or inherited by a child process.
//!
//! One region holds all secrets of the process, in slots of 32 bytes. Where the kernel has `memfd_secret` (Linux 5.14
//! and newer, on by default since 6.5) the pages are even taken out of the kernel's own map; elsewhere they are
//! anonymous memory with `mlock`, `MADV_DONTDUMP` and `MADV_WIPEONFORK`. The address range of the largest region is
//! reserved once without access rights, so both ends are guarded; pages are put into it in steps as secrets come,
//! because `RLIMIT_MEMLOCK` may be as low as 64 KiB. A slot is wiped when its [`Slot`] is dropped and used again after.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::ftruncate;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// The region. Cheap to share; it is unmapped when the last [`Slot`] and the last owner are gone.
pub(crate) struct LockedMemory {
    /// Start of the reserved addresses: a guard, [`CAPACITY`] bytes for slots, a guard.
    reserved: NonNull<u8>,
    backing: Backing,
    slots: Mutex<Slots>,
}

/// One secret of 32 bytes in locked memory; wiped when dropped. It cannot be cloned or printed.
pub(crate) struct Slot {
    memory: Arc<LockedMemory>,
    index: u32,
}

/// Where the pages come from.
enum Backing {
    /// A `memfd_secret` of [`CAPACITY`] bytes, of which only what is mapped has pages.
    Secret(OwnedFd),
    /// Private anonymous memory, locked.
    Anonymous,
}

/// What is to become of what lies in a step already.
#[derive(Clone, Copy)]
enum Content {
    Wipe,
    Keep,
}

/// Which slots are taken.
#[derive(Default)]
struct Slots {
    /// Bytes of the region that have pages, a multiple of [`STEP`].
    mapped: usize,
    /// The first slot that was never used.
    next: u32,
    /// Slots that were used and wiped.
    free: Vec<u32>,
}

impl LockedMemory {
    /// Reserves the addresses of an empty region. Nothing is locked before the first secret comes.
    ///
    /// # Errors
    /// When the kernel gives no address space or no file descriptor.
    pub(crate) fn new() -> Result<Arc<Self>, LockedMemoryError> {
        let backing = match memfd_secret() {
            Ok(fd) => Backing::Secret(fd),
            // Not in this kernel, switched off at boot, or hidden by a system call filter.
            Err(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL) => Backing::Anonymous,
            Err(source) => return Err(LockedMemoryError::System { call: "memfd_secret", source }),
        };
        Self::with_backing(backing)
    }

    /// Copies `secret` into a slot of its own. The caller wipes what it copied from.
    ///
    /// # Errors
    /// When the process may not lock more memory, there is none, or the region is full.
    pub(crate) fn store(self: &Arc<Self>, secret: &[u8; 32]) -> Result<Slot, LockedMemoryError> {
        let mut slots = self.slots();
        let index = match slots.free.pop() {
            Some(index) => index,
            None => self.unused_slot(&mut slots)?,
        };
        let pointer = self.address(index);
        // SAFETY: `index` lies in the mapped part and nobody else has it: it was just taken from `slots`, whose lock is
        // held. The slot is 32 bytes with alignment 1.
        unsafe { pointer.write(*secret) };
        Ok(Slot { memory: Arc::clone(self), index })
    }

    /// `"memfd_secret"` or `"mlock"`, for the log.
    pub(crate) fn kind(&self) -> &'static str {
        match self.backing {
            Backing::Secret(_) => "memfd_secret",
            Backing::Anonymous => "mlock",
        }
    }

    /// The file behind the region, to be kept alive by somebody else while this process is replaced. None: the memory
    /// ends with the process.
    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        match &self.backing {
            Backing::Secret(fd) => Some(fd.as_fd()),
            Backing::Anonymous => None,
        }
    }

    /// Takes over the region of a process that is gone. The slots named in `taken` keep their content; each may be named
    /// only once. All others in the same steps are wiped.
    ///
    /// # Errors
    /// When the file is not such a region, a slot is outside it, or the memory cannot be locked. Nothing is wiped then.
    pub(crate) fn adopt(file: OwnedFd, taken: &[u32]) -> Result<(Arc<Self>, Vec<Slot>), AdoptError> {
        check_secret_file(&file)?;
        let taken_once: BTreeSet<u32> = taken.iter().copied().collect();
        if taken_once.len() != taken.len() {
            return Err(AdoptError::Slots);
        }
        let memory = Self::with_backing(Backing::Secret(file))?;
        let used = taken_once.last().map_or(0, |last| last.saturating_add(1));
        let mapped = (used as usize).saturating_mul(SLOT).next_multiple_of(STEP);
        if mapped > CAPACITY {
            return Err(AdoptError::Slots);
        }
        for offset in (0..mapped).step_by(STEP) {
            memory.map_step(offset, Content::Keep)?;
        }
        let next = u32::try_from(mapped.div_euclid(SLOT)).map_err(|_| AdoptError::Slots)?;
        let free: Vec<u32> = (0..next).filter(|index| !taken_once.contains(index)).rev().collect();
        for index in &free {
            // SAFETY: mapped just now, and no slot with this index exists: it is not among those taken.
            unsafe { &mut *memory.address(*index) }.zeroize();
        }
        *memory.slots() = Slots { mapped, next, free };
        let slots = taken.iter().map(|index| Slot { memory: Arc::clone(&memory), index: *index }).collect();
        Ok((memory, slots))
    }

    /// How many secrets it holds.
    pub(crate) fn used(&self) -> usize {
        let slots = self.slots();
        (slots.next as usize).saturating_sub(slots.free.len())
    }

    fn with_backing(backing: Backing) -> Result<Arc<Self>, LockedMemoryError> {
        let reserved = reserve_addresses()?;
        Ok(Arc::new(Self { reserved, backing, slots: Mutex::new(Slots::default()) }))
    }

    /// The next slot that was never used; maps one more step when the mapped part is full.
    fn unused_slot(&self, slots: &mut Slots) -> Result<u32, LockedMemoryError> {
        let index = slots.next;
        let end = (index as usize).saturating_add(1).saturating_mul(SLOT);
        if end > CAPACITY {
            return Err(LockedMemoryError::Full { slots: CAPACITY / SLOT });
        }
        if end > slots.mapped {
            self.map_step(slots.mapped, Content::Wipe)?;
            slots.mapped = slots.mapped.saturating_add(STEP);
        }
        slots.next = index.saturating_add(1);
        Ok(index)
    }

    /// Gives pages to the `STEP` bytes at `offset` of the region, readable, writable and locked.
    fn map_step(&self, offset: usize, content: Content) -> Result<(), LockedMemoryError> {
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
        // hold no slot yet. Nobody else maps the file: whoever keeps it alive for our successor does not look into it.
        let mapped = unsafe {
            mmap(
                Some(self.step_address(offset)),
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
        // SAFETY: as in `map_secret`: fixed addresses inside our own reservation without a slot in them.
        let mapped = unsafe {
            mmap_anonymous(
                Some(self.step_address(offset)),
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
    /// by our own code kills the process with SIGBUS when there is no memory; a system call that writes there reports it.
    fn wipe_step(&self, offset: usize) -> Result<(), LockedMemoryError> {
        for page in (offset..offset.saturating_add(STEP)).step_by(SMALLEST_PAGE) {
            // SAFETY: one byte at a mapped, unused address of our region; the kernel checks that it may write there.
            let written = unsafe { libc::getrandom(self.step_address_raw(page).cast(), 1, 0) };
            if written != 1 {
                return Err(LockedMemoryError::System { call: "getrandom", source: Errno::last() });
            }
        }
        // SAFETY: `STEP` mapped bytes of our region in which no slot lies yet.
        unsafe { self.step_address_raw(offset).write_bytes(0, STEP) };
        Ok(())
    }

    /// Turns a step whose mapping failed half-way into reserved addresses again.
    fn take_back(&self, offset: usize) {
        // SAFETY: as in `map_secret`: inside our own reservation, and no slot lies there because the step failed.
        let result = unsafe {
            mmap_anonymous(
                Some(self.step_address(offset)),
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

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // A panic while the lock was held cannot leave the list half-changed: each change is one assignment.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self, index: u32) -> *mut [u8; SLOT] {
        self.step_address_raw((index as usize).saturating_mul(SLOT)).cast()
    }

    fn step_address(&self, offset: usize) -> NonZeroUsize {
        self.reserved.addr().saturating_add(GUARD).saturating_add(offset)
    }

    fn step_address_raw(&self, offset: usize) -> *mut u8 {
        self.reserved.as_ptr().wrapping_add(GUARD).wrapping_add(offset)
    }
}

// SAFETY: the pointer names memory that lives as long as the value; which thread uses it makes no difference.
unsafe impl Send for LockedMemory {}
// SAFETY: the list of slots is behind a mutex, and a slot's bytes are written only while nobody else has its index.
unsafe impl Sync for LockedMemory {}

impl Drop for LockedMemory {
    fn drop(&mut self) {
        // Every slot keeps the region alive, so all of them are wiped by now.
        // SAFETY: the reservation was made with this address and length and nothing points into it any more.
        if let Err(error) = unsafe { munmap(self.reserved.cast(), RESERVED) } {
            tracing::debug!(%error, "could not unmap the locked memory");
        }
    }
}

impl fmt::Debug for LockedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedMemory").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl Slot {
    /// The secret, where it lies. Do not copy it.
    pub(crate) fn expose(&self) -> &[u8; SLOT] {
        // SAFETY: the slot is mapped as long as `memory` lives, and its bytes do not change while this value, the only
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
    pub(crate) fn matches(&self, other: &[u8; SLOT]) -> bool {
        self.expose().ct_eq(other).into()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: this value is the only one with its index and nobody borrows from it any more.
        let secret = unsafe { &mut *self.memory.address(self.index) };
        secret.zeroize();
        self.memory.slots().free.push(self.index);
    }
}

/// Why a secret cannot be kept in memory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockedMemoryError {
    /// `RLIMIT_MEMLOCK` is used up.
    #[error(
        "the process may lock only {limit} bytes of memory and needs more for secret keys (32 bytes each, taken in \
         steps of {STEP}): raise LimitMEMLOCK= in the systemd unit, or `ulimit -l` in the shell"
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
    #[error("the memory for secret keys is full: it holds {slots}")]
    Full {
        /// How many secrets fit.
        slots: usize,
    },
}

/// Why a region cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    /// Another kind of file, or another size.
    #[error("the file is not a region of secret memory that this program made")]
    OtherFile,
    /// A slot outside the region, or one named twice.
    #[error("the slots named are not those of a region")]
    Slots,
    /// A failed system call.
    #[error("the region cannot be examined")]
    Examine(#[source] Errno),
    /// It cannot be mapped and locked.
    #[error(transparent)]
    Memory(#[from] LockedMemoryError),
}

fn check_secret_file(file: &OwnedFd) -> Result<(), AdoptError> {
    let file_system = fstatfs(file).map_err(AdoptError::Examine)?.filesystem_type();
    let size = fstat(file).map_err(AdoptError::Examine)?.st_size;
    if file_system == SECRET_MEMORY && size == CAPACITY as libc::off_t {
        return Ok(());
    }
    Err(AdoptError::OtherFile)
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

/// Bytes of one secret.
const SLOT: usize = 32;

/// The most the region can hold: a million secrets.
const CAPACITY: usize = 32 << 20;

/// Growth: 2,048 secrets. A multiple of every page size in use, and all that a limit of 64 KiB allows.
const STEP: usize = 64 << 10;
const STEP_SIZE: NonZeroUsize = NonZeroUsize::new(STEP).expect("not zero");

/// Bytes without access rights before and after the region.
const GUARD: usize = STEP;
const RESERVED: usize = CAPACITY + 2 * GUARD;

/// The kernel's name for the file system of secret memory (`linux/magic.h`).
const SECRET_MEMORY: FsType = FsType(0x5345_434d);

/// No Linux page is smaller.
const SMALLEST_PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn both_kinds() -> Vec<Arc<LockedMemory>> {
        vec![LockedMemory::new().unwrap(), LockedMemory::with_backing(Backing::Anonymous).unwrap()]
    }

    #[test]
    fn gives_back_what_was_stored() {
        for memory in both_kinds() {
            let slots: Vec<Slot> = (0..5000u32).map(|i| memory.store(&secret(i)).unwrap()).collect();
            for (i, slot) in (0..).zip(&slots) {
                assert_eq!(slot.expose(), &secret(i));
                assert!(slot.matches(&secret(i)));
                assert!(!slot.matches(&secret(i + 1)));
            }
        }
    }

    #[test]
    fn wipes_a_slot_that_is_dropped_and_uses_it_again() {
        for memory in both_kinds() {
            let slot = memory.store(&secret(7)).unwrap();
            let address = memory.address(slot.index);
            drop(slot);
            // SAFETY: the page stays mapped while the region lives.
            assert_eq!(unsafe { address.read() }, [0; 32]);
            let again = memory.store(&secret(8)).unwrap();
            assert_eq!(memory.address(again.index), address);
        }
    }

    #[test]
    fn grows_in_steps_and_reuses_before_it_grows() {
        for memory in both_kinds() {
            assert_eq!(memory.slots().mapped, 0);
            for _ in 0..10_000 {
                drop(memory.store(&secret(1)).unwrap());
            }
            assert_eq!(memory.slots().mapped, STEP);
            let kept: Vec<Slot> = (0..=2048).map(|i| memory.store(&secret(i)).unwrap()).collect();
            assert_eq!(memory.slots().mapped, 2 * STEP);
            drop(kept);
        }
    }

    #[test]
    fn is_locked_undumpable_and_guarded_on_both_ends() {
        for memory in both_kinds() {
            let slot = memory.store(&secret(1)).unwrap();
            let start = memory.address(slot.index).addr();
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let flags = vm_flags(&maps, start);
            assert!(flags.contains(&"lo"), "not locked: {flags:?}");
            assert!(flags.contains(&"dd"), "may be dumped: {flags:?}");
            assert!(flags.contains(&"wf") || flags.contains(&"dc"), "a child inherits it: {flags:?}");
            assert!(!vm_flags(&maps, start - 1).contains(&"rd"), "no guard before the region");
            assert!(!vm_flags(&maps, start + STEP).contains(&"rd"), "no guard after the region");
        }
    }

    #[test]
    fn a_successor_takes_over_the_slots_it_names_and_the_others_are_wiped() {
        let memory = LockedMemory::new().unwrap();
        let mut slots: Vec<Slot> = (0..3000).map(|i| memory.store(&secret(i)).unwrap()).collect();
        let file = memory.file().expect("a kernel with memfd_secret").try_clone_to_owned().unwrap();
        // As after SIGKILL: nothing is dropped, but the mapping is gone.
        let killed: Vec<u32> = [2999, 7].into_iter().map(|i: usize| slots[i].index()).collect();
        let (successor, taken) = LockedMemory::adopt(file, &killed).unwrap();
        assert_eq!(taken[0].expose(), &secret(2999));
        assert_eq!(taken[1].expose(), &secret(7));
        assert_eq!(successor.used(), 2);
        assert_eq!(slots.remove(8).expose(), &[0; 32], "what was not taken over is wiped");
        let new = successor.store(&secret(1)).unwrap();
        assert!(!killed.contains(&new.index()));
    }

    #[test]
    fn takes_over_nothing_but_a_region_of_its_own() {
        let ordinary =
            nix::sys::memfd::memfd_create(c"ordinary", nix::sys::memfd::MFdFlags::empty()).unwrap();
        ftruncate(&ordinary, CAPACITY as libc::off_t).unwrap();
        assert!(matches!(LockedMemory::adopt(ordinary, &[]), Err(AdoptError::OtherFile)));
        let memory = LockedMemory::new().unwrap();
        let file = || memory.file().unwrap().try_clone_to_owned().unwrap();
        for slots in [&[1, 1][..], &[u32::MAX], &[1 << 20]] {
            assert!(matches!(LockedMemory::adopt(file(), slots), Err(AdoptError::Slots)));
        }
        assert!(LockedMemory::adopt(file(), &[]).is_ok());
    }

    #[test]
    fn names_the_limit_when_it_is_too_low() {
        // The limit does not bind a privileged process, so the work is done in a child that gives its rights away.
        if std::env::var_os(CHILD).is_some() {
            return exhaust_the_limit();
        }
        let this = std::env::current_exe().unwrap();
        let output = std::process::Command::new(this)
            .args(["--exact", "sys::locked_memory::tests::names_the_limit_when_it_is_too_low", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.matches("LimitMEMLOCK").count(), 2, "{text}");
        assert_eq!(text.matches("after 2048 secrets").count(), 2, "{text}");
    }

    fn exhaust_the_limit() {
        nix::sys::resource::setrlimit(Resource::RLIMIT_MEMLOCK, 64 << 10, 64 << 10).unwrap();
        if nix::unistd::geteuid().is_root() {
            nix::unistd::setuid(nix::unistd::Uid::from_raw(65534)).unwrap();
        }
        for memory in both_kinds() {
            let mut slots = Vec::new();
            let error = loop {
                match memory.store(&secret(1)) {
                    Ok(slot) => slots.push(slot),
                    Err(error) => break error,
                }
            };
            println!("{error} after {} secrets", slots.len());
            // Nothing is lost: what is stored stays readable, and a freed slot can be used again.
            assert_eq!(slots.pop().unwrap().expose(), &secret(1));
            memory.store(&secret(2)).unwrap();
        }
    }

    fn secret(i: u32) -> [u8; 32] {
        let mut secret = [0xa5; 32];
        secret[..4].copy_from_slice(&i.to_le_bytes());
        secret
    }

    /// The `VmFlags` of the mapping that holds `address`.
    fn vm_flags(smaps: &str, address: usize) -> Vec<&str> {
        let mut inside = false;
        for line in smaps.lines() {
            let first = line.split_whitespace().next().unwrap_or("");
            if let Some((from, to)) = first.split_once('-') {
                let range = usize::from_str_radix(from, 16).unwrap()..usize::from_str_radix(to, 16).unwrap();
                inside = range.contains(&address);
            } else if inside && first == "VmFlags:" {
                return line.split_whitespace().skip(1).collect();
            }
        }
        panic!("no mapping at {address:x}");
    }

    const CHILD: &str = "BLS_SIGNER_TEST_LOW_LIMIT";
}
