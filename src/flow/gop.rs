//! Recent frames of a writer: the group of pictures (GOP) that a late joiner needs, and frames that
//! arrived while the writer stood by.

use std::collections::VecDeque;

/// Most frames kept: 20 s at 30 fps. A longer GOP is not worth replaying.
const GOP_FRAMES_MAX: usize = 600;

/// Most bytes kept. One frame may be larger.
const GOP_BYTES_MAX: usize = 6 << 20;

/// Most bytes of raw video, which is kept only until the first consumer has it: half a second of
/// 1080p.
const RAW_BYTES_MAX: usize = 48 << 20;

/// How long video of earlier GOPs is kept: a recording waits 2 s for the second track of a stream
/// and still begins with the first picture.
const VIDEO_KEPT: gst::ClockTime = gst::ClockTime::from_seconds(3);

/// How long audio is kept: a recording that begins with the last key frame needs the audio since
/// then.
const AUDIO_KEPT: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// How long raw audio is kept: an encoder that a recording requests begins with the first picture
/// of the recording.
pub const RAW_AUDIO_KEPT: gst::ClockTime = VIDEO_KEPT;

/// How long raw video is kept at most.
const RAW_VIDEO_KEPT: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// A frame that arrived at most this long before its writer follows another is sent; older frames
/// only if decoding needs them.
const RECENT_AGE_MAX: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// Distance between squeezed frames in a replay.
const SQUEEZED_DISTANCE: gst::ClockTime = gst::ClockTime::from_mseconds(1);

/// One access unit of video or packet of audio with its place on the clock.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) buffer: gst::Buffer,
    pub(super) caps: gst::Caps,
    /// Decoding can start here.
    pub(super) is_key: bool,
    /// It is an H.264 recovery point instead of an IDR picture.
    pub(super) recovers: bool,
    /// Running time at which it was written.
    pub(super) arrived: gst::ClockTime,
    /// It is older than the node that made it: not live media, only for consumers that begin in the
    /// past.
    pub(super) is_past: bool,
    /// It has been sent to the feed's consumers.
    pub(super) sent: bool,
}

impl Frame {
    /// Decode time.
    pub(super) fn dts(&self) -> Option<gst::ClockTime> {
        self.buffer.dts_or_pts()
    }

    /// How long frames like this are kept, and how many bytes of them.
    fn bounds(&self) -> (gst::ClockTime, usize) {
        match self.caps.structure(0).map(|s| s.name().as_str()) {
            Some("video/x-raw") => (RAW_VIDEO_KEPT, RAW_BYTES_MAX),
            Some("audio/x-raw") => (RAW_AUDIO_KEPT, GOP_BYTES_MAX),
            Some(name) if name.starts_with("audio/") => (AUDIO_KEPT, GOP_BYTES_MAX),
            _ => (VIDEO_KEPT, GOP_BYTES_MAX),
        }
    }
}

/// The newest frames of one writer in groups, each of which begins with a key frame. Bounded in
/// number, bytes and age.
#[derive(Default)]
pub(super) struct Gop {
    groups: VecDeque<Vec<Frame>>,
    frames: usize,
    bytes: usize,
    bytes_max: usize,
    /// The newest GOP exceeded the bounds: nothing is kept until the next key frame.
    overflown: bool,
}

impl Gop {
    /// Adds the next frame; returns the number of unsent frames that were dropped for it.
    pub(super) fn push(&mut self, frame: Frame) -> u64 {
        let now = frame.arrived;
        let size = frame.buffer.size();
        let kept;
        (kept, self.bytes_max) = frame.bounds();
        if frame.is_key {
            self.overflown = false;
        } else if self.groups.is_empty() || self.overflown {
            return u64::from(!frame.sent);
        }
        self.frames += 1;
        self.bytes += size;
        match self.groups.back_mut().filter(|_| !frame.is_key) {
            Some(newest) => newest.push(frame),
            None => self.groups.push_back(vec![frame]),
        }
        let mut given_up = 0;
        let is_old = |next: &Vec<Frame>| next.first().is_some_and(|f| f.arrived + kept < now);
        while self.groups.get(1).is_some_and(|next| self.is_full() || is_old(next)) {
            given_up += self.drop_oldest();
        }
        if self.is_full() && self.frames > 1 {
            self.overflown = true;
            given_up += self.clear();
        }
        given_up
    }

    fn is_full(&self) -> bool {
        self.frames > GOP_FRAMES_MAX || self.bytes > self.bytes_max
    }

    fn drop_oldest(&mut self) -> u64 {
        let group = self.groups.pop_front().unwrap_or_default();
        self.frames -= group.len();
        self.bytes -= group.iter().map(|f| f.buffer.size()).sum::<usize>();
        group.iter().filter(|f| !f.sent).count() as u64
    }

    /// Drops all frames; returns how many of them were unsent.
    pub(super) fn clear(&mut self) -> u64 {
        let mut given_up = 0;
        while !self.groups.is_empty() {
            given_up += self.drop_oldest();
        }
        given_up
    }

    /// The newest GOP with its true timestamps.
    pub(super) fn frames(&self) -> &[Frame] {
        self.groups.back().map_or(&[], Vec::as_slice)
    }

    /// All kept groups, beginning with the one that this time lies in.
    pub(super) fn kept_from(&self, from: gst::ClockTime) -> impl Iterator<Item = &Frame> {
        let begins_by = |group: &Vec<Frame>| {
            group.first().and_then(Frame::dts).is_some_and(|first| first <= from)
        };
        let first = self.groups.iter().rposition(begins_by).unwrap_or(0);
        self.groups.iter().skip(first).flatten()
    }

    /// Kept frames from this time on: for audio, where each packet is a group.
    pub(super) fn since(&self, start: gst::ClockTime) -> impl Iterator<Item = &Frame> {
        self.groups.iter().flatten().filter(move |f| f.dts().is_some_and(|t| t >= start))
    }

    /// What is sent when the writer becomes active at `now`: recent unsent frames and what is
    /// needed to decode them. With no active writer before (`is_first`), recent means the last
    /// seconds: a slow machine may take a while to notice a publisher.
    pub(super) fn to_send(&self, now: gst::ClockTime, is_first: bool) -> Vec<Frame> {
        let recent = if is_first { VIDEO_KEPT } else { RECENT_AGE_MAX };
        let is_new = |f: &Frame| !f.sent && f.arrived + recent >= now;
        let first = self.groups.iter().position(|group| group.iter().any(is_new));
        // Newer frames still refer to old ones.
        let first = first.unwrap_or(self.groups.len().saturating_sub(1));
        self.groups.iter().skip(first).flatten().cloned().collect()
    }

    /// The newest GOP squeezed into the last milliseconds: a player decodes it as fast as it can
    /// and shows the newest picture at once, at the live edge. Only correct for codecs and streams
    /// that do not reorder frames.
    pub(super) fn squeezed(&self) -> Vec<gst::Buffer> {
        let frames = self.frames();
        let Some(last) = frames.last().and_then(|f| f.buffer.pts()) else { return Vec::new() };
        let count = frames.len() as u64;
        let copy = |(index, frame): (usize, &Frame)| {
            let mut frame = frame.buffer.copy();
            let before_last = SQUEEZED_DISTANCE * (count - 1 - index as u64);
            let at = last.saturating_sub(before_last);
            if let Some(frame) = frame.get_mut() {
                frame.set_pts(at);
                frame.set_dts(at);
                frame.set_duration(SQUEEZED_DISTANCE);
            }
            frame
        };
        frames.iter().enumerate().map(copy).collect()
    }
}

/// Moves the frames at or before `last` into the interval between `last` and the first later frame,
/// in order: a decoder needs them, and time in a feed does not run backwards. Returns false and
/// changes nothing if no frame is later than `last` yet.
pub(super) fn squeeze_behind(frames: &mut [Frame], last: gst::ClockTime) -> bool {
    let Some(first) = frames.first().and_then(Frame::dts) else { return false };
    if first > last {
        return true;
    }
    let behind = |f: &Frame| f.dts().filter(|t| *t > last);
    let Some((count, next)) =
        frames.iter().enumerate().find_map(|(n, f)| Some((n as u64, behind(f)?)))
    else {
        return false;
    };
    // Times before `next` shrink towards it, which keeps the order of reordered frames.
    let room = (next - last).nseconds();
    let room = u128::from(room - room / (count + 1));
    let whole = u128::from((next - first).nseconds().max(1));
    let moved = |t: gst::ClockTime| {
        let before = u128::from(next.saturating_sub(t).nseconds()) * room / whole;
        let before = gst::ClockTime::from_nseconds(u64::try_from(before).unwrap_or(u64::MAX));
        if t < next { next.saturating_sub(before) } else { t }
    };
    for frame in frames {
        let (pts, dts) = (frame.buffer.pts(), frame.buffer.dts());
        let buffer = frame.buffer.make_mut();
        buffer.set_pts(pts.map(moved));
        buffer.set_dts(dts.map(moved));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> gst::ClockTime {
        gst::ClockTime::from_mseconds(n)
    }

    fn frame(at_ms: u64, size: usize, is_key: bool) -> Frame {
        gst::init().expect("GStreamer starts");
        let mut buffer = gst::Buffer::with_size(size).expect("allocates");
        buffer.get_mut().expect("sole owner").set_pts(ms(at_ms));
        let caps = gst::Caps::new_empty_simple("video/x-vp8");
        Frame {
            buffer,
            caps,
            is_key,
            recovers: false,
            arrived: ms(at_ms),
            is_past: false,
            sent: false,
        }
    }

    fn times(frames: &[Frame]) -> Vec<u64> {
        frames.iter().filter_map(|f| Some(f.dts()?.mseconds())).collect()
    }

    #[test]
    fn keeps_from_the_last_key_frame_and_squeezes_to_the_live_edge() {
        let mut gop = Gop::default();
        gop.push(frame(0, 1, false));
        assert!(gop.frames().is_empty(), "nothing decodable before a key frame");
        gop.push(frame(33, 1, true));
        for n in 2..=30 {
            gop.push(frame(33 * n, 1, false));
        }
        let squeezed = gop.squeezed();
        assert_eq!(squeezed.len(), 30);
        let pts: Vec<_> = squeezed.iter().map(|b| b.pts().expect("set").mseconds()).collect();
        assert_eq!(pts.last(), Some(&990));
        assert_eq!(pts.first(), Some(&961));
        gop.push(frame(1023, 1, true));
        assert_eq!(gop.frames().len(), 1);
    }

    #[test]
    fn an_endless_group_is_dropped_not_kept() {
        let mut gop = Gop::default();
        gop.push(frame(0, GOP_BYTES_MAX - 10, true));
        assert_eq!(gop.push(frame(1, 20, false)), 2, "both are given up");
        gop.push(frame(2, 20, false));
        assert!(gop.frames().is_empty());
        gop.push(frame(3, 20, true));
        assert_eq!(gop.frames().len(), 1);
        gop.push(frame(4, GOP_BYTES_MAX + 1, true));
        assert_eq!(times(gop.frames()), [4], "a large first frame is kept alone");
    }

    #[test]
    fn what_came_just_now_goes_out_with_what_it_needs() {
        let mut gop = Gop::default();
        for n in 0..100 {
            gop.push(frame(n * 40, 1, n % 20 == 0));
        }
        assert_eq!(times(&gop.to_send(ms(4000), false))[0], 2400, "the group that 3000 ms is in");
        assert_eq!(times(&gop.to_send(ms(4000), true))[0], 800, "a first publisher, seen late");
        let first_kept = |from| gop.kept_from(from).next().and_then(Frame::dts);
        assert_eq!(first_kept(ms(0)), Some(ms(800)), "960 ms is 3 s before the newest");
        assert_eq!(first_kept(ms(2410)), Some(ms(2400)), "the group that 2410 ms is in");
        assert_eq!(first_kept(ms(9000)), Some(ms(3200)), "the newest in any case");
        assert_eq!(
            times(&gop.to_send(ms(60_000), false))[0],
            3200,
            "the current group in any case"
        );
        let mut audio = Gop::default();
        for n in 0..800 {
            audio.push(frame(n * 20, 1, true));
        }
        assert_eq!(audio.since(ms(15_000)).count(), 50);
        assert!(audio.since(ms(0)).count() <= 502, "10 s are kept");
        assert_eq!(times(&audio.to_send(ms(16_000), false))[0], 15_000);
    }

    #[test]
    fn what_is_behind_is_squeezed_in_order_and_what_is_not_keeps_its_time() {
        let all = || -> Vec<Frame> { (0..5).map(|n| frame(1000 + n * 40, 1, n == 0)).collect() };
        let mut frames = all();
        assert!(squeeze_behind(&mut frames, ms(900)));
        assert_eq!(times(&frames), [1000, 1040, 1080, 1120, 1160]);
        assert!(squeeze_behind(&mut frames, ms(1100)));
        assert_eq!(times(&frames), [1105, 1110, 1115, 1120, 1160]);
        assert!(!squeeze_behind(&mut all(), ms(1160)), "all are behind");
    }

    #[test]
    fn squeezing_keeps_reordered_pictures_behind_their_decode_times() {
        let mut frames: Vec<Frame> = (0..4).map(|n| frame(1000 + n * 40, 1, n == 0)).collect();
        for (frame, pts) in frames.iter_mut().zip([1040, 1160, 1080, 1120]) {
            let dts = frame.buffer.pts();
            let buffer = frame.buffer.make_mut();
            buffer.set_dts(dts);
            buffer.set_pts(ms(pts));
        }
        assert!(squeeze_behind(&mut frames, ms(1070)));
        let shown: Vec<_> = frames.iter().filter_map(|f| f.buffer.pts()).collect();
        assert!(frames.iter().all(|f| f.buffer.pts() >= f.buffer.dts()));
        assert!(shown[0] < shown[2] && shown[2] < shown[3] && shown[3] < shown[1], "{shown:?}");
    }
}
