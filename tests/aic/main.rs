//! The voice codec AIC-A as the appliance runs it: arbitrary bytes from the network, and files.

mod file;
mod fuzz;
#[path = "../fuzz/harness.rs"]
#[allow(dead_code, reason = "the tests in src/ use the rest")]
mod harness;
#[path = "../support/needs.rs"]
#[allow(dead_code, reason = "the tests beside it use the rest")]
mod needs;
mod wasm;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs one test at a time: they measure the memory of this process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    auralink::init().expect("GStreamer starts");
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
