//! Low-latency HLS: playlists (RFC 8216 and draft-pantos-hls-rfc8216bis) and WebVTT captions,
//! written from what the segment store offers.
//!
//! Invariant: nothing is remembered here; what a player gets follows from the segment store alone.

mod master;
mod playlist;
mod subtitles;

use crate::egress::Manifest;
use crate::egress::segments::{SegmentError, SegmentStore, TrackId};
use crate::media::Language;

/// The master playlist, once every track has a segment. `query` is appended to every URI.
///
/// # Errors
/// [`SegmentError::Late`] if the stream is stalled.
pub async fn master(segment_store: &SegmentStore, query: &str) -> Result<Manifest, SegmentError> {
    let presentation = segment_store.presentation().await?;
    Ok(Manifest::newest(master::text(&presentation, query), presentation.target_s))
}

/// The playlist of a track. With `at_least` it waits until that segment or part is listed:
/// rfc8216bis 6.2.5.2. `query` is appended to every URI.
///
/// # Errors
/// [`SegmentError::Unknown`] for an unknown track or a number too far ahead, [`SegmentError::Late`]
/// if the stream is stalled.
pub async fn playlist(
    segment_store: &SegmentStore,
    id: &TrackId,
    query: &str,
    at_least: Option<(u64, Option<usize>)>,
) -> Result<Manifest, SegmentError> {
    let view = segment_store.track(id, at_least).await?;
    let text = playlist::text(&view, &id.to_string(), query);
    Ok(match at_least {
        Some(_) => Manifest::awaited(text, view.target_s),
        None => Manifest::newest(text, view.target_s),
    })
}

/// The playlist of the captions with this configured language, once a segment has its captions.
/// `query` is appended to every URI.
///
/// # Errors
/// [`SegmentError::Unknown`] for unknown captions, [`SegmentError::Late`] if the stream is stalled.
pub async fn captions(
    segment_store: &SegmentStore,
    name: &Language,
    query: &str,
) -> Result<Manifest, SegmentError> {
    let view = segment_store.captions(name).await?;
    let text = playlist::captions(&view, &format!("captions-{name}"), query);
    Ok(Manifest::newest(text, view.target_s))
}

/// The captions of a segment as WebVTT; they never change.
///
/// # Errors
/// As [`SegmentStore::captions_segment`].
pub fn captions_segment(
    segment_store: &SegmentStore,
    name: &Language,
    sequence: u64,
) -> Result<String, SegmentError> {
    Ok(subtitles::text(&segment_store.captions_segment(name, sequence)?))
}

#[cfg(test)]
mod tests;
