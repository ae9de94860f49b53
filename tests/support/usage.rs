//! Resources of a process, from `/proc`.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

/// Clock ticks per second in `/proc/<pid>/stat`: 100 on every Linux that Debian runs on.
const TICKS_PER_S: f64 = 100.0;

/// Current use of resources.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usage {
    /// Threads.
    pub(crate) threads: u64,
    /// Open files and sockets.
    pub(crate) fds: u64,
    /// Resident memory, in KiB.
    pub(crate) rss_kib: u64,
    /// Processor time so far, user and system.
    pub(crate) cpu: Duration,
    /// When this was read.
    pub(crate) at: Instant,
}

impl Usage {
    /// Reads the figures; `None` if the process is gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find(|l| l.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may contain spaces: count after it. Fields 14 and 15 of proc(5).
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<f64>().ok();
        Some(Self {
            threads: field("Threads:")?,
            fds: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64,
            rss_kib: field("VmRSS:")?,
            cpu: Duration::from_secs_f64((ticks()? + ticks()?) / TICKS_PER_S),
            at: Instant::now(),
        })
    }

    /// Processor use since an earlier reading, per cent of one core.
    pub(crate) fn cpu_since(&self, earlier: &Self) -> f64 {
        let spent = self.cpu.saturating_sub(earlier.cpu).as_secs_f64();
        100.0 * spent / self.at.duration_since(earlier.at).as_secs_f64().max(1e-3)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.rss_kib as f64 / 1024.0;
        write!(f, "{} threads, {} fds, {mib:.1} MiB", self.threads, self.fds)
    }
}
