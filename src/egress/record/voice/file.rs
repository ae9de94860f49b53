//! One recording of a voice: samples in, packets out.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use auralink_codec::{Codes, EncoderState, FRAME_SAMPLES, Model, RATE_HZ};
use chrono::{DateTime, Utc};

use crate::aic::container::{self, Header};
use crate::aic::packet::{Coded, FRAMES_MAX, Packet};
use crate::aic::weights::ModelId;
use crate::egress::record::Format;
use crate::egress::record::file::{SYNC_EVERY, create_new};

/// Stages of each frame: 3 kbit/s, a day in 33 MB.
const FRAME_STAGES: usize = 18;

/// Samples of a packet. Nobody waits for a file, so it is the longest one.
const PACKET_SAMPLES: usize = FRAMES_MAX * FRAME_SAMPLES;

/// An open recording: playable after every block, and locked to mark it as open.
pub(super) struct VoiceFile {
    path: PathBuf,
    writer: container::Writer<File>,
    model: Arc<Model>,
    state: EncoderState,
    /// Running time of the first sample.
    base: Duration,
    /// Samples that wait for the rest of their packet.
    pending: Vec<f32>,
    /// Time of the first of them, in samples since `base`.
    first: u64,
    synced: Instant,
}

impl VoiceFile {
    /// Creates the file. `base` is the running time of its first sample, `start` its wall-clock time.
    pub(super) fn create(
        folder: &Path,
        start: DateTime<Utc>,
        base: Duration,
        (model, id): (Arc<Model>, ModelId),
    ) -> io::Result<Self> {
        let (path, file) = create_new(folder, start, Format::Aic)?;
        // No other process knows the file yet, so the lock is free. Without locks in the file
        // system, only the mark is missing.
        let _ = file.try_lock();
        let start_ms = u64::try_from(start.timestamp_millis()).unwrap_or(0);
        let writer = container::Writer::new(file, Header { model: id, start_ms });
        let writer = writer.inspect_err(|_| {
            let _ = std::fs::remove_file(&path);
        })?;
        let state = model.encoder_state();
        let (pending, synced) = (Vec::with_capacity(PACKET_SAMPLES), Instant::now());
        Ok(Self { path, writer, model, state, base, pending, first: 0, synced })
    }

    /// Path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes()
    }

    /// Running time of its first sample.
    pub(super) fn base(&self) -> Duration {
        self.base
    }

    /// Time behind the newest sample, in samples since [`Self::base`].
    pub(super) fn end(&self) -> u64 {
        self.first + self.pending.len() as u64
    }

    /// Running time behind the newest sample.
    pub(super) fn end_time(&self) -> Duration {
        let rate = u64::from(RATE_HZ);
        let rest_ns = self.end() % rate * 1_000_000_000 / rate;
        self.base + Duration::from_secs(self.end() / rate) + Duration::from_nanos(rest_ns)
    }

    /// Appends samples; returns whether a packet was completed.
    pub(super) fn append(&mut self, mut samples: &[f32]) -> io::Result<bool> {
        let mut completed = false;
        while !samples.is_empty() {
            let missing = PACKET_SAMPLES - self.pending.len();
            let (now, later) = samples.split_at(missing.min(samples.len()));
            self.pending.extend_from_slice(now);
            samples = later;
            if self.pending.len() == PACKET_SAMPLES {
                self.write()?;
                completed = true;
            }
        }
        Ok(completed)
    }

    /// Goes on at a later time, in samples since [`Self::base`]: what is between was not heard.
    pub(super) fn skip_to(&mut self, sample: u64) -> io::Result<()> {
        self.write()?;
        self.first = self.first.max(sample);
        self.state = self.model.encoder_state();
        Ok(())
    }

    /// Writes what waits; whole frames, the rest of the last one silent.
    fn write(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.pending.resize(self.pending.len().next_multiple_of(FRAME_SAMPLES), 0.0);
        for sample in &mut self.pending {
            *sample = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
        }
        let latents = self.model.analyse(&self.pending, &mut [&mut self.state]);
        let frames: Vec<Codes> =
            latents.iter().map(|l| self.model.quantise(l, FRAME_STAGES)).collect();
        let packet = Packet { frames, ..Packet::default() };
        let packet = packet.write(&self.model).and_then(|bytes| Coded::read(&bytes));
        self.writer.put(self.first, &packet.map_err(io::Error::other)?)?;
        self.first += self.pending.len() as u64;
        self.pending.clear();
        if self.synced.elapsed() > SYNC_EVERY {
            self.writer.get_ref().sync_data()?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// Ends the file; returns its size in bytes. Removes an empty one.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        let end = self.end();
        if end == 0 {
            return std::fs::remove_file(&self.path).map(|()| 0);
        }
        self.write()?;
        let file = self.writer.finish(end)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}
