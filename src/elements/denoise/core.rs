//! The implementation of the core element.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;

use super::SPEECH;
use super::properties::{self, Properties};
use crate::media::IgnorePoison;
use crate::speech::denoise::{Denoiser, RATE_HZ, Selector, Strength};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "auralinkdenoise",
        gst::DebugColorFlags::empty(),
        Some("Noise suppression"),
    )
});

/// A step of the timestamps of more than this is a gap, not jitter: buffered audio is flushed with
/// its own time, and the network restarts.
const JUMP_MIN: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// Shortest distance of speech messages, in samples: 100 ms.
const MESSAGE_INTERVAL_SAMPLES: u64 = RATE_HZ as u64 / 10;

/// Bytes of one sample of one channel.
const SAMPLE_BYTES: usize = size_of::<f32>();

/// State from the first caps until the element stops.
struct State {
    denoiser: Denoiser,
    selector: Selector,
    channels: usize,
    /// Expected start of the next input, if it continues the last.
    expected: Option<gst::ClockTime>,
    /// Whether the next output does not continue the last.
    discont: bool,
    /// Samples sent since the last speech message.
    since_message: u64,
    /// Buffers from a flush, to be sent first.
    flushed: VecDeque<gst::Buffer>,
}

/// Implementation of [`super::DenoiseCore`].
pub struct DenoiseCore {
    /// Lock order: settings before state; neither is held while anything is pushed or posted.
    settings: Mutex<Properties>,
    state: Mutex<Option<State>>,
    /// Latency of the denoiser in nanoseconds, as it was posted last.
    latency_ns: AtomicU64,
    /// Bits of the last speech probability, for the property.
    speech_probability: AtomicU32,
}

impl Default for DenoiseCore {
    fn default() -> Self {
        Self {
            settings: Mutex::default(),
            state: Mutex::default(),
            latency_ns: AtomicU64::new(nanoseconds(
                Denoiser::new(1, Strength::default()).latency(),
            )),
            speech_probability: AtomicU32::new(0),
        }
    }
}

/// Duration of this number of samples per channel.
fn duration_of(samples: usize) -> gst::ClockTime {
    gst::ClockTime::SECOND.mul_div_round(samples as u64, u64::from(RATE_HZ)).unwrap_or_default()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[glib::object_subclass]
impl ObjectSubclass for DenoiseCore {
    const NAME: &'static str = "AuralinkDenoiseCore";
    type Type = super::DenoiseCore;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for DenoiseCore {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties::specs);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings.lock().ignore_poison();
        settings.set(pspec.name(), value);
        gst::info!(CAT, imp = self, "settings are now {settings:?}");
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "speech-probability" => {
                f32::from_bits(self.speech_probability.load(Ordering::Relaxed)).to_value()
            }
            name => self.settings.lock().ignore_poison().get(name),
        }
    }
}

impl GstObjectImpl for DenoiseCore {}

impl ElementImpl for DenoiseCore {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AuraLink noise suppression (48 kHz)",
                "Filter/Effect/Audio",
                "Removes noise from speech; `auralinkdenoise` takes any rate",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst_audio::AudioCapsBuilder::new_interleaved()
                .format(gst_audio::AudioFormat::F32le)
                .rate(RATE_HZ as i32)
                .channels_range(1..=2)
                .build();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .map(|(name, way)| {
                    gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps)
                        .expect("name, direction and caps are valid")
                })
                .into()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for DenoiseCore {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.state.lock().ignore_poison() = None;
        Ok(())
    }

    fn set_caps(&self, caps: &gst::Caps, _out: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_audio::AudioInfo::from_caps(caps)
            .map_err(|_| gst::loggable_error!(CAT, "not caps of raw sound: {caps}"))?;
        // Buffered audio still has the old number of channels.
        self.flush_out();
        let settings = self.settings.lock().ignore_poison().clone();
        let channels = info.channels() as usize;
        let mut state = State {
            denoiser: Denoiser::new(channels, settings.strength),
            selector: Selector::default(),
            channels,
            expected: None,
            discont: true,
            since_message: MESSAGE_INTERVAL_SAMPLES,
            flushed: VecDeque::new(),
        };
        state.selector.follow(&settings.selection, &mut state.denoiser);
        let latency_ns = nanoseconds(state.denoiser.latency());
        *self.state.lock().ignore_poison() = Some(state);
        self.tell_latency(latency_ns);
        Ok(())
    }

    fn unit_size(&self, caps: &gst::Caps) -> Option<usize> {
        gst_audio::AudioInfo::from_caps(caps).ok().map(|info| info.bpf() as usize)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Latency(latency) = query.view_mut()
            && direction == gst::PadDirection::Src
        {
            let mut upstream = gst::query::Latency::new();
            if !self.obj().sink_pad().peer_query(&mut upstream) {
                return false;
            }
            let own = gst::ClockTime::from_nseconds(self.latency_ns.load(Ordering::Relaxed));
            let (live, min, max) = upstream.result();
            latency.set(live, min + own, max.map(|max| max + own));
            return true;
        }
        BaseTransformImplExt::parent_query(self, direction, query)
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            // A gap has its own time: earlier audio must be sent first.
            gst::EventView::Eos(_) | gst::EventView::Gap(_) | gst::EventView::Segment(_) => {
                self.flush_out();
            }
            gst::EventView::FlushStop(_) => {
                if let Some(state) = &mut *self.state.lock().ignore_poison() {
                    state.denoiser.reset();
                    state.flushed.clear();
                    state.expected = None;
                    state.discont = true;
                }
            }
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let input = self.take_queued_buffer();
        let settings = self.settings.lock().ignore_poison().clone();
        let mut guard = self.state.lock().ignore_poison();
        let state = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        state.denoiser.set_strength(settings.strength);
        state.selector.follow(&settings.selection, &mut state.denoiser);
        let made = match input {
            Some(input) => state.take(&input).map_err(|error| {
                gst::error!(CAT, imp = self, "a buffer cannot be read: {error}");
                gst::FlowError::Error
            })?,
            None => None,
        };
        // After a jump the base class calls again until nothing is left.
        let output = match (state.flushed.pop_front(), made) {
            (Some(flushed), Some(made)) => {
                state.flushed.push_back(made);
                Some(flushed)
            }
            (flushed, made) => flushed.or(made),
        };
        let message = output.is_some().then(|| state.speech_message()).flatten();
        let probability = state.denoiser.speech_probability();
        let latency_ns = nanoseconds(state.denoiser.latency());
        drop(guard);
        self.tell_latency(latency_ns);
        self.speech_probability.store(probability.to_bits(), Ordering::Relaxed);
        if let Some(structure) = message {
            self.post_speech(structure, output.as_ref());
        }
        Ok(output.map_or(GenerateOutputSuccess::NoOutput, GenerateOutputSuccess::Buffer))
    }
}

impl DenoiseCore {
    /// Pushes all buffered audio downstream.
    fn flush_out(&self) {
        let buffers = match &mut *self.state.lock().ignore_poison() {
            Some(state) => {
                state.flush();
                std::mem::take(&mut state.flushed)
            }
            None => return,
        };
        for buffer in buffers {
            if let Err(error) = self.obj().src_pad().push(buffer) {
                gst::debug!(CAT, imp = self, "flushing out: {error}");
            }
        }
    }

    /// Posts the latency if it has changed.
    fn tell_latency(&self, latency_ns: u64) {
        if self.latency_ns.swap(latency_ns, Ordering::Relaxed) != latency_ns {
            self.post(gst::message::Latency::builder().src(&*self.obj()).build());
        }
    }

    fn post_speech(&self, mut structure: gst::Structure, output: Option<&gst::Buffer>) {
        let segment = self.obj().segment();
        let running_time = segment
            .downcast_ref::<gst::ClockTime>()
            .and_then(|segment| segment.to_running_time(output?.pts()?));
        if let Some(at) = running_time {
            structure.set("running-time", at.nseconds());
        }
        self.post(gst::message::Element::builder(structure).src(&*self.obj()).build());
    }

    fn post(&self, message: gst::Message) {
        if self.obj().post_message(message).is_err() {
            gst::trace!(CAT, imp = self, "nobody listens to messages");
        }
    }
}

impl State {
    /// Takes one input buffer; returns what became ready.
    fn take(&mut self, input: &gst::Buffer) -> Result<Option<gst::Buffer>, glib::BoolError> {
        let start = input.pts().or(self.expected);
        let jumped = match (start, self.expected) {
            (Some(start), Some(expected)) => {
                start.saturating_sub(expected).max(expected.saturating_sub(start)) > JUMP_MIN
            }
            _ => false,
        };
        if jumped {
            self.flush();
            self.discont = true;
        }
        let held = self.denoiser.held();
        let samples = read_samples(input)?;
        let count = samples.len() / self.channels;
        // The first output sample is the oldest one buffered. A timestamp derived from this buffer
        // follows a source whose clock differs slightly from ours.
        let first = start.map(|start| start.saturating_sub(duration_of(held)));
        self.expected = start.map(|start| start + duration_of(count));
        let mut output = Vec::new();
        self.denoiser.push(&samples[..count * self.channels], &mut output);
        Ok(self.wrap(output, first))
    }

    /// Turns all buffered audio into a buffer, and restarts.
    fn flush(&mut self) {
        let held = self.denoiser.held();
        let first = self.expected.map(|end| end.saturating_sub(duration_of(held)));
        let mut output = Vec::new();
        self.denoiser.drain(&mut output);
        self.expected = None;
        if let Some(buffer) = self.wrap(output, first) {
            self.flushed.push_back(buffer);
        }
    }

    fn wrap(&mut self, samples: Vec<f32>, pts: Option<gst::ClockTime>) -> Option<gst::Buffer> {
        if samples.is_empty() {
            return None;
        }
        let count = samples.len() / self.channels;
        self.since_message += count as u64;
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let writable = buffer.get_mut().expect("a new buffer has one owner");
        writable.set_pts(pts);
        writable.set_duration(duration_of(count));
        if std::mem::take(&mut self.discont) {
            writable.set_flags(gst::BufferFlags::DISCONT);
        }
        if let Ok(mut meta) = gst::meta::CustomMeta::add(writable, SPEECH) {
            let probability = f64::from(self.denoiser.speech_probability());
            meta.mut_structure().set("probability", probability);
        }
        Some(buffer)
    }

    /// The speech message, if one is due.
    fn speech_message(&mut self) -> Option<gst::Structure> {
        if self.since_message < MESSAGE_INTERVAL_SAMPLES {
            return None;
        }
        self.since_message = 0;
        let mut structure = gst::Structure::builder(SPEECH)
            .field("probability", f64::from(self.denoiser.speech_probability()))
            .field("engine", self.denoiser.engine())
            .field("fallbacks", self.denoiser.fallbacks())
            .build();
        if let Some(factor) = self.denoiser.real_time_factor() {
            structure.set("real-time-factor", f64::from(factor));
        }
        if let Some(why) = self.selector.off() {
            structure.set("off", why);
        }
        if let Some(level) = self.denoiser.noise_dbfs() {
            structure.set("noise-dbfs", f64::from(level));
        }
        Some(structure)
    }
}

fn read_samples(buffer: &gst::Buffer) -> Result<Vec<f32>, glib::BoolError> {
    let map = buffer.map_readable()?;
    let sample = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("chunks of four"));
    Ok(map.chunks_exact(SAMPLE_BYTES).map(sample).collect())
}
