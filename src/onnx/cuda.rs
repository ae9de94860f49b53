//! Sessions on a GPU, by the CUDA execution provider.
//!
//! The provider links to NVIDIA's libraries by name only. Those that lie beside it are opened first, by
//! path, and the loader then takes them; without them it looks in the system's folders.

use std::fmt;
use std::path::Path;

use ort::ep::cuda::{CUDA, ConvAlgorithmSearch};
use ort::ep::{ArenaExtendStrategy, ExecutionProviderDispatch};
use ort::session::builder::SessionBuilder;
use ort::value::Tensor;

use super::device::{NoCuda, has_provider};

/// NVIDIA's libraries that the provider needs, in an order in which they find each other. cuDNN opens
/// its own parts, which lie beside it.
const LIBRARIES: [&str; 6] = [
    "libcudart.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libcurand.so.10",
    "libnvrtc.so.13",
    "libcudnn.so.9",
];

/// A model that adds three neighbours of eight samples each: one `Conv` of opset 17.
const CHECK_MODEL: &[u8] = include_bytes!("check.onnx");

/// A builder whose sessions run on the GPU.
///
/// # Errors
/// The library is for processors only, or the provider does not load.
pub(super) fn prepare(
    library: &Path,
    builder: ort::Result<SessionBuilder>,
) -> Result<SessionBuilder, NoCuda> {
    if !has_provider(library) {
        return Err(NoCuda::Library);
    }
    for name in LIBRARIES {
        let beside = library.with_file_name(name);
        if beside.is_file() {
            let opened = ort::util::preload_dylib(&beside);
            opened.map_err(failed)?;
        }
    }
    builder.map_err(failed)?.with_execution_providers([provider()]).map_err(failed)
}

/// The provider's failure, without the places in its source that ONNX Runtime names before and after.
pub(super) fn failed(error: impl fmt::Display) -> NoCuda {
    let text = error.to_string();
    let code = text.rfind(" : ").map(|at| at + " : ".len());
    let from = text.rfind("CUDA failure").or(code).unwrap_or_default();
    let reason = text[from..].split(" ;").next().unwrap_or_default();
    NoCuda::Provider(reason.trim().to_owned())
}

fn provider() -> ExecutionProviderDispatch {
    CUDA::default()
        // Sentences differ in length, and an exhaustive search would run again for each length.
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        // Memory in powers of two would be twice of what is needed.
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
        .build()
        .error_on_failure()
}

/// Runs [`CHECK_MODEL`] on the GPU.
///
/// # Errors
/// It does not load or run there, or its result is wrong.
pub(super) fn check(library: &Path, builder: ort::Result<SessionBuilder>) -> Result<(), NoCuda> {
    let builder = prepare(library, builder)?.with_disable_cpu_fallback().map_err(failed)?;
    run(builder).map_err(failed)
}

/// Runs [`CHECK_MODEL`] where a builder says.
pub(super) fn run(mut builder: SessionBuilder) -> ort::Result<()> {
    let mut session = builder.commit_from_memory(CHECK_MODEL)?;
    let samples: Vec<f32> = (0_u8..8).map(f32::from).collect();
    let outputs = session.run(ort::inputs!["x" => Tensor::from_array(([1, 1, 8], samples))?])?;
    let (_, sums) = outputs["y"].try_extract_tensor::<f32>()?;
    match *sums == [3.0, 6.0, 9.0, 12.0, 15.0, 18.0] {
        true => Ok(()),
        false => Err(ort::Error::new(format!("a convolution has the wrong result {sums:?}"))),
    }
}
