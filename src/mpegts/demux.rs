//! Demuxes a transport stream from a connection to tracks.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use gst::prelude::*;
use tokio_util::sync::CancellationToken;

use super::pcr::Pacer;
use super::program::Taken;
use super::psi::Tables;
use super::start_codes::join_start_codes;
use crate::flow::{self, Blame, DRAIN_MAX, Node, NodeEvent, SourceReport, Tracks};
use crate::media::{IgnorePoison, TrackChoice};

/// Most bytes that a reader returns at once, when the other end sends in bursts.
pub const BATCH_BYTES_MAX: usize = 32 << 10;

/// Most notes repeated in a refusal.
const REPEATED_NOTES_MAX: usize = 4;

/// Time limits for a publisher without useful data.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest time without a byte.
    pub silence: Duration,
    /// Longest time from connecting to the first video or audio.
    pub first_track: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { silence: Duration::from_secs(10), first_track: Duration::from_secs(10) }
    }
}

/// Why a reader returns no more bytes.
#[derive(Clone, Debug)]
pub enum ReadEnd {
    /// The connection has ended, with the message of its library.
    Closed(String),
    /// It is connected, but no data arrives.
    Silent,
    /// The node stops.
    Stopped,
}

/// A connection that carries a transport stream.
pub trait Connection: Send + Sync + 'static {
    /// Waits for the next bytes: at least one, about [`BATCH_BYTES_MAX`] at most. Blocks; checks
    /// `stop` at least four times a second.
    ///
    /// # Errors
    /// Why there are no more.
    fn read(&self, silence: Duration, stop: &CancellationToken) -> Result<Vec<u8>, ReadEnd>;

    /// Copies the statistics of the connection to the report that the API shows. Called once a
    /// second.
    fn report(&self, report: &SourceReport);

    /// Closes the connection. A waiting [`Self::read`] returns.
    fn close(&self);
}

/// Shared by the reading thread and the node.
struct Shared {
    connection: Arc<dyn Connection>,
    /// The node stops: read no more.
    stop: CancellationToken,
    end: OnceLock<ReadEnd>,
    ended: CancellationToken,
}

impl Shared {
    fn finish(&self, end: ReadEnd) {
        let _ = self.end.set(end);
        self.ended.cancel();
    }
}

/// Demuxes MPEG-TS from a connection into tracks, until `cancel`.
///
/// The connection is read on the pipeline's source thread, so that a publisher costs only this
/// thread and those of its library.
///
/// # Errors
/// [`flow::Error::Ended`] when the other end closed, [`flow::Error::Stalled`] when it fell silent,
/// a refusal when it sends neither video nor audio.
pub async fn demux(
    name: &str,
    connection: Arc<dyn Connection>,
    tracks: &Tracks,
    limits: Limits,
    cancel: &CancellationToken,
) -> Result<(), flow::Error> {
    let shared = Arc::new(Shared {
        connection,
        stop: CancellationToken::new(),
        end: OnceLock::new(),
        ended: CancellationToken::new(),
    });
    // The source thread waits on the connection. It has to return before the pipeline can stop,
    // also if this future is dropped early.
    let _let_go = shared.stop.clone().drop_guard();
    let node = build(name, &shared, tracks, limits)?;
    let result = match node.start().await {
        Ok(()) => follow(&node, &shared, tracks, limits, cancel).await,
        Err(e) => Err(e),
    };
    tracks.report.end();
    shared.stop.cancel();
    shared.connection.close();
    node.stop().await?;
    result
}

async fn follow(
    node: &Node,
    shared: &Shared,
    tracks: &Tracks,
    limits: Limits,
    cancel: &CancellationToken,
) -> Result<(), flow::Error> {
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            () = shared.ended.cancelled() => {
                // Demuxer and parsers still hold data from before the end.
                node.finish(DRAIN_MAX).await;
                return Err(reason(shared, limits));
            }
            event = node.next_event() => match event {
                Ok(NodeEvent::Element(_)) => {}
                // Without a track the demuxer reports the end of the stream as an error.
                _ if shared.end.get().is_some() => return Err(reason(shared, limits)),
                Ok(NodeEvent::Eos) => return Err(flow::Error::Ended),
                Err(e) => return Err(e),
            },
            _ = tick.tick() => {
                shared.connection.report(&tracks.report);
                let bare = tracks.video.age().is_none() && tracks.audio.age().is_none();
                if bare && started.elapsed() > limits.first_track {
                    return Err(bare_error(tracks));
                }
            }
        }
    }
}

/// The error when no usable media has arrived, with the notes.
fn bare_error(tracks: &Tracks) -> flow::Error {
    let mut message = "there is no picture and no sound in what it sends".to_owned();
    for (index, note) in tracks.report.notes().iter().take(REPEATED_NOTES_MAX).enumerate() {
        message.push_str(if index == 0 { ": " } else { "; " });
        message.push_str(note);
    }
    let hint = "send MPEG-TS with H.264, H.265 or MPEG-2 video and AAC, Opus, MP2, MP3, AC-3 or \
                E-AC-3 audio, and a file at its own pace (`-re` of ffmpeg)";
    flow::Error::refused(Blame::Input, message, hint)
}

fn reason(shared: &Shared, limits: Limits) -> flow::Error {
    match shared.end.get() {
        Some(ReadEnd::Silent) => flow::Error::Stalled(limits.silence),
        Some(ReadEnd::Closed(message)) => {
            tracing::debug!(%message, "the connection has ended");
            flow::Error::Ended
        }
        Some(ReadEnd::Stopped) | None => flow::Error::Ended,
    }
}

fn build(
    name: &str,
    shared: &Arc<Shared>,
    tracks: &Tracks,
    limits: Limits,
) -> Result<Node, flow::Error> {
    let node = Node::empty(name);
    let pipeline = node.pipeline();
    let caps = gst::Caps::builder("video/mpegts").field("systemstream", true).build();
    let source =
        gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).is_live(true).build();
    let demux = gst::ElementFactory::make("tsdemux")
        .build()
        .map_err(|_| flow::Error::MissingElement { factory: "tsdemux".into() })?;
    pipeline
        .add_many([source.upcast_ref(), &demux])
        .and_then(|()| source.link(&demux))
        .map_err(|e| flow::Error::build(name, e))?;

    let (reader, counted) = (shared.clone(), tracks.report.clone());
    let taken = Arc::new(Mutex::new(Taken::default()));
    let mut pacer = Pacer::default();
    let mut guide = Guide::new(&demux, tracks, &taken);
    let on_need = move |source: &gst_app::AppSrc, _| match reader
        .connection
        .read(limits.silence, &reader.stop)
    {
        Ok(bytes) => {
            counted.add_bytes(bytes.len());
            // Must run before the demuxer reads the same tables.
            guide.read(&bytes, &mut pacer);
            let now = flow::now().nseconds();
            let pieces = pacer.pace(bytes, now);
            // Each of them: a burst of more than a second would pass for a jump of the clock.
            for media_ms in pacer.references_ms() {
                counted.follow_pace(*media_ms, Duration::from_nanos(now));
            }
            for (piece, due) in pieces {
                let mut buffer = gst::Buffer::from_mut_slice(piece);
                let due = Some(gst::ClockTime::from_nseconds(due.min(u64::MAX - 1)));
                let writable = buffer.make_mut();
                writable.set_pts(due);
                writable.set_dts(due);
                // Refused only while the pipeline is stopping.
                let _ = source.push_buffer(buffer);
            }
        }
        Err(end) => {
            if !matches!(end, ReadEnd::Stopped) {
                reader.finish(end);
            }
            let _ = source.end_of_stream();
        }
    };
    source.set_callbacks(gst_app::AppSrcCallbacks::builder().need_data(on_need).build());
    follow_pads(&demux, pipeline, tracks, taken);
    Ok(node)
}

/// Reads the tables of the stream and sets the demuxer's programme.
struct Guide {
    tables: Tables,
    demux: gst::glib::WeakRef<gst::Element>,
    choice: TrackChoice,
    report: Arc<SourceReport>,
    taken: Arc<Mutex<Taken>>,
}

impl Guide {
    fn new(demux: &gst::Element, tracks: &Tracks, taken: &Arc<Mutex<Taken>>) -> Self {
        Self {
            tables: Tables::default(),
            demux: demux.downgrade(),
            choice: tracks.choice.clone(),
            report: tracks.report.clone(),
            taken: taken.clone(),
        }
    }

    fn read(&mut self, bytes: &[u8], pacer: &mut Pacer) {
        if !self.tables.push(bytes) {
            return;
        }
        let now = Taken::choose(&self.tables, &self.choice);
        if let (Some(demux), Some(program)) = (self.demux.upgrade(), now.program) {
            demux.set_property("program-number", i32::from(program));
        }
        if let Some(clock) = now.clock {
            pacer.follow(clock, flow::now().nseconds());
        }
        now.notes.iter().for_each(|note| self.report.note(note));
        *self.taken.lock().ignore_poison() = now;
    }
}

/// Connects the demuxer's pads when they are added, and detaches them when removed: a programme may
/// change its tracks while it runs.
fn follow_pads(
    demux: &gst::Element,
    pipeline: &gst::Pipeline,
    tracks: &Tracks,
    taken: Arc<Mutex<Taken>>,
) {
    let (weak, into) = (pipeline.downgrade(), tracks.clone());
    demux.connect_pad_added(move |demux, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        let caps = pad.current_caps();
        let name = caps.as_ref().and_then(|c| Some(c.structure(0)?.name().as_str()));
        if matches!(name, Some("video/x-h264" | "video/x-h265")) {
            join_start_codes(pad);
        }
        // The demuxer removes pads of a replaced programme only after it has added the new ones.
        let replaced =
            demux.src_pads().into_iter().filter(|old| generation(old) != generation(pad));
        replaced.for_each(|old| into.detach_pad(&pipeline, &old));
        let track = taken.lock().ignore_poison().of_pad(&pad.name());
        match track {
            Some(track) => into.attach_pad_with(&pipeline, pad, caps, &track),
            // The programme's table has already produced a note.
            None => into.ignore_pad(&pipeline, pad, "", ""),
        }
    });
    let (weak, into) = (pipeline.downgrade(), tracks.clone());
    demux.connect_pad_removed(move |_, pad| {
        if let Some(pipeline) = weak.upgrade() {
            into.detach_pad(&pipeline, pad);
        }
    });
}

/// Number of the programme of a pad, counted by the demuxer: `video_1_0100` is of the second.
fn generation(pad: &gst::Pad) -> Option<String> {
    pad.name().split('_').nth(1).map(str::to_owned)
}
