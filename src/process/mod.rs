//! What is done to media between feeds.

pub mod denoise;
