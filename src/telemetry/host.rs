//! Figures of this machine: processor, memory, disk.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::media::IgnorePoison;

/// Figures of the machine and of this process.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Host {
    /// Processors that this process may use.
    pub cpus: usize,
    /// Share of all processors that is busy, 0-100, since the last reading.
    pub cpu_percent: f64,
    /// Processor time of this process, in percent of one processor, since the last reading.
    pub process_cpu_percent: f64,
    /// Memory of the machine in bytes.
    pub memory_total: u64,
    /// Memory that programs can still get, in bytes.
    pub memory_available: u64,
    /// Resident memory of this process in bytes.
    pub process_memory: u64,
    /// Threads of this process.
    pub threads: u64,
    /// Open files and sockets of this process.
    pub open_files: u64,
    /// Disk that holds the recordings.
    pub disk: Option<Disk>,
}

/// One file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Disk {
    /// The folder that was asked about.
    pub path: String,
    /// Its size in bytes.
    pub total: u64,
    /// What this process may still write, in bytes.
    pub free: u64,
}

/// Space on the disk that holds `path`, or its nearest existing parent folder.
pub fn disk(path: &Path) -> Option<Disk> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|p| p.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(Disk {
        path: path.display().to_string(),
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

/// Processor time up to `at`, in clock ticks.
#[derive(Clone, Copy)]
struct Ticks {
    at: Instant,
    all: u64,
    idle: u64,
    own: u64,
}

static LAST: Mutex<Option<Ticks>> = Mutex::new(None);

/// Clock ticks per second in `/proc`: fixed at 100 in the Linux ABI for user space.
const TICKS_PER_S: f64 = 100.0;

impl Host {
    /// Reads the machine's figures. A figure that cannot be read is 0. Reads a few small files of
    /// `/proc`, which takes well under a millisecond.
    pub fn read(recordings: &Path) -> Self {
        let mut host = Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            disk: disk(recordings),
            ..Self::default()
        };
        host.read_memory();
        host.read_cpu();
        host.open_files = std::fs::read_dir("/proc/self/fd").map_or(0, |d| d.count() as u64);
        host
    }

    fn read_memory(&mut self) {
        if let Ok(text) = std::fs::read_to_string("/proc/meminfo") {
            self.memory_total = kib(&text, "MemTotal") * 1024;
            self.memory_available = kib(&text, "MemAvailable") * 1024;
        }
        if let Ok(text) = std::fs::read_to_string("/proc/self/status") {
            self.process_memory = kib(&text, "VmRSS") * 1024;
            self.threads = kib(&text, "Threads");
        }
    }

    fn read_cpu(&mut self) {
        let Some(now) = read_ticks() else { return };
        let mut last = LAST.lock().ignore_poison();
        if let Some(before) = *last {
            let all = now.all.saturating_sub(before.all) as f64;
            let idle = now.idle.saturating_sub(before.idle) as f64;
            let seconds = now.at.duration_since(before.at).as_secs_f64();
            if all > 0.0 {
                self.cpu_percent = (100.0 * (1.0 - idle / all)).clamp(0.0, 100.0);
            }
            if seconds > 0.0 {
                let own = now.own.saturating_sub(before.own) as f64 / TICKS_PER_S;
                self.process_cpu_percent = 100.0 * own / seconds;
            }
        }
        *last = Some(now);
    }
}

fn read_ticks() -> Option<Ticks> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.split_whitespace().skip(1);
    // user nice system idle iowait irq softirq steal; user already includes guest time.
    let ticks: Vec<u64> = fields.take(8).filter_map(|f| f.parse().ok()).collect();
    let own = process_ticks("self")?;
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(Ticks { at: Instant::now(), all: ticks.iter().sum(), idle, own })
}

/// Ticks that a process has run.
fn process_ticks(process: &str) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may contain spaces, so fields count from behind it. utime and stime
    // are the 14th and 15th of proc(5), here the 12th and 13th.
    let behind = stat.rsplit_once(')')?.1;
    let used = behind.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok());
    Some(used.sum())
}

/// A field of a file of `/proc` in KiB; 0 if it is not there.
fn kib(text: &str, field: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
}

/// Resident memory of another process in bytes, and the processor time that it has used; zeros if it
/// is gone.
pub fn process_usage(process: u32) -> (u64, Duration) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let ticks = process_ticks(&process.to_string()).unwrap_or(0);
    (kib(&status, "VmRSS") * 1024, Duration::from_secs_f64(ticks as f64 / TICKS_PER_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_plausible() {
        let host = Host::read(Path::new("/not/there/yet"));
        assert!(host.cpus >= 1 && host.threads >= 1 && host.open_files >= 3);
        assert!(host.memory_available <= host.memory_total && host.memory_total > 1 << 20);
        assert!(host.process_memory > 1 << 20);
        let disk = host.disk.expect("the nearest folder that exists is asked");
        assert!(disk.free <= disk.total && disk.total > 0);
    }
}
