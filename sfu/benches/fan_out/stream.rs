//! The stream that is sent: 30 frames per second of seven packets, and 50 packets of sound.

use std::time::{Duration, Instant};

use auralink_sfu::{Packet, Source};

/// RTP payload of a video packet: with encryption and headers it fits into 1,280 bytes.
pub(crate) const PAYLOAD_BYTES: usize = 1190;

/// Packets of a frame: 2 Mbit/s.
pub(crate) const FRAME_PACKETS: usize = 7;

/// RTP payload of a packet of sound: 64 kbit/s.
pub(crate) const SOUND_BYTES: usize = 160;

const FRAME_TIME: Duration = Duration::from_nanos(33_333_333);
const SOUND_TIME: Duration = Duration::from_millis(20);

/// Frames from one key frame to the next.
const KEY_FRAME_DISTANCE_FRAMES: u64 = 60;

/// What has been pushed.
#[derive(Clone, Copy)]
pub(crate) struct Pushed {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl std::ops::Sub for Pushed {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { packets: self.packets - before.packets, bytes: self.bytes - before.bytes }
    }
}

pub(crate) struct Stream {
    video: Source,
    sound: Source,
    frames: u64,
    sounds: u64,
    began: Instant,
    pushed: Pushed,
}

/// When a payload was made, in its first bytes, for whoever receives it.
pub(crate) fn age(payload: &[u8]) -> Option<Duration> {
    let made = payload.get(..8)?.try_into().ok().map(u64::from_be_bytes)?;
    Some(clock().saturating_sub(Duration::from_nanos(made)))
}

/// Time since the first call.
fn clock() -> Duration {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed()
}

impl Stream {
    pub(crate) fn new(video: Source, sound: Source) -> Self {
        let pushed = Pushed { packets: 0, bytes: 0 };
        Self { video, sound, frames: 0, sounds: 0, began: Instant::now(), pushed }
    }

    pub(crate) fn pushed(&self) -> Pushed {
        self.pushed
    }

    /// Pushes in real time.
    pub(crate) fn play(&mut self, time: Duration) {
        let end = self.began.elapsed() + time;
        loop {
            let frame_due = FRAME_TIME * self.frames as u32;
            let sound_due = SOUND_TIME * self.sounds as u32;
            let due = frame_due.min(sound_due);
            if due > end {
                return;
            }
            std::thread::sleep(due.saturating_sub(self.began.elapsed()));
            if frame_due <= sound_due {
                let is_key = self.frames.is_multiple_of(KEY_FRAME_DISTANCE_FRAMES);
                let first = self.frames * FRAME_PACKETS as u64;
                let time = self.frames * 3000;
                let of = |at| self.packet(first + at, time, is_key && at == 0, PAYLOAD_BYTES);
                let frame: Vec<Packet> = (0..FRAME_PACKETS as u64).map(of).collect();
                self.video.push(frame);
                self.frames += 1;
                self.count(FRAME_PACKETS, PAYLOAD_BYTES);
            } else {
                self.sound.push(vec![self.packet(
                    self.sounds,
                    self.sounds * 960,
                    true,
                    SOUND_BYTES,
                )]);
                self.sounds += 1;
                self.count(1, SOUND_BYTES);
            }
        }
    }

    fn count(&mut self, packets: usize, bytes: usize) {
        self.pushed.packets += packets as u64;
        self.pushed.bytes += (packets * bytes) as u64;
    }

    fn packet(&self, number: u64, time: u64, is_start: bool, bytes: usize) -> Packet {
        let mut rtp = vec![0x80, 96];
        rtp.extend((number as u16).to_be_bytes());
        rtp.extend((time as u32).to_be_bytes());
        rtp.extend([0; 4]);
        rtp.extend((clock().as_nanos() as u64).to_be_bytes());
        rtp.resize(12 + bytes, 7);
        Packet::parse(&rtp, Instant::now(), is_start).expect("RTP")
    }
}
