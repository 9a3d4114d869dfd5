//! Families about the process, by the names that every client library of Prometheus gives them.

use std::fmt;
use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::{SysconfVar, sysconf};

use super::exposition::Exposition;
use super::state::unix_seconds;
use crate::api::Started;

/// What the kernel does not tell is left out.
pub(super) fn write(exposition: &mut Exposition<'_>, started: Started) -> fmt::Result {
    exposition.gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds",
        unix_seconds(started.at),
    )?;
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let seconds = duration(usage.user_time()).saturating_add(duration(usage.system_time()));
        exposition.counter(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds",
            seconds.as_secs_f64(),
        )?;
    }
    if let Some(Memory { resident, size }) = memory() {
        exposition.gauge("process_resident_memory_bytes", "Resident memory size in bytes", resident)?;
        exposition.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes", size)?;
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        exposition.gauge("process_open_fds", "Number of open file descriptors", open.count())?;
    }
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Err(_) => Ok(()),
        Ok((most, _)) => exposition.gauge("process_max_fds", "Maximum number of open file descriptors", most),
    }
}

fn duration(time: TimeVal) -> Duration {
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    let microseconds = Duration::from_micros(part(time.tv_usec()));
    Duration::from_secs(part(time.tv_sec())).saturating_add(microseconds)
}

/// In bytes.
struct Memory {
    resident: u64,
    size: u64,
}

/// `None` where the kernel does not tell (proc_pid_statm(5)).
fn memory() -> Option<Memory> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let page = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    let mut pages = statm.split_ascii_whitespace().map(|pages| pages.parse::<u64>().ok());
    let mut next = || Some(pages.next()??.saturating_mul(page));
    let size = next()?;
    Some(Memory { resident: next()?, size })
}
