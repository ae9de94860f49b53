//! With the library, where one is installed.

use super::*;
use crate::needs;

/// A library in the folders of the tests' models: one for GPUs before one for processors.
fn library() -> Option<PathBuf> {
    let inside = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let folders = needs::model_folders().into_iter().flat_map(inside);
    let is_library = |path: &PathBuf| {
        path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libonnxruntime.so"))
    };
    let found = folders.flat_map(inside).filter(is_library).max_by_key(|path| has_provider(path));
    if found.is_none() {
        needs::skip("ONNX Runtime, from `auralink models pull --default`");
    }
    found
}

#[test]
fn the_model_of_the_check_runs_and_what_a_gpu_cannot_do_the_processor_does() {
    let Some(library) = library() else { return };
    let runtime = Runtime::open(&library).expect("opens");
    cuda::run(runtime.builder(1).expect("a builder")).expect("runs on the processor");
    let file = tempfile::NamedTempFile::with_suffix(".onnx").expect("temporary file");
    std::fs::write(file.path(), include_bytes!("check.onnx")).expect("writes");
    let load = |device| runtime.load(file.path(), 1, device).expect("loads").1;
    assert_eq!(load(Device::Cpu), Choice { device: Device::Cpu, why: None, warn: false });
    let choice = load(Device::Cuda);
    eprintln!("{choice}; {:?}", runtime.check_cuda());
    assert_eq!(choice.device == Device::Cuda, runtime.check_cuda().is_ok());
    match choice.why {
        None => assert_eq!(choice.device, Device::Cuda),
        Some(NoCuda::Library) => assert!(!has_provider(&library)),
        Some(NoCuda::Provider(reason)) => assert!(has_provider(&library) && !reason.is_empty()),
        Some(why) => panic!("the GPU is not asked here: {why}"),
    }
}

/// As ONNX Runtime 1.31.1 writes them, without a driver and with one that does nothing.
#[test]
fn failures_of_the_provider_are_told_without_its_source() {
    let check = |text: &str, expect: &str| {
        assert_eq!(cuda::failed(text), NoCuda::Provider(expect.into()));
    };
    check(
        "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 \
         onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : \
         Failed to load library /m/libonnxruntime_providers_cuda.so with error: libcuda.so.1: cannot \
         open shared object file: No such file or directory\n",
        "Failed to load library /m/libonnxruntime_providers_cuda.so with error: libcuda.so.1: cannot \
         open shared object file: No such file or directory",
    );
    check(
        "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:146 [with ERRTYPE = cudaError; \
         bool THRW = true] CUDA failure 36: API call is not supported in the installed CUDA driver ; \
         GPU=-1 ; hostname=vm ; expr=cudaSetDevice(info_.device_id); \n\n",
        "CUDA failure 36: API call is not supported in the installed CUDA driver",
    );
    check("no space", "no space");
}
