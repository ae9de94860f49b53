//! The thread that encodes and writes: disks may stall for seconds, media must not.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, UNIX_EPOCH};

use auralink_codec::{Model, RATE_HZ};
use chrono::{DateTime, Utc};

use super::file::VoiceFile;
use crate::aic::weights::ModelId;
use crate::egress::heard::Heard;
use crate::egress::record::policy::Pace;
use crate::egress::record::sidecar::Begun;
use crate::egress::record::thread::Output;
use crate::egress::record::writer::{CLOCK_STEP_MAX, ROTATE_EVERY, explain};
use crate::egress::record::{Settings, rotate};
use crate::flow::{self, Error};

/// Audio that is further from where it should be than this, in samples (40 ms), is not the
/// continuation of what came before.
const JITTER_SAMPLES_MAX: u64 = 40 * RATE_HZ as u64 / 1000;

/// After a longer silence a new file begins.
const GAP_MAX: Duration = Duration::from_secs(10);

/// Writes queued audio into files until the queue ends.
pub(super) struct Writer {
    output: Output,
    model: (Arc<Model>, ModelId),
    dropped: Arc<AtomicU64>,
    open: Option<VoiceFile>,
    rotated: Option<Instant>,
    pace: Pace,
    /// Wall-clock time of running time zero when the open file was named.
    epoch: Duration,
    files: u64,
    bytes_before: u64,
}

impl Writer {
    pub(super) fn new(
        output: Output,
        model: (Arc<Model>, ModelId),
        dropped: Arc<AtomicU64>,
    ) -> Self {
        Self {
            output,
            model,
            dropped,
            open: None,
            rotated: None,
            pace: Pace::default(),
            epoch: Duration::ZERO,
            files: 0,
            bytes_before: 0,
        }
    }

    /// Runs on its own thread until the sender of the queue is gone, then ends the file.
    pub(super) fn run(mut self, queue: &Receiver<Heard>) -> Result<(), Error> {
        let result = self.rotate().and_then(|()| queue.iter().try_for_each(|h| self.take(&h)));
        result.and(self.end())
    }

    fn take(&mut self, heard: &Heard) -> Result<(), Error> {
        let end = self.open.as_ref().map(VoiceFile::end_time);
        if end.is_some_and(|end| heard.at > end + GAP_MAX) {
            self.end()?;
        }
        if self.open.is_none() {
            self.begin(heard.at)?;
        }
        let written = self.append(heard);
        if written.map_err(|e| self.explain("write to", &e))? {
            let bytes = self.open.as_ref().map_or(0, VoiceFile::bytes);
            self.output.status.set("bytes", self.bytes_before + bytes);
            self.output.status.set("dropped", self.dropped.load(Ordering::Relaxed));
            self.output.status.set_running();
            if self.must_split() {
                self.end()?;
            }
        }
        if self.rotated.is_none_or(|at| at.elapsed() > ROTATE_EVERY) {
            self.rotate()?;
        }
        Ok(())
    }

    /// Appends audio at its time; returns whether a packet was completed.
    fn append(&mut self, heard: &Heard) -> io::Result<bool> {
        let Some(open) = &mut self.open else { return Ok(false) };
        let at = samples(heard.at.saturating_sub(open.base()));
        if at > open.end() + JITTER_SAMPLES_MAX {
            open.skip_to(at)?;
        }
        // What is already in the file is not heard twice.
        let twice = match open.end().saturating_sub(at) {
            overlap if overlap > JITTER_SAMPLES_MAX => usize::try_from(overlap).unwrap_or(0),
            _ => 0,
        };
        open.append(heard.samples.get(twice..).unwrap_or_default())
    }

    fn must_split(&self) -> bool {
        let Some(open) = &self.open else { return false };
        let Settings { split_s, split_mib, .. } = self.output.settings;
        let age = open.end_time().saturating_sub(open.base());
        let old = split_s > 0 && age >= Duration::from_secs(u64::from(split_s));
        let large = split_mib > 0 && open.bytes() >= u64::from(split_mib) << 20;
        // The name of a file gives its times: after a clock step a new file is needed.
        let set = flow::wall_clock(gst::ClockTime::ZERO).abs_diff(self.epoch) > CLOCK_STEP_MAX;
        old || large || set
    }

    fn begin(&mut self, base: Duration) -> Result<(), Error> {
        self.rotate()?;
        self.epoch = flow::wall_clock(gst::ClockTime::ZERO);
        let date = DateTime::<Utc>::from(UNIX_EPOCH + self.epoch + base);
        let open = VoiceFile::create(&self.output.folder, date, base, self.model.clone())
            .map_err(|e| self.explain("create a file in", &e))?;
        let name = open.path().file_name().map(|n| n.to_string_lossy().into_owned());
        self.files += 1;
        self.output.status.set("file", name.unwrap_or_default());
        self.output.status.set("files", self.files);
        // If the reader is too far behind, captions are lost, never the recording.
        let _ = self.output.begins.try_send(Begun { stem: open.path().with_extension(""), base });
        self.open = Some(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.take() else { return Ok(()) };
        self.bytes_before += open.finish().map_err(|e| self.explain("end", &e))?;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), Error> {
        self.rotated = Some(Instant::now());
        let (open, bytes) = match &self.open {
            Some(open) => (Some(open.path()), open.bytes()),
            None => (None, 0),
        };
        let Output { folder, settings, status, .. } = &self.output;
        rotate::rotate(folder, open, bytes, settings, &mut self.pace, status)
            .map_err(|e| self.explain("look through", &e))?
    }

    fn explain(&self, doing: &str, error: &io::Error) -> Error {
        explain(&self.output.folder, doing, error)
    }
}

/// A time in samples.
fn samples(time: Duration) -> u64 {
    let rate = u64::from(RATE_HZ);
    time.as_secs() * rate + u64::from(time.subsec_nanos()) * rate / 1_000_000_000
}
