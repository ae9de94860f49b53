//! Noise suppression between two feeds of raw audio.

use tokio::sync::watch;

use super::SOURCE;
use super::node::{MediaContext, MediaNode};
pub use super::settings::DenoiseSettings as Settings;
use crate::elements::denoise::SPEECH;
use crate::flow::{Error, Feed, Node, NodeEvent, Task, Writer};
use crate::speech::denoise::{Engine, Found};

/// Cleans raw audio from `input` into `output` until cancelled, and applies every change of
/// `settings`, and of DeepFilterNet on this machine, while it runs. Reports `speech_probability`
/// (0-1), `noise_dbfs`, `engine` (the one that is heard: `dfn3` or `rnnoise`), `fallbacks` (how often
/// RNNoise took over because the processor was late), `real_time_factor` (of DeepFilterNet, over one
/// second) and `off` (why DeepFilterNet is not there although it is wanted).
///
/// # Errors
/// When the element cannot be built or fails.
pub async fn run(
    task: Task,
    input: Feed,
    output: Writer,
    mut settings: watch::Receiver<Settings>,
    mut deepfilternet: watch::Receiver<Found>,
) -> Result<(), Error> {
    let node = Node::parse(
        &task.name,
        &format!(
            "{SOURCE} ! auralinkdenoise name=denoise \
             ! audio/x-raw,format=F32LE,rate=48000,layout=interleaved ! appsink name=out"
        ),
    )?;
    let denoise = node.element("denoise")?;
    offer(&denoise, &deepfilternet.borrow_and_update());
    apply(&denoise, &settings.borrow_and_update());
    node.output("out", &output)?;
    super::report_first_buffer(&node, "out", &task.status)?;
    node.start().await?;
    super::input_with_past(&node, &input, &output)?;
    loop {
        tokio::select! {
            () = task.cancel.cancelled() => {
                super::finish(&node, &input).await;
                return node.stop().await;
            }
            changed = settings.changed() => match changed {
                Ok(()) => apply(&denoise, &settings.borrow_and_update()),
                // The sender is gone, so settings cannot change any more; the last ones stay.
                Err(_) => {
                    node.run(&task.cancel).await?;
                    return node.stop().await;
                }
            },
            Ok(()) = deepfilternet.changed() => {
                offer(&denoise, &deepfilternet.borrow_and_update());
            }
            event = node.next_event() => match event? {
                NodeEvent::Eos => return Err(Error::Ended),
                NodeEvent::Element(message) => {
                    report(&task, &message, &deepfilternet.borrow());
                }
            },
        }
    }
}

fn apply(denoise: &gst::Element, settings: &Settings) {
    use gst::prelude::*;
    let strength = settings.strength();
    denoise.set_property("enabled", strength.enabled);
    denoise.set_property("mix", strength.mix);
    denoise.set_property("max-attenuation-db", strength.max_attenuation_db);
    let engine = match settings.engine {
        Engine::Auto => "auto",
        Engine::Dfn3 => "dfn3",
        Engine::Rnnoise => "rnnoise",
    };
    denoise.set_property_from_str("engine", engine);
    denoise.set_property("post-filter", settings.post_filter);
}

/// Tells the element where DeepFilterNet is: nowhere but there.
fn offer(denoise: &gst::Element, deepfilternet: &Found) {
    use gst::prelude::*;
    let folder = deepfilternet.as_ref().map_or("", |folder| folder.to_str().unwrap_or_default());
    denoise.set_property("models", folder);
}

fn report(task: &Task, message: &gst::Structure, deepfilternet: &Found) {
    if message.name() != SPEECH {
        return;
    }
    let rounded = |field: &str, digits: f64| {
        message.get::<f64>(field).ok().map(|value| (value * digits).round() / digits)
    };
    if let Some(probability) = rounded("probability", 100.0) {
        task.status.set("speech_probability", probability);
    }
    if let Some(level) = rounded("noise-dbfs", 10.0) {
        task.status.set("noise_dbfs", level);
    }
    if let Some(factor) = rounded("real-time-factor", 100.0) {
        task.status.set("real_time_factor", factor);
    }
    if let Ok(engine) = message.get::<&str>("engine") {
        task.status.set("engine", engine);
    }
    if let Ok(fallbacks) = message.get::<u64>("fallbacks") {
        task.status.set("fallbacks", fallbacks);
    }
    // The element knows the folder only; why there is none is known outside.
    let off = message.get::<&str>("off").ok();
    task.status.set("off", off.map(|own| deepfilternet.as_ref().err().map_or(own, String::as_str)));
}

/// Noise suppression. Its settings change while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Denoise;

impl MediaNode for Denoise {
    fn describe(&self) -> String {
        "noise suppression".into()
    }

    async fn run(self, context: MediaContext) -> Result<(), Error> {
        let MediaContext { task, input, output, services, .. } = context;
        run(task, input, output, services.denoise, services.deepfilternet).await
    }
}
