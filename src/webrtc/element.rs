//! Elements of pipelines.

use crate::flow::Error;

/// Builds one element from `gst-launch-1.0` syntax.
pub(crate) fn element(description: &str) -> Result<gst::Element, Error> {
    let factory = description.split(' ').next().unwrap_or(description);
    gst::parse::launch_full(description, None, gst::ParseFlags::FATAL_ERRORS).map_err(|e| {
        if e.matches(gst::ParseError::NoSuchElement) {
            Error::MissingElement { factory: factory.to_owned() }
        } else {
            Error::build(factory, e)
        }
    })
}
