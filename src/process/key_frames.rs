//! Key frames of encoders: where the source has its own, so that all renditions of a stream are cut
//! at the same pictures.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;

use crate::flow::{Error, Node};
use crate::media::IgnorePoison;

/// Marks raw pictures that were key frames of the source. Raw video has no headers, so the flag is
/// free, and converters copy it.
const WAS_KEY_FRAME: gst::BufferFlags = gst::BufferFlags::HEADER;

/// Key frames inside a decoder, at most: it holds some tens of pictures.
const DECODED_KEY_FRAMES_MAX: usize = 64;

/// Least distance of key frames that follow the source's. A source of key frames alone would have no others.
const APART_MIN: Duration = Duration::from_millis(900);

/// Marks the decoded pictures of a node that were key frames.
///
/// # Errors
/// If a pad is missing.
pub(super) fn mark(decoder: &gst::Element) -> Result<(), Error> {
    let missing = || Error::build(decoder.name().as_str(), "it has no pad");
    let entry = decoder.static_pad("sink").ok_or_else(missing)?;
    let exit = decoder.static_pad("src").ok_or_else(missing)?;
    let keys: Arc<Mutex<VecDeque<gst::ClockTime>>> = Arc::default();
    let seen = Arc::clone(&keys);
    entry.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let key = info.buffer().filter(|b| !b.flags().contains(gst::BufferFlags::DELTA_UNIT));
        if let Some(pts) = key.and_then(|buffer| buffer.pts()) {
            let mut seen = seen.lock().ignore_poison();
            if seen.len() == DECODED_KEY_FRAMES_MAX {
                seen.pop_front();
            }
            seen.push_back(pts);
        }
        gst::PadProbeReturn::Ok
    });
    exit.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer_mut() else { return gst::PadProbeReturn::Ok };
        let mut keys = keys.lock().ignore_poison();
        if let Some(at) = keys.iter().position(|key| Some(*key) == buffer.pts()) {
            keys.drain(..=at);
            buffer.make_mut().set_flags(WAS_KEY_FRAME);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Requests key frames at the element `raw` of a node, before its encoder: at pictures that were
/// key frames of the source, and where it has none for longer than `interval`, whenever running
/// time passes a multiple of that.
///
/// # Errors
/// If the element or its pad is missing.
pub(super) fn request(node: &Node, interval: Duration) -> Result<(), Error> {
    let raw = node.element("raw")?;
    let pad = raw.static_pad("src").ok_or_else(|| Error::build("raw", "it has no pad"))?;
    let due = Mutex::new(Due::new(interval));
    // The feed's timestamps are running time, and appsrc's segment does not change them.
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let Some((buffer, pts)) = info.buffer().and_then(|b| Some((b, b.pts()?))) else {
            return gst::PadProbeReturn::Ok;
        };
        let was_key = buffer.flags().contains(WAS_KEY_FRAME);
        if due.lock().ignore_poison().is_due(Duration::from(pts), was_key) {
            let ask = gst_video::DownstreamForceKeyUnitEvent::builder().all_headers(true).build();
            pad.push_event(ask);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Decides which pictures become key frames.
#[derive(Debug)]
struct Due {
    interval: Duration,
    /// Running time of the last request.
    last: Option<Duration>,
    /// Running time of the last key frame of the source, and of the last that became one here.
    source: Option<Duration>,
    taken: Option<Duration>,
}

impl Due {
    fn new(interval: Duration) -> Self {
        Self {
            interval: interval.max(Duration::from_millis(100)),
            last: None,
            source: None,
            taken: None,
        }
    }

    /// Whether the picture at `pts` becomes a key frame.
    fn is_due(&mut self, pts: Duration, was_key: bool) -> bool {
        let since = |past: Option<Duration>| past.map(|past| pts.saturating_sub(past));
        let takes = was_key && since(self.taken).is_none_or(|age| age >= APART_MIN);
        if was_key {
            self.source = Some(pts);
        }
        if takes {
            self.taken = Some(pts);
        }
        // A quarter more than the interval: a source with key frames as often has enough.
        let source_has = since(self.source).is_some_and(|age| age <= self.interval * 5 / 4);
        let due = match self.last {
            None => true,
            Some(_) if source_has => takes,
            Some(last) => {
                let slot = |time: Duration| time.as_nanos() / self.interval.as_nanos();
                slot(last) != slot(pts)
            }
        };
        if due {
            self.last = Some(pts);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key frames in tenths of a second of pictures that come ten times a second.
    fn keys(source: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut due = Due::new(Duration::from_secs(2));
        (5..105).filter(|n| due.is_due(Duration::from_millis(n * 100), source(*n))).collect()
    }

    #[test]
    fn the_source_decides_where_it_has_key_frames() {
        assert_eq!(keys(|_| false), [5, 20, 40, 60, 80, 100], "by the clock");
        assert_eq!(keys(|n| n % 20 == 7), [5, 7, 27, 47, 67, 87], "every two seconds");
        assert_eq!(keys(|n| n % 10 == 7), [5, 7, 17, 27, 37, 47, 57, 67, 77, 87, 97]);
        assert_eq!(keys(|n| n == 7 || n == 87), [5, 7, 33, 40, 60, 80, 87], "seldom");
        assert_eq!(keys(|_| true).len(), 12, "nothing but key frames");
    }
}
