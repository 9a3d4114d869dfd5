//! A SQLite file layer that works on real files, writes down every operation, and fails one of them on request.
//!
//! It wraps the system's own layer as SQLite's documentation describes ("A VFS shim"): each of its files is a small
//! head followed by the real file. SQLite offers no other way to see or fail its system calls, hence the unsafe code,
//! which is compiled into tests only.
#![allow(unsafe_code, clippy::multiple_unsafe_ops_per_block)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

pub(super) use super::fault_events::{Event, Kind, Plan};
use super::promises::Mark;

/// The record of one or several openings of a ledger.
pub(super) struct FaultVfs {
    name: CString,
    below: *mut ffi::sqlite3_vfs,
    state: Mutex<State>,
    /// While it is held, no sync comes back.
    syncs: Mutex<()>,
}

// SAFETY: `below` is SQLite's own layer, which lives as long as the process and may be called by any thread.
unsafe impl Send for FaultVfs {}
// SAFETY: as above; everything else is behind the mutex.
unsafe impl Sync for FaultVfs {}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    plan: Option<Plan>,
    seen: usize,
    anchors: Option<PathBuf>,
    anchor: Option<Vec<u8>>,
}

impl FaultVfs {
    /// Registers a new layer with SQLite, for as long as the process lives.
    pub(super) fn new(plan: Option<Plan>) -> &'static Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = CString::new(format!("faults-{}", COUNT.fetch_add(1, Ordering::Relaxed))).unwrap();
        // SAFETY: null asks for the default layer, which exists from the first call on.
        let below = unsafe {
            ffi::sqlite3_initialize();
            ffi::sqlite3_vfs_find(std::ptr::null())
        };
        let faults: &'static Self = Box::leak(Box::new(Self {
            name,
            below,
            state: Mutex::new(State { plan, ..State::default() }),
            syncs: Mutex::new(()),
        }));
        // SAFETY: `below` points to a registered layer. The copy keeps its functions, which do not look at the layer
        // they are called through, excepting xOpen and xDelete, which are replaced. The copy and what it points to
        // are leaked, so they outlive all uses.
        unsafe {
            let mut vfs = *below;
            vfs.szOsFile += c_int::try_from(HEAD).unwrap();
            vfs.pNext = std::ptr::null_mut();
            vfs.zName = faults.name.as_ptr();
            vfs.pAppData = std::ptr::from_ref(faults).cast_mut().cast();
            vfs.xOpen = Some(open);
            vfs.xDelete = Some(delete);
            assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0), ffi::SQLITE_OK);
        }
        faults
    }

    /// What SQLite knows this layer by.
    pub(super) fn name(&self) -> &str {
        self.name.to_str().unwrap()
    }

    /// From now on the ledger's anchor in this directory is looked at whenever something happens to the files.
    pub(super) fn watch_anchor(&self, directory: &Path) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.anchors = Some(directory.to_owned());
    }

    /// Until the guard is dropped, every sync hangs.
    pub(super) fn hang(&self) -> MutexGuard<'_, ()> {
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn mark(&self, mark: Mark) {
        self.record(Event::Mark(mark));
    }

    pub(super) fn note(&self, event: Event) {
        self.record(event);
    }

    /// Notes what happened at an earlier moment, when so many events had been recorded.
    pub(super) fn insert(&self, at: usize, event: Event) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).events.insert(at, event);
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).events.clone()
    }

    /// Whether the planned fault has happened.
    pub(super) fn has_failed(&self) -> bool {
        self.events().iter().any(|event| matches!(event, Event::Fault { .. }))
    }

    fn record(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            state.anchors.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().next();
        if let Some(file) = found.and_then(Result::ok) {
            let bytes = fs::read(file.path()).unwrap();
            if state.anchor.as_ref() != Some(&bytes) {
                state.anchor = Some(bytes.clone());
                state.events.push(Event::Anchor { file: file.file_name().into(), bytes });
            }
        }
        state.events.push(event);
    }

    /// The error code, if this is the operation that has to fail.
    fn fault(&self, kind: Kind, file: &str) -> Option<c_int> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = state.plan.filter(|plan| plan.kind == kind)?;
        state.seen += 1;
        if state.seen != plan.number {
            return None;
        }
        state.events.push(Event::Fault { kind, file: file.to_owned() });
        Some(plan.code)
    }
}

/// What precedes the real file in the memory that SQLite gives each file.
#[repr(C)]
struct Head {
    base: ffi::sqlite3_file,
    faults: *const FaultVfs,
    /// Owned; freed by `close`.
    name: *mut String,
    /// Keeps the real file aligned to 16 bytes.
    _padding: usize,
}

const HEAD: usize = size_of::<Head>();

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls this with the layer registered above, a path that is null or ends with a zero, and room for
    // `szOsFile` bytes at `file`: our head and the real file.
    unsafe {
        let faults = &*(*vfs).pAppData.cast::<FaultVfs>();
        let name = file_name(path);
        (*file).pMethods = std::ptr::null();
        if let Some(code) = faults.fault(Kind::Open, &name) {
            return code;
        }
        let existed =
            !path.is_null() && Path::new(CStr::from_ptr(path).to_str().unwrap_or_default()).exists();
        let real = real(file);
        let status = (*faults.below)
            .xOpen
            .map_or(ffi::SQLITE_ERROR, |open| open(faults.below, path, real, flags, out_flags));
        if status == ffi::SQLITE_OK {
            if !existed {
                faults.record(Event::Create { file: name.clone() });
            }
            file.cast::<Head>().write(Head {
                base: ffi::sqlite3_file { pMethods: &METHODS },
                faults,
                name: Box::into_raw(Box::new(name)),
                _padding: 0,
            });
        }
        status
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, path: *const c_char, sync: c_int) -> c_int {
    // SAFETY: see `open`.
    unsafe {
        let faults = &*(*vfs).pAppData.cast::<FaultVfs>();
        let file = file_name(path);
        if let Some(code) = faults.fault(Kind::Delete, &file) {
            return code;
        }
        let status =
            (*faults.below).xDelete.map_or(ffi::SQLITE_ERROR, |delete| delete(faults.below, path, sync));
        if status == ffi::SQLITE_OK {
            faults.record(Event::Delete { file, synced: sync != 0 });
        }
        status
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes each opened file once; `name` came from `Box::into_raw` in `open`.
    unsafe {
        drop(Box::from_raw((*file.cast::<Head>()).name));
        methods(file).xClose.map_or(ffi::SQLITE_ERROR, |close| close(real(file)))
    }
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    to: *mut c_void,
    length: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: `file` was opened by `open`; the arguments are passed on as they came.
    unsafe {
        let (faults, name) = head(file);
        if let Some(code) = faults.fault(Kind::Read, name) {
            return code;
        }
        methods(file).xRead.map_or(ffi::SQLITE_ERROR, |read| read(real(file), to, length, offset))
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    length: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: `file` was opened by `open`; SQLite promises `length` bytes at `from`.
    unsafe {
        let (faults, name) = head(file);
        let length_in_bytes = usize::try_from(length).unwrap_or_default();
        if let Some(code) = faults.fault(Kind::Write, name) {
            // As when a disk fills up: half of it is written.
            let half = length / 2;
            methods(file).xWrite.map(|write| write(real(file), from, half, offset));
            return code;
        }
        let status =
            methods(file).xWrite.map_or(ffi::SQLITE_ERROR, |write| write(real(file), from, length, offset));
        if status == ffi::SQLITE_OK {
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), length_in_bytes).to_vec();
            let offset = usize::try_from(offset).unwrap_or_default();
            faults.record(Event::Write { file: name.clone(), offset, bytes });
        }
        status
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    // SAFETY: `file` was opened by `open`.
    unsafe {
        let (faults, name) = head(file);
        if let Some(code) = faults.fault(Kind::Truncate, name) {
            return code;
        }
        let status =
            methods(file).xTruncate.map_or(ffi::SQLITE_ERROR, |truncate| truncate(real(file), length));
        if status == ffi::SQLITE_OK {
            let length = usize::try_from(length).unwrap_or_default();
            faults.record(Event::Truncate { file: name.clone(), length });
        }
        status
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: `file` was opened by `open`.
    unsafe {
        let (faults, name) = head(file);
        drop(faults.hang());
        if let Some(code) = faults.fault(Kind::Sync, name) {
            return code;
        }
        let status = methods(file).xSync.map_or(ffi::SQLITE_ERROR, |sync| sync(real(file), flags));
        if status == ffi::SQLITE_OK {
            faults.record(Event::Sync { file: name.clone() });
        }
        status
    }
}

/// A method that is only passed on.
macro_rules! pass_on {
    ($name:ident, $method:ident $(, $argument:ident: $type:ty)*) => {
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: `file` was opened by `open`; the arguments are passed on as they came.
            unsafe { methods(file).$method.map_or(ffi::SQLITE_ERROR, |method| method(real(file) $(, $argument)*)) }
        }
    };
}

pass_on!(file_size, xFileSize, size: *mut i64);
pass_on!(lock, xLock, level: c_int);
pass_on!(unlock, xUnlock, level: c_int);
pass_on!(check_reserved_lock, xCheckReservedLock, answer: *mut c_int);
pass_on!(file_control, xFileControl, operation: c_int, argument: *mut c_void);
pass_on!(sector_size, xSectorSize);
pass_on!(device_characteristics, xDeviceCharacteristics);

/// Version 1: without shared memory, which a ledger never needs.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// # Safety
/// `file` was opened by [`open`].
unsafe fn head<'a>(file: *mut ffi::sqlite3_file) -> (&'a FaultVfs, &'a String) {
    // SAFETY: `open` put a head there; the faults is leaked, the name lives until `close`.
    unsafe { (&*(*file.cast::<Head>()).faults, &*(*file.cast::<Head>()).name) }
}

/// # Safety
/// `file` points to at least [`HEAD`] bytes and the real file.
unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: within the same allocation, as the caller promises.
    unsafe { file.cast::<u8>().add(HEAD).cast() }
}

/// # Safety
/// `file` was opened by [`open`].
unsafe fn methods<'a>(file: *mut ffi::sqlite3_file) -> &'a ffi::sqlite3_io_methods {
    // SAFETY: the real file was opened, so it has methods, which are static.
    unsafe { &*(*real(file)).pMethods }
}

/// # Safety
/// `path` is null or ends with a zero.
unsafe fn file_name(path: *const c_char) -> String {
    if path.is_null() {
        return String::from("temporary");
    }
    // SAFETY: as the caller promises.
    let path = unsafe { CStr::from_ptr(path) }.to_string_lossy();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}
