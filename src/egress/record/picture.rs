//! The first picture of a recording.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use gst::prelude::*;

use crate::flow::{Blame, Error, Node};

/// Longest time to find and decode it.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Decodes the first picture of a file to a JPEG, 320 pixels wide.
pub(super) async fn first_picture(path: &Path) -> Result<Bytes, Error> {
    let node = Node::parse(
        "thumbnail",
        "filesrc name=file ! qtdemux name=demux demux.video_0 ! decodebin ! videoconvert \
         ! videoscale ! video/x-raw,format=I420,width=320,pixel-aspect-ratio=1/1 ! jpegenc quality=80 \
         ! appsink name=picture sync=false max-buffers=1 enable-last-sample=false",
    )?;
    node.element("file")?.set_property("location", path.to_string_lossy().as_ref());
    let sink = node
        .element("picture")?
        .downcast::<gst_app::AppSink>()
        .map_err(|_| Error::build("the thumbnail", "its end is not an appsink"))?;
    let (tell, picture) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let on_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let bytes = sample.buffer().and_then(|b| b.map_readable().ok().map(|map| map.to_vec()));
        if let (Some(tell), Some(bytes)) = (tell.take(), bytes) {
            let _ = tell.send(Bytes::from(bytes));
        }
        // One is enough: this ends the pipeline.
        Err(gst::FlowError::Eos)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
    node.start().await?;
    let none = |reason: &str| {
        Error::refused(Blame::Input, reason, "play the recording to see what is in it")
    };
    let found = async {
        let mut picture = picture;
        loop {
            tokio::select! {
                biased;
                found = &mut picture => return found.map_err(|_| none("there is none")),
                event = node.next_event() => match event {
                    Ok(crate::flow::NodeEvent::Element(_)) => {}
                    Ok(crate::flow::NodeEvent::Eos) => {
                        return picture.try_recv().map_err(|_| none("there is none"));
                    }
                    Err(error) => return picture.try_recv().map_err(|_| error),
                },
            }
        }
    };
    let found = tokio::time::timeout(TIME_MAX, found).await;
    node.stop().await?;
    found.unwrap_or_else(|_| Err(none("it could not be decoded within 10 seconds")))
}
