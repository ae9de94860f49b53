//! Where libtorch computes.

use std::path::Path;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::Device;

/// The part of libtorch for CUDA. The program links only the other part, so that it starts on
/// machines without an NVIDIA driver.
const CUDA: &str = "libtorch_cuda.so";

/// Device file of NVIDIA's driver.
const DRIVER: &str = "/dev/nvidiactl";

/// The first GPU that libtorch can use, else the processor. On a machine with an NVIDIA driver
/// standard error explains why the GPU is not used.
pub fn device() -> Device {
    if !Path::new(DRIVER).exists() {
        return Device::Cpu;
    }
    // SAFETY: only libtorch's own initialisers run, before anything else of it has been called.
    #[expect(unsafe_code, reason = "a library can only be opened like this")]
    match unsafe { Library::open(Some(CUDA), RTLD_NOW | RTLD_GLOBAL) } {
        // Never closed: kernels are registered in it.
        Ok(library) => std::mem::forget(library),
        Err(error) => {
            eprintln!("the GPU stays idle: {error}; `.ci/setup train` fetches libtorch with CUDA");
            return Device::Cpu;
        }
    }
    let device = Device::cuda_if_available();
    if device == Device::Cpu {
        eprintln!("the GPU stays idle: this libtorch and this driver do not fit");
    }
    device
}
