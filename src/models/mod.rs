//! Which model weights exist, where they are stored, and whether they are genuine.
//!
//! A manifest (`models/*.toml`) describes a model and lists its files with their hashes. A models
//! folder holds one folder per model, named by its id. Files get there by [`pull`] (from the
//! manifest's addresses) or by [`import`] (from a folder or a USB stick).
//!
//! Invariant: knows files and manifests, but not what a model does. A file whose hash differs from
//! its manifest never gets its final name, and is refused if it has it nevertheless.

mod built_in;
mod config;
mod digest;
mod error;
mod import;
mod manifest;
mod package;
mod part;
mod progress;
mod pull;
mod registry;
mod stamp;
mod task;
#[cfg(test)]
mod testing;
mod wheel;

pub use config::Config;
pub use digest::Sha256Hex;
pub use error::Error;
pub use import::{Own, Recognised, import, import_own, recognise};
pub use manifest::{File, Languages, Licence, Manifest, Memory, Speed};
pub use progress::Progress;
pub use pull::{PullOptions, pull};
pub use registry::{Installed, Registry, State};
pub use task::{Engine, Task};
