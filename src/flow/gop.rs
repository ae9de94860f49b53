//! The group of pictures that a late joiner needs: everything since the last key frame.

/// Longest group kept, in frames: 20 s at 30 fps. A longer one is not worth replaying.
const FRAMES_MAX: usize = 600;

/// Largest group kept, in bytes.
const BYTES_MAX: usize = 6 << 20;

/// Distance between replayed frames that are squeezed together.
const SQUEEZED: gst::ClockTime = gst::ClockTime::from_mseconds(1);

/// Frames since the last key frame, bounded in number and bytes.
#[derive(Default)]
pub(super) struct Gop {
    frames: Vec<gst::Buffer>,
    bytes: usize,
    /// The group outgrew its bounds: nothing is kept until the next key frame.
    overflown: bool,
}

impl Gop {
    /// Takes the next frame of the feed.
    pub(super) fn push(&mut self, frame: &gst::Buffer, is_key: bool) {
        if is_key {
            self.clear();
        } else if self.frames.is_empty() {
            return;
        }
        if self.overflown {
            return;
        }
        self.bytes += frame.size();
        if self.frames.len() >= FRAMES_MAX || self.bytes > BYTES_MAX {
            self.frames.clear();
            self.overflown = true;
            return;
        }
        self.frames.push(frame.clone());
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
        self.overflown = false;
    }

    /// The group with its true timestamps.
    pub(super) fn frames(&self) -> &[gst::Buffer] {
        &self.frames
    }

    /// The group squeezed into the last milliseconds, so that a player decodes it as fast as it
    /// can and shows the newest picture at once, at the live edge. Only right for codecs and
    /// streams that do not reorder frames.
    pub(super) fn squeezed(&self) -> Vec<gst::Buffer> {
        let Some(last) = self.frames.last().and_then(|f| f.pts()) else { return Vec::new() };
        let count = self.frames.len() as u64;
        let copy = |(index, frame): (usize, &gst::Buffer)| {
            let mut frame = frame.copy();
            let before_last = SQUEEZED * (count - 1 - index as u64);
            let at = last.saturating_sub(before_last);
            if let Some(frame) = frame.get_mut() {
                frame.set_pts(at);
                frame.set_dts(at);
                frame.set_duration(SQUEEZED);
            }
            frame
        };
        self.frames.iter().enumerate().map(copy).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ms: u64, size: usize) -> gst::Buffer {
        gst::init().expect("GStreamer starts");
        let mut buffer = gst::Buffer::with_size(size).expect("allocates");
        buffer.get_mut().expect("sole owner").set_pts(gst::ClockTime::from_mseconds(ms));
        buffer
    }

    #[test]
    fn keeps_from_the_last_key_frame_and_squeezes_to_the_live_edge() {
        let mut gop = Gop::default();
        gop.push(&frame(0, 1), false);
        assert!(gop.frames().is_empty(), "nothing decodable before a key frame");
        gop.push(&frame(33, 1), true);
        for n in 2..=30 {
            gop.push(&frame(33 * n, 1), false);
        }
        let squeezed = gop.squeezed();
        assert_eq!(squeezed.len(), 30);
        let pts: Vec<_> = squeezed.iter().map(|b| b.pts().expect("set").mseconds()).collect();
        assert_eq!(pts.last(), Some(&990));
        assert_eq!(pts.first(), Some(&961));
        gop.push(&frame(1023, 1), true);
        assert_eq!(gop.frames().len(), 1);
    }

    #[test]
    fn an_endless_group_is_dropped_not_kept() {
        let mut gop = Gop::default();
        gop.push(&frame(0, BYTES_MAX - 10), true);
        gop.push(&frame(1, 20), false);
        gop.push(&frame(2, 20), false);
        assert!(gop.frames().is_empty());
        gop.push(&frame(3, 20), true);
        assert_eq!(gop.frames().len(), 1);
    }
}
