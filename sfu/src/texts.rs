//! The data channels of a session.

use str0m::Rtc;
use str0m::channel::ChannelId;

use super::error::Ended;

/// Most data channels. A viewer that opens more is disconnected.
const CHANNELS_MAX: usize = 4;

/// Most bytes that wait in the data channels of a viewer.
pub(super) const CHANNEL_BYTES_MAX: usize = 128 << 10;

/// Bytes waiting in a data channel below which it has room again.
const LOW_BACKLOG_BYTES: usize = 4 << 10;

/// The data channels that a viewer has opened, numbered from 0.
#[derive(Debug, Default)]
pub(super) struct Texts(Vec<ChannelId>);

impl Texts {
    /// Adds a channel; returns its number.
    ///
    /// # Errors
    /// [`Ended::Channels`], if there are too many.
    pub(super) fn open(&mut self, rtc: &mut Rtc, id: ChannelId) -> Result<usize, Ended> {
        if self.0.len() == CHANNELS_MAX {
            return Err(Ended::Channels);
        }
        if let Some(mut channel) = rtc.channel(id) {
            channel.set_buffered_amount_low_threshold(LOW_BACKLOG_BYTES);
        }
        self.0.push(id);
        Ok(self.0.len() - 1)
    }

    /// The number of a channel.
    pub(super) fn number(&self, id: ChannelId) -> Option<usize> {
        self.0.iter().position(|known| *known == id)
    }

    /// Sends a text; false if there is no room.
    pub(super) fn send(&self, rtc: &mut Rtc, number: usize, text: &str) -> bool {
        let channel = self.0.get(number).and_then(|id| rtc.channel(*id));
        channel.is_some_and(|mut c| c.write(false, text.as_bytes()).unwrap_or(false))
    }

    /// Bytes that wait in a channel.
    pub(super) fn buffered(&self, rtc: &mut Rtc, number: usize) -> u64 {
        let channel = self.0.get(number).and_then(|id| rtc.channel(*id));
        channel.map_or(0, |mut c| c.buffered_amount() as u64)
    }

    /// Closes a channel.
    pub(super) fn close(&self, rtc: &mut Rtc, number: usize) {
        if let Some(id) = self.0.get(number) {
            rtc.direct_api().close_data_channel(*id);
        }
    }
}
