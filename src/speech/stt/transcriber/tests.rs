//! A transcriber whose thread dies.

use super::*;
use crate::speech::stt::{Config, Models};

/// Audio of a second.
static SECOND: [f32; 16_000] = [0.0; 16_000];

#[test]
fn a_thread_that_dies_is_told_and_nobody_waits_for_it() {
    let engines = Arc::new(Engines::new(&Config::default(), Models::default()));
    let options = Options { wait: true, ..Options::default() };
    let mistake = |event| panic!("a mistake at {event:?}");
    let transcriber = Transcriber::new(engines, options, mistake).expect("a thread");
    // More than waits for a thread: the last ones return because it is gone.
    for second in 0..600 {
        transcriber.push(Duration::from_secs(second), &SECOND);
    }
    assert!(transcriber.has_failed());
}
