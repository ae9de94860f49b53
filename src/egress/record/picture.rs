//! The first frame of a recording.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use gst::prelude::*;

use crate::egress::thumbnail::{TO_JPEG, catch, first_of};
use crate::flow::{Error, Node};

/// Time limit for finding and decoding the frame.
const DECODE_TIMEOUT: Duration = Duration::from_secs(10);

/// Decodes the first frame of a file to a JPEG, 320 pixels wide.
pub(super) async fn first_picture(path: &Path) -> Result<Bytes, Error> {
    let description = format!("filesrc name=file ! qtdemux name=demux demux.video_0 ! {TO_JPEG}");
    let node = Node::parse("thumbnail", &description)?;
    node.element("file")?.set_property("location", path.to_string_lossy().as_ref());
    let slot = catch(&node)?;
    node.start().await?;
    let found = first_of(&node, &slot, DECODE_TIMEOUT).await;
    node.stop().await?;
    found
}
