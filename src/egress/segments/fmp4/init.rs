//! The header of a fragmented file: `ftyp` and `moov`.

use super::TrackInfo;
use super::boxes::BoxWriter;
use crate::media::Kind;

/// A file header and the position of its duration.
#[derive(Clone, Debug)]
pub struct Header {
    /// `ftyp` and `moov`.
    pub bytes: Vec<u8>,
    /// Offset of the 64-bit duration in milliseconds, which is filled in when the file ends. Zero
    /// means unknown; players then read the fragments instead.
    pub duration_at: usize,
}

/// The unit matrix of `mvhd` and `tkhd`.
const UNITY_MATRIX_VALUES: [u32; 9] = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];

/// The header for these tracks, which get the ids 1, 2 …
pub fn header(tracks: &[&TrackInfo]) -> Header {
    let mut bytes = Vec::with_capacity(2048);
    bytes.boxed(b"ftyp", |v| {
        v.extend_from_slice(b"iso6");
        v.u32(0);
        v.extend_from_slice(b"iso6iso5cmfcmp41");
    });
    let mut duration_at = 0;
    bytes.boxed(b"moov", |v| {
        movie_header(v, tracks.len());
        for (id, track) in (1..).zip(tracks) {
            v.boxed(b"trak", |v| trak(v, id, track));
        }
        v.boxed(b"mvex", |v| {
            v.full_box(b"mehd", 1, 0, |v| {
                duration_at = v.len();
                v.u64(0);
            });
            for (id, _) in (1..).zip(tracks) {
                v.full_box(b"trex", 0, 0, |v| {
                    v.u32(id);
                    v.u32(1);
                    v.zeros(12);
                });
            }
        });
    });
    Header { bytes, duration_at }
}

fn movie_header(v: &mut Vec<u8>, tracks: usize) {
    v.full_box(b"mvhd", 0, 0, |v| {
        v.zeros(8); // creation and modification time: not known to the format's epoch
        v.u32(1000); // ticks per second
        v.u32(0); // duration: it is in the fragments
        v.u32(0x0001_0000); // rate
        v.u16(0x0100); // volume
        v.zeros(10);
        UNITY_MATRIX_VALUES.iter().for_each(|m| v.u32(*m));
        v.zeros(24);
        v.u32(u32::try_from(tracks).unwrap_or(u32::MAX - 1) + 1); // next track id
    });
}

fn trak(v: &mut Vec<u8>, id: u32, track: &TrackInfo) {
    let video = track.kind() == Kind::Video;
    v.full_box(b"tkhd", 0, 7, |v| {
        v.zeros(8);
        v.u32(id);
        v.zeros(4);
        v.u32(0); // duration
        v.zeros(8);
        v.u16(0); // layer
        v.u16(u16::from(!video)); // alternate group
        v.u16(if video { 0 } else { 0x0100 }); // volume
        v.u16(0);
        UNITY_MATRIX_VALUES.iter().for_each(|m| v.u32(*m));
        v.u32(u32::from(track.width) << 16);
        v.u32(u32::from(track.height) << 16);
    });
    v.boxed(b"mdia", |v| {
        v.full_box(b"mdhd", 0, 0, |v| {
            v.zeros(8);
            v.u32(track.timescale);
            v.u32(0);
            v.u16(0x55c4); // language `und`
            v.u16(0);
        });
        v.full_box(b"hdlr", 0, 0, |v| {
            v.u32(0);
            v.extend_from_slice(if video { b"vide" } else { b"soun" });
            v.zeros(12);
            v.extend_from_slice(if video { b"video\0" } else { b"audio\0" });
        });
        v.boxed(b"minf", |v| {
            if video {
                v.full_box(b"vmhd", 0, 1, |v| v.zeros(8));
            } else {
                v.full_box(b"smhd", 0, 0, |v| v.zeros(4));
            }
            v.boxed(b"dinf", |v| {
                v.full_box(b"dref", 0, 0, |v| {
                    v.u32(1);
                    v.full_box(b"url ", 0, 1, |_| {});
                });
            });
            v.boxed(b"stbl", |v| sample_table(v, track));
        });
    });
}

/// A sample table without samples: they are in the fragments.
fn sample_table(v: &mut Vec<u8>, track: &TrackInfo) {
    v.full_box(b"stsd", 0, 0, |v| {
        v.u32(1);
        v.extend_from_slice(&track.entry);
    });
    v.full_box(b"stts", 0, 0, |v| v.u32(0));
    v.full_box(b"stsc", 0, 0, |v| v.u32(0));
    v.full_box(b"stsz", 0, 0, |v| v.zeros(8));
    v.full_box(b"stco", 0, 0, |v| v.u32(0));
}
