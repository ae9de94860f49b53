//! Which encoders really work on this machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use serde::Serialize;

use super::recipes::{RECIPES, Recipe, Wanted};
use crate::media::{Codec, Kind};

/// One encoder has this long to encode [`FRAMES`] small frames. It takes milliseconds; the rest is
/// for a machine that is busy, where giving up would be wrong for as long as we run.
const PROBE_MAX: Duration = Duration::from_secs(4);

/// Frames that an encoder has to encode.
const FRAMES: u32 = 5;

/// An encoder that works, chosen for a codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// What it makes.
    pub codec: Codec,
    /// Factory name, as `gst-inspect-1.0` knows it.
    pub factory: String,
}

/// What became of one encoder that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Probed {
    /// What it makes.
    #[schema(value_type = String)]
    pub codec: Codec,
    /// Factory name, as `gst-inspect-1.0` knows it.
    pub factory: String,
    /// Whether it encoded frames.
    pub works: bool,
    /// Whether it is the one used for its codec.
    pub chosen: bool,
    /// Why it is chosen, passed over or does not work, in words.
    pub reason: String,
    /// How long it took to start and encode five small frames, in milliseconds.
    pub millis: f64,
}

/// Every encoder that we know, tried out on this machine, per codec in the order of preference.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Encoders(Arc<Vec<Probed>>);

impl Encoders {
    /// Tries every encoder: makes it encode five small frames and see them come out, all at the
    /// same time, well under a second together on an idle machine. GStreamer must be running.
    ///
    /// `preferred` names, per codec, the factories to be used before all others.
    ///
    /// It blocks, at most four seconds when an encoder hangs; call it before the server starts, or
    /// through `spawn_blocking`.
    pub fn probe(preferred: &BTreeMap<Codec, Vec<String>>) -> Self {
        let (tell, told) = mpsc::channel();
        let mut waiting = 0;
        for (index, recipe) in RECIPES.iter().enumerate() {
            let tell = tell.clone();
            let probe = move || {
                // Nobody listens any more once the time is up.
                let _ = tell.send((index, attempt(recipe)));
            };
            match std::thread::Builder::new().name("probe".into()).spawn(probe) {
                Ok(_) => waiting += 1,
                Err(error) => tracing::error!(%error, "no thread to try an encoder"),
            }
        }
        let mut results: Vec<_> = RECIPES
            .iter()
            .map(|recipe| Probed {
                codec: recipe.codec,
                factory: recipe.factory.to_owned(),
                works: false,
                chosen: false,
                reason: format!("it hung for {PROBE_MAX:?}"),
                millis: 0.0,
            })
            .collect();
        let end = Instant::now() + PROBE_MAX + Duration::from_millis(500);
        for _ in 0..waiting {
            let left = end.saturating_duration_since(Instant::now());
            let Ok((index, outcome)) = told.recv_timeout(left) else { break };
            let probed: &mut Probed = &mut results[index];
            match outcome {
                Ok(took) => {
                    probed.works = true;
                    probed.reason = String::new();
                    probed.millis = (took.as_secs_f64() * 10_000.0).round() / 10.0;
                }
                Err(reason) => probed.reason = reason,
            }
        }
        Self(Arc::new(choose(results, preferred)))
    }

    /// The encoder to use for a codec; `None` when none works.
    pub fn best(&self, codec: Codec) -> Option<Encoder> {
        let chosen = self.0.iter().find(|probed| probed.codec == codec && probed.chosen)?;
        Some(Encoder { codec, factory: chosen.factory.clone() })
    }

    /// Everything that was tried.
    pub fn list(&self) -> &[Probed] {
        &self.0
    }
}

#[cfg(test)]
impl Encoders {
    /// These encoders, but as if none made `codec`.
    pub(super) fn none_for(codec: Codec, all: &Self) -> Self {
        Self(Arc::new(all.0.iter().filter(|probed| probed.codec != codec).cloned().collect()))
    }
}

/// Orders what was tried, the preferred ones first, marks the first that works of each codec and
/// says why.
fn choose(mut list: Vec<Probed>, preferred: &BTreeMap<Codec, Vec<String>>) -> Vec<Probed> {
    for (codec, factories) in preferred {
        for factory in factories {
            if !list.iter().any(|p| p.codec == *codec && p.factory == *factory) {
                tracing::warn!(%codec, %factory, "preferred encoder is not one that we can drive");
            }
        }
    }
    let wish = |probed: &Probed| {
        let wishes = preferred.get(&probed.codec)?;
        wishes.iter().position(|factory| *factory == probed.factory)
    };
    // Stable: what nobody prefers stays in its order.
    list.sort_by_key(|probed| (probed.codec, wish(probed).unwrap_or(usize::MAX)));
    let mut chosen: Option<(Codec, String)> = None;
    for probed in &mut list {
        if !probed.works {
            continue;
        }
        match &chosen {
            Some((codec, first)) if *codec == probed.codec => {
                probed.reason = format!("works, but {first} comes first");
            }
            _ => {
                probed.chosen = true;
                let why = if wish(probed).is_some() { "preferred" } else { "first that works" };
                probed.reason = why.to_owned();
                chosen = Some((probed.codec, probed.factory.clone()));
            }
        }
    }
    list
}

/// Makes one encoder encode; how long that took, or why it did not work.
fn attempt(recipe: &Recipe) -> Result<Duration, String> {
    if gst::ElementFactory::find(recipe.factory).is_none() {
        return Err(format!("not on this machine; it comes with {}", recipe.from));
    }
    let source = match recipe.codec.kind() {
        Kind::Video => {
            "videotestsrc pattern=ball ! video/x-raw,format=I420,width=320,height=180,\
             framerate=30/1 ! identity eos-after=6 ! videoconvert"
        }
        Kind::Audio => {
            "audiotestsrc samplesperbuffer=1920 ! audio/x-raw,rate=48000,channels=2 \
             ! identity eos-after=6 ! audioconvert"
        }
    };
    let wanted = Wanted { kbps: 128, key_frames: 60, threads: 1 };
    let encoder = recipe.describe(wanted);
    let description = format!("{source} ! {encoder} ! fakesink name=sink sync=false");
    let started = Instant::now();
    let pipeline = gst::parse::launch(&description).map_err(|e| e.message().to_owned())?;
    let outcome = encode(&pipeline);
    let took = started.elapsed();
    // A thread of its own runs this, so an encoder that cannot stop holds nobody up.
    let _ = pipeline.set_state(gst::State::Null);
    outcome.map(|()| took)
}

fn encode(pipeline: &gst::Element) -> Result<(), String> {
    let bin = pipeline.downcast_ref::<gst::Bin>().ok_or("it is no pipeline")?;
    let pad = bin.by_name("sink").and_then(|s| s.static_pad("sink")).ok_or("it has no sink")?;
    let frames = Arc::new(AtomicU32::new(0));
    let counter = frames.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    let bus = pipeline.bus().ok_or("it has no bus")?;
    let refused = pipeline.set_state(gst::State::Playing).is_err();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let limit = gst::ClockTime::try_from(PROBE_MAX).map_err(|e| e.to_string())?;
    let wait = if refused { gst::ClockTime::ZERO } else { limit };
    let message = bus.timed_pop_filtered(wait, &kinds);
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Error(error)) => Err(error.error().message().to_owned()),
        Some(_) if frames.load(Ordering::Relaxed) >= FRAMES => Ok(()),
        Some(_) => Err(format!("it gave {} frames for {FRAMES}", frames.load(Ordering::Relaxed))),
        None if refused => Err("it did not start".to_owned()),
        None => Err(format!("it did not finish within {PROBE_MAX:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(codec: Codec, factory: &str, works: bool) -> Probed {
        Probed {
            codec,
            factory: factory.into(),
            works,
            chosen: false,
            reason: "broken".into(),
            millis: 1.0,
        }
    }

    fn check(preferred: &[&str], expect: &str) {
        let list = vec![
            probed(Codec::H264, "gpu", false),
            probed(Codec::H264, "fast", true),
            probed(Codec::H264, "slow", true),
            probed(Codec::Opus, "opus", true),
        ];
        let wishes = preferred.iter().map(|factory| (*factory).to_owned()).collect();
        let encoders = Encoders(Arc::new(choose(list, &BTreeMap::from([(Codec::H264, wishes)]))));
        let best = encoders.best(Codec::H264).expect("one works");
        assert_eq!(best.factory, expect, "preferring {preferred:?}");
        assert_eq!(encoders.best(Codec::Opus).map(|e| e.factory).as_deref(), Some("opus"));
        assert_eq!(encoders.best(Codec::Vp8), None);
    }

    #[test]
    fn the_first_that_works_is_chosen_unless_another_is_preferred() {
        check(&[], "fast");
        check(&["slow"], "slow");
        check(&["gpu", "slow"], "slow");
        check(&["unheard-of"], "fast");
    }

    #[test]
    fn what_this_machine_has_is_really_tried() {
        gst::init().expect("GStreamer starts");
        let encoders = Encoders::probe(&BTreeMap::new());
        for probed in encoders.list() {
            let installed = gst::ElementFactory::find(&probed.factory).is_some();
            assert!(installed || !probed.works, "{probed:?}");
            assert_eq!(probed.works, probed.millis > 0.0, "{probed:?}");
            assert!(!probed.reason.is_empty(), "{probed:?}");
        }
        // These come with the Debian packages that the appliance depends on.
        for codec in [Codec::H264, Codec::Vp8, Codec::Opus, Codec::Aac] {
            assert!(encoders.best(codec).is_some(), "{codec}: {:#?}", encoders.list());
        }
    }
}
