//! What a manifest is written with.

use std::io;
use std::time::Duration;

use quick_xml::Writer;

use super::periods;
use crate::egress::segments::Segment;

/// A manifest that is being written.
pub(super) type Xml = Writer<Vec<u8>>;

/// The times of segments, with `zero` added.
pub(super) fn timeline(xml: &mut Xml, segments: &[&Segment], zero: Duration) -> io::Result<()> {
    element(xml, "SegmentTimeline", Vec::new(), |xml| {
        for stretch in periods::stretches(segments, zero) {
            let s = [("t", stretch.start), ("d", stretch.duration)];
            let mut s = s.map(|(name, ticks)| (name, ticks.to_string())).to_vec();
            if stretch.repeat > 0 {
                s.push(("r", stretch.repeat.to_string()));
            }
            empty(xml, "S", s)?;
        }
        Ok(())
    })
}

/// A descriptor: an element with a scheme and a value.
pub(super) fn scheme(
    xml: &mut Xml,
    name: &'static str,
    uri: &str,
    value: String,
) -> io::Result<()> {
    empty(xml, name, vec![("schemeIdUri", uri.to_owned()), ("value", value)])
}

/// An element with attributes, and what is in it.
pub(super) fn element(
    xml: &mut Xml,
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    inside: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<()> {
    let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
    xml.create_element(name).with_attributes(attributes).write_inner_content(inside)?;
    Ok(())
}

/// An element with attributes alone.
pub(super) fn empty(
    xml: &mut Xml,
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
) -> io::Result<()> {
    let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
    xml.create_element(name).with_attributes(attributes).write_empty()?;
    Ok(())
}
