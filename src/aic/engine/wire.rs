//! Format of requests and answers in the pipes: little-endian, with fixed lengths.
//!
//! ```text
//! request  op u8 | stream u32 | number u32 | 320 × f32   (encode)
//!                                          | stages u8, 12 × u16   (decode)
//!                                          | nothing   (lost, forget)
//! answer   kind u8 | model [u8; 4]   (hello)
//!                  | stream u32 | number u32 | 12 × u16 or 320 × f32 or nothing (codes, sound, failed)
//!                  | length u16 | text   (off)
//! ```

use std::io::{self, Read, Write};

use crate::aic::FRAME_SAMPLES;
use crate::aic::packet::{Codes, STAGES_MAX};
use crate::aic::weights::ModelId;

/// Longest explanation of an engine that is off, in bytes.
const TEXT_BYTES_MAX: usize = 2_000;

/// A task for a stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Job {
    Encode(Box<[f32; FRAME_SAMPLES]>),
    Decode(Codes),
    Lost,
    Forget,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) stream: u32,
    pub(super) number: u32,
    pub(super) job: Job,
}

/// The result for a frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum EngineOutput {
    Codes(Codes),
    Audio(Box<[f32; FRAME_SAMPLES]>),
    Failed,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Hello(ModelId),
    Off(String),
    EngineOutput { stream: u32, number: u32, made: EngineOutput },
}

impl Request {
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.push(match self.job {
            Job::Encode(_) => 1,
            Job::Decode(_) => 2,
            Job::Lost => 3,
            Job::Forget => 4,
        });
        to.extend(self.stream.to_le_bytes());
        to.extend(self.number.to_le_bytes());
        match &self.job {
            Job::Encode(audio) => to.extend(audio.iter().flat_map(|x| x.to_le_bytes())),
            Job::Decode(codes) => put_codes(codes, to),
            Job::Lost | Job::Forget => {}
        }
    }

    /// `None` if the pipe has ended.
    #[cfg_attr(
        not(any(feature = "aic", test)),
        expect(dead_code, reason = "only the child reads requests")
    )]
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let Some(op) = first(from)? else { return Ok(None) };
        let (stream, number) = (word(from)?, word(from)?);
        let job = match op {
            1 => Job::Encode(audio(from)?),
            2 => Job::Decode(codes(from)?),
            3 => Job::Lost,
            4 => Job::Forget,
            _ => return Err(nonsense()),
        };
        Ok(Some(Self { stream, number, job }))
    }
}

impl Answer {
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(16);
        match self {
            Self::Hello(model) => {
                bytes.push(0);
                bytes.extend(model);
            }
            Self::Off(text) => {
                let cut = text.floor_char_boundary(TEXT_BYTES_MAX);
                bytes.push(4);
                bytes.extend((cut as u16).to_le_bytes());
                bytes.extend(&text.as_bytes()[..cut]);
            }
            Self::EngineOutput { stream, number, made } => {
                bytes.push(match made {
                    EngineOutput::Codes(_) => 1,
                    EngineOutput::Audio(_) => 2,
                    EngineOutput::Failed => 3,
                });
                bytes.extend(stream.to_le_bytes());
                bytes.extend(number.to_le_bytes());
                match made {
                    EngineOutput::Codes(codes) => put_codes(codes, &mut bytes),
                    EngineOutput::Audio(audio) => {
                        bytes.extend(audio.iter().flat_map(|x| x.to_le_bytes()))
                    }
                    EngineOutput::Failed => {}
                }
            }
        }
        to.write_all(&bytes)
    }

    /// `None` if the pipe has ended.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let Some(kind) = first(from)? else { return Ok(None) };
        match kind {
            0 => return Ok(Some(Self::Hello(word(from)?.to_le_bytes()))),
            4 => {
                let mut length = [0; 2];
                from.read_exact(&mut length)?;
                let mut text = vec![0; usize::from(u16::from_le_bytes(length)).min(TEXT_BYTES_MAX)];
                from.read_exact(&mut text)?;
                return Ok(Some(Self::Off(String::from_utf8_lossy(&text).into_owned())));
            }
            _ => {}
        }
        let (stream, number) = (word(from)?, word(from)?);
        let made = match kind {
            1 => EngineOutput::Codes(codes(from)?),
            2 => EngineOutput::Audio(audio(from)?),
            3 => EngineOutput::Failed,
            _ => return Err(nonsense()),
        };
        Ok(Some(Self::EngineOutput { stream, number, made }))
    }
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this is no message of the AIC engine")
}

fn first(from: &mut impl Read) -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match from.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn word(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn audio(from: &mut impl Read) -> io::Result<Box<[f32; FRAME_SAMPLES]>> {
    let mut bytes = [0; 4 * FRAME_SAMPLES];
    from.read_exact(&mut bytes)?;
    let mut audio = Box::new([0.0; FRAME_SAMPLES]);
    for (to, from) in audio.iter_mut().zip(bytes.chunks_exact(4)) {
        *to = f32::from_le_bytes([from[0], from[1], from[2], from[3]]);
    }
    Ok(audio)
}

fn put_codes(codes: &Codes, to: &mut Vec<u8>) {
    to.push(codes.stages() as u8);
    for stage in 0..STAGES_MAX {
        to.extend(codes.as_slice().get(stage).copied().unwrap_or(0).to_le_bytes());
    }
}

fn codes(from: &mut impl Read) -> io::Result<Codes> {
    let mut bytes = [0; 1 + 2 * STAGES_MAX];
    from.read_exact(&mut bytes)?;
    let mut all = [0; STAGES_MAX];
    for (to, from) in all.iter_mut().zip(bytes[1..].chunks_exact(2)) {
        *to = u16::from_le_bytes([from[0], from[1]]);
    }
    Ok(Codes::new(&all[..usize::from(bytes[0]).min(STAGES_MAX)]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let jobs = [
            Job::Encode(Box::new([0.25; FRAME_SAMPLES])),
            Job::Decode(Codes::new(&[7, 1023])),
            Job::Lost,
            Job::Forget,
        ];
        let mut pipe = Vec::new();
        let requests: Vec<_> = jobs
            .into_iter()
            .enumerate()
            .map(|(i, job)| Request { stream: 9, number: i as u32, job })
            .collect();
        for request in &requests {
            request.write(&mut pipe);
        }
        let mut from = pipe.as_slice();
        for request in requests {
            assert_eq!(Request::read(&mut from).expect("whole"), Some(request));
        }
        assert_eq!(Request::read(&mut from).expect("ends"), None);
        let made = |made| Answer::EngineOutput { stream: 1, number: u32::MAX, made };
        let answers = [
            Answer::Hello([1, 2, 3, 4]),
            Answer::Off("é".into()),
            made(EngineOutput::Codes(Codes::new(&[1; STAGES_MAX]))),
            made(EngineOutput::Audio(Box::new([-1.0; FRAME_SAMPLES]))),
            made(EngineOutput::Failed),
        ];
        let mut pipe = Vec::new();
        for answer in &answers {
            answer.write(&mut pipe).expect("memory");
        }
        let mut from = pipe.as_slice();
        for answer in answers {
            assert_eq!(Answer::read(&mut from).expect("whole"), Some(answer));
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            let mut from = bytes.as_slice();
            while let Ok(Some(_)) = Request::read(&mut from) {}
            let mut from = bytes.as_slice();
            while let Ok(Some(_)) = Answer::read(&mut from) {}
        }
    }

    #[test]
    fn fuzz_aic_engine_wire() {
        crate::fuzz::run("aic-engine-wire", |bytes| {
            let mut from = bytes;
            while let Ok(Some(_)) = Request::read(&mut from) {}
            let mut from = bytes;
            while let Ok(Some(_)) = Answer::read(&mut from) {}
        });
    }
}
