//! Hostile stream ids.

use super::streamid;
use crate::fuzz;

#[test]
fn fuzz_srt_streamid() {
    fuzz::run("srt-streamid", |bytes| {
        let _ = streamid::parse(&String::from_utf8_lossy(bytes));
    });
}
