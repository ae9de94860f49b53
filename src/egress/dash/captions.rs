//! Captions as adaptation sets of WebVTT, one for each language.
//!
//! Their times are those of the presentation, not of a period: dash.js places cues of WebVTT without the
//! offset of their period, and the standard, which others follow, with it. So here it is zero.

use std::io;
use std::time::Duration;

use quick_xml::events::BytesText;

use super::periods;
use super::xml::{Xml, element, scheme, timeline};
use crate::egress::segments::{CaptionRendition, SegmentList, TICKS_PER_S, ticks};

/// Least id of a set of captions; lower ones are those of video and audio.
const FIRST_CAPTIONS_ID: usize = 100;

/// What captions take at most, in bit/s: the manifest wants a number.
const CAPTIONS_BPS: u32 = 1000;

/// Captions in one language with their segments.
pub(super) struct Captions {
    pub(super) offered: CaptionRendition,
    /// Whether they are in the language that is spoken.
    pub(super) is_original: bool,
    /// As far as their texts are complete, and in memory.
    pub(super) list: SegmentList,
}

/// The adaptation sets of a period that begins at this Unix time; those without a segment are left out.
pub(super) fn put(
    xml: &mut Xml,
    all: &[Captions],
    epoch: u64,
    (zero, begins, query): (Duration, Duration, &str),
) -> io::Result<()> {
    for (index, captions) in all.iter().enumerate() {
        let runs = periods::runs(&captions.list);
        let in_period = runs.into_iter().filter(|run| run.epoch == epoch);
        let segments: Vec<_> = in_period.flat_map(|run| run.segments).collect();
        if segments.is_empty() {
            continue;
        }
        let CaptionRendition { name, language } = &captions.offered;
        let set = vec![
            ("id", (FIRST_CAPTIONS_ID + index).to_string()),
            ("contentType", "text".to_owned()),
            ("mimeType", "text/vtt".to_owned()),
            ("lang", language.to_string()),
            ("segmentAlignment", "true".to_owned()),
        ];
        let representation =
            vec![("id", format!("captions-{name}")), ("bandwidth", CAPTIONS_BPS.to_string())];
        let template = vec![
            ("timescale", TICKS_PER_S.to_string()),
            ("presentationTimeOffset", ticks(begins).to_string()),
            ("media", format!("captions-{name}.t$Time$.vtt{query}")),
        ];
        element(xml, "AdaptationSet", set, |xml| {
            let role = if captions.is_original { "caption" } else { "subtitle" };
            scheme(xml, "Role", "urn:mpeg:dash:role:2011", role.to_owned())?;
            xml.create_element("Label").write_text_content(BytesText::new(language.name()))?;
            element(xml, "Representation", representation, |xml| {
                element(xml, "SegmentTemplate", template, |xml| timeline(xml, &segments, zero))
            })
        })?;
    }
    Ok(())
}
