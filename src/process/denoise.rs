//! Noise suppression between two feeds of raw audio.

use tokio::sync::watch;

use super::SOURCE;
use super::node::{MediaContext, MediaNode};
pub use super::settings::DenoiseSettings as Settings;
use crate::elements;
use crate::elements::denoise::SPEECH;
use crate::flow::{Error, Feed, Node, NodeEvent, Task, Writer};

/// Cleans raw audio from `input` into `output` until cancelled, and applies every change of
/// `settings` while it runs. Reports `speech_probability` (0-1) and `noise_dbfs`.
///
/// # Errors
/// When the element cannot be built or fails.
pub async fn run(
    task: Task,
    input: Feed,
    output: Writer,
    mut settings: watch::Receiver<Settings>,
) -> Result<(), Error> {
    elements::register().map_err(|e| Error::build(&task.name, e))?;
    let node = Node::parse(
        &task.name,
        &format!(
            "{SOURCE} ! auralinkdenoise name=denoise \
             ! audio/x-raw,format=F32LE,rate=48000,layout=interleaved ! appsink name=out"
        ),
    )?;
    let denoise = node.element("denoise")?;
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
            event = node.next_event() => match event? {
                NodeEvent::Eos => return Err(Error::Ended),
                NodeEvent::Element(message) => report(&task, &message),
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
}

fn report(task: &Task, message: &gst::Structure) {
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
        run(task, input, output, services.denoise).await
    }
}
