//! What viewers share: the engine that sends, and the packets of each feed that anyone watches.

use std::sync::{Arc, Mutex, Weak};

use super::feed_packets::FeedPackets;
use crate::flow::{Error, Feed, Join};
use crate::media::{Codec, IgnorePoison};
use crate::webrtc::Config;
use auralink_sfu::{self as sfu, Begin, Engine, Settings};

/// Serves all viewers that do not have a pipeline of their own.
pub struct FanOut {
    engine: Engine,
    /// Packets of the feeds that anyone watches.
    feeds: Mutex<Vec<Weak<FeedPackets>>>,
}

impl FanOut {
    /// Starts the engine; `None` if each viewer gets a pipeline.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start(config: &Config) -> Result<Option<Self>, sfu::Error> {
        if !config.shares_packets() {
            return Ok(None);
        }
        let ports = match config.viewer_port {
            Some(port) => {
                let threads = u16::try_from(config.viewer_threads).unwrap_or(u16::MAX);
                (port, port.saturating_add(threads.saturating_sub(1)))
            }
            None => (config.udp_port_min, config.udp_port_max),
        };
        let addresses = config.local_addresses.clone();
        let engine = Engine::start(Settings {
            ports,
            addresses,
            shards: config.viewer_threads,
            tcp: config.ice_tcp,
        })?;
        Ok(Some(Self { engine, feeds: Mutex::default() }))
    }

    /// The engine.
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The packets of a feed in its codec. The first viewer starts them, the last one ends them.
    ///
    /// # Errors
    /// If the payloader is missing.
    pub(super) fn packets(
        &self,
        name: &str,
        feed: &Feed,
        codec: Codec,
        begin: Begin,
    ) -> Result<Arc<FeedPackets>, Error> {
        let mut feeds = self.feeds.lock().ignore_poison();
        feeds.retain(|packets| packets.strong_count() > 0);
        let found = feeds.iter().filter_map(Weak::upgrade).find(|p| p.are_of(feed, codec));
        if let Some(found) = found {
            return Ok(found);
        }
        // One that changes its quality has pictures until the key frame: the past would only be a burst.
        let join = match begin {
            Begin::AtOnce => Join::FastForward,
            Begin::AtKeyFrame => Join::Live,
        };
        let packets = Arc::new(FeedPackets::start(name, feed, codec, join)?);
        feeds.push(Arc::downgrade(&packets));
        Ok(packets)
    }
}
