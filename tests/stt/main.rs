//! Speech-to-text with its real engines: PocketSphinx, whisper.cpp's test models, an HTTP server
//! that misbehaves.

#![allow(missing_docs, unreachable_pub)]

mod align;
mod basic;
mod deaths;
mod moonshine;
#[path = "../support/needs.rs"]
mod needs;
mod noise;
#[path = "../support/pulled.rs"]
mod pulled;
mod remote;
mod speakers;
#[path = "../support/spelling.rs"]
mod spelling;
mod spoken;
mod support;
mod whisper;
