//! Low-latency HLS: playlists (RFC 8216 and draft-pantos-hls-rfc8216bis), written from what the segment store offers.
//!
//! Invariant: nothing is remembered here; what a player gets follows from the segment store alone.

mod master;
mod playlist;

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
/// rfc8216bis 6.2.5.2. With `skip` a long playlist is only its end: rfc8216bis 6.2.5.1. `query` is
/// appended to every URI.
///
/// # Errors
/// [`SegmentError::Unknown`] for an unknown track or a number too far ahead, [`SegmentError::Late`]
/// if the stream is stalled.
pub async fn playlist(
    segment_store: &SegmentStore,
    id: &TrackId,
    query: &str,
    at_least: Option<(u64, Option<usize>)>,
    skip: bool,
) -> Result<Manifest, SegmentError> {
    let view = segment_store.track(id, at_least).await?;
    let text = playlist::text(&view, &id.to_string(), query, skip);
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

#[cfg(test)]
mod tests;
