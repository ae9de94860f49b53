//! Puts the decoder of the web page into the program, if `make wasm` has built it.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The folder: a file that is not there would be looked for, and all built anew, each time.
    println!("cargo:rerun-if-changed=web");
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    let decoder = std::fs::read("web/voice.wasm").unwrap_or_default();
    if let Err(error) = std::fs::write(Path::new(&out).join("voice.wasm"), decoder) {
        println!("cargo:error=cannot write to {}: {error}", Path::new(&out).display());
    }
}
