//! Speech-to-text with its real engines: PocketSphinx, whisper.cpp's test models, an HTTP server
//! that misbehaves.

#![allow(missing_docs)]

mod basic;
mod support;
