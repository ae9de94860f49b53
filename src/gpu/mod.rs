//! GPUs: what is there.
