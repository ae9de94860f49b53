//! The CMAF segments of a stream (ISO/IEC 23000-19) in memory: renditions, segments and their parts;
//! on disk too ([`dvr`]) if viewers may go back.
//!
//! [`fmp4`] makes the bytes, for recordings too. [`run`] fills the [`SegmentStore`] of a stream. A
//! protocol over HTTP is a folder beside this one: it writes its manifests from the store's
//! [`Presentation`] and [`TrackView`]s, and its players fetch the store's segments and parts.
//!
//! Invariant: the text of manifests is unknown here, and nothing but a request for a segment of the disk
//! waits for the disk.

mod dvr;
mod dvr_window;
mod encoded;
mod error;
pub mod fmp4;
pub(super) mod index;
mod media;
mod requests;
mod segment_store;
mod segmenter;
mod settings;
mod state;
pub(super) mod subtitles;
mod track;
mod track_id;
mod view;
mod viewers;
mod webvtt;

pub use dvr::{
    Place as DvrPlace, WINDOW_MAX_S as DVR_MAX_S, WINDOW_MIN_S as DVR_MIN_S, Warning, sweep,
};
pub use error::SegmentError;
pub use media::Media;
pub use segment_store::SegmentStore;
pub use segmenter::{accepts, accepts_encoded, run, run_encoded};
pub use settings::Settings;
pub use track_id::TrackId;
pub use view::{
    CaptionRendition, ClosedCaptions, LiveEdge, Part, Presentation, Rendition, Segment,
    SegmentList, TICKS_PER_S, Timeline, TrackView, ticks,
};
