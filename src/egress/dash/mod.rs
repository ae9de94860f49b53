//! MPEG-DASH (ISO/IEC 23009-1): live manifests, written from what the segment store offers. Players
//! fetch the segments that HLS lists too.
//!
//! Invariant: nothing is remembered here; what a player gets follows from the segment store alone.

mod captions;
mod mpd;
mod periods;
mod xml;

use crate::egress::Manifest;
use crate::egress::segments::{Presentation, Rendition, SegmentError, SegmentStore, TrackId};
use crate::flow;
use crate::media::Language;
use captions::Captions;
use mpd::Track;

/// The manifest of the stream, once every original track has a segment. Audio in other languages is
/// listed once it is there. `query` is appended to every URI.
///
/// # Errors
/// [`SegmentError::Late`] if the stream is stalled.
pub async fn manifest(segment_store: &SegmentStore, query: &str) -> Result<Manifest, SegmentError> {
    let mut presentation = segment_store.presentation().await?;
    if !presentation.encoded.is_empty() {
        // Asking starts the encoders: unlike HLS there is no playlist of its own to ask for. One that
        // fails leaves the others.
        let asked = presentation.encoded.iter().map(|(id, _)| segment_store.track(id, None));
        futures::future::join_all(asked).await;
        presentation = segment_store.presentation().await?;
    }
    let mut tracks = Vec::new();
    for (id, language, rendition) in offered(&presentation) {
        // A track may have gone since.
        let Ok(view) = segment_store.track(&id, None).await else { continue };
        tracks.push(Track { id, language, rendition, view });
    }
    let offered = presentation.captions.iter().enumerate();
    let captions = offered.filter_map(|(index, offered)| {
        let list = segment_store.settled_captions(&offered.name)?;
        Some(Captions { offered: offered.clone(), is_original: index == 0, list })
    });
    let captions: Vec<_> = captions.collect();
    let now = std::time::Duration::from_nanos(flow::now().nseconds());
    let text =
        mpd::text(&presentation, (&tracks, &captions), query, presentation.timeline.zero + now);
    Ok(Manifest::newest(text, presentation.target_s))
}

/// The tracks that there are, with their languages as far as they are known, the original first.
fn offered(presentation: &Presentation) -> Vec<(TrackId, Option<Language>, Rendition)> {
    let spoken = presentation.captions.first().map(|original| original.language.clone());
    let spoken = spoken.filter(|language| *language != Language::undetermined());
    let video = presentation.video.iter().map(|r| (TrackId::Video, None, r));
    let encoded = presentation.encoded.iter().map(|(id, r)| (id.clone(), None, r));
    let audio = presentation.audio.iter().map(|r| (TrackId::Audio, spoken.clone(), r));
    let dubs = presentation.dubs.iter().filter_map(|(language, rendition)| {
        Some((TrackId::Dub(language.clone()), Some(language.clone()), rendition.as_ref()?))
    });
    let all = video.chain(encoded).chain(audio).chain(dubs);
    all.map(|(id, language, rendition)| (id, language, rendition.clone())).collect()
}

#[cfg(test)]
mod tests;
