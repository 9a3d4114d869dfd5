//! What the kernel has counted for a process or a thread.

use std::fs;
use std::time::Duration;

/// The CPU time of all threads that a process has now, to the nanosecond.
pub fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| scheduled(&task.unwrap().path().join("schedstat").display().to_string())).sum()
}

/// The CPU time of the calling thread.
pub fn thread_cpu() -> Duration {
    scheduled("/proc/thread-self/schedstat")
}

/// A line of `/proc/PID/status` in KiB.
pub fn status_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A thread may end while we look: then it counts no more.
fn scheduled(file: &str) -> Duration {
    let text = fs::read_to_string(file).unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
