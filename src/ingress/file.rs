//! A media file as an endless live source, without a gap where it begins again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;

use super::pads;
use crate::flow::{self, Blame, Error, Intake, Node, Tracks};

/// Plays a file of any container that GStreamer reads, in real time and in a loop, until the
/// stream wants it gone. Nothing is decoded.
///
/// Every round is a pipeline of its own, shifted by the length of the rounds before: timestamps
/// go on where the last round ended, whatever the container can or cannot seek.
///
/// # Errors
/// When the file cannot be read or has neither video nor audio that we know.
pub async fn run(intake: Intake, path: &Path) -> Result<(), Error> {
    if let Err(error) = std::fs::File::open(path) {
        return Err(Error::refused(
            Blame::Input,
            format!("cannot read `{}`: {error}", path.display()),
            "check the path and that the appliance's user may read the file",
        ));
    }
    let mut start = flow::now();
    loop {
        let round = Round { start, end: Arc::new(AtomicU64::new(0)) };
        let node = round.build(path, &intake.tracks)?;
        match pads::run_watched(&node, &intake).await {
            Err(Error::Ended) => start = round.end(path)?,
            outcome => return outcome,
        }
    }
}

/// One time through the file.
#[derive(Clone)]
struct Round {
    /// Running time at which the file's time zero lies.
    start: gst::ClockTime,
    /// Where its last buffer ended, in nanoseconds of the file's own time.
    end: Arc<AtomicU64>,
}

impl Round {
    fn build(&self, path: &Path, tracks: &Tracks) -> Result<Node, Error> {
        let node = Node::parse("file source", "filesrc name=in ! parsebin name=demux")?;
        node.element("in")?.set_property("location", path);
        let (round, tracks) = (self.clone(), tracks.clone());
        let pipeline = node.pipeline().downgrade();
        node.element("demux")?.connect_pad_added(move |demux, pad| {
            if let Some(pipeline) = pipeline.upgrade() {
                pads::report(demux, round.attach(&pipeline, pad, &tracks));
            }
        });
        Ok(node)
    }

    /// Puts a track on the clock: `clocksync` makes it as slow as real time.
    fn attach(
        &self,
        pipeline: &gst::Pipeline,
        pad: &gst::Pad,
        tracks: &Tracks,
    ) -> Result<(), Error> {
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
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer() {
                report.add_bytes(buffer.size());
                let length = buffer.duration().unwrap_or_default();
                let until = buffer.pts().map_or(0, |t| (t + length).nseconds());
                end.fetch_max(until, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
        // The parsed caps are known on this pad now; the branch behind needs them at once.
        let caps = pad.current_caps();
        pad.link(&entry).map_err(|e| Error::build("clocksync", e))?;
        tracks.attach_pad_with(pipeline, &exit, caps)
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
