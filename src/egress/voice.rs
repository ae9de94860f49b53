//! The voice of a stream, live, for pages: AIC-A of about 3 kbit/s (`docs/aic-rtp.md`, section 11),
//! encoded once for all listeners, while there are some.
//!
//! Invariant: nobody waits for a listener. One that does not keep up loses the oldest packets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use auralink_codec::RATE_HZ;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, WeakSender, channel};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::heard::{self, Heard, hear, weights};
use crate::aic::packet::Coded;
use crate::aic::voice_packets::VoicePackets;
use crate::aic::weights::ModelId;
use crate::flow::{AccessRequest, Error, Gate, Join, Node, Refusal, Subscription};
use crate::media::{Accepts, IgnorePoison, StreamName};

/// Frames of a packet: 60 ms, as on trunks.
const PACKET_FRAMES: usize = 3;

/// Packets that a listener may be late with: 4 s.
const QUEUE_PACKETS_MAX: usize = 64;

/// Sound that is further from where it should be than this, in samples (40 ms), does not continue what
/// came before.
const JITTER_SAMPLES_MAX: u64 = 40 * RATE_HZ as u64 / 1000;

/// Why nobody can listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The gate refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no codec, or the pipeline cannot be built.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// The voices with listeners. Clones share them.
#[derive(Clone, Default)]
pub struct Voices(Arc<Mutex<HashMap<StreamName, Weak<Live>>>>);

/// One voice. It ends with its last listener.
struct Live {
    packets: WeakSender<(u64, Coded)>,
    model: ModelId,
    _stop: DropGuard,
}

impl Voices {
    /// Listens to the voice of a stream; `access_request` was admitted.
    ///
    /// # Errors
    /// The stream has no sound now, or the machine no codec.
    pub async fn listen(
        &self,
        gate: &dyn Gate,
        access_request: &AccessRequest,
    ) -> Result<Listening, ListenError> {
        let stream = &access_request.stream;
        let running = self.0.lock().ignore_poison().get(stream).and_then(Weak::upgrade);
        if let Some(listening) = running.and_then(Listening::to) {
            return Ok(listening);
        }
        let model = weights("watch by WHEP").await?;
        let accepts = Accepts::media(None, Some(heard::accept()));
        let subscription = gate.play(access_request.clone(), accepts).await?;
        let (stop, id) = (CancellationToken::new(), model.1);
        let (sender, packets) = channel(QUEUE_PACKETS_MAX);
        let live = Arc::new(Live {
            packets: sender.downgrade(),
            model: id,
            _stop: stop.clone().drop_guard(),
        });
        let mut encoder = Encoder::new(VoicePackets::new(model.0, PACKET_FRAMES), sender);
        let node = hear(&format!("{stream}.voice"), move |heard| encoder.take(&heard))?;
        // Two who come at once may start one each; later listeners share the second.
        let mut running = self.0.lock().ignore_poison();
        running.retain(|_, live| live.strong_count() > 0);
        running.insert(stream.clone(), Arc::downgrade(&live));
        drop(running);
        tokio::spawn(async move {
            if let Err(error) = run(&node, subscription, &stop).await {
                tracing::warn!(node = node.name(), %error, "a live voice ends");
            }
        });
        Ok(Listening { live, packets })
    }
}

async fn run(
    node: &Node,
    mut subscription: Subscription,
    stop: &CancellationToken,
) -> Result<(), Error> {
    node.start().await?;
    let mut joined = None;
    let result = loop {
        let feed = subscription.inputs.borrow_and_update().audio.clone();
        if let Some(feed) = feed.filter(|feed| joined.as_ref().is_none_or(|old| !feed.same_as(old)))
        {
            node.input("audio", &feed, Join::Live)?;
            joined = Some(feed);
        }
        tokio::select! {
            result = node.run(stop) => break result,
            () = subscription.cancel.cancelled() => break Ok(()),
            changed = subscription.inputs.changed() => if changed.is_err() {
                break Ok(());
            },
        }
    };
    result.and(node.stop().await)
}

/// A listener's place.
pub struct Listening {
    live: Arc<Live>,
    packets: Receiver<(u64, Coded)>,
}

impl Listening {
    fn to(live: Arc<Live>) -> Option<Self> {
        let packets = live.packets.upgrade()?.subscribe();
        Some(Self { live, packets })
    }

    /// Id of the weights that decode it.
    pub fn model(&self) -> ModelId {
        self.live.model
    }

    /// The next packet and the time of its first sample, in samples; `None`: the stream has ended.
    pub async fn next(&mut self) -> Option<(u64, Coded)> {
        loop {
            match self.packets.recv().await {
                Ok(packet) => return Some(packet),
                Err(RecvError::Lagged(packets)) => {
                    tracing::debug!(packets, "a listener of a voice is late");
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Encodes on the thread that brings the sound: a frame takes 0.25 ms.
struct Encoder {
    packets: VoicePackets,
    /// Running time of the first sample.
    base: Option<Duration>,
    sender: Sender<(u64, Coded)>,
}

impl Encoder {
    fn new(packets: VoicePackets, sender: Sender<(u64, Coded)>) -> Self {
        Self { packets, base: None, sender }
    }

    fn take(&mut self, heard: &Heard) -> Result<(), gst::FlowError> {
        let since = heard.at.saturating_sub(*self.base.get_or_insert(heard.at));
        let at = (since.as_secs_f64() * f64::from(RATE_HZ)).round() as u64;
        let mut packets = Vec::new();
        let mut encode = || {
            if at.abs_diff(self.packets.end()) > JITTER_SAMPLES_MAX {
                packets.extend(self.packets.skip_to(at)?);
            }
            packets.extend(self.packets.append(&heard.samples)?);
            Ok::<_, crate::aic::packet::PacketError>(())
        };
        encode().map_err(|error| {
            tracing::warn!(%error, "a voice cannot be encoded");
            gst::FlowError::Error
        })?;
        for packet in packets {
            // Nobody listening now is no fault: the last one has just left.
            let _ = self.sender.send(packet);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::aic::engine::Codec;

    #[tokio::test]
    async fn a_gap_is_left_out_and_a_late_listener_loses_the_oldest() {
        let codec = Codec::shared();
        codec.wait(heard::WEIGHTS_WAIT_MAX).expect("weights in the program");
        let (model, id) = codec.loaded_with_id().expect("loaded");
        let (sender, packets) = channel(4);
        let _stop = CancellationToken::new().drop_guard();
        let live = Arc::new(Live { packets: sender.downgrade(), model: id, _stop });
        let mut listening = Listening { live, packets };
        let mut encoder = Encoder::new(VoicePackets::new(model, PACKET_FRAMES), sender);
        let mut say = |at_ms, samples| {
            let heard = Heard { at: Duration::from_millis(at_ms), samples: vec![0.1; samples] };
            encoder.take(&heard).expect("encodes");
        };
        // 70 ms, of which 10 wait; then a gap; then 5 packets.
        say(500, 1_120);
        assert_eq!(listening.next().await.map(|p| p.0), Some(0));
        say(1_000, 5 * 960);
        drop(encoder);
        let mut firsts = Vec::new();
        while let Some((first, packet)) = listening.next().await {
            assert!((5..40).contains(&packet.bytes().len()), "{packet:?}");
            firsts.push(first);
        }
        assert_eq!(firsts, [8_960, 9_920, 10_880, 11_840]);
    }
}
