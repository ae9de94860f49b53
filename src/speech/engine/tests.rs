//! The pipe's format.

use proptest::prelude::*;

use super::{BODY_BYTES_MAX, Frame};

proptest! {
    #[test]
    fn what_is_written_is_read(header: Vec<u8>, body: Vec<u8>) {
        let frame = Frame { header, body };
        let mut pipe = Vec::new();
        frame.write(&mut pipe).expect("fits");
        frame.write(&mut pipe).expect("fits");
        let mut from = pipe.as_slice();
        prop_assert_eq!(Frame::read(&mut from).expect("whole"), Some(frame.clone()));
        prop_assert_eq!(Frame::read(&mut from).expect("whole"), Some(frame));
        prop_assert_eq!(Frame::read(&mut from).expect("ends between two"), None);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
        let mut from = bytes.as_slice();
        while let Ok(Some(_)) = Frame::read(&mut from) {}
    }
}

#[test]
fn absurd_lengths_are_refused_before_memory_is_taken() {
    let mut pipe = Vec::new();
    pipe.extend(2_u32.to_le_bytes());
    pipe.extend((BODY_BYTES_MAX as u32 + 1).to_le_bytes());
    assert!(Frame::read(&mut pipe.as_slice()).is_err());
    let long = Frame { header: Vec::new(), body: vec![0; BODY_BYTES_MAX + 1] };
    assert!(long.write(&mut Vec::new()).is_err());
}

/// Arbitrary output of a faulty engine process.
#[test]
fn fuzz_engine_frame() {
    crate::fuzz::run("engine-frame", |mut bytes| {
        while let Ok(Some(frame)) = Frame::read(&mut bytes) {
            let _ = serde_json::from_slice::<serde_json::Value>(&frame.header);
        }
    });
}
