//! Fuzz tests with malicious transport streams.

use super::pcr::Pacer;
use super::start_codes::join_start_codes;
use crate::fuzz;

/// Clock references: whatever their content, every byte is passed on.
#[test]
fn fuzz_pcr() {
    fuzz::run("mpegts", |bytes| {
        let (mut pacer, mut now) = (Pacer::default(), 0);
        for batch in bytes.chunks(1316) {
            now += 10_000_000;
            let pieces = pacer.pace(batch.to_vec(), now);
            let length: usize = pieces.iter().map(|(piece, _)| piece.len()).sum();
            assert_eq!(length, batch.len());
        }
    });
}

/// Split start codes: only zero bytes may be removed or added.
#[test]
fn fuzz_start_codes() {
    use gst::prelude::*;
    gst::init().expect("GStreamer starts");
    let mut harness = gst_check::Harness::new("identity");
    harness.set_src_caps_str("video/x-h265");
    let identity = harness.element().expect("it has one");
    join_start_codes(&identity.static_pad("src").expect("it has one"));
    fuzz::run("mpegts", |bytes| {
        let cut = bytes.first().map_or(0, |first| usize::from(*first)).min(bytes.len());
        let payload = |bytes: &[u8]| bytes.iter().filter(|byte| **byte != 0).count();
        let mut got = 0;
        for piece in [&bytes[..cut], &bytes[cut..]] {
            harness.push(gst::Buffer::from_slice(piece.to_vec())).expect("it flows");
            let out = harness.pull().expect("one for one");
            got += payload(&out.map_readable().expect("readable"));
        }
        assert_eq!(got, payload(bytes));
    });
}
