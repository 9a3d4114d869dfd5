//! What the process gives up at its start so that secrets cannot leak from it by accident.

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

/// No core dumps, no `ptrace` or `/proc/PID/mem` by another process of the same user, and large buffers go back to the
/// kernel (which wipes them) as soon as they are freed. Called before any secret is read, and again once the process is
/// the user that it stays.
///
/// # Errors
/// When the kernel refuses; a daemon that is not hardened must not start.
pub(crate) fn harden_process() -> Result<(), HardeningError> {
    set_dumpable(false).map_err(HardeningError::Dumpable)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(HardeningError::CoreLimit)?;
    return_large_buffers();
    Ok(())
}

/// Lets every other thread of the system that wants the processor go first, from now on, for the calling thread only.
/// `nice` is 0 to 19. A failure is harmless and ignored: the thread then merely competes.
pub(crate) fn lower_priority(nice: i32) {
    // SAFETY: takes integers only; on Linux a `who` of 0 means the calling thread.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    if result != 0 {
        tracing::debug!(error = %Errno::last(), nice, "could not lower the priority of a thread");
    }
}

/// Gives memory that has been freed back to the kernel, which wipes it. Takes a millisecond; for moments when much was
/// freed.
#[cfg(target_env = "gnu")]
pub(crate) fn return_freed_memory() {
    // SAFETY: takes an integer only, and touches nothing but memory that is free.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries give it back by themselves, or cannot be asked.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn return_freed_memory() {}

/// Why the process could not be hardened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HardeningError {
    /// `prctl(PR_SET_DUMPABLE, 0)` failed.
    #[error("could not make the process undumpable (PR_SET_DUMPABLE)")]
    Dumpable(#[source] Errno),
    /// `setrlimit(RLIMIT_CORE, 0)` failed.
    #[error("could not switch core dumps off (RLIMIT_CORE)")]
    CoreLimit(#[source] Errno),
}

/// glibc raises the size from which it maps a buffer of its own each time a mapped buffer is freed, up to 32 MiB. Then
/// scrypt's working memory would stay in the heap, full of material to check guesses of a password with. A fixed
/// threshold keeps every such buffer a mapping, which ends when it is freed.
#[cfg(target_env = "gnu")]
fn return_large_buffers() {
    // SAFETY: takes integers only, and changes nothing about buffers that exist.
    let set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10) };
    if set != 1 {
        tracing::debug!("could not fix the size from which buffers are mappings of their own");
    }
}

/// Other C libraries map large buffers always.
#[cfg(not(target_env = "gnu"))]
fn return_large_buffers() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_no_core_dump_and_no_way_in_for_the_same_user() {
        // In a child process: what is given up here cannot be taken back.
        if std::env::var_os(CHILD).is_some() {
            harden_process().unwrap();
            let (soft, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_CORE).unwrap();
            let dumpable = nix::sys::prctl::get_dumpable().unwrap();
            println!("core {soft} {hard}, dumpable {dumpable}");
            return;
        }
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "sys::hardening::tests::leaves_no_core_dump_and_no_way_in_for_the_same_user",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("core 0 0, dumpable false"), "{output:?}");
    }

    #[test]
    fn lowers_the_priority_of_one_thread_only() {
        let before = nice();
        let inner = std::thread::spawn(|| {
            lower_priority(19);
            nice()
        });
        assert_eq!((inner.join().unwrap(), nice()), (19, before));
    }

    fn nice() -> i32 {
        // SAFETY: takes integers only.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    const CHILD: &str = "BLS_SIGNER_TEST_HARDENED";
}
