//! What is done to media between feeds.

pub mod decode;
pub mod denoise;
pub mod encode;
pub mod encoders;
pub mod slate;
