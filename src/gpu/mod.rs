//! Detects GPUs.
//!
//! One binary serves machines with and without CUDA: it looks for the driver at start-up and does
//! not link to it. See `docs/gpu.md`.
//!
//! Invariant: the program starts and works without a driver, and reports that.

use cudarc::driver::{CudaContext, sys};
use serde::Serialize;

/// What this machine has for neural work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Gpus {
    /// GPUs that a CUDA driver answers for.
    Ready {
        /// Version of the driver's CUDA interface: `13.0`.
        cuda: String,
        /// The devices.
        devices: Vec<Device>,
    },
    /// A machine without an NVIDIA driver: everything runs on the processor.
    None,
    /// There is a GPU or a driver, but it cannot be used.
    Broken {
        /// Why, in words.
        reason: String,
    },
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Device {
    /// Its number, as CUDA counts.
    pub ordinal: usize,
    /// Its name: `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Its memory in bytes.
    pub memory_total: u64,
    /// Memory that is free, in bytes, when it was asked.
    pub memory_free: u64,
    /// Compute capability: `9.0`.
    pub compute: String,
}

impl Gpus {
    /// Queries the driver. Takes up to a second on a machine with GPUs, since it opens each of
    /// them.
    pub fn probe() -> Self {
        if !driver_present() {
            // A device node without a driver library is a broken installation, not a machine
            // without a GPU; the admin must be told.
            return if std::path::Path::new("/dev/nvidia0").exists() {
                Self::Broken { reason: "/dev/nvidia0 exists but libcuda.so is missing".into() }
            } else {
                Self::None
            };
        }
        match devices() {
            Ok(devices) if devices.is_empty() => {
                Self::Broken { reason: "the driver is installed but finds no GPU".into() }
            }
            Ok(devices) => Self::Ready { cuda: cuda_version(), devices },
            Err(error) => Self::Broken { reason: format!("the driver says: {error:?}") },
        }
    }

    /// A one-line summary for the log and `doctor`.
    pub fn summary(&self) -> String {
        match self {
            Self::Ready { cuda, devices } => {
                let list: Vec<String> = devices
                    .iter()
                    .map(|d| format!("{} ({} GiB, sm {})", d.name, d.memory_total >> 30, d.compute))
                    .collect();
                format!("GPU: {}; CUDA {cuda}", list.join(", "))
            }
            Self::None => "no GPU: everything runs on the processor".into(),
            Self::Broken { reason } => format!("GPU not usable: {reason}"),
        }
    }
}

/// Whether libcuda can be loaded. Everything else in cudarc panics without it.
#[expect(unsafe_code, reason = "cudarc declares the probe of a shared library unsafe")]
fn driver_present() -> bool {
    // SAFETY: it only tries to load libcuda.so by its well-known names and looks up no symbol;
    // loading runs the library's initialisers, as any use of CUDA in this process would.
    unsafe { sys::is_culib_present() }
}

fn devices() -> Result<Vec<Device>, cudarc::driver::DriverError> {
    let count = usize::try_from(CudaContext::device_count()?).unwrap_or(0);
    (0..count)
        .map(|ordinal| {
            let context = CudaContext::new(ordinal)?;
            let (free, total) = context.mem_get_info()?;
            let (major, minor) = context.compute_capability()?;
            Ok(Device {
                ordinal,
                name: context.name()?,
                memory_total: total as u64,
                memory_free: free as u64,
                compute: format!("{major}.{minor}"),
            })
        })
        .collect()
}

#[expect(unsafe_code, reason = "the driver's version has no safe wrapper in cudarc")]
fn cuda_version() -> String {
    let mut version = 0;
    // SAFETY: called only after `driver_present`; the pointer is to a live local integer.
    let result = unsafe { sys::cuDriverGetVersion(&mut version) };
    match result.result() {
        Ok(()) => format!("{}.{}", version / 1000, version % 1000 / 10),
        Err(_) => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_or_without_a_gpu_says_so() {
        let gpus = Gpus::probe();
        eprintln!("{}", gpus.summary());
        let has_node = std::path::Path::new("/dev/nvidia0").exists();
        match gpus {
            Gpus::None => assert!(!has_node),
            Gpus::Ready { devices, .. } => {
                assert!(!devices.is_empty());
                assert!(devices.iter().all(|d| d.memory_total >= d.memory_free));
            }
            Gpus::Broken { reason } => assert!(!reason.is_empty()),
        }
    }
}
