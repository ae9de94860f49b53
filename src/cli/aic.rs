//! `auralink aic`: encodes, decodes and inspects `.aic` speech files.

use std::fs::File;
use std::io::BufReader;
#[cfg(feature = "aic")]
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;

use crate::aic::container::Reader;
use crate::aic::controller::WIRE_OVERHEAD_BYTES;
use crate::aic::packet;

#[derive(Debug, Subcommand)]
pub(super) enum AicCommand {
    /// Encode 16 kHz mono speech (WAV, 16 bits) to an .aic file.
    Encode {
        /// WAV file: `ffmpeg -i speech.flac -ar 16000 -ac 1 speech.wav` makes one.
        input: PathBuf,
        /// File to write.
        output: PathBuf,
        /// Quantiser stages of 500 bit/s each: 3, 6 and 12 are 1.5, 3 and 6 kbit/s.
        #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=12))]
        stages: u8,
        /// Frames of 20 ms in a packet.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
        frames: u8,
        /// Weights. Default: those that trunks use.
        #[arg(long, value_name = "FILE")]
        weights: Option<PathBuf>,
    },
    /// Decode an .aic file to a WAV file.
    Decode {
        /// The .aic file.
        input: PathBuf,
        /// WAV file to write: 16 kHz, mono, 16 bits.
        output: PathBuf,
        /// Weights. Default: those that trunks use.
        #[arg(long, value_name = "FILE")]
        weights: Option<PathBuf>,
    },
    /// Show what an .aic file holds.
    Info {
        /// The .aic file.
        input: PathBuf,
    },
}

#[cfg(feature = "aic")]
fn weights_or_own(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let missing = crate::aic::Missing::Weights;
    named
        .or_else(crate::aic::weights::find)
        .with_context(|| format!("{missing}: {}", missing.fix()))
}

pub(super) fn run(command: AicCommand) -> anyhow::Result<ExitCode> {
    match command {
        AicCommand::Info { input } => info(&input)?,
        #[cfg(feature = "aic")]
        AicCommand::Encode { input, output, stages, frames, weights } => {
            let weights = weights_or_own(weights)?;
            engine::encode(&input, &output, (stages.into(), frames.into()), &weights)?;
        }
        #[cfg(feature = "aic")]
        AicCommand::Decode { input, output, weights } => {
            let weights = weights_or_own(weights)?;
            engine::decode(&input, &output, &weights)?;
        }
        #[cfg(not(feature = "aic"))]
        AicCommand::Encode { .. } | AicCommand::Decode { .. } => anyhow::bail!(
            "this build has no AIC engine: `.ci/setup torch`, then build with `--features aic`"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(BufReader::new(file))
}

#[cfg(feature = "aic")]
fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::new(file))
}

fn info(input: &Path) -> anyhow::Result<()> {
    let reader = Reader::new(open(input)?)?;
    let header = reader.header();
    let (mut packets, mut bytes, mut frames, mut redundant) = (0_usize, 0_usize, 0_usize, 0_usize);
    let (mut least, mut most) = (packet::STAGES_MAX, 0);
    for packet in reader {
        let packet = packet?;
        packets += 1;
        bytes += packet.write()?.len();
        frames += packet.frames.len();
        redundant += packet.redundant.len();
        for frame in &packet.frames {
            least = least.min(frame.stages());
            most = most.max(frame.stages());
        }
    }
    let model: String = header.model.iter().map(|b| format!("{b:02x}")).collect();
    println!("model     {model}");
    println!("original  {} samples at 16 kHz", header.samples);
    println!("packets   {packets}, {bytes} bytes");
    if frames > 0 {
        let seconds = frames as f64 * 0.02;
        let wire = bytes + packets * WIRE_OVERHEAD_BYTES;
        println!("frames    {frames} of 20 ms ({seconds:.2} s), {redundant} redundant");
        println!("stages    {least} to {most}");
        println!("payload   {:.2} kbit/s", bytes as f64 * 0.008 / seconds);
        println!("wire      {:.2} kbit/s as SRTP over IPv4", wire as f64 * 0.008 / seconds);
    }
    Ok(())
}

#[cfg(feature = "aic")]
mod engine {
    use std::io::{Read, Write};
    use std::sync::Arc;
    use std::time::Instant;

    use anyhow::bail;
    use tch::Device;

    use super::*;
    use crate::aic::audio::{Decoder, Encoder, Model};
    use crate::aic::container::{Header, Writer};
    use crate::aic::packet::{Codes, Packet};
    use crate::aic::{DELAY_SAMPLES, FRAME_SAMPLES, RATE_HZ};

    fn load(weights: &Path) -> anyhow::Result<Arc<Model>> {
        // A single stream cannot use a second core; more threads only wait for each other.
        tch::set_num_threads(1);
        Ok(Arc::new(Model::load(weights, Device::Cpu)?))
    }

    pub(super) fn encode(
        input: &Path,
        output: &Path,
        (stages, frames): (usize, usize),
        weights: &Path,
    ) -> anyhow::Result<()> {
        let model = load(weights)?;
        let mut sound = Vec::new();
        open(input)?.read_to_end(&mut sound)?;
        let mut sound = wav_samples(&sound)
            .with_context(|| format!("{} is no 16 kHz mono WAV of 16 bits", input.display()))?;
        let header = Header { model: model.id(), samples: sound.len() as u64 };
        // The decoder lags by its delay: one more frame flushes the end.
        let whole = (sound.len() + DELAY_SAMPLES).div_ceil(FRAME_SAMPLES).next_multiple_of(frames)
            * FRAME_SAMPLES;
        sound.resize(whole, 0.0);
        let start = Instant::now();
        let mut all: Vec<Codes> = Vec::new();
        Encoder::new(model)?.push(&sound, |codes| all.push(codes.truncated(stages)))?;
        told(start, all.len());
        let mut file = Writer::new(create(output)?, header)?;
        for frames in all.chunks(frames) {
            file.put(&Packet { frames: frames.to_vec(), ..Packet::default() })?;
        }
        file.finish()?;
        Ok(())
    }

    pub(super) fn decode(input: &Path, output: &Path, weights: &Path) -> anyhow::Result<()> {
        let model = load(weights)?;
        let reader = Reader::new(open(input)?)?;
        let header = reader.header();
        if header.model != model.id() {
            bail!(
                "the file was made by other weights ({:02x?}); these are {:02x?}",
                header.model,
                model.id()
            );
        }
        let (mut decoder, mut sound) = (Decoder::new(model)?, Vec::new());
        let start = Instant::now();
        for packet in reader {
            for codes in packet?.frames {
                sound.extend(decoder.frame(Some(&codes))?);
            }
        }
        told(start, sound.len() / FRAME_SAMPLES);
        sound.drain(..DELAY_SAMPLES.min(sound.len()));
        if header.samples > 0 {
            sound.truncate(usize::try_from(header.samples).unwrap_or(usize::MAX));
        }
        let mut file = create(output)?;
        file.write_all(&wav_header(sound.len()))?;
        for sample in sound {
            file.write_all(&((sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16).to_le_bytes())?;
        }
        Ok(file.flush()?)
    }

    fn told(start: Instant, frames: usize) {
        let (took, seconds) = (start.elapsed().as_secs_f64(), frames as f64 * 0.02);
        eprintln!(
            "{seconds:.1} s of sound in {took:.2} s (real-time factor {:.3})",
            took / seconds
        );
    }

    /// Samples of the first `data` chunk. `None` if the format is another one.
    fn wav_samples(bytes: &[u8]) -> Option<Vec<f32>> {
        let mut rest = bytes.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
        let mut ours = false;
        loop {
            let (id, size) = (rest.get(..4)?, rest.get(4..8)?);
            let size = u32::from_le_bytes(size.try_into().ok()?) as usize;
            let body = &rest[8..];
            // Recorders that cannot seek write sizes that are too large.
            let chunk = &body[..size.min(body.len())];
            if id == b"fmt " {
                let rate = RATE_HZ.to_le_bytes();
                ours = chunk.get(2..4)? == [1, 0]
                    && chunk.get(4..8)? == rate
                    && chunk.get(14..16)? == [16, 0];
            }
            if id == b"data" {
                let sample = |c: &[u8]| f32::from(i16::from_le_bytes([c[0], c[1]])) / 32_768.0;
                return ours.then(|| chunk.chunks_exact(2).map(sample).collect());
            }
            rest = body.get(size + size % 2..)?;
        }
    }

    fn wav_header(samples: usize) -> Vec<u8> {
        let size = u32::try_from(2 * samples).unwrap_or(u32::MAX - 36);
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((36 + size).to_le_bytes());
        bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        bytes.extend(RATE_HZ.to_le_bytes());
        bytes.extend((2 * RATE_HZ).to_le_bytes());
        bytes.extend(b"\x02\0\x10\0data");
        bytes.extend(size.to_le_bytes());
        bytes
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn wav_is_read_as_it_is_written_and_other_formats_are_refused() {
            let mut bytes = wav_header(2);
            bytes.extend([0, 0x40, 0, 0x80]);
            assert_eq!(wav_samples(&bytes), Some(vec![0.5, -1.0]));
            for cut in 0..44 {
                assert_eq!(wav_samples(&bytes[..cut]), None, "{cut}");
            }
            bytes[24] = 1;
            assert_eq!(wav_samples(&bytes), None);
        }
    }
}
