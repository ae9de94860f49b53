//! One pipeline with its own bus and lifetime.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use gst::prelude::*;
use tokio_util::sync::CancellationToken;

use super::{Blame, Error, Feed, Join, Link, Writer, clock};
use crate::media::{IgnorePoison, Kind};

/// A state change that takes longer counts as frozen, and so does the node.
pub(super) const STATE_CHANGE_MAX: Duration = Duration::from_secs(15);

/// A pipeline on the shared clock, with links to the feeds that it consumes. Stopped on drop.
pub struct Node {
    name: String,
    pipeline: gst::Pipeline,
    links: Mutex<Vec<(String, Link)>>,
    bus: tokio::sync::Mutex<gst::bus::BusStream>,
    /// The node was dropped: a state change still running on its thread undoes itself.
    dropped: Arc<AtomicBool>,
}

/// An event on a node's bus that is not an error.
#[derive(Debug)]
pub enum NodeEvent {
    /// All data has been written.
    Eos,
    /// An element's message.
    Element(gst::Structure),
}

impl Node {
    /// Builds a node from a `gst-launch-1.0` description. Values that come from outside must not
    /// be written into it: set them as properties afterwards.
    ///
    /// # Errors
    /// [`Error::MissingElement`] or [`Error::Build`].
    pub fn parse(name: impl Into<String>, description: &str) -> Result<Self, Error> {
        let name = name.into();
        let built = gst::parse::launch_full(description, None, gst::ParseFlags::FATAL_ERRORS);
        let element = match built {
            Ok(element) => element,
            Err(e) if e.matches(gst::ParseError::NoSuchElement) => {
                let factory = e.message().split('"').nth(1).unwrap_or(e.message()).to_owned();
                return Err(Error::MissingElement { factory });
            }
            Err(e) => return Err(Error::build(name, e)),
        };
        // A description with several elements yields a pipeline. They stay its direct children, so
        // that elements added while it runs can be linked to them.
        let pipeline = match element.downcast::<gst::Pipeline>() {
            Ok(pipeline) => pipeline,
            Err(element) => {
                let pipeline = gst::Pipeline::new();
                pipeline.add(&element).map_err(|e| Error::build(&name, e))?;
                pipeline
            }
        };
        pipeline.set_property("name", &name);
        Ok(Self::wrap(name, pipeline))
    }

    /// A node without elements.
    pub fn empty(name: impl Into<String>) -> Self {
        let name = name.into();
        let pipeline = gst::Pipeline::with_name(&name);
        Self::wrap(name, pipeline)
    }

    fn wrap(name: String, pipeline: gst::Pipeline) -> Self {
        clock::share(&pipeline);
        let bus = pipeline.bus().expect("a pipeline has a bus").stream();
        Self {
            name,
            pipeline,
            links: Mutex::default(),
            bus: tokio::sync::Mutex::new(bus),
            dropped: Arc::default(),
        }
    }

    /// The node's name, for errors and logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The GStreamer pipeline of this node.
    pub fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }

    /// An element of the pipeline by its `name=`.
    ///
    /// # Errors
    /// [`Error::Build`] if there is none.
    pub fn element(&self, name: &str) -> Result<gst::Element, Error> {
        self.pipeline
            .by_name(name)
            .ok_or_else(|| Error::build(&self.name, format!("no element named `{name}`")))
    }

    /// Feeds the `appsrc` of this name from a feed. A second call with the same name moves it to
    /// another feed while the node runs.
    ///
    /// # Errors
    /// [`Error::Build`] if there is no such appsrc.
    pub fn input(&self, appsrc: &str, feed: &Feed, join: Join) -> Result<(), Error> {
        let element = self.element(appsrc)?;
        let source = element
            .downcast_ref::<gst_app::AppSrc>()
            .ok_or_else(|| Error::build(&self.name, format!("`{appsrc}` is not an appsrc")))?;
        let mut links = self.links.lock().ignore_poison();
        links.retain(|(name, _)| name != appsrc);
        links.push((appsrc.to_owned(), feed.join(&self.name, source, join)));
        Ok(())
    }

    /// Feeds the appsrcs called `video` and `audio` from these feeds. Video begins with what is
    /// kept at its true times, [`Join::Backlog`] or [`Join::KeptFrom`], audio at the same time.
    ///
    /// # Errors
    /// [`Error::Build`] if there is no such appsrc.
    pub fn input_backlog(
        &self,
        video: Option<&Feed>,
        audio: Option<&Feed>,
        join: Join,
    ) -> Result<(), Error> {
        let start = match video {
            Some(video) => video.backlog_start(join),
            // Without video, files get all that is kept; for a server it would only add delay.
            None => match join {
                Join::KeptFrom(from) => Some(from),
                _ => None,
            },
        };
        if let Some(video) = video {
            self.input(Kind::Video.as_str(), video, join)?;
        }
        match audio {
            Some(audio) => {
                let join = start.map_or(Join::Live, Join::Since);
                self.input(Kind::Audio.as_str(), audio, join)
            }
            None => Ok(()),
        }
    }

    /// Disconnects the `appsrc` of this name from its feed: nothing flows until [`Self::input`].
    pub fn release(&self, appsrc: &str) {
        let mut links = self.links.lock().ignore_poison();
        links.retain(|(name, _)| name != appsrc);
    }

    /// Makes the `appsink` of this name write to a feed.
    ///
    /// # Errors
    /// [`Error::Build`] if there is no such appsink.
    pub fn output(&self, appsink: &str, writer: &Writer) -> Result<(), Error> {
        let element = self.element(appsink)?;
        let sink = element
            .downcast_ref::<gst_app::AppSink>()
            .ok_or_else(|| Error::build(&self.name, format!("`{appsink}` is not an appsink")))?;
        writer.attach(sink);
        Ok(())
    }

    /// Totals of all inputs so far: `(buffers, bytes, dropped)`.
    pub fn input_totals(&self) -> (u64, u64, u64) {
        use std::sync::atomic::Ordering::Relaxed;
        let links = self.links.lock().ignore_poison();
        links.iter().fold((0, 0, 0), |(n, bytes, dropped), (_, link)| {
            let s = link.stats();
            (
                n + s.buffers.load(Relaxed),
                bytes + s.bytes.load(Relaxed),
                dropped + s.dropped_slow.load(Relaxed),
            )
        })
    }

    /// Starts the pipeline.
    ///
    /// # Errors
    /// [`Error::Frozen`] when it takes over 15 s, [`Error::Element`] when an element refuses.
    pub async fn start(&self) -> Result<(), Error> {
        match self.change_state(gst::State::Playing, "playing").await {
            Ok(()) => Ok(()),
            // The element that refused has posted the reason on the bus.
            Err(e) => Err(self.posted_error().await.unwrap_or(e)),
        }
    }

    /// Reads the bus until an event that the caller must know.
    ///
    /// # Errors
    /// The first error that an element posts.
    pub async fn next_event(&self) -> Result<NodeEvent, Error> {
        let mut bus = self.bus.lock().await;
        while let Some(message) = bus.next().await {
            if let Some(event) = self.handle_message(&message) {
                return event;
            }
        }
        Err(Error::Ended)
    }

    /// Runs the node until `cancel`.
    ///
    /// # Errors
    /// What an element posts; [`Error::Ended`] at the end of the stream.
    pub async fn run(&self, cancel: &CancellationToken) -> Result<(), Error> {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                event = self.next_event() => match event? {
                    NodeEvent::Eos => return Err(Error::Ended),
                    NodeEvent::Element(_) => {}
                },
            }
        }
    }

    /// Ends the inputs and waits until all pending data has been written, at most `max`. True on
    /// success.
    pub async fn finish(&self, max: Duration) -> bool {
        self.links.lock().ignore_poison().clear();
        for element in self.pipeline.iterate_recurse().into_iter().flatten() {
            if let Some(source) = element.downcast_ref::<gst_app::AppSrc>() {
                let _ = source.end_of_stream();
            }
        }
        let ended = async {
            loop {
                match self.next_event().await {
                    Ok(NodeEvent::Eos) => return true,
                    Ok(NodeEvent::Element(_)) => {}
                    Err(_) => return false,
                }
            }
        };
        tokio::time::timeout(max, ended).await.unwrap_or(false)
    }

    /// Stops the pipeline and waits for it.
    ///
    /// # Errors
    /// [`Error::Frozen`] when it takes over 15 s; its threads are then left behind.
    pub async fn stop(&self) -> Result<(), Error> {
        self.links.lock().ignore_poison().clear();
        self.change_state(gst::State::Null, "stopped").await
    }

    async fn change_state(&self, to: gst::State, word: &'static str) -> Result<(), Error> {
        let pipeline = self.pipeline.clone();
        // A state change may wait for a network or a device: never on an async thread.
        let dropped = self.dropped.clone();
        let change = tokio::task::spawn_blocking(move || {
            let changed = pipeline.set_state(to);
            if dropped.load(Ordering::SeqCst) {
                let _ = pipeline.set_state(gst::State::Null);
            }
            changed
        });
        match tokio::time::timeout(STATE_CHANGE_MAX, change).await {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err(_))) => Err(Error::build(&self.name, format!("it did not become {word}"))),
            Ok(Err(panic)) => Err(Error::build(&self.name, panic)),
            Err(_) => Err(Error::Frozen {
                node: self.name.clone(),
                waiting_for: word,
                after: STATE_CHANGE_MAX,
            }),
        }
    }

    async fn posted_error(&self) -> Option<Error> {
        let bus = self.pipeline.bus()?;
        let message = bus.pop_filtered(&[gst::MessageType::Error]);
        if let Some(message) = message {
            return self.handle_message(&message).and_then(Result::err);
        }
        // The bus stream may have taken the message already.
        let next = tokio::time::timeout(Duration::from_millis(100), self.next_event()).await;
        next.ok().and_then(Result::err)
    }

    fn handle_message(&self, message: &gst::Message) -> Option<Result<NodeEvent, Error>> {
        use gst::MessageView;
        match message.view() {
            MessageView::Eos(_) => Some(Ok(NodeEvent::Eos)),
            MessageView::Error(e) => {
                let source = message.src().map(|s| s.name().to_string()).unwrap_or_default();
                Some(Err(Error::Element {
                    element: source,
                    message: words(e.error().message(), e.debug().as_deref()),
                    blame: blame_of(message.src()),
                }))
            }
            MessageView::Latency(_) => {
                self.pipeline.call_async(|p| {
                    let _ = p.recalculate_latency();
                });
                None
            }
            MessageView::Warning(w) => {
                tracing::debug!(node = %self.name, warning = %w.error(), "pipeline warning");
                None
            }
            MessageView::Element(e) => e.structure().map(|s| Ok(NodeEvent::Element(s.to_owned()))),
            _ => None,
        }
    }
}

/// An element's message with the reason from its debug text. The first line of that text only names
/// the place in the source code and is left out.
pub(super) fn words(message: &str, debug: Option<&str>) -> String {
    let reason = debug.and_then(|d| d.split_once('\n')).map(|(_, reason)| reason.trim());
    match reason.filter(|r| !r.is_empty() && *r != message) {
        Some(reason) => format!("{message} ({reason})"),
        None => message.to_owned(),
    }
}

/// The element's class decides: a sink's error belongs to the destination, a source's, a demuxer's
/// or a decoder's to the input.
fn blame_of(source: Option<&gst::Object>) -> Blame {
    let Some(factory) = source.and_then(|s| s.downcast_ref::<gst::Element>()?.factory()) else {
        return Blame::Us;
    };
    let class = factory.metadata("klass").unwrap_or_default();
    if class.contains("Sink") {
        Blame::Destination
    } else if ["Source", "Demuxer", "Parser", "Decoder", "Depay"].iter().any(|k| class.contains(k))
    {
        Blame::Input
    } else {
        Blame::Us
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.links.lock().ignore_poison().clear();
        self.dropped.store(true, Ordering::SeqCst);
        if self.pipeline.current_state() == gst::State::Null {
            return;
        }
        // Stopping joins streaming threads: a separate thread, so that no async thread waits.
        let pipeline = self.pipeline.clone();
        let spawned = std::thread::Builder::new().name("node-stop".into()).spawn(move || {
            let _ = pipeline.set_state(gst::State::Null);
        });
        if let Err(error) = spawned {
            tracing::error!(node = %self.name, %error, "no thread to stop a node");
        }
    }
}
