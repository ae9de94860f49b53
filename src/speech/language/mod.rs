//! Which language is spoken or written.
//!
//! An engine that hears several languages tells which one it heard; where none tells, the text
//! does ([`identify`]). Either is evidence for a [`LanguageTracker`], which changes its mind
//! slowly, because a wrong change costs more words than a late one.
//!
//! Invariant: pure. No clock, no state outside of a tracker.

mod identify;
mod tracker;

pub use identify::{KNOWN, identify};
pub use tracker::{Guess, LanguageTracker};
