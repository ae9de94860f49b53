//! Which model weights there are, where they live, and whether they are what they claim to be.
//!
//! A manifest (`models/*.toml`) says what a model is and which files it has, with their hashes. A
//! models folder holds one folder per model, named like its id. Files get there by [`pull`] (from
//! the manifest's addresses) or by [`import`] (from a folder or a USB stick).
//!
//! Invariant: knows files and manifests, but nothing of what a model does. A file whose hash is not
//! the one of its manifest never gets its final name, and is refused when it has it all the same.

mod built_in;
mod config;
mod digest;
mod error;
mod import;
mod manifest;
mod part;
mod pull;
mod registry;
mod stamp;
#[cfg(test)]
mod testing;

pub use config::Config;
pub use digest::Sha256Hex;
pub use error::Error;
pub use import::{Own, Recognised, import, import_own, recognise};
pub use manifest::{Engine, File, Languages, Licence, Manifest, Memory, Speed, Task};
pub use pull::{Progress, PullOptions, pull};
pub use registry::{Installed, Registry, State};
