//! The control plane: API, authentication, store, page.
//!
//! A request comes in by `server`, passes the guard of `auth`, reaches a handler in `api`, and
//! changes streams by the `desk`, which keeps the `store` and the running streams in step.
//!
//! Invariant: no media passes through here, and nothing is answered or changed before the guard has
//! let the request in.

pub mod api;
pub mod archive;
pub mod auth;
pub mod console;
pub mod desk;
pub mod elements;
mod locks;
pub mod machine;
mod metrics;
pub mod origin;
mod pace;
pub mod server;
pub mod store;
mod writable;

pub use metrics::Metrics;
