//! Any codes can be packed, and any bytes unpacked or refused.

#![allow(missing_docs)]

use std::path::Path;
use std::sync::LazyLock;

use auralink_codec::{Codes, Model, STAGES_MAX};
use proptest::collection::vec;
use proptest::prelude::*;

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/aic-audio/aic-a2.safetensors");
    Model::read(&std::fs::read(path).expect("weights of the source tree")).expect("weights")
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_was_packed_is_unpacked(
        frames in vec(vec(0_u8..16, 0..=STAGES_MAX).prop_map(|c| Codes::new(&c)), 0..7)
    ) {
        let bytes = MODEL.pack(&frames);
        let stages = frames.iter().map(Codes::stages);
        prop_assert_eq!(MODEL.unpack(stages.clone(), &bytes), Some(frames.clone()));
        // The coder's end says nothing twice.
        prop_assert_ne!(bytes.last(), Some(&0));
        // More bytes are refused, or say something else.
        let more = [&bytes[..], &[7]].concat();
        prop_assert_ne!(MODEL.unpack(stages, &more), Some(frames));
    }

    #[test]
    fn any_bytes_are_unpacked_or_refused(
        bytes in vec(any::<u8>(), 0..120),
        stages in vec(0..=STAGES_MAX, 0..7),
    ) {
        if let Some(frames) = MODEL.unpack(stages.iter().copied(), &bytes) {
            prop_assert_eq!(MODEL.pack(&frames), bytes);
        }
    }
}
