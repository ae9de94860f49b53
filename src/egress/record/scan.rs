//! Reads duration and state of a recording from its file, within bounds.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use super::Format;
use crate::aic::RATE_HZ;
use crate::aic::container::{ContainerError, Reader};
use crate::egress::segments::fmp4::{BoxHeader, Boxes};

/// A larger header is not one of ours.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// Maximum number of fragments to read if the header has no duration: two days of both tracks.
const FRAGMENTS_MAX: usize = 700_000;

/// State of a recording file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Duration of its media.
    pub(super) duration: Duration,
    /// Whether it ended properly; otherwise its process died, or it is still being written.
    pub(super) ended: bool,
}

/// Reads the header of MP4 and, if that has no duration, the headers of all fragments; of a voice
/// the last block.
pub(super) fn scan(path: &Path) -> io::Result<Scan> {
    let mut file = File::open(path)?;
    if Format::of(path) == Some(Format::Aic) {
        return scan_voice(file);
    }
    let length = file.metadata()?.len();
    scan_media(&mut file, length)
}

fn scan_voice(file: impl Read + Seek) -> io::Result<Scan> {
    match Reader::new(file) {
        Ok(mut reader) => {
            let (samples, ended) = reader.end()?;
            let duration = Duration::try_from_secs_f64(samples as f64 / f64::from(RATE_HZ));
            Ok(Scan { duration: duration.unwrap_or_default(), ended })
        }
        Err(ContainerError::Foreign) => Ok(Scan::default()),
        Err(ContainerError::Io(error)) => Err(error),
    }
}

fn scan_media(file: &mut (impl Read + Seek), length: u64) -> io::Result<Scan> {
    let (mut at, mut timescales, mut end) = (0, Vec::new(), Duration::ZERO);
    for _ in 0..FRAGMENTS_MAX {
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        if file.read_exact(&mut head).is_err() {
            break;
        }
        let Some(found) = BoxHeader::read(&head) else { break };
        let size = found.size.unwrap_or(length.saturating_sub(at));
        // A truncated fragment does not count.
        let Some(next) = at.checked_add(size).filter(|next| *next <= length && size > 0) else {
            break;
        };
        if matches!(&found.kind, b"moov" | b"moof") && size <= HEADER_BYTES_MAX {
            let mut body = vec![0; usize::try_from(size - found.header).unwrap_or(0)];
            file.seek(SeekFrom::Start(at + found.header))?;
            file.read_exact(&mut body)?;
            if &found.kind == b"moof" {
                end = end.max(fragment_end(&body, &timescales).unwrap_or_default());
            } else {
                timescales = track_timescales(&body);
                if let Some(duration) = told_duration(&body).filter(|d| *d > 0) {
                    return Ok(Scan { duration: Duration::from_millis(duration), ended: true });
                }
            }
        }
        at = next;
    }
    Ok(Scan { duration: end, ended: false })
}

fn child<'a>(body: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    Boxes(body).find(|(k, _)| k == kind).map(|(_, body)| body)
}

fn number32(body: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?))
}

fn number64(body: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(body.get(at..at + 8)?.try_into().ok()?))
}

/// The duration in `mehd` of a finished file, in milliseconds.
fn told_duration(moov: &[u8]) -> Option<u64> {
    let mehd = child(child(moov, b"mvex")?, b"mehd")?;
    if *mehd.first()? == 1 { number64(mehd, 4) } else { number32(mehd, 4).map(u64::from) }
}

/// Ticks per second of the tracks 1, 2 …
fn track_timescales(moov: &[u8]) -> Vec<u32> {
    let tracks = Boxes(moov).filter(|(kind, _)| kind == b"trak");
    let timescale = |trak| {
        let mdhd = child(child(trak, b"mdia")?, b"mdhd")?;
        number32(mdhd, if *mdhd.first()? == 1 { 20 } else { 12 })
    };
    tracks.map(|(_, trak)| timescale(trak).unwrap_or(1).max(1)).collect()
}

/// End time of a fragment in the format that we write.
fn fragment_end(moof: &[u8], timescales: &[u32]) -> Option<Duration> {
    let traf = child(moof, b"traf")?;
    let track = usize::try_from(number32(child(traf, b"tfhd")?, 4)?).ok()?;
    let timescale = *timescales.get(track.checked_sub(1)?)?;
    let start = number64(child(traf, b"tfdt")?, 4)?;
    let trun = child(traf, b"trun")?;
    let flags = number32(trun, 0)? & 0x00ff_ffff;
    let count = usize::try_from(number32(trun, 4)?).ok()?;
    let words = (flags >> 8 & 15).count_ones() as usize;
    let has_duration = flags & 0x100 != 0;
    let frames = trun.get(12..)?.chunks_exact(words.max(1) * 4).take(count);
    let ticks: u64 = frames.filter_map(|f| number32(f, 0)).map(u64::from).sum();
    let ticks = start.checked_add(if has_duration { ticks } else { 0 })?;
    Duration::try_from_secs_f64(ticks as f64 / f64::from(timescale)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_recording() {
        crate::fuzz::run("recording", |bytes| {
            let length = bytes.len() as u64;
            assert!(scan_voice(io::Cursor::new(bytes)).is_ok());
            assert!(scan_media(&mut io::Cursor::new(bytes), length).is_ok());
            fragment_end(bytes, &[1]);
            track_timescales(bytes);
        });
    }
}
