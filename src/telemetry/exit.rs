//! Ends the process.

use std::io::Write;

/// Exits with success, without the exit handlers of the C libraries: those free memory that threads
/// of GStreamer, libnice and libsrt still use, which occasionally causes a segmentation fault. All
/// cleanup must be complete before.
#[allow(unsafe_code, reason = "_exit(2) has no safe wrapper")]
pub fn at_once() -> ! {
    // Flushes the buffers that the handlers would have written.
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    // SAFETY: no pointers; it ends the process and runs no further code of it.
    unsafe { libc::_exit(0) }
}
