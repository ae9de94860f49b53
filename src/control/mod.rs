//! The control plane: API, authentication, store, page.
