//! Writes packets to feeds: one small pipeline per track, `appsrc ! parser ! appsink`.

use bytes::Bytes;
use gst::prelude::*;

use super::record;
use super::tag::Packet;
use crate::flow::{Blame, DRAIN_MAX, Error, Node, NodeEvent, Tracks};
use crate::media::{Codec, Kind};

/// More bytes than this before a parser mean that the machine cannot keep up.
const QUEUED_BYTES_MAX: u64 = 32 << 20;

/// Maximum number of failed tracks of one publisher.
const FAILURES_MAX: u32 = 8;

/// Origin of a publisher's time, in milliseconds: large enough that a negative composition offset
/// or a backward step stays above zero.
const TIME_BASE_MS: i64 = 1 << 33;

/// Writes one publisher's packets to the feeds of its stream.
pub(super) struct Feeder {
    tracks: Tracks,
    video: Option<Track>,
    audio: Option<Track>,
    time: Unwrapped,
    /// Number of tracks that were restarted.
    failures: u32,
}

/// One track with its pipeline.
struct Track {
    codec: Codec,
    record: Bytes,
    /// The previous record, in case the current one is unusable.
    previous: Option<Bytes>,
    node: Node,
    source: gst_app::AppSrc,
}

impl Feeder {
    /// A feeder without tracks: packets create them.
    pub(super) fn new(tracks: Tracks) -> Self {
        Self { tracks, video: None, audio: None, time: Unwrapped::default(), failures: 0 }
    }

    /// Takes one packet with its decode time in milliseconds, which wraps at 2^32. An unusable
    /// packet is noted and dropped, because the next one may be usable.
    ///
    /// # Errors
    /// A pipeline does not start or stop, or the machine cannot keep up.
    pub(super) async fn take(&mut self, timestamp: u32, packet: Packet) -> Result<(), Error> {
        let time_ms = self.time.follow(timestamp);
        match packet {
            // VP8 key frames contain the size; the record has less information.
            Packet::Config { codec: Codec::Vp8, .. } => Ok(()),
            Packet::Config { codec, record } => self.configure(codec, record).await,
            Packet::Frame { codec, key, composition_ms, data } => {
                if let Some(record) = record::of_key_frame(codec, &data) {
                    self.configure(codec, record).await?;
                }
                if self.slot(codec.kind()).as_ref().is_none_or(|t| t.codec != codec) {
                    if record::is_required(codec) {
                        let text = format!(
                            "{codec} before its sequence header or first key frame is dropped"
                        );
                        self.tracks.report.note(text);
                        return Ok(());
                    }
                    self.configure(codec, Bytes::new()).await?;
                }
                let pts_ms = time_ms + i64::from(composition_ms);
                match self.slot(codec.kind()) {
                    Some(track) => track.push(time_ms, pts_ms, key, &data),
                    None => Ok(()),
                }
            }
            Packet::Nothing => Ok(()),
        }
    }

    fn slot(&mut self, kind: Kind) -> &mut Option<Track> {
        match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        }
    }

    /// Applies a configuration record: the first one, a changed one, or one of another codec. A
    /// broken record is ignored: ffmpeg sends an empty one before it has the real one.
    async fn configure(&mut self, codec: Codec, record: Bytes) -> Result<(), Error> {
        let caps = match record::caps(codec, &record) {
            Ok(caps) => caps,
            Err(why) => {
                let text = format!("a sequence header of {codec} is ignored: {why}");
                self.tracks.report.note(text);
                return Ok(());
            }
        };
        if let Some(track) = self.slot(codec.kind()).as_mut().filter(|t| t.codec == codec) {
            if track.record != record {
                track.source.set_caps(Some(&caps));
                track.previous = Some(std::mem::replace(&mut track.record, record));
            }
            return Ok(());
        }
        if let Some(old) = self.slot(codec.kind()).take() {
            old.node.stop().await?;
        }
        let track = Track::open(codec, record, &caps, &self.tracks).await?;
        *self.slot(codec.kind()) = Some(track);
        Ok(())
    }

    /// Waits until the pipeline of a track fails; forever while there is none.
    pub(super) async fn failed(&self) -> (Kind, Error) {
        let of = async |track: &Option<Track>| -> Error {
            let Some(track) = track else { return std::future::pending().await };
            loop {
                match track.node.next_event().await {
                    Err(error) => return error,
                    Ok(NodeEvent::Eos) => return Error::Ended,
                    Ok(NodeEvent::Element(_)) => {}
                }
            }
        };
        tokio::select! {
            error = of(&self.video) => (Kind::Video, error),
            error = of(&self.audio) => (Kind::Audio, error),
        }
    }

    /// Restarts a failed track, so that its failure affects nothing else.
    ///
    /// # Errors
    /// The failure itself if there were too many, or a pipeline that does not start or stop.
    pub(super) async fn recover(&mut self, kind: Kind, error: Error) -> Result<(), Error> {
        let Some(failed) = self.slot(kind).take() else { return Ok(()) };
        failed.node.stop().await?;
        self.failures += 1;
        if self.failures > FAILURES_MAX {
            return Err(error);
        }
        self.tracks.report.note(format!("{} has begun anew after: {error}", failed.codec));
        self.configure(failed.codec, failed.previous.unwrap_or(failed.record)).await
    }

    /// Flushes what the parsers still hold of a publisher that has left.
    pub(super) async fn drain(&self) {
        let finish = async |track: &Option<Track>| match track {
            Some(track) => track.node.finish(DRAIN_MAX).await,
            None => true,
        };
        tokio::join!(finish(&self.video), finish(&self.audio));
    }

    /// Stops the pipelines.
    ///
    /// # Errors
    /// [`Error::Frozen`].
    pub(super) async fn stop(self) -> Result<(), Error> {
        for track in [self.video, self.audio].into_iter().flatten() {
            track.node.stop().await?;
        }
        Ok(())
    }
}

impl Track {
    async fn open(
        codec: Codec,
        record: Bytes,
        caps: &gst::Caps,
        tracks: &Tracks,
    ) -> Result<Self, Error> {
        let name = format!("rtmp.{}", codec.kind());
        let node = Node::empty(&name);
        let source = gst_app::AppSrc::builder()
            .caps(caps)
            .format(gst::Format::Time)
            .is_live(true)
            .max_bytes(0)
            .build();
        node.pipeline().add(&source).map_err(|e| Error::build(&name, e))?;
        let pad = source.static_pad("src").ok_or_else(|| Error::build(&name, "no pad"))?;
        tracks.attach_pad_with(node.pipeline(), &pad, Some(caps.clone()), "a track by RTMP");
        node.start().await?;
        Ok(Self { codec, record, previous: None, node, source })
    }

    fn push(&self, dts_ms: i64, pts_ms: i64, key: bool, data: &Bytes) -> Result<(), Error> {
        if self.source.current_level_bytes() > QUEUED_BYTES_MAX {
            let message = format!("{} comes faster than it is parsed", self.codec);
            return Err(Error::refused(Blame::Us, message, "lower the bitrate or the load"));
        }
        let header =
            if key { record::missing_header(self.codec, &self.record, data) } else { None };
        let mut buffer = match header {
            Some(header) => gst::Buffer::from_slice([&header[..], &data[..]].concat()),
            None => gst::Buffer::from_slice(data.clone()),
        };
        let at = |ms: i64| gst::ClockTime::from_mseconds(u64::try_from(ms).unwrap_or(0));
        let writable = buffer.make_mut();
        writable.set_pts(at(pts_ms));
        if self.codec.kind() == Kind::Video {
            writable.set_dts(at(dts_ms));
        }
        if !key {
            writable.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        // If this push is refused, the cause is or will be an error on the bus.
        let _ = self.source.push_buffer(buffer);
        Ok(())
    }
}

/// Unwraps milliseconds that wrap at 2^32.
#[derive(Default)]
struct Unwrapped {
    last: Option<(u32, i64)>,
}

impl Unwrapped {
    fn follow(&mut self, timestamp: u32) -> i64 {
        let time = match self.last {
            None => TIME_BASE_MS,
            // The shorter direction is the right one, also for a backward step.
            Some((last, time)) => {
                let step = timestamp.wrapping_sub(last).cast_signed();
                time.saturating_add(step.into())
            }
        };
        self.last = Some((timestamp, time));
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_when_the_counter_wraps() {
        let mut time = Unwrapped::default();
        let start = time.follow(0xffff_fff0);
        assert_eq!(time.follow(0x10) - start, 0x20);
        assert_eq!(time.follow(0x08) - start, 0x18, "a little late");
        assert_eq!(time.follow(0xffff_ffff) - start, 0x0f, "back over the edge");
    }
}
