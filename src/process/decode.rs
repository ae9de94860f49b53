//! Compressed to raw.
