//! The layers of a publisher's video, which viewers get as qualities: nothing is encoded for them.

use super::Stream;
use super::publisher::Publisher;
use crate::flow::{Feed, PublisherLayer};
use crate::graph::PlanLayer;
use crate::media::{Kind, Rung};
use crate::runtime::LayerSnapshot;

impl Stream {
    /// Follows the layers of the publisher on air: which there are, which of them come, and their sizes.
    pub(super) fn follow_layers(&mut self) {
        let on_air = self.publishers.iter().find(|p| self.is_on_air(p));
        let layers = on_air.map(|p| p.tracks.layers.all()).unwrap_or_default();
        if layers.is_empty() && self.layers.is_empty() && self.layer_feeds.is_empty() {
            return;
        }
        let replaced = self.adopt_layers(&layers);
        let offered = self.layers_below_the_video(&layers);
        if !replaced && offered == self.layers {
            return;
        }
        self.layers = offered;
        self.update_ladder();
        self.changed();
        self.replan();
        self.drop_unused_layers(&layers);
    }

    /// The layers of a publisher for the report, the largest first.
    pub(super) fn layer_snapshots(&self, publisher: &Publisher) -> Vec<LayerSnapshot> {
        let snapshot = |layer: &PublisherLayer| {
            let feed = layer.writer.feed();
            let video =
                feed.format().borrow().as_ref().map(|f| f.video.clone()).unwrap_or_default();
            LayerSnapshot {
                rid: layer.rid.clone(),
                width: video.width,
                height: video.height,
                kbps: self.rates.rates.get(feed.name()).map_or(0.0, |(kbps, _)| *kbps),
                comes: layer.comes(),
                is_main: layer.is_main(),
            }
        };
        let mut layers: Vec<_> = publisher.tracks.layers.all().iter().map(snapshot).collect();
        layers.sort_by_key(|layer| std::cmp::Reverse((layer.height, layer.width)));
        layers
    }

    /// Adds the feeds of layers to those of the stream. True if a feed replaces one of another publisher:
    /// the viewers of that are then routed anew.
    fn adopt_layers(&mut self, layers: &[PublisherLayer]) -> bool {
        let mut replaced = false;
        for layer in layers {
            let feed = layer.writer.feed();
            let before = self.feeds.insert(feed.name().to_owned(), feed.clone());
            if before.is_some_and(|before| !before.same_as(feed)) {
                replaced = true;
                for viewer in self.viewers.values_mut() {
                    if viewer.route.video.as_deref() == Some(feed.name()) {
                        viewer.route.video = None;
                    }
                }
            }
        }
        let new = layers.iter().map(|layer| layer.writer.feed().name());
        self.layer_feeds.extend(new.map(str::to_owned));
        replaced
    }

    /// Removes the feeds of layers that the publisher on air does not send.
    fn drop_unused_layers(&mut self, layers: &[PublisherLayer]) {
        let sent = |name: &String| layers.iter().any(|layer| layer.writer.feed().name() == name);
        let feeds = &mut self.feeds;
        self.layer_feeds.retain(|name| {
            let keeps = sent(name);
            if !keeps {
                feeds.remove(name);
            }
            keeps
        });
    }

    /// The layers that come and are smaller than the stream's video, the largest first, one of each height.
    fn layers_below_the_video(&self, layers: &[PublisherLayer]) -> Vec<PlanLayer> {
        let Some(video) = self.feed(Kind::Video).format().borrow().clone() else {
            return Vec::new();
        };
        let coming = layers.iter().filter(|layer| layer.comes() && !layer.is_main());
        let mut below: Vec<PlanLayer> = coming
            .filter_map(|layer| {
                let feed: &Feed = layer.writer.feed();
                let format = feed.format().borrow().clone()?;
                let height = format.video.width.min(format.video.height);
                let rung = Rung { height, kbps: None };
                rung.is_below(&video.video).then(|| PlanLayer {
                    feed: feed.name().to_owned(),
                    rung,
                    format,
                })
            })
            .collect();
        below.sort_by_key(|layer| std::cmp::Reverse(layer.rung));
        below.dedup_by_key(|layer| layer.rung);
        below
    }
}
