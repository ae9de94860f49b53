//! A media file as an endless live source, looped without a gap.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;
use serde::{Deserialize, Serialize};

use super::contents::{self, Chosen};
pub use super::file_folders::Config;
use super::pads;
use super::source::{PulledSource, SourceContext};
use crate::flow::files::{self, Opened};
use crate::flow::{self, Blame, Error, Node, Tracks, containers};
use crate::media::{InvalidSetting, Protocol};
use crate::mpegts::Tables;

/// Bytes that suffice to identify a file, even after a large ID3 tag.
const HEAD_BYTES_MAX: u64 = 1 << 20;

/// A file of any container that GStreamer reads, played in real time and in a loop. Nothing is
/// decoded.
///
/// Every round is a new pipeline, shifted by the length of the previous rounds: timestamps continue
/// where the last round ended, even if the container cannot seek.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// Path on the appliance.
    #[schema(example = "/srv/media/film.mp4")]
    path: String,
}

impl FileSource {
    /// The file at this path of the appliance.
    pub fn new(path: String) -> Self {
        Self { path }
    }
}

impl PulledSource for FileSource {
    const PROTOCOL: Protocol = Protocol::File;
    const READS_FILES: bool = true;

    fn shown(&self) -> String {
        self.path.clone()
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        let problem = self.path.is_empty().then(|| "it is empty".to_owned());
        InvalidSetting::check("path", problem)
    }

    /// Fails if the file is in a folder that is not allowed, is not media, cannot be read, or has
    /// no known video or audio.
    async fn run(self, context: SourceContext) -> Result<(), Error> {
        let (intake, path, config) = (&context.intake, Path::new(&self.path), &context.files);
        let mut start = flow::now();
        let mut chosen = (None, Arc::new(Chosen::First));
        loop {
            let Found { file, identity, tables } = open(path, config, chosen.0).await?;
            if chosen.0 != Some(identity) {
                let choose = Chosen::new(&file, tables.as_ref(), &intake.tracks);
                let choice = tokio::select! {
                    choice = choose => choice?,
                    () = intake.cancel.cancelled() => return Ok(()),
                };
                chosen = (Some(identity), Arc::new(choice));
                // The time spent on reading the tracks is not part of the programme.
                start = start.max(flow::now());
            }
            let round = Round { start, end: Arc::new(AtomicU64::new(0)), chosen: chosen.1.clone() };
            let node = round.build(&file, &intake.tracks)?;
            context.status.set_running();
            match pads::run_watched(&node, intake).await {
                Err(Error::Ended) => start = round.end(path)?,
                outcome => return outcome,
            }
        }
    }
}

/// A file that may be played.
struct Found {
    file: Opened,
    identity: Identity,
    /// Its tables, if it is a transport stream and not the known file.
    tables: Option<Tables>,
}

/// Device, inode, size and modification time: they identify a file.
type Identity = (u64, u64, u64, i64, i64);

/// Opens a file that may be a source. Reads its tables unless it is the `known` one.
async fn open(path: &Path, config: &Config, known: Option<Identity>) -> Result<Found, Error> {
    let config = config.clone();
    let look = move |path: &Path| {
        let opened = files::open_regular(path).map_err(|e| files::unreadable(path, &e))?;
        if !config.allows(&opened.path) {
            return Err(Error::refused(
                Blame::Input,
                format!("`{}` lies in no folder that sources may be in", path.display()),
                "move it into one of `file_folders` in [sources] of the configuration",
            ));
        }
        read_head(opened, known).map_err(|e| files::unreadable(path, &e))?
    };
    files::within(path, files::OPEN_MAX, look).await?
}

/// Identifies a file. The outer error is a read error.
fn read_head(opened: Opened, known: Option<Identity>) -> std::io::Result<Result<Found, Error>> {
    let mut file = &opened.file;
    let is = file.metadata()?;
    let identity = (is.dev(), is.ino(), is.len(), is.mtime(), is.mtime_nsec());
    let mut head = Vec::new();
    file.take(HEAD_BYTES_MAX).read_to_end(&mut head)?;
    let is_new_transport = match containers::check(&head) {
        Ok(kind) => kind == "video/mpegts" && known != Some(identity),
        Err(refused) => return Ok(Err(refused)),
    };
    let tables = is_new_transport.then(|| contents::read_tables(&head, &mut file)).transpose()?;
    Ok(Ok(Found { file: opened, identity, tables }))
}

/// One pass through the file.
#[derive(Clone)]
struct Round {
    /// Running time of the file's time zero.
    start: gst::ClockTime,
    /// End of its last buffer, in nanoseconds of running time: MPEG-TS does not begin at zero.
    end: Arc<AtomicU64>,
    chosen: Arc<Chosen>,
}

impl Round {
    fn build(&self, file: &Opened, tracks: &Tracks) -> Result<Node, Error> {
        let node = Node::parse("file source", "filesrc name=in ! parsebin name=demux")?;
        // The file that was examined is played, even if its name now refers to another one.
        node.element("in")?.set_property("location", file.handle());
        let demux = node.element("demux")?;
        containers::guard(&demux);
        self.chosen.steer(&demux);
        let (round, tracks) = (self.clone(), tracks.clone());
        let pipeline = node.pipeline().downgrade();
        demux.connect_pad_added(move |demux, pad| {
            if let Some(pipeline) = pipeline.upgrade() {
                pads::report(demux, round.attach(&pipeline, pad, &tracks));
            }
        });
        Ok(node)
    }

    /// Attaches a chosen track: `clocksync` slows it down to real time.
    fn attach(
        &self,
        pipeline: &gst::Pipeline,
        pad: &gst::Pad,
        tracks: &Tracks,
    ) -> Result<(), Error> {
        let Some(name) = self.chosen.of_pad(pad) else {
            // The notes already list it.
            tracks.ignore_pad(pipeline, pad, "", "");
            return Ok(());
        };
        let sync = gst::ElementFactory::make("clocksync")
            .build()
            .map_err(|_| Error::MissingElement { factory: "clocksync".into() })?;
        pipeline.add(&sync).map_err(|e| Error::build("clocksync", e))?;
        sync.sync_state_with_parent().map_err(|e| Error::build("clocksync", e))?;
        let (Some(entry), Some(exit)) = (sync.static_pad("sink"), sync.static_pad("src")) else {
            return Err(Error::build("clocksync", "it has no pads"));
        };
        entry.set_offset(i64::try_from(self.start.nseconds()).unwrap_or(i64::MAX));
        let (end, report) = (self.end.clone(), tracks.report.clone());
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(buffer) = info.buffer() {
                report.add_bytes(buffer.size());
                let until = running_time(pad, buffer)
                    .map_or(0, |t| (t + buffer.duration().unwrap_or_default()).nseconds());
                end.fetch_max(until, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
        // This pad now knows the parsed caps, which the next branch needs at once.
        let caps = pad.current_caps();
        pad.link(&entry).map_err(|e| Error::build("clocksync", e))?;
        tracks.attach_pad_with(pipeline, &exit, caps, &name);
        Ok(())
    }

    /// Running time at which the next round starts.
    fn end(&self, path: &Path) -> Result<gst::ClockTime, Error> {
        match self.end.load(Ordering::Relaxed) {
            0 => Err(Error::refused(
                Blame::Input,
                format!("`{}` has neither video nor audio that can be used", path.display()),
                "give a media file; `ffprobe` shows what is in it",
            )),
            length => Ok(self.start + gst::ClockTime::from_nseconds(length)),
        }
    }
}

/// Running time of a buffer, from the segment of its pad.
fn running_time(pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    event.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(buffer.pts()?)
}
