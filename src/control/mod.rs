//! The control plane: API, authentication, store, page.
//!
//! A request arrives in `server`, passes the guard of `auth` and reaches a handler in `api`.
//! Handlers change streams through the `stream_service`, which keeps the `store` and the running streams in
//! step. What a client is refused is an error of `problem`, wherever the reason is found.
//!
//! Invariant: no media passes through here, and no request is answered or applied before the guard
//! has admitted it.

pub mod api;
pub mod archive;
pub mod auth;
pub mod cluster;
pub mod console;
pub mod elements;
mod locks;
pub mod machine;
mod metrics;
pub mod origin;
mod pace;
pub mod precondition;
pub mod problem;
pub mod server;
pub mod store;
pub mod stream_service;
pub mod token_service;
mod writable;

pub use metrics::Metrics;
