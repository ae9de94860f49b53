//! How media goes out: one file or folder per protocol.
