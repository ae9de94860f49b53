//! What the packets of a trunk leave of speech: each codec at each loss, through the sender's packets
//! and the receiver's repair and concealment, without network and clock.
//!
//! `cargo test --bench aic-packets -- FOLDER`, for `models/aic-audio/evaluate.py`, which scores the
//! result. FOLDER has the speech, `NAME.f32` (48 kHz, mono, 32-bit floats), and `losses.json`: for
//! each loss its share, and a character per 20 ms of each name, `1` where what is sent then is lost.
//! This writes `ROW/NAME.i16` (16 kHz, in time with the speech) for each row, and `rows.json`.

#![allow(missing_docs, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use auralink::aic::controller::{opus_loss_percent, redundancy};
use auralink::aic::engine::Codec;
use auralink::aic::engine_timeout::EngineTimeout;
use auralink::aic::fallback::{CODEC_DELAY_SAMPLES, OpusError, WIDE_FRAME_SAMPLES};
use auralink::aic::payload::Payload;
use auralink::aic::receive::Receiver;
use auralink::aic::resample::{Down, FILTER_DELAY_SAMPLES};
use auralink::aic::send::{CodecPolicy, OutgoingPacket, Sender, Settings};
use opusic_c::{Channels, Decoder, SampleRate};
use serde::{Deserialize, Serialize};

/// Silence behind the speech, so that the last of it is sent and heard.
const TAIL_FRAMES: usize = 5;

/// The losses that most rows are tried at.
const FEW_LOSSES: [&str; 2] = ["no loss", "10% random"];

#[derive(Deserialize)]
struct Loss {
    ratio: f64,
    lost: BTreeMap<String, String>,
}

/// What is sent, and how it is decoded.
#[derive(Clone, Copy)]
struct Row {
    codec: CodecPolicy,
    /// Stages of AIC-A, or bit/s of Opus.
    rate: usize,
    frames: usize,
    /// Whether Opus is decoded without its networks, as browsers do.
    plain: bool,
    /// Whether it is tried at each loss, or only at [`FEW_LOSSES`].
    whole: bool,
}

#[derive(Serialize)]
struct Made {
    row: String,
    loss: String,
    payload_kbps: f64,
    packets: usize,
    lost: usize,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    let Some(folder) = arguments.next() else {
        println!("aic-packets: no folder; models/aic-audio/evaluate.py gives it one");
        return Ok(());
    };
    let only: Vec<String> = arguments.collect();
    let folder = Path::new(&folder);
    let read = |name: &str| std::fs::read(folder.join(name)).with_context(|| name.to_owned());
    let losses: BTreeMap<String, Loss> = serde_json::from_slice(&read("losses.json")?)?;
    Codec::shared().wait(Duration::from_secs(60))?;
    let mut all = Vec::new();
    for row in rows() {
        if !only.is_empty() && !only.iter().any(|part| row.name().contains(part)) {
            continue;
        }
        // What is sent depends on the share of losses, not on which.
        let mut sent_at = BTreeMap::new();
        for (loss, pattern) in &losses {
            if !row.whole && !FEW_LOSSES.contains(&loss.as_str()) {
                continue;
            }
            let place = folder.join(format!("{}, {loss}", row.name()));
            std::fs::create_dir_all(&place)?;
            let (mut bytes, mut packets, mut lost, mut seconds) = (0, 0, 0, 0.0);
            for (name, flags) in &pattern.lost {
                let speech = read(&format!("{name}.f32"))?;
                let speech: Vec<f32> =
                    speech.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                let key = (name, (pattern.ratio * 1000.0) as u32);
                let sent: &Vec<OutgoingPacket> = match sent_at.entry(key) {
                    Entry::Occupied(sent) => sent.into_mut(),
                    Entry::Vacant(place) => place.insert(row.send(&speech, pattern.ratio)?),
                };
                let is_lost = |p: &OutgoingPacket| {
                    let at = (p.first + p.frames - 1) as usize;
                    flags.as_bytes().get(at) == Some(&b'1')
                };
                bytes += sent.iter().map(|p| p.payload.len()).sum::<usize>();
                packets += sent.len();
                lost += sent.iter().filter(|p| is_lost(p)).count();
                seconds += sent.iter().map(|p| p.frames).sum::<u64>() as f64 * 0.02;
                let come = sent.iter().filter(|p| !is_lost(p));
                let heard = if row.plain { plain(come)? } else { receive(come)? };
                std::fs::write(place.join(format!("{name}.i16")), narrow(&heard, speech.len()))?;
            }
            let payload_kbps = bytes as f64 * 0.008 / seconds;
            println!("{}, {loss}: {payload_kbps:.2} kbit/s, {lost} of {packets}", row.name());
            all.push(Made { row: row.name(), loss: loss.clone(), payload_kbps, packets, lost });
        }
    }
    std::fs::write(folder.join("rows.json"), serde_json::to_vec_pretty(&all)?)?;
    Ok(())
}

fn rows() -> Vec<Row> {
    let row = |codec, rate, frames, whole| Row { codec, rate, frames, plain: false, whole };
    let opus = |bitrate, frames, whole| row(CodecPolicy::Opus, bitrate, frames, whole);
    let mut rows = [14, 18, 33].map(|stages| row(CodecPolicy::Aic, stages, 3, true)).to_vec();
    for row in [opus(9_000, 3, true), opus(12_000, 3, true), opus(32_000, 1, false)] {
        rows.extend([row, Row { plain: true, ..row }]);
    }
    rows.extend([18, 33].map(|stages| row(CodecPolicy::Aic, stages, 1, false)));
    rows.extend([20_000, 24_000, 64_000].map(|bitrate| opus(bitrate, 1, false)));
    rows
}

impl Row {
    fn name(&self) -> String {
        let ms = 20 * self.frames;
        match self.codec {
            CodecPolicy::Opus => format!(
                "Opus {}{}, {ms} ms",
                self.rate / 1000,
                if self.plain { " plain" } else { "" },
            ),
            _ => format!("AIC-A {}, {ms} ms", self.rate),
        }
    }

    /// The packets of this speech, as a trunk sends them when it knows of this loss.
    fn send(&self, speech: &[f32], loss: f64) -> anyhow::Result<Vec<OutgoingPacket>> {
        let settings = Settings {
            wish: self.codec,
            stages: self.rate,
            frames: self.frames,
            redundant: redundancy(loss),
            opus_bitrate: self.rate as u32,
            opus_frames: self.frames,
            opus_loss: opus_loss_percent(loss),
            engine_timeout: EngineTimeout { wait: true, ..EngineTimeout::default() },
            ..Settings::default()
        };
        let mut sender = Sender::new(Codec::shared(), 1)?;
        let (mut sent, silence) = (Vec::new(), [0.0; TAIL_FRAMES * WIDE_FRAME_SAMPLES]);
        for frame in [speech, &silence].concat().chunks_exact(WIDE_FRAME_SAMPLES) {
            sender.frame(frame, &settings, &mut sent)?;
        }
        sender.finish(&settings, &mut sent)?;
        Ok(sent)
    }
}

/// What the other end of a trunk plays.
fn receive<'a>(come: impl Iterator<Item = &'a OutgoingPacket>) -> anyhow::Result<Vec<f32>> {
    let mut receiver = Receiver::new(Codec::shared(), 1, false)?;
    receiver.set_engine_timeout(EngineTimeout { wait: true, ..EngineTimeout::default() });
    let (mut next, mut heard) = (0, Vec::new());
    for packet in come {
        let payload = Payload::read(&packet.payload)?;
        receiver.payload(&payload, (packet.first - next) as usize, &mut heard);
        next = packet.first + packet.frames;
    }
    receiver.conceal(TAIL_FRAMES, &mut heard);
    Ok(heard)
}

/// What libopus without networks plays: complexity 0, with in-band FEC.
fn plain<'a>(come: impl Iterator<Item = &'a OutgoingPacket>) -> anyhow::Result<Vec<f32>> {
    let mut opus = Decoder::new(Channels::Mono, SampleRate::Hz48000).map_err(OpusError::from)?;
    let (mut next, mut heard) = (0, Vec::new());
    let mut decode = |packet: &[u8], frames: u64, fec| -> anyhow::Result<()> {
        let mut audio = vec![0.0; frames as usize * WIDE_FRAME_SAMPLES];
        opus.decode_float_to_slice(packet, &mut audio, fec).map_err(OpusError::from)?;
        heard.extend(audio);
        Ok(())
    };
    for packet in come {
        let Payload::Opus(bytes) = Payload::read(&packet.payload)? else {
            anyhow::bail!("only Opus is decoded without networks")
        };
        let missing = packet.first - next;
        let repeated = missing.min(packet.frames);
        (repeated..missing).try_for_each(|_| decode(&[], 1, false))?;
        if repeated > 0 {
            decode(&bytes, repeated, true)?;
        }
        decode(&bytes, packet.frames, false)?;
        next = packet.first + packet.frames;
    }
    (0..TAIL_FRAMES).try_for_each(|_| decode(&[], 1, false))?;
    Ok(heard)
}

/// 48 kHz -> 16 bits at 16 kHz, in time with a speech of so many samples, and as long.
fn narrow(heard: &[f32], samples: usize) -> Vec<u8> {
    let mut narrow = Vec::new();
    Down::default().push(&heard[..heard.len() / 3 * 3], &mut narrow);
    let delay = (CODEC_DELAY_SAMPLES + FILTER_DELAY_SAMPLES) / 3;
    let sample = |x: &f32| (x.clamp(-1.0, 1.0) * 32_767.0).round() as i16;
    // What was lost at the end is silence.
    narrow.resize(delay + samples / 3, 0.0);
    narrow[delay..].iter().flat_map(|x| sample(x).to_le_bytes()).collect()
}
