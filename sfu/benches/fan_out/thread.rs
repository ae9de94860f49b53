//! CPU time of one thread of this process.

use std::time::Duration;

/// A thread, by its number.
pub(crate) struct Thread(String);

/// The thread that asks.
pub(crate) fn own() -> Thread {
    Thread("/proc/thread-self/schedstat".into())
}

/// The newest thread with a name.
pub(crate) fn named(name: &str) -> Thread {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let is_named = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let number =
        |path: &std::path::PathBuf| -> Option<u64> { path.file_name()?.to_str()?.parse().ok() };
    let newest = tasks.flatten().map(|t| t.path()).filter(is_named).max_by_key(number);
    Thread(newest.expect("it runs").join("schedstat").display().to_string())
}

impl Thread {
    /// Time on a processor since its start (`Documentation/scheduler/sched-stats.rst`).
    pub(crate) fn cpu_time(&self) -> Duration {
        let text = std::fs::read_to_string(&self.0).expect("it runs");
        let nanos = text.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number");
        Duration::from_nanos(nanos)
    }
}
