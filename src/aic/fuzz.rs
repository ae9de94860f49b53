//! Fuzzes the parsers of AIC-A's packets, hints and files.

use super::container::Reader;
use super::hints::Hints;
use super::packet::{Packet, STAGES_MAX};
use super::payload::Payload;
use crate::fuzz;

/// What parses is written back identically, and can be truncated to any number of stages.
#[test]
fn fuzz_aic_payload() {
    fuzz::run("aic-payload", |bytes| {
        if let Ok(payload) = Payload::read(bytes) {
            assert_eq!(payload.write().expect("it was read"), bytes);
        }
        if let Ok(packet) = Packet::read(bytes) {
            assert_eq!(packet.write().expect("it was read"), bytes);
            for stages in 0..=STAGES_MAX + 1 {
                let _ = Packet::truncate(bytes, stages);
            }
        }
    });
}

#[test]
fn fuzz_aic_hints() {
    fuzz::run("aic-hints", |bytes| {
        if let Some(hints) = Hints::read(bytes) {
            assert!(Hints::read(&hints.write()).is_some());
        }
    });
}

#[test]
fn fuzz_aic_file() {
    fuzz::run("aic-file", |bytes| {
        if let Ok(reader) = Reader::new(bytes) {
            assert!(reader.count() <= bytes.len());
        }
    });
}
