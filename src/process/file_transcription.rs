//! Transcribes an audio file as fast as the engines allow.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gst::prelude::*;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::flow::{Blame, Error, Node, containers};
use crate::media::{Cue, IgnorePoison, Language};
use crate::speech::stt::{Engines, Event, Options, Status, Transcriber};

/// Longest audio accepted.
const AUDIO_MAX: Duration = Duration::from_secs(4 * 3600);

/// Time limit for one file.
const WORK_TIMEOUT: Duration = Duration::from_secs(2 * 3600);

/// Time limit without decoded audio; beyond it the file counts as having none.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Bytes per read if the decoder does not state how many it wants.
const READ_BYTES: usize = 64 << 10;

/// Most bytes per read: an index may be large.
const READ_BYTES_MAX: usize = 64 << 20;

/// Sample rate of the engines' input.
const ENGINE_RATE_HZ: u64 = 16_000;

/// Result for a completely transcribed file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Duration of the audio.
    pub duration: Duration,
    /// The language, if it was detected.
    pub language: Option<Language>,
}

/// State reported by the transcriber besides cues.
#[derive(Default)]
struct Progress {
    language: Option<Language>,
    off: Option<String>,
    ended: bool,
}

/// Decodes the first audio track of a media file whose codec is installed, and sends its committed
/// cues to `cues`, with times from the start of the file. Dropping the future ends it.
///
/// # Errors
/// If it is not media, cannot be decoded, is too long, or no engine works.
pub async fn run(
    name: &str,
    file: Bytes,
    engines: Arc<Engines>,
    options: Options,
    cues: mpsc::Sender<Cue>,
) -> Result<Summary, Error> {
    let cancel = CancellationToken::new();
    let _ends = cancel.clone().drop_guard();
    let (tell, mut progress) = watch::channel(Progress::default());
    let events = move |event| take(event, &tell, &cues);
    let options = Options { wait: true, ..options };
    let transcriber = Transcriber::new(engines, options, events);
    let transcriber = Arc::new(transcriber.map_err(|e| Error::build(name, e))?);

    let whole = file.clone();
    let known = tokio::task::spawn_blocking(move || containers::check(&whole)).await;
    known.map_err(|panic| Error::build(name, panic))??;
    let node = decoder(name, file)?;
    let sink = node.element("out")?.downcast::<gst_app::AppSink>();
    let sink = sink.map_err(|_| Error::build(name, "`out` is not an appsink"))?;
    node.start().await?;
    let (to, stop) = (Arc::clone(&transcriber), cancel.clone());
    let pump = tokio::task::spawn_blocking(move || pump(&sink, &to, &stop));
    let hear = async {
        let duration = pump.await.map_err(|e| Error::build(name, e))??;
        // Cues up to an engine failure are not the whole file.
        let over = progress.wait_for(|p| p.ended || p.off.is_some()).await;
        let over = over.map_err(|_| Error::build(name, "the transcriber is gone"))?;
        match &over.off {
            Some(why) => Err(no_engine(why)),
            None => Ok(Summary { duration, language: over.language.clone() }),
        }
    };
    let outcome = tokio::select! {
        heard = tokio::time::timeout(WORK_TIMEOUT, hear) => {
            heard.unwrap_or(Err(Error::Stalled(WORK_TIMEOUT)))
        }
        error = posted(&node) => Err(error),
    };
    cancel.cancel();
    let stopped = node.stop().await;
    outcome.and_then(|summary| stopped.map(|()| summary))
}

fn no_engine(why: &str) -> Error {
    Error::refused(Blame::Us, format!("no engine hears it: {why}"), "`auralink doctor` lists them")
}

/// The first error that an element posts; `pump` detects the end of the file.
async fn posted(node: &Node) -> Error {
    loop {
        if let Err(error) = node.next_event().await {
            return error;
        }
    }
}

fn decoder(name: &str, file: Bytes) -> Result<Node, Error> {
    // Video is not decoded: `caps` stops there.
    let node = Node::parse(
        name,
        "appsrc name=in ! decodebin name=decode caps=audio/x-raw expose-all-streams=false \
         ! audioconvert ! audioresample \
         ! audio/x-raw,format=F32LE,rate=16000,channels=1,layout=interleaved \
         ! appsink name=out sync=false async=false max-buffers=16 enable-last-sample=false",
    )?;
    containers::guard(&node.element("decode")?);
    let source = node.element("in")?.downcast::<gst_app::AppSrc>();
    let source = source.map_err(|_| Error::build(name, "`in` is not an appsrc"))?;
    // Some containers have their index at the end.
    source.set_stream_type(gst_app::AppStreamType::RandomAccess);
    source.set_size(file.len() as i64);
    source.set_format(gst::Format::Bytes);
    let place = Arc::new(Mutex::new(0_usize));
    let sought = Arc::clone(&place);
    let seek = move |_: &gst_app::AppSrc, offset: u64| {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        *sought.lock().ignore_poison() = offset;
        true
    };
    let need = move |source: &gst_app::AppSrc, wanted: u32| {
        let mut place = place.lock().ignore_poison();
        // A reader with random access gets exactly what it asked for: demuxers take no more.
        let wanted = if wanted == u32::MAX { READ_BYTES } else { wanted as usize };
        let end = place.saturating_add(wanted.min(READ_BYTES_MAX)).min(file.len());
        if *place >= end {
            let _ = source.end_of_stream();
            return;
        }
        let mut buffer = gst::Buffer::from_slice(file.slice(*place..end));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_offset(*place as u64);
        }
        *place = end;
        drop(place);
        let _ = source.push_buffer(buffer);
    };
    let callbacks = gst_app::AppSrcCallbacks::builder().need_data(need).seek_data(seek);
    source.set_callbacks(callbacks.build());
    Ok(node)
}

/// Passes decoded audio to the transcriber, at its pace; returns the duration of the audio.
fn pump(
    sink: &gst_app::AppSink,
    transcriber: &Transcriber,
    cancel: &CancellationToken,
) -> Result<Duration, Error> {
    let at = |samples: u64| Duration::from_nanos(samples * 1_000_000_000 / ENGINE_RATE_HZ);
    let (mut total, mut idle) = (0_u64, Duration::ZERO);
    let patience = Duration::from_millis(250);
    while !cancel.is_cancelled() && !sink.is_eos() {
        let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(250)) else {
            idle += patience;
            if idle > SILENCE_MAX {
                return Err(no_audio());
            }
            continue;
        };
        idle = Duration::ZERO;
        let Some(map) = sample.buffer().and_then(|b| b.map_readable().ok()) else { continue };
        let bytes = map.as_slice().as_chunks::<4>().0;
        let samples: Vec<f32> = bytes.iter().map(|b| f32::from_le_bytes(*b)).collect();
        transcriber.push(at(total), &samples);
        total += samples.len() as u64;
        if at(total) > AUDIO_MAX {
            let message = format!("it is longer than {} hours", AUDIO_MAX.as_secs() / 3600);
            return Err(Error::refused(Blame::Input, message, "send it in parts"));
        }
    }
    if total == 0 {
        return Err(no_audio());
    }
    transcriber.end();
    Ok(at(total))
}

fn no_audio() -> Error {
    let hint = "send a file with sound in a container and codec that `auralink doctor` lists";
    Error::refused(Blame::Input, "there is no sound that can be decoded in it", hint)
}

/// Handles an event on the transcriber's thread: blocking here blocks the transcriber, and through
/// it the decoder.
fn take(event: Event, tell: &watch::Sender<Progress>, cues: &mpsc::Sender<Cue>) {
    match event {
        // A receiver that is gone needs no more cues.
        Event::Committed(cue) => drop(cues.blocking_send(cue)),
        Event::Language(language, _) => {
            tell.send_modify(|p| p.language = Some(language));
        }
        Event::State(Status::Off { why }) => tell.send_modify(|p| p.off = Some(why)),
        Event::State(Status::Listening { .. }) => tell.send_modify(|p| p.off = None),
        Event::Ended => tell.send_modify(|p| p.ended = true),
        _ => {}
    }
}
