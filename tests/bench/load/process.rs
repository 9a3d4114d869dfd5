//! What the kernel counts for a process or a thread, and what it allows us.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The CPU time that all threads of a process have used so far, ended ones included, to the nanosecond. (What
/// `/proc/PID/task/*/schedstat` says of a thread that runs right now is as old as the last tick.)
pub fn cpu(pid: u32) -> Duration {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.try_into().unwrap())).unwrap();
    clock_gettime(clock).unwrap().into()
}

/// The CPU time of the calling thread.
pub fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// A line of `/proc/PID/status` in KiB.
pub fn status_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Lets this process, and the daemons that it starts, hold so many connections: the soft limit is 1024 nearly everywhere.
pub fn make_room_for(connections: usize) {
    let needed = connections as u64 + BESIDE_CONNECTIONS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(needed <= hard, "{connections} connections need {needed} open files, and {hard} are allowed");
    if soft < needed {
        setrlimit(Resource::RLIMIT_NOFILE, needed, hard).unwrap();
    }
}

/// Standard streams, daemons' pipes and sockets, the files of the baseline.
const BESIDE_CONNECTIONS: u64 = 128;
