//! Fragmented MP4 (ISO/IEC 14496-12, CMAF 23000-19), used for segments and recordings.
//!
//! A writer of our own, because available muxers take the decode time of a chunk from its earliest
//! presented frame. With B-frames the decode times of consecutive chunks then overlap, and players
//! that follow the Media Source rules drop everything up to the next key frame. Here the decode
//! time of a chunk is always that of its first frame.
//!
//! Invariant: only `tap` and `sources` use pipelines; the rest handles bytes and times.

mod boxes;
mod chunk;
mod chunker;
mod fragment;
mod init;
mod sample_entry;
mod segment_starts;
mod sources;
mod tap;
mod track_info;

pub use boxes::{BoxHeader, Boxes};
pub use chunk::{Chunk, Cut, Frame, Sample};
pub use chunker::Chunker;
pub use fragment::{RandomAccess, fragment, random_access_index};
pub use init::{Header, header};
pub use segment_starts::SegmentStarts;
pub use sources::{Source, changed, ended, link, newest, node, settle};
pub use tap::{Tapped, branch, tap};
pub use track_info::TrackInfo;
