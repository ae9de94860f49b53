//! Test pattern: a flash and a beep each second.
