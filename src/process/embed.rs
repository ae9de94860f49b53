//! Embeds captions in video: CEA-608 and CEA-708 in the SEI of H.264 and H.265, without decoding.

use std::time::Duration;

use futures::future::select_all;
use gst::prelude::*;

use super::SOURCE;
use super::captions::Embed;
use super::node::{MediaContext, MediaNode};
use crate::captions::Service;
use crate::elements::caption::Caption;
use crate::flow::{CueFeed, CueReader, Error, Feed, Join, Node, Status, Task, Writer};

/// Interval between updates of the figures in the API.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// Embeds the captions of `words` in the video of `input` until cancelled. Reports totals over all
/// services: `words`, words that were `late`, `unspelled` (not in the character set) or `yielded`
/// to captions of the source, frames with `existing` captions, and `lost` byte pairs.
///
/// # Errors
/// When the element cannot be built or fails.
pub async fn run(
    task: Task,
    input: Feed,
    words: Vec<CueFeed>,
    output: Writer,
    settings: Embed,
) -> Result<(), Error> {
    let node = Node::parse(
        &task.name,
        &format!("{SOURCE} ! auralinkcaption name=captions ! appsink name=out"),
    )?;
    let element = node.element("captions")?;
    element.set_property_from_str("mode", settings.style.as_str());
    element.set_property_from_str("existing", settings.existing.as_str());
    element.set_property_from_str("moves", &settings.moved());
    element.set_property_from_str("services", &settings.named());
    let element = element
        .downcast::<Caption>()
        .map_err(|_| Error::build(&task.name, "`captions` is another element"))?;
    let routes = routes(&settings, &words);
    node.output("out", &output)?;
    super::report_first_buffer(&node, "out", &task.status)?;
    node.start().await?;
    node.input("in", &input, Join::Live)?;
    let ended = tokio::select! {
        ended = node.run(&task.cancel) => ended,
        never = feed(&element, routes) => match never {},
        never = report(&element, &task.status) => match never {},
    };
    node.stop().await.and(ended)
}

/// One feed of captions and the services that carry it.
struct Carried {
    cues: CueReader,
    services: Vec<Service>,
}

/// Assigns services to feeds. The first feed is the original and replaces languages that have no
/// feed of their own.
fn routes(settings: &Embed, words: &[CueFeed]) -> Vec<Carried> {
    let mut carried: Vec<Carried> =
        words.iter().map(|f| Carried { cues: f.subscribe(), services: Vec::new() }).collect();
    for (service, language) in settings.by_service() {
        let own = language.and_then(|l| words.iter().position(|feed| *feed.language() == l));
        let place = carried.get_mut(own.unwrap_or(0));
        if let (Some(place), Ok(service)) = (place, service.parse()) {
            place.services.push(service);
        }
    }
    carried
}

/// Hands committed cues to the element; never returns.
async fn feed(element: &Caption, mut carried: Vec<Carried>) -> std::convert::Infallible {
    if carried.is_empty() {
        return std::future::pending().await;
    }
    loop {
        let next = carried.iter_mut().map(|c| {
            let services = &c.services;
            let cues = &mut c.cues;
            Box::pin(async move { (cues.next().await, services) })
        });
        let ((cue, services), ..) = select_all(next).await;
        if cue.is_committed() {
            services.iter().for_each(|service| element.push_to(*service, &cue));
        }
    }
}

/// Reports figures; never returns.
async fn report(element: &Caption, status: &Status) -> std::convert::Infallible {
    let mut tick = tokio::time::interval(REPORT_EVERY);
    loop {
        tick.tick().await;
        let stats = element.property::<gst::Structure>("stats");
        for count in ["words", "late", "unspelled", "yielded", "existing", "lost"] {
            // Each service has its own counts: `words-cc1`, `words-s1` …
            let of = |name: &str| name.split('-').next() == Some(count);
            let values = stats.iter().filter(|(name, _)| of(name.as_str()));
            let total: u64 = values.filter_map(|(_, value)| value.get::<u64>().ok()).sum();
            status.set(count, total);
        }
    }
}

impl MediaNode for Embed {
    fn describe(&self) -> String {
        "captions into video".into()
    }

    async fn run(self, context: MediaContext) -> Result<(), Error> {
        let MediaContext { task, input, output, captions, .. } = context;
        run(task, input, captions, output, self).await
    }
}
