//! How media goes out: one file or folder per protocol, under the same names as in `ingress`.

pub mod record;
