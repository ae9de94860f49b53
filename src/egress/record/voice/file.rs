//! One recording of a voice: samples in, packets out.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use auralink_codec::{Model, RATE_HZ};
use chrono::{DateTime, Utc};

use crate::aic::container::{self, Header};
use crate::aic::packet::{Coded, FRAMES_MAX};
use crate::aic::voice_packets::VoicePackets;
use crate::aic::weights::ModelId;
use crate::egress::record::Format;
use crate::egress::record::file::{SYNC_EVERY, create_new};

/// An open recording: playable after every block, and locked to mark it as open.
pub(super) struct VoiceFile {
    path: PathBuf,
    writer: container::Writer<File>,
    packets: VoicePackets,
    /// Running time of the first sample.
    base: Duration,
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
        // Nobody waits for a file, so its packets are the longest.
        let packets = VoicePackets::new(model, FRAMES_MAX);
        Ok(Self { path, writer, packets, base, synced: Instant::now() })
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
        self.packets.end()
    }

    /// Running time behind the newest sample.
    pub(super) fn end_time(&self) -> Duration {
        let rate = u64::from(RATE_HZ);
        let rest_ns = self.end() % rate * 1_000_000_000 / rate;
        self.base + Duration::from_secs(self.end() / rate) + Duration::from_nanos(rest_ns)
    }

    /// Appends samples; returns whether a packet was completed.
    pub(super) fn append(&mut self, samples: &[f32]) -> io::Result<bool> {
        let completed = self.packets.append(samples).map_err(io::Error::other)?;
        completed.iter().try_for_each(|packet| self.put(packet))?;
        Ok(!completed.is_empty())
    }

    /// Goes on at a later time, in samples since [`Self::base`]: what is between was not heard.
    pub(super) fn skip_to(&mut self, sample: u64) -> io::Result<()> {
        let rest = self.packets.skip_to(sample).map_err(io::Error::other)?;
        rest.iter().try_for_each(|packet| self.put(packet))
    }

    fn put(&mut self, (first, packet): &(u64, Coded)) -> io::Result<()> {
        self.writer.put(*first, packet)?;
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
        let rest = self.packets.finish().map_err(io::Error::other)?;
        rest.iter().try_for_each(|packet| self.put(packet))?;
        let file = self.writer.finish(end)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}
