//! Movie fragments: `moof` and `mdat`, and the index at a file's end.

use super::boxes::BoxWriter;
use super::{Chunk, Sample};
use crate::media::Kind;

/// `sample_flags` of a key frame: depends on no other sample.
const KEY_SAMPLE_MASK: u32 = 0x0200_0000;

/// `sample_flags` of any other frame: depends on others, is not a sync sample.
const DELTA_SAMPLE_MASK: u32 = 0x0101_0000;

/// `moof` and `mdat` of one chunk of the track with this id. `base`, the start of the file in
/// ticks, is subtracted from its times.
pub fn fragment(sequence: u32, track_id: u32, kind: Kind, base: u64, chunk: &Chunk) -> Vec<u8> {
    let payload = chunk.size();
    let mut v = Vec::with_capacity(payload + 128 + chunk.samples.len() * 16);
    let mut data_offset_at = 0;
    v.boxed(b"moof", |v| {
        v.full_box(b"mfhd", 0, 0, |v| v.u32(sequence));
        v.boxed(b"traf", |v| {
            // Offsets count from the start of the moof. These flags apply to all audio frames; for
            // video they are overridden per frame.
            v.full_box(b"tfhd", 0, 0x02_0020, |v| {
                v.u32(track_id);
                v.u32(KEY_SAMPLE_MASK);
            });
            v.full_box(b"tfdt", 1, 0, |v| v.u64(chunk.start.saturating_sub(base)));
            let per_frame = if kind == Kind::Video { 0x0f00 } else { 0x0300 };
            v.full_box(b"trun", 1, 0x0001 | per_frame, |v| {
                v.u32(u32::try_from(chunk.samples.len()).unwrap_or(u32::MAX));
                data_offset_at = v.len();
                v.u32(0);
                chunk.samples.iter().for_each(|s| sample(v, kind, s));
            });
        });
    });
    let data_offset = u32::try_from(v.len() + 8).unwrap_or(u32::MAX);
    v[data_offset_at..data_offset_at + 4].copy_from_slice(&data_offset.to_be_bytes());
    v.boxed(b"mdat", |v| chunk.samples.iter().for_each(|s| v.extend_from_slice(&s.data)));
    v
}

fn sample(v: &mut Vec<u8>, kind: Kind, sample: &Sample) {
    v.u32(sample.duration);
    v.u32(u32::try_from(sample.data.len()).unwrap_or(u32::MAX));
    if kind == Kind::Video {
        v.u32(if sample.key { KEY_SAMPLE_MASK } else { DELTA_SAMPLE_MASK });
        v.u32(sample.composition.cast_unsigned());
    }
}

/// A position in a file where decoding can start.
#[derive(Clone, Copy, Debug)]
pub struct RandomAccess {
    /// Time in the track's ticks from the start of the file.
    pub time: u64,
    /// Offset of the fragment's `moof`.
    pub offset: u64,
}

/// The `mfra` box at the end of a complete file: players seek with it instead of reading
/// everything.
pub fn random_access_index(track_id: u32, places: &[RandomAccess]) -> Vec<u8> {
    let mut v = Vec::with_capacity(places.len() * 19 + 64);
    v.boxed(b"mfra", |v| {
        let begin = v.len() - 8;
        v.full_box(b"tfra", 1, 0, |v| {
            v.u32(track_id);
            v.u32(0); // one byte each for the numbers below
            v.u32(u32::try_from(places.len()).unwrap_or(u32::MAX));
            for place in places {
                v.u64(place.time);
                v.u64(place.offset);
                v.extend_from_slice(&[1, 1, 1]); // first traf, first trun, first sample
            }
        });
        v.full_box(b"mfro", 0, 0, |v| {
            let size = u32::try_from(v.len() + 4 - begin).unwrap_or(u32::MAX);
            v.u32(size);
        });
    });
    v
}
