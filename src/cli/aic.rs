//! `auralink aic`: encodes, decodes and inspects `.aic` speech files.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use auralink_codec::{Codes, Model};
use clap::Subcommand;

use crate::aic::container::{Header, Part, Reader, Writer};
use crate::aic::controller::WIRE_OVERHEAD_BYTES;
use crate::aic::engine::load;
use crate::aic::packet::{Coded, Packet, RATE_STAGES, rate};
use crate::aic::weights::{ModelId, Weights, text};
use crate::aic::{FRAME_SAMPLES, RATE_HZ};
use crate::egress::record::Wav;

#[derive(Debug, Subcommand)]
pub(super) enum AicCommand {
    /// Encode 16 kHz mono speech (WAV, 16 bits) to an .aic file.
    Encode {
        /// WAV file: `ffmpeg -i speech.flac -ar 16000 -ac 1 speech.wav` makes one.
        input: PathBuf,
        /// File to write.
        output: PathBuf,
        /// Quantiser stages: 14, 18, 33 and 46 are about 2.5, 3, 6 and 8.5 kbit/s in packets of 3 frames.
        #[arg(long, default_value_t = 18, value_parser = clap::value_parser!(u8).range(14..=46))]
        stages: u8,
        /// Frames of 20 ms in a packet.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
        frames: u8,
        /// Packets of one size, so that sizes do not tell what is said.
        #[arg(long)]
        constant: bool,
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

/// The named weights, or those that trunks use.
fn model(named: Option<PathBuf>) -> anyhow::Result<(Model, ModelId)> {
    let missing = crate::aic::Missing::Weights;
    let weights = named
        .map(Weights::File)
        .or_else(crate::aic::weights::find)
        .with_context(|| format!("{missing}: {}", missing.fix()))?;
    Ok(load(&weights)?)
}

pub(super) fn run(command: AicCommand) -> anyhow::Result<ExitCode> {
    match command {
        AicCommand::Info { input } => info(&input)?,
        AicCommand::Encode { input, output, stages, frames, constant, weights } => {
            let shape = Shape { stages: rate(stages.into()), frames: frames.into(), constant };
            encode(&input, &output, shape, &model(weights)?)?;
        }
        AicCommand::Decode { input, output, weights } => {
            decode(&input, &output, model(weights)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(BufReader::new(file))
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::new(file))
}

fn info(input: &Path) -> anyhow::Result<()> {
    let length = input.metadata().map_or(0, |m| m.len());
    let mut reader = Reader::new(open(input)?)?;
    let header = reader.header();
    let (samples, ended) = reader.end()?;
    reader.seek(0)?;
    let (mut packets, mut bytes, mut frames, mut blocks, mut damaged) = (0, 0, 0, 0, 0);
    let (mut least, mut most) = (RATE_STAGES[3], 0);
    for part in reader {
        let Part::Block(block) = part? else {
            damaged += 1;
            continue;
        };
        blocks += 1;
        for packet in &block.packets {
            let header = packet.header();
            packets += 1;
            bytes += packet.bytes().len();
            frames += header.frames;
            (least, most) = (least.min(header.stages), most.max(header.stages));
        }
    }
    // The end mark is no damage.
    damaged -= usize::from(ended);
    let seconds = samples as f64 / f64::from(RATE_HZ);
    let kbps = |bytes: usize| bytes as f64 * 0.008 / (frames as f64 * 0.02);
    println!("model     {}", text(header.model));
    if header.start_ms > 0 {
        let start =
            i64::try_from(header.start_ms).ok().and_then(chrono::DateTime::from_timestamp_millis);
        println!("started   {}", start.map_or_else(String::new, |s| s.to_rfc3339()));
    }
    println!("duration  {seconds:.2} s, {samples} samples at 16 kHz");
    println!(
        "file      {length} bytes, {}",
        if ended { "complete" } else { "cut off or still growing" }
    );
    println!("blocks    {blocks}, {damaged} damaged");
    println!("packets   {packets}, {bytes} bytes");
    if frames > 0 {
        println!("frames    {frames} of 20 ms ({:.2} s)", frames as f64 * 0.02);
        println!("stages    {least} to {most}");
        println!("payload   {:.2} kbit/s", kbps(bytes));
        println!("on disk   {:.2} kbit/s", length as f64 * 0.008 / seconds);
        let wire = kbps(bytes + packets * WIRE_OVERHEAD_BYTES);
        println!("wire      {wire:.2} kbit/s as SRTP over IPv4");
    }
    Ok(())
}

/// What packets of a file look like.
#[derive(Clone, Copy)]
struct Shape {
    stages: usize,
    frames: usize,
    constant: bool,
}

fn encode(
    input: &Path,
    output: &Path,
    shape: Shape,
    (model, id): &(Model, ModelId),
) -> anyhow::Result<()> {
    let mut sound = Vec::new();
    open(input)?.read_to_end(&mut sound)?;
    let mut sound = wav_samples(&sound)
        .with_context(|| format!("{} is no 16 kHz mono WAV of 16 bits", input.display()))?;
    let samples = sound.len() as u64;
    sound.resize(sound.len().next_multiple_of(FRAME_SAMPLES * shape.frames), 0.0);
    let start = Instant::now();
    let mut state = model.encoder_state();
    let encode = |frame: &[f32]| {
        let latents = model.analyse(frame, &mut [&mut state]);
        latents.first().map_or_else(Codes::default, |l| model.quantise(l, shape.stages))
    };
    let all: Vec<Codes> = sound.chunks(FRAME_SAMPLES).map(encode).collect();
    told(start.elapsed(), all.len());
    let mut file = Writer::new(create(output)?, Header { model: *id, start_ms: 0 })?;
    for (at, frames) in all.chunks(shape.frames).enumerate() {
        let (frames, constant) = (frames.to_vec(), shape.constant);
        let packet = Packet { frames, constant, ..Packet::default() };
        let first = (at * shape.frames * FRAME_SAMPLES) as u64;
        file.put(first, &Coded::read(&packet.write(model)?)?)?;
    }
    file.finish(samples)?;
    Ok(())
}

fn decode(input: &Path, output: &Path, (model, id): (Model, ModelId)) -> anyhow::Result<()> {
    let mut sound = Wav::open(input, (Arc::new(model), id))?;
    let start = Instant::now();
    let mut file = create(output)?;
    file.write_all(&sound.seek(0)?)?;
    while let Some(bytes) = sound.next_bytes()? {
        file.write_all(&bytes)?;
    }
    told(start.elapsed(), usize::try_from(sound.samples())? / FRAME_SAMPLES);
    Ok(file.flush()?)
}

fn told(took: Duration, frames: usize) {
    let (took, seconds) = (took.as_secs_f64(), frames as f64 * 0.02);
    eprintln!("{seconds:.1} s of sound in {took:.2} s (real-time factor {:.3})", took / seconds);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::record::wav_header;

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
