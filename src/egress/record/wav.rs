//! A recording of a voice as a WAV file, made while it is read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use auralink_codec::{DecoderState, Model, RATE_HZ};

use crate::aic::container::{Block, ContainerError, Part, Reader};
use crate::aic::weights::{self, ModelId};

/// Bytes before the first sample.
const HEADER_BYTES: u64 = 44;

/// Bytes of a sample.
const SAMPLE_BYTES: u64 = 2;

/// Most samples that a WAV file can hold: its size has 32 bits.
const SAMPLES_MAX: u64 = (u32::MAX as u64 - HEADER_BYTES) / SAMPLE_BYTES;

/// Silent samples that are made at once.
const SILENCE_SAMPLES: u64 = RATE_HZ as u64;

/// Why a recording cannot be made a WAV file.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// Reading failed.
    #[error("cannot read the recording: {0}")]
    Read(#[from] io::Error),
    /// It is none of ours.
    #[error(transparent)]
    Foreign(#[from] ContainerError),
    /// It was made by other weights.
    #[error("the recording was made by model {}; this appliance has {}", weights::text(*.0), weights::text(*.1))]
    Model(ModelId, ModelId),
}

/// The bytes of a WAV file (16 kHz, mono, 16 bits) from any of them on.
pub struct Wav<R> {
    reader: Reader<R>,
    model: Arc<Model>,
    state: DecoderState,
    /// Samples of the whole file.
    samples: u64,
    /// The next sample that is made.
    at: u64,
    /// The next sample that is wanted.
    wanted: u64,
    /// Decoded ahead of `at`.
    ready: Option<Block>,
}

/// Of a recording on disk.
pub type VoiceWav = Wav<BufReader<File>>;

impl VoiceWav {
    /// Opens a recording.
    ///
    /// # Errors
    /// It cannot be read, or only with other weights.
    pub fn open(path: &Path, model: (Arc<Model>, ModelId)) -> Result<Self, WavError> {
        Self::new(BufReader::new(File::open(path)?), model)
    }
}

impl<R: Read + Seek> Wav<R> {
    fn new(from: R, (model, id): (Arc<Model>, ModelId)) -> Result<Self, WavError> {
        let mut reader = Reader::new(from)?;
        if reader.header().model != id {
            return Err(WavError::Model(reader.header().model, id));
        }
        let (samples, _) = reader.end()?;
        reader.seek(0)?;
        let state = model.decoder_state();
        let samples = samples.min(SAMPLES_MAX);
        Ok(Self { reader, model, state, samples, at: 0, wanted: 0, ready: None })
    }

    /// Samples of the whole file.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Bytes of the whole file. While the recording grows, those of the moment it was opened.
    pub fn bytes(&self) -> u64 {
        HEADER_BYTES + SAMPLE_BYTES * self.samples
    }

    /// Goes to a byte of the file; returns the bytes before the next whole sample.
    ///
    /// # Errors
    /// Reading fails.
    pub fn seek(&mut self, byte: u64) -> io::Result<Vec<u8>> {
        let header = wav_header(self.samples);
        let in_header = usize::try_from(byte).ok().and_then(|byte| header.get(byte..));
        let sound_byte = byte.saturating_sub(HEADER_BYTES);
        self.state = self.model.decoder_state();
        self.wanted = sound_byte / SAMPLE_BYTES;
        self.reader.seek(self.wanted)?;
        // Sound begins with the block: before its first sample there is silence or what was skipped.
        self.at = self.wanted;
        self.ready = self.block()?;
        self.at = self.ready.as_ref().map_or(self.at, |block| self.at.min(block.first));
        if let Some(rest) = in_header {
            return Ok(rest.to_vec());
        }
        let odd = sound_byte % SAMPLE_BYTES;
        let mut next = self.next_bytes()?.unwrap_or_default();
        next.drain(..(odd as usize).min(next.len()));
        Ok(next)
    }

    /// The next bytes: those of a block, or of silence; `None` at the end.
    ///
    /// # Errors
    /// Reading fails.
    pub fn next_bytes(&mut self) -> io::Result<Option<Vec<u8>>> {
        while self.at < self.samples {
            if self.ready.is_none() {
                self.ready = self.block()?;
            }
            let sound = match self.ready.take_if(|block| block.first <= self.at) {
                Some(block) => self.decode(&block),
                None => {
                    let until = self.ready.as_ref().map_or(self.samples, |block| block.first);
                    self.state = self.model.decoder_state();
                    vec![0; until.saturating_sub(self.at).min(SILENCE_SAMPLES) as usize]
                }
            };
            let skipped = self.wanted.saturating_sub(self.at).min(sound.len() as u64);
            let left = (self.samples - self.at).min(sound.len() as u64);
            self.at += left;
            let sound = sound.get(skipped as usize..left as usize).unwrap_or_default();
            if !sound.is_empty() {
                return Ok(Some(sound.iter().flat_map(|s| s.to_le_bytes()).collect()));
            }
        }
        Ok(None)
    }

    /// The next block with sound.
    fn block(&mut self) -> io::Result<Option<Block>> {
        for part in self.reader.by_ref() {
            match part? {
                Part::Block(block) => return Ok(Some(block)),
                Part::Damaged => {}
                Part::End(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    fn decode(&mut self, block: &Block) -> Vec<i16> {
        let sound = self.model.decode(block, &mut self.state);
        sound.iter().map(|x| (x.clamp(-1.0, 1.0) * 32_767.0).round() as i16).collect()
    }
}

/// The header of a WAV file: 16 kHz, mono, 16 bits.
pub(crate) fn wav_header(samples: u64) -> Vec<u8> {
    let size = u32::try_from(SAMPLE_BYTES * samples).unwrap_or(u32::MAX - 36);
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
    use std::io::Cursor;
    use std::time::Duration;

    use super::*;
    use crate::aic::container::{BLOCK_BYTES, HEADER_BYTES, Header, seal};
    use crate::aic::engine::Codec;

    fn model() -> (Arc<Model>, ModelId) {
        let codec = Codec::shared();
        codec.wait(Duration::from_secs(60)).expect("weights in the program");
        codec.loaded_with_id().expect("weights in the program")
    }

    /// All bytes from one on.
    fn bytes_from(wav: &mut Wav<impl Read + Seek>, byte: u64) -> Vec<u8> {
        let mut all = wav.seek(byte).expect("memory");
        while let Some(more) = wav.next_bytes().expect("memory") {
            all.extend(more);
        }
        all
    }

    const TWO_BLOCKS: &[u8] = include_bytes!("../../../tests/fuzz/corpus/aic-file/speech");

    #[test]
    fn any_range_is_part_of_the_whole() {
        let mut wav = Wav::new(Cursor::new(TWO_BLOCKS), model()).expect("a recording");
        let whole = bytes_from(&mut wav, 0);
        assert_eq!(whole.len() as u64, wav.bytes());
        for byte in [0, 7, 43, 44, 45, 1_001, 50_001, wav.bytes() - 3, wav.bytes()] {
            let part = bytes_from(&mut wav, byte);
            assert_eq!(part.len() as u64, wav.bytes() - byte, "{byte}");
            // A decoder that begins with a block has forgotten those before it.
            if byte < 44 {
                assert_eq!(part, whole[byte as usize..], "{byte}");
            }
        }
    }

    #[test]
    fn fuzz_voice_recording() {
        let (model, id) = model();
        crate::fuzz::run("aic-file", |bytes| {
            let mut bytes = bytes.to_vec();
            let read = |bytes: &[u8]| {
                let Ok(mut wav) = Wav::new(Cursor::new(bytes), (Arc::clone(&model), id)) else {
                    return;
                };
                let second = wav.bytes() / 2;
                for byte in [second, 0] {
                    let mut next = wav.seek(byte).ok();
                    // A few parts: blocks of nothing but short packets take half a second each.
                    for _ in 0..4 {
                        let Some(part) = next.filter(|part| !part.is_empty()) else { break };
                        assert!(part.len() <= BLOCK_BYTES / 2 * 4 * 640, "{}", part.len());
                        next = wav.next_bytes().expect("memory");
                    }
                }
            };
            read(&bytes);
            // The same behind checksums that hold.
            if let Some((header, blocks)) = bytes.split_first_chunk_mut::<HEADER_BYTES>() {
                *header = Header { model: id, start_ms: 0 }.bytes();
                blocks.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().for_each(seal);
            }
            read(&bytes);
        });
    }
}
