//! Tells the linker where libtorch is found at run time; nothing without the feature `torch`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    let libtorch = std::env::var("LIBTORCH").unwrap_or_default();
    // In a Python environment the CUDA runtime that libtorch names lies beside it.
    println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/../nvidia/cu13/lib");
}
