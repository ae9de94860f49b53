//! Fills the segment store from the feeds of a stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::fmp4::{self, Chunker, Source, Tapped};
use super::{SegmentStore, Settings, TrackId};
use crate::flow::{CaptionFeeds, CueFeed, Error, Feed, Inputs, Node, Task};
use crate::media::{Accept, Accepts, Captions, Codec, Dubs, Kind, Language, Rung};

/// Pause before the failed pipeline of an audio language restarts.
const DUB_AGAIN: Duration = Duration::from_secs(1);

/// Codecs that segments carry unchanged: those that browsers decode from MP4.
pub fn accepts() -> Accepts {
    let codecs = [Codec::H264, Codec::H265, Codec::Av1];
    let video = Accept { recovery_points: false, ..Accept::any_of(codecs) };
    let audio = Accept::any_of([Codec::Aac, Codec::Opus]);
    let captions = Captions { text: true, embedded: true };
    Accepts::media(Some(video), Some(audio)).with_captions(captions).with_dubs(Dubs::All)
}

/// Fills the segment store from the feeds until the task is cancelled. A change of codec or decoder
/// configuration makes a discontinuity; numbering continues, also after a restart of the node.
/// Failures of other audio languages and of captions do not affect the original tracks.
///
/// # Errors
/// Errors of the pipeline.
pub async fn run(
    task: Task,
    inputs: Inputs,
    segment_store: Arc<SegmentStore>,
    settings: Settings,
) -> Result<(), Error> {
    segment_store.expect_dubs(inputs.dubs.iter().map(|(language, _)| language.clone()).collect());
    let dubs = inputs.dubs.iter().map(|(language, feed)| {
        let id = TrackId::Dub(language.clone());
        dub(&task, id, feed.clone(), &segment_store, settings)
    });
    // The original tracks determine the end.
    let dubs = async {
        futures::future::join_all(dubs).await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        result = originals(&task, &inputs, &segment_store, settings) => result,
        never = dubs => match never {},
        never = captions(&inputs.captions, &segment_store) => match never {},
    }
}

/// The media that an encoded rendition needs: H.264 video, in the size of the rung.
pub fn accepts_encoded(rung: Option<Rung>) -> Accepts {
    let captions = Captions { text: false, embedded: true };
    let video = Accept { recovery_points: false, rung, ..Accept::any_of([Codec::H264]) };
    Accepts::media(Some(video), None).with_captions(captions)
}

/// Fills the segment store with H.264 video beside the original, until the task is cancelled.
///
/// # Errors
/// Errors of the pipeline.
pub async fn run_encoded(
    task: Task,
    id: TrackId,
    inputs: Inputs,
    segment_store: Arc<SegmentStore>,
    settings: Settings,
) -> Result<(), Error> {
    while let Some(sources) = fmp4::settle(&task, &inputs).await {
        derive(&task, &id, &inputs, &sources, (&segment_store, settings)).await?;
    }
    Ok(())
}

async fn originals(
    task: &Task,
    inputs: &Inputs,
    segment_store: &Arc<SegmentStore>,
    settings: Settings,
) -> Result<(), Error> {
    let mut from = gst::ClockTime::ZERO;
    while let Some(sources) = fmp4::settle(task, inputs).await {
        segment_store
            .expect(sources.iter().map(|source| TrackId::original(source.kind())).collect());
        let node = fmp4::node(&task.name, &sources)?;
        for source in &sources {
            let id = TrackId::original(source.kind());
            tap(&node, task, source, (segment_store, id), settings)?;
        }
        fmp4::link(&node, &sources, from)?;
        node.start().await?;
        let result = tokio::select! {
            result = node.run(&task.cancel) => Some(result),
            () = fmp4::changed(inputs, &sources) => None,
            () = report(task, segment_store) => None,
        };
        from = fmp4::newest(&sources);
        node.stop().await?;
        if let Some(result) = result {
            return result;
        }
    }
    Ok(())
}

/// Audio in another language, in a separate pipeline that restarts after a failure. Ends with the
/// task.
async fn dub(
    task: &Task,
    id: TrackId,
    feed: Feed,
    segment_store: &Arc<SegmentStore>,
    settings: Settings,
) {
    let inputs = Inputs { audio: Some(feed), ..Inputs::default() };
    while let Some(sources) = fmp4::settle(task, &inputs).await {
        let outcome = derive(task, &id, &inputs, &sources, (segment_store, settings)).await;
        let Err(error) = outcome else { continue };
        tracing::warn!(track = %id, %error, "a language of HLS is begun again");
        tokio::select! {
            () = task.cancel.cancelled() => return,
            () = tokio::time::sleep(DUB_AGAIN) => {}
        }
    }
}

/// One run of the pipeline of a derived track.
async fn derive(
    task: &Task,
    id: &TrackId,
    inputs: &Inputs,
    sources: &[Source],
    (segment_store, settings): (&Arc<SegmentStore>, Settings),
) -> Result<(), Error> {
    let node = fmp4::node(&format!("{}.{id}", task.name), sources)?;
    for source in sources {
        tap(&node, task, source, (segment_store, id.clone()), settings)?;
    }
    fmp4::link(&node, sources, gst::ClockTime::ZERO)?;
    node.start().await?;
    let result = tokio::select! {
        result = node.run(&task.cancel) => result,
        () = fmp4::changed(inputs, sources) => Ok(()),
    };
    node.stop().await.and(result)
}

/// Puts captions into the segment store; never returns. Recent cues come first, for players that start some
/// seconds in the past.
async fn captions(caption_feeds: &CaptionFeeds, segment_store: &SegmentStore) -> Infallible {
    let (mut feeds, mut cues) = (caption_feeds.subscribe(), caption_feeds.read());
    show(segment_store, &feeds.borrow_and_update());
    loop {
        tokio::select! {
            changed = feeds.changed() => match changed {
                Ok(()) => show(segment_store, &feeds.borrow_and_update()),
                Err(_) => std::future::pending().await,
            },
            (feed, cue) = cues.next() => if cue.is_committed() {
                segment_store.add_cue(feed.language(), &cue);
            },
        }
    }
}

/// Sets the caption languages and adds the recent cues. The segment store ignores cues that it already has.
fn show(segment_store: &SegmentStore, feeds: &[CueFeed]) {
    let asked: Vec<Language> = feeds.iter().map(|feed| feed.language().clone()).collect();
    segment_store.follow_captions(&asked);
    for feed in feeds {
        feed.recent().iter().for_each(|cue| segment_store.add_cue(feed.language(), cue));
    }
}

fn tap(
    node: &Node,
    task: &Task,
    source: &Source,
    (segment_store, id): (&Arc<SegmentStore>, TrackId),
    settings: Settings,
) -> Result<(), Error> {
    let part = settings.part().unwrap_or(settings.segment());
    let mut chunker: Option<Chunker> = None;
    let (segment_store, feed, status) =
        (segment_store.clone(), source.feed.clone(), task.status.clone());
    fmp4::tap(node, source.kind().as_str(), move |tapped| match tapped {
        Tapped::Track(info) => {
            if let Some(chunk) = chunker.as_mut().and_then(Chunker::finish) {
                segment_store.push(&id, &chunk);
            }
            segment_store.begin_track(&id, info.clone());
            let anew = Chunker::new(info, part, settings.segment());
            chunker = Some(match &id {
                TrackId::Video => anew.leading(Arc::clone(&segment_store.starts)),
                TrackId::H264 | TrackId::Rung(_) => {
                    anew.following(Arc::clone(&segment_store.starts))
                }
                TrackId::Audio | TrackId::Dub(_) => anew,
            });
        }
        Tapped::Frame(frame) => {
            let Some(chunker) = &mut chunker else { return };
            let dts = frame.dts;
            if let Some(chunk) = chunker.push(frame) {
                segment_store.push(&id, &chunk);
                status.set_running();
            }
            ask_for_key_frame(&feed, chunker.segment_age(dts), &settings);
        }
        Tapped::End => {}
    })
}

/// Requests a key frame, from sources that can make one, once a segment is long enough.
fn ask_for_key_frame(feed: &Feed, age: Duration, settings: &Settings) {
    if feed.kind() == Kind::Video && age >= settings.segment() {
        feed.request_keyframe();
    }
}

/// Updates the figures in the API; never returns.
async fn report(task: &Task, segment_store: &SegmentStore) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        task.status.set("viewers", segment_store.viewers());
        task.status.set("bytes_held", segment_store.bytes());
        if let Some((seconds, bytes)) = segment_store.dvr() {
            task.status.set("dvr_s", seconds.round());
            task.status.set("dvr_bytes", bytes);
        }
        let codecs: Vec<_> = segment_store.renditions().into_iter().map(|r| r.info.mime).collect();
        task.status.set("codecs", codecs.join(","));
    }
}
