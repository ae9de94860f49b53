//! The voice codec AIC-A as the appliance runs it: the engine killed during a call, and arbitrary
//! bytes from the network.
//!
//! Tests that need the engine print that they are skipped without it (`make aic`, and weights).

mod fuzz;
#[path = "../fuzz/harness.rs"]
#[allow(dead_code, reason = "the tests in src/ use the rest")]
mod harness;
mod killed;
#[path = "../support/needs.rs"]
#[allow(dead_code, reason = "the tests beside it use the rest")]
mod needs;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs one test at a time: one of them kills the engine that the others use.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    gst::init().expect("GStreamer starts");
    auralink::elements::register().expect("registers");
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
