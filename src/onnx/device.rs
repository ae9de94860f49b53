//! Where models run: on the processor, or on a GPU by the CUDA execution provider of ONNX Runtime.
//!
//! Two things make a GPU usable: a driver with a GPU ([`Gpus`]), and a build of the library for it with
//! its provider beside it, which `auralink models pull` brings. Whether both fit together shows when a
//! session is made.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;

use crate::gpu::Gpus;

/// The model that brings the library for GPUs.
pub const GPU_LIBRARY: &str = "onnxruntime-gpu-1.31.1";

/// The provider's file, which lies beside the library.
const PROVIDER: &str = "libonnxruntime_providers_cuda.so";

/// `[onnx]`: models of ONNX Runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where models run that a GPU makes faster.
    pub device: Device,
}

/// Where a model may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// On a GPU if that is possible.
    #[default]
    Auto,
    /// On the processor.
    Cpu,
    /// On a GPU; if that is impossible, on the processor with a warning.
    Cuda,
}

impl Device {
    /// As written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let all = [Self::Auto, Self::Cpu, Self::Cuda];
        let found = all.into_iter().find(|device| device.as_str() == word);
        found.ok_or_else(|| format!("`{word}` is no device: use auto, cpu or cuda"))
    }
}

/// Why no model runs on a GPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCuda {
    /// There is no GPU.
    #[error("this machine has no NVIDIA GPU")]
    Gpu,
    /// There is one that the driver cannot use.
    #[error("the GPU cannot be used: {0}")]
    Driver(String),
    /// The library is one for processors only.
    #[error("the installed ONNX Runtime is for processors only")]
    Library,
    /// The provider does not load, or makes no session.
    #[error("the CUDA execution provider of ONNX Runtime fails: {0}")]
    Provider(String),
}

impl NoCuda {
    /// The command that changes it.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Gpu => None,
            Self::Driver(_) => Some("sudo apt-get install nvidia-driver libcuda1".into()),
            Self::Library => Some(format!("auralink models pull {GPU_LIBRARY}")),
            Self::Provider(_) => Some(format!(
                "auralink models verify {GPU_LIBRARY}; the driver must support CUDA 13"
            )),
        }
    }
}

/// What the setting amounts to on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Where models run: [`Device::Cpu`] or [`Device::Cuda`].
    pub device: Device,
    /// Why it is not the GPU, unless the setting says so.
    pub why: Option<NoCuda>,
    /// Whether it is the opposite of what the admin asked for, or easily improved.
    pub warn: bool,
}

/// Chooses between processor and GPU. `cuda` is not asked where the processor is wanted.
pub fn choose(wanted: Device, cuda: impl FnOnce() -> Result<(), NoCuda>) -> Choice {
    if wanted == Device::Cpu {
        return Choice { device: Device::Cpu, why: None, warn: false };
    }
    match cuda() {
        Ok(()) => Choice { device: Device::Cuda, why: None, warn: false },
        Err(why) => {
            let warn = wanted == Device::Cuda || why != NoCuda::Gpu;
            Choice { device: Device::Cpu, why: Some(why), warn }
        }
    }
}

/// Whether the GPU and the files are there. Opens nothing.
///
/// # Errors
/// What is missing.
pub fn cuda(gpus: &Gpus, library: Option<&Path>) -> Result<(), NoCuda> {
    match gpus {
        Gpus::None => Err(NoCuda::Gpu),
        Gpus::Broken { reason } => Err(NoCuda::Driver(reason.clone())),
        Gpus::Ready { .. } if library.is_some_and(has_provider) => Ok(()),
        Gpus::Ready { .. } => Err(NoCuda::Library),
    }
}

/// Whether a library has the provider for GPUs beside it.
pub fn has_provider(library: &Path) -> bool {
    library.with_file_name(PROVIDER).is_file()
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.device, &self.why) {
            (Device::Cuda, _) => write!(f, "Piper voices run on the GPU"),
            (_, Some(why)) => write!(f, "models of ONNX Runtime run on the processor: {why}"),
            (_, None) => write!(f, "models of ONNX Runtime run on the processor, as [onnx] says"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Gpus {
        Gpus::Ready { cuda: "13.0".into(), devices: Vec::new() }
    }

    #[test]
    fn the_choice_follows_setting_gpu_and_library() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let put = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("creates");
            std::fs::write(&path, "").expect("writes");
            path
        };
        let plain = put("plain/libonnxruntime.so.1.32.0");
        let gpu = put("gpu/libonnxruntime.so.1.31.1");
        put("gpu/libonnxruntime_providers_cuda.so");
        let broken = || Gpus::Broken { reason: "libcuda.so is missing".into() };
        let check = |wanted, gpus, library: Option<&Path>, expect, says: &str, warn| {
            let choice = choose(wanted, || cuda(&gpus, library));
            assert_eq!(
                (choice.device, choice.warn),
                (expect, warn),
                "{wanted} {gpus:?} {library:?}"
            );
            let fix = choice.why.as_ref().and_then(NoCuda::fix).unwrap_or_default();
            let said = format!("{choice} {fix}");
            assert!(said.contains(says), "{wanted} {gpus:?} {library:?}: {said}");
        };
        use Device::{Auto, Cpu, Cuda};
        let (pull, plain, gpu) = (GPU_LIBRARY, Some(&*plain), Some(&*gpu));
        check(Auto, ready(), gpu, Cuda, "on the GPU", false);
        check(Cuda, ready(), gpu, Cuda, "on the GPU", false);
        check(Cpu, ready(), gpu, Cpu, "as [onnx] says", false);
        check(Auto, ready(), plain, Cpu, pull, true);
        check(Auto, ready(), None, Cpu, pull, true);
        check(Cuda, ready(), plain, Cpu, pull, true);
        check(Auto, Gpus::None, gpu, Cpu, "no NVIDIA GPU", false);
        check(Cuda, Gpus::None, gpu, Cpu, "no NVIDIA GPU", true);
        check(Cpu, Gpus::None, plain, Cpu, "as [onnx] says", false);
        check(Auto, broken(), gpu, Cpu, "libcuda.so is missing", true);
        check(Cuda, broken(), None, Cpu, "nvidia-driver", true);
    }

    #[test]
    fn devices_are_written_as_in_the_configuration() {
        for device in [Device::Auto, Device::Cpu, Device::Cuda] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert!("gpu".parse::<Device>().expect_err("no device").contains("auto, cpu or cuda"));
    }
}
