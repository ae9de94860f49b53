//! The control plane: API, authentication, store, page.

pub mod api;
pub mod auth;
pub mod console;
pub mod store;
